"""The main command: search, fit, calibrate, evaluate, register, promote, draw, report.

python -m experiments.train --task mnist --trials 2 --seed 7

Imports that bring torch are inside the functions, so that --help and mistakes answer at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from experiments import evaluation, figures, report
from experiments.core import cli, paths, progress
from experiments.core.errors import UserError
from experiments.evaluation.evaluation import EvaluationResult
from experiments.figures import learning
from experiments.figures.logger import FigureLogger
from experiments.figures.spec import Trained
from experiments.registry import aliases, artifacts, loading, model_card, promotion, versions
from experiments.search import search
from experiments.tasks.task import Split
from experiments.tracking import run_lock, runs
from experiments.training import options

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from experiments.registry.versions import Version
    from experiments.tracking.runs import RunLogger
    from experiments.training.config import RunConfig
    from experiments.training.metrics import EpochMetrics
    from experiments.training.snapshots import SnapshotRecorder
    from experiments.training.trainer import Trainer

    Facts = Mapping[str, float]  # of the calibration, for clients of the model
    Verify = Callable[[Trainer, nn.Module], dict[str, object]]  # JSON-able, as of `export.verify`


def verify_export(trainer: Trainer, net: nn.Module) -> dict[str, object]:
    """Return whether the ONNX graph of `net` equals it on validation, and its size and latency.

    An error of the exporter costs the version its promotion, not the training.
    """
    from export import verify

    try:
        return verify.verify_export(trainer.task, net, trainer.splits.val.x)
    except Exception as error:  # the exporter's errors have no common class
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        return {**verify.UNVERIFIED, "parity": f"not verified: {reason}"}


def train(config: RunConfig, verify: Verify = verify_export) -> None:
    """Search for hyper-parameters, train with the best, record everything, register the model."""
    from experiments.registry import metadata
    from experiments.training import diagnosis
    from experiments.training.trainer import Trainer

    root = config.state / run_lock.RUN_DIRS.name
    with (
        run_lock.acquire_run_dir(config.key("train"), restart=config.restart, root=root) as run_dir,
        runs.start(f"train {config.task.name}", run_dir) as run,
    ):
        task_figures = figures.get(config.task.name)
        trainer = Trainer.prepare(config, run_dir.folder)
        trainer = replace(trainer, snapshot=task_figures.snapshot)
        figure_logger = FigureLogger(run, config.figures)
        run.params(trainer.params())
        run.dataset(trainer.splits)

        # search
        if config.trials:
            progress.stage("search")
            study = search.open_shared(trainer, config, run_dir)
            search_result = search.search(trainer, config, run, run_dir, study)
            search.log_result(search_result, run, figure_logger, brief=config.short)
            trainer = replace(trainer, hparams=search_result.hparams)
        run.params(trainer.named_hparams())
        run.tags({"settings": trainer.config_hash(), "command": config.as_command()})

        # fit and calibrate
        progress.stage("final fit")
        recorder = trainer.recorder() if config.figures == "all" else None
        net, history, seconds = fit(trainer, run, recorder)
        best = max(history, key=lambda metrics: metrics.rank)
        facts = calibrate(trainer, net)

        progress.stage("evaluation")
        # evaluate on test, then by what the task adds
        measured, test, logits = evaluate(trainer, net)
        measured["fit_seconds"] = seconds
        run.metrics({**measured, "kept_epoch": best.epoch})
        result = evaluate_robustness(trainer, net, facts, test, logits, run)

        # register and promote
        progress.stage("export and registration")
        known = metadata.collect(
            metadata.TrainingResult(trainer, net, best, facts, measured, test, logits, result)
        )
        net = net.cpu().eval()
        version = register(trainer, net, known, run.id, verify)
        promoted, reason = promote(trainer, version)
        model_card.publish(versions.find(version.uri))
        learned = promotion.learned(version.metadata)
        run.tags({"registered": version, "promoted": promoted, "promotion_reason": reason})
        run.tags({"learned": learned.passed})

        # figures and report
        progress.stage("figures and report")
        snapshots = recorder.snapshots(trainer.hparams.epochs) if recorder else []
        trained = Trained(net, trainer.splits, test, logits, snapshots, result)
        others = runs.histories(trainer.config_hash(), list(best.named()), run.id)
        figure_logger.log(learning.figures(history, others, trainer.splits.exhaustive))
        figure_logger.log(task_figures.figures(trained))
        figure_logger.close()
        run.file(report.NAME, report.publish(versions.find(version.uri)).encode())
    alias, option = ("champion", "") if promoted else ("challenger", f" --model {version.uri}")
    export = paths.command("python", f"--task {trainer.task.name}{option}", "export/to_onnx.py")
    print(
        f"{version}: test accuracy {measured['test_accuracy']:.4f}, fitted in {seconds:.1f} s.\n"
        f"It is now the {alias}: {reason}."
    )
    if learned.passed:
        print(f"Next: {paths.command_ui()}, or {export}")
    else:
        cause = diagnosis.likely_cause(trainer, best)
        print(f"It did not learn ({learned.detail}). The likeliest reason: {cause}.")


def fit(
    trainer: Trainer, run: RunLogger, recorder: SnapshotRecorder | None = None
) -> tuple[nn.Module, list[EpochMetrics], float]:
    """Return the selected net, the metrics of each evaluation, and the seconds of the fit."""
    net, history = trainer.net(), []
    started = time.perf_counter()
    for metrics in trainer.fit(net, "final fit", recorder):
        run.metrics(metrics.named(), step=metrics.epoch)
        history.append(metrics)
    seconds = time.perf_counter() - started
    if recorder is not None:
        best = max(history, key=lambda metrics: metrics.rank)
        recorder.finish(best.epoch, lambda: trainer.snapshot(net, trainer.val))
        seconds -= recorder.seconds
    return trainer.task.select_model(net, trainer.val), history, seconds


def calibrate(trainer: Trainer, net: nn.Module) -> Facts:
    """Calibrate the net, if its task does; return the facts that clients of the model need.

    Raises:
        UserError: calibration-missing, the task calibrates but its data have no such split.
    """
    calibrate_net = evaluation.get(trainer.task.name).calibrate
    if calibrate_net is None:
        return {}
    if trainer.calibration is None:
        what = f"data of task {trainer.task.name}"
        fix = "Return one from the task's `load`."
        raise UserError("calibration-missing", what, "a calibration split", "none", fix)
    return calibrate_net(net, trainer.calibration, trainer.val, trainer.splits.canonical)


def evaluate(trainer: Trainer, net: nn.Module) -> tuple[dict[str, float], Split, np.ndarray]:
    """Return test metrics, the test split and its logits, float32 [N, ...].

    Only here does a training read the test split; it selects nothing by it. The net is
    calibrated: unlike `val_loss`, `test_loss` includes its temperature.
    """
    from experiments.training.device import to_device
    from experiments.training.metrics import mean_loss_and_accuracy, predict

    split = trainer.splits.test.open("evaluation of the trained network")
    test = to_device(split, trainer.device)
    logits = predict(net, test.x)
    loss, accuracy = mean_loss_and_accuracy(trainer.task, logits, test.y)
    measured = {"test_loss": loss, "test_accuracy": accuracy, "test_count": test.y.numel()}
    return measured, split, logits.cpu().numpy()


def evaluate_robustness(
    trainer: Trainer, net: nn.Module, facts: Facts, test: Split, logits: np.ndarray, run: RunLogger
) -> EvaluationResult:
    """Return and log what the task evaluates beyond accuracy, compared with the champion."""
    champion = versions.get_by_alias(trainer.task.name)
    if champion and champion.run_id == run.id:  # promoted before this run was interrupted
        champion = None
    other = champion.metadata.get("robustness", {}) if champion else {}
    task_evaluation = evaluation.get(trainer.task.name)
    result = task_evaluation.evaluate(net, facts, trainer.splits, test, logits, other)
    numbers = {**result.numbers, **result.reported}
    run.metrics({f"robustness/{name}": value for name, value in numbers.items()})
    if result.table:
        run.text("robustness.md", result.table)
    return result


def register(
    trainer: Trainer, net: nn.Module, known: Mapping[str, object], run_id: str, verify: Verify
) -> Version:
    """Verify the export of the net and register it with its metadata, once per run."""
    from experiments.registry.metadata import search_tags

    if (earlier := versions.registered_by(run_id, trainer.task.name)) is not None:
        return earlier
    metadata = {**known, "proof": verify(trainer, net), "run_id": run_id}
    example, tags = trainer.splits.val.x[:2], search_tags(metadata)
    return artifacts.register_torch(net, trainer.task.name, example, metadata, tags)


def promote(trainer: Trainer, version: Version) -> tuple[bool, str]:
    """Compare `version` with the champion; return whether it replaces it, and why."""
    example = trainer.splits.val.x[:1]
    return aliases.promote(version, lambda other: loading.time_ratio(version, other, example))


command = options.command(train)

if __name__ == "__main__":
    cli.main(command)
