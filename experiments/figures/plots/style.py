"""One style for every figure: colours safe for colour-blind readers, sizes legible on a slide.

Colours: M. Okabe and K. Ito, "Color Universal Design", 2008. Contrast: W3C, "Web Content
Accessibility Guidelines 2.2", success criterion 1.4.3.
"""

from collections.abc import Sequence
from io import BytesIO, StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

from experiments.evaluation.arrays import Real

Color = str | Sequence[float] | np.ndarray
Look = dict[str, Any]  # keyword arguments of matplotlib's functions

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, GREY, INK, PAPER = "#56B4E9", "#737373", "#222222", "#FFFFFF"
DPI = 110
COLORS = (BLUE, VERMILION, GREEN, ORANGE, SKY, INK)  # of the curves of one panel
LINES = ("-", "--", "-.", ":")

# Blue is 0 or negative, white the middle, vermilion 1 or positive.
DIVERGING = LinearSegmentedColormap.from_list("blue_vermilion", [BLUE, "#F7F7F7", VERMILION])

DARK, LIGHT_INK = "#1B1B1B", "#E8E8E8"  # background and text of a dark figure
# All other colours stay.
ON_DARK = {"#000000": LIGHT_INK, INK: LIGHT_INK, PAPER: DARK, GREY: "#A6A6A6"}
ON_DARK |= {BLUE: SKY, VERMILION: "#EE7733"}


def figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure of `width` x `height` inches under `title`, wrapped if it is long."""
    fig = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor=PAPER)
    fig.suptitle(title, fontsize=14, fontweight="bold", color=INK, wrap=True)
    return fig


def tidy(axes: Axes, title: str = "", x: str = "", y: str = "") -> Axes:
    """Label the axes and hide the top and right spines."""
    axes.set_title(title, fontsize=11, color=INK)
    axes.set_xlabel(x, fontsize=11)
    axes.set_ylabel(y, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10)
    return axes


def bare(axes: Axes, title: str = "") -> Axes:
    """Leave only a title: for images, which need no scale."""
    axes.set_title(title, fontsize=10, color=INK)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def note(figure: Figure, text: str) -> None:
    """Write how to read the figure below it."""
    figure.supxlabel(text, fontsize=10, color=INK)


def legend(figure: Figure) -> None:
    """Put the legend of the figure's panels below it."""
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=10)


def look(number: int) -> Look:
    """Return colour and line style of the curve of that number: 24 differ."""
    line = LINES[(number + number // len(COLORS)) % len(LINES)]
    return {"color": COLORS[number % len(COLORS)], "linestyle": line}


def percent(fraction: Real) -> str:
    """Return a fraction as text that is "0%" or "100%" only if it is none or all."""
    if np.isnan(fraction):
        return "–"
    if fraction in (0, 1):
        return f"{fraction:.0%}"
    if fraction < 0.0005:
        return "<0.1%"
    return ">99.9%" if fraction >= 0.9995 else f"{fraction:.1%}"


def decimal(value: Real, places: int) -> str:
    """Return a number with so many decimals, and a minus sign instead of a hyphen."""
    return f"{value:z.{places}f}".replace("-", "\N{MINUS SIGN}")


def two_digits(value: Real) -> str:
    """Return a positive number with two significant digits and no exponent: "0.0000042"."""
    return np.format_float_positional(value, 2, fractional=False)


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG file at `DPI`; the same figure gives the same bytes.

    The layout is fixed from then on: an SVG has the same.
    """
    file = BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    figure.set_layout_engine("none")
    return file.getvalue()


def svg(figure: Figure) -> str:
    """Return the figure as an SVG document; the same figure gives the same text.

    Letters are drawn as paths: the figure looks the same where its font is missing.
    """
    file = StringIO()
    with mpl.rc_context({"svg.hashsalt": "experiments.figures.plots", "svg.fonttype": "path"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Title": figure.get_suptitle()})
    return file.getvalue()


def dark(svg: str) -> str:
    """Return an SVG of `svg` for a dark page, in the colours of `ON_DARK`."""
    # matplotlib names no colour where it is black: what has none inherits it from the root.
    svg = svg.replace("<svg ", f'<svg fill="{LIGHT_INK}" ', 1)
    for light, other in ON_DARK.items():
        svg = svg.replace(light.lower(), other.lower())
    return svg


def legible(background: Color) -> str:
    """Return black or white, whichever is easier to read on a colour."""
    return max(("#000000", PAPER), key=lambda ink: contrast(ink, background))


def contrast(one: Color, other: Color) -> float:
    """Return the contrast of two colours, 1 (none) to 21 (black on white), by WCAG 2.2."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: Color) -> float:
    channels = np.array(to_rgba(color)[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
