"""How often a random initialisation learns a gate, by width, activation and optimiser.

python -m experiments.init_study --gate xor --starts 500
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from experiments import tasks
from experiments.core import cli
from experiments.core.errors import UserError
from experiments.core.paths import STATE
from experiments.core.stats import wilson_interval
from experiments.data import truth_table
from experiments.figures.spec import InitResult
from experiments.tracking import runs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

WIDTHS = (1, 2, 3, 4, 6, 8)
ACTIVATIONS = ("tanh", "relu", "sigmoid")
LEARNING_RATES = {"adamw": 0.1, "sgd": 1.0}  # peak, each near its best
EPOCHS = 300


def measure(gate: str, starts: int, seed: int = 0) -> Iterator[InitResult]:
    """Yield a cell for each activation, optimiser and width.

    Raises:
        DataError: there is no such gate.
    """
    for activation in ACTIVATIONS:
        for optimizer in LEARNING_RATES:
            for width in WIDTHS:
                solved = count_solved(gate, activation, optimizer, width, starts, seed)
                low, high = wilson_interval(solved, starts)
                yield InitResult(activation, optimizer, width, starts, solved, low, high)


def count_solved(
    gate: str, activation: str, optimizer: str, width: int, starts: int, seed: int
) -> int:
    """Train `starts` networks side by side; return how many learn every row of `gate`."""
    import torch

    from experiments.training.device import to_device
    from experiments.training.loop import fit, initialise

    task = tasks.get("gate")
    options: dict[str, Any] = {"gate": gate}
    splits = task.load(task.data_options(**options))
    table = to_device(splits.train, torch.device("cpu"))
    settings: dict[str, Any] = {
        "hidden_dim": width,
        "num_restarts": starts,
        "activation": activation,
        "optimizer": optimizer,
        "lr": LEARNING_RATES[optimizer],
    }
    hparams = task.hparams(epochs=EPOCHS, eval_every=EPOCHS, **settings)
    bank = initialise(task, splits, hparams, seed)
    list(fit(task, bank, table, table, hparams, seed=seed))
    with torch.inference_mode():
        return int(task.is_correct(bank(table.x), table.y).all(0).sum())


def table(cells: Sequence[InitResult]) -> str:
    """Return the cells as a Markdown table: share in percent, and its interval."""
    widths = sorted({cell.width for cell in cells})
    lines = [
        f"| activation | optimiser | {' | '.join(f'{width} hidden' for width in widths)} |",
        f"|---|---|{'---|' * len(widths)}",
    ]
    for activation, optimizer in dict.fromkeys((c.activation, c.optimizer) for c in cells):
        row = [c for c in cells if (c.activation, c.optimizer) == (activation, optimizer)]
        shares = (f"{c.solved / c.starts:.1%} ({c.low:.1%} to {c.high:.1%})" for c in row)
        lines.append(f"| {activation} | {optimizer} | {' | '.join(shares)} |")
    return "\n".join(lines)


@click.command("experiments.init_study")
@click.option("--gate", default="xor", show_default=True, help="One gate, by name or as bits.")
@click.option(
    "--starts",
    type=cli.WholeNumber(1, 10_000),
    default=500,
    show_default=True,
    help="Initialisations of each kind of network.",
)
@click.option("--seed", type=cli.WholeNumber(0, 2**32 - 1), default=0, show_default=True)
def command(gate: str, starts: int, seed: int) -> None:
    """Count how many initialisations learn a gate, for each kind of network, and draw it."""
    name, *more = truth_table.parse(gate)
    if more:
        one = "one gate, for instance xor"
        raise UserError("gate-unsuitable", "gate", one, repr(gate), "Choose one.")
    click.echo(table(record(name, starts, seed)))


def record(gate: str, starts: int, seed: int, state: Path = STATE) -> list[InitResult]:
    """Measure the cells in a run that holds their figure and table; return them.

    Args:
        state: folder of unfinished work.
    """
    from tqdm import tqdm

    from experiments.figures.plots import init_success, style

    kinds = len(ACTIVATIONS) * len(LEARNING_RATES) * len(WIDTHS)
    with runs.start(f"init_study {gate}", state=state) as run:
        run.params({"gate": gate, "starts": starts, "seed": seed, "epochs": EPOCHS})
        cells = []
        for cell in tqdm(measure(gate, starts, seed), total=kinds, unit="kind", disable=None):
            cli.stop_if_interrupted()
            cells.append(cell)
        run.file("figures/init-success.png", style.png(init_success.by_width(gate, cells)))
        run.text("init-success.md", table(cells))
    return cells


if __name__ == "__main__":
    cli.main(command)
