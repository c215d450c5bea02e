"""Luck: narrow networks inside a wide bank, counts, intervals, and the figure of them."""

import subprocess
import sys

import pytest
import torch

from experiments import luck
from experiments.paths import ROOT
from experiments.plots import luck as plots
from models.mlp import ACTIVATIONS, GateBank
from tests.conftest import client


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_narrow_networks_stay_narrow(activation: str) -> None:
    widths, x = (1, 3, 4), torch.rand(6, 2)
    bank = luck.bank_of_widths(2, widths, 5, activation)
    for _ in range(3):
        bank(x).square().sum().backward()
        for p in bank.parameters():
            p.data -= p.grad
            p.grad = None
    for row, width in enumerate(widths):
        alone = GateBank(2, (5,), width, activation)
        for name in ("weight1", "bias1", "weight2"):
            alone.get_parameter(name).data = bank.get_parameter(name)[row, :, :width]
        alone.bias2.data = bank.bias2[row]
        torch.testing.assert_close(bank(x)[:, row], alone(x))


def test_starts_are_drawn_for_each_width() -> None:
    bank = luck.bank_of_widths(2, (2, 8), 2000, "tanh")
    reach = bank.weight2.abs().amax((1, 2))
    torch.testing.assert_close(reach, torch.tensor([2**-0.5, 8**-0.5]), rtol=1e-2, atol=0)


def test_xor_needs_two_hidden_units_and_luck() -> None:
    solved = luck.train("xor", "relu", "adamw", (1, 2, 8), 300, seed=0).float().mean(1).tolist()
    assert solved[0] == 0 and 0.15 < solved[1] < 0.4 and solved[2] > 0.95
    one = luck.train("and", "tanh", "adamw", (1,), 300, seed=0).float().mean()
    assert one > 0.8


def test_cells_cover_the_map_with_wilsons_intervals() -> None:
    cells = list(luck.measure("xor", 50))
    kinds = {(c.activation, c.optimizer, c.width) for c in cells}
    assert len(kinds) == len(cells) == len(luck.ACTIVATIONS) * len(luck.RATES) * len(luck.WIDTHS)
    none = next(c for c in cells if c.solved == 0)
    z = 1.959964
    assert none.low == 0 and none.high == pytest.approx(z**2 / (50 + z**2), rel=1e-4)
    assert all(c.low <= c.solved / c.starts <= c.high for c in cells)
    lines = luck.table(cells).splitlines()
    assert len(lines) == 2 + len(luck.ACTIVATIONS) * len(luck.RATES)
    figure = plots.luck("xor", cells)
    figure.canvas.draw()
    drawn = figure.axes[0].lines[0].get_ydata()
    first = [c for c in cells if (c.activation, c.optimizer) == ("tanh", "adamw")]
    assert list(drawn) == [c.solved / c.starts for c in first]
    assert figure.get_suptitle().startswith("xor: 2 hidden units (")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--gate all", "gate: expected one gate, for instance xor; found 'all'."),
        ("--gate xyz", "gate: expected all, one of false"),
        ("--starts 0", "0 is not in the range 1<=x<=10000"),
    ],
)
def test_mistakes_end_in_one_sentence(line: str, says: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "experiments.luck", *line.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2 and says in result.stderr
    assert result.stderr.startswith("Error: ") and len(result.stderr.strip().splitlines()) == 1


def test_map_is_recorded(run, checkout) -> None:
    said = run("mlflow run . -e luck -P gate=and -P starts=20").stdout
    assert "| tanh | adamw |" in said
    store = client(checkout)
    last = store.search_runs(["0"], "params.gate = 'and' and params.starts = '20'")[0]
    assert last.info.status == "FINISHED"
    folders = (store.list_artifacts(last.info.run_id, folder) for folder in (None, "figures"))
    assert {"luck.md", "figures/luck.png"} <= {file.path for files in folders for file in files}
