"""The results as tables, in results/table.md and in the README: python -m benchmarks.report

Reads benchmarks/results/*.json and nothing else. `--check` writes nothing and fails if the
README differs from the results.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import click

from benchmarks import record
from experiments import init_study, tasks
from experiments.core import cli
from experiments.core.errors import UserError
from experiments.core.paths import ROOT

README = ROOT / "README.md"
START, END = "<!-- python -m benchmarks.report -->", "<!-- end of benchmarks -->"
RECIPES = ("mnist-fast", "mnist-default", "mnist-accurate", "gate-default")
ARMS = ("plain", "default", "int8")  # of benchmarks.robustness
README_METRICS = (
    "test_accuracy",
    "test_ece",
    "corruption/mean",
    "corruption/least",
    "drawings/mean",
    "refused/digits",
    "refused/blank",
    "refused/drawn_letters",
    "refused/scribbles",
    "refused/fashion_mnist",
)
EARLIER = " (an earlier recipe)"  # what a result is marked with until it is measured again
GOALS = {  # of benchmarks.summary: title, format
    "default_command_in_epochs": ("`mlflow run . -e train -P task=mnist`, in E", "{:.2f}".format),
    "default_fit_in_epochs": ("a fit of `default`, in E", "{:.2f}".format),
    "neighbour_slowdown": ("a fit beside a busy process / alone", "{:.2f}".format),
    "fast_ratio_at_99.0": ("the example's time to 99.0 % / that of `fast`", "{:.0f}".format),
    "default_test_accuracy_mean": ("`default`, test accuracy", "{:.2%}".format),
    "accurate_test_accuracy_mean": ("`accurate`, test accuracy", "{:.2%}".format),
    "accurate_fit_in_epochs": ("a fit of `accurate`, in E", "{:.1f}".format),
    "gate_command_processor_seconds": ("`task=gate`, seconds of processor", "{:.0f}".format),
    "export_processor_seconds": ("`export/to_onnx.py`, the same", "{:.1f}".format),
    "page_start_seconds": ("the page, seconds to its first answer", "{:.1f}".format),
}
Lines = Iterator[str]
Result = dict[str, Any]


@click.command("benchmarks.report")
@click.option("--check", is_flag=True, help="Write nothing; fail if the README is out of date.")
def command(check: bool) -> None:
    """Write results/table.md and the README's tables from the results."""
    text = README.read_text()
    new = record.between(text, START, END, "\n".join(readme_tables()))
    if check:
        if new != text:
            fix = "Run: python -m benchmarks.report"
            raise UserError("readme-outdated", "README.md", "the tables of the results", fix=fix)
        return
    README.write_text(new)
    table = "\n".join(["# Benchmarks", "", *recipes(), "", *race(), "", *details()])
    (record.RESULTS / "table.md").write_text(table.rstrip() + "\n")


def readme_tables() -> Lines:
    """Yield recipes, seconds to an accuracy, robustness in short, and handwriting."""
    robust = record.load("robustness")
    yield from (*goals(record.load("summary")), *recipes(), "", *race(), "")
    yield from (
        *arms(robust, README_METRICS),
        "",
        _source(robust),
        *handwriting(record.load("handwriting")),
    )


def goals(result: Result) -> Lines:
    """Yield the goals for speed and accuracy, if they are measured."""
    if not result:
        return
    rows = []
    for name, (title, form) in GOALS.items():
        deviation = f" ± {form(result[f'{name}_std'])}" if f"{name}_std" in result else ""
        rows.append([title, form(result[name]) + deviation])
    epoch = _seconds(result["epoch_seconds"])
    yield from _table(["E: an epoch of the well-known example", epoch], rows)
    yield from ("", _source(result), "")


