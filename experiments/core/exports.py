"""What a version can be exported to, and the names of the results: models, tags and files."""

PRECISIONS = ("fp32", "fp16", "int8")
OPSETS = range(18, 24)  # torch's exporter starts at 18; onnxruntime's releases lag above 23
OPSET = 20  # the first with Gelu
GRAPH_TAG = "onnx_model"  # prefix of a version's tags that name its graphs
DEFAULT_TASK = "mnist"  # of the command export/to_onnx.py


def graph_name(name: str, precision: str = "fp32") -> str:
    """Return the registered model of a model's graphs: mnist-onnx, mnist-onnx-int8."""
    return f"{name}-onnx{_suffix('-', precision)}"


def graph_tag(precision: str = "fp32") -> str:
    """Return the tag with which a version names its graph: onnx_model, onnx_model.int8."""
    return f"{GRAPH_TAG}{_suffix('.', precision)}"


def file_name(task: str) -> str:
    """Return the default name of a task's file: model.onnx for digits, gate.onnx for gates."""
    return "model.onnx" if task == DEFAULT_TASK else f"{task}.onnx"


def _suffix(mark: str, precision: str) -> str:
    return "" if precision == "fp32" else f"{mark}{precision}"
