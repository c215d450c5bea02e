"""ONNX files in onnxruntime, on the CPU: a session is opened and run in batches only here."""

from pathlib import Path

import numpy as np
import onnxruntime

from experiments.core.errors import UserError

BATCH_SIZE = 250  # intermediate values of so many digits fit into a processor's cache


def open_session(
    model: bytes | Path, threads: int = 0, name: object = "model"
) -> onnxruntime.InferenceSession:
    """Return a session of an ONNX file or its bytes.

    Args:
        threads: for one call; 0 for one a processor core.
        name: what an error calls the model.

    Raises:
        UserError: model-corrupt, onnxruntime cannot load it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no other common class
        raise UserError(
            "model-corrupt",
            name,
            expected="an ONNX model",
            found=f"a file that onnxruntime cannot load ({type(error).__name__})",
            fix="Export it again with python export/to_onnx.py.",
        ) from error


def run_batches(
    session: onnxruntime.InferenceSession, x: np.ndarray, batch_size: int = BATCH_SIZE
) -> dict[str, np.ndarray]:
    """Return the outputs of a graph with one input for samples x [N, ...]: name -> [N, ...].

    Raises:
        UserError: input-mismatch, the graph takes other dtypes or shapes.
    """
    input_name = session.get_inputs()[0].name
    names = [output.name for output in session.get_outputs()]
    # onnxruntime has no empty batch of every graph: a sample of zeros shows the outputs' shapes
    fed = x if len(x) else np.zeros((1, *x.shape[1:]), x.dtype)
    starts = range(0, len(fed), batch_size)
    try:
        parts = [session.run(names, {input_name: fed[at : at + batch_size]}) for at in starts]
    except Exception as error:  # onnxruntime's errors have no other common class
        raise UserError(
            "input-mismatch",
            f"input {input_name}",
            expected="the dtype and shape that the graph takes",
            found=f"{x.dtype} {list(x.shape)}",
            fix="Feed what the graph's metadata describe.",
        ) from error
    named = zip(names, *parts, strict=True)
    return {name: np.concatenate(values)[: len(x)] for name, *values in named}
