"""The weights of a served bank of gates, read from its ONNX file, as the page draws them.

onnx is imported with the first graph: it would delay the page's start by a fifth of a second.
"""

import numpy as np

from serve.backends.onnx_backend import Predictor
from serve.refusals import refusal
from serve.tabs.gate.numpy_training import ACTIVATIONS, Bank

MAX_WEIGHTS = 20_000  # of all gates together; more would make the page slow


def networks(predictor: Predictor, graph: bytes) -> dict[str, dict[str, object]]:
    """Return gate -> its activation and its weights as lists.

    Args:
        predictor: of the gates; its labels are in the networks' order.
        graph: its ONNX file's bytes.

    Raises:
        UserError: the file is too large to be drawn, or of another architecture.
    """
    try:
        bank, activation = _read(graph)
        assert len(bank.bias2) == len(predictor.labels)
    except Exception as error:  # protobuf's errors have no other common class
        raise refusal("graph-unsuitable", "another graph", model=predictor.title) from error
    count = sum(part.size for part in bank)
    if count > MAX_WEIGHTS:
        raise refusal("network-too-large", count, model=predictor.title, limit=MAX_WEIGHTS)
    return {
        gate: {"activation": activation, **to_lists(Bank(*(part[index] for part in bank)))}
        for index, gate in enumerate(predictor.labels)
    }


def _read(graph: bytes) -> tuple[Bank, str]:
    """Return the bank, with its gates on the axis of the starts, and its activation."""
    import onnx
    from onnx import numpy_helper

    parsed = onnx.load_from_string(graph).graph
    weights = {tensor.name: tensor for tensor in parsed.initializer}
    bank = Bank(*(numpy_helper.to_array(weights[name]) for name in Bank._fields))
    (activation,) = (
        node.op_type.lower()
        for node in parsed.node
        if "hidden" in node.input and node.op_type.lower() in ACTIVATIONS
    )
    return bank, activation


def to_lists(bank: Bank) -> dict[str, object]:
    """Return weights as JSON-able lists, rounded to six digits after the point."""
    return {
        name: np.asarray(part, np.float64).round(6).tolist()
        for name, part in bank._asdict().items()
    }
