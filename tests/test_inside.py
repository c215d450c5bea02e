"""Inside a digit network: its layers as torch has them, ink that matters, all of MNIST at once."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from experiments import hashes, tasks
from experiments.data import mnist, strokes
from experiments.data.split import SPLIT_SEED, VAL_SHARE, stratified
from experiments.errors import UserError
from experiments.paths import DRAWINGS, ROOT
from export import graph
from export.precision import to_precision
from serve.digit import ink as inks
from serve.digit import inside_markup, memory, occlusion, study
from serve.digit.inside import Inside, Layer
from serve.digit.memory import Memory
from serve.predictor import OnnxPredictor
from tests.conftest import write_digits

FORMS = {  # the recipes' architectures, made small
    "flash": {"width": 4, "stages": 2, "depth": 1, "fold": 2, "hidden": 12},
    "default": {"width": 4, "stages": 3, "depth": 2, "hidden": 16},
    "silu": {"width": 4, "stages": 1, "hidden": 12, "activation": "silu"},
    "relu": {"width": 4, "stages": 2, "hidden": 12, "activation": "relu"},
}
COUNT = 480  # digits of the small sets


def net_of(form: str, images: np.ndarray) -> torch.nn.Module:
    """Return an untrained net that has seen real digits' statistics."""
    torch.manual_seed(0)
    net = tasks.get("mnist").network(**FORMS[form])
    with torch.no_grad():
        net.train()(torch.tensor(images))
    net.get_buffer("temperature").fill_(0.5)
    return net.eval()


def graph_of(net: torch.nn.Module, digest: str = "") -> onnx.ModelProto:
    labels = '["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]'
    about = {"task": "mnist", "labels": labels, "facts": "{}", "data_digest": digest}
    return graph.of_task(tasks.get("mnist"), net, np.zeros((2, 28, 28), np.uint8), about)


def activations(net: torch.nn.Module, image: np.ndarray) -> list[np.ndarray]:
    """Return what torch's activation functions give for `image`, in their order."""
    found: list[np.ndarray] = []
    kinds = (torch.nn.GELU, torch.nn.ReLU, torch.nn.SiLU)
    hooks = [
        module.register_forward_hook(lambda _, __, output: found.append(output[0].numpy()))
        for module in net.modules()
        if isinstance(module, kinds)
    ]
    with torch.inference_mode():
        net(torch.tensor(image))
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("form", FORMS)
def test_layers_are_those_of_torch(form: str, digits: mnist.Mnist) -> None:
    net = net_of(form, digits.train_images[:64])
    inside = Inside(graph_of(net).SerializeToString())
    image = digits.test_images[:1]
    layers = inside.layers(image)
    theirs = activations(net, image)
    ours = [layer for layer in layers if layer.words.startswith(("Activation", "Hidden"))]
    assert [layer.values.shape for layer in ours] == [values.shape for values in theirs]
    for layer, values in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(layer.values, values, atol=1e-4)
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in net.modules())
    assert sum(layer.words.startswith("Convolution") for layer in layers) == convolutions
    with torch.inference_mode():
        np.testing.assert_allclose(layers[-1].values, net(torch.tensor(image))[0], atol=1e-4)
    np.testing.assert_allclose(inside.features(image)[0], theirs[-1], atol=1e-4)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_layers_are_there_in_each_precision(precision: str, digits: mnist.Mnist) -> None:
    full = graph_of(net_of("relu", digits.train_images[:64]))
    small = to_precision(full, precision, lambda: digits.train_images[:100])
    image = digits.test_images[:1]
    expected = Inside(full.SerializeToString())
    found = Inside(small.SerializeToString())
    for ours, theirs in zip(found.layers(image), expected.layers(image), strict=True):
        assert (ours.name, ours.words, ours.values.dtype) == (theirs.name, theirs.words, "float32")
        assert np.abs(ours.values - theirs.values).max() < 0.1 * np.abs(theirs.values).max()
    assert found.features(digits.test_images[:3]).shape == (3, 12)


def test_no_graph_of_digits_is_refused_in_a_sentence() -> None:
    canvas = inks.CANVAS.read_bytes()
    for raw, found in ((b"rubbish", "something else"), (canvas, "the inputs canvas")):
        with pytest.raises(UserError, match=found):
            Inside(raw)


