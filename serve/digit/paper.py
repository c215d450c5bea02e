"""A page without its paper: even or shaded, clean or noisy, with specks or without."""

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from PIL import Image

LEAST_SIDE = 6  # pixels; so is one whose largest part is smaller, or than twice that if uneven
FAINT = 0.05  # of the strongest ink; anything fainter is paper
NOISE = 4  # times the border's spread; so is anything within it
GRAIN = 8  # levels of noise for which a page is blurred by one pixel; some two levels remain
WIDEST_BLUR = 100  # as a part of the longer side, whatever the noise
TILES = 50  # along the longer side, for what is larger than a speck
DEGREES = (1, 2, 2, 4, 4)  # of the shade's polynomial, fit by fit
PAPER = 0.6  # of the tiles, at least, show no ink
CROWD = 10  # parts; a page of more has specks
STANDS_OUT = 10  # times a crowd's usual part; smaller parts are specks
SPECK = 0.02  # of the largest part; so are these where the paper is uneven
FULL = 0.9  # quantile of the ink that is full ink where there are specks


def without_paper(gray: np.ndarray) -> np.ndarray:
    """Return how far each pixel of a page is from its paper, 0 where there is no stroke.

    Args:
        gray: float32 [H, W], dark on light or light on dark, even or shaded, clean or noisy.

    Returns:
        float32 [H, W], not negative; all zero for a page without strokes, specks or not.
    """
    noise, border = _noise(gray), _border(gray)
    blur = min(noise / GRAIN, max(gray.shape) / WIDEST_BLUR)
    even = noise == 0 and _spread(border - np.median(border)) == 0
    ink = _above_paper(_blurred(_away_from_paper(gray, even), blur))
    return _without_specks(ink, even, blur)


def _noise(gray: np.ndarray) -> float:
    """Return the noise's standard deviation; between neighbours there is next to no shade."""
    rows = gray[::4]  # are enough
    return _spread(np.diff(rows, axis=1, prepend=rows[:, :1])) / 2**0.5


def _away_from_paper(gray: np.ndarray, even: bool) -> np.ndarray:
    """Return how far each pixel is to the ink's side of the paper: float32 [H, W].

    An even paper is taken as it is, so that a clean picture's ink is exact.
    """
    away = gray - (np.median(_border(gray)) if even else _shade(gray))
    skewed = (_tiles(away) ** 3).sum()  # by strokes: paper's tiles cancel, specks' are few
    return away if skewed > 0 else -away


def _shade(gray: np.ndarray) -> np.ndarray:
    """Return a shaded paper without its ink, a polynomial of the place: float32 [H, W].

    Least trimmed squares: fitted to the border, and then again and again, with more freedom, to
    the share of the tiles that it fits best (Rousseeuw, "Least median of squares", 1984).
    """
    tiles = _tiles(gray)
    kept = np.ones(tiles.shape, bool)
    kept[2:-2, 2:-2] = False
    for degree in DEGREES:
        freedom = [min(degree, side - 1) for side in tiles.shape]  # of a strip, next to none
        y, x = _terms(tiles.shape, freedom)
        terms = np.einsum("yi,xj->yxij", y, x).reshape(*tiles.shape, -1)
        weights = np.linalg.lstsq(terms[kept], tiles[kept])[0]
        error = np.abs(terms @ weights - tiles)
        kept = error <= np.quantile(error, PAPER)
    y, x = _terms(gray.shape, freedom)
    surface = weights.reshape(freedom[0] + 1, -1)
    return (y @ surface).astype(np.float32) @ x.T.astype(np.float32)


def _terms(shape: tuple[int, ...], degrees: list[int]) -> list[np.ndarray]:
    """Return Chebyshev polynomials up to a degree along each side: float64 [side, degree + 1]."""
    return [
        chebvander(np.linspace(-1, 1, side), degree)
        for side, degree in zip(shape, degrees, strict=True)
    ]


def _tiles(page: np.ndarray) -> np.ndarray:
    """Return the means of square tiles, at most TILES a side: float32 [h, w], without specks."""
    return np.asarray(Image.fromarray(page).reduce(-(-max(page.shape) // TILES)))


def _blurred(page: np.ndarray, sigma: float) -> np.ndarray:
    """Return `page`, float32 [H, W], blurred by `sigma` pixels."""
    from scipy import ndimage  # late: it costs the page's start a fifth of a second

    return ndimage.gaussian_filter(page, sigma, truncate=2.5) if sigma else page


def _above_paper(ink: np.ndarray) -> np.ndarray:
    """Return `ink`, float32 [H, W], with 0 for all that is too faint to be more than paper."""
    faint = max(FAINT * ink.max(), NOISE * _spread(_border(ink)), 0)
    return np.where(ink <= faint, 0, ink)


def _without_specks(ink: np.ndarray, even: bool, blur: float) -> np.ndarray:
    """Return `ink`, float32 [H, W], without the parts that are too small to be strokes.

    An even page keeps its dots, unless they are many. On another, specks inside the strokes go
    as well: nothing is left stronger than the ink.
    """
    from scipy import ndimage

    parts, count = ndimage.label(ink, np.ones((3, 3)))
    inked = np.nonzero(parts)
    part, strength = parts[inked], ink[inked]
    mass = np.bincount(part, strength, count + 1)
    if even and count <= CROWD:
        return ink if _side(parts == mass.argmax()) >= LEAST_SIDE else np.zeros_like(ink)
    ink = np.zeros_like(ink)
    strokes = _strokes(mass)[part]
    if strokes.any() and _side(parts == mass.argmax()) >= 2 * LEAST_SIDE + 4 * blur:
        full = np.quantile(strength[strokes], FULL)
        ink[inked] = np.where(strokes, np.minimum(strength, full), 0)
    return ink


def _strokes(mass: np.ndarray) -> np.ndarray:
    """Return which parts of a page are strokes by their ink, float64 [1 + parts]: bool, as many.

    Specks are small beside the strokes; where they are many, they tell how large a speck is.
    """
    usual = np.median(mass[1:]) if len(mass) - 1 > CROWD else 0
    return mass >= max(SPECK * mass.max(), STANDS_OUT * usual)


def _side(part: np.ndarray) -> int:
    """Return the longer side, in pixels, of what is True in `part`, bool [H, W]."""
    return 1 + int(np.ptp(np.argwhere(part), axis=0).max())


def _border(page: np.ndarray) -> np.ndarray:
    """Return the pixels of the page's four edges: float32 [2 H + 2 W]."""
    return np.concatenate([page[0], page[-1], page[:, 0], page[:, -1]])


def _spread(values: np.ndarray) -> float:
    """Return the standard deviation of normal noise around 0, ink or specks among it or not."""
    return 1.4826 * float(np.median(np.abs(values)))
