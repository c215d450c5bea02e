"""All of MNIST read with one graph: the child process of `memory.py`.

python -m serve.digit.study state/page/SHA256.onnx

Feeds the graph the digits it was trained on and the test set, so that the page stays small and
quick meanwhile, and writes beside the graph, whole or not at all, SHA256.npz with the features
and the worst mistakes, and DIGEST.npy with the training digits' pictures.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from experiments import cli, outfile
from experiments.data import mnist
from experiments.data.split import SPLIT_SEED, VAL_SHARE, stratified
from experiments.errors import UserError
from serve.digit.inside import Inside
from serve.digit.memory import at_hand, read
from serve.texts import inside as say

BATCH = 250  # digits
WORST = 20
WIDEST = 512  # units of the hidden layer: 56 MB
NICE = 15  # the page comes first
MOST_KEPT = 8  # graphs whose findings stay on the disk, 18 MB each


def study(path: Path, tell: Callable[[float], None]) -> None:
    """Read all of MNIST with the graph in the file `path`, and write beside it what comes out.

    Args:
        tell: is given the share of the work that is done, now and then.

    Raises:
        UserError: MNIST is not at hand, or another than the graph's, or the graph will not do.
    """
    inside = Inside(path.read_bytes())
    folder = at_hand()
    if folder is None:
        raise UserError(say.NO_MNIST)
    data = mnist.load(folder)  # a folder that is named is never fetched into
    theirs = inside.about.get("data_digest", "unknown")
    if theirs != data.digest:
        raise UserError(say.OTHER_MNIST.format(theirs=theirs[:8], ours=data.digest[:8]))
    index = np.flatnonzero(~stratified(data.train_labels, VAL_SHARE, SPLIT_SEED))
    images = data.train_images[index]
    total = len(images) + len(data.test_images)
    features, _ = _run(inside, images, lambda done: tell(done / total))
    if features.shape[1] > WIDEST:
        raise UserError(say.WIDE.format(found=features.shape[1], most=WIDEST))
    _, shares = _run(inside, data.test_images, lambda done: tell((len(images) + done) / total))
    _save(path.with_name(f"{data.digest}.npy"), lambda file: np.save(file, images))
    kept: dict[str, Any] = {
        "features": features,
        "labels": data.train_labels[index],
        "data": data.digest,
    }
    kept |= {"index": index.astype(np.int32), **_worst(shares, data)}
    _save(path.with_suffix(".npz"), lambda file: np.savez(file, **kept))  # last: now it is there
    _prune(path.parent)


def _run(
    inside: Inside, images: np.ndarray, tell: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features, float16 [N, d] of length 1, and the probabilities, float32 [N, 10]."""
    features, shares = [], []
    for start in range(0, len(images), BATCH):
        found, share = inside.features_and(images[start : start + BATCH], "probabilities")
        lengths = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        features.append((found / lengths).astype(np.float16))
        shares.append(share)
        tell(start + len(share))
    return np.concatenate(features), np.concatenate(shares)


def _worst(shares: np.ndarray, data: mnist.Mnist) -> dict[str, np.ndarray]:
    """Return the test digits that are said to be another, the surest first, at most `WORST`."""
    said, sure = shares.argmax(1).astype(np.uint8), shares.max(1)
    wrong = np.flatnonzero(said != data.test_labels)
    place = wrong[np.argsort(-sure[wrong], kind="stable")][:WORST]
    return {
        "images": data.test_images[place],
        "truth": data.test_labels[place],
        "said": said[place],
        "share": sure[place],
        "place": place,
    }


def _save(path: Path, save: Callable[[io.BytesIO], None]) -> None:
    file = io.BytesIO()
    save(file)
    outfile.write(file.getvalue(), path)


def _prune(folder: Path) -> None:
    """Remove what was kept of all graphs but the newest, `MOST_KEPT` of them."""
    found = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime_ns)
    for old in found[:-MOST_KEPT]:
        for path in (old, old.with_suffix(".onnx")):
            path.unlink(missing_ok=True)


@click.command("serve.digit.study", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", metavar="GRAPHFILE", type=click.Path(exists=True, path_type=Path))
def command(path: Path) -> None:
    """Read all of MNIST with a graph of digits, and write beside the file what the page shows.

    It says in lines of JSON how far it is ("done", 0 to 1) or why it cannot be ("missing").
    """
    from filelock import FileLock

    os.nice(NICE)
    with FileLock(path.with_name("reading.lock")):  # whoever dies lets go of it
        if read(path) is None:
            try:
                study(path, lambda done: click.echo(json.dumps({"done": round(done, 3)})))
            except UserError as error:
                click.echo(json.dumps({"missing": str(error)}))
                raise


if __name__ == "__main__":
    cli.main(command)
