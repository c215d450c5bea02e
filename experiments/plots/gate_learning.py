"""How gate networks learn: their surfaces through training, in one picture and in motion."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.plots import gate_film, gate_planes, style

GAP = (6, 6)  # points of a surface between panels
FRAMES = 40  # of a replay, at most


def finding(label: str, since: int | None) -> str:
    """Return from when on a gate's rows are all right, in words."""
    if since is None:
        return f"{label}: not every row right at the end"
    return f"{label}: right from epoch {since} on" if since else f"{label}: right from the start"


def through_training(
    labels: Sequence[str],
    steps: Sequence[int],
    target: np.ndarray,
    probability: np.ndarray,
    weights: Mapping[str, np.ndarray],
    since: Sequence[int | None],
    line: np.ndarray,
    cut: str = "a, b",
) -> Figure:
    """Return the decision surfaces of gates, a row each, at steps of their training, a column each.

    Args:
        labels: of at most 4 gates; the title is that of the one learned last.
        steps: T of them, at most 8, in epochs.
        target: float [4, gates], true outputs of the rows 00, 01, 10, 11.
        probability: float [T, gates, S, S] of a 1, b by a.
        weights: weight1 [T, gates, hidden, 2], bias1 and weight2 [T, gates, hidden].
        since: the epoch from which on every row is right, None for never.
        line: float [S], the values of each input.
        cut: name of the surfaces' plane; for n > 2 for instance "a, b | c=1", with its `weights`.
    """
    first = {name: np.swapaxes(weights[name], 0, 1) for name in ("weight1", "bias1", "weight2")}
    gates, count, side = len(labels), len(steps), len(line)
    when = [math.inf if epoch is None else epoch for epoch in since]
    latest = when.index(max(when))
    title = finding(labels[latest], since[latest])
    if gates > 1 and since[latest]:
        title = title.replace(":", " is learned last:", 1)
        title = f"Of these {gates}, {title} (the first: {min(when):.0f})"
    made = style.figure(
        max(5.8, 2.7 + 0.92 * count), (1.75 if count > 4 else 2.45) + 0.95 * gates, title
    )
    axes = made.subplots()
    corners = np.broadcast_to(target.T[:, None] > 0.5, (gates, count, 4))
    image = gate_planes.mosaic(axes, np.swapaxes(probability, 0, 1), corners, line, GAP, first)
    pair, _, rest = cut.partition(" | ")
    right, upwards = pair.split(", ")
    style.tidy(axes, "", f"input {right}" + f"  ({rest})" * bool(rest), f"input {upwards}")
    spots = (np.array([0, 1]) - line[0]) / (line[1] - line[0])
    across = [gate_planes.place(0, i, gates, side, GAP)[1] for i in range(count)]
    up = [gate_planes.place(i, 0, gates, side, GAP)[0] for i in range(gates)]
    axes.set_xticks([left + spot for left in across for spot in spots], ["0", "1"] * count)
    axes.set_yticks([low + spot for low in up for spot in spots], ["0", "1"] * gates)
    for left, step in zip(across, steps, strict=True):
        axes.text(left + side / 2, up[0] + side + 3, f"epoch {step}", ha="center", fontsize=10.5)
    for low, label, solved in zip(up, labels, since, strict=True):
        said = finding(label, solved).replace(": ", "\n").replace(" from epoch", " from\nepoch")
        said = said.replace("every row ", "every row\n")
        axes.text(across[-1] + side + 4, low + side / 2, said, va="center", fontsize=10.5)
    axes.spines[:].set_visible(False)
    hidden = weights["bias1"].shape[-1]
    which = f"the {gate_planes.MOST_UNITS} strongest of {hidden} hidden units'"
    which = which if hidden > gate_planes.MOST_UNITS else "a hidden unit's"
    caption = gate_planes.CAPTION if count > 4 else gate_planes.CAPTION.replace("; ", "\n")
    made.supxlabel(
        f"{caption}\ndashed: {which} zero line, its tick on the positive side",
        fontsize=10,
        color=style.INK,
    )
    made.colorbar(image, ax=axes, label="probability of a 1", pad=0.02)
    return made


def replay(
    label: str,
    steps: Sequence[int],
    loss: np.ndarray,
    target: np.ndarray,
    probability: np.ndarray,
    weights: Mapping[str, np.ndarray],
    since: int | None,
    line: np.ndarray,
    plane: Mapping[str, np.ndarray] | None = None,
    cut: str = "a, b",
) -> bytes:
    """Return one gate's training as an animated GIF: surface, loss and weights in motion.

    Args:
        label: name of the gate.
        steps: T of them, in epochs, ascending; of more than 40, 40 are shown.
        loss: float [T], in nats.
        target: float [4], true outputs at the surface's corners 00, 01, 10, 11.
        probability: float [T, S, S] of a 1, b by a.
        weights: weight1 [T, hidden, n], bias1 and weight2 [T, hidden], bias2 [T].
        since: the epoch from which on every row is right, None for never.
        line: float [S], the values of each input.
        plane: for n > 2, the weights that the network has on the surface's plane (n = 2).
        cut: name of that plane, for instance "a, b | c=1".
    """
    shown = np.unique(np.linspace(0, len(steps) - 1, min(FRAMES, len(steps))).round().astype(int))
    film = gate_film.Film(label, finding(label, since), weights, cut)
    film.draw_loss(steps, loss, since)
    film.draw_corners(target, line)
    frames = [
        film.frame(i, steps[i], float(loss[i]), probability[i], plane or weights, line)
        for i in shown
    ]
    return gate_film.gif(frames)
