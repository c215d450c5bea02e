"""Register networks and graphs without pickle, and load them after their hash is checked.

torch and mlflow are imported inside functions: the page and `registry list` need only parts.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from experiments.core import cli, files
from experiments.core.errors import UserError
from experiments.registry import versions
from experiments.registry.metadata import VersionMetadata, texts
from experiments.registry.versions import FILES, Version
from experiments.tracking.runs import first_line
from experiments.tracking.store import connect

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

PROGRAM, GRAPH = "data/model.pt2", "model.onnx"
EXAMPLES = "data/sample_inputs/"  # in a program's archive: pickled, and not needed


def register_torch(
    net: nn.Module,
    name: str,
    example: np.ndarray,
    metadata: VersionMetadata,
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
    from mlflow.models import infer_signature

    net = net.to(memory_format=torch.contiguous_format)  # the archive's format requires it
    with torch.inference_mode():
        output = net(torch.tensor(example)).numpy()
    stored = {
        "pytorch_model": net,
        "input_example": example.copy(),  # torch warns of read-only arrays
        "signature": infer_signature(example, output),
        "pip_requirements": [f"torch=={version('torch').split('+')[0]}"],
        "validate_serving_input": False,  # takes a second; tests check the predictions
    }
    flavor = SimpleNamespace(__name__="mlflow.pytorch", save_model=_save_without_pickle)
    return _register(name, flavor, metadata, tags or {}, stored)


def _save_without_pickle(path: str, validate_serving_input: bool, **kwargs: object) -> None:
    """Save as MLflow does, then leave the pickled example inputs out of the program's archive."""
    import mlflow.pytorch

    mlflow.pytorch.save_model(path=path, **kwargs)
    archive = Path(path) / PROGRAM
    without = io.BytesIO()
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(without, "w") as new:
        for item in old.infolist():
            new.writestr(item, b"" if EXAMPLES in item.filename else old.read(item))
    files.write(without.getvalue(), archive)


def register_onnx(
    graph: ModelProto,
    name: str,
    examples: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    metadata: VersionMetadata,
    tags: Mapping[str, object] | None = None,
) -> Version:
    """Register an ONNX graph (ModelProto) as a new version of `name`, in the open run.

    Args:
        examples, outputs: name -> array [B, ...] of the graph's inputs and outputs.
        metadata: JSON-able; stored with the model.
        tags: of the version, to be searched by.
    """
    import mlflow.onnx
    from mlflow.models import infer_signature

    stored = {
        "onnx_model": graph,
        "signature": infer_signature(dict(examples), dict(outputs)),
        "save_as_external_data": False,
        "onnx_execution_providers": ["CPUExecutionProvider"],
        "pip_requirements": [f"{lib}=={version(lib)}" for lib in ("onnx", "onnxruntime")],
    }
    return _register(name, mlflow.onnx, metadata, tags or {}, stored)


def _register(
    name: str,
    flavor: object,
    metadata: VersionMetadata,
    tags: Mapping[str, object],
    stored: Mapping[str, object],
) -> Version:
    """Log a model in the open run, hash its files, and register it with the hashes, at once."""
    import mlflow
    from mlflow.models import Model
    from mlflow.utils import environment

    # The versions are the installed ones; to check that, MLflow lists all packages' files: a second
    environment.warn_dependency_requirement_mismatches = lambda requirements: None
    _delete_unregistered(name)
    logged = Model.log(None, flavor, name=name, metadata=dict(metadata), **stored)
    folder = Path(mlflow.artifacts.download_artifacts(logged.model_uri))
    values = texts({**tags, FILES: versions.hashed(folder)})
    entry = mlflow.register_model(logged.model_uri, name, tags=values)
    return versions.find(f"models:/{name}/{entry.version}")


def _delete_unregistered(name: str) -> None:
    """Delete what the open run has logged under `name` before it was killed."""
    import mlflow

    client, run = connect(), mlflow.active_run()
    registered = {v.source for v in client.search_model_versions(f"name = '{name}'")}
    condition = f"source_run_id = '{run.info.run_id}' AND name = '{name}'"
    for model in client.search_logged_models([run.info.experiment_id], condition):
        if model.model_uri not in registered:
            client.delete_logged_model(model.model_id)


def load_torch(model: Version) -> nn.Module:
    """Return the torch program of a registered version: tensor in, logits out.

    Raises:
        UserError: model-incompatible, it holds none that this torch can load; or its file cannot
            be read, or is not the one that was registered.
    """
    raw = versions.read(model, PROGRAM)
    import torch

    try:
        return torch.export.load(io.BytesIO(raw)).module()
    except (RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            "model-incompatible",
            f"{PROGRAM} of {model}",
            expected=f"a program that torch {torch.__version__} can load",
            found=first_line(error),
            fix=f"Train a new one: {cli.HOW_TO_TRAIN.format(task=model.name)}",
        ) from error


def onnx_graph(model: Version) -> bytes:
    """Return a registered version's ONNX file.

    Raises:
        UserError: it has none, or the file is not the one that was registered.
    """
    return versions.read(model, GRAPH)
