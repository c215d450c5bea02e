"""The rows of a truth table in the input space, and where the hidden layer puts them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.evaluation.arrays import Array
from experiments.figures.analysis.gate_slices import letter
from experiments.figures.analysis.gate_spaces import HiddenSpace
from experiments.figures.analysis.gates import bits
from experiments.figures.plots import style
from experiments.figures.plots.surface_grid import MARKERS

MAX_NAMED = 8  # rows with their bits
Points = Float[Array, "rows 2"]


def hidden_space(
    labels: Sequence[str],
    x: Float[Array, "rows inputs"],
    y: Float[Array, "rows gates"],
    space: HiddenSpace,
    separable: Sequence[bool],
) -> Figure:
    """Return each gate's rows in the input space (above) and in the hidden space (below).

    Args:
        labels: of at most 4 gates.
        x, y: 0 or 1, rows in counting order.
        separable: for each gate, whether a hyperplane separates its rows in the input space.
    """
    correct = np.all((space.distance > 0) == (y > 0.5), axis=0)
    gates = len(labels)
    fig = style.figure(max(6.5, 0.8 + 2.5 * gates), 6.6, _title(labels, correct, separable))
    panels = fig.subplots(2, gates, squeeze=False)
    for gate, label in enumerate(labels):
        inputs, hidden = panels[:, gate]
        style.tidy(inputs, f"{label}: separable" if separable[gate] else f"{label}: not separable")
        _draw_inputs(inputs, x, y[:, gate])
        across = f"component 1 ({space.explained[gate]:.0%})"
        title = "hidden space: separated" if correct[gate] else "hidden space: not separated"
        style.tidy(hidden, title, "distance to boundary", across)
        hidden.title.set_fontsize(10)
        hidden.axvline(0, color=style.INK, lw=2)
        points = np.stack([space.distance[:, gate], space.component[:, gate]], 1)
        _draw_rows(hidden, points, x, y[:, gate])
        hidden.margins(0.34, 0.24)
        hidden.locator_params(nbins=4)
        if np.ptp(points[:, 1]) < 1e-9:
            hidden.set_ylim(-1, 1)
    style.note(
        fig,
        "circle, vermilion: target 1; square, blue: target 0. Above: input space.\n"
        "Below: hidden space; the output is 1 to the right of the thick line, the boundary",
    )
    return fig


def _title(labels: Sequence[str], correct: np.ndarray, separable: Sequence[bool]) -> str:
    """Return which gates the hidden layer fails to separate, or else which ones need it."""
    failed = [label for label, ok in zip(labels, correct, strict=True) if not ok]
    hard = [label for label, simple in zip(labels, separable, strict=True) if not simple]
    if failed:
        return f"{', '.join(failed)}: not separated in hidden space"
    if hard:
        return f"{', '.join(hard)}: linearly separable only in hidden space"
    return f"{', '.join(labels)}: linearly separable already in input space"


def _draw_inputs(axes: Axes, x: Float[Array, "rows n"], y: Float[Array, " rows"]) -> None:
    """Draw the rows on a grid whose neighbours differ in one input: for n = 2 the square."""
    n = x.shape[1]
    half = (n + 1) // 2
    points = np.stack([gray_order(x[:, :half]), gray_order(x[:, half:])], 1)
    _draw_rows(axes, points.astype(float), x, y)
    letters = "".join(map(letter, range(n)))
    for axis, names in ((axes.xaxis, letters[:half]), (axes.yaxis, letters[half:])):
        width = len(names)
        codes = [f"{i ^ (i >> 1):0{width}b}" for i in range(2**width)] if 0 < width <= 3 else []
        axis.set_ticks(range(len(codes)), codes)
        axis.set_label_text(f"input {names}" if names else "", fontsize=11)
    axes.set(xlim=(-0.5, 2**half - 0.5), ylim=(-0.5, 2 ** (n - half) - 0.4))


def gray_order(bits: Float[Array, "rows n"]) -> Int[Array, " rows"]:
    """Return each row's index in Gray code, where neighbours differ in one bit."""
    binary = bits.astype(int).cumsum(1) % 2  # the prefix XOR decodes a Gray code
    return np.asarray(binary @ (2 ** np.arange(bits.shape[1])[::-1]))


def _draw_rows(
    axes: Axes, points: Points, x: Float[Array, "rows n"], y: Float[Array, " rows"]
) -> None:
    """Draw a marker for each row; few rows have their bits as labels."""
    size = 130 if len(x) <= 16 else 2000 / len(x)
    for one, (marker, color) in MARKERS.items():
        look: style.Look = {"color": color, "marker": marker, "edgecolors": style.PAPER}
        mine = points[(y > 0.5) == one]
        axes.scatter(mine[:, 0], mine[:, 1], size, lw=1, zorder=3, **look)
    if len(x) > MAX_NAMED:
        return
    for rows in _clusters(points):
        names = [bits(x[row]) for row in rows]
        text = "\n".join(", ".join(names[i : i + 3]) for i in range(0, len(names), 3))
        spot = (points[rows, 0].mean(), points[rows, 1].max())
        above: style.Look = {"xytext": (0, 8), "textcoords": "offset points", "ha": "center"}
        axes.annotate(text, spot, va="bottom", fontsize=10, **above).set_in_layout(False)


def _clusters(points: Points) -> list[Int[Array, " members"]]:
    """Return groups of rows so close together that one label must do."""
    from scipy.cluster.hierarchy import fclusterdata

    reach = np.maximum(np.ptp(points, axis=0), 1e-6) * (0.3, 0.2)
    number = fclusterdata(
        points / reach, 1, criterion="distance", metric="chebyshev", method="single"
    )
    return [np.flatnonzero(number == each) for each in np.unique(number)]
