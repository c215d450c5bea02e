"""A graph in a folder for inference servers, with its card, its labels and examples.

model.onnx  README.md  labels.txt  SHA256SUMS
examples/0 to 4/request.json, response.json     in the Open Inference Protocol, to be POSTed as is
model_repository/NAME/                          for Triton, and KServe's Triton runtime
    config.pbtxt  labels.txt  1/model.onnx
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx

from experiments.core import files
from experiments.core.onnx_session import open_session, run_batches

VERSION = "1"  # of the model in Triton's repository: a folder's name
MAX_BATCH_SIZE = 1024  # of Triton's dynamic batches


def write(folder: Path, raw: bytes, card: str, examples: np.ndarray, name: str) -> None:
    """Write the bundle, completely or not at all; an older one is replaced.

    Args:
        raw: a graph with one input, a free batch and `labels` (JSON) in its metadata.
        card: Markdown.
        examples: [5, ...] as the graph's input takes them.
        name: of the model in Triton's repository.

    Raises:
        UserError: folder-occupied or folder-unwritable.
    """
    check(folder)
    files.write_folder(folder, "bundle", _contents(raw, card, examples, name))


def check(folder: Path) -> None:
    """Raise UserError if a bundle cannot be written to `folder`, before any work is done for it."""
    paths = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    listed = files.listed(folder)
    ours = "model.onnx" in listed and paths <= listed
    files.check_folder(folder, "bundle", "an older bundle", ours=ours)


def _contents(raw: bytes, card: str, examples: np.ndarray, name: str) -> dict[str, bytes]:
    """Return path in the bundle -> content."""
    model = onnx.load_model_from_string(raw)
    labels = json.loads({each.key: each.value for each in model.metadata_props}["labels"])
    lines = "".join(f"{label}\n" for label in labels)
    triton = f"model_repository/{name}"
    texts = {
        "README.md": card,
        "labels.txt": lines,
        f"{triton}/config.pbtxt": _config(model.graph, len(labels), name),
        f"{triton}/labels.txt": lines,
        **_examples(raw, examples, name),
    }
    contents = {path: text.encode() for path, text in texts.items()}
    return contents | {"model.onnx": raw, f"{triton}/{VERSION}/model.onnx": raw}


def _config(graph: onnx.GraphProto, labels: int, name: str) -> str:
    """Return Triton's ModelConfig as text; `labels` is the number of labels."""
    inputs = ",\n".join(_tensor(value, 0) for value in graph.input)
    outputs = ",\n".join(_tensor(value, labels) for value in graph.output)
    return (
        f'name: "{name}"\nplatform: "onnxruntime_onnx"\nbackend: "onnxruntime"\n'
        f"max_batch_size: {MAX_BATCH_SIZE}\ninput [\n{inputs}\n]\noutput [\n{outputs}\n]\n"
        "dynamic_batching { }\n"
    )


def _tensor(value: onnx.ValueInfoProto, labels: int) -> str:
    """Return one input or output of Triton's ModelConfig, without its batch, which Triton adds."""
    tensor = value.type.tensor_type
    dtype = _datatype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    dims = [dim.dim_value for dim in tensor.shape.dim][1:]
    lines = [f'name: "{value.name}"', f"data_type: TYPE_{dtype}", f"dims: {dims or [1]}"]
    if not dims:
        lines.append("reshape { shape: [ ] }  # Triton requires a dimension: it returns [batch, 1]")
    if dims == [labels]:
        lines.append('label_filename: "labels.txt"')
    return "  {\n" + "".join(f"    {line}\n" for line in lines) + "  }"


def _examples(raw: bytes, examples: np.ndarray, name: str) -> dict[str, str]:
    """Return path -> JSON: each example as a request, and onnxruntime's response."""
    session = open_session(raw)
    input_name = session.get_inputs()[0].name
    texts: dict[str, str] = {}
    for index in range(len(examples)):
        x = examples[index : index + 1]
        request = {"inputs": [_json(input_name, x)]}
        outputs = [_json(output, array) for output, array in run_batches(session, x).items()]
        response = {"model_name": name, "model_version": VERSION, "outputs": outputs}
        texts[f"examples/{index}/request.json"] = json.dumps(request) + "\n"
        texts[f"examples/{index}/response.json"] = json.dumps(response) + "\n"
    return texts


def _json(name: str, array: np.ndarray) -> dict[str, object]:
    """Return a tensor in the Open Inference Protocol, row by row."""
    return {
        "name": name,
        "shape": list(array.shape),
        "datatype": _datatype(array.dtype),
        "data": array.ravel().tolist(),
    }


def _datatype(dtype: np.dtype) -> str:
    """Return the Open Inference Protocol's name of a dtype: UINT8, INT64, FP16, FP32."""
    return dtype.name.upper().replace("FLOAT", "FP")
