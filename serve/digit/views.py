"""The views into a digit network: what it saw, its layers, the ink that mattered, its kin.

Each takes (shelf, key of the model, ink) and returns HTML and whether to ask again in a second.
"""

from __future__ import annotations

import html
import threading
import time
from functools import lru_cache
from statistics import median

import numpy as np

from experiments import hashes
from experiments.errors import UserError
from experiments.paths import STATE
from serve.digit import inside_markup, markup
from serve.digit.inside import Inside
from serve.digit.memory import Memory
from serve.digit.reading import Reading, read
from serve.model.shelf import Shelf
from serve.predictor import Predictor
from serve.texts import digit as say

TASK = "mnist"
View = tuple[str, bool]
KEPT = 2  # graphs whose inside is kept at hand: each takes 15 MB, and 18 for what it remembers
RUNS = 20  # of a model, to tell its time
STUDIES = STATE / "page"
_kept: dict[str, Memory] = {}  # by the graph's hash, the last used at the end
_keeping = threading.Lock()


def seen(shelf: Shelf, key: str, ink: np.ndarray) -> View:
    """Show the steps from the drawing to 28x28 pixels."""
    found = read(shelf.get(key, TASK), ink)
    strip = inside_markup.strip(found.parts[found.focus], found.images[found.focus])
    return _number(found) + strip, False


def maps(shelf: Shelf, key: str, ink: np.ndarray) -> View:
    """Show what each layer makes of the drawing."""
    predictor = shelf.get(key, TASK)
    return inside_markup.feature_maps(
        _inside(_graph(predictor)).layers(_one(predictor, ink))
    ), False


def mattered(shelf: Shelf, key: str, ink: np.ndarray) -> View:
    """Show which ink speaks for the answer, and which against."""
    from serve.digit import occlusion

    predictor = shelf.get(key, TASK)
    image = _one(predictor, ink)
    return inside_markup.occlusion(image[0], occlusion.importance(predictor, image)), False


def near(shelf: Shelf, key: str, ink: np.ndarray) -> View:
    """Show the training digits that the network finds most alike."""
    predictor = shelf.get(key, TASK)
    graph = _graph(predictor)
    memory = _memory(graph)
    if (waiting := _waiting(memory)) is not None:
        return waiting, True
    features = _inside(graph).features(_one(predictor, ink))[0]
    return inside_markup.neighbours(memory.nearest(features)), False


def sides(shelf: Shelf, key: str, ink: np.ndarray, torch: bool = False) -> View:
    """Show what each form of the same trained network says, and how long it takes."""
    forms = {
        form: sibling for form, sibling in shelf.siblings(key).items() if torch or form != "torch"
    }
    image = _one(shelf.get(key, TASK), ink)
    rows, faults = [], []
    for form, sibling in forms.items():
        try:
            rows.append(_side(form, shelf.get(sibling, TASK, torch=torch), image))
        except UserError as error:  # of one form; the others are shown
            faults.append(f'<p role="status">{html.escape(str(error))}</p>')
    words = [say.SIDES.format(runs=RUNS), *([say.NO_SIBLINGS] if len(forms) < 2 else [])]
    told = "".join(f"<p>{html.escape(text)}</p>" for text in words)
    table = markup.table(say.SIDES_HEAD, rows) if rows else ""
    return table + "".join(faults) + told, False


def with_torch(shelf: Shelf, key: str, ink: np.ndarray) -> View:
    """Show the same with the torch program, which is loaded for it."""
    return sides(shelf, key, ink, torch=True)


def mistakes(predictor: Predictor) -> View:
    """Show the test digits that the network is surest of and wrong about."""
    memory = _memory(_graph(predictor))
    if (waiting := _waiting(memory)) is not None:
        return waiting, True
    return inside_markup.mistakes(memory.mistakes()), False


VIEWS = {
    "seen": seen,
    "maps": maps,
    "ink": mattered,
    "near": near,
    "sides": sides,
    "torch": with_torch,
}


def _one(predictor: Predictor, ink: np.ndarray) -> np.ndarray:
    """Return the picture that the views are of: uint8 [1, 28, 28], of the least sure digit."""
    found = read(predictor, ink)
    return found.images[found.focus : found.focus + 1]


def _number(found: Reading) -> str:
    if len(found.parts) == 1:
        return ""
    return inside_markup.number(found.images, found.said, found.shares, found.refused)


def _side(form: str, predictor: Predictor, image: np.ndarray) -> list[str]:
    predictor(image)  # the first is slower
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        told = predictor(image)
        times.append(time.perf_counter() - started)
    top = int(told["probabilities"][0].argmax())
    score = f"{told['score'][0]:.2f}" if "score" in told else "–"
    size = f"{len(predictor.graph):,}" if predictor.graph else "–"
    share = f"{told['probabilities'][0, top]:.2%}"
    return [form, predictor.labels[top], share, score, f"{median(times) * 1000:.2f} ms", size]


def _graph(predictor: Predictor) -> bytes:
    if not predictor.graph:
        raise UserError(say.NO_GRAPH)
    return predictor.graph


@lru_cache(KEPT)
def _inside(graph: bytes) -> Inside:
    return Inside(graph)


def _memory(graph: bytes) -> Memory:
    """Return what is remembered of a graph: one object for all who ask, while it is at work."""
    digest = hashes.of_bytes(graph)
    with _keeping:
        known = _kept.pop(digest) if digest in _kept else Memory(graph, STUDIES)
        _kept[digest] = known
        for old in [name for name, memory in _kept.items() if not memory.running][:-KEPT]:
            del _kept[old]
        return known


def _waiting(memory: Memory) -> str | None:
    """Return what to say while all of MNIST is read; start that if nobody has."""
    if memory.ready:
        return None
    if memory.missing:
        raise UserError(memory.missing)
    memory.start()
    return inside_markup.progress(memory.progress())
