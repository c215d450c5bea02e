"""Separate strokes from the background of a picture: even or shaded, clean or noisy."""

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from PIL import Image
from scipy import ndimage

from serve.tabs.digit import foreign_marks, segmentation

MIN_SIDE_PX = 6  # of the largest stroke; at least twice that on an uneven background
MIN_CONTRAST = 0.05  # of the strongest pixel; whatever is fainter is background
MIN_LEVELS = 8  # of 255; a clean picture whose strongest ink is weaker is blank
MAX_LEVELS = 32  # the same of the noisiest picture
COVERED_FACTOR = 1.5  # times the picture's deviation; a border's that is larger is ink's
NOISE_FACTOR = 4  # times the border's standard deviation; whatever is within is background
INK_FACTOR = 10  # times the border's standard deviation; some ink of a noisy picture is stronger
NOISE_PER_SIGMA = 8  # gray levels of noise for a blur of one pixel, which leaves about two
MAX_BLUR = 1 / 100  # of the longer side
MAX_TILES = 50  # along the longer side; a tile averages specks away
DEGREES = (1, 2, 2, 4, 4)  # of the surface's polynomials, fit after fit
STROKE_LEVELS = 10  # of 255; a tile that is farther from the surface counts no more
TRIMMED_FRACTION = 0.6  # of the tiles, at least, hold no stroke
MANY_PARTS = 10  # a picture of more connected parts has specks
SPECK_FACTOR = 10  # times the median mass of many parts; smaller ones are specks
SPECK_FRACTION = 0.02  # of the largest part's mass; smaller parts are specks, too
FULL_QUANTILE = 0.9  # of the strokes' pixels: the value of full ink among specks


def remove_background(gray: np.ndarray) -> np.ndarray:
    """Return the distance of each pixel from the background, 0 where there is no stroke.

    Args:
        gray: float32 [H, W], dark on light or light on dark.

    Returns:
        float32 [H, W], not negative; all zero for a picture without strokes.
    """
    # 1. Noise: neighbouring pixels differ by it, and hardly by shade. Every fourth row is enough.
    rows = gray[::4]
    noise = _robust_std(np.diff(rows, axis=1, prepend=rows[:, :1])) / 2**0.5
    border = segmentation.border(gray)
    level = np.median(border)
    is_even = noise == 0 and _robust_std(border - level) == 0

    # 2. Subtract the background: its one level, which keeps a clean picture exact, or a surface.
    ink = gray - (level if is_even else _fit_surface(gray))

    # 3. Polarity: strokes skew the tiles to their side, while the background's are symmetric.
    if (_tiles(ink) ** 3).sum() <= 0:
        ink = -ink

    # 4. Blur as much as the noise needs.
    sigma = min(noise / NOISE_PER_SIGMA, max(gray.shape) * MAX_BLUR)
    if sigma:
        ink = ndimage.gaussian_filter(ink, sigma, truncate=2.5)

    # 5. Set to 0 what is as faint as the background.
    spread = min(_robust_std(segmentation.border(ink)), COVERED_FACTOR * _robust_std(ink))
    threshold = max(MIN_CONTRAST * ink.max(), NOISE_FACTOR * spread, 0)
    ink = np.where(ink <= threshold, 0, ink)

    # 6. Remove lines of the paper, cut-off marks, and parts that are too small to be strokes.
    ink = foreign_marks.remove(ink)
    ink = _remove_specks(ink, is_even, sigma)
    min_levels = MIN_LEVELS if is_even else min(MIN_LEVELS + INK_FACTOR * spread, MAX_LEVELS)
    return ink if ink.max() >= min_levels else np.zeros_like(ink)