class Sum:
    """A predictor whose logit of 0 is the ink in the left half, and all others are 0."""

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        logits = np.zeros((len(x), 10), np.float32)
        logits[:, 0] = x[:, :, :14].astype(np.float64).sum((1, 2)) / 255
        self.batch = len(x)
        return {"logits": logits}


def test_wiped_ink_counts_what_it_gave() -> None:
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 5, 6] = image[0, 20, 22] = 255
    found = occlusion.importance(Sum(), image)
    assert found.shape == (28, 28) and found.dtype == np.float32
    assert found[5, 6] == pytest.approx(1, abs=1e-6)  # each patch over it takes the one whole ink
    assert found[20, 22] == 0 and np.count_nonzero(found) == 1


def test_importance_is_the_mean_over_patches_by_hand() -> None:
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 10, 4:10] = 255
    found = occlusion.importance(Sum(), image)
    falls: dict[int, list[int]] = {column: [] for column in range(4, 10)}
    for top in range(6, 11):  # patches of 5 x 5 that touch the line, one by one
        for left in range(0, 10):
            wiped = [column for column in range(4, 10) if left <= column < left + 5]
            for column in wiped:
                assert top <= 10 < top + 5
                falls[column].append(len(wiped))
    means = [np.mean(falls[column]) for column in range(4, 10)]
    np.testing.assert_allclose(found[10, 4:10], means, atol=1e-6)


def test_ink_against_the_answer_is_negative() -> None:
    class Against(Sum):
        def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
            told = super().__call__(x)
            told["logits"][:, 0] += 20 - 2 * x[:, :, 14:].astype(np.float64).sum((1, 2)) / 255
            return told

    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 4, 4] = image[0, 20, 20] = 255
    found = occlusion.importance(Against(), image)
    assert found[4, 4] == pytest.approx(1, abs=1e-5)
    assert found[20, 20] == pytest.approx(-2, abs=1e-5)


def test_the_batch_stays_small(digits: mnist.Mnist) -> None:
    full = np.full((1, 28, 28), 255, np.uint8)
    for image in (full, *digits.test_images[:50, None]):
        predictor = Sum()
        occlusion.importance(predictor, image)
        assert predictor.batch <= 150


def test_the_bar_of_a_7_matters_to_a_trained_net(trained: Path, digits: mnist.Mnist) -> None:
    predictor = OnnxPredictor(trained / "model.onnx")
    image = digits.test_images[:1]  # a 7
    assert predictor(image)["probabilities"][0].argmax() == 7
    found = occlusion.importance(predictor, image)
    place = np.unravel_index(found.argmax(), found.shape)
    wiped = image.copy()
    rows, columns = (slice(max(0, at - 2), at + 3) for at in place)
    wiped[0, rows, columns] = 0
    before, after = (predictor(each)["probabilities"][0, 7] for each in (image, wiped))
    assert found.max() > 0 and after < before
    assert not found[image[0] == 0].any()


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, digits: mnist.Mnist) -> Path:
    return write_digits(tmp_path_factory.mktemp("few"), digits, COUNT)


@pytest.fixture(scope="module")
def net(digits: mnist.Mnist) -> torch.nn.Module:
    return net_of("relu", digits.train_images[:64])


@pytest.fixture(scope="module")
def raw(net: torch.nn.Module, few: Path) -> bytes:
    """A graph that says it was trained on the few digits."""
    return graph_of(net, mnist.load(few).digest).SerializeToString()


