"""What words in figures and on terminals must carry however they are put: numbers and names."""

import re
from collections.abc import Iterable

from matplotlib.figure import Figure


def texts(figure: Figure) -> list[str]:
    """Return the texts in the axes, without titles and labels of axes."""
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]


def numbers(text: str) -> list[float]:
    """Return the numbers in `text` in their order; those inside of words are none."""
    plain = text.replace("−", "-")
    found = re.findall(r"(?<![\w.])-?\d(?:[\d,]*\d)?(?:\.\d+)?(?:e[+-]?\d+)?", plain)
    return [float(number.replace(",", "")) for number in found]


def names(text: str, of: Iterable[str]) -> list[str]:
    """Return those of the names that `text` has as words, in the order of their first places."""
    places = {name: re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in of}
    return sorted((n for n, place in places.items() if place), key=lambda n: places[n].start())
