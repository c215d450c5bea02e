"""One look for every figure: colours safe for colour-blind eyes, sizes legible on a slide.

Colours: M. Okabe and K. Ito, "Color Universal Design", 2008. Contrast: W3C, "Web Content
Accessibility Guidelines 2.2", success criterion 1.4.3.
"""

from io import BytesIO, StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import Collection
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation, Text

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, GREY, INK, PAPER = "#56B4E9", "#737373", "#222222", "#FFFFFF"
DPI = 110
COLORS = (BLUE, VERMILION, GREEN, ORANGE, SKY, INK)  # of curves that stand together
LINES = ("-", "--", "-.", ":")

# 0 is blue, undecided is white, 1 is orange: for probabilities and for signs.
DIVERGING = LinearSegmentedColormap.from_list("blue_orange", [BLUE, "#F7F7F7", VERMILION])

# Viridis for lines: without the end that would not be seen on the ground.
_VIRIDIS = mpl.colormaps["viridis"]
SEQUENTIAL = LinearSegmentedColormap.from_list("on_paper", _VIRIDIS(np.linspace(0, 0.85, 64)))
_SEQUENTIAL_DARK = LinearSegmentedColormap.from_list("on_dark", _VIRIDIS(np.linspace(0.3, 1, 64)))

DARK = "#1B1B1B"  # the ground of a dark figure
LEGIBLE = 4.5  # contrast that small text needs
# What a neutral colour becomes on the dark ground; all others mean something and stay.
_ON_DARK = {INK.lower(): "#E8E8E8", "#000000": "#E8E8E8", PAPER.lower(): DARK, GREY: "#A6A6A6"}


def figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure of `width` x `height` inches under `title`, wrapped if it is long."""
    made = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor=PAPER)
    made.suptitle(title, fontsize=14, fontweight="bold", color=INK, wrap=True)
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


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG file at `DPI`; the same figure gives the same bytes.

    The first file settles the layout: another format, or another look, has it as well.
    """
    file = BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    figure.set_layout_engine("none")
    return file.getvalue()


def svg(figure: Figure) -> str:
    """Return the figure as an SVG document; the same figure gives the same text; else as `png`.

    Letters are drawn as paths: the picture looks the same where its font is missing.
    """
    file = StringIO()
    with mpl.rc_context({"svg.hashsalt": "experiments.plots", "svg.fonttype": "path"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Title": figure.get_suptitle()})
    figure.set_layout_engine("none")
    return file.getvalue()


def contrast(one: Any, other: Any) -> float:
    """Return the contrast of two colours, 1 (none) to 21 (black on white), by WCAG 2.2."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def dark(figure: Figure) -> None:
    """Recolour a figure of this style for a dark page, in place.

    Paper becomes `DARK`, ink becomes light; colours of data, and all that is drawn upon images,
    keep their meaning and stay. Text is then judged on the ground that it really stands on, and
    changed where it could not be read.
    """
    light = _ON_DARK[INK.lower()]
    for axes in figure.axes:
        axes.tick_params(which="both", color=light, labelcolor=light)
    on_images = {part for axes in figure.axes if axes.images for part in _drawn(axes)}
    for part in figure.findobj():
        if part not in on_images:
            _recolour(part)
    _make_legible(figure)


def _drawn(axes: Axes) -> list[Artist]:
    """Return what is drawn in the axes, without their frame and their words."""
    return [*axes.lines, *axes.collections, *axes.patches]


def _recolour(part: Artist) -> None:
    if isinstance(part, Line2D):
        part.set_color(_flipped(part.get_color()))
        part.set_markerfacecolor(_flipped(part.get_markerfacecolor()))
        part.set_markeredgecolor(_flipped(part.get_markeredgecolor()))
    elif isinstance(part, Patch):
        face, edge = part.get_facecolor(), part.get_edgecolor()
        part.set_facecolor(_flipped(face))
        part.set_edgecolor(_flipped(edge))
    elif isinstance(part, Collection) and part.get_array() is None:
        part.set_facecolor([_flipped(color) for color in part.get_facecolor()])
        part.set_edgecolor([_flipped(color) for color in part.get_edgecolor()])
    elif isinstance(part, Collection) and part.get_cmap() is SEQUENTIAL:
        part.set_cmap(_SEQUENTIAL_DARK)
    elif isinstance(part, Text):
        inner: list[Patch | None] = [part.get_bbox_patch()]
        inner += [part.arrow_patch] if isinstance(part, Annotation) else []
        for patch in inner:
            if patch is not None:
                _recolour(patch)


def _flipped(color: Any) -> Any:
    """Return what `color` becomes on the dark ground; its transparency stays."""
    if isinstance(color, str) and color.lower() in ("none", "auto"):
        return color
    *_, alpha = to_rgba(color)
    if not alpha:
        return "none"
    other = _ON_DARK.get(to_hex(color))
    return (*to_rgba(other)[:3], alpha) if other else color


def _make_legible(figure: Figure) -> None:
    """Give each text the nearest of its colours that can be read on what lies beneath it."""
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    before = [text.get_alpha() for text in texts]
    canvas = FigureCanvasAgg(figure)
    for text in texts:
        text.set_alpha(0)  # laid out, but not drawn
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[::-1, :, :3]  # row 0 is the lowest
    for text, alpha in zip(texts, before, strict=True):
        text.set_alpha(alpha)
        ground = _ground(pixels, np.array(text.get_window_extent().extents))
        if ground is not None:
            text.set_color(_legible(text.get_color(), ground))


def _ground(pixels: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """Return the commonest colour, 0 to 1, in a box of `pixels`; None outside the picture."""
    left, low, right, high = np.clip(np.round(box), 0, None).astype(int)
    inside = pixels[low : high + 1, left : right + 1].reshape(-1, 3)
    if not len(inside):
        return None
    colors, counts = np.unique(inside, axis=0, return_counts=True)
    return colors[counts.argmax()] / 255


def _legible(color: Any, ground: np.ndarray) -> Any:
    candidates = [color, _flipped(color)]
    end = max(("#FFFFFF", "#000000"), key=lambda color: contrast(color, ground))
    mix = np.linspace(to_rgba(color)[:3], to_rgba(end)[:3], 21)  # towards white or black
    return next(c for c in [*candidates, *mix, end] if contrast(c, ground) >= LEGIBLE)


def _luminance(color: Any) -> float:
    channels = np.array(to_rgba(color)[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def look(number: int) -> dict[str, Any]:
    """Return colour and line of the curve of that number: 24 differ."""
    line = LINES[(number + number // len(COLORS)) % len(LINES)]
    return {"color": COLORS[number % len(COLORS)], "linestyle": line}


def percent(share: float) -> str:
    """Return a share in words that are "0%" or "100%" only if it is none or all."""
    if np.isnan(share):
        return "–"
    if share in (0, 1):
        return f"{share:.0%}"
    return "<0.1%" if share < 0.0005 else ">99.9%" if share >= 0.9995 else f"{share:.1%}"
