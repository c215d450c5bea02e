"""Digits and letters as people draw them, for the tests: python -m benchmarks.draw

Writes tests/data/drawings.json and tests/data/letters.json, the same at each call. A shape is a
few points by eye, in hundredths of the height, through which a smooth curve runs; ! after a point
makes it a corner, | lifts the pen. Each shape is written by several hands, steady and shaky.
"""

import json

import click
import numpy as np

from experiments import cli
from experiments.data.strokes import Drawing, Hand, Strokes, spline, timed, write
from experiments.paths import DRAWINGS

HOLED = "04689"  # drawn larger: a thick pen must leave their holes open
DIGITS = {
    "0 closed": "32,0 17,7 6,25 2,50 6,75 17,93 32,100 47,93 58,75 62,50 58,25 47,7 34,1",
    "0 narrow": "23,0 11,7 4,25 1,50 4,75 12,93 24,100 35,92 42,75 45,50 42,25 35,7 22,1",
    "0 open at the top": "31,1 17,8 6,24 1,48 5,74 16,92 32,99 47,92 58,74 62,48 57,22 47,7",
    "0 with overlapping ends": "40,6 18,4 3,30 1,62 16,94 38,99 56,80 62,46 54,16 38,2 18,6 10,18",
    "0 like an egg": "37,0 18,12 6,32 1,58 7,84 24,99 42,95 56,78 60,52 54,24 45,8 36,0",
    "1 plain": "20,0 20,100",
    "1 with a flag": "0,28 30,0! 30,100",
    "1 with a short flag": "8,18 26,0! 26,100",
    "1 with a flag and a foot": "0,24 28,0! 28,100 | 0,100 56,100",
    "1 leaning": "14,0 0,100",
    "1 with a curved flag": "2,28 18,18 30,0! 28,50 28,100",
    "2 with a loop": "4,22 14,5 34,0 54,9 58,28 46,52 24,78 8,96 0,90 6,80 20,82 40,96 56,99 66,92",
    "2 like a z": "2,16 20,2 44,0 58,14 52,36 0,100! 64,100",
    "2 with a flat foot": "2,24 10,6 32,0 54,8 59,28 46,54 22,80 0,100! 62,100",
    "2 like a swan": "4,20 20,2 44,2 58,22 48,48 20,80 2,97! 20,90 40,97 64,92",
    "2 narrow": "4,18 20,1 40,4 46,24 36,50 4,99! 50,98",
    "3 round": "4,12 22,0 46,4 56,22 46,40 26,47! 48,54 60,74 48,95 24,100 2,88",
    "3 with a flat top": "2,0 58,0! 24,40! 48,46 60,68 50,92 26,100 0,90",
    "3 narrow": "4,10 20,0 38,6 42,24 32,42 16,48! 36,54 46,74 36,94 18,100 0,90",
    "3 with a loop": "4,10 24,0 48,6 54,24 42,42 24,50 16,46 24,42 46,52 60,72 50,94 26,100 2,90",
    "3 angular": "2,8 30,0 54,10 50,32 20,46! 56,60 58,84 32,100 0,94",
    "4 open": "10,2 4,34 2,60! 62,60 | 46,14 46,100",
    "4 closed": "44,0 0,66! 64,66 | 44,0 44,100",
    "4 with a long stem": "8,0 2,42! 58,42 | 52,0 48,100",
    "4 in one stroke": "66,64 0,64! 46,0! 46,100",
    "4 with a short stem": "22,0 0,60! 66,58 | 46,32 42,100",
    "5 with a hat": "12,2 8,42! 30,36 52,46 60,68 48,94 24,100 0,90 | 12,2 58,0",
    "5 in one stroke": "58,0 14,0! 9,44! 30,37 52,46 60,70 48,94 24,100 0,88",
    "5 angular": "56,0 8,0! 6,42! 46,44 56,58 54,86 36,99 0,98",
    "5 round": "56,3 20,1 12,8 8,40! 28,34 50,42 60,66 50,92 26,100 2,92",
    "5 with a short hat": "20,0 12,44! 34,38 54,50 58,74 42,97 20,99 0,88 | 20,0 58,3",
    "6 with a big loop": "50,0 22,22 6,54 4,78 18,98 40,100 58,84 56,60 36,48 16,56 5,74",
    "6 with a small loop": "42,0 16,30 2,62 5,88 22,100 42,95 50,78 40,61 20,61 4,78",
    "6 with a straight back": "44,0 8,60 4,80 16,98 36,100 52,86 50,64 30,54 10,66 5,78",
    "6 curled": "56,14 46,2 28,2 10,24 2,58 8,88 28,100 50,94 60,74 50,54 28,50 10,62 4,72",
    "6 tall": "42,0 18,18 4,50 2,80 16,99 36,98 49,82 46,64 26,57 4,72",
    "7 plain": "0,2 58,0! 20,100",
    "7 with a bar": "0,2 60,0! 22,100 | 16,52 60,50",
    "7 with a serif": "2,18 4,0! 60,0! 24,100",
    "7 with a curved stem": "0,2 58,2! 38,38 28,70 26,100",
    "7 with a curved top": "0,12 10,2 34,5 60,0! 24,100",
    "7 with a serif and a bar": "0,16 2,0! 60,2! 26,100 | 18,50 60,48",
    "8 in one stroke": "54,16 34,0 12,8 10,28 32,47 56,68 54,90 32,100 8,90 8,68 32,47 52,28 54,16",
    "8 of two circles": "32,0 12,8 8,24 16,40 32,46 48,40 56,24 50,8 32,0 | "
    "32,46 10,56 2,76 12,94 32,100 54,94 62,76 54,56 32,46",
    "8 open at the top": "44,3 24,0 8,12 12,30 32,46 54,64 58,84 40,99 16,96 4,80 14,62 "
    "36,46 54,26 60,8",
    "8 narrow": "43,12 27,0 10,8 8,26 26,46 45,66 45,90 26,100 7,88 7,68 26,46 43,28 43,12",
    "8 from its middle": "30,47 9,30 13,7 34,0 54,9 53,30 30,47 6,66 8,91 32,99 56,91 56,66 30,47",
    "9 with a straight stem": "52,14 32,0 10,8 2,30 14,52 34,54 50,40 54,12! 52,100",
    "9 with a curved stem": "54,20 38,0 14,4 2,26 10,48 30,54 50,40 56,16! 54,60 40,92 12,98",
    "9 leaning": "54,12 32,0 10,12 4,34 18,50 38,44 54,12! 28,100",
    "9 with an open loop": "44,4 24,0 6,14 4,38 22,52 42,42 56,6! 52,56 44,100",
    "9 hooked": "52,24 40,2 18,2 4,22 12,46 34,50 52,28 56,60 46,92 22,100 6,90",
}
# Without those that are a digit when alone: I, O, S, Z, B, G and i, o, s, z, b, g, l, q.
LETTERS = {
    "A": "0,100 34,0! 68,100 | 14,64 56,64",
    "A round": "0,100 4,40 16,8 34,0 52,8 62,40 66,100 | 4,60 62,60",
    "C": "60,16 40,0 16,8 2,36 2,66 16,92 40,100 62,86",
    "D": "6,0 6,100 | 0,0 36,4 60,30 60,68 38,96 0,100",
    "E": "56,0 4,0! 4,100! 58,100 | 4,50 46,50",
    "F": "56,0 4,0! 4,100 | 4,46 46,46",
    "H": "2,0 2,100 | 60,0 60,100 | 2,50 60,50",
    "J": "44,0 44,70 34,96 14,98 0,78 | 18,0 70,0",
    "K": "2,0 2,100 | 56,0 4,54! 60,100",
    "L": "2,0 2,100! 56,100",
    "M": "0,100 6,0! 38,62! 70,0! 76,100",
    "M round": "0,100 10,20 22,0 34,30 38,70! 42,30 54,0 66,20 76,100",
    "N": "0,100 2,0! 58,100! 60,0",
    "P": "4,0 4,100 | 0,2 40,2 58,18 54,42 34,54 4,54",
    "Q": "32,0 17,7 6,25 2,50 6,75 17,93 32,100 47,93 58,75 62,50 58,25 47,7 34,1 | 38,66 72,108",
    "R": "4,0 4,100 | 0,2 40,2 56,18 50,42 30,52 4,52! 60,100",
    "T": "34,0 34,100 | 0,0 68,0",
    "U": "2,0 2,60 12,92 34,100 54,92 64,60 64,0",
    "V": "0,0 34,100! 68,0",
    "W": "0,0 20,100! 44,30! 66,100! 88,0",
    "X": "0,0 62,100 | 62,0 0,100",
    "Y": "0,0 34,48 | 68,0 34,48! 34,100",
    "a": "56,20 34,2 8,14 0,52 12,90 34,98 54,76 60,10! 60,80 76,98",
    "a of print": "6,20 24,2 46,6 54,26 54,84 66,98 | 54,46 26,46 4,62 6,88 26,98 54,80",
    "c": "54,20 34,2 10,14 0,50 10,84 34,98 58,82",
    "d": "52,60 34,42 10,50 0,72 12,96 34,98 52,80 | 54,0 54,100",
    "e": "4,52 60,50 54,18 32,2 8,18 0,54 14,90 38,98 62,82",
    "f": "56,12 42,0 28,8 24,30 24,100 | 2,42 50,42",
    "h": "4,0 4,100! 4,66 20,46 40,44 50,60 50,100",
    "j": "40,34 40,80 28,98 10,98 0,84 | 40,0 41,3",
    "k": "4,0 4,100 | 46,38 6,70! 50,100",
    "m": "2,10 2,100! 4,40 20,12 36,20 38,100! 40,40 56,12 72,20 76,100",
    "n": "2,6 2,100! 6,40 26,8 48,12 56,40 56,100",
    "p": "4,0 4,100 | 4,14 24,0 46,6 54,28 44,50 22,56 4,44",
    "r": "4,6 4,100! 8,40 24,12 46,8",
    "t": "26,0 26,76 34,96 52,98 60,88 | 0,30 56,30",
    "u": "2,4 2,60 14,92 34,96 52,76 58,6! 58,80 70,98",
    "v": "0,2 28,98! 56,2",
    "w": "0,4 6,70 22,96 38,70 42,30 46,70 62,96 78,70 84,4",
    "x": "4,4 20,12 44,84 62,96 | 60,2 4,98",
    "y": "0,0 28,52 | 58,0 8,100",
}


