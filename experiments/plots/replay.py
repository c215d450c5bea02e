"""What the network said of the same few digits in the course of its training."""

import math
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from PIL import Image, ImageDraw, ImageFont

from experiments.plots import style
from experiments.plots.digits import EMPTY, certainty, mosaic

ACROSS = 5
ROW, CROWDED = 0.42, 0.19  # inches of a row; at least from one tick to the next
CELL, ZOOM, HEAD, LINE = 100, 3, 62, 20  # pixels of a frame: a digit's place, its head line
MARGIN = (CELL - 28 * ZOOM) // 2
STEP, REST = 500, 2000  # milliseconds of a frame, and of the last
SETTLED = 4  # frames of an animation with all right, after which only the last one follows
MANY = 0.8  # share of the digits that is worth a title


def course(
    shown: np.ndarray, y: np.ndarray, moments: np.ndarray, probabilities: np.ndarray
) -> Figure:
    """Return a row for each digit: its picture, and what was said of it at each moment.

    Args:
        shown: uint8 [N, 28, 28], N from 1 to 25.
        y: int [N], the true digits.
        moments: float [T], epochs trained, rising.
        probabilities: float [T, N, 10].
    """
    made = style.figure(11, 2.6 + (len(y) + 1) // 2 * ROW, title(y, moments, probabilities))
    half = (len(y) + 1) // 2
    panels = made.subplots(1, 2)
    for axes, part in zip(panels, (slice(0, half), slice(half, None)), strict=True):
        if len(y[part]):
            image = _strip(axes, half, shown[part], y[part], moments, probabilities[:, part])
        else:
            axes.set_axis_off()
    made.colorbar(image, ax=panels, label="probability of the true digit", shrink=0.7, pad=0.01)
    made.supxlabel(
        "below: epochs trained; in a cell: the digit that the network said; framed, on white: a "
        "wrong one\nThe probabilities are those before the temperature is set, after training.",
        fontsize=10,
        color=style.INK,
    )
    return made


def title(y: np.ndarray, moments: np.ndarray, probabilities: np.ndarray) -> str:
    """Return when most were right, and when the last one was right for good."""
    right = probabilities.argmax(2) == y
    counts = right.sum(1)
    early = int((counts >= MANY * len(y)).argmax()) if counts.max() >= MANY * len(y) else -1
    start = f"After {_epochs(moments[early])} {counts[early]} of {len(y)} are right"
    if not right[-1].all():
        missing = len(y) - counts[-1]
        return start + (f"; {missing} still wrong at the end" if early != -1 else " at the end")
    if right.all():
        return f"All {len(y)} are right from the first moment on"
    settled = len(right) - right[::-1].cumprod(0).sum(0)  # the first moment of being right for good
    return f"{start}; the last one is right for good from epoch {_short(moments[settled.max()])} on"


def _short(moment: float) -> str:
    return f"{moment:.0f}" if moment >= 10 else f"{moment:.2g}"


def _epochs(moment: float) -> str:
    return f"{_short(moment)} epoch{'s' * bool(moment != 1)}"


def _strip(
    axes: Axes,
    rows: int,
    shown: np.ndarray,
    y: np.ndarray,
    moments: np.ndarray,
    probabilities: np.ndarray,
) -> AxesImage:
    """Draw pictures and strips in one pair of axes, so that they cannot fall out of line.

    There is room for `rows`, so that both halves have one scale.
    """
    times, digits = len(moments), len(y)
    wide = min(0.5, 4.0 / (times + 1.8))  # inches of a moment
    tall = ROW / wide  # a picture is as wide as it is tall, in moments
    said = probabilities.argmax(2).T
    truth = probabilities[:, np.arange(digits), y].T
    image = axes.imshow(truth, cmap="viridis", vmin=0, vmax=1)
    ink = mosaic(shown, np.arange(digits)[:, None], 0, 0)
    where = (-0.7 - tall, -0.7, digits - 0.5, -0.5)
    axes.imshow(ink, cmap="gray_r", vmin=0, vmax=255, extent=where)
    style.tidy(axes, "", "", "true digit")
    axes.set(xlim=(-0.7 - tall, times - 0.5), ylim=(rows - 0.5, -0.5), aspect=tall)
    ticks = np.arange(times - 1, -1, -math.ceil(CROWDED / wide))[::-1]  # the last one always
    upright = wide * math.ceil(CROWDED / wide) < 0.4
    axes.set_xticks(ticks, [_short(moments[t]) for t in ticks], rotation=90 * upright)
    axes.set_yticks(range(digits), [str(digit) for digit in y])
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    axes.hlines(np.arange(1, digits) - 0.5, -0.5, times - 0.5, color=style.PAPER, linewidth=1)
    wrong = said != y[:, None]
    chip = min(17, 72 * 0.82 * wide)  # points
    down, across = np.nonzero(wrong)
    frame: dict[str, Any] = {"edgecolors": style.VERMILION, "linewidths": 1.8}
    axes.scatter(across, down, s=chip**2, marker="s", color=style.PAPER, label="wrong", **frame)
    bright = truth >= 0.5
    _digits(axes, said, wrong, style.INK, bold=True)
    _digits(axes, said, ~wrong & bright, style.INK)
    _digits(axes, said, ~wrong & ~bright, style.PAPER)
    return image


def _digits(
    axes: Axes, said: np.ndarray, where: np.ndarray, color: str, bold: bool = False
) -> None:
    """Write the digits as markers: hundreds of texts would take half a second."""
    for digit in np.unique(said[where]):
        rows, columns = np.nonzero(where & (said == digit))
        glyph = _glyph(int(digit), bold)
        axes.scatter(columns, rows, s=62, marker=glyph, color=color, linewidths=0, label=str(digit))


@cache
def _glyph(digit: int, bold: bool) -> Outline:
    """Return the outline of a digit, its middle at the origin."""
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    outline = TextPath((0, 0), str(digit), size=10, prop=font)
    box = outline.get_extents()
    return Outline(outline.vertices - (box.p0 + box.p1) / 2, outline.codes)


def frame(shown: np.ndarray, y: np.ndarray, moment: float, probabilities: np.ndarray) -> np.ndarray:
    """Return the digits with what is said of them, blue and ✓ if right, vermilion and ✗ if wrong.

    Args:
        shown: uint8 [N, 28, 28], N from 1 to 25.
        y: int [N], the true digits.
        moment: epochs trained.
        probabilities: float [N, 10].

    Returns:
        uint8 [HEAD + rows (CELL + LINE), 5 CELL, 3].
    """
    rows = -(-len(y) // ACROSS)
    said = probabilities.argmax(1)
    places = np.full(rows * ACROSS, EMPTY)
    places[: len(y)] = np.arange(len(y))
    large = shown.repeat(ZOOM, 1).repeat(ZOOM, 2)
    gap = CELL - 28 * ZOOM
    ink = mosaic(large, places.reshape(rows, ACROSS), LINE, gap)
    page = Image.new("L", (ACROSS * CELL, HEAD + len(ink)), 255)
    page.paste(Image.fromarray(255 - ink), (gap // 2, HEAD))
    drawn = page.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    pen.text((gap // 2, 16), f"after {_epochs(moment)}", style.INK, _font(18), "lm")
    right = f"{(said == y).sum()} of {len(y)} right"
    pen.text((ACROSS * CELL - gap // 2, 16), right, style.INK, _font(18), "rm")
    below = "below each: what the network says, and its probability"
    pen.text((gap // 2, 42), below, style.INK, _font(14), "lm")
    for index, digit in enumerate(said):
        row, column = divmod(index, ACROSS)
        left, top = column * CELL + gap // 2, HEAD + row * (28 * ZOOM + LINE)
        good = digit == y[index]
        color = style.BLUE if good else style.VERMILION
        corners = (left - 2, top - 2, left + 28 * ZOOM + 1, top + 28 * ZOOM + 1)
        pen.rectangle(corners, outline=color, width=2 if good else 4)
        text = f"{'✓' if good else '✗'} {digit}: {certainty(probabilities[index, digit])}"
        middle = (left + 14 * ZOOM, top + 28 * ZOOM + LINE // 2 + 1)
        pen.text(middle, text, color, _font(13), "mm")
    return np.asarray(drawn)


def animation(
    shown: np.ndarray, y: np.ndarray, moments: np.ndarray, probabilities: np.ndarray
) -> bytes:
    """Return the frames as a looping GIF, two a second, the last one for two seconds.

    Once all have stayed right to the end for four frames, only the last one follows.

    Args:
        shown: uint8 [N, 28, 28], N from 1 to 25.
        y: int [N], the true digits.
        moments: float [T], epochs trained, rising.
        probabilities: float [T, N, 10].
    """
    right = (probabilities.argmax(2) == y).all(1)
    settled = len(right) - int(right[::-1].cumprod().sum())  # the first frame of those all right
    kept = np.unique([*range(min(settled + SETTLED, len(right))), len(right) - 1])
    palette = _palette()
    drawn = (
        Image.fromarray(frame(shown, y, float(moment), said))
        for moment, said in zip(moments[kept], probabilities[kept], strict=True)
    )
    first, *others = (each.quantize(palette=palette, dither=Image.Dither.NONE) for each in drawn)
    file = BytesIO()
    lengths = [STEP] * len(others) + [REST]
    first.save(
        file, "GIF", save_all=True, append_images=others, duration=lengths, loop=0, optimize=True
    )
    return file.getvalue()


def _palette() -> Image.Image:
    """Return the few colours of a frame: greys, and both marks fading into paper."""
    fading = np.linspace(0, 1, 24)[:, None]
    ramps = [np.linspace((0, 0, 0), (1, 1, 1), 32)]
    ramps += [fading + (1 - fading) * to_rgb(color) for color in (style.BLUE, style.VERMILION)]
    image = Image.new("P", (1, 1))
    image.putpalette((np.concatenate(ramps) * 255).round().astype(np.uint8).tobytes())
    return image


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return matplotlib's own font, which is there wherever matplotlib is."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    return ImageFont.truetype(str(path), size)
