"""Seconds of training to an accuracy: ours beside the well-known example, in one run.

    python -m benchmarks.race --seeds 5

The example's epochs stand before and after ours, so that both meet the same machine. How many
epochs it needs is read from benchmarks/results/reference.json. Ours is a schedule for each aim,
set before the test set was read (docs/experiments.md). Writes benchmarks/results/race.json, and
what it learned of whole recipes into mnist-flash.json and mnist-default.json.
"""

import statistics
from typing import Any

import click

from benchmarks import recipes, record
from experiments import cli
from experiments.errors import UserError

# The quickest way to 99.5 % that was found (docs/experiments.md): shallow, and digits alone.
SHALLOW = {"width": 24, "depth": 1, "far": 0, "degrade": 0, "strangers": 0}
# Test accuracy to reach -> recipe, and what is changed in it.
SCHEDULES: dict[float, tuple[str, dict[str, float]]] = {
    0.985: ("flash", {"epochs": 0.2}),
    0.99: ("flash", {}),
    0.993: ("flash", {"epochs": 1}),
    0.995: ("default", {"epochs": 2, **SHALLOW}),
    0.996: ("default", {}),
}
Fits = dict[float, list[dict[str, Any]]]  # aim -> what each seed gave


def epochs_to(aim: float, mean_accuracy: list[float]) -> int | None:
    """Return the first epoch, from 1, whose accuracy reaches `aim`; None if none does."""
    return next((n for n, mean in enumerate(mean_accuracy, start=1) if mean >= aim), None)


def measure(seeds: int) -> tuple[dict[str, Any], Fits]:
    """Return the spread of seconds for each aim, and the example's; and the fits of each aim."""
    from benchmarks import reference

    example = [epoch["mean"] for epoch in record.load("reference").get("test_accuracy", [])]
    if not example:
        raise UserError("first measure the example: python -m benchmarks.reference")
    yardstick = reference.epochs(0)
    epoch_seconds = [next(yardstick)[0]]
    ours: Fits = {aim: [] for aim in SCHEDULES}
    for seed in range(seeds):
        for aim, (recipe, changed) in SCHEDULES.items():
            one = record.fitted(record.request("mnist", recipe, seed, changed=changed))
            ours[aim].append(one)
            click.echo(f"{aim:.1%}, seed {seed}: {one['seconds']:.2f} s", err=True)
    epoch_seconds.append(next(yardstick)[0])
    second = statistics.mean(epoch_seconds)
    result = {
        "reference_epoch_seconds": record.spread(epoch_seconds),
        "aims": [
            _row(aim, ours[aim], epochs_to(aim, example), second, len(example)) for aim in SCHEDULES
        ],
    }
    return result, ours


def _row(
    aim: float, fits: list[dict[str, Any]], epochs: int | None, second: float, known: int
) -> dict[str, Any]:
    """Return one aim's figures; the ratio is at least so much if the example never got there."""
    seconds = record.spread([fit["seconds"] for fit in fits])
    needed = (epochs or known) * second
    test = record.spread([fit["test_accuracy"] for fit in fits])
    return {
        "aim": aim,
        "schedule": SCHEDULES[aim],
        "reached": test["mean"] >= aim,
        "test_accuracy": test,
        "val_accuracy": record.spread([fit["val_accuracy"] for fit in fits]),
        "seconds": seconds,
        "reference_epochs": epochs,
        "reference_epochs_tried": known,
        "reference_seconds": needed,
        "ratio": record.spread([needed / one for one in seconds["values"]]),
    }


@click.command("benchmarks.race")
@click.option("--seeds", type=click.IntRange(2, 100), default=5, show_default=True)
def command(seeds: int) -> None:
    """Race the well-known example to five accuracies."""
    record.warm_up("mnist", *dict.fromkeys(recipe for recipe, _ in SCHEDULES.values()))
    line = f"python -m benchmarks.race --seeds {seeds}"
    result, fits = measure(seeds)
    record.save("race", line, result)
    for aim, (recipe, changed) in SCHEDULES.items():
        if not changed:
            record.save(f"mnist-{recipe}", line, recipes.gathered("mnist", recipe, fits[aim]))


if __name__ == "__main__":
    cli.main(command)