def texts() -> dict[str, str]:
    """Return the two files, by name, as they are to be written."""
    digits, letters = drawings(DIGITS, least=38), drawings(LETTERS, least=6)
    return {"drawings.json": _json(digits), "letters.json": _json(letters)}


def drawings(shapes: dict[str, str], least: int) -> list[Drawing]:
    """Return every shape written by several hands: at least `least` drawings of each label.

    Args:
        shapes: name, whose first letter is the label -> its points.
        least: drawings of a label.
    """
    found = []
    labels = [name[0] for name in shapes]
    for index, (name, points) in enumerate(shapes.items()):
        for number in range(-(-least // labels.count(name[0]))):
            random = np.random.default_rng([least, index, number])
            strokes = write(parse(points), hand(name[0], random), random)
            found.append(Drawing(name[0], name, strokes))
    return found


def hand(label: str, random: np.random.Generator) -> Hand:
    """Return a hand that writes `label` so that a person reads it at once."""
    return Hand(
        slant=random.uniform(-15, 20),
        turn=random.uniform(-6, 6),
        aspect=random.uniform(0.85 if label in HOLED else 0.75, 1.25),
        top=random.uniform(-0.25, 0.25),
        middle=random.uniform(-0.25, 0.25),
        jitter=random.choice([0.0, 0.007, 0.014, 0.021]),
        roundness=random.choice([0.0, 0.25, 0.5]),
        size=random.uniform(0.58 if label in HOLED else 0.45, 0.75),
        place=(random.random(), random.random()),
    )


def parse(points: str) -> Strokes:
    """Return the timed strokes of a shape, float64 [n, 2] each, in heights."""
    return tuple(timed(_path(stroke)) for stroke in points.split("|"))


def _path(stroke: str) -> np.ndarray:
    """Return the curve through the points of one stroke, [n, 2], in heights."""
    parts: list[list[list[float]]] = [[]]
    for word in stroke.split():
        point = [float(number) / 100 for number in word.rstrip("!").split(",")]
        parts[-1].append(point)
        if word.endswith("!"):
            parts.append([point])
    return np.concatenate([spline(np.array(part)) for part in parts])


def _json(found: list[Drawing]) -> str:
    """Return `found` as JSON, a drawing a line, coordinates to three decimals."""
    lines = []
    for drawing in found:
        strokes = [[[round(float(v), 3) for v in point] for point in s] for s in drawing.strokes]
        item = {"label": drawing.label, "shape": drawing.shape, "strokes": strokes}
        lines.append(json.dumps(item, separators=(",", ":")))
    return "[\n" + ",\n".join(lines) + "\n]\n"


@click.command("benchmarks.draw")
def command() -> None:
    """Write the drawings that the tests read."""
    DRAWINGS.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (DRAWINGS / name).write_text(text)
        click.echo(f"{DRAWINGS / name}: {text.count('label')} drawings, {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    cli.main(command)
