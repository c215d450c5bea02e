"""The Gate tab without a browser: its numpy networks against torch, its requests, its circuits."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.core import stats
from experiments.core.errors import UserError
from experiments.tasks.gate import GateHparams
from experiments.training.optim import Optimizer
from models.mlp import GateBank
from serve.backends.onnx_backend import OnnxPredictor
from serve.strings import gate as texts
from serve.tabs.gate import api, numpy_training, onnx_weights
from serve.tabs.gate import tab as gate_tab
from serve.tabs.gate.api import evaluate, training
from tests.expect import refused


class FileStore:
    """A store whose references are paths of ONNX files."""

    local = True

    def load(self, key: str, task: str | None = None, torch: bool = False) -> OnnxPredictor:
        return OnnxPredictor(Path(key))

    def siblings(self, key: str) -> dict[str, str]:
        return {"fp32": key}


def torch_bank(bank: numpy_training.Bank, activation: str) -> GateBank:
    starts, hidden, inputs = bank.weight1.shape
    net = GateBank(inputs, (starts,), hidden, activation)
    with torch.no_grad():
        for name, value in bank._asdict().items():
            net.get_parameter(name).copy_(torch.tensor(value))
    return net


def torch_losses(net: GateBank, x: np.ndarray, y: np.ndarray) -> torch.Tensor:
    logits = net(torch.tensor(x))
    target = torch.tensor(y)[:, None].expand_as(logits)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return loss.mean(0)


@pytest.mark.parametrize("activation", numpy_training.ACTIVATIONS)
def test_training_equals_torch(activation: str) -> None:
    x, y = numpy_training.table("0110")
    bank, steps = numpy_training.initial(2, 4, starts=8), 40
    net = torch_bank(bank, activation)
    expected = torch_losses(net, x, y)
    loss = numpy_training.losses(numpy_training.forward(bank, x, activation)[1], y)
    np.testing.assert_allclose(loss, expected.detach(), atol=1e-6)
    expected.sum().backward()
    for name, gradient in numpy_training.gradient(bank, x, y, activation)._asdict().items():
        np.testing.assert_allclose(gradient, net.get_parameter(name).grad, atol=1e-6)

    schedule = Optimizer(net, GateHparams(), steps)  # the project's learning rates
    adam = torch.optim.AdamW(net.parameters(), betas=numpy_training.BETAS, weight_decay=0)
    for done in range(steps):
        schedule.done = done
        adam.param_groups[0]["lr"] = schedule.lr
        adam.zero_grad()
        torch_losses(net, x, y).sum().backward()
        adam.step()
    *_, last = numpy_training.fit(bank, x, y, activation, steps)
    for name, value in last._asdict().items():
        np.testing.assert_allclose(value, net.get_parameter(name).detach(), atol=2e-4)
        assert np.abs(value - bank._asdict()[name]).max() > 0.1  # it was trained


def test_narrow_relu_networks_often_fail_at_xor_and_the_history_is_of_the_chosen_start() -> None:
    for start in (0, 7):
        result = numpy_training.train("0110", 2, "relu", start)
        assert 0.15 < result.learned.mean() < 0.5  # 23 % of 500 with another optimiser
        assert len(result.epochs) == len(result.losses) == numpy_training.FRAMES + 1
        assert (result.epochs[0], result.epochs[-1]) == (0, numpy_training.STEPS)
        initial = numpy_training.initial(2, 2).weight1[start]
        assert np.array_equal(result.frames.weight1[0], initial)
        assert (result.right[-1] == 4) == result.learned[start]
    assert numpy_training.train("0110", 8, "tanh", 0).learned.mean() > 0.97


@pytest.fixture(scope="module")
def gates(trained: Path) -> OnnxPredictor:
    return OnnxPredictor(trained / "gate.onnx")


def test_an_evaluation_is_the_networks_prediction(gates: OnnxPredictor) -> None:
    answer = evaluate(gates, "xor", [1, 0.0])
    assert answer["output"] == 1 and answer["probability"] > 0.5 and answer["inputs"] == [1.0, 0.0]
    assert answer["gate"] == "xor" and answer["model"] == gates.title
    assert evaluate(gates, "xor", [1, 1])["output"] == 0
    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize(
    ("gate", "inputs", "what", "found"),
    [
        ("xnand", [0, 0], "gate", "xnand"),
        (["xor"], [0, 0], "gate", "['xor']"),
        ("xor", [0], "inputs", "[0]"),
        ("xor", ["0", "1"], "inputs", "'0'"),
        ("xor", [0, float("nan")], "inputs", "nan"),
        ("xor", [0, 10**400], "inputs", "1000"),
    ],
)
def test_invalid_gates_and_inputs_are_refused(
    gates: OnnxPredictor, gate: Any, inputs: Any, what: str, found: str
) -> None:
    code = "gate-unknown" if what == "gate" else "value-invalid"
    with refused(code, what=what, found=found) as caught:
        evaluate(gates, gate, inputs)
    assert len(str(caught.value)) < 300


VALID = {"bits": "0110", "hidden": 2, "activation": "relu", "start": 1}


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        ({**VALID, "bits": "011"}, "bits"),
        ({**VALID, "bits": "01" * 16}, "bits"),
        ({**VALID, "bits": ["0", "1"]}, "bits"),
        ({**VALID, "hidden": 0}, "hidden"),
        ({**VALID, "hidden": True}, "hidden"),
        ({**VALID, "activation": []}, "activation"),
        ({**VALID, "start": "1"}, "start"),
        (None, "request"),
    ],
)
def test_an_invalid_training_request_is_refused(request_: Any, what: str) -> None:
    answer = training(request_)
    assert (answer["code"], answer["what"]) == ("value-invalid", what)
    assert answer.pop("error") == str(UserError(**answer))


def test_a_class_can_train_at_once_but_no_crowd() -> None:
    async def together() -> list[dict[str, Any]]:
        return await asyncio.gather(*(api.train(VALID) for _ in range(api.MAX_WAITING + 20)))

    with ThreadPoolExecutor(1) as pool:  # the browser's driver has an event loop in this thread
        answers = pool.submit(asyncio.run, together()).result()
    codes = [answer.get("code", "") for answer in answers]
    assert codes == [""] * 51 + ["page-busy"] * 19


def prob_of(net: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """Return the probabilities [B] of a network whose weights the page draws."""
    bank = numpy_training.Bank(*(np.array([net[name]]) for name in numpy_training.Bank._fields))
    return stats.sigmoid(numpy_training.forward(bank, x, net["activation"])[1][0])


def test_drawn_weights_predict_as_the_session_does(trained: Path, gates: OnnxPredictor) -> None:
    nets = onnx_weights.networks(gates, (trained / "gate.onnx").read_bytes())
    x = np.random.default_rng(0).uniform(-0.25, 1.25, (50, 2)).astype(np.float32)
    prob = gates(x)["probabilities"]
    for column, gate in enumerate(gates.labels):
        np.testing.assert_allclose(prob_of(nets[gate], x), prob[:, column], atol=1e-4)
    with refused("graph-unsuitable", what="gate/"):
        onnx_weights.networks(gates, b"rubbish")


@pytest.mark.parametrize(
    ("name", "code"), [("nowhere.onnx", "file-missing"), ("model.onnx", "task-mismatch")]
)
def test_a_model_that_cannot_be_drawn_is_replaced_by_its_error(
    name: str, code: str, trained: Path
) -> None:
    shown, circuits = gate_tab.contents(FileStore(), str(trained / name))
    assert shown["code"] == code and shown["note"] and shown["gates"] == {}
    assert circuits["note"] == texts.ALL_TRAINED and all_right(circuits)


class Part:
    """Some gates of a bank, with their predictions as they are or flipped."""

    def __init__(self, bank: OnnxPredictor, labels: list[str], flipped: bool = False) -> None:
        self.bank, self.labels, self.flipped, self.title = bank, labels, flipped, "small/1"
        self.facts = {"truth_tables": {g: bank.facts["truth_tables"][g] for g in labels}}

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        columns = [self.bank.labels.index(gate) for gate in self.labels]
        prob = self.bank(x)["probabilities"][:, columns]
        return {"probabilities": 1 - prob if self.flipped else prob}


def all_right(circuits: dict[str, Any]) -> bool:
    rows = [row for circuit in circuits["circuits"] for row in circuit["rows"]]
    assert len(rows) == 4 + 8 + 16
    return all(row["answer"] == row["expected"] for row in rows)


def test_circuits_run_on_the_served_gates_and_on_trained_ones(gates: OnnxPredictor) -> None:
    served = gate_tab.verified_circuits(gates)
    assert served["note"] == texts.ALL_SERVED.format(title=gates.title) and all_right(served)
    mixed = gate_tab.verified_circuits(Part(gates, ["xor", "and"]))
    assert mixed["note"] == texts.SOME_TRAINED.format(title="small/1", gates="or")
    assert all_right(mixed)
    assert not all_right(gate_tab.verified_circuits(Part(gates, gates.labels, flipped=True)))