def recipes() -> Lines:
    """Yield the table of the recipes."""
    rows = []
    for r in map(record.load, RECIPES):
        accuracy, seconds = _percent(r["test_accuracy"]), _seconds(r["seconds"])
        hardware, line = f"{r['hardware']}, {r['precision']}", f"`{r['command']}`"
        name = f"{r['task']}, `{r['recipe']}`{earlier(r['recipe'], r['hparams'], r['task'])}"
        parameters = f"{r['parameters']:,}"
        rows.append([name, parameters, accuracy, seconds, hardware, line])
    head = ["recipe", "parameters", "test accuracy", "training", "hardware, precision", "command"]
    yield from _table(head, rows)


def race() -> Lines:
    """Yield the table of seconds to an accuracy."""
    result = record.load("race")
    rows = []
    for target in result["targets"]:
        recipe, changed = target["schedule"]
        mark = "" if changed else earlier(recipe, result["hparams"][recipe])
        schedule = [f"`{recipe}`{mark}", *(f"{n} {value:g}" for n, value in changed.items())]
        # An accuracy that the example never reached gives lower bounds.
        if target["reference_epochs"]:
            bound, epochs = "", str(target["reference_epochs"])
        else:
            bound, epochs = "> ", f"more than {target['reference_epochs_tried']}"
        accuracy, ratio = _percent(target["test_accuracy"]), bound + _ratio(target["ratio"])
        if not target["reached"]:
            accuracy, ratio = f"{accuracy} (not reached)", "none"
        rows.append(
            [
                f"{target['target']:.1%}",
                ", ".join(schedule),
                accuracy,
                _seconds(target["seconds"]),
                f"{bound}{target['reference_seconds']:.0f} s ({epochs} epochs)",
                ratio,
            ]
        )
    example, ratio = "the well-known example", "ratio (± over our seeds)"
    yield from _table(["to reach", "ours", "test accuracy", "training", example, ratio], rows)
    yield ""
    yield (
        f"{_source(result)}; an epoch of the example took "
        f"{_seconds(result['reference_epoch_seconds'])} in the same run; how many it needs is from "
        f"`{record.load('reference')['command']}`."
    )


def details() -> Lines:
    """Yield the results that the README leaves out, a section each."""
    sections = {
        "robustness": ("Robustness", robustness),
        "backends": ("Backends", backends),
        "load": ("The page under load", load),
        "gates": ("Gates", gates),
    }
    for name, (title, section) in sections.items():
        result = record.load(name)
        yield from (f"## {title}", "", *section(result), "", _source(result), "")


def handwriting(result: Result) -> Lines:
    """Yield how many digits of real hands are read right and refused, if they are measured."""
    if not result:
        return
    pens = sorted({row["pen"] for row in result["rows"]})
    rows = []
    for size in sorted({row["size"] for row in result["rows"]}, reverse=True):
        cells = {row["pen"]: row for row in result["rows"] if row["size"] == size}
        for name, title in (("right", "read right"), ("refused", "refused")):
            shown = [_percent(cells[pen][name]) if pen in cells else "" for pen in pens]
            rows.append([f"{size} px large, {title}", *shown])
    yield from ("", *_table(["real hands", *(f"pen of {pen} px" for pen in pens)], rows), "")
    yield f"{_source(result)}; {result['digits']:,} digits, {result['models']} seeds"


def arms(result: Result, names: Iterable[str]) -> Lines:
    """Yield these numbers of the plain, the default and the int8 network."""
    rows = []
    for name in names:
        title = name.replace("/", ": ").replace("_", " ")
        rows.append([title, *(_percent(result[arm][name]) for arm in ARMS)])
    name = f"`default`{earlier('default', result['hparams'])}"
    yield from _table(["", "`default` on MNIST alone", name, "its int8 graph"], rows)


def earlier(recipe: str, hparams: Result, task: str = "mnist") -> str:
    """Return the mark of a result whose hyper-parameters are no longer the recipe's."""
    return "" if hparams == vars(tasks.get(task).recipes[recipe]) else EARLIER


