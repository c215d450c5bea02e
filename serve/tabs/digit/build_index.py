"""Build the neighbour index of one graph: features of the training digits, worst test mistakes,
and the test digits that excite each hidden unit most.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments.core import cli, files
from experiments.core.paths import MNIST_CACHE
from experiments.data import mnist
from experiments.data.split import SPLIT_SEED, VAL_SHARE, stratified
from serve.refusals import refusal
from serve.tabs.digit.activations import ActivationModel

BATCH_SIZE = 250
MAX_MISTAKES = 20
MAX_EXCITING = 8  # test digits of each hidden unit
MAX_INDEXES = 4  # on disk, 69 MB each


def build(
    graph: bytes,
    path: Path,
    report: Callable[[float], None],
    *,
    cache: Path = MNIST_CACHE,
    max_indexes: int = MAX_INDEXES,
) -> None:
    """Write the index of a graph to `path`, an NPZ file.

    Args:
        graph: bytes of the ONNX file.
        report: receives the fraction that is done, batch after batch.
        cache: folder of MNIST unless MNIST_DIR names another.
        max_indexes: of the folder; the least recently used ones are removed.

    Raises:
        UserError: file-missing, mnist-mismatch, or file-unwritable.
    """
    model = ActivationModel(graph)
    data = _load_mnist(model.metadata.get("data_digest", "unknown"), cache)
    is_train = ~stratified(data.train_labels, VAL_SHARE, SPLIT_SEED)
    train_images = data.train_images[is_train]
    count, test_count = len(train_images), len(data.test_images)
    features, _ = _run(model, train_images, lambda done: report(done / (count + test_count)))
    has_units = features.dtype != np.uint8
    if has_units:
        _normalise(features)
    units, probs = _run(
        model, data.test_images, lambda done: report((count + done) / (count + test_count))
    )
    arrays = {
        "features": features,
        "labels": data.train_labels[is_train],
        "indices": np.flatnonzero(is_train).astype(np.int32),
        "images": train_images,
        "test_images": data.test_images,
        "test_labels": data.test_labels,
        **(_most_exciting(units) if has_units else {}),
        **_worst_mistakes(probs, data),
    }
    file = io.BytesIO()
    np.savez(file, **arrays)
    files.write(file.getvalue(), path)
    indexes = sorted(path.parent.glob("*.npz"), key=lambda each: each.stat().st_mtime_ns)
    for oldest in indexes[:-max_indexes]:
        oldest.unlink(missing_ok=True)


def _load_mnist(digest: str, cache: Path) -> mnist.Mnist:
    """Return the MNIST of this machine, without a download; the model was trained on `digest`."""
    data = mnist.load(cli.user_path(os.environ.get("MNIST_DIR") or cache, "MNIST_DIR"))
    if data.digest != digest:
        found = f"others on this machine, with {data.digest[:8]}"
        raise refusal("mnist-mismatch", found, digest=digest[:8])
    return data


def _run(
    model: ActivationModel, images: np.ndarray, report: Callable[[float], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features, float16 [N, units], and probabilities, float32 [N, 10], of images.

    Packed bits, of a circuit, stay uint8 [N, bytes].

    Args:
        report: receives the number of images that are done.
    """
    features, probs = [], []
    for start in range(0, len(images), BATCH_SIZE):
        x, prob = model.features(images[start : start + BATCH_SIZE])
        features.append(x if x.dtype == np.uint8 else x.astype(np.float16))
        probs.append(prob)
        report(start + len(prob))
    return np.concatenate(features), np.concatenate(probs)


def _normalise(features: np.ndarray) -> None:
    """Give each row of float16 [N, units] length 1, in place and in batches, to save memory."""
    for start in range(0, len(features), BATCH_SIZE):
        rows = features[start : start + BATCH_SIZE].astype(np.float32)
        lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        features[start : start + BATCH_SIZE] = rows / lengths


def _most_exciting(features: np.ndarray) -> dict[str, np.ndarray]:
    """Return the indices and activations of each unit's test digits, [units, MAX_EXCITING]."""
    order = np.argsort(-features, axis=0, kind="stable")[:MAX_EXCITING]
    values = np.take_along_axis(features, order, 0)
    return {"unit_indices": order.T.astype(np.int32), "unit_values": values.T}


def _worst_mistakes(probs: np.ndarray, data: mnist.Mnist) -> dict[str, np.ndarray]:
    """Return the misclassified test digits, the most probable predictions first."""
    preds, top = probs.argmax(1).astype(np.uint8), probs.max(1)
    wrong = np.flatnonzero(preds != data.test_labels)
    worst = wrong[np.argsort(-top[wrong], kind="stable")][:MAX_MISTAKES]
    return {
        "mistake_images": data.test_images[worst],
        "mistake_labels": data.test_labels[worst],
        "mistake_preds": preds[worst],
        "mistake_probs": top[worst],
        "mistake_indices": worst,
    }
