"""An ONNX graph to one that computes in 8-bit integers: static quantisation, QDQ."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

BATCH = 100


class Calibration:
    """The images that tell the range of each value, a batch at a time, as onnxruntime asks."""

    def __init__(self, name: str, images: np.ndarray) -> None:
        starts = range(0, len(images), BATCH)
        self._batches: Iterator[dict[str, np.ndarray]] = iter(
            [{name: images[start : start + BATCH]} for start in starts]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def int8(graph: onnx.ModelProto, images: np.ndarray) -> onnx.ModelProto:
    """Return `graph` with convolutions and matrix products in int8, its metadata kept.

    Args:
        images: as the graph's input wants them; of the training set, some hundreds.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    CalibrationDataReader.register(Calibration)
    with tempfile.TemporaryDirectory() as folder:
        given, ready, made = (Path(folder, f"{name}.onnx") for name in ("given", "ready", "made"))
        onnx.save(graph, given)
        quant_pre_process(given, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            made,
            Calibration(graph.graph.input[0].name, images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            per_channel=True,
        )
        small = onnx.load(made)
    del small.metadata_props[:]
    small.metadata_props.extend(graph.metadata_props)
    return small
