"""A recipe over several seeds: accuracy and seconds, mean and standard deviation.

    python -m benchmarks.recipes --recipe default --seeds 5

No search, no tracking: the recipe as it stands, fitted, and measured on the test set once a
seed. Writes benchmarks/results/TASK-RECIPE.json.
"""

from typing import Any

import click

from benchmarks import record
from experiments import cli, tasks


def measure(task: str, recipe: str, seeds: int) -> dict[str, Any]:
    """Return the spread of the recipe's figures over seeds 0, 1, ..."""
    results = []
    for seed in range(seeds):
        results.append(record.fitted(record.request(task, recipe, seed)))
        last = results[-1]
        click.echo(
            f"{task} {recipe}, seed {seed}: validation {last['val_accuracy']:.2%}, "
            f"test {last['test_accuracy']:.2%}, {last['seconds']:.2f} s",
            err=True,
        )
    return gathered(task, recipe, results)


def gathered(task: str, recipe: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the spread of the figures of several seeds, and what the seeds share."""
    figures = ("val_accuracy", "test_accuracy", "seconds")
    same = ("parameters", "precision", "hparams")
    return {
        "task": task,
        "recipe": recipe,
        **{name: record.spread([r[name] for r in results]) for name in figures},
        **{name: results[0][name] for name in same},
    }


@click.command("benchmarks.recipes")
@click.option("--task", type=click.Choice(tasks.names()), default="mnist", show_default=True)
@click.option("--recipe", default="default", show_default=True)
@click.option("--seeds", type=click.IntRange(2, 1000), default=5, show_default=True)
def command(task: str, recipe: str, seeds: int) -> None:
    """Measure a recipe over several seeds."""
    record.warm_up(task, recipe)
    line = f"python -m benchmarks.recipes --task {task} --recipe {recipe} --seeds {seeds}"
    record.save(f"{task}-{recipe}", line, measure(task, recipe, seeds))


if __name__ == "__main__":
    cli.main(command)
