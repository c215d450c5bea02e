"""The study of initialisations: counts, intervals, and the figure of them."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from experiments import init_study
from experiments.core.errors import DataError, UserError
from experiments.figures.plots import init_success
from experiments.figures.spec import InitResult
from tests.conftest import Command, client
from tests.expect import refused
from tests.figure_text import names, numbers
from tests.inprocess import Store


def cell(activation: str, width: int, solved: int, optimizer: str = "sgd") -> InitResult:
    low, high = solved / 100 * 0.9, solved / 100
    return InitResult(activation, optimizer, width, 100, solved, low, high)


def test_xor_needs_two_hidden_units_and_a_good_start() -> None:
    one, two, eight = (
        init_study.count_solved("xor", "relu", "adamw", width, 300, seed=0) for width in (1, 2, 8)
    )
    assert one == 0 and 45 < two < 120 and eight > 285
    assert init_study.count_solved("and", "tanh", "adamw", 1, 300, seed=0) > 240


@pytest.mark.parametrize(
    ("solved", "expected"),
    [
        ((1, 60, 80), [2, 60, 100]),  # hidden units, % of initialisations
        ((70, 90, 99), [1, 70, 100]),
        ((1, 20, 30), [3, 30, 100]),  # less than half: the best
        ((0, 0, 0), [1, 0, 100]),
    ],
)
def test_the_title_names_the_narrowest_that_half_learn(solved, expected) -> None:
    cells = [cell("tanh", width, count) for width, count in zip((1, 2, 3), solved, strict=True)]
    title = init_success.by_width("xor", cells).get_suptitle()
    assert numbers(title) == expected and "xor" in title


def test_activations_are_distinct_curves_in_a_panel_for_each_optimizer() -> None:
    kinds = [f"act{i}" for i in range(6)]
    cells = [cell(kind, w, 10 * w, o) for kind in kinds for w in (1, 2) for o in ("sgd", "adamw")]
    figure = init_success.by_width("xor", cells)
    titles = [names(axes.get_title(), ["sgd", "adamw"]) for axes in figure.axes]
    assert titles == [["sgd"], ["adamw"]]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == kinds
    lines = [bars.lines[0] for bars in figure.axes[1].containers]
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == len({line.get_xdata()[0] for line in lines}) == 6
    assert all(abs(line.get_xdata() - (1, 2)).max() < 0.25 for line in lines)
    assert all(line.get_ydata().tolist() == [0.1, 0.2] for line in lines)


@pytest.mark.parametrize(
    ("gate", "code", "kind"),
    [("all", "gate-unsuitable", UserError), ("xyz", "gate-unknown", DataError)],
)
def test_gates_that_are_not_one_gate(gate: str, code: str, kind: type[UserError]) -> None:
    with refused(code, kind, what="gate", found=gate):
        CliRunner().invoke(
            init_study.command, ["--gate", gate], standalone_mode=False, catch_exceptions=False
        )


def test_a_study_is_recorded_with_wilsons_intervals(own_store: Store) -> None:
    cells = init_study.record("and", 5, 0, own_store.state)
    kinds = {(c.activation, c.optimizer, c.width) for c in cells}
    grid = len(init_study.ACTIVATIONS), len(init_study.LEARNING_RATES), len(init_study.WIDTHS)
    assert len(kinds) == len(cells) == grid[0] * grid[1] * grid[2]
    z = 1.959964
    every = next(c for c in cells if c.solved == 5)
    assert every.high == 1 and every.low == pytest.approx(5 / (5 + z**2), rel=1e-4)
    (run,) = own_store.client.search_runs(["0"])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"gate": "and", "starts": "5", "seed": "0", "epochs": "300"}
    folder = own_store.folder / "mlruns/0" / run.info.run_id / "artifacts"
    assert (folder / "init-success.md").read_text() == init_study.table(cells)
    assert (folder / "figures/init-success.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_study_is_recorded_by_the_command(run: Command, checkout: Path) -> None:
    output = run("mlflow run . -e init_study -P gate=and -P starts=20").stdout
    store = client(checkout)
    last = store.search_runs(["0"], "params.gate = 'and' and params.starts = '20'")[0]
    table = Path(store.download_artifacts(last.info.run_id, "init-success.md")).read_text()
    assert table in output
