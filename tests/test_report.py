"""The report: one small file without external resources, with the figures and numbers of a run."""

import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from experiments import report, tasks
from experiments.core.errors import DataError, UserError
from experiments.core.stats import mcnemar
from experiments.evaluation.comparison import compare
from experiments.figures import report_html
from experiments.figures.logger import FigureLogger
from experiments.figures.plots import style
from experiments.figures.spec import FigureSpec
from experiments.registry import artifacts, model_card, versions
from experiments.registry.versions import Version
from experiments.tracking.runs import NullLogger, Record
from experiments.training.config import Level
from tests.conftest import Command
from tests.expect import refused
from tests.stores import X, bank, evidence, opened, store_in


class Kept(NullLogger):
    """A run with its files in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}

    def file(self, path: str, raw: bytes) -> None:
        self.files[path] = raw

    def text(self, name: str, text: str) -> None:
        self.files[name] = text.encode()


def exhibit(name: str, **more) -> FigureSpec:
    return FigureSpec(name, lambda: style.figure(3, 2, "found"), "Look.", "Not.", **more)


@pytest.mark.parametrize(
    ("level", "drawn"), [("none", []), ("core", ["a/b"]), ("all", ["a/b", "a/c"])]
)
def test_levels_choose_what_is_drawn(level: Level, drawn: list[str]) -> None:
    run = Kept()
    gallery = FigureLogger(run, level)
    gallery.log([exhibit("a/b", core=True), exhibit("a/c")])
    gallery.close()
    assert [entry["name"] for entry in json.loads(run.files["figures/index.json"])] == drawn
    assert {f"figures/{name}.png" for name in drawn} == set(run.files) - {"figures/index.json"}


def test_a_figure_that_cannot_be_drawn_is_listed_with_the_reason() -> None:
    reason = DataError("inputs-wrong", "gate", "2 to 6 inputs", "10", "Take another gate.")

    def broken():
        raise reason

    run = Kept()
    gallery = FigureLogger(run)
    gallery.log([FigureSpec("a/b", broken, "Look.", "Not."), exhibit("a/c")])
    gallery.close()
    first, second = json.loads(run.files["figures/index.json"])
    assert first["left_out"] == str(reason) and "file" not in first
    assert second["file"] == "a/c.png" and second["title"] == "found"
    with pytest.raises(ZeroDivisionError):  # other errors are not caught
        gallery.log([FigureSpec("a/b", lambda: 1 / 0, "Look.", "Not.")])


def test_scalable_figures_are_saved_for_light_and_dark_pages() -> None:
    run = Kept()
    FigureLogger(run).log([exhibit("a/b", scalable=True, text="| a |")])
    assert set(run.files) == {f"figures/a/b{end}" for end in (".png", ".svg", "-dark.svg", ".md")}
    assert run.files["figures/a/b.svg"] != run.files["figures/a/b-dark.svg"]


def source_of(folder: Path, entries: list[dict], **record: dict) -> report_html.Source:
    facts = {"params": {"data_exhaustive": "False"}, "metrics": {}, "tags": {}} | record
    version = Version("mnist", 1, "r", {}, {})
    return report_html.Source(version, Record("r", **facts), folder, entries)


def test_text_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('\"')</script>"
    entry = {"name": "network/a", "look": evil, "limit": evil, "left_out": evil}
    shown = {**entry, "name": "network/b", "title": evil, "text": evil, "file": "b.png"}
    del shown["left_out"]
    (tmp_path / "b.png").write_bytes(style.png(style.figure(2, 1, "b")))
    params = {"data_exhaustive": "False", "task": evil, "hparams/lr": evil}
    tags = {"command": evil, "machine": evil}
    source = source_of(
        tmp_path, [entry, shown], params=params, metrics={"test_accuracy": 0.99996}, tags=tags
    )
    page = report_html.render([source], [evil], None)
    assert "<script" not in page and page.count("&lt;script&gt;") >= 10
    assert "0.99996" in page and 'alt="&lt;script' in page


Report = Callable[..., Result]


def report_of(*words: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(report.command, words)


@pytest.fixture(scope="module")
def reports(trained: Path) -> Iterator[Report]:
    """The command, on the store of the checkout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
        yield report_of


