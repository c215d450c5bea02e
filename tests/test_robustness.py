"""What a network is examined by, what it is trained on beside digits, and what comes of it."""

import math

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from scipy import ndimage
from torch import Generator

from experiments import calibration, nondigits, robustness, strangers, tasks
from experiments.calibration import Reliability
from experiments.corruptions import CORRUPTIONS, corrupted
from experiments.degrade import WAYS, degraded
from experiments.robustness import Exam
from experiments.tasks.base import Split
from export import precision
from tests.conftest import client


@pytest.fixture(scope="module")
def images(digits) -> torch.Tensor:
    return torch.tensor(digits.test_images[:400])


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corruptions_change_pictures_and_repeat_themselves(images, kind: str) -> None:
    bad = corrupted(kind, images)
    assert bad.shape == images.shape and bad.dtype == torch.uint8
    assert (bad != images).flatten(1).any(1).all()
    assert torch.equal(bad, corrupted(kind, images))
    assert bad.float().flatten(1).std(1).min() > 0  # something is left to be read


def test_there_are_fifteen_corruptions() -> None:
    assert len(CORRUPTIONS) == 15


def test_exact_corruptions(images) -> None:
    x = images.numpy()
    bright = np.minimum(x / 255 + 0.5, 1) * 255
    np.testing.assert_allclose(corrupted("brightness", images), bright, atol=1)
    striped = x.copy()
    striped[:, :, :7], striped[:, :, 21:] = 255 - x[:, :, :7], 255 - x[:, :, 21:]
    assert np.array_equal(corrupted("stripe", images), striped)
    moved = {
        (right, down): ndimage.shift(x, (0, down, right), order=0)
        for right in (-5, 5)
        for down in (-5, 5)
    }
    for index, image in enumerate(corrupted("translate", images).numpy()):
        assert any(np.abs(m[index].astype(int) - image).max() <= 1 for m in moved.values())


def test_turned_and_shrunk_as_scipy_does(images) -> None:
    x = images[:40].numpy().astype(float)
    turned = [ndimage.rotate(x, s * math.degrees(0.6), (1, 2), False, order=1) for s in (-1, 1)]
    for index, image in enumerate(corrupted("rotate", images[:40]).numpy()):
        assert min(np.abs(t[index] - image).mean() for t in turned) < 2
    small = corrupted("scale", images[:40]).numpy()
    for before, after in zip(x, small, strict=True):
        spans = [np.ptp(np.flatnonzero(p.max(1) > 60)) for p in (before, after)]
        assert spans[1] == pytest.approx(0.7 * spans[0], abs=2.1)


def test_noise_is_as_strong_as_it_says(images) -> None:
    changed = (corrupted("impulse_noise", images) != images).float().mean().item()
    assert 0.1 < changed < 0.2  # half of a fifth of the paper stays paper
    photons = corrupted("shot_noise", images).float()[images == 255]
    assert (photons == 0).float().mean().item() == pytest.approx(math.exp(-3), abs=0.01)


def test_lines_only_add_ink(images) -> None:
    for kind in ("dotted_line", "zigzag"):
        added = corrupted(kind, images).int() - images.int()
        assert added.min() >= 0 and 10 < (added > 100).flatten(1).sum(1).float().mean() < 60


def test_edges_of_a_square_are_its_outline() -> None:
    square = torch.zeros(1, 28, 28, dtype=torch.uint8)
    square[:, 8:20, 8:20] = 255
    edges = corrupted("canny_edges", square)[0].numpy() > 0
    rim = ndimage.binary_dilation(square[0] > 0, iterations=2)
    rim &= ~ndimage.binary_erosion(square[0] > 0, iterations=2)
    assert edges.sum() >= 40 and not (edges & ~rim).any()
    assert ndimage.binary_fill_holes(edges).sum() > 100  # it is closed


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_ways_of_making_worse(images, way) -> None:
    x = images.float() / 255
    worse = way(x.clone(), Generator().manual_seed(0))
    assert worse.shape == x.shape and worse.isfinite().all()
    share = (worse - x).abs().flatten(1).amax(1).gt(0.01).float().mean()
    assert share > 0.3  # a small rectangle may miss the digit


def test_a_share_is_made_worse(images) -> None:
    x = images.float()
    assert degraded(images, 0, Generator()) is images
    worse = degraded(x.clone(), 0.4, Generator().manual_seed(0))
    assert worse.min() >= 0 and worse.max() <= 255
    share = (worse != x).flatten(1).any(1).float().mean().item()
    assert share == pytest.approx(0.4, abs=0.06)
    assert torch.equal(worse, degraded(x.clone(), 0.4, Generator().manual_seed(0)))


