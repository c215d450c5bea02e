"""Views into a digit network: occlusion, the neighbour index."""

import base64
import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from experiments.core.errors import DataError
from experiments.core.paths import DRAWINGS
from experiments.data import mnist, strokes
from experiments.data.split import SPLIT_SEED, VAL_SHARE, stratified
from experiments.evaluation.calibration import NO_DIGIT
from serve.strings import digit as texts
from serve.tabs.digit import activations_markup, markup, occlusion, preprocess
from serve.tabs.digit.inference import Prediction
from serve.tabs.digit.neighbor_index import NeighborIndex
from tests import graphs
from tests.conftest import write_digits
from tests.expect import refused

COUNT = 480  # digits of the small data set
Export = Callable[[str], tuple[torch.nn.Module, onnx.ModelProto]]


@pytest.fixture(scope="module")
def exported() -> Export:
    """Form -> an untrained net with real digits' batch statistics, and its graph."""
    return graphs.digit


class SumPredictor:
    """The logit of 0 is the ink in the left half, less twice that in the right; others are 0."""

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        ink = x.astype(np.float64) / 255
        logits = np.zeros((len(x), 10), np.float32)
        logits[:, 0] = 20 + ink[:, :, :14].sum((1, 2)) - 2 * ink[:, :, 14:].sum((1, 2))
        return {"logits": logits}


def test_importance_is_the_mean_over_patches_by_hand() -> None:
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 10, 4:10] = image[0, 20, 20] = 255
    result = occlusion.importance(SumPredictor(), image)
    falls: dict[int, list[int]] = {column: [] for column in range(4, 10)}
    for left in range(-4, 28, 2):
        erased = [column for column in falls if left <= column < left + 5]
        for column in erased:
            falls[column].append(len(erased))
    means = [np.mean(values) for values in falls.values()]
    np.testing.assert_allclose(result[10, 4:10], means, atol=1e-4)
    assert result[20, 20] == pytest.approx(-2, abs=1e-4)
    assert np.count_nonzero(result) == 7 and result.dtype == np.float32


# ---- the neighbour index


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, digits: mnist.Mnist) -> Path:
    """A folder with a small data set."""
    return write_digits(tmp_path_factory.mktemp("few"), digits, COUNT)