@pytest.fixture(scope="module")
def page(reports: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "mnist.html"
    result = reports("--model", "models:/mnist@champion", "--out", str(out))
    assert result.exit_code == 0, (result.output, result.exc_info)
    return out


def test_report_is_one_small_file_with_the_runs_numbers(page: Path, store) -> None:
    version, text = versions.find("models:/mnist@champion"), page.read_text()
    assert len(text) < 5_000_000
    assert not re.findall(r"""(?:src|href|url\()\s*=?\s*["']?(?!data:|#)\w+:?//""", text)
    assert not re.findall(r"<script|<link|@import", text)
    run, text = store.get_run(version.run_id), html.unescape(text)
    assert f"<td>{run.data.metrics['test_accuracy']:.6g}</td>" in text
    assert run.data.tags["command"] in text and model_card.summary(version) in text
    source = store.get_model_version_by_alias("mnist", "champion").source
    model = store.get_logged_model(source.removeprefix("models:/"))
    folder = Path(model.artifact_location.removeprefix("file://"))
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert "report.html" in {file.path for file in store.list_artifacts(version.run_id)}


def test_report_has_every_figure_with_its_caption(page: Path, store) -> None:
    version = store.get_model_version_by_alias("mnist", "champion")
    path = store.download_artifacts(version.run_id, report_html.LIST)
    entries, text = json.loads(Path(path).read_text()), html.unescape(page.read_text())
    drawn = [entry for entry in entries if "file" in entry]
    assert text.count("<img src=") == len(drawn) > 3
    for entry in entries:
        assert entry["look"] and entry["limit"]
        assert f"<p>{entry['look']}</p>" in text and f"<p>{entry['limit']}</p>" in text
        assert entry["name"].partition("/")[0] in report_html.CHAPTERS
    assert [entry["name"] for entry in entries if "left_out" in entry] == []


@pytest.mark.slow
def test_mlflow_run_writes_a_report(trained: Path, run: Command) -> None:
    done = run("mlflow run . -e report --env-manager local -P model=models:/gate/1 -P out=g.html")
    assert (trained / "g.html").read_text().startswith("<!DOCTYPE html>")
    assert "g.html: gate version 1: " in done.stdout


@pytest.mark.browser
def test_a_browser_shows_and_prints_it(page: Path, browser, tmp_path: Path) -> None:
    context = browser.new_context(color_scheme="dark")
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    tab = context.new_page()
    tab.goto(page.as_uri())
    sizes = tab.eval_on_selector_all("img", "all => all.map(i => [i.complete, i.naturalWidth])")
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    printed = tab.pdf()
    wide = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
    context.close()
    assert sizes and all(complete and width > 200 for complete, width in sizes)
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert ground == "rgb(27, 27, 27)" and wide <= 0
    assert printed.startswith(b"%PDF") and len(printed) > 100_000


@pytest.mark.parametrize(
    ("words", "code", "found"),
    [
        (["--model", "models:/mnist/99"], "version-unknown", "99"),
        (["--model", "models:/mnist-onnx/1"], "model-not-trained", "mnist-onnx"),
        (["--model", "models:/gate/1", "--against", "models:/mnist/1"], "models-differ", "mnist"),
        (["--model", "models:/gate/1", "--against", "models:/gate/1"], "versions-identical", ""),
        (["--model", "gate"], "uri-invalid", "'gate'"),
    ],
)
def test_bad_input_is_refused(reports: Report, words: list[str], code: str, found: str) -> None:
    error = reports(*words).exception
    assert isinstance(error, UserError) and error.code == code and found in error.found
    assert error.expected and error.fix and not Path("report.html").exists()


def test_an_unwritable_file_is_refused_before_any_work(reports: Report, store, tmp_path) -> None:
    before = len(store.search_runs(["0"]))
    result = reports("--model", "models:/gate/1", "--out", str(tmp_path / "nowhere" / "a.html"))
    assert isinstance(result.exception, UserError)
    assert len(store.search_runs(["0"])) == before


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[tuple[Version, Version]]:
    """Two versions of all gates in a store of their own, whose runs have no figures."""
    with store_in(tmp_path):
        made = []
        for seed in (0, 1):
            with opened() as run:
                run.params({"data_exhaustive": True})
                run.text(report_html.LIST, "[]")
                net, stored = bank(seed), evidence()
                made.append(artifacts.register_torch(net, "gate", X[:2], stored))
        yield made[0], made[1]


def cells(page: str, after: str) -> list[str]:
    """Return what the first table after an id has in its cells."""
    table = page.partition(f'id="{after}"')[2].partition("</table>")[0]
    return re.findall(r"<td>(.*?)</td>", table)


def test_two_versions_are_compared(gates: tuple[Version, Version], tmp_path: Path) -> None:
    first, second = gates
    result = report_of("--model", first.uri, "--against", second.uri, "--out", "both.html")
    assert result.exit_code == 0, result.exc_info
    text, task = Path("both.html").read_text(), tasks.get("gate")
    truth = task.load(task.data_options()).val.y
    a, b = (((bank(seed)(torch.tensor(X)) > 0).numpy() == truth) for seed in (0, 1))
    counted = [(a & b).sum(), (a & ~b).sum(), (~a & b).sum(), (~a & ~b).sum()]
    assert cells(text, "against") == [str(n) for n in counted] and sum(counted) == 64
    assert 'id="mcnemar"' not in text, "all predictions there are: nothing is chance"
    assert text.count("<img src=") == 1, "the predictions that differ"
    assert model_card.summary(first) in text and model_card.summary(second) in text
    assert set(versions.find(first.uri).attached) == {f"against-{second.number}.html"}
    # The same versions, as if their data were a sample.
    record = Record("r", {"data_exhaustive": "False"}, {}, {})
    sources = [report_html.Source(version, record, tmp_path, []) for version in gates]
    text = report_html.render(sources, ["", ""], compare(*gates))
    assert f"{mcnemar(int(counted[1]), int(counted[2])):.3g}" in text.partition('id="mcnemar"')[2]


def test_a_run_without_figures_has_a_report(gates: tuple[Version, Version]) -> None:
    page = report.publish(gates[0])
    assert "<img" not in page and page.count('class="left-out"') == 1
    assert versions.read(versions.find(gates[0].uri), report.NAME).decode() == page


def test_a_run_without_its_index_is_refused(gates: tuple[Version, Version], tmp_path: Path) -> None:
    (path,) = tmp_path.glob(f"mlruns/**/{gates[0].run_id}/**/{report_html.LIST}")
    path.unlink()
    with refused("figures-missing", what=gates[0], expected=report_html.LIST, fix="task=gate"):
        report.publish(gates[0])
