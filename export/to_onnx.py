"""A registered version to one self-contained ONNX file, proven equal before it is written.

python export/to_onnx.py --task mnist --model models:/mnist@champion --out model.onnx
"""

import sys
from pathlib import Path

if not __package__:  # started as a script, from any folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from experiments import artifacts, card, cli, hashes, moves, outfile, tasks, tracking, versions
from experiments.errors import UserError
from experiments.versions import CHAMPION
from export import convert
from export.graph import OPSET, OPSETS
from export.precision import PRECISIONS

if TYPE_CHECKING:
    import onnx

    from experiments.tracking import Recorder
    from experiments.versions import Version
    from export.convert import Exported

CANVAS = "canvas.onnx"


@click.command("export.to_onnx", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--task", type=click.Choice(tasks.names()), default=convert.DEFAULT_TASK, show_default=True
)
@click.option(
    "--model", default="auto", help="Registered version.  [default: models:/TASK@champion]"
)
@click.option(
    "--out", default="auto", help="File.  [default: model.onnx, of other tasks TASK.onnx]"
)
@click.option("--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True)
@click.option(
    "--opset", type=click.Choice([*map(str, OPSETS)]), default=str(OPSET), show_default=True
)
@click.option(
    "--with-canvas",
    type=click.Choice(["beside", "merged"]),
    is_flag=False,
    flag_value="beside",
    help="Also write the drawing front end beside it, as canvas.onnx; or both merged in one file.",
)
@click.option("--bundle", type=Path, help="Also write a folder for servers and strangers.")
@click.option("--view", is_flag=True, help="Open Netron on it.")
@click.option("--picture", is_flag=True, help="Let Netron draw it, and keep the SVG with it.")
def command(
    task: str,
    model: str,
    out: str,
    precision: str,
    opset: str,
    with_canvas: str | None,
    bundle: Path | None,
    view: bool,
    picture: bool,
) -> None:
    """Export a registered version to ONNX, prove it equal to the torch model, register it."""
    file = Path(convert.file_name(task) if out in ("", "auto") else out)
    outfile.check(file)
    if bundle is not None:
        from export import bundle as bundles

        bundles.check(bundle)
    version = chosen(task, model)
    with tracking.start(f"export {version}") as run:
        made = convert.export(version, precision, int(opset))
        canvas = front(made) if with_canvas else None
        registered = register(made, version, run)
        if bundle is not None:
            text = card.written(registered, version)
            bundles.write(bundle, made.raw, text, made.examples, version.name)
        write(made, canvas, with_canvas == "merged", file)
        if picture:
            attach_picture(registered, made.raw)
    click.echo(f"{file}: {version} in {file.stat().st_size:,} bytes, {precision}; {made.parity}.")
    click.echo(f"Registered as {registered}. Look at it: netron {file}")
    if view:
        from export import netron_view

        netron_view.view(file)


def chosen(task: str, model: str) -> "Version":
    """Return the version that is asked for.

    Raises:
        UserError: there is none such, or it is of another task.
    """
    uri = f"models:/{task}@{CHAMPION}" if model in ("", "auto") else model
    version = versions.find(uri, how_to_make=cli.HOW_TO_TRAIN.format(task=task))
    if version.metadata.get("task") != task:
        found = version.metadata.get("task", "unknown")
        raise UserError(f"model: expected a version of task {task}, found one of task {found}.")
    return version


def front(made: "Exported") -> "onnx.ModelProto":
    """Return the drawing front end, in the opset of the model.

    Raises:
        UserError: the model takes no pictures of digits.
    """
    import onnx

    from export import canvas

    drawn = canvas.graph(made.opset)
    canvas.check(drawn, onnx.load_from_string(made.raw))
    return drawn


def write(made: "Exported", canvas: "onnx.ModelProto | None", merged: bool, out: Path) -> None:
    """Write the graph, and the front end beside it or before it in the same file."""
    if canvas is None:
        outfile.write(made.raw, out)
    elif merged:
        import onnx

        from export.canvas import merged as merge

        model = onnx.load_from_string(made.raw)
        outfile.write(merge(canvas, model).SerializeToString(), out)
    else:
        outfile.write(made.raw, out)
        outfile.write(canvas.SerializeToString(), out.with_name(CANVAS))


def register(made: "Exported", version: "Version", run: "Recorder") -> "Version":
    """Register the graph, once, tie it to the torch version by tags, and write both cards."""
    sha256 = hashes.of_bytes(made.raw)
    key = moves.ONNX + ("" if made.precision == "fp32" else f".{made.precision}")
    registered = _same_graph(version, key, sha256) or _registered(made, version, sha256)
    row = asdict(made.parity) | {"accuracy": made.accuracy, "bytes": len(made.raw)}
    row |= {"registered": registered.uri}
    versions.tag(version, {key: registered.uri, f"{card.PRECISION}{made.precision}": row})
    moves.follow_champion(version.name)
    version = versions.find(version.uri)
    card.publish(registered, version)
    card.publish(version)
    run.metrics({f"parity_{name}": value for name, value in asdict(made.parity).items()})
    run.tags({"registered": registered})
    return versions.find(registered.uri)


def _same_graph(version: "Version", key: str, sha256: str) -> "Version | None":
    """Return the ONNX version that `version` is tied to, if it holds the very same bytes."""
    linked = version.tags.get(key)
    registered = versions.find_if_any(linked) if linked else None
    return registered if registered and registered.tags.get("sha256") == sha256 else None


def _registered(made: "Exported", version: "Version", sha256: str) -> "Version":
    import onnx
    import onnxruntime

    session = onnxruntime.InferenceSession(made.raw, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: made.examples[:2]}
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, inputs), strict=True))
    about: dict[str, Any] = {"torch_model": version.uri, "sha256": sha256}
    about |= {"precision": made.precision, "opset": made.opset}
    name = f"{version.name}-onnx" + ("" if made.precision == "fp32" else f"-{made.precision}")
    metadata = {**version.metadata, **about, "bytes": len(made.raw)}
    return artifacts.register_onnx(
        onnx.load_from_string(made.raw),
        name,
        inputs,
        outputs,
        metadata,
        {**about, "test_accuracy": made.accuracy},
    )


def attach_picture(registered: "Version", raw: bytes) -> None:
    """Let Netron draw the graph in a browser, and lay the SVG beside the version's model."""
    import tempfile

    from export import netron_view

    with tempfile.TemporaryDirectory() as folder:
        graph, picture = Path(folder) / "model.onnx", Path(folder) / "architecture.svg"
        graph.write_bytes(raw)
        picture.write_text(netron_view.picture(graph))
        versions.attach(registered, picture)


if __name__ == "__main__":
    cli.main(command)
