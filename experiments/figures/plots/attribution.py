"""Attribution maps of the predicted digit's logit: trained weights above random weights."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from experiments.evaluation.arrays import Images, Labels, Probabilities, Vector
from experiments.figures.analysis.attribution import Maps
from experiments.figures.plots import style
from experiments.figures.plots.digits import INK, KEY, mosaic, outcomes, show_tiles

GAP = (13, 10)  # pixels below and to the right of each tile
SIMILAR = 0.5  # mean rank correlation from which the title warns


def attributions(
    x: Images,
    y: Labels,
    probabilities: Probabilities,
    trained: Mapping[str, Maps],
    untrained: Mapping[str, Maps],
    similarity: Mapping[str, Vector],
) -> Figure:
    """Return a column for each digit, and below it its attribution maps, a row for each method.

    Args:
        x: at least one digit.
        y: correct labels.
        probabilities: of the trained net.
        trained: method -> attributions in logits.
        untrained: the same of a net with random weights, for the same logit.
        similarity: method -> Spearman's rank correlation of the two nets' absolute attributions
            over the pixels of ink, -1 to 1.
    """
    means = {name: float(values.mean()) for name, values in similarity.items()}
    verdict = "similar" if max(means.values()) >= SIMILAR else "different"
    agree = ", ".join(f"{mean:.2f} ({name})" for name, mean in means.items())
    rows = {f"{name},\ntrained weights": values for name, values in trained.items()}
    rows |= {f"{name},\nrandom weights": values for name, values in untrained.items()}
    fig = style.figure(
        max(8.5, 2.2 + 1.4 * len(x)),
        2.2 + 1.42 * (1 + len(rows)),
        f"Trained and random weights give {verdict} maps:\nrank correlation {agree}",
    )
    axes = fig.subplots()
    # Row 0: the digits. The other rows: maps, each scaled to its own largest absolute value.
    captions, colors = outcomes(y, probabilities)
    digits = np.full((1 + len(rows), *x.shape), np.nan)
    maps = digits.copy()
    digits[0] = x
    for row, values in enumerate(rows.values(), start=1):
        largest = abs(values).max((1, 2))
        maps[row] = values / np.where(largest > 0, largest, 1)[:, None, None]
        captions += [f"±{value:.2g}" for value in largest]
        colors += [style.INK] * len(x)
    flat = (-1, *x.shape[1:])
    show_tiles(axes, digits.reshape(flat), len(x), captions, colors, GAP, **INK)
    laid = mosaic(maps.reshape(flat), len(x), GAP)
    image = axes.imshow(laid, cmap=style.DIVERGING, vmin=-1, vmax=1)
    # The digit's outline on each of its maps.
    ink = np.concatenate([np.zeros_like(x)] + [x] * len(rows))
    level = np.nan_to_num(mosaic(ink, len(x), GAP))
    axes.contour(level, [127.5], colors=style.INK, linewidths=0.6)
    names = ["input", *rows]
    axes.set_yticks(np.arange(len(names)) * (x.shape[1] + GAP[0]) + 14, names, fontsize=10)
    axes.tick_params(length=0)
    bar = fig.colorbar(image, ax=axes, location="bottom", shrink=0.5, aspect=50, pad=0.02)
    bar.set_label(
        "attribution relative to the map's largest value (±, in logits, below it);\n"
        "blue: lowers, vermilion: raises the predicted digit's logit",
        fontsize=10,
    )
    style.note(
        fig,
        f"{KEY};\nrank correlation: Spearman's, of absolute values over pixels of ink",
    )
    return fig
