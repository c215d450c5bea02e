"""What is stored with a version: networks in, without pickle; networks out, checked."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from experiments import versions
from experiments.errors import UserError
from experiments.tracking import connect
from experiments.versions import FILES, Version

if TYPE_CHECKING:
    import numpy as np
    from mlflow.models import ModelSignature

PROGRAM, GRAPH = "data/model.pt2", "model.onnx"
EXAMPLES = "data/sample_inputs/"  # of a program's archive: pickled, and nothing needs them


def register_torch(
    net: Any,
    name: str,
    example: np.ndarray,
    metadata: Mapping[str, Any],
    tags: Mapping[str, object] | None = None,
) -> Version:
    """Register `net` as a new version of `name`, as an exported program, free of pickle.

    Args:
        net: torch module in evaluation mode, on the CPU.
        example: [2, ...], two samples of what `net` takes; the batch size stays free.
        metadata: JSON-able; stored with the model.
        tags: of the version, to be searched by.
    """
    import torch

    net = net.to(memory_format=torch.contiguous_format)  # as the archive's format wants it
    with torch.inference_mode():
        output = net(torch.tensor(example)).numpy()
    stored = {
        "pytorch_model": net,
        "input_example": example.copy(),  # ours are read-only, and torch warns of those
        "signature": _signature({None: example}, {None: output}),
        "pip_requirements": [f"torch=={version('torch').split('+')[0]}"],
        "validate_serving_input": False,  # it costs a second, and MLflow's own answers are tested
    }
    flavor = SimpleNamespace(__name__="mlflow.pytorch", save_model=_save_without_pickle)
    return _register(name, flavor, metadata, tags, stored)


def _save_without_pickle(path: str, validate_serving_input: bool, **kwargs: Any) -> None:
    """Save as MLflow does, then leave the pickled example inputs out of the program's archive."""
    import mlflow.pytorch

    mlflow.pytorch.save_model(path=path, **kwargs)
    archive = Path(path) / PROGRAM
    beside = archive.with_suffix(".partial")
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(beside, "w") as new:
        for item in old.infolist():
            new.writestr(item, b"" if EXAMPLES in item.filename else old.read(item))
    beside.replace(archive)


def register_onnx(
    graph: Any,
    name: str,
    examples: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    metadata: Mapping[str, Any],
    tags: Mapping[str, object] | None = None,
) -> Version:
    """Register an ONNX graph (ModelProto) as a new version of `name`, in the open run.

    Args:
        examples, outputs: name -> array [B, ...] of the graph's inputs and outputs.
        metadata: JSON-able; stored with the model.
        tags: of the version, to be searched by.
    """
    import mlflow.onnx

    stored = {
        "onnx_model": graph,
        "signature": _signature(examples, outputs),
        "save_as_external_data": False,
        "onnx_execution_providers": ["CPUExecutionProvider"],
        "pip_requirements": [f"{lib}=={version(lib)}" for lib in ("onnx", "onnxruntime")],
    }
    return _register(name, mlflow.onnx, metadata, tags, stored)


def _register(
    name: str,
    flavor: Any,
    metadata: Mapping[str, Any],
    tags: Mapping[str, object] | None,
    stored: Mapping[str, Any],
) -> Version:
    """Log a model in the open run, hash its files, and register it with the hashes, at once."""
    import mlflow
    from mlflow.models import Model

    _delete_unregistered(name)
    logged = Model.log(None, flavor, name=name, metadata=dict(metadata), **stored)
    files = Path(mlflow.artifacts.download_artifacts(logged.model_uri))
    texts = {key: v if isinstance(v, str) else json.dumps(v) for key, v in (tags or {}).items()}
    texts[FILES] = json.dumps(versions.hashed(files))
    made = mlflow.register_model(logged.model_uri, name, tags=texts)
    return versions.find(f"models:/{name}/{made.version}")


def _delete_unregistered(name: str) -> None:
    """Delete what the open run has logged under `name` before it was killed."""
    import mlflow

    client, run = connect(), mlflow.active_run()
    registered = {v.source for v in client.search_model_versions(f"name = '{name}'")}
    condition = f"source_run_id = '{run.info.run_id}' AND name = '{name}'"
    for model in client.search_logged_models([run.info.experiment_id], condition):
        if model.model_uri not in registered:
            client.delete_logged_model(model.model_id)


def _signature(
    inputs: Mapping[Any, np.ndarray], outputs: Mapping[Any, np.ndarray]
) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def schema(arrays: Mapping[Any, np.ndarray]) -> Schema:
        return Schema([TensorSpec(a.dtype, (-1, *a.shape[1:]), name) for name, a in arrays.items()])

    return ModelSignature(inputs=schema(inputs), outputs=schema(outputs))


def load_torch(model: Version) -> Any:
    """Return the torch program of a registered version: tensor in, logits out.

    Raises:
        UserError: the version holds none, or its file is not the one that was registered.
    """
    raw = versions.read(model, PROGRAM)
    import torch

    try:
        return torch.export.load(io.BytesIO(raw)).module()
    except (RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{model} holds no torch program that can be loaded: {error}") from error


def restore(net: Any, program: Any, model: Version) -> None:
    """Give `net`, made from the version's `config`, the weights of its torch program.

    Raises:
        UserError: this project's network is no longer the one that the version was trained with.
    """
    try:
        net.load_state_dict(program.state_dict())
    except RuntimeError:
        raise UserError(
            f"{model} was trained with an earlier network of this project, which no longer fits "
            f"it; train a new one: mlflow run . -e train -P task={model.name}"
        ) from None


def onnx_graph(model: Version) -> bytes:
    """Return a registered version's ONNX file.

    Raises:
        UserError: it has none, or the file is not the one that was registered.
    """
    return versions.read(model, GRAPH)
