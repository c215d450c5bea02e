"""The names in an ONNX graph, made such that a person can read them: conv1, conv1.weight, gelu1.

A node is called by what it is: the layer of the network whose weights it holds (`conv`, `output`),
else what it does (`pool`, `gelu`, `to_float`), with a number where there are several. Nodes that
one torch operation became have its name before theirs: `gelu1_erf`, ..., `gelu1`. Arithmetic with
a named number says so: `sub_mean`. A value has the name of its node; a constant has the name that
the network gives it, or that of its node and its role there: `conv1.weight`, `pool_axes`.
The graph's inputs and outputs keep their names.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, groupby

import onnx

OPERATION = "pkg.torch.onnx.fx_node"  # where torch's exporter notes what a node was made of
SMALL = 4096  # a constant of at most so many elements is copied for each node that reads it
ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow")
KINDS = {
    "BatchNormalization": "norm",
    "MaxPool": "pool",
    "AveragePool": "pool",
    "Gemm": "linear",
    "MatMul": "matmul",
}
LAYER = ("input", "weight", "bias")
ROLES = {  # where ONNX calls a node's inputs by letters, or at length
    "Conv": LAYER,
    "Gemm": LAYER,
    "MatMul": LAYER,
    "BatchNormalization": (*LAYER, "mean", "variance"),
    "Where": ("condition", "then", "otherwise"),
}


def readable(model: onnx.ModelProto, paths: Mapping[str, str]) -> None:
    """Rename everything in `model`, in place, and drop the constants that nothing reads.

    Args:
        model: as torch's exporter made it, with its notes; no graphs inside its graph.
        paths: initializer to where the network has it, as `stages.0.conv.weight`.
    """
    graph = model.graph
    fixed = {value.name for value in (*graph.input, *graph.output)}
    for node, name in _nodes(graph, paths, fixed):
        node.name = name
    new = {name: name for name in fixed}
    for node in graph.node:
        for rank, value in enumerate(node.output):
            new.setdefault(value, f"{node.name}_{rank}" if rank else node.name)
    known = [value for value in graph.value_info if value.name in new]  # constants know theirs
    del graph.value_info[:]
    graph.value_info.extend(known)
    rename(graph, lambda name: new.get(name, name))
    _rename_constants(model, paths)


def rename(graph: onnx.GraphProto, called: Callable[[str], str]) -> None:
    """Give each value between inputs and outputs its new name; nodes are called as their first."""
    for node in graph.node:
        node.output[:] = [called(value) for value in node.output]
        node.input[:] = [called(value) for value in node.input]
        node.name = node.output[0]
    for value in graph.value_info:
        value.name = called(value.name)


def _nodes(
    graph: onnx.GraphProto, paths: Mapping[str, str], fixed: set[str]
) -> Iterator[tuple[onnx.NodeProto, str]]:
    """Yield each node with its new name."""
    groups = [list(nodes) for _, nodes in groupby(graph.node, _operation)]
    outputs = [{*nodes[-1].output} & fixed for nodes in groups]
    stems = [_stem(nodes, paths) for nodes in groups]
    taken = set(fixed)
    free = iter(_numbered([s for s, o in zip(stems, outputs, strict=True) if not o], taken))
    for nodes, made in zip(groups, outputs, strict=True):
        last = min(made) if made else next(free)
        inner = _numbered([f"{last}_{_kind(node, paths)}" for node in nodes[:-1]], taken)
        for node, name in zip(nodes, [*inner, last], strict=True):
            yield node, node.output[0] if node.output[0] in fixed else name


def _operation(node: onnx.NodeProto) -> str:
    """Return the torch operation that the node is a part of, else what no other node has."""
    notes = {each.key: each.value for each in node.metadata_props}
    return notes.get(OPERATION, node.output[0])


def _stem(nodes: list[onnx.NodeProto], paths: Mapping[str, str]) -> str:
    """Return the name, without its number, of what these nodes do together."""
    for node in nodes:
        for path in _parameters(node, paths).values():
            if layer := _layer(node, path):
                return layer
    target = re.search(r"target=torch\.ops\.\w+\.(\w+)", _operation(nodes[-1]))
    if len(nodes) > 1 and target:
        return target[1].removeprefix("sym_").strip("_")
    return _kind(nodes[-1], paths)


def _parameters(node: onnx.NodeProto, paths: Mapping[str, str]) -> dict[str, str]:
    """Return the constants of the node that are the network's, and where it has them.

    To the exporter equal numbers are one: of arithmetic, only those that torch gave it count.
    """

    def given(name: str) -> bool:
        return bool(re.search(rf"_{name.replace('.', '_')}\b", _operation(node)))

    named = [name for name in node.input if name in paths]
    return {name: paths[name] for name in named if node.op_type not in ARITHMETIC or given(name)}


def _layer(node: onnx.NodeProto, path: str) -> str:
    """Return the layer whose weights `node` holds if it holds `path`; nothing if that is none."""
    named = [module for module in path.split(".")[:-1] if not module.isdigit()]
    return named[-1] if named and node.op_type not in ARITHMETIC else ""


def _kind(node: onnx.NodeProto, paths: Mapping[str, str]) -> str:
    """Return what the node does, in a word or two."""
    if node.op_type == "Cast":
        return f"to_{onnx.TensorProto.DataType.Name(node.attribute[0].i).lower()}"
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.op_type).lower().removeprefix("reduce_")
    kind = KINDS.get(node.op_type, words)
    numbers = list(_parameters(node, paths).values())
    if node.op_type in ARITHMETIC and numbers:
        return f"{kind}_{numbers[0].rpartition('.')[2]}"
    return kind


def _numbered(stems: Sequence[str], taken: set[str]) -> list[str]:
    """Return the stems, numbered from 1 where there are several of one; add them to `taken`."""
    several = Counter(stems)
    left = {stem: _candidates(stem, several[stem] > 1) for stem in several}
    names = []
    for stem in stems:
        names.append(next(name for name in left[stem] if name not in taken))
        taken.add(names[-1])
    return names


def _candidates(stem: str, numbered: bool) -> Iterator[str]:
    if not numbered:
        yield stem
    yield from (f"{stem}{number}" for number in count(1))


def _rename_constants(model: onnx.ModelProto, paths: Mapping[str, str]) -> None:
    """Give each node constants of its own, called by their role; large ones are shared."""
    graph, opset = model.graph, model.opset_import[0].version
    stored = {each.name: each for each in graph.initializer}
    made: dict[str, onnx.TensorProto] = {}
    shared: dict[str, str] = {}
    for node in graph.node:
        parameters = _parameters(node, paths)
        for place, name in enumerate(node.input):
            if name not in stored:
                continue
            called = parameters.get(name, "")
            if not called or _layer(node, called):
                called = f"{node.name}.{_role(node, place, opset)}"
            if _size(stored[name]) > SMALL:
                called = shared.setdefault(name, called)
            node.input[place] = called
            made[called] = onnx.TensorProto()
            made[called].CopyFrom(stored[name])
            made[called].name = called
    del graph.initializer[:]
    graph.initializer.extend(made.values())


def _size(tensor: onnx.TensorProto) -> int:
    size = 1
    for side in tensor.dims:
        size *= side
    return size


def _role(node: onnx.NodeProto, place: int, opset: int) -> str:
    """Return what the input at `place` is to the node, as ONNX's definition calls it."""
    if node.op_type in ROLES:
        return ROLES[node.op_type][place]
    inputs = onnx.defs.get_schema(node.op_type, opset).inputs
    role = inputs[min(place, len(inputs) - 1)].name
    return "operand" if role in ("A", "B", "X", "Y", "data_0") else role
