"""A registered version to one self-contained ONNX file, proven equal before it is written.

python export/to_onnx.py --task mnist --model models:/mnist@champion --out model.onnx
"""

import sys
from pathlib import Path

if not __package__:  # started as a script, from any folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hashlib
import json
import logging
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from experiments import cli, outfile, rebuilt, tasks, tracking
from experiments.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from torch import Tensor, nn

    from experiments.tasks.base import Task
    from experiments.tracking import Recorder, Version
    from export.parity import Parity

OPSET = 20


class ParityError(UserError):
    """The graph and the torch program do not say the same."""


@click.command("export.to_onnx", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--task", type=click.Choice(tasks.names()), default="mnist", show_default=True)
@click.option(
    "--model", default="auto", help="Registered version.  [default: models:/TASK@champion]"
)
@click.option("--out", type=Path, default=Path("model.onnx"), show_default=True)
def command(task: str, model: str, out: Path) -> None:
    """Export a registered version to ONNX, prove it equal to the torch model, register it."""
    outfile.check(out)
    uri = f"models:/{task}@{tracking.CHAMPION}" if model in ("", "auto") else model
    version = tracking.find(uri, how_to_make=cli.HOW_TO_TRAIN.format(task=task))
    if version.metadata.get("task") != task:
        found = version.metadata.get("task", "unknown")
        raise UserError(f"model: expected a version of task {task}, found one of task {found}.")
    with tracking.start(f"export {version}") as run:
        graph, parity, x = export(tasks.get(task), version)
        run.metrics({"parity_count": parity.count, "parity_same": parity.same})
        run.metrics({"parity_largest_difference": parity.largest})
        raw = graph.SerializeToString()
        registered = register(graph, raw, version, x, run)
        outfile.write(raw, out)
    click.echo(f"{out}: {version} in {len(raw):,} bytes; {parity}.")
    click.echo(f"Registered as {registered}. Look at it: netron {out}")


def export(task: "Task", version: "Version") -> tuple["onnx.ModelProto", "Parity", "np.ndarray"]:
    """Return the checked graph of a registered version, its parity and two example inputs.

    Raises:
        ParityError: it differs from the registered torch program on the test set.
        UserError: the version's data are not to be had.
    """
    import onnx
    import onnxruntime

    from export.parity import TOLERANCE, compare

    net, program = rebuilt.network(task, version)
    x = rebuilt.data(task, version).test.x
    graph = to_graph(task, net, x[:2], describe(task, version))
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    known = len(version.metadata["labels"])  # a net may say more than that in its own logits

    def registered(x: "Tensor") -> dict[str, "Tensor"]:
        return {**task.outputs(net, x), "logits": program(x)[:, :known]}

    parity = compare(registered, session, x, task.decide)
    if not parity.holds:
        raise ParityError(
            f"{version} as ONNX is not the same function: {parity}; expected all the same and at "
            f"most {TOLERANCE:g}. Nothing was written."
        )
    return graph, parity, x[:2]


def to_graph(
    task: "Task", net: "nn.Module", example: "np.ndarray", metadata: Mapping[str, str]
) -> "onnx.ModelProto":
    """Return `net` as an ONNX graph with the task's named input and outputs and a free batch.

    Args:
        example: [2, ...] as `task.input` says.
        metadata: text to store in the file.
    """
    import torch

    class Graph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(task.outputs(self.net, x).values())

    inputs = torch.tensor(example)
    with torch.inference_mode():
        names = list(task.outputs(net.eval(), inputs))
    return export_graph(
        Graph().eval(), inputs, {0: "batch"}, [task.input.name], names, dict(metadata)
    )


def export_graph(
    module: "nn.Module",
    example: Any,
    dynamic: Mapping[int, str],
    input_names: list[str],
    output_names: list[str],
    metadata: dict[str, str],
) -> "onnx.ModelProto":
    """Return a torch module of one input as an ONNX graph in one piece, quietly."""
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            dynamic_shapes=(dict(dynamic),),
            input_names=input_names,
            output_names=output_names,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    graph = program.model.graph
    nodes = list(graph.all_nodes())
    values = [value for node in nodes for value in node.outputs]
    for item in (*nodes, *values, *graph.inputs, *graph.initializers.values()):
        item.metadata_props.clear()  # type: ignore[attr-defined]  # the exporter's notes: stack traces and paths of this machine
    program.model.metadata_props.clear()
    program.model.metadata_props.update(metadata)
    return program.model_proto


def describe(task: "Task", version: "Version") -> dict[str, str]:
    """Return what a client needs to know of the graph, as text; structures are JSON."""
    stored = version.metadata
    return {
        "task": task.name,
        "labels": json.dumps(stored["labels"]),
        "input": f"{task.input.name}, {task.input.dtype}: {task.input.meaning}",
        "normalisation": "inside the graph",
        "facts": json.dumps(stored["facts"]),
        "torch_model": version.uri,
        "run_id": stored["run_id"],
        "data_name": stored["data_name"],
        "data_digest": stored["data_digest"],
        "val_accuracy": repr(stored["val_accuracy"]),
        "test_accuracy": repr(stored["test_accuracy"]),
    }


def register(
    graph: "onnx.ModelProto", raw: bytes, version: "Version", x: "np.ndarray", run: "Recorder"
) -> "Version":
    """Register the graph as TASK-onnx, once, and tie it to the torch version by tags."""
    import onnxruntime

    sha256 = hashlib.sha256(raw).hexdigest()
    registered = _same_graph(version, sha256)
    if registered is None:
        session = onnxruntime.InferenceSession(raw)
        inputs = {session.get_inputs()[0].name: x}
        names = [output.name for output in session.get_outputs()]
        outputs = dict(zip(names, session.run(names, inputs), strict=True))
        metadata = {**version.metadata, "torch_model": version.uri, "sha256": sha256}
        registered = tracking.register_onnx(
            graph, f"{version.name}-onnx", inputs, outputs, metadata
        )
    tracking.tag(registered, {"torch_model": version.uri, "sha256": sha256})
    tracking.tag(version, {"onnx_model": registered.uri})
    run.tags({"registered": registered})
    champion = tracking.champion(version.name)
    if champion is not None and champion.number == version.number:
        tracking.crown(registered)
    return registered


def _same_graph(version: "Version", sha256: str) -> "Version | None":
    """Return the ONNX version that `version` is tied to, if it holds the very same bytes."""
    linked = version.tags.get("onnx_model")
    if linked is None:
        return None
    registered = tracking.find_if_any(linked)
    return registered if registered and registered.tags.get("sha256") == sha256 else None


if __name__ == "__main__":
    cli.main(command)
