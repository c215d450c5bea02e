"""Digits and letters of simulated hands: their shapes, their ink, and that they repeat."""

import numpy as np
import pytest
import torch
from torch import Generator
from torch.nn.functional import max_pool2d

from experiments import tasks
from experiments.data import hands, idx, pen_shapes
from experiments.data.outlier_exposure import LETTERS
from experiments.data.strokes import Drawing, render
from experiments.training.config import RunConfig
from experiments.training.trainer import Trainer
from models.canvas import Canvas
from tests.test_mnist import NAMES

STILL = hands.Hand(0, 1, 0, 0, 0, 0, 0, 0, pens=(0.1, 0.1), polygons=1, boxes=0, soft=0)


def test_there_is_every_digit_and_no_letter_that_looks_like_one() -> None:
    assert list(pen_shapes.DIGITS) == list("0123456789")
    assert set(pen_shapes.LETTERS) == set(LETTERS)
    assert min(map(len, pen_shapes.DIGITS.values())) >= 10


def test_drawings_repeat_with_their_seed_and_differ() -> None:
    (x, y), (again, _) = (hands.digits.__wrapped__(90, 3) for _ in range(2))
    assert x.shape == (90, 28, 28) and x.dtype == torch.uint8
    assert torch.equal(x, again) and len(x.unique(dim=0)) == 90
    assert set(y.tolist()) == set(range(10))
    assert not torch.equal(x, hands.digits.__wrapped__(90, 4)[0])
    ink = x.float().flatten(1).mean(1) / 255
    assert ink.min() > 0.01 and ink.max() < 0.5


@pytest.mark.parametrize("text", ["1010 9090", "1505 8505 8505 8595 | 2050 5080", "5000 5099"])
def test_a_still_hand_draws_as_a_round_pen_does(text: str) -> None:
    """Compared with the drawing of the same polygon by Pillow, through the same preprocessing."""
    found = hands.draw(hands.Shapes([text]), torch.tensor([0]), Generator().manual_seed(0), STILL)
    strokes = [[(int(n[:2]), int(n[2:])) for n in s.split()] for s in text.split("|")]
    lines = tuple(np.array(stroke, np.float32) / 99 * 0.6 + 0.2 for stroke in strokes)
    longest = np.ptp(np.concatenate(lines), axis=0).max()
    canvas = render(Drawing("", text, lines), pen=float(400 * longest * 0.1))
    expected, _, _ = Canvas()(torch.from_numpy(canvas))
    assert found.float().mean().item() == pytest.approx(expected.float().mean().item(), rel=0.12)
    for ink, other in ((found, expected), (expected, found)):  # but for a pixel
        near = max_pool2d(other.float(), 3, 1, 1)
        assert (near[ink > 100] > 100).all()


@pytest.mark.parametrize(("given", "expected"), [((), 0.0), (("pen_ratio",), 0.5)])
def test_other_labels_than_mnists_get_no_drawn_digits(tmp_path, given, expected) -> None:
    random = np.random.default_rng(0)
    for name, count in zip(NAMES, (60, 60, 20, 20), strict=True):
        shape = (count, 28, 28) if "images" in name else (count,)
        (tmp_path / name).write_bytes(idx.pack(random.integers(0, 10, shape).astype(np.uint8)))
    task = tasks.get("mnist")
    config = RunConfig(
        task=task,
        data=task.data_options(data_dir=tmp_path),
        recipe="default",
        hparams=task.hparams(pen_ratio=0.5),
        fixed=frozenset(given),
        objectives=(task.objective,),
    )
    assert Trainer.prepare(config).hparams.pen_ratio == expected