def test_strangers_are_ones_or_nothing() -> None:
    x, y = strangers.strangers(3000, Generator().manual_seed(0))
    assert x.shape == (3000, 28, 28) and x.min() >= 0 and x.max() <= 255 and x.isfinite().all()
    assert set(y.tolist()) == {1, strangers.NONE}
    assert (y == 1).float().mean().item() == pytest.approx(
        strangers.KINDS[strangers.ones], abs=0.03
    )
    assert sum(strangers.KINDS.values()) == pytest.approx(1)
    for kind in strangers.KINDS:
        assert len(kind(5, Generator().manual_seed(1)).unique(dim=0)) > 1, kind.__name__


def test_augmented_batches_carry_their_labels(images, digits) -> None:
    task = tasks.get("mnist")
    y = torch.tensor(digits.test_labels[:400]).long()
    hparams = task.hparams(strangers=0.25, far=0.5, degrade=0.5)
    x, labels = task.augment(images, y, hparams, Generator().manual_seed(0))
    assert len(x) == len(labels) == 500 and torch.equal(labels[:400], y)
    assert set(labels[400:].tolist()) == {1, strangers.NONE}
    moved = task.augment(
        images, y, task.hparams(strangers=0, far=0.5, degrade=0), Generator().manual_seed(0)
    )[0]
    change = (moved - images).abs().flatten(1).mean(1)
    assert change[:200].mean() > 1.3 * change[200:].mean()
    still = {"rotate": 0, "scale": 0, "shear": 0, "shift": 0}
    plain = task.hparams(strangers=0, far=0, degrade=0, **still)
    same, _ = task.augment(images, y, plain, Generator())
    assert torch.equal(same, images)


def test_temperature_is_found_again() -> None:
    random = np.random.default_rng(0)
    true = random.normal(0, 2, (20_000, 10))
    shares = np.exp(true) / np.exp(true).sum(1, keepdims=True)
    y = (shares.cumsum(1) < random.random((20_000, 1))).sum(1)
    assert calibration.temperature(3 * true, y) == pytest.approx(3, rel=0.03)
    honest, boastful = (Reliability.of(p, y) for p in (shares, np.eye(10)[shares.argmax(1)]))
    assert honest.error < 0.015 < 0.1 < boastful.error
    assert honest.counts.sum() == 20_000


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    found = Reliability.of(probabilities, np.array([0, 1, 0, 0]))
    # bins 13 (two of 0.9, one right), 9 (0.6, right), 10 (0.7, wrong)
    assert found.error == pytest.approx((2 * 0.4 + 0.4 + 0.7) / 4)
    assert found.overall == pytest.approx(0.5)


def test_auroc_by_counting() -> None:
    random = np.random.default_rng(0)
    known, unknown = random.integers(0, 20, 60), random.integers(-5, 12, 40)
    pairs = [(k > u) + 0.5 * (k == u) for k in known for u in unknown]
    assert calibration.auroc(known, unknown) == pytest.approx(np.mean(pairs))
    high, low = np.linspace(1, 2, 10_001, dtype=np.float32), np.zeros(2001, np.float32)
    assert calibration.auroc(high, low) == 1


def test_what_is_no_digit() -> None:
    kinds = nondigits.nondigits(50)
    assert {"blank", "uniform noise", "Gaussian noise", "scribbles", "drawn letters"} <= set(kinds)
    again = nondigits.nondigits(50)
    for kind, pictures in kinds.items():
        assert pictures.dtype == torch.uint8 and pictures.shape[1:] == (28, 28)
        assert torch.equal(pictures, again[kind])
    assert not kinds["blank"][0].any()


