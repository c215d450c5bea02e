"""A registered version to one self-contained ONNX file, verified before it is written.

python export/to_onnx.py --task mnist --model models:/mnist@champion --out model.onnx

Imports inside functions keep torch, MLflow and onnxruntime out of --help.
"""

import sys
from pathlib import Path

if not __package__:  # started as a script, from any folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import shlex
import tempfile
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from experiments.core import cli, exports, files
from experiments.core.errors import UserError
from experiments.registry import aliases, artifacts, model_card, versions
from experiments.tracking import runs
from experiments.training import options

if TYPE_CHECKING:
    from experiments.registry.versions import Version
    from experiments.tracking.runs import RunLogger
    from export.export_version import Exported
    from export.netlist import Netlist

CANVAS = "canvas.onnx"
OPSETS = [str(opset) for opset in exports.OPSETS]


@click.command("export.to_onnx", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--task", type=options.TaskName(), default=exports.DEFAULT_TASK, show_default=True)
@click.option(
    "--model", default="auto", help="Registered version.  [default: models:/TASK@champion]"
)
@click.option(
    "--out", default="auto", help="File.  [default: model.onnx, of other tasks TASK.onnx]"
)
@click.option(
    "--precision", type=click.Choice(exports.PRECISIONS), default="fp32", show_default=True
)
@click.option("--opset", type=click.Choice(OPSETS), default=str(exports.OPSET), show_default=True)
@click.option(
    "--with-canvas",
    type=click.Choice(["beside", "merged"]),
    is_flag=False,
    flag_value="beside",
    help="Also write the preprocessing graph, as canvas.onnx; or both merged in one file.",
)
@click.option("--bundle", type=cli.UserPath(), help="Also write a folder for inference servers.")
@click.option("--netlist", type=cli.UserPath(), help="Also write a circuit's Verilog, BLIF and C.")
@click.option("--view", is_flag=True, help="Open Netron on the file.")
@click.option("--picture", is_flag=True, help="Store Netron's picture as SVG with the version.")
def command(
    task: str,
    model: str,
    out: str,
    precision: str,
    opset: str,
    with_canvas: str | None,
    bundle: Path | None,
    netlist: Path | None,
    view: bool,
    picture: bool,
) -> None:
    """Export a registered version to ONNX, compare it with the torch model, register it."""
    path = cli.user_path(exports.file_name(task) if out in ("", "auto") else out, "out")
    files.check_file(path)
    from export import bundle as bundles
    from export import export_version, hdl, netron_view

    if bundle is not None:
        bundles.check(bundle)
    if netlist is not None:
        hdl.check(netlist)
    version = find_version(task, model)
    gates = None if netlist is None else circuit_of(version)
    with runs.start(f"export {version}") as run:
        exported = export_version.export(version, precision, int(opset))
        contents = _contents(exported, with_canvas, path)
        registered = register(exported, version, run)
        if bundle is not None:
            card = model_card.render(registered, version)
            bundles.write(bundle, exported.raw, card, exported.examples, version.name)
        for file, raw in contents.items():
            files.write(raw, file)
        if netlist is not None and gates is not None:
            hdl.write(netlist, gates, str(version))
            click.echo(f"{netlist}: {gates.gates:,} gates, depth {gates.depth}.")
        if picture:
            attach_picture(registered, exported.raw)
    click.echo(
        f"{path}: {version} in {path.stat().st_size:,} bytes, {precision}; "
        f"on validation {exported.parity}."
    )
    click.echo(f"Registered as {registered}. View it: netron {shlex.quote(str(path))}")
    if view:
        netron_view.view(path)


def find_version(task: str, model: str) -> "Version":
    """Return the version that `model` names, by default the task's champion.

    Raises:
        UserError: there is no such version, or it is of another task.
    """
    uri = f"models:/{task}@{versions.CHAMPION}" if model in ("", "auto") else model
    version = versions.find(uri, how_to_make=cli.HOW_TO_TRAIN.format(task=task))
    actual = version.metadata.get("task", "unknown")
    if actual != task:
        raise UserError(
            "task-mismatch",
            f"model {uri}",
            expected=f"a version of task {task}",
            found=f"one of task {actual}",
            fix=f"Pass --task {actual} or another model.",
        )
    return version


def circuit_of(version: "Version") -> "Netlist":
    """Return the simplified netlist of a version that is a circuit.

    Raises:
        UserError: netlist-unsuitable, it is a network.
    """
    from experiments.registry import loading
    from export.netlist import Netlist, simplify
    from models.logic import Circuit

    net, _ = loading.load_model(loading.task_of(version), version)
    if not isinstance(net, Circuit):
        expected, fix = "a circuit of logic gates", "Leave out --netlist, or pass --task logic."
        raise UserError("netlist-unsuitable", str(version), expected, "a network", fix)
    return simplify(Netlist.of(net))


def _contents(exported: "Exported", with_canvas: str | None, path: Path) -> dict[Path, bytes]:
    """Return file -> content: the graph, with the preprocessing graph as the user chose.

    Raises:
        UserError: input-mismatch, the model takes no images of digits.
    """
    if with_canvas is None:
        return {path: exported.raw}
    import onnx

    from export import preprocessing

    canvas = preprocessing.export_preprocessing(exported.opset)
    model = onnx.load_from_string(exported.raw)
    merged = preprocessing.with_preprocessing(canvas, model)
    if with_canvas == "merged":
        return {path: merged.SerializeToString()}
    return {path: exported.raw, path.with_name(CANVAS): canvas.SerializeToString()}


def register(exported: "Exported", version: "Version", run: "RunLogger") -> "Version":
    """Register the graph, once, link it with the torch version by tags, and write both cards."""
    parity, precision = asdict(exported.parity), exported.precision
    sha256 = files.sha256_bytes(exported.raw)
    # The same graph is not registered again.
    tag = exports.graph_tag(precision)
    linked = versions.find_if_any(version.tags[tag]) if tag in version.tags else None
    if linked is None or linked.tags.get("sha256") != sha256:
        linked = _register(exported, version, sha256)
    # The torch version's tags name it, with what it achieves.
    row = {
        **parity,
        "accuracy": exported.measured["test_accuracy"],
        "bytes": len(exported.raw),
        "registered": linked.uri,
    }
    versions.tag(version, {tag: linked.uri, f"{model_card.PRECISION}{precision}": row})
    aliases.follow_champion(version.name)
    version = versions.find(version.uri)
    model_card.publish(linked, version)
    model_card.publish(version)
    run.metrics({f"parity_{name}": value for name, value in parity.items()})
    run.tags({"registered": linked})
    return versions.find(linked.uri)


def _register(exported: "Exported", version: "Version", sha256: str) -> "Version":
    import onnx

    from experiments.core.onnx_session import open_session, run_batches

    session = open_session(exported.raw)
    examples = exported.examples[:2]
    accuracy = exported.measured["test_accuracy"]
    tags = {
        "torch_model": version.uri,
        "sha256": sha256,
        "precision": exported.precision,
        "opset": exported.opset,
    }
    return artifacts.register_onnx(
        onnx.load_from_string(exported.raw),
        exports.graph_name(version.name, exported.precision),
        {session.get_inputs()[0].name: examples},
        run_batches(session, examples),
        {**version.metadata, **exported.measured, **tags, "bytes": len(exported.raw)},
        {**tags, "test_accuracy": accuracy},
    )


def attach_picture(registered: "Version", raw: bytes) -> None:
    """Let Netron draw the graph in a browser, and add the SVG to the version's files."""
    from export import netron_view

    with tempfile.TemporaryDirectory() as folder:
        graph, picture = Path(folder) / "model.onnx", Path(folder) / "architecture.svg"
        graph.write_bytes(raw)
        picture.write_text(netron_view.picture(graph))
        versions.add_artifact(registered, picture)


if __name__ == "__main__":
    cli.main(command)
