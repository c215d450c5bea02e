"""The main command: search, fit, calibrate, evaluate, examine, register, promote, draw, report.

python -m experiments.train --task mnist --trials 2 --seed 7
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from experiments import (
    artifacts,
    card,
    cli,
    lease,
    moves,
    options,
    rebuilt,
    report,
    tracking,
    tune,
    versions,
)
from experiments.gallery import Gallery
from experiments.tasks.base import Examination, Exhibit, Trained

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import nn

    from experiments.album import Album
    from experiments.job import Job
    from experiments.metrics import EpochMetrics
    from experiments.options import Request
    from experiments.tracking import Recorder
    from experiments.versions import Version


SAME_ROWS = "train: mean over all starts; val: the start that is kept; both on all rows there are"


def train(request: Request) -> None:
    """Search for hyper-parameters, train with the best, record everything, register the model."""
    from experiments import evidence, parallel
    from experiments.job import Job

    if parallel.rank():
        Job.prepare(request).follow()
        return
    with (
        lease.place(request.key("train"), afresh=request.afresh) as place,
        tracking.start(f"train {request.task.name}", place) as run,
    ):
        job = Job.prepare(request, place.folder)
        run.params(job.described())
        run.dataset(job.splits)
        gallery = Gallery(run, request.figures)
        if request.trials:
            shared = tune.open_shared(request, place)
            outcome = tune.search(job, request, run, place, shared)
            tune.log_outcome(outcome, run, gallery)
            job = replace(job, hparams=outcome.hparams)
        run.params(job.named_hparams())
        run.tags({"settings": job.settings(), "command": request.as_command()})
        album = job.album() if request.figures == "all" else None
        net, history, seconds = fit(job, run, album)
        job.group.end()
        kept = max(history, key=lambda metrics: metrics.rank)
        facts = job.task.calibrate(net, job.val)
        measured, logits = evaluate(job, net)
        measured["fit_seconds"] = seconds
        run.metrics({**measured, "kept_epoch": kept.epoch})
        exam = examine(job, net, facts, logits, run)
        known = evidence.gather(job, net, kept, facts, measured, logits, exam)
        net = net.cpu().eval()
        version = register(job, net, known, run.id)
        promoted, reason = promote(job, version)
        card.publish(versions.find(version.uri))
        run.tags({"registered": version, "promoted": promoted, "promotion_reason": reason})
        moments = album.moments(job.hparams.epochs) if album else []
        gallery.hang(curves(job, history, kept.epoch, run))
        gallery.hang(job.task.exhibits(Trained(net, job.splits, logits, moments)))
        gallery.hang(exam.exhibits)
        gallery.close()
        run.file(report.NAME, report.publish(versions.find(version.uri)).encode())
    which = "" if promoted else f" --model {version.uri}"
    print(
        f"{version}: test accuracy {measured['test_accuracy']:.4f}, fitted in {seconds:.1f} s.\n"
        f"It {'is now the champion' if promoted else 'is now the challenger'}: {reason}.\n"
        f"Next: mlflow ui, or python export/to_onnx.py --task {job.task.name}{which}"
    )


def fit(
    job: Job, run: Recorder, album: Album | None = None
) -> tuple[nn.Module, list[EpochMetrics], float]:
    """Return the trained net that is kept, the course of the training, and its seconds.

    Args:
        album: takes in moments of the training.
    """
    net, history = job.net(), []
    started = time.perf_counter()
    for metrics in job.fit(net, "final fit", album):
        run.metrics(metrics.named(), step=metrics.epoch)
        history.append(metrics)
    seconds = time.perf_counter() - started
    if album is not None:
        kept = max(history, key=lambda metrics: metrics.rank)
        album.end(kept.epoch, lambda: job.task.watch(net, job.val))
        seconds -= album.seconds
    return job.task.choose(net, job.val), history, seconds


def evaluate(job: Job, net: nn.Module) -> tuple[dict[str, float], Any]:
    """Return test metrics and the test logits, float32 [N, ...]; test is read here, only here.

    The net is calibrated by then: unlike `val_loss`, `test_loss` counts its temperature.
    """
    from experiments.device import to_device
    from experiments.metrics import mean_loss_and_accuracy, predict

    test = to_device(job.splits.test, job.device)
    logits = predict(net, test.x)
    loss, accuracy = mean_loss_and_accuracy(job.task, logits, test.y)
    measured = {"test_loss": loss, "test_accuracy": accuracy, "test_count": test.y.numel()}
    return measured, logits.cpu().numpy()


def curves(
    job: Job, history: Sequence[EpochMetrics], kept: int, run: Recorder
) -> Iterator[Exhibit]:
    """Yield the picture of the training's course, beside those of its other seeds."""
    from experiments.plots import training

    names = list(history[0].named())
    series = {name: [m.named()[name] for m in history] for name in names}
    others = tracking.histories(job.settings(), names, run.id)
    epochs = [m.epoch for m in history]
    look = "Look for validation loss that rises while training loss falls: it learns by heart."
    limit = "It cannot show causes; training is measured on augmented data and moving weights."
    words: dict[str, str] = {}
    if job.splits.exhaustive:
        look = "Look for the gap: starts that never learn hold the training loss up."
        limit = "It cannot show generalisation: there are no rows but these."
        words = {"right": "of the rows right", "note": SAME_ROWS}
    yield Exhibit(
        "learning/curves",
        lambda: training.curves(epochs, series, kept, others, **words),
        look,
        limit,
        core=True,
    )


def examine(
    job: Job,
    net: nn.Module,
    facts: Mapping[str, float],
    logits: Any,
    run: Recorder,
) -> Examination:
    """Let the task examine the net, and log what it finds; its pictures are not drawn yet."""
    champion = versions.bearer(job.task.name)
    if champion and champion.run_id == run.id:  # crowned by a process that died then
        champion = None
    theirs = champion.metadata.get("robustness", {}) if champion else {}
    found = job.task.examine(net, facts, job.splits, logits, theirs)
    run.metrics(
        {f"robustness/{name}": v for name, v in {**found.numbers, **found.reported}.items()}
    )
    if found.table:
        run.text("robustness.md", found.table)
    return found


def prove(job: Job, net: nn.Module) -> dict[str, Any]:
    """Return whether the net's graph is the same function, and the graph's size and speed.

    Whatever goes wrong here costs the version its promotion, and no training.
    """
    from export import proof

    try:
        return proof.of_net(job.task, net, job.splits.test.x)
    except Exception as error:  # of the exporter, which has no common class of its own
        why = next(iter(str(error).splitlines()), type(error).__name__)
        return {**proof.NONE, "parity": f"not proven: {why}"}


def register(job: Job, net: Any, known: Mapping[str, Any], run_id: str) -> Version:
    """Prove and register the net with all that rebuilds, judges and exports it; once a run.

    Args:
        known: its evidence but for the proof, JSON-able.
    """
    from experiments import evidence

    if (earlier := versions.registered_by(run_id, job.task.name)) is not None:
        return earlier
    metadata = {**known, "proof": prove(job, net), "run_id": run_id}
    example, tags = job.splits.test.x[:2], evidence.searched(metadata)
    return artifacts.register_torch(net, job.task.name, example, metadata, tags)


def promote(job: Job, version: Version) -> tuple[bool, str]:
    """Put `version` to the test; return whether it is champion now, and why."""
    example = job.splits.test.x[:1]
    return moves.promote(version, lambda other: rebuilt.time_ratio(version, other, example))


command = options.training(train)

if __name__ == "__main__":
    cli.main(command)
