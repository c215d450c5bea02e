"""The inside of the network as HTML: steps, feature maps, ink that mattered, digits in a row."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
from PIL import Image

from serve.digit.inside import Layer
from serve.digit.markup import ONE, PAPER, ZERO, percent, png
from serve.digit.memory import Mistake, Neighbour
from serve.texts import inside as say

FIT, SIDE = 20, 28  # pixels of the ink's longer side, and of the picture
SHOWN = 200  # pixels of a drawing's longer side in the strip
FRAME = (230, 159, 0)  # of the ink's box: orange that shows on black and on white
EDGE = 3  # pixels that the frame is wide, so that some are left at the size it is shown
NEUTRAL = (150, 150, 150)  # ink that makes no difference
FAINTEST = 0.5  # nats; weaker importance gets no full colour
STRONGEST = 99.5  # percentile of a layer's values that gets full colour


def strip(ink: np.ndarray, image: np.ndarray) -> str:
    """Return the steps from a drawing, uint8 [H, W], to what the network saw, uint8 [28, 28]."""
    if not ink.any() or not image.any():
        return ""
    top, bottom, left, right = _box(ink)
    cropped = ink[top:bottom, left:right]
    row, _, column, _ = _box(image)
    longer = max(cropped.shape)
    height, width = (min(FIT, -(-side * FIT // longer)) for side in cropped.shape)
    scaled = image[row : row + height, column : column + width]
    pictures = (_framed(ink), _shrunk(cropped), scaled, image)
    sizes = (ink.shape, cropped.shape, scaled.shape, image.shape)
    figures = "".join(
        f'<figure><div class="frame{" middle" if picture is image else ""}">'
        f'<img alt="{alt}" src="{png(picture)}"></div><figcaption>{place}. {words}<br>'
        f"<small>{say.SIZE.format(width=size[1], height=size[0])}</small></figcaption></figure>"
        for place, (picture, size, (words, alt)) in enumerate(
            zip(pictures, sizes, say.STEPS, strict=True), 1
        )
    )
    return f'<div class="inside"><div class="steps">{figures}</div><p>{say.STRIP}</p></div>'


def _box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of the ink, the second and the last exclusive."""
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _shrunk(ink: np.ndarray) -> np.ndarray:
    """Return `ink` with its longer side at most `SHOWN` pixels: uint8 [h, w]."""
    picture = Image.fromarray(np.ascontiguousarray(ink))
    picture.thumbnail((SHOWN, SHOWN))
    return np.asarray(picture)


def _framed(ink: np.ndarray) -> np.ndarray:
    """Return the drawing, shrunk, with a frame round its ink: uint8 [h, w, 3]."""
    small = np.pad(_shrunk(ink), EDGE)
    top, bottom, left, right = _box(small)
    shown = np.repeat(small[..., None], 3, 2)
    shown[top - EDGE : bottom + EDGE, left - EDGE : right + EDGE] = FRAME
    shown[top:bottom, left:right] = small[top:bottom, left:right, None]
    return shown


def feature_maps(layers: Sequence[Layer]) -> str:
    """Return a figure for each layer: its channels or units as squares, its outputs as bars."""
    outputs = layers[-1:] if layers and layers[-1].values.ndim == 1 else []
    figures = "".join(_layer(layer) for layer in layers[: len(layers) - len(outputs)])
    bars = "".join(_logits(layer) for layer in outputs)
    return f'<div class="inside"><p>{say.MAPS}</p><div class="maps">{figures}{bars}</div></div>'


def _layer(layer: Layer) -> str:
    values = layer.values if layer.values.ndim == 3 else layer.values[:, None, None]
    limit = max(float(np.percentile(np.abs(values), STRONGEST)), 1e-6)
    count, height, width = values.shape
    template = say.CHANNELS if layer.values.ndim == 3 else say.UNITS
    shape = template.format(count=count, height=height, width=width)
    low, high = float(values.min()), float(values.max())
    alt = say.LAYER_ALT.format(words=layer.words, shape=shape, low=low, high=high)
    picture = _mosaic(_diverging(values / limit, PAPER))
    return (
        f'<figure><img alt="{html.escape(alt)}" src="{png(picture)}"><figcaption>{layer.words}: '
        f"{shape}<br><small>{html.escape(layer.name)}, {say.LIMIT.format(limit=limit)}</small>"
        "</figcaption></figure>"
    )


def _mosaic(maps: np.ndarray) -> np.ndarray:
    """Return maps, uint8 [C, h, w, 3], side by side with clear gaps between: uint8 [H, W, 4]."""
    count, height, width, _ = maps.shape
    columns = 1 << int(np.ceil(np.log2(np.sqrt(2 * count))))
    rows = -(-count // columns)
    tiles = np.zeros((rows * columns, height + 1, width + 1, 4), np.uint8)
    tiles[:count, :height, :width] = np.concatenate(
        [maps, np.full((*maps.shape[:3], 1), 255, np.uint8)], 3
    )
    grid = tiles.reshape(rows, columns, height + 1, width + 1, 4).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * (height + 1), columns * (width + 1), 4)[:-1, :-1]