def robustness(result: Result) -> Lines:
    """Yield accuracy under shift, refusals, drawings by digit and pen, and adversaries."""
    yield from arms(result, (n for n in result["default"] if n not in ("seconds", "temperature")))
    yield from ("", "Drawings read right by digit and pen (pixels on a canvas of 400):", "")
    rows = [
        [str(digit), *(f"{accuracy:.1%}" for accuracy in accuracies)]
        for digit, accuracies in enumerate(result["drawings"])
    ]
    yield from _table(["digit", *map(str, result["pens"])], rows)
    yield from ("", "Digits read right under attack (largest change, share of full ink):", "")
    rows = [
        [attack, *(_percent(record.spread(seeds)) for seeds in zip(*runs, strict=True))]
        for attack, runs in result["attacks"].items()
    ]
    yield from _table(["attack", *(f"{strength:g}" for strength in result["strengths"])], rows)


def backends(result: Result) -> Lines:
    """Yield how other programs' outputs compare with torch's."""
    rows = []
    for row in result["rows"]:
        rows.append(
            [
                f"{row['task']}, {row['precision']}",
                f"{row['bytes']:,}",
                row["backend"],
                ", ".join(f"{batch:,}" for batch in row["batches"]),
                f"{row['same']:,} of {row['count']:,}",
                f"{row['largest']:.1e}",
                f"{row['accuracy']:.2%}",
            ]
        )
    compared = ["same class as torch", "largest difference of logits", "accuracy"]
    yield from _table(["task, precision", "bytes", "backend", "batches", *compared], rows)


def load(result: Result) -> Lines:
    """Yield the page's latencies, its start and its memory."""
    latencies = {"a stroke on the page, in a browser": result["stroke_milliseconds"]}
    latencies |= result["single_milliseconds"]
    for crowd, targets in result["crowd_milliseconds"].items():
        latencies |= {f"{crowd}, {target}": each for target, each in targets.items()}
    rows = [
        [
            name.replace("_", " "),
            *(f"{each[p]:.2f}" for p in ("p50", "p95", "p99")),
            str(each.get("errors", 0)),
        ]
        for name, each in latencies.items()
    ]
    yield from _table(["milliseconds", "p50", "p95", "p99", "errors"], rows)
    yield ""
    starts = ", ".join(f"{seconds:.1f}" for seconds in result["starts_seconds"])
    yield f"From the start of the process to the first answer: {starts} s."
    memory = result["memory_megabytes"]
    yield (
        f"Memory: {result['memory_at_start_megabytes']:.0f} MB at start, {memory[0]:.0f} warm, "
        f"{memory[-1]:.0f} after {result['soak_requests']:,} requests "
        f"({result['growth_percent']:+.1f} %, {result['soak_errors']:.0f} errors)."
    )


def gates(result: Result) -> Lines:
    """Yield how often truth tables are learned, and how often a start learns XOR."""
    rows = []
    for name in ("all16", "parity8", "random6"):
        r = result[name]
        solved, margin = f"{r['solved_share']:.0%}", f"{r['least_margin']:.4f}"
        rows.append([name, str(r["trainings"]), solved, margin, _seconds(r["seconds"])])
    yield from _table(["tables", "trainings", "all solved", "least margin", "training"], rows)
    luck = result["init_study"]
    yield ""
    yield f"Share of starts that learn {luck['gate']} (95 % interval), {luck['seconds']:.1f} s:"
    yield ""
    yield from init_study.table(
        [init_study.InitResult(**cell) for cell in luck["cells"]]
    ).splitlines()


def _source(result: Result) -> str:
    return f"`{result['command']}`, {result['hardware']}"


def _ratio(spread: Result) -> str:
    digits = 0 if spread["std"] >= 1 else 1
    return f"{spread['mean']:.0f} ± {spread['std']:.{digits}f}"


def _percent(spread: Result) -> str:
    deviation = f" ± {100 * spread['std']:.2f}" if "std" in spread else ""
    return f"{spread['mean']:.2%}{deviation}"


def _seconds(spread: Result) -> str:
    digits = 2 if spread["mean"] < 10 else 1
    return f"{spread['mean']:.{digits}f} ± {spread['std']:.{digits}f} s"


def _table(head: list[str], rows: list[list[str]]) -> Lines:
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    cli.main(command)