@pytest.fixture
def at_few(few: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MNIST_DIR", str(few))
    return few


def wait(kept: Memory, seconds: float = 60) -> Memory:
    deadline = time.monotonic() + seconds
    while not kept.ready and not kept.missing:
        kept.start()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return kept


@pytest.fixture(scope="module")
def read_once(raw: bytes, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the few digits were read."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_DIR", str(few))
        assert Memory(raw, folder).progress() is None
        assert wait(Memory(raw, folder)).progress() == 1
    return folder


def test_the_nearest_are_of_the_training_split_alone(
    read_once: Path, raw: bytes, net: torch.nn.Module, digits: mnist.Mnist
) -> None:
    theirs = []
    hook = net.output.register_forward_pre_hook(lambda _, given: theirs.append(given[0].numpy()))
    with torch.inference_mode():
        net(torch.tensor(digits.train_images[:COUNT]))
        net(torch.tensor(digits.test_images[:1]))
    hook.remove()
    known, asked = theirs[0], theirs[1][0]
    alike = known @ asked / np.linalg.norm(known, axis=1) / np.linalg.norm(asked)
    alike[stratified(digits.train_labels[:COUNT], VAL_SHARE, SPLIT_SEED)] = -1
    order = np.argsort(-alike)[:5]
    found = Memory(raw, read_once).nearest(asked)
    np.testing.assert_allclose([each.distance for each in found], 1 - alike[order], atol=1e-3)
    assert found[0].index == order[0] or alike[order[0]] - alike[order[1]] < 1e-3
    for each in found:
        assert (each.image == digits.train_images[each.index]).all()
        assert each.label == digits.train_labels[each.index]


def test_mistakes_are_the_surest_wrong_answers(
    read_once: Path, raw: bytes, net: torch.nn.Module, digits: mnist.Mnist
) -> None:
    with torch.inference_mode():
        logits = net(torch.tensor(digits.test_images[:COUNT]))[:, :10]
    shares = logits.softmax(1).numpy()
    wrong = np.flatnonzero(shares.argmax(1) != digits.test_labels[:COUNT])
    surest = wrong[np.argsort(-shares.max(1)[wrong])][:20]
    found = Memory(raw, read_once).mistakes()
    assert len(found) == 20
    np.testing.assert_allclose(
        [each.probability for each in found], shares.max(1)[surest], atol=1e-4
    )
    for each in found:
        assert each.label == digits.test_labels[each.index] != each.said
        assert each.said == shares[each.index].argmax()
        assert (each.image == digits.test_images[each.index]).all()


def test_damage_is_read_anew(raw: bytes, at_few: Path, read_once: Path, tmp_path: Path) -> None:
    for path in read_once.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    file = next(tmp_path.glob("*.npz"))
    whole = file.read_bytes()
    for damage in (whole[:1000], b"", b"rubbish" * 99, whole[:3000] + b"?" + whole[3001:]):
        file.write_bytes(damage)
        assert not Memory(raw, tmp_path).ready
    assert len(wait(Memory(raw, tmp_path)).mistakes()) == 20
    next(tmp_path.glob("*.npy")).unlink()
    assert not Memory(raw, tmp_path).ready


def test_a_killed_child_hurts_nobody(raw: bytes, at_few: Path, tmp_path: Path) -> None:
    path = tmp_path / f"{hashes.of_bytes(raw)}.onnx"
    path.write_bytes(raw)
    line = [sys.executable, "-m", "serve.digit.study", str(path)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and "done" in child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    (tmp_path / f".{path.stem}.npz.partial").write_bytes(b"half")
    assert wait(Memory(raw, tmp_path)).missing == ""


def test_two_at_once_read_once(raw: bytes, at_few: Path, tmp_path: Path) -> None:
    both = [Memory(raw, tmp_path), Memory(raw, tmp_path)]
    threads = [threading.Thread(target=wait, args=[kept]) for kept in both]
    for thread in threads:
        thread.start()
    while not both[0].ready:
        time.sleep(0.02)
    first = next(tmp_path.glob("*.npz")).stat()
    for thread in threads:
        thread.join()
    time.sleep(0.2)
    last = next(tmp_path.glob("*.npz")).stat()
    assert both[1].ready and first.st_ino == last.st_ino  # a file written anew has another


def test_other_digits_are_told_and_not_shown(
    net: torch.nn.Module, at_few: Path, tmp_path: Path
) -> None:
    kept = wait(Memory(graph_of(net, "0123456789").SerializeToString(), tmp_path))
    assert "trained on other digits" in kept.missing and "01234567" in kept.missing
    with pytest.raises(UserError, match="other digits"):
        kept.mistakes()


def test_without_mnist_nothing_is_fetched(
    raw: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.setattr(memory, "MNIST_CACHE", tmp_path / "none")
    kept = Memory(raw, tmp_path)
    kept.start()
    assert "not on this machine" in kept.missing and kept.progress() is None
    assert list(tmp_path.iterdir()) == []


def test_mnist_that_comes_later_is_found(
    raw: bytes, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.setattr(memory, "MNIST_CACHE", tmp_path / "none")
    kept = Memory(raw, tmp_path)
    assert "not on this machine" in kept.missing
    monkeypatch.setenv("MNIST_DIR", str(few))
    assert wait(kept).ready


def test_a_child_that_speaks_rubbish_is_given_up(
    raw: bytes, at_few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "root" / "serve" / "digit" / "study.py"
    child.parent.mkdir(parents=True)
    child.write_text("print('no JSON')")
    monkeypatch.setattr(memory, "ROOT", tmp_path / "root")
    kept = wait(Memory(raw, tmp_path / "kept"))
    assert not kept.running and "could not be read for this model" in kept.missing


def test_only_the_newest_findings_stay_on_the_disk(
    raw: bytes, at_few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "MOST_KEPT", 2)
    for age in (30, 20, 10):
        for kind in ("onnx", "npz"):
            path = tmp_path / f"old-{age}.{kind}"
            path.touch()
            os.utime(path, (time.time() - age, time.time() - age))
    path = tmp_path / f"{hashes.of_bytes(raw)}.onnx"
    path.write_bytes(raw)
    study.study(path, lambda done: None)
    left = {path.name for path in tmp_path.iterdir() if path.suffix != ".npy"}
    assert left == {"old-10.onnx", "old-10.npz", path.name, f"{path.stem}.npz"}


def sources(text: str) -> list[str]:
    return re.findall(r'<img alt="[^"]*" src="(data:image/png;base64,[^"]+)"', text)


def pixels(source: str) -> np.ndarray:
    import base64
    import io

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))


@pytest.fixture(scope="module")
def seven() -> np.ndarray:
    drawings = strokes.load(DRAWINGS / "drawings.json")
    return strokes.render(next(each for each in drawings if each.shape == "7 with a bar"), 30)


def test_the_strip_ends_in_what_the_network_saw(seven: np.ndarray) -> None:
    image = inks.to_image(seven)[0]
    drawing, cropped, scaled, last = map(pixels, sources(inside_markup.strip(seven, image)))
    assert (last == image).all()
    assert max(scaled.shape) == 20 and scaled.sum() == image.sum()
    rows, columns = np.nonzero(seven)
    shape = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert cropped.shape[0] / cropped.shape[1] == pytest.approx(shape[0] / shape[1], rel=0.02)
    assert (drawing == inside_markup.FRAME).all(2).any()
    assert inside_markup.strip(np.zeros((9, 9), np.uint8), image) == ""


def test_each_channel_has_its_place_in_its_layer() -> None:
    values = np.zeros((3, 2, 2), np.float32)
    values[0], values[2] = 2, -2
    layers = [Layer("conv1", "Convolution 1", values), Layer("out", "Outputs", np.ones(11))]
    picture = pixels(sources(inside_markup.feature_maps(layers))[0])
    assert tuple(picture[0, 0]) == (*inside_markup.ONE, 255)
    assert tuple(picture[0, 3]) == (*inside_markup.PAPER, 255)
    assert tuple(picture[0, 6]) == (*inside_markup.ZERO, 255)
    assert picture[0, 2, 3] == 0  # the gap lets the page through


def test_ink_is_orange_where_it_speaks_for_the_answer() -> None:
    image, importance = np.zeros((28, 28), np.uint8), np.zeros((28, 28), np.float32)
    image[3, 3:6] = 255
    importance[3, 3], importance[3, 4] = 2, -2
    text = inside_markup.occlusion(image, importance)
    shown = pixels(sources(text)[0])
    assert tuple(shown[3, 3]) == inside_markup.ONE and tuple(shown[3, 4]) == inside_markup.ZERO
    assert tuple(shown[3, 5]) == inside_markup.NEUTRAL
    assert tuple(shown[9, 9]) == inside_markup.PAPER
    assert "for the answer top left" in text


def test_mistakes_are_buttons_that_know_their_digit(read_once: Path, raw: bytes) -> None:
    found = Memory(raw, read_once).mistakes()
    text = inside_markup.mistakes(found)
    assert re.findall(r'data-index="(\d+)"', text) == [str(each.index) for each in found]
    assert text.count("<button") == text.count("aria-label") == 20
    assert "no mistake" in inside_markup.mistakes([])


def test_a_refused_part_of_a_number_is_no_figure(digits: mnist.Mnist) -> None:
    images, refused = digits.test_images[:3], np.array([False, True, False])
    text = inside_markup.number(images, ["7", "2", "1"], np.array([0.99, 0.5, 0.98]), refused)
    assert "7?1" in text and "99.0%" in text and "50.0%" not in text