def _diverging(values: np.ndarray, zero: tuple[int, int, int]) -> np.ndarray:
    """Return values, -1..1 [...], as colours: blue, `zero`, orange: uint8 [..., 3]."""
    strength = np.clip(np.abs(values), 0, 1)[..., None]
    ends = np.where(values[..., None] > 0, np.array(ONE), np.array(ZERO))
    return (np.array(zero) * (1 - strength) + ends * strength).round().astype(np.uint8)


def _logits(layer: Layer) -> str:
    """Return the last layer's outputs as bars to both sides of zero."""
    values = layer.values.tolist()
    names = [*map(str, range(len(values) - 1)), say.NONE]
    low, high = min(*values, 0.0), max(*values, 0.0)
    span = max(high - low, 1e-6)
    rows = "".join(
        f'<span>{name}</span><div class="track"><i class="{"above" if value > 0 else "below"}" '
        f'style="left:{(min(value, 0) - low) / span:.2%};width:{abs(value) / span:.2%}"></i></div>'
        f'<span class="value">{value:.1f}</span>'
        for name, value in zip(names, values, strict=True)
    )
    return (
        f'<figure><div class="logits">{rows}</div><figcaption>{layer.words}<br>'
        f"<small>{html.escape(layer.name)}. {say.LOGITS}</small></figcaption></figure>"
    )


def occlusion(image: np.ndarray, importance: np.ndarray) -> str:
    """Return the ink of `image`, uint8 [28, 28], coloured by its importance, float32 [28, 28]."""
    limit = max(float(np.abs(importance).max()), FAINTEST)
    share = image[..., None] / 255
    coloured = np.array(PAPER) * (1 - share) + _diverging(importance / limit, NEUTRAL) * share
    picture = png(coloured.round().astype(np.uint8))
    alt = say.OCCLUSION_ALT.format(place_for=_where(importance), place_against=_where(-importance))
    swatches = ((ONE, say.FOR), (NEUTRAL, say.NEITHER), (ZERO, say.AGAINST))
    legend = "".join(
        f'<li><i style="background:rgb{colour}"></i>{words}</li>' for colour, words in swatches
    )
    return (
        f'<div class="inside"><div class="ink"><img alt="{alt}" src="{picture}"></div>'
        f'<ul class="legend">{legend}</ul><p>{say.OCCLUSION.format(limit=limit)}</p></div>'
    )


def _where(values: np.ndarray) -> str:
    """Return in which ninth of the picture the highest value is; nowhere if none is positive."""
    if values.max() <= 0:
        return say.NOWHERE
    row, column = np.unravel_index(values.argmax(), values.shape)
    return say.PLACES[int(row) * 3 // SIDE][int(column) * 3 // SIDE]


def neighbours(found: Sequence[Neighbour]) -> str:
    """Return the nearest training digits in a row."""
    figures = "".join(
        _digit(
            each.image,
            say.NEIGHBOUR_ALT.format(index=each.index, label=each.label),
            f"<b>{each.label}</b><br><small>"
            f"{say.NEIGHBOUR.format(index=each.index, distance=each.distance)}</small>",
        )
        for each in found
    )
    return f'<div class="inside"><p>{say.NEIGHBOURS}</p><div class="kin">{figures}</div></div>'


def number(images: np.ndarray, said: Sequence[str], shares: np.ndarray, refused: np.ndarray) -> str:
    """Return the digits of a number in a row, each with what was said of it and how surely.

    Args:
        images: uint8 [N, 28, 28].
        said: N labels.
        shares: float [N], their probabilities.
        refused: bool [N], which are rather no digits.
    """
    figures, texts = "", []
    for place, (image, label, share, none) in enumerate(
        zip(images, said, shares.tolist(), refused.tolist(), strict=True), 1
    ):
        texts.append(say.UNKNOWN if none else label)
        words = say.REFUSED if none else percent(share)
        alt = say.PART_ALT.format(place=place, count=len(images))
        figures += _digit(image, alt, f"<b>{html.escape(texts[-1])}</b><br><small>{words}</small>")
    lead = say.NUMBER.format(number=html.escape("".join(texts)))
    return f'<div class="inside"><p>{lead}</p><div class="kin">{figures}</div></div>'


def _digit(image: np.ndarray, alt: str, caption: str) -> str:
    picture = f'<img alt="{html.escape(alt)}" src="{png(image)}">'
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def mistakes(found: Sequence[Mistake]) -> str:
    """Return a button for each mistake; its picture goes on the pad, as an example's does."""
    if not found:
        return f'<div class="inside"><p>{say.NO_MISTAKES}</p></div>'
    buttons = "".join(
        f'<button type="button" data-example data-index="{each.index}" '
        f'aria-label="{say.MISTAKE.format(share=each.probability, **words)}">'
        f'<img alt="" src="{png(each.image)}">'
        f"{say.MISTAKE_SHORT.format(share=each.probability, **words)}</button>"
        for each in found
        for words in [{"index": each.index, "label": each.label, "said": each.said}]
    )
    return f'<div class="inside"><p>{say.MISTAKES}</p><div class="wrong">{buttons}</div></div>'


def progress(done: float | None) -> str:
    """Return how far the reading of the training digits is, 0 to 1; None: not begun."""
    share = done or 0.0
    text = say.PROGRESS.format(done=share)
    return (
        f'<div class="inside"><p role="status">{text}</p>'
        f'<progress max="1" value="{share:.3f}" aria-label="{text}"></progress></div>'
    )