@pytest.fixture
def few_alone(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_DIR", str(few))


def with_digest(digest: str, model: onnx.ModelProto) -> bytes:
    """Return the graph's file, trained on the data of `digest`."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    copied.metadata_props.add(key="data_digest", value=digest)
    return copied.SerializeToString()


@pytest.fixture(scope="module")
def raw(exported: Export, few: Path) -> bytes:
    return with_digest(mnist.load(few).digest, exported("relu")[1])


def finish(index: NeighborIndex) -> NeighborIndex:
    """Wait until the index is built."""
    deadline = time.monotonic() + 60
    progress = [index.build()]
    while progress[-1] < 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)
        progress.append(index.build())
    assert progress == sorted(progress)
    return index


@pytest.fixture(scope="module")
def folder(raw: bytes, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the index of `raw`."""
    folder = tmp_path_factory.mktemp("page") / "indexes"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_DIR", str(few))
        finish(NeighborIndex(raw, folder))
    return folder


def test_neighbors_are_the_nearest_training_digits_of_torch(
    folder: Path, raw: bytes, exported: Export, digits: mnist.Mnist
) -> None:
    net, inputs = exported("relu")[0], []
    hook = net.output.register_forward_pre_hook(lambda _, given: inputs.append(given[0].numpy()))
    with torch.inference_mode():
        net(torch.tensor(digits.train_images[:COUNT]))
        net(torch.tensor(digits.test_images[:1]))
    hook.remove()
    known, query = inputs[0], inputs[1][0]
    similarity = known @ query / np.linalg.norm(known, axis=1) / np.linalg.norm(query)
    similarity[stratified(digits.train_labels[:COUNT], VAL_SHARE, SPLIT_SEED)] = -1
    order = np.argsort(-similarity)[:5]
    nearest = finish(NeighborIndex(raw, folder)).nearest(query)
    np.testing.assert_allclose([n.distance for n in nearest], 1 - similarity[order], atol=1e-3)
    for each in nearest:
        assert (each.image == digits.train_images[each.index]).all()
        assert each.label == digits.train_labels[each.index]


def test_mistakes_are_the_most_probable_wrong_predictions(
    folder: Path, raw: bytes, exported: Export, digits: mnist.Mnist
) -> None:
    with torch.inference_mode():
        logits = exported("relu")[0](torch.tensor(digits.test_images[:COUNT]))[:, :10]
    probs = logits.softmax(1).numpy()
    wrong = np.flatnonzero(probs.argmax(1) != digits.test_labels[:COUNT])
    worst = wrong[np.argsort(-probs.max(1)[wrong])][:20]
    mistakes = finish(NeighborIndex(raw, folder)).mistakes()
    np.testing.assert_allclose([m.prob for m in mistakes], probs.max(1)[worst], atol=1e-4)
    for each in mistakes:
        assert each.pred == probs[each.index].argmax()
        assert each.label == digits.test_labels[each.index] != each.pred
        assert (each.image == digits.test_images[each.index]).all()
    text = activations_markup.mistakes(mistakes)
    assert re.findall(r'data-index="(\d+)"', text) == [str(each.index) for each in mistakes]
    assert text.count("<button") == text.count("aria-label") == 20


def test_the_most_exciting_test_digits_are_those_of_torch(
    folder: Path, raw: bytes, exported: Export, digits: mnist.Mnist
) -> None:
    inputs = []
    net = exported("relu")[0]
    hook = net.output.register_forward_pre_hook(lambda _, given: inputs.append(given[0].numpy()))
    with torch.inference_mode():
        net(torch.tensor(digits.test_images[:COUNT]))
    hook.remove()
    index = finish(NeighborIndex(raw, folder))
    for unit, values in enumerate(inputs[0].T):
        exciting = index.exciting(unit)
        expected = np.sort(values)[::-1][:8]
        np.testing.assert_allclose([e.value for e in exciting], expected[expected > 0], rtol=2e-3)
        for each in exciting:
            assert (each.image == digits.test_images[each.index]).all()
            assert each.label == digits.test_labels[each.index]
            assert values[each.index] == pytest.approx(each.value, rel=2e-3)


@pytest.mark.parametrize("end", [1000, -9])
def test_a_damaged_index_is_built_again(
    end: int, raw: bytes, folder: Path, few_alone: None, tmp_path: Path
) -> None:
    path = next(folder.iterdir())
    content = path.read_bytes()
    (tmp_path / path.name).write_bytes(content[:500] + b"?" + content[501:end])
    index = NeighborIndex(raw, tmp_path)
    assert index.build() < 1
    assert len(finish(index).mistakes()) == 20


def test_other_digits_are_refused(exported: Export, few: Path, few_alone, tmp_path: Path) -> None:
    index = NeighborIndex(with_digest("0123456789", exported("relu")[1]), tmp_path)
    with refused("mnist-mismatch", expected="01234567", found=mnist.load(few).digest[:8]):
        finish(index)
    assert list(tmp_path.iterdir()) == []


def test_without_mnist_nothing_is_downloaded(
    raw: bytes, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MNIST_DIR", raising=False)
    index = NeighborIndex(raw, tmp_path, cache=tmp_path / "none")
    with refused("file-missing", DataError):
        finish(index)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("MNIST_DIR", str(few))
    assert len(finish(index).mistakes()) == 20


# ---- HTML


def pixels(text: str) -> list[np.ndarray]:
    """Return the pictures of an HTML text."""
    urls = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(url)))) for url in urls]


def test_the_steps_end_in_the_networks_input() -> None:
    drawings = strokes.load(DRAWINGS / "drawings.json")
    seven = strokes.render(next(each for each in drawings if each.shape == "7 with a bar"), 30)
    image = preprocess.to_image(seven)[0]
    drawing, cropped, scaled, last = pixels(activations_markup.input_steps(seven, image))
    assert (last == image).all()
    assert max(scaled.shape) == 20 and scaled.sum() == image.sum()
    height, width = (np.ptp(np.flatnonzero(seven.any(axis))) + 1 for axis in (1, 0))
    assert cropped.shape[0] / cropped.shape[1] == pytest.approx(height / width, rel=0.02)
    assert (drawing == activations_markup.FRAME).all(2).any()


def test_ink_is_orange_where_it_is_for_the_prediction() -> None:
    image, importance = np.zeros((28, 28), np.uint8), np.zeros((28, 28), np.float32)
    image[3, 3:6] = image[20, 20] = 255
    importance[3, 3], importance[20, 20] = 2, -2
    [picture] = pixels(activations_markup.occlusion(image, importance))
    colours = [tuple(picture[place]) for place in ((3, 3), (20, 20), (3, 5), (9, 9))]
    assert colours == [markup.ORANGE, markup.BLUE, activations_markup.GRAY, markup.WHITE]


def test_a_refused_digit_of_a_number_is_unknown(digits: mnist.Mnist) -> None:
    probs = np.array([[0.01, 0.99], [0.5, 0.5], [0.98, 0.02]])
    outputs = {"probabilities": probs, "score": np.array([1.0, -1, 1])}
    predictor: Any = SimpleNamespace(labels=["0", "1"], facts={"score_threshold": 0})
    text = activations_markup.number(Prediction([], digits.test_images[:3], outputs, predictor))
    assert f"1{texts.UNKNOWN}0" in text and NO_DIGIT in text
    assert "99.0%" in text and "50.0%" not in text
