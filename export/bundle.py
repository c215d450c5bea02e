"""A graph with all that a server and a stranger need, in one folder.

model.onnx  README.md  labels.txt  SHA256SUMS
examples/0 to 4/request.json, response.json     in the Open Inference Protocol, to be POSTed as is
model_repository/NAME/                          as Triton and KServe's Triton runtime want it
    config.pbtxt  labels.txt  1/model.onnx
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.errors import UserError
from export import outfolder

if TYPE_CHECKING:
    import numpy as np
    import onnx

SUMS = outfolder.SUMS
VERSION = "1"  # of the model in Triton's repository: a folder's name
MOST = 1024  # samples that Triton may put into one batch


def write(folder: Path, raw: bytes, card: str, examples: np.ndarray, name: str) -> None:
    """Write the bundle, whole or not at all; one that is there already is replaced.

    Args:
        raw: a graph with one input, a free batch and `labels` (JSON) in its metadata.
        card: Markdown.
        examples: [5, ...] as the graph's input wants them.
        name: of the model in Triton's repository.

    Raises:
        UserError: `check` refuses the folder, the graph has no free batch or no labels, or the
            folder cannot be written.
    """
    check(folder)
    files = _files(raw, card, examples, name)
    outfolder.write(folder, "bundle", files)


def check(folder: Path) -> None:
    """Raise UserError if no bundle can be called `folder`, before any work is done for it."""
    expected = f"an older bundle; {folder} is neither, or holds files that no bundle has"
    outfolder.check(folder, "bundle", expected, ours=_is_bundle(folder))


def _is_bundle(folder: Path) -> bool:
    """Return whether `folder` holds the files that its SHA256SUMS lists, and nothing else."""
    listed = outfolder.listed(folder)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return "model.onnx" in listed and there <= listed


def _files(raw: bytes, card: str, examples: np.ndarray, name: str) -> dict[str, bytes]:
    """Return path in the bundle -> content; the last one has the hashes of the others."""
    import onnx

    model = onnx.load_model_from_string(raw)
    labels = _labels(model)
    lines = "".join(f"{label}\n" for label in labels)
    triton = f"model_repository/{name}"
    texts = {
        "README.md": card,
        "labels.txt": lines,
        f"{triton}/config.pbtxt": _config(model, len(labels), name),
        f"{triton}/labels.txt": lines,
        **_examples(raw, examples, name),
    }
    files = {path: text.encode() for path, text in texts.items()}
    files |= {"model.onnx": raw, f"{triton}/{VERSION}/model.onnx": raw}
    sums = "".join(f"{sha256(files[path]).hexdigest()}  {path}\n" for path in sorted(files))
    return {**files, SUMS: sums.encode()}


def _labels(model: onnx.ModelProto) -> list[str]:
    about = {entry.key: entry.value for entry in model.metadata_props}
    if "labels" not in about:
        raise UserError("bundle: expected a graph with `labels` among its metadata, found none.")
    return json.loads(about["labels"])


def _config(model: onnx.ModelProto, labels: int, name: str) -> str:
    """Return Triton's ModelConfig as text: each value without its batch, which Triton adds."""
    graph = model.graph
    inputs = ",\n".join(_tensor(value, 0) for value in graph.input)
    outputs = ",\n".join(_tensor(value, labels) for value in graph.output)
    return (
        f'name: "{name}"\nplatform: "onnxruntime_onnx"\nbackend: "onnxruntime"\n'
        f"max_batch_size: {MOST}\ninput [\n{inputs}\n]\noutput [\n{outputs}\n]\n"
        "dynamic_batching { }\n"
    )


def _tensor(value: onnx.ValueInfoProto, labels: int) -> str:
    """Return one input or output of Triton's ModelConfig; `labels` is how many labels there are."""
    import onnx

    kind = value.type.tensor_type
    batch, *dims = [-1 if dim.dim_param else dim.dim_value for dim in kind.shape.dim]
    if batch != -1:
        raise UserError(f"bundle: expected a graph with a free batch; {value.name} has {batch}.")
    dtype = _datatype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    lines = [f'name: "{value.name}"', f"data_type: TYPE_{dtype}", f"dims: {dims or [1]}"]
    if not dims:
        lines.append("reshape { shape: [ ] }  # Triton wants a dimension: it answers [batch, 1]")
    if dims == [labels]:
        lines.append('label_filename: "labels.txt"')
    return "  {\n" + "".join(f"    {line}\n" for line in lines) + "  }"


def _examples(raw: bytes, examples: np.ndarray, name: str) -> dict[str, str]:
    """Return path -> JSON: each example as a request, and what onnxruntime answers to it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(raw)
    given = session.get_inputs()[0].name
    names = [output.name for output in session.get_outputs()]
    texts: dict[str, str] = {}
    for index in range(len(examples)):
        x = examples[index : index + 1]
        answer = zip(names, session.run(names, {given: x}), strict=True)
        outputs = [_json(output, array) for output, array in answer]
        response = {"model_name": name, "model_version": VERSION, "outputs": outputs}
        texts[f"examples/{index}/request.json"] = json.dumps({"inputs": [_json(given, x)]}) + "\n"
        texts[f"examples/{index}/response.json"] = json.dumps(response) + "\n"
    return texts


def _json(name: str, array: np.ndarray) -> dict[str, Any]:
    """Return a tensor as the Open Inference Protocol writes it, row after row."""
    return {
        "name": name,
        "shape": list(array.shape),
        "datatype": _datatype(array.dtype),
        "data": array.ravel().tolist(),
    }


def _datatype(dtype: np.dtype) -> str:
    """Return what the Open Inference Protocol calls a numpy dtype: UINT8, INT64, FP16, FP32."""
    return dtype.name.upper().replace("FLOAT", "FP")
