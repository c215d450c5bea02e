"""Build the neighbour index of one graph: features of the training digits, worst test mistakes."""

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
MAX_INDEXES = 4  # on disk, 61 MB each


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
    # One pass over the training digits and the test digits.
    features, probs = _run(model, np.concatenate([train_images, data.test_images]), report)
    arrays = {
        "features": features[: len(train_images)],
        "labels": data.train_labels[is_train],
        "indices": np.flatnonzero(is_train).astype(np.int32),
        "images": train_images,
        **_worst_mistakes(probs[len(train_images) :], data),
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
    """Return the features, float16 [N, units] of length 1, and probabilities, float32 [N, 10]."""
    features, probs = [], []
    for start in range(0, len(images), BATCH_SIZE):
        x, prob = model.features(images[start : start + BATCH_SIZE])
        lengths = np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        features.append((x / lengths).astype(np.float16))
        probs.append(prob)
        report((start + len(prob)) / len(images))
    return np.concatenate(features), np.concatenate(probs)


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
