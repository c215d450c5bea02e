"""The loss around a training's trajectory, on the plane of its two principal components."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.figures.analysis.gate_spaces import Landscape
from experiments.figures.plots import style

MIN_LOSS = 1e-8  # of the colours


def landscape(
    label: str, epochs: Sequence[int], plane: Landscape, ends: tuple[float, float]
) -> Figure:
    """Return the loss on the plane that holds most of a trajectory, and that trajectory.

    Args:
        label: name of the gate.
        ends: loss at the start and at the end of the trajectory, in nats.
    """
    start, end = map(style.two_digits, ends)
    fig = style.figure(8.2, 6.2, f"{label}: the loss falls from {start} to {end} nats")
    axes = fig.subplots()
    height = np.log10(np.maximum(plane.loss, MIN_LOSS))
    levels = np.linspace(height.min(), height.max() + 1e-6, 25)
    filled = axes.contourf(plane.first, plane.second, height, levels, cmap="viridis")
    path, explained = plane.path, plane.explained
    axes.plot(*path.T, color=style.PAPER, lw=3.6)
    axes.plot(*path.T, color=style.VERMILION, lw=1.8, marker="o", markersize=4.5)
    box: style.Look = {
        "boxstyle": "round,pad=0.25",
        "facecolor": style.PAPER,
        "alpha": 0.9,
        "lw": 0,
    }
    bold: style.Look = {"fontsize": 11, "fontweight": "bold", "bbox": box}
    ends_drawn = ((path[0], "start", "s", 9), (path[-1], f"end, epoch {epochs[-1]}", "*", 17))
    for point, text, marker, size in ends_drawn:
        axes.plot(*point, marker, markersize=size, color=style.VERMILION, mec=style.PAPER)
        # The label is on the side where there is more room.
        side = 1 if point[0] < plane.first.mean() else -1
        align = "left" if side > 0 else "right"
        offset: style.Look = {"xytext": (12 * side, 14), "textcoords": "offset points", "ha": align}
        axes.annotate(text, point, **offset, **bold)
    names = [f"principal component {i + 1} ({explained[i]:.1%} of variance)" for i in range(2)]
    style.tidy(axes, "", *names)
    axes.set_aspect("equal")
    fig.colorbar(filled, ax=axes, label="log10 of the loss (nats)", format="%.1f")
    covered = f"{explained.sum():.1%} of the trajectory's variance is on this plane"
    style.note(fig, f"{covered}; dots: epochs")
    return fig
