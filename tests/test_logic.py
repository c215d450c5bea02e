"""The circuit of learned logic gates: relaxed, hard, trained, exported."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from torch.nn.functional import one_hot

from experiments import evaluation, tasks
from experiments.core.onnx_session import open_session, run_batches
from experiments.data.truth_table import TWO_INPUT_GATES
from experiments.evaluation.evaluation import Evaluation
from experiments.figures.analysis import circuits
from experiments.registry import loading, model_card, versions
from experiments.training.loop import initialise
from experiments.training.metrics import predict
from export import graph, to_onnx
from models.logic import CLASSES, SIDE, THRESHOLDS, Circuit, SoftCircuit
from tests.expect import refused
from tests.inprocess import Store, parsed

LOGIC = tasks.get("logic")
SMALL = (
    "--task logic --gate auto --num_restarts auto --hidden_gates 300 --class_votes 60 "
    "--votes_per_logit 4"
)
CPU = torch.device("cpu")
BOOLEAN = {"Gather", "And", "Xor"}
THRESHOLDING = {"Unsqueeze", "Greater", "Flatten"}


def random_circuit(sizes: tuple[int, ...] = (200, 150, 110), seed: int = 0) -> Circuit:
    """A circuit of random gates and wires, and 3 votes to a logit."""
    random = torch.Generator().manual_seed(seed)
    circuit, inputs = Circuit(sizes=sizes, votes_per_logit=3), len(THRESHOLDS) * SIDE**2
    for index, size in enumerate(sizes):
        for part in circuit.layer(index):
            high = 2 if part.dtype == torch.bool else inputs
            part.copy_(torch.randint(high, (size,), generator=random))
        inputs = size
    return circuit.eval()


def soft_circuit() -> SoftCircuit:
    torch.manual_seed(0)
    return SoftCircuit(
        sizes=[60, 44],
        votes_per_logit=2,
        candidates=4,
        pixels=torch.arange(200, 600),
        radius=2,
        soft_steps=2,
    )


def votes_of(circuit: Circuit, image: np.ndarray) -> np.ndarray:
    """The votes by class for one image, gate by gate in plain Python."""
    values = [int(pixel > level) for level in THRESHOLDS for pixel in image.ravel().tolist()]
    for index in range(len(circuit.config["sizes"])):
        layer = [part.tolist() for part in circuit.layer(index)]
        values = [
            (c0 + c1 * values[a] + c2 * values[b] + c3 * values[a] * values[b]) % 2
            for a, b, c0, c1, c2, c3 in zip(*layer, strict=True)
        ]
    return np.reshape(values, (CLASSES, -1)).sum(1)


def test_a_circuit_counts_the_votes_of_its_gates(digits) -> None:
    circuit, images = random_circuit(), digits.test_images[:20]
    expected = np.stack([votes_of(circuit, image) for image in images])
    assert len(np.unique(expected, axis=0)) > 5
    circuit.temperature.fill_(0.5)
    np.testing.assert_allclose(circuit(torch.tensor(images)), expected / 3 / 0.5, rtol=1e-6)


def test_a_soft_circuit_of_saturated_gates_is_the_hard_one(digits) -> None:
    soft, images = soft_circuit(), torch.tensor(digits.test_images[:50])
    hard = soft.harden()(images)
    assert (soft.logits(images, hard=False) - hard).abs().max() > 0.5
    torch.testing.assert_close(soft.eval()(images), hard)
    with torch.no_grad():
        for values in soft.parameters():
            values *= 1e6
    torch.testing.assert_close(soft.logits(images, hard=False), hard, rtol=0, atol=1e-3)
    assert all({*soft.harden().layer(0)[n].tolist()} <= {*range(3 * SIDE**2)} for n in (0, 1))


def test_gates_become_hard_after_their_soft_steps(digits) -> None:
    soft, images = soft_circuit(), torch.tensor(digits.test_images[:20])
    expected = {hard: soft.logits(images, hard) for hard in (False, True)}
    for hard in (False, False, True, True):
        assert torch.equal(soft.train()(images), expected[hard])
    gradients = {}
    for hard in (False, True):  # straight through: rounding does not stop a gradient
        soft.zero_grad()
        soft.logits(images, hard).logsumexp(1).sum().backward()
        gradients[hard] = [values.grad.clone() for values in soft.parameters()]
    assert all(gradient.abs().max() > 0 for gradient in gradients[True])


def test_gradients_are_those_of_the_weighted_sums(digits) -> None:
    soft, images = soft_circuit(), torch.tensor(digits.test_images)
    for hard in (False, True):
        soft.zero_grad()
        soft.logits(images[:20], hard).logsumexp(1).sum().backward()
        passed_back = [values.grad for values in soft.parameters()]
        soft.zero_grad()
        logits_by_gathering(soft, images[:20], hard).logsumexp(1).sum().backward()
        for gradient, values in zip(passed_back, soft.parameters(), strict=True):
            torch.testing.assert_close(gradient, values.grad, rtol=1e-4, atol=1e-6)


def logits_by_gathering(soft: SoftCircuit, images: torch.Tensor, hard: bool) -> torch.Tensor:
    """The same logits, of plain indexing that torch differentiates itself."""
    pixels = images.flatten(1)[:, soft.pixels]
    signals = torch.cat([pixels > level for level in THRESHOLDS], 1).float()
    for layer, size in enumerate(soft.sizes):
        weights, table = soft.wires[layer].softmax(1), soft.tables[layer].sigmoid()
        if hard:
            heaviest = one_hot(weights.argmax(1), weights.shape[1])
            weights = weights + (heaviest - weights).detach()
            table = table + (table.round() - table).detach()
        wires = (signals[:, soft.get_buffer(f"sources_{layer}")] * weights).sum(2)
        a, b = wires.split(size, 1)
        rows = ((1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b)
        signals = sum(row * out for row, out in zip(rows, table, strict=True))
    return signals.unflatten(1, (CLASSES, -1)).sum(2) / soft.votes_per_logit


def test_votes_depend_on_nothing_outside_their_cone(digits) -> None:
    circuit = random_circuit()
    layers, votes = circuits.layers(circuit), np.array([3, 17])
    counts = circuits.pixel_counts(layers, votes)
    images = torch.tensor(digits.test_images[:100])
    outside = torch.tensor(counts.sum(0) == 0)
    noise = torch.randint(256, images.shape, dtype=torch.uint8)
    last = [circuit.signals(x)[-1] for x in (images, torch.where(outside, noise, images))]
    assert torch.equal(*(bits[:, votes] for bits in last)) and not torch.equal(*last)
    gate = int(layers[0].functions[0])
    table = [int(bit) for bit in TWO_INPUT_GATES[circuits.NAMES[gate]]]
    before, after = (bits.int() for bits in circuit.signals(images)[:2])
    row = 2 * before[:, layers[0].first[0]] + before[:, layers[0].second[0]]
    assert after[:, 0].tolist() == [table[number] for number in row]


def test_the_graph_is_boolean_between_thresholds_and_votes(digits) -> None:
    circuit, images = random_circuit(), digits.test_images[:300]
    model = graph.of_task(LOGIC, circuit, images[:2], {})
    kinds = [node.op_type for node in model.graph.node]
    first, last = kinds.index("Gather"), max(i for i, kind in enumerate(kinds) if kind == "Xor")
    assert {*kinds[first : last + 1]} <= BOOLEAN
    assert {*kinds[:first]} <= THRESHOLDING
    logits = run_batches(open_session(model.SerializeToString()), images)["logits"]
    expected = predict(circuit, torch.tensor(images))[:, :10].numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-6)


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_circuit_is_trained_registered_and_exported(
    whole: bool, own_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`whole`: with calibration and robustness, which take a minute."""
    if not whole:
        monkeypatch.setattr(evaluation, "get", lambda task: Evaluation())
    own_store.train(f"{SMALL} --epochs {1 if whole else 0.3}")
    version = versions.find("models:/logic/1")
    assert version.metadata["test_accuracy"] > 0.7 and version.metadata["config"]["sizes"]
    run = own_store.client.get_run(version.run_id).data.metrics
    assert run["val_accuracy_soft"] > 0.7 and 0 <= run["val_soft_differs"] < 0.2
    assert ("score_threshold" in version.metadata["facts"]) is whole
    path = tmp_path / "logic.onnx"
    result = CliRunner().invoke(to_onnx.command, ["--task", "logic", "--out", str(path)])
    assert result.exit_code == 0, result.output
    net, _ = loading.load_model(LOGIC, version)
    test = loading.load_splits(LOGIC, version).test.open("test")
    outputs = run_batches(open_session(path), test.x)
    assert list(outputs) == ["logits", "probabilities", "score"]
    decisions = predict(net, torch.tensor(test.x))[:, :10].argmax(1).numpy()
    assert np.array_equal(outputs["logits"].argmax(1), decisions)
    assert len(onnx.load(path).graph.node) < 60
    assert "logic gates" in model_card.render(version)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--candidates 0", "greater than or equal to 1"),
        ("--soft_frac 2", "less than or equal to 1"),
        ("--class_votes some", "integer"),
    ],
)
def test_bad_options_are_refused_in_a_sentence(option: str, expected: str) -> None:
    with refused("value-invalid", expected=expected):
        parsed(f"--task logic {option}")


def test_the_search_changes_what_is_trained() -> None:
    hparams = replace(LOGIC.hparams(), hidden_gates=22, class_votes=2, num_layers=3)
    net = initialise(LOGIC, LOGIC.load(LOGIC.data_options()), hparams, 0)
    assert net.sizes == [22, 22, 22]
