"""The digits that were misread: by pair of classes, and the surest beside their neighbours."""

from collections import Counter

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from experiments.plots import style
from experiments.plots.digits import EMPTY, caption, certainty, mistakes, mosaic, picture, softmax

PAIRS, ROWS, LONGEST = 10, 5, 6  # pairs; rows beside each other; pictures of a pair
BELOW, BESIDE = 9, 3  # paper between pictures of 28, room for a caption
NOTE = "below each: the probability of what was said"
ACROSS = 4  # cells in a row of `surest`
BIG, SMALL, LINE, GAP = 84, 56, 36, 20  # a misread digit x 3, neighbours x 2, captions, paper


def pairs(x: np.ndarray, y: np.ndarray, logits: np.ndarray) -> Figure:
    """Return the ten most confused pairs: up to 6 pictures of each, the surest first.

    Pairs that occur once are left out where others occur more often.

    Where no digit is misread, the ten read right with the least probability stand instead.

    Args:
        x: uint8 [N, 28, 28].
        y: int [N], the true digits, N at least 1.
        logits: float [N, 10].
    """
    said, share = logits.argmax(1), softmax(logits).max(1)
    surest = np.argsort(-share, kind="stable")
    wrong = surest[said[surest] != y[surest]]
    if not len(wrong):
        title = f"No digit of {len(y):,} was misread; these are the least sure"
        return _unsure(x, said, share, surest[::-1][:PAIRS], title)
    counted = Counter(sorted(zip(y[wrong].tolist(), said[wrong].tolist(), strict=True)))
    often = Counter({pair: count for pair, count in counted.items() if count > 1})
    top = (often or counted).most_common(PAIRS)
    places, labels = np.full((len(top), LONGEST), EMPTY), []
    for row, ((truth, read), count) in enumerate(top):
        these = wrong[(y[wrong] == truth) & (said[wrong] == read)][:LONGEST]
        places[row, : len(these)] = these
        more = f"\n{LONGEST} shown" if count > LONGEST else ""
        labels.append(f"{truth} read as {read}:\n{count:,} time{'s' * (count > 1)}{more}")
    return _blocks(x, places, labels, share, _pairs_title(len(y), len(wrong), often, top))


def _pairs_title(
    digits: int, wrong: int, often: Counter[tuple[int, int]], top: list[tuple[tuple[int, int], int]]
) -> str:
    ((truth, said), most), *others = top
    found, pair = f"{mistakes(wrong)} in {digits:,}", f"a {truth} read as {said}"
    if wrong == 1:
        return f"{found}: {pair}"
    if not often:
        return f"{found}: no two alike"
    if len(others) == 0:
        return f"{found}: {most:,} fall on one pair, {pair}"
    held = sum(count for _, count in top)
    which = f"the {len(top)} commonest pairs" if len(often) > len(top) else f"{len(top)} pairs"
    return f"{found}: {held:,} fall on {which}, {most:,} on {pair}"


def _blocks(
    x: np.ndarray, places: np.ndarray, labels: list[str], share: np.ndarray, title: str
) -> Figure:
    """Two columns of five rows of pictures, for a screen is wide; each as long as it needs."""
    parts = [slice(start, start + ROWS) for start in range(0, len(labels), ROWS)]
    columns = [int((places[part] != EMPTY).sum(1).max()) for part in parts]
    rows, side = min(ROWS, len(labels)), min(0.95, 8.0 / sum(columns))  # inches of a picture
    wide, tall = max(9.0, 1.5 * len(parts) + sum(columns) * side), 1.2 + rows * side * 1.25
    made = style.figure(wide, tall, title)
    panels = made.subplots(1, len(parts), width_ratios=columns, squeeze=False)[0]
    for axes, part, longest in zip(panels, parts, columns, strict=True):
        shown = np.full((rows, longest), EMPTY)
        shown[: len(labels[part])] = places[part, :longest]
        picture(axes, mosaic(x, shown, BELOW, BESIDE))
        at = np.arange(len(labels[part])) * (28 + BELOW) + 13.5
        axes.set_yticks(at, labels[part], fontsize=11)
        axes.tick_params(length=0)
        for (row, column), index in np.ndenumerate(shown):
            if index != EMPTY:
                text = certainty(share[index])
                caption(axes, text, (row, column), BELOW, BESIDE, style.VERMILION, size=10)
    made.supxlabel(NOTE, fontsize=10, color=style.INK)
    return made


