"""Decision surfaces of gate networks, one for each gate or slice."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from experiments.evaluation.arrays import Array
from experiments.figures.analysis.gate_slices import Slice
from experiments.figures.analysis.gates import LINE, Weights
from experiments.figures.plots import style
from experiments.figures.plots.mlp_diagram import strongest

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # (a, b) of the rows 00, 01, 10, 11
MARKERS = {True: ("o", style.VERMILION), False: ("s", style.BLUE)}  # by target
TICK = 0.09  # length of the mark on a hidden unit's positive side, in units of the inputs
COLUMNS = 4


def surfaces(
    subject: str,
    titles: Sequence[str],
    slices: Sequence[Slice],
    probability: Float[Array, "panels S S"],
) -> Figure:
    """Return one decision surface for each gate, or for each slice of a gate.

    Args:
        subject: what the figure is about.
        titles, slices: of the panels.
        probability: of a 1, from `gates.surfaces`.
    """
    count, columns = len(titles), min(COLUMNS, len(titles))
    rows = math.ceil(count / columns)
    target = np.stack([each.target for each in slices])
    at = np.abs(LINE[:, None] - [0, 1]).argmin(0)  # the corners' indices
    corners = probability[:, at][:, :, at].swapaxes(1, 2).reshape(count, 4)
    correct = int(((corners > 0.5) == target).sum())
    title = f"{subject}: {correct} of {target.size} corners correct"
    fig = style.figure(max(6.5, 2.2 * columns + 1), 2.2 * rows + 1.2, title)
    panels = fig.subplots(rows, columns, squeeze=False).ravel()
    for unused in panels[count:]:
        unused.set_visible(False)
    for i, axes in enumerate(panels[:count]):
        style.tidy(axes, titles[i], *slices[i].axes)
        image = draw_surface(axes, probability[i], target[i])
    key = "circle, vermilion: target 1; square, blue: target 0; thick line: probability 0.5"
    style.note(fig, key)
    fig.colorbar(image, ax=panels, label="probability of a 1", shrink=0.8, aspect=30)
    return fig


def learned(since: int | None) -> str:
    """Return since when all rows of a gate are correct, in words."""
    if since is None:
        return "not learned"
    return f"correct from epoch {since}" if since else "correct from the start"


def draw_surface(
    axes: Axes,
    probability: Float[Array, "S S"],
    target: Bool[Array, "4"],
    weights: Weights | None = None,
) -> AxesImage:
    """Draw a decision surface with the targets of its corners.

    Args:
        weights: weight1 [hidden, 2], bias1 and weight2 [hidden]: adds the units' zero lines.
    """
    ends = (LINE[0], LINE[-1])
    image = axes.imshow(
        probability,
        cmap=style.DIVERGING,
        vmin=0,
        vmax=1,
        origin="lower",
        extent=(*ends, *ends),
        interpolation="bilinear",
    )
    if probability.min() < 0.5 < probability.max():
        axes.contour(LINE, LINE, probability, [0.5], colors=style.INK, linewidths=2)
    if weights is not None:
        units = strongest(weights["weight2"])
        lines, ticks = zero_lines(weights["weight1"][units], weights["bias1"][units])
        for segments, width, dashes in ((lines, 1, (0, (5, 2))), (ticks, 2.6, "-")):
            look: style.Look = {"linewidths": width, "linestyles": dashes, "colors": style.INK}
            axes.add_collection(LineCollection(list(segments), **look), autolim=False)
    for (a, b), one in zip(CORNERS, target, strict=True):
        marker, color = MARKERS[bool(one)]
        axes.plot(a, b, marker, color=color, ms=9, mec=style.PAPER, mew=1.5)
    axes.set(xlim=ends, ylim=ends, xticks=(0, 1), yticks=(0, 1))
    axes.spines[:].set_visible(False)
    return image


def zero_lines(
    weight1: Float[Array, "hidden 2"], bias1: Float[Array, " hidden"]
) -> tuple[Float[Array, "lines 2 2"], Float[Array, "lines 2 2"]]:
    """Return where hidden units' sums are zero, and a tick on the positive side of each line.

    Each has two ends; the lines are longer than the square of a surface. A unit without weights
    has none.
    """
    size = np.linalg.norm(weight1, axis=1)
    weight1, bias1, size = weight1[size > 1e-9], bias1[size > 1e-9], size[size > 1e-9]
    normal = weight1 / size[:, None]
    # The point of each line that is nearest to the centre of the square.
    centre = np.full(2, 0.5)
    point = centre - normal * (normal @ centre + bias1 / size)[:, None]
    along = 2 * normal[:, ::-1] * [-1, 1]
    lines = np.stack([point - along, point + along], 1)
    return lines, np.stack([point, point + TICK * normal], 1)
