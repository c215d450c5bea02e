"""The command that only searches: it records each trial and registers nothing.

python -m experiments.tune --task mnist --trials 20

The import that brings torch is inside the function, so that --help and mistakes answer at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from experiments.core import cli, paths, progress
from experiments.core.errors import UserError
from experiments.search import search
from experiments.tracking import run_lock, runs
from experiments.training import options

if TYPE_CHECKING:
    from experiments.training.config import RunConfig


def tune(config: RunConfig) -> None:
    """Search for good hyper-parameters, record each trial, and register nothing."""
    from experiments.training.trainer import Trainer

    if not config.trials:
        raise UserError("value-invalid", "trials", "at least 1 for a search", 0, "Pass trials=5.")
    root = config.state / run_lock.RUN_DIRS.name
    with run_lock.acquire_run_dir(config.key("tune"), restart=config.restart, root=root) as run_dir:
        trainer = Trainer.prepare(config, run_dir.folder)
        study = search.open_shared(trainer, config, run_dir)
        name = f"tune {config.task.name}"
        with runs.start(name, run_dir, shared=search.parent(study, name, config)) as run:
            with study.lock():  # MLflow fails if two processes log a data set at once
                run.params(trainer.params())
                run.dataset(trainer.splits)
            progress.stage("search")
            result = search.search(trainer, config, run, run_dir, study)
            if not config.study:  # a named study's best may change; its run is linked
                run.params(replace(trainer, hparams=result.hparams).named_hparams())
            search.finalize(result, config, run, study)
    print(f"Best of {result.states.count('complete')} complete trials: number {result.best}.")
    if len(result.objectives) > 1:
        print(search.pareto_table(result), end="")
    print("Train with it:")
    arguments = f"-e train {config.with_settings(result.hparams).as_project_params()}"
    print(f"  {paths.command('mlflow run', arguments)}")


command = options.command(tune)

if __name__ == "__main__":
    cli.main(command)
