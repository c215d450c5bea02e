"""How often a gate network succeeds, by width, activation and optimiser: the luck of the start.

python -m experiments.luck --gate xor --starts 500
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from experiments import cli, tasks, tracking
from experiments.data import truth_table
from experiments.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from models.mlp import GateBank

WIDTHS = (1, 2, 3, 4, 6, 8)
ACTIVATIONS = ("tanh", "relu", "sigmoid")
RATES = {"adamw": 0.1, "sgd": 1.0}  # optimiser -> peak learning rate, each near its best
EPOCHS = 300
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Cell:
    """One kind of network: how many of its starts got every row of the truth table right.

    Attributes:
        low, high: Wilson's interval of the share, with 95 % confidence.
    """

    activation: str
    optimizer: str
    width: int
    starts: int
    solved: int
    low: float
    high: float


def measure(gate: str, starts: int, seed: int = 0) -> Iterator[Cell]:
    """Yield the cells; all widths and starts of an activation and an optimiser train at once.

    Raises:
        DataError: there is no such gate.
    """
    from scipy.stats import binomtest

    for activation in ACTIVATIONS:
        for optimizer in RATES:
            solved = train(gate, activation, optimizer, WIDTHS, starts, seed).sum(1)
            for width, count in zip(WIDTHS, solved.tolist(), strict=True):
                low, high = binomtest(count, starts).proportion_ci(CONFIDENCE, "wilson")
                yield Cell(activation, optimizer, width, starts, count, low, high)


def train(
    gate: str, activation: str, optimizer: str, widths: Sequence[int], starts: int, seed: int
) -> Tensor:
    """Return which starts learned the whole truth table of `gate`: bool [widths, starts]."""
    import torch

    from experiments.device import to_device
    from experiments.fit import fit, seeds
    from experiments.tasks.base import Split

    task = tasks.get("gate")
    options: dict[str, Any] = {"gate": gate}
    splits = task.load(task.data_options(**options))
    table = to_device(splits.train, torch.device("cpu"))
    table = Split(table.x, table.y[:, :1].expand(-1, len(widths)))  # the same gate at each width
    changed: dict[str, Any] = {"optimizer": optimizer, "lr": RATES[optimizer]}
    hparams = task.hparams(epochs=EPOCHS, eval_every=EPOCHS, **changed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds(seed).init)
        bank = bank_of_widths(table.x.shape[1], widths, starts, activation)
    list(fit(task, bank, table, table, hparams, seed=seed))
    with torch.inference_mode():
        return task.correct(bank(table.x), table.y).all(0)


def bank_of_widths(inputs: int, widths: Sequence[int], starts: int, activation: str) -> GateBank:
    """Return a bank (widths, starts) whose narrower networks have units that lead nowhere."""
    import torch

    from models.mlp import GateBank

    bank = GateBank(inputs, (len(widths), starts), max(widths), activation)
    alive = torch.zeros(len(widths), 1, max(widths))
    with torch.no_grad():
        for row, width in enumerate(widths):
            alive[row, :, :width] = 1
            narrow = GateBank(inputs, (starts,), width, activation)
            bank.bias2[row] = narrow.bias2
            for name in ("weight1", "bias1", "weight2"):
                bank.get_parameter(name)[row, :, :width] = narrow.get_parameter(name)
        bank.weight2.mul_(alive)
    bank.weight2.register_hook(alive.mul)
    return bank


def table(cells: Sequence[Cell]) -> str:
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


@click.command("experiments.luck")
@click.option("--gate", default="xor", show_default=True, help="One gate, by name or as bits.")
@click.option(
    "--starts",
    type=click.IntRange(1, 10_000),
    default=500,
    show_default=True,
    help="Networks of each kind.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
def command(gate: str, starts: int, seed: int) -> None:
    """Count how many starts learn a gate, for each kind of network, and draw it."""
    from tqdm import tqdm

    from experiments.plots import luck as plots
    from experiments.plots import style

    name, *more = truth_table.parse(gate)
    if more:
        raise UserError(f"gate: expected one gate, for instance xor; found {gate!r}.")
    kinds = len(ACTIVATIONS) * len(RATES) * len(WIDTHS)
    with tracking.start(f"luck {name}") as run:
        run.params({"gate": gate, "starts": starts, "seed": seed, "epochs": EPOCHS})
        cells = []
        for cell in tqdm(measure(gate, starts, seed), total=kinds, unit="kind", disable=None):
            cli.stop_if_interrupted()
            cells.append(cell)
        run.file("figures/luck.png", style.png(plots.luck(name, cells)))
        run.text("luck.md", table(cells))
    click.echo(table(cells))


if __name__ == "__main__":
    cli.main(command)
