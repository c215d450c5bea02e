"""The report: one file, whole, small, of nothing from outside, true to the run it tells of."""

import json
import re
from pathlib import Path

import pytest

from experiments import report_page
from experiments.chance import interval
from experiments.gallery import Gallery
from experiments.plots import style
from experiments.tasks.base import Exhibit
from experiments.tracking import NullRun, Record
from experiments.versions import Version
from tests.conftest import Command, client

REPORT = "mlflow run . -e report --env-manager local"


class Kept(NullRun):
    """A run that keeps its files in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.pictures: list[tuple[str, int]] = []

    def file(self, path: str, raw: bytes) -> None:
        self.files[path] = raw

    def text(self, name: str, text: str) -> None:
        self.files[name] = text.encode()

    def image(self, name: str, picture, step: int) -> None:
        self.pictures.append((name, step))


def exhibit(name: str, **more) -> Exhibit:
    return Exhibit(name, lambda: style.figure(3, 2, "found"), "Look.", "Not.", **more)


@pytest.mark.parametrize(("level", "drawn"), [("none", []), ("core", ["a/b"]), ("all", 2)])
def test_levels_choose_what_is_drawn(level, drawn) -> None:
    run = Kept()
    hall = Gallery(run, level)
    hall.hang([exhibit("a/b", core=True), exhibit("a/c")])
    hall.close()
    names = [entry["name"] for entry in json.loads(run.files["figures/index.json"])]
    assert names == (["a/b", "a/c"] if drawn == 2 else drawn)
    assert {f"figures/{name}.png" for name in names} == set(run.files) - {"figures/index.json"}


def test_what_cannot_be_drawn_says_why() -> None:
    from experiments.errors import DataError

    def broken():
        raise DataError("expected 2 to 6 inputs, found 10.")

    run = Kept()
    hall = Gallery(run)
    hall.hang([Exhibit("a/b", broken, "Look.", "Not."), exhibit("a/c")])
    hall.close()
    first, second = json.loads(run.files["figures/index.json"])
    assert first["left_out"] == "expected 2 to 6 inputs, found 10." and "file" not in first
    assert second["file"] == "a/c.png" and second["title"] == "found"


def test_scalable_pictures_come_on_light_and_dark_ground() -> None:
    run = Kept()
    slides = [(0, None), (5, None)]
    Gallery(run).hang([exhibit("a/b", scalable=True, text="| a |", slides=lambda: iter(slides))])
    assert {"figures/a/b.png", "figures/a/b.svg", "figures/a/b-dark.svg", "figures/a/b.md"} == set(
        run.files
    )
    assert run.files["figures/a/b.svg"] != run.files["figures/a/b-dark.svg"]
    assert run.pictures == [("a/b", 0), ("a/b", 5)]


def test_other_failures_of_a_picture_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        Gallery(Kept()).hang([Exhibit("a/b", lambda: 1 / 0, "Look.", "Not.")])


def test_whatever_is_told_is_text_and_no_markup(tmp_path: Path) -> None:
    evil = "<script>alert('\"')</script>"
    version = Version("mnist", 1, "r", {}, {})
    entry = {"name": "network/a", "look": evil, "limit": evil, "left_out": evil}
    shown = {**entry, "name": "network/b", "title": evil, "text": evil, "file": "b.png"}
    del shown["left_out"]
    (tmp_path / "b.png").write_bytes(style.png(style.figure(2, 1, "b")))
    params = {"data_exhaustive": "False", "task": evil, "hparams/lr": evil}
    record = Record("r", params, {"test_accuracy": 0.99996}, {"command": evil, "machine": evil})
    source = report_page.Source(version, record, tmp_path, [entry, shown])
    page = report_page.render([source], [evil], None)
    assert "<script" not in page and page.count("&lt;script&gt;") >= 10
    assert "0.99996" in page and 'alt="&lt;script' in page


def test_interval_is_wilsons() -> None:
    low, high = interval(9, 10)
    z = 1.959964
    middle, half = (0.9 + z**2 / 20) / (1 + z**2 / 10), z * (0.9 * 0.1 / 10 + z**2 / 400) ** 0.5
    assert low == pytest.approx(middle - half / (1 + z**2 / 10), abs=1e-5)
    assert high == pytest.approx(middle + half / (1 + z**2 / 10), abs=1e-5)


@pytest.fixture(scope="module")
def page(trained: Path, run: Command) -> Path:
    run(f"{REPORT} -P model=models:/mnist@champion -P out=mnist.html")
    return trained / "mnist.html"


def test_report_is_one_small_file(page: Path) -> None:
    text = page.read_text()
    assert len(text) < report_page.MOST
    assert not re.findall(r"""(?:src|href|url\()\s*=?\s*["']?(?!data:|#)\w+:?//""", text)
    assert not re.findall(r"<script|<link|@import", text)


def test_report_has_every_picture_with_its_sentences(page: Path, store) -> None:
    version = store.get_model_version_by_alias("mnist", "champion")
    path = store.download_artifacts(version.run_id, "figures/index.json")
    entries, text = json.loads(Path(path).read_text()), page.read_text()
    drawn = [entry for entry in entries if "file" in entry]
    assert text.count("<img src=") == len(drawn) > 15
    for entry in entries:
        assert entry["look"].startswith("Look for") and "cannot show" in entry["limit"]
        assert entry["name"].partition("/")[0] in report_page.CHAPTERS
    assert [entry["name"] for entry in entries if "left_out" in entry] == []


def test_report_tells_the_runs_numbers_and_commands(page: Path, store) -> None:
    version = store.get_model_version_by_alias("mnist", "champion")
    run, text = store.get_run(version.run_id), page.read_text()
    assert f"{run.data.metrics['test_accuracy']:.4g}" in text
    assert run.data.tags["command"].startswith("mlflow run . -e train -P task=mnist")
    assert run.data.tags["command"] in text
    right = round(run.data.metrics["test_accuracy"] * 10_000)
    assert f"{right:,} of 10,000 test answers right" in text
    assert f"{right:,} of 10,000 test answers right" in version.description


def test_version_and_run_have_the_report(page: Path, trained: Path, store) -> None:
    version = store.get_model_version_by_alias("mnist", "champion")
    model = store.get_logged_model(version.source.removeprefix("models:/"))
    kept = Path(model.artifact_location.removeprefix("file://"))
    assert (kept / "report.html").read_text().startswith("<!DOCTYPE html>")
    paths = {file.path for file in store.list_artifacts(version.run_id)}
    assert "report.html" in paths


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


def test_two_versions_stand_side_by_side(trained: Path, run: Command) -> None:
    run("mlflow run . -e train --env-manager local -P task=gate -P trials=0 -P epochs=4")
    worse = max(int(v.version) for v in client(trained).search_model_versions("name='gate'"))
    said = run(f"{REPORT} -P model=models:/gate@champion -P against=models:/gate/{worse}").stdout
    text = (trained / "report.html").read_text()
    assert "nothing of the difference is chance" in text and "McNemar" not in text
    assert f"gate version {worse} wrong" in text and len(text) < report_page.MOST
    assert "report.html: gate version 1: 64 of 64 test answers right" in said
    counts = [int(n) for n in re.findall(r"<td>(\d+)</td>", text.partition("These are all")[0])[:4]]
    assert sum(counts) == 64 and counts[2] == counts[3] == 0 and counts[1] > 0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("-P model=models:/mnist/99", "There is no models:/mnist/99. mnist has @c"),
        ("-P model=models:/mnist-onnx/1", "expected a version that was trained here"),
        ("-P model=models:/gate/1 -P against=models:/mnist/1", "another version of gate"),
        ("-P model=models:/gate/1 -P against=models:/gate/1", "found the same"),
        ("-P model=gate", "expected models:/NAME@ALIAS or models:/NAME/NUMBER, found 'gate'"),
        ("-P out=nowhere/report.html", "a file in a folder that exists"),
    ],
)
def test_bad_input_gets_a_sentence(trained: Path, run: Command, line: str, says: str) -> None:
    result = run(f"{REPORT} {line}", fails=True)
    assert result.returncode != 0 and says in result.stderr
    assert "Traceback" not in result.stderr.partition("Error:")[0]


def test_no_figures_no_pictures_but_a_report(trained: Path, run: Command) -> None:
    line = "mlflow run . -e train --env-manager local -P task=gate -P gate=and -P trials=0"
    run(f"{line} -P figures=none")
    store = client(trained)
    newest = max(store.search_model_versions("name='gate'"), key=lambda v: int(v.version))
    run(f"{REPORT} -P model=models:/gate/{newest.version} -P out=none.html")
    text = (trained / "none.html").read_text()
    assert "trained with figures=none" in text and "<img" not in text
    store.delete_model_version("gate", newest.version)


def test_a_run_without_its_list_is_told(trained: Path, run: Command) -> None:
    store = client(trained)
    newest = max(store.search_model_versions("name='gate'"), key=lambda v: int(v.version))
    folder = store.get_run(newest.run_id).info.artifact_uri.removeprefix("file://")
    path = Path(folder) / "figures/index.json"
    hidden = path.rename(path.with_suffix(".away"))
    try:
        result = run(f"{REPORT} -P model=models:/gate/{newest.version}", fails=True)
    finally:
        hidden.rename(path)
    assert f"gate version {newest.version} has no list of pictures" in result.stderr
