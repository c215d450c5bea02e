"""The views of a drawing: the network's input, occlusion, neighbours, backends.

Each takes (store, key of the model, drawing) and returns HTML, and whether to ask again in a
second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache, partial
from statistics import median

import numpy as np

from experiments.core.errors import UserError
from experiments.core.paths import STATE
from serve.backends.onnx_backend import Predictor
from serve.models.store import ModelStore
from serve.refusals import refusal
from serve.strings import digit as texts
from serve.tabs.digit import activations_markup, markup, occlusion
from serve.tabs.digit.activations import activation_model
from serve.tabs.digit.inference import read
from serve.tabs.digit.neighbor_index import NeighborIndex

TASK = "mnist"
CACHE_SIZE = 2  # neighbour indexes, 18 MB each
RUNS = 20  # of a model, to measure its time
INDEXES = STATE / "page"
View = tuple[str, bool]


def network_input(store: ModelStore, key: str, drawing: np.ndarray) -> View:
    """Show the steps from the drawing to 28x28 pixels."""
    prediction = read(store.load(key, TASK), drawing)
    focus = prediction.focus
    steps = activations_markup.input_steps(prediction.drawings[focus], prediction.images[focus])
    if len(prediction.images) == 1:
        return steps, False
    return activations_markup.number(prediction) + steps, False


def occlusion_map(store: ModelStore, key: str, drawing: np.ndarray) -> View:
    """Show the importance of each pixel's ink for the prediction."""
    predictor = store.load(key, TASK)
    image = _image(predictor, drawing)
    importance = occlusion.importance(predictor, image)
    return activations_markup.occlusion(image[0], importance), False


def neighbors(store: ModelStore, key: str, drawing: np.ndarray) -> View:
    """Show the training digits with the nearest features."""
    predictor = store.load(key, TASK)
    graph = graph_of(predictor)
    index = index_of(graph)
    done = index.build()
    if done < 1:
        return activations_markup.progress(done), True
    features, _ = activation_model(graph).features(_image(predictor, drawing))
    return activations_markup.neighbors(index.nearest(features[0])), False


def mistakes(predictor: Predictor) -> View:
    """Show the misclassified test digits with the most probable predictions."""
    index = index_of(graph_of(predictor))
    done = index.build()
    if done < 1:
        return activations_markup.progress(done), True
    return activations_markup.mistakes(index.mistakes()), False


def backends(store: ModelStore, key: str, drawing: np.ndarray, torch: bool = False) -> View:
    """Show the prediction and the time of each form of the same trained network."""
    image = _image(store.load(key, TASK), drawing)
    forms = {form: text for form, text in store.siblings(key).items() if form != "torch" or torch}
    rows, notes = [], []
    for form, sibling in forms.items():
        try:
            rows.append(_measure(form, store.load(sibling, TASK), image))
        except UserError as error:  # of one form; the others are shown
            notes.append(str(error))
    notes.append(texts.BACKENDS.format(runs=RUNS))
    if len(forms) < 2:
        notes.append(texts.ONE_BACKEND)
    return markup.backends(rows, notes), False


VIEWS: dict[str, Callable[[ModelStore, str, np.ndarray], View]] = {
    "input": network_input,
    "occlusion": occlusion_map,
    "neighbors": neighbors,
    "backends": backends,
    "torch": partial(backends, torch=True),
}


def _image(predictor: Predictor, drawing: np.ndarray) -> np.ndarray:
    """Return the image of the digit that the views show: uint8 [1, 28, 28]."""
    prediction = read(predictor, drawing)
    return prediction.images[prediction.focus : prediction.focus + 1]


def _measure(form: str, predictor: Predictor, image: np.ndarray) -> list[str]:
    """Return the cells of a form's row."""
    outputs = predictor(image)  # the first run is slower than the others
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        predictor(image)
        times.append(time.perf_counter() - start)
    probs = outputs["probabilities"][0]
    index = int(probs.argmax())
    score = f"{outputs['score'][0]:.2f}" if "score" in outputs else "–"
    size = f"{len(predictor.graph):,}" if predictor.graph else "–"
    milliseconds = f"{1000 * median(times):.2f} ms"
    return [form, predictor.labels[index], f"{probs[index]:.2%}", score, milliseconds, size]


def graph_of(predictor: Predictor) -> bytes:
    """Return the bytes of a model's ONNX file; raise UserError for a torch program."""
    if not predictor.graph:
        raise refusal("graph-missing", "a torch program", model=predictor.title)
    return predictor.graph


@lru_cache(CACHE_SIZE)
def index_of(graph: bytes) -> NeighborIndex:
    """Return the index of a graph's digits, which may have to be built."""
    return NeighborIndex(graph, INDEXES)
