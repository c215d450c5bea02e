"""Readable names for the nodes, values and constants of an ONNX graph: conv1, conv1.weight, gelu1.

A node is named after the layer of the network whose weights it holds (`conv`, `output`), or after
what it computes (`pool`, `gelu`, `to_float`), with a number if there are several. Nodes that
one torch operation became start with its name: `gelu1_erf`, ..., `gelu1`. Arithmetic with
a named constant names it: `sub_mean`. A value has the name of its node; a constant has the name
that the network gives it, or that of its node and its role there: `conv1.weight`, `pool.axes`.
The graph's inputs and outputs keep their names.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, count, groupby

import onnx
import onnx_ir as ir

OPERATION = "pkg.torch.onnx.fx_node"  # metadata of torch's exporter: the node's torch operation
MAX_COPIED = 4096  # elements of a constant that is copied for each node that reads it
ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow")
KINDS = {
    "BatchNormalization": "norm",
    "MaxPool": "pool",
    "AveragePool": "pool",
    "Gemm": "linear",
    "MatMul": "matmul",
}
LAYER = ("input", "weight", "bias")
ROLES = {  # where ONNX names a node's inputs by letters, or at length
    "Conv": LAYER,
    "Gemm": LAYER,
    "MatMul": LAYER,
    "BatchNormalization": (*LAYER, "mean", "variance"),
    "Where": ("condition", "then", "otherwise"),
}
LETTERS = ("A", "B", "X", "Y", "data_0")  # ONNX's names of inputs that say nothing


def rename_nodes(graph: ir.Graph, paths: Mapping[str, str]) -> None:
    """Rename everything in `graph`, in place, and drop the constants that nothing reads.

    Args:
        graph: from torch's exporter, with its metadata; without subgraphs.
        paths: initializer -> its path in the network, as `stages.0.conv.weight`.
    """
    # 1. Group the nodes that one torch operation became.
    groups = [list(nodes) for _, nodes in groupby(graph, _operation)]
    # 2. The last node of a group computes its result: it has the name of the graph's output,
    #    or the group's, numbered over the graph.
    used = {str(value.name) for value in (*graph.inputs, *graph.outputs)}
    inner = [nodes for nodes in groups if not _output_name(nodes[-1])]
    for nodes, name in zip(inner, _numbered([_stem(n, paths) for n in inner], used), strict=True):
        nodes[-1].name = name
    # 3. The nodes before it have the same name and what they do, numbered within the group.
    for nodes in groups:
        *before, last = nodes
        last.name = _output_name(last) or last.name
        stems = [f"{last.name}_{_kind(node, paths)}" for node in before]
        for node, name in zip(before, _numbered(stems, used), strict=True):
            node.name = _output_name(node) or name
    # 4. A value has the name of its node, with a number after the first.
    for node in graph:
        for index, value in enumerate(node.outputs):
            if not value.is_graph_output():
                value.name = f"{node.name}_{index}" if index else node.name
    # 5. Constants are named after their nodes.
    _rename_constants(graph, paths)


def _operation(node: ir.Node) -> str:
    """Return the torch operation that the node is a part of, or a text that no other node has."""
    return node.metadata_props.get(OPERATION, str(node.outputs[0].name))


def _output_name(node: ir.Node) -> str:
    """Return the name of the graph's output that the node computes; empty if it computes none."""
    return min((str(value.name) for value in node.outputs if value.is_graph_output()), default="")


def _stem(nodes: Sequence[ir.Node], paths: Mapping[str, str]) -> str:
    """Return the name, without its number, of what these nodes compute together."""
    for node in nodes:
        for path in _parameters(node, paths).values():
            if layer := _layer(node, path):
                return layer
    target = re.search(r"target=torch\.ops\.\w+\.(\w+)", _operation(nodes[-1]))
    if len(nodes) > 1 and target:
        return target[1].removeprefix("sym_").strip("_")
    return _kind(nodes[-1], paths)


def _parameters(node: ir.Node, paths: Mapping[str, str]) -> dict[str, str]:
    """Return name -> path of the node's constants that are parameters of the network.

    The exporter merges constants of equal values, so that arithmetic may read a parameter by
    chance: there only those count that torch's operation names.
    """
    names = [str(value.name) for value in node.inputs if value is not None]
    named = {name: paths[name] for name in names if name in paths}
    if node.op_type not in ARITHMETIC:
        return named
    operation = _operation(node)
    return {
        name: path
        for name, path in named.items()
        if re.search(rf"_{name.replace('.', '_')}\b", operation)
    }


def _layer(node: ir.Node, path: str) -> str:
    """Return the layer that holds the parameter `path`; empty if the node is no layer."""
    modules = [module for module in path.split(".")[:-1] if not module.isdigit()]
    return modules[-1] if modules and node.op_type not in ARITHMETIC else ""


def _kind(node: ir.Node, paths: Mapping[str, str]) -> str:
    """Return what the node computes, in a word or two."""
    if node.op_type == "Cast":
        return f"to_{ir.DataType(node.attributes['to'].as_int()).name.lower()}"
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.op_type).lower().removeprefix("reduce_")
    kind = KINDS.get(node.op_type, words)
    parameters = list(_parameters(node, paths).values())
    if node.op_type in ARITHMETIC and parameters:
        return f"{kind}_{parameters[0].rpartition('.')[2]}"
    return kind


def _numbered(stems: Sequence[str], used: set[str]) -> list[str]:
    """Return unused names: the stems, numbered from 1 if there are several; add them to `used`."""
    counts = Counter(stems)
    names = []
    for stem in stems:
        unnumbered = [stem] if counts[stem] == 1 else []
        candidates = chain(unnumbered, (f"{stem}{number}" for number in count(1)))
        name = next(name for name in candidates if name not in used)
        used.add(name)
        names.append(name)
    return names


def _rename_constants(graph: ir.Graph, paths: Mapping[str, str]) -> None:
    """Give each node constants of its own, named by their role; large ones are shared."""
    constants: dict[str, ir.Value] = {}
    shared: dict[str, str] = {}
    for node in graph:
        parameters = _parameters(node, paths)
        for index, value in enumerate(node.inputs):
            if value is None or value.const_value is None:
                continue
            # A parameter outside of layers keeps its name; others have their node's and a role.
            name = parameters.get(str(value.name), "")
            if not name or _layer(node, name):
                name = f"{node.name}.{_role(node, index, graph.opset_imports[''])}"
            if value.const_value.size > MAX_COPIED:
                name = shared.setdefault(str(value.name), name)
            if name not in constants:
                constants[name] = ir.Value(name=name, const_value=value.const_value)
            node.replace_input_with(index, constants[name])
    graph.initializers.clear()
    for constant in constants.values():
        graph.register_initializer(constant)


def _role(node: ir.Node, index: int, opset: int) -> str:
    """Return what the input at `index` is to the node, as ONNX's definition names it."""
    if node.op_type in ROLES:
        return ROLES[node.op_type][index]
    inputs = onnx.defs.get_schema(node.op_type, opset).inputs
    role = inputs[min(index, len(inputs) - 1)].name
    return "operand" if role in LETTERS else role
