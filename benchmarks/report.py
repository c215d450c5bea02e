"""The results as people read them: summary.json, table.md, and the tables of the README.

    python -m benchmarks.report

Reads benchmarks/results/*.json and nothing else. `--check` writes nothing and fails if the
README is not what the results say.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import click

from benchmarks import backends, load, record
from experiments import cli, luck
from experiments.errors import UserError
from experiments.paths import ROOT

README = ROOT / "README.md"
START, END = "<!-- python -m benchmarks.report -->", "<!-- end of benchmarks -->"
RECIPES = ("mnist-flash", "mnist-default", "mnist-best")
ARMS = ("plain", "default", "int8")  # of benchmarks.robustness
CHIEF = (
    "test_accuracy",
    "test_ece",
    "corruption/mean",
    "corruption/least",
    "drawings/mean",
    "drawings/least_digit_and_pen",
    "refused/digits",
    "refused/blank",
    "refused/drawn_letters",
    "refused/scribbles",
    "refused/fashion_mnist",
    "refused/uniform_noise",
    "refused/gaussian_noise",
)
Row = list[str]


def summary() -> dict[str, float]:
    """Return the figures that others compare with, by flat names; `_std` stands by each mean."""
    found: dict[str, float] = {}
    for name in filter(record.load, RECIPES):
        short = name.removeprefix("mnist-")
        for figure in ("test_accuracy", "val_accuracy", "seconds"):
            found |= _mean(f"{short}_{figure}", record.load(name)[figure])
    for aim in record.load("race").get("aims", []):
        at = f"{100 * aim['aim']:.1f}"
        if not aim["reached"]:
            continue
        found |= _mean(f"flash_seconds_to_{at}", aim["seconds"]) if at == "99.0" else {}
        found[f"ratio_to_reference_at_{at}"] = aim["ratio"]["mean"]
        found[f"ratio_to_reference_at_{at}_std"] = aim["ratio"]["std"]
        found[f"ratio_to_reference_at_{at}_is_a_lower_bound"] = not aim["reference_epochs"]
    if gates := record.load("gates"):
        found["gate_bank_seconds"] = gates["all16"]["seconds"]["mean"]
        found["gate_bank_seconds_std"] = gates["all16"]["seconds"]["std"]
        found["gate_solved_share"] = gates["all16"]["solved_share"]
        found["gate_least_margin"] = gates["all16"]["least_margin"]
        found["luck_map_seconds"] = gates["luck"]["seconds"]
    if split := record.load("split"):
        found["tracking_share"] = split["tracking_share"]
        found["peak_memory_gigabytes"] = split["peak_memory_bytes"] / 1e9
    if found_robust := record.load("robustness"):
        for arm in ARMS:
            for name in ("corruption/mean", "corruption/least", "drawings/mean", "test_ece"):
                found |= _mean(f"{arm}_{name.replace('/', '_')}", found_robust[arm][name])
    if startup := record.load("startup"):
        found |= _mean("help_seconds", startup["help"])
        found |= _mean("flash_process_seconds_to_accuracy", startup["to_accuracy"])
        name = "to_accuracy_besides_training_in_torch_imports"
        found[name] = startup[name]
    return found


def _mean(name: str, spread: dict[str, Any]) -> dict[str, float]:
    return {f"{name}_mean": spread["mean"], f"{name}_std": spread["std"]}


def recipes() -> Iterator[str]:
    """Yield the table of the recipes."""
    rows = []
    for name in (*RECIPES, "gate-default"):
        if r := record.load(name):
            rows.append(
                [
                    f"{r['task']}, `{r['recipe']}`",
                    f"{r['parameters']:,}",
                    _percent(r["test_accuracy"]),
                    _seconds(r["seconds"]),
                    f"{r['hardware']}, {r['precision']}",
                    f"`{r['command']}`",
                ]
            )
    head = ["recipe", "parameters", "test accuracy", "training", "hardware, precision", "command"]
    yield from _table(head, rows)


def race() -> Iterator[str]:
    """Yield the table of seconds to an accuracy."""
    result = record.load("race")
    if not result:
        return
    rows = []
    for aim in result["aims"]:
        recipe, changed = aim["schedule"]
        how = ", ".join([f"`{recipe}`", *(f"{name} {value:g}" for name, value in changed.items())])
        epochs, tried = aim["reference_epochs"], aim["reference_epochs_tried"]
        least, needed = ("", str(epochs)) if epochs else ("> ", f"more than {tried}")
        rows.append(
            [
                f"{aim['aim']:.1%}",
                how,
                _percent(aim["test_accuracy"]) + ("" if aim["reached"] else " (short of it)"),
                _seconds(aim["seconds"]),
                f"{least}{aim['reference_seconds']:.0f} s ({needed} epochs)",
                f"{least}{_ratio(aim['ratio'])}" if aim["reached"] else "none",
            ]
        )
    head = [
        "to reach",
        "ours",
        "test accuracy",
        "training",
        "the well-known example",
        "ratio (± over our seeds)",
    ]
    yield from _table(head, rows)
    yield ""
    yield f"{_source(result)}; an epoch of the example took"
    yield f"{_seconds(result['reference_epoch_seconds'])} in the same run; how many it needs is"
    yield f"from `{record.load('reference').get('command')}`."


def details() -> Iterator[str]:
    """Yield the other results: growth, roofline, the parts of a training, start-up, gates."""
    for name, parts in (("growth", growth), ("roofline", roofline), ("split", split)):
        if result := record.load(name):
            yield from (f"## {name.capitalize()}", "", *parts(result), "", _source(result), "")
    if result := record.load("grounds"):
        yield from ("## Grounds", "", *grounds(result), "", _source(result), "")
    if result := record.load("robustness"):
        yield from ("## Robustness", "", *robustness(result), "", _source(result), "")
    if result := record.load("backends"):
        yield from ("## Backends", "", *_table(backends.HEAD, backends.rows(result)), "")
        yield from (_source(result), "")
    if result := record.load("load"):
        yield from ("## The page under load", "", *_table(load.HEAD, load.rows(result)), "")
        yield from (*load.facts(result), "", _source(result), "")
    if result := record.load("startup"):
        rows = [[k.replace("_", " "), _seconds(v)] for k, v in result.items() if _is_time(k, v)]
        yield from ("## Start-up", "", *_table(["process", "seconds"], rows), "")
        yield from (_source(result), "")
    if result := record.load("gates"):
        yield from ("## Gates", "", *gates(result), "", _source(result), "")


def grounds(result: dict[str, Any]) -> Iterator[str]:
    """Yield how many digits keep their class on pages of each ground."""
    rows = [
        [ground, f"{found['kept']:,} of {result['right']:,}", f"{found['share']:.2%}"]
        for ground, found in result.items()
        if isinstance(found, dict)
    ]
    yield from _table(["ground", "digits that keep their class", "share"], rows)


def withstood(result: dict[str, Any], names: Iterable[str]) -> Iterator[str]:
    """Yield these numbers of the plain, the default and the int8 network."""
    rows = [
        [name.replace("/", ": ").replace("_", " "), *(_percent(result[arm][name]) for arm in ARMS)]
        for name in names
    ]
    yield from _table(["", "`default` on MNIST alone", "`default`", "its int8 graph"], rows)


def robust() -> Iterator[str]:
    """Yield what the default network withstands, in short, for the README."""
    if result := record.load("robustness"):
        yield from withstood(result, (name for name in CHIEF if name in result["default"]))
        yield from ("", _source(result))


def robustness(result: dict[str, Any]) -> Iterator[str]:
    """Yield all that a network withstands: what it reads, what it refuses, what fools it."""
    yield from withstood(
        result, (n for n in result["default"] if n not in ("seconds", "temperature"))
    )
    drawn = [
        [str(digit), *(f"{share:.1%}" for share in shares)]
        for digit, shares in enumerate(result["drawings"])
    ]
    yield from ("", "Drawings read right by digit and pen (pixels on a canvas of 400):", "")
    yield from _table(["digit", *map(str, result["pens"])], drawn)
    yield from ("", "Digits read right under attack (largest change, share of full ink):", "")
    rows = [
        [attack, *(_percent(record.spread(shares)) for shares in zip(*runs, strict=True))]
        for attack, runs in result["attacks"].items()
    ]
    yield from _table(["attack", *(f"{strength:g}" for strength in result["strengths"])], rows)


def _is_time(name: str, value: Any) -> bool:
    return isinstance(value, dict) and name != "test_accuracy"


def growth(result: dict[str, Any]) -> Iterator[str]:
    """Yield the cost of one among many."""
    images, networks = result["image_microseconds"], result["network_microseconds"]
    rows = [
        [f"{int(i):,}", f"{a:.1f}", f"{int(n):,}", f"{b:.2f}"]
        for (i, a), (n, b) in zip(images.items(), networks.items(), strict=True)
    ]
    yield from _table(["images", "µs an image", "gate networks", "µs a network and epoch"], rows)


def roofline(result: dict[str, Any]) -> Iterator[str]:
    """Yield how far from the roof training is, and where its time goes."""
    rows = [
        [
            f"`{recipe}`",
            r["precision"],
            f"{r['images_per_second']:,.0f}",
            f"{r['gigaflops']:.0f} of {r['peak_gigaflops']:.0f}",
            f"{r['share_of_peak']:.0%}",
            ", ".join(f"{kind} {share:.0%}" for kind, share in r["time_shares"].items()),
        ]
        for recipe, r in result.items()
        if isinstance(r, dict)
    ]
    head = ["recipe", "precision", "images/s", "GFLOP/s of the peak", "share", "where time goes"]
    yield from _table(head, rows)


def split(result: dict[str, Any]) -> Iterator[str]:
    """Yield the parts of a whole training."""
    seconds = result["seconds"]
    rows = [[part, f"{s:.1f}", f"{s / seconds['total']:.1%}"] for part, s in seconds.items()]
    yield from _table(["part", "seconds", "share"], rows)
    yield ""
    memory = result["peak_memory_bytes"] / 1e9
    yield f"{result['trials']} trials; at most {memory:.2f} GB of memory."


def gates(result: dict[str, Any]) -> Iterator[str]:
    """Yield how surely gates are learned, and the map of luck."""
    rows = [
        [
            kind,
            str(r["trainings"]),
            f"{r['solved_share']:.0%}",
            f"{r['least_margin']:.4f}",
            _seconds(r["seconds"]),
        ]
        for kind, r in result.items()
        if isinstance(r, dict) and "trainings" in r
    ]
    yield from _table(["tables", "trainings", "all solved", "least margin", "training"], rows)
    yield ""
    found = result["luck"]
    yield f"Share of starts that learn {found['gate']} (95 % interval), {found['seconds']:.1f} s:"
    yield ""
    yield from luck.table([luck.Cell(**cell) for cell in found["cells"]]).splitlines()


def _source(result: dict[str, Any]) -> str:
    return f"`{result['command']}`, {result['hardware']}"


def _ratio(spread: dict[str, Any]) -> str:
    return f"{spread['mean']:.0f} ± {spread['std']:.{0 if spread['std'] >= 1 else 1}f}"


def _percent(spread: dict[str, Any]) -> str:
    return f"{spread['mean']:.2%} ± {100 * spread['std']:.2f}"


def _seconds(spread: dict[str, Any]) -> str:
    digits = 2 if spread["mean"] < 10 else 1
    return f"{spread['mean']:.{digits}f} ± {spread['std']:.{digits}f} s"


def _table(head: Row, rows: list[Row]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |"


def readme() -> str:
    """Return the README with its tables made anew."""
    text = README.read_text()
    before, rest = text.split(START)
    after = rest.split(END)[1]
    made = [*recipes(), "", *race(), "", *robust()]
    return "\n".join([before + START, "", *made, "", END]) + after


@click.command("benchmarks.report")
@click.option("--check", is_flag=True, help="Write nothing; fail if the README is out of date.")
def command(check: bool) -> None:
    """Write the summary, the tables, and the README's tables, from the results."""
    new = readme()
    if check:
        if new != README.read_text():
            raise UserError("README.md: run python -m benchmarks.report.")
        return
    README.write_text(new)
    text = "\n".join(["# Benchmarks", "", *recipes(), "", *race(), "", *details()])
    (record.RESULTS / "table.md").write_text(text.rstrip() + "\n")
    (record.RESULTS / "summary.json").write_text(json.dumps(summary(), indent=1) + "\n")
    click.echo(text)


if __name__ == "__main__":
    cli.main(command)