def _unsure(
    x: np.ndarray, said: np.ndarray, share: np.ndarray, chosen: np.ndarray, title: str
) -> Figure:
    rows = -(-len(chosen) // ROWS)
    made = style.figure(9.5, 0.6 + 1.8 * rows, title)
    places = np.full((rows, ROWS), EMPTY)
    places.flat[: len(chosen)] = chosen
    axes = picture(made.subplots(), mosaic(x, places, BELOW, 2 * BESIDE))
    for cell, index in np.ndenumerate(places):
        if index != EMPTY:
            row, column = cell
            text = f"{said[index]}  {certainty(share[index])}  ✓"
            caption(axes, text, (row, column), BELOW, 2 * BESIDE, style.BLUE, size=12)
    made.supxlabel(NOTE, fontsize=10, color=style.INK)
    return made


def surest(
    x: np.ndarray,
    y: np.ndarray,
    probabilities: np.ndarray,
    neighbours: np.ndarray,
    labels: np.ndarray,
) -> Figure:
    """Return up to 25 digits, misread with the highest probability, beside training digits.

    Args:
        x: uint8 [N, 28, 28], N from 1 to 25, the surest first.
        y: int [N], the labels that they were given.
        probabilities: float [N, 10], of the network.
        neighbours: uint8 [N, 3, 28, 28], the nearest training digits, the nearest first.
        labels: int [N, 3], theirs.
    """
    said = probabilities.argmax(1)
    rows, across = -(-len(y) // ACROSS), min(len(y), ACROSS)
    made = style.figure(max(9.5, 2.6 * across), 0.95 + rows * 1.15, _surest_title(y, said, labels))
    axes = made.subplots()
    places = np.full(rows * across, EMPTY)
    places[: len(y)] = np.arange(len(y))
    cells = _strips(x, neighbours)
    whole = mosaic(cells, places.reshape(rows, across), 0, GAP)
    picture(axes, whole)
    axes.set(xlim=(-3, whole.shape[1] - GAP + 2), ylim=(len(whole) + 2, 0))
    corners = np.array([divmod(place, across) for place in range(len(y))]) * (
        cells.shape[1],
        cells.shape[2] + GAP,
    )
    _write(axes, corners, y, said, probabilities.max(1), labels)
    made.supxlabel(
        "framed: the digit. Beside it the 3 nearest training digits and their labels: "
        "■ as the network said, ● as the digit's label, others grey",
        fontsize=10,
        color=style.INK,
    )
    return made


def _surest_title(y: np.ndarray, said: np.ndarray, labels: np.ndarray) -> str:
    among = int(((labels == said[:, None]).sum(1) * 2 > labels.shape[1]).sum())
    if (said == y).all():
        return f"No digit was misread; these {len(y)} are the least sure"
    which = f"Of the {len(y)} surest mistakes, {among} lie" if len(y) > 1 else "The one mistake"
    if len(y) == 1:
        which += " lies" if among else " does not lie"
    return f"{which} among training digits of the class that the network said"


def _strips(x: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Return one picture a digit, uint8 [N, LINE + BIG, BIG + 3 SMALL]."""
    large = x.repeat(3, 1).repeat(3, 2)
    small = neighbours.repeat(2, 2).repeat(2, 3).swapaxes(1, 2).reshape(len(x), SMALL, -1)
    strips = np.zeros((len(x), LINE + BIG, BIG + small.shape[2]), np.uint8)
    strips[:, LINE:, :BIG] = large
    strips[:, LINE : LINE + SMALL, BIG:] = small
    return strips


def _write(
    axes: Axes,
    corners: np.ndarray,
    y: np.ndarray,
    said: np.ndarray,
    share: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Frame every digit and write over it what it is, and what its neighbours are below them."""
    box = np.array([(0, LINE), (BIG, LINE), (BIG, LINE + BIG), (0, LINE + BIG)]) - 0.5
    frames = list(box + corners[:, None, ::-1])
    color = style.BLUE if (said == y).all() else style.VERMILION
    axes.add_collection(
        PolyCollection(frames, facecolors="none", edgecolors=color, linewidths=1.5), autolim=False
    )
    for index, (top, left) in enumerate(corners):
        text = f"is {y[index]}, said {said[index]} ({certainty(share[index])})"
        axes.text(left, top + LINE - 8, text, fontsize=10, color=color, va="bottom")
        for place, label in enumerate(labels[index]):
            as_said, as_given = label == said[index], label == y[index]
            mark = "■" if as_said else "●" if as_given else ""
            shade = style.VERMILION if as_said else style.BLUE if as_given else style.GREY
            if as_said and as_given:
                shade = style.BLUE
            across = left + BIG + (place + 0.5) * SMALL
            axes.text(
                across,
                top + LINE + SMALL + 3,
                f"{mark}{label}",
                fontsize=10,
                color=shade,
                ha="center",
                va="top",
            )
