"""A recipe over several seeds: accuracy and seconds, mean and standard deviation.

    python -m benchmarks.recipes --recipe default --seeds 5

Without search and tracking; the test set is read once a seed. Writes
benchmarks/results/TASK-RECIPE.json.
"""

from typing import Any

import click

from benchmarks import record
from experiments import tasks
from experiments.core import cli


@click.command("benchmarks.recipes")
@click.option("--task", type=click.Choice(tasks.names()), default="mnist", show_default=True)
@click.option("--recipe", default="default", show_default=True)
@click.option("--seeds", type=click.IntRange(2, 1000), default=5, show_default=True)
def command(task: str, recipe: str, seeds: int) -> None:
    """Measure a recipe over several seeds."""
    record.warm_up(task, recipe)
    fits = []
    for seed in range(seeds):
        fit = record.fitted(record.request(task, recipe, seed))
        click.echo(f"seed {seed}: {fit['test_accuracy']:.2%}, {fit['seconds']:.2f} s", err=True)
        fits.append(fit)
    line = f"python -m benchmarks.recipes --task {task} --recipe {recipe} --seeds {seeds}"
    record.save(f"{task}-{recipe}", line, summary(task, recipe, fits))


def summary(task: str, recipe: str, fits: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and deviation of the fits' metrics, and the settings that they share."""
    metrics = ("val_accuracy", "test_accuracy", "seconds")
    shared = ("parameters", "precision", "hparams")
    return {
        "task": task,
        "recipe": recipe,
        **{name: record.spread([fit[name] for fit in fits]) for name in metrics},
        **{name: fits[0][name] for name in shared},
    }


if __name__ == "__main__":
    cli.main(command)