def _fit_surface(gray: np.ndarray) -> np.ndarray:
    """Return the background's shade, a polynomial in y and x: float32 [H, W].

    Least trimmed squares (Rousseeuw, "Least median of squares", 1984) from two starts, of which
    the better one is taken: the border, and the tiles of the most usual shade, because the border
    may show something else. Each fit has more freedom than the one before, and is to the tiles
    that the one before fits best.
    """
    tiles = _tiles(gray)
    border = np.ones(tiles.shape, bool)
    border[2:-2, 2:-2] = False
    _, weights, degrees = min(
        (_fit(tiles, start) for start in (border, _nearest(tiles - np.median(tiles)))),
        key=lambda fit: fit[0],
    )
    y, x = _chebyshev(gray.shape, degrees)
    coefficients = weights.reshape(degrees[0] + 1, -1)
    return (y @ coefficients).astype(np.float32) @ x.T.astype(np.float32)


def _fit(tiles: np.ndarray, fitted: np.ndarray) -> tuple[float, np.ndarray, list[int]]:
    """Return the error, the weights and the degrees of a surface, fitted to some tiles."""
    for max_degree in DEGREES:
        degrees = [min(max_degree, side - 1) for side in tiles.shape]
        y, x = _chebyshev(tiles.shape, degrees)
        terms = np.einsum("yi,xj->yxij", y, x).reshape(*tiles.shape, -1)
        weights = np.linalg.lstsq(terms[fitted], tiles[fitted])[0]
        residuals = np.abs(terms @ weights - tiles)
        fitted = _nearest(residuals)
    return float(np.minimum(residuals, STROKE_LEVELS).sum()), weights, degrees


def _nearest(residuals: np.ndarray) -> np.ndarray:
    """Return which tiles have the smallest residuals, bool [h, w]."""
    size = np.abs(residuals)
    return size <= np.quantile(size, TRIMMED_FRACTION)


def _chebyshev(shape: tuple[int, ...], degrees: list[int]) -> list[np.ndarray]:
    """Return Chebyshev polynomials up to a degree along each side: float64 [side, degree + 1]."""
    pairs = zip(shape, degrees, strict=True)
    return [chebvander(np.linspace(-1, 1, side), degree) for side, degree in pairs]


def _remove_specks(ink: np.ndarray, is_even: bool, sigma: float) -> np.ndarray:
    """Return `ink`, float32 [H, W], without the connected parts that are no strokes."""
    parts, count = ndimage.label(ink, np.ones((3, 3)))
    inked = np.nonzero(parts)
    part, strength = parts[inked], ink[inked]
    mass = np.bincount(part, strength, count + 1)
    rows, columns = np.nonzero(parts == mass.argmax())
    side = 1 + max(np.ptp(rows), np.ptp(columns))

    # On an even background small parts are dots that somebody drew, unless there are many.
    if is_even and count <= MANY_PARTS:
        return ink if side >= MIN_SIDE_PX else np.zeros_like(ink)

    # Specks have little mass compared to the largest part or, if they are many, to their median.
    typical = np.median(mass[1:]) if count > MANY_PARTS else 0
    is_stroke = mass >= max(SPECK_FRACTION * mass.max(), SPECK_FACTOR * typical)
    in_stroke = is_stroke[part]
    result = np.zeros_like(ink)
    if in_stroke.any() and side >= 2 * MIN_SIDE_PX + 4 * sigma:
        # Specks on strokes are stronger than the strokes: clip them.
        full = np.quantile(strength[in_stroke], FULL_QUANTILE)
        result[inked] = np.where(in_stroke, np.minimum(strength, full), 0)
    return result


def _tiles(gray: np.ndarray) -> np.ndarray:
    """Return the means of square tiles, at most MAX_TILES along a side: float32 [h, w]."""
    factor = segmentation.reduction(gray.shape, MAX_TILES)
    return np.asarray(Image.fromarray(gray).reduce(factor))


def _robust_std(values: np.ndarray) -> float:
    """Return the standard deviation of normal noise around 0; strokes hardly change it."""
    return 1.4826 * float(np.median(np.abs(values)))
