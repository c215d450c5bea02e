"""The weights of a served bank of gates, read out of its ONNX file, as the page draws them."""

from typing import Any

import numpy as np

from experiments.errors import UserError
from serve.gate.net import ACTIVATIONS, Bank
from serve.predictor import Predictor
from serve.texts import gate as texts

MOST_WEIGHTS = 20_000  # of all gates together; more would make the page heavy


def networks(predictor: Predictor, graph: bytes) -> dict[str, dict[str, Any]]:
    """Return gate -> its network as `drawn` gives it.

    Args:
        predictor: of the gates; its labels are the networks' order.
        graph: its ONNX file's bytes.

    Raises:
        UserError: the file is too large to be drawn, or of another architecture.
    """
    try:
        bank, activation = _read(graph)
        assert len(bank.bias2) == len(predictor.labels)
    except Exception as error:  # protobuf's errors have no common class but this
        raise UserError(texts.NOT_A_BANK.format(title=predictor.title)) from error
    weights = sum(part.size for part in bank)
    if weights > MOST_WEIGHTS:
        raise UserError(
            texts.TOO_LARGE.format(title=predictor.title, weights=weights, most=MOST_WEIGHTS)
        )
    return {
        gate: {"activation": activation, **drawn(Bank(*(part[index] for part in bank)))}
        for index, gate in enumerate(predictor.labels)
    }


def _read(graph: bytes) -> tuple[Bank, str]:
    """Return the bank, its gates in the place of the starts, and its activation."""
    import onnx  # late: it takes the page's start a fifth of a second
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


def drawn(bank: Bank) -> dict[str, Any]:
    """Return weights as JSON-able lists, to six digits after the point."""
    return {
        name: np.asarray(part, np.float64).round(6).tolist()
        for name, part in bank._asdict().items()
    }