def test_fashion_mnist_is_asked_where_it_is(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("FASHION_MNIST_DIR", str(tmp_path))
    assert nondigits.fashion(False) is None
    assert "Fashion-MNIST" not in nondigits.nondigits(2)


def test_fashion_mnist_is_read() -> None:
    clothes = nondigits.fashion(test=True)
    if clothes is None:
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    assert clothes.shape == (10_000, 28, 28) and clothes.dtype == torch.uint8
    assert not torch.equal(clothes[0], nondigits.fashion(test=False)[0])


def says(digit: int, score: float):
    """A reader that always says the same."""

    def read(images: np.ndarray) -> dict[str, np.ndarray]:
        share = np.full((len(images), 10), 0.01)
        share[:, digit] = 0.91
        return {"probabilities": share, "score": np.full(len(images), score)}

    return read


def test_card_of_one_who_always_says_three(digits) -> None:
    y = digits.test_labels[:200].astype(int)
    exam = Exam.prepare(digits.test_images[:200], y, each=100, pens=(12, 30))
    card = robustness.examine(says(3, 1.0), exam, threshold=2.0)
    threes = (y[:100] == 3).mean()
    assert set(card.corruptions) == set(CORRUPTIONS)
    assert set(card.corruptions.values()) == {threes} and set(card.kept.values()) == {0.0}
    assert card.drawings.shape == (10, 2) and card.drawings[3].tolist() == [1, 1]
    assert card.drawings.sum() == 2
    assert {r.refused for r in card.refusals.values()} == {1.0}
    assert {r.auroc for r in card.refusals.values()} == {0.5}
    assert card.reliability.error == pytest.approx(abs(0.91 - (y == 3).mean()))
    assert all(tile.said == 3 != tile.truth for tile in card.tiles) and len(card.tiles) == 15
    numbers = card.numbers()
    assert numbers["corruption/fog"] == numbers["corruption/least"] == threes
    assert numbers["drawings/mean"] == pytest.approx(0.1)


def test_calibration_sets_temperature_and_threshold(small) -> None:
    task, splits = tasks.get("mnist"), small("mnist")
    net = task.build(splits, task.hparams())
    val = Split(torch.tensor(splits.val.x), torch.tensor(splits.val.y))
    before = task.outputs(net.eval(), val.x)["logits"]
    facts = task.calibrate(net, val)
    after = task.outputs(net, val.x)
    torch.testing.assert_close(after["logits"] * facts["temperature"], before)
    refused = (after["score"] < facts["score_threshold"]).float().mean().item()
    assert refused == pytest.approx(robustness.REFUSED, abs=1 / len(val.x))
    assert facts["refused_digits"] == pytest.approx(refused)


def test_a_run_logs_its_robustness_card(trained, store) -> None:
    version = store.get_model_version_by_alias("mnist", "champion")
    run = store.get_run(version.run_id)
    figures = {f.path for f in store.list_artifacts(version.run_id, "figures/robustness")}
    names = ("corruptions", "drawings", "reliability", "refusals", "worst-tiles")
    assert figures == {f"figures/robustness/{name}.png" for name in names}
    assert "robustness.md" in {f.path for f in store.list_artifacts(version.run_id)}
    measured = {
        k.removeprefix("robustness/") for k in run.data.metrics if k.startswith("robustness/")
    }
    assert {"corruption/mean", "drawings/mean", "refused/blank", "test_ece"} <= measured
    gate = client(trained).get_model_version_by_alias("gate", "champion")
    assert not any(k.startswith("robustness/") for k in store.get_run(gate.run_id).data.metrics)


@pytest.fixture(scope="module")
def graph(trained) -> onnx.ModelProto:
    return onnx.load(trained / "model.onnx")


def read_with(graph: onnx.ModelProto, images: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": images}), strict=True))


def test_graph_refuses_what_is_no_digit(graph, digits) -> None:
    import json

    facts = json.loads({p.key: p.value for p in graph.metadata_props}["facts"])
    threshold = facts["score_threshold"]
    kinds = nondigits.nondigits(200, test=True)
    assert (read_with(graph, kinds["blank"].numpy())["score"] < threshold).all()
    for kind in ("uniform noise", "drawn letters", "scribbles"):
        refused = (read_with(graph, kinds[kind].numpy())["score"] < threshold).mean()
        assert refused > 0.6, kind  # after one epoch
    kept = (read_with(graph, digits.test_images[:2000])["score"] >= threshold).mean()
    assert kept == pytest.approx(1 - robustness.REFUSED, abs=0.01)


def test_int8_says_nearly_the_same(graph, digits) -> None:
    small = precision.int8(graph, digits.train_images[:500])
    assert len(small.SerializeToString()) < 0.4 * len(graph.SerializeToString())
    assert list(small.metadata_props) == list(graph.metadata_props)
    ours, theirs = (read_with(g, digits.test_images) for g in (small, graph))
    right = [(o["logits"].argmax(1) == digits.test_labels).mean() for o in (ours, theirs)]
    assert right[0] == pytest.approx(right[1], abs=0.002)
    assert list(ours) == list(theirs)
