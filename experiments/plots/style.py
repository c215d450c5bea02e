"""One look for every figure: colours safe for colour-blind eyes, sizes legible on a slide.

Colours: M. Okabe and K. Ito, "Color Universal Design", 2008.
"""

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, GREY, INK, PAPER = "#56B4E9", "#8C8C8C", "#222222", "#FFFFFF"
DPI = 110

# 0 is blue, undecided is white, 1 is orange: for probabilities and for signs.
DIVERGING = LinearSegmentedColormap.from_list("blue_orange", [BLUE, "#F7F7F7", VERMILION])


def figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure of `width` x `height` inches under `title`."""
    made = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor=PAPER)
    made.suptitle(title, fontsize=14, fontweight="bold", color=INK)
    return made


def tidy(axes: Axes, title: str = "", x: str = "", y: str = "") -> Axes:
    """Name the axes and take away the two edges that say nothing."""
    axes.set_title(title, fontsize=11, color=INK)
    axes.set_xlabel(x, fontsize=11)
    axes.set_ylabel(y, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10)
    return axes


def bare(axes: Axes, title: str = "", color: str = INK) -> Axes:
    """Leave only a title: for pictures, which need no scale."""
    axes.set_title(title, fontsize=10, color=color)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return axes
