"""The Gate tab: its numpy networks against torch, its calls, and the lab in a real browser."""

import asyncio
import json
import os
import sys
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Locator, Page, expect

from experiments import chance
from experiments.data import truth_table
from experiments.errors import UserError
from experiments.optim import Optimizer
from experiments.paths import ROOT
from experiments.tasks.gate import GateHparams
from models.mlp import GateBank
from serve.gate import bank as gate_bank
from serve.gate import calls
from serve.gate import net as gate_net
from serve.gate import tab as gate_tab
from serve.gate.calls import evaluate, training
from serve.predictor import OnnxPredictor
from serve.texts import gate as texts
from tests.conftest import free_port, serving

# A page with this tab alone, over the ONNX files that the command line names.
PAGE = """
import os, sys
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
from pathlib import Path
import gradio as gr
from serve.gate import tab as gate_tab
from tests.test_gate_lab import FileShelf
with gr.Blocks() as page:
    gate_tab.build(FileShelf(), gr.Dropdown(sys.argv[2:], value=sys.argv[2], label="Gate model"))
page.launch(server_port=int(sys.argv[1]), quiet=True, footer_links=[],
            theme=gr.themes.Default(font=["sans-serif"], font_mono=["monospace"]))
"""


class FileShelf:
    """A shelf whose keys are paths of ONNX files."""

    def get(self, key: str, task: str | None = None) -> OnnxPredictor:
        return OnnxPredictor(Path(key))

    def siblings(self, key: str) -> dict[str, str]:
        return {}


def torch_bank(bank: gate_net.Bank, activation: str) -> GateBank:
    starts, hidden, inputs = bank.weight1.shape
    net = GateBank(inputs, (starts,), hidden, activation)
    with torch.no_grad():
        for name, value in bank._asdict().items():
            net.get_parameter(name).copy_(torch.tensor(value))
    return net


def torch_losses(net: GateBank, x: np.ndarray, y: np.ndarray) -> torch.Tensor:
    logits = net(torch.tensor(x))
    target = torch.tensor(y)[:, None].expand_as(logits)
    cost = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return cost.mean(0)


# ---- the networks in numpy


@pytest.mark.parametrize("activation", gate_net.ACTIVATIONS)
@pytest.mark.parametrize("bits", ["0110", "01101001"])
def test_loss_and_gradient_are_torchs(activation: str, bits: str) -> None:
    x, y = gate_net.table(bits)
    bank = gate_net.initial(x.shape[1], 3, starts=5)
    net = torch_bank(bank, activation)
    theirs = torch_losses(net, x, y)
    ours = gate_net.losses(gate_net.forward(bank, x, activation)[1], y)
    np.testing.assert_allclose(ours, theirs.detach(), atol=1e-6)
    theirs.sum().backward()
    for name, gradient in gate_net.gradient(bank, x, y, activation)._asdict().items():
        np.testing.assert_allclose(gradient, net.get_parameter(name).grad, atol=1e-6)


@pytest.mark.parametrize("activation", gate_net.ACTIVATIONS)
def test_a_training_is_the_torch_banks(activation: str) -> None:
    x, y = gate_net.table("0110")
    bank, steps = gate_net.initial(2, 4, starts=8), 40
    net = torch_bank(bank, activation)
    schedule = Optimizer(net, GateHparams(), steps)  # the rates are the project's
    rule = torch.optim.AdamW(net.parameters(), betas=gate_net.BETAS, weight_decay=0)
    for done in range(steps):
        schedule.done = done
        rule.param_groups[0]["lr"] = schedule.lr
        rule.zero_grad()
        torch_losses(net, x, y).sum().backward()
        rule.step()
    *_, last = gate_net.course(bank, x, y, activation, steps)
    for name, value in last._asdict().items():
        np.testing.assert_allclose(value, net.get_parameter(name).detach(), atol=2e-4)
        assert np.abs(value - bank._asdict()[name]).max() > 0.1  # it did move


def test_first_weights_fill_pytorchs_interval_and_stay_the_same() -> None:
    bank = gate_net.initial(4, 8)
    for name, fan_in in {"weight1": 4, "bias1": 4, "weight2": 8, "bias2": 8}.items():
        size = np.abs(bank._asdict()[name]).max()
        assert 0.9 / fan_in**0.5 < size <= 1 / fan_in**0.5
    assert np.array_equal(bank.weight1, gate_net.initial(4, 8).weight1)


@pytest.mark.parametrize(("right", "count"), [(0, 200), (46, 200), (200, 200), (3, 4)])
def test_the_interval_is_wilsons(right: int, count: int) -> None:
    assert gate_net.wilson(right, count) == pytest.approx(chance.interval(right, count), abs=1e-9)


def test_narrow_relu_networks_often_fail_at_xor_and_wide_tanh_ones_never() -> None:
    narrow = gate_net.train("0110", 2, "relu", 0)
    assert 0.15 < narrow.learned.mean() < 0.5  # 23 % of 500 with another optimiser
    assert gate_net.train("0110", 8, "tanh", 0).learned.mean() > 0.97


def test_the_course_that_is_shown_is_that_of_its_start() -> None:
    for start in (0, 7):
        training = gate_net.train("0110", 2, "relu", start)
        assert len(training.epochs) == len(training.losses) == gate_net.FRAMES + 1
        assert (training.epochs[0], training.epochs[-1]) == (0, gate_net.STEPS)
        first = gate_net.initial(2, 2).weight1[start]
        assert np.array_equal(training.frames.weight1[0], first)
        assert (training.right[-1] == 4) == training.learned[start]


# ---- what is asked of it


@pytest.fixture(scope="module")
def gates(trained: Path) -> OnnxPredictor:
    return OnnxPredictor(trained / "gate.onnx")


def test_an_evaluation_is_what_the_network_says(gates: OnnxPredictor) -> None:
    told = evaluate(gates, "xor", [1, 0.0])
    assert told["output"] == 1 and told["probability"] > 0.5 and told["inputs"] == [1.0, 0.0]
    assert told["gate"] == "xor" and told["model"] == gates.title
    assert evaluate(gates, "xor", [1, 1])["output"] == 0
    assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize(
    ("gate", "inputs", "said"),
    [
        ("xnand", [0, 0], "gate: expected one of false, and"),
        (["xor"], [0, 0], "gate: expected one of"),
        (None, [0, 0], "found None"),
        ("xor", [0], "expected 2 numbers for xor, found 1"),
        ("xor", [0] * 100_000, "found 100000"),
        ("xor", "01", "expected a list of 2 numbers, found '01'"),
        ("xor", None, "found None"),
        ("xor", {"a": 1, "b": 0}, "expected a list"),
        ("xor", ["0", "1"], "expected numbers from -10 to 10, found '0'"),
        ("xor", [0, float("nan")], "found nan"),
        ("xor", [0, float("inf")], "found inf"),
        ("xor", [0, 10.5], "found 10.5"),
        ("xor", [0, 10**400], "found 1000"),
        ("xor", [0, [1]], r"found \[1\]"),
        ("xor", [0, None], "found None"),
    ],
)
def test_a_wrong_question_is_answered_by_a_sentence(
    gates: OnnxPredictor, gate: Any, inputs: Any, said: str
) -> None:
    with pytest.raises(UserError, match=said) as refused:
        evaluate(gates, gate, inputs)
    assert len(str(refused.value)) < 300


def test_a_model_of_digits_is_no_model_of_gates(trained: Path) -> None:
    with pytest.raises(UserError, match="expected one of gates"):
        evaluate(OnnxPredictor(trained / "model.onnx"), "xor", [0, 0])


GOOD = {"bits": "0110", "hidden": 2, "activation": "relu", "start": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"bits": "011"},
        {"bits": "01x0"},
        {"bits": "01" * 16},
        {"bits": ["0", "1"]},
        {"hidden": 0},
        {"hidden": 9},
        {"hidden": 2.0},
        {"hidden": True},
        {"activation": "sine"},
        {"activation": []},
        {"start": 201},
        {"start": "1"},
    ],
)
def test_a_training_that_cannot_be_is_refused_by_a_sentence(change: dict[str, Any]) -> None:
    told = training({**GOOD, **change})
    assert set(told) == {"error"} and "expected" in told["error"]


@pytest.mark.parametrize("request_", [None, [], "train", 3, {}])
def test_a_request_that_is_none_is_refused(request_: Any) -> None:
    assert set(training(request_)) == {"error"}


def test_drawn_weights_say_what_the_session_says(trained: Path, gates: OnnxPredictor) -> None:
    nets = gate_bank.networks(gates, (trained / "gate.onnx").read_bytes())
    x = np.random.default_rng(0).uniform(-0.25, 1.25, (50, 2)).astype(np.float32)
    theirs = gates(x)["probabilities"]
    for column, gate in enumerate(gates.labels):
        np.testing.assert_allclose(shown_probability(nets[gate], x), theirs[:, column], atol=1e-4)


def shown_probability(net: dict[str, Any], x: np.ndarray) -> np.ndarray:
    bank = gate_net.Bank(*(np.array([net[name]]) for name in gate_net.Bank._fields))
    return gate_net.sigmoid(gate_net.forward(bank, x, net["activation"])[1][0])


def test_what_cannot_be_drawn_says_so_and_leaves_the_rest(trained: Path) -> None:
    shelf = FileShelf()
    lab, wired = gate_tab.contents(shelf, str(trained / "nowhere.onnx"))
    assert "no such model file" in lab["note"] and lab["gates"] == {}
    assert wired["note"] == texts.ALL_TRAINED
    lab, wired = gate_tab.contents(shelf, str(trained / "model.onnx"))
    assert "expected one of gates" in lab["note"]
    for circuit in wired["circuits"]:
        assert all(row["answer"] == row["expected"] for row in circuit["rows"])
    with pytest.raises(UserError, match="no bank"):
        gate_bank.networks(OnnxPredictor(trained / "gate.onnx"), b"rubbish")


def test_circuits_run_on_the_served_gates(trained: Path, gates: OnnxPredictor) -> None:
    told = gate_tab.wirings(gates)
    assert told["note"] == texts.ALL_SERVED.format(title=gates.title)
    assert [len(circuit["rows"]) for circuit in told["circuits"]] == [4, 8, 16]
    for circuit in told["circuits"]:
        assert all(row["answer"] == row["expected"] for row in circuit["rows"])
    wrong = Part(gates, gates.labels, flipped=True)
    rows = gate_tab.wirings(wrong)["circuits"][0]["rows"]
    assert [row["answer"] == row["expected"] for row in rows] == [False] * 4


class Part:
    """Some gates of a bank, with their answers as they are or flipped."""

    def __init__(self, bank: OnnxPredictor, labels: list[str], flipped: bool = False) -> None:
        self.bank, self.labels, self.flipped, self.title = bank, labels, flipped, "small/1"
        self.facts = {"truth_tables": {g: bank.facts["truth_tables"][g] for g in labels}}

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        columns = [self.bank.labels.index(gate) for gate in self.labels]
        told = self.bank(x)["probabilities"][:, columns]
        return {"probabilities": 1 - told if self.flipped else told}


def test_a_bank_that_lacks_a_gate_is_completed_here(gates: OnnxPredictor) -> None:
    told = gate_tab.wirings(Part(gates, ["xor", "and"]))
    assert told["note"] == texts.SOME_TRAINED.format(title="small/1", gates="or")
    for circuit in told["circuits"]:
        assert all(row["answer"] == row["expected"] for row in circuit["rows"])


def test_the_catalogue_holds_tables_as_they_are_defined() -> None:
    groups = gate_tab.catalogue()
    assert [len(group["gates"]) for group in groups] == [4, 16, 6, 6]
    for inputs, group in enumerate(groups, 1):
        for gate in group["gates"]:
            assert len(gate["bits"]) == 2**inputs
            if inputs > 1:
                assert truth_table.parse(gate["name"]) == {gate["name"]: gate["bits"]}


# ---- the lab in a browser


@pytest.fixture(scope="module")
def url(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    script, port = tmp_path_factory.mktemp("lab") / "page.py", free_port()
    script.write_text(PAGE)
    files = f"{trained}/gate.onnx {trained}/nowhere.onnx"
    line, address = f"{sys.executable} {script} {port} {files}", f"http://127.0.0.1:{port}"
    with serving(line, ROOT, address, PYTHONPATH=os.fspath(ROOT)):
        yield address


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    yield from opened(browser, url, {"width": 1100, "height": 1000})


@pytest.fixture
def phone(browser: Browser, url: str) -> Iterator[Page]:
    yield from opened(browser, url, {"width": 390, "height": 800})


def opened(browser: Browser, url: str, viewport: Any) -> Iterator[Page]:
    context = browser.new_context(viewport=viewport, reduced_motion="reduce")
    problems: list[Any] = []
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(error))
    page.goto(url)
    expect(part(page, "status")).to_contain_text("Registered network", timeout=20_000)
    yield page
    context.close()
    assert problems == []


def part(page: Page, name: str) -> Locator:
    return page.locator(f"#gate-lab [data-{name}]")


def settled(page: Page) -> None:
    """Wait until what is shown is what was last asked for: trained, and drawn."""
    expect(page.locator("#gate-lab .lab")).to_have_attribute("data-busy", "false", timeout=20_000)


def shares(page: Page) -> list[float]:
    settled(page)
    return [float(text) for text in page.locator("#gate-lab [data-share]").all_text_contents()]


def surface(page: Page) -> bytes:
    settled(page)
    return page.locator("#gate-lab canvas").evaluate("canvas => canvas.toDataURL()").encode()


def trained_here(page: Page) -> None:
    """Press Train and wait for the end; with reduced motion it is shown at once."""
    part(page, "train").click()
    settled(page)
    expect(part(page, "moment")).to_contain_text(f"epoch {gate_net.STEPS}:")


def test_the_page_shows_what_numpy_computes(page: Page, trained: Path) -> None:
    gates = OnnxPredictor(trained / "gate.onnx")
    for gate in ("xor", "nor"):
        part(page, "gate").select_option(truth_table.TWO_INPUT_GATES[gate])
        told = gates(truth_table.inputs(2))["probabilities"][:, gates.labels.index(gate)]
        assert shares(page) == pytest.approx(told.tolist(), abs=6e-4)
    part(page, "activation").select_option("sigmoid")
    part(page, "hidden").fill("3")
    trained_here(page)
    frames = training({"bits": "1000", "hidden": 3, "activation": "sigmoid", "start": 1})
    last = {name: weights[-1] for name, weights in frames["frames"].items()}
    told = shown_probability({**last, "activation": "sigmoid"}, truth_table.inputs(2))
    assert shares(page) == pytest.approx(told.tolist(), abs=6e-4)


def test_an_own_gate_is_clicked_and_trained(page: Page) -> None:
    part(page, "gate").select_option(label="majority3")
    expect(part(page, "count")).to_have_text("8 of 8 rows right.", timeout=15_000)
    before = surface(page)
    for row in (0, 7):
        page.locator(f"#gate-lab [data-bit='{row}']").click()
    expect(part(page, "count")).to_have_text("6 of 8 rows right.")
    expect(part(page, "status")).to_contain_text("Press Train")
    assert part(page, "gate").input_value() == "10010110"
    expect(part(page, "answer")).to_contain_text("this network says")
    expect(part(page, "none")).to_be_visible()  # no course of another table
    expect(part(page, "unlucky")).to_be_disabled()
    part(page, "hidden").fill("8")
    trained_here(page)
    expect(part(page, "answer")).to_contain_text("your own gate")
    expect(part(page, "count")).to_have_text("8 of 8 rows right.")
    expect(part(page, "luck")).to_contain_text("Start 1 learned 8 of 8 rows.")
    assert surface(page) != before


def test_a_narrow_relu_network_is_seen_to_fail(page: Page) -> None:
    training = gate_net.train("0110", 2, "relu", 0)
    failing = int(np.flatnonzero(~training.learned)[0])
    part(page, "activation").select_option("relu")
    part(page, "hidden").fill("2")
    part(page, "start").fill(str(failing + 1))
    trained_here(page)
    right = gate_net.train("0110", 2, "relu", failing).right[-1]
    solved = int(training.learned.sum())
    share, low, high = (int(100 * s + 0.5) for s in (solved / 200, *chance.interval(solved, 200)))
    expect(part(page, "luck")).to_have_text(
        f"Start {failing + 1} learned {right} of 4 rows. Of 200 starts of this kind "
        f"{share} % learn all rows ({low} to {high} %)."
    )
    expect(part(page, "count")).to_have_text(f"{right} of 4 rows right.")
    assert page.locator("#gate-lab .starts .learned").count() == solved
    part(page, "unlucky").click()
    following = int(np.flatnonzero(~training.learned)[1])
    expect(part(page, "luck")).to_contain_text(f"Start {following + 1} learned", timeout=15_000)


def test_scrubbing_moves_loss_surface_and_weights_together(page: Page) -> None:
    trained_here(page)
    end = surface(page), part(page, "value").input_value(), part(page, "moment").inner_text()
    scrub = part(page, "scrub")
    scrub.focus()
    page.keyboard.press("Home")
    expect(part(page, "moment")).to_contain_text("epoch 0: loss 0.")
    start = surface(page), part(page, "value").input_value(), part(page, "moment").inner_text()
    assert all(a != b for a, b in zip(start, end, strict=True))
    page.keyboard.press("ArrowRight")
    expect(part(page, "moment")).to_contain_text("epoch 5:")
    part(page, "play").click()
    expect(part(page, "play")).to_have_text("Pause")
    part(page, "play").click()
    expect(part(page, "play")).to_have_text("Play")


def test_a_film_is_not_read_out(browser: Browser, url: str) -> None:
    page = browser.new_page()  # with motion
    page.goto(url)
    settled(page)
    answer = part(page, "answer")
    expect(answer).to_have_attribute("aria-live", "polite")
    part(page, "train").click()
    expect(answer).to_have_attribute("aria-live", "off", timeout=20_000)
    expect(answer).to_have_attribute("aria-live", "polite", timeout=20_000)  # at its end
    expect(part(page, "moment")).to_contain_text(f"epoch {gate_net.STEPS}:")
    page.close()


def test_a_whole_class_may_train_at_once_and_a_crowd_is_told() -> None:
    async def together(count: int) -> list[dict[str, Any]]:
        return await asyncio.gather(*(calls.train({**GOOD, "bits": "0111"}) for _ in range(count)))

    assert all(answer["bits"] == "0111" for answer in in_a_loop(together(50)))
    crowd = in_a_loop(together(calls.MOST_WAITING + 20))
    refused = [answer for answer in crowd if "error" in answer]
    assert len(refused) == 19 and all("try again" in answer["error"] for answer in refused)
    assert in_a_loop(calls.train(GOOD))["bits"] == "0110"  # and on it goes


def in_a_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run it in a thread of its own, since the browser's driver has a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def test_an_edited_weight_bends_the_network_and_is_undone(page: Page, trained: Path) -> None:
    told, seen = shares(page), surface(page)
    name, net = decisive_weight(trained / "gate.onnx")
    page.locator(f"#gate-lab .diagram [data-name='{name}']").dispatch_event("pointerdown")
    expect(part(page, "weight")).to_have_value(name)
    unit = int(name.split()[1])
    end = "max" if net["weight2"][unit] < 0 else "min"  # of the slider: the other sign
    against = float(part(page, "slider").get_attribute(end))
    expected = shown_probability(edited(net, unit, against), truth_table.inputs(2)).tolist()
    assert np.abs(np.subtract(expected, told)).max() > 0.5
    part(page, "value").fill(str(against))
    expect(part(page, "status")).to_contain_text("edited")
    assert shares(page) == pytest.approx(expected, abs=6e-4)
    assert surface(page) != seen
    part(page, "value").fill("5000")  # more than may be
    part(page, "value").blur()
    expect(part(page, "value")).to_have_value(str(gate_tab.MOST_WEIGHT))
    assert float(part(page, "slider").get_attribute("max")) == gate_tab.MOST_WEIGHT
    part(page, "restore").click()
    expect(part(page, "status")).not_to_contain_text("edited")
    assert shares(page) == told and surface(page) == seen
    part(page, "slider").focus()  # and by keyboard
    page.keyboard.press("End" if against > 0 else "Home")
    expect(part(page, "status")).to_contain_text("edited")
    assert shares(page) == pytest.approx(expected, abs=6e-4)


def decisive_weight(graph: Path) -> tuple[str, dict[str, Any]]:
    """Return the output weight of xor whose other sign changes its answers most, and the network.

    Some hidden units say the same of every row, whatever they weigh.
    """
    net = gate_bank.networks(OnnxPredictor(graph), graph.read_bytes())["xor"]
    told = shown_probability(net, truth_table.inputs(2))
    changes = [
        np.abs(shown_probability(edited(net, unit, -weight), truth_table.inputs(2)) - told).max()
        for unit, weight in enumerate(net["weight2"])
    ]
    return f"weight2 {int(np.argmax(changes))}", net


def edited(net: dict[str, Any], unit: int, value: float) -> dict[str, Any]:
    """Return the network with another output weight."""
    return {**net, "weight2": [*net["weight2"][:unit], value, *net["weight2"][unit + 1 :]]}


def test_the_ring_is_dragged_by_mouse_and_keys(page: Page) -> None:
    ring, answer = part(page, "ring"), part(page, "answer")
    expect(answer).to_contain_text("a = 0.00, b = 0.00 → xor says 0")
    box = part(page, "plot").bounding_box()
    assert box is not None
    scale = box["width"] / 440
    at = lambda a, b: (  # noqa: E731
        box["x"] + scale * (40 + (a + 0.25) * 260),
        box["y"] + scale * (400 - (b + 0.25) * 260),
    )
    page.mouse.move(*at(0, 0))
    page.mouse.down()
    page.mouse.move(*at(0.5, 0.1), steps=4)
    expect(ring).to_have_attribute("aria-valuetext", "a = 0.50, b = 0.10")
    page.mouse.move(*at(1, 0), steps=4)
    page.mouse.up()
    expect(answer).to_contain_text("a = 1.00, b = 0.00 → xor says 1")
    page.mouse.move(*at(0, 1))  # let go of
    page.keyboard.press("ArrowUp")
    expect(ring).to_have_attribute("aria-valuetext", "a = 1.00, b = 0.05")
    page.locator("#gate-lab [data-row='3']").click()
    expect(answer).to_contain_text("a = 1.00, b = 1.00 → xor says 0")


def test_gate_and_model_are_chosen_by_keyboard(page: Page) -> None:
    part(page, "gate").focus()
    page.keyboard.type("nand")
    expect(part(page, "answer")).to_contain_text("nand says 1")
    model = page.get_by_label("Gate model")
    model.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(part(page, "status")).to_contain_text("there is no such model file", timeout=15_000)
    expect(part(page, "count")).to_have_text("4 of 4 rows right.")  # trained here instead
    expect(page.locator("#gate-circuits [data-note]")).to_have_text(texts.ALL_TRAINED)


def test_circuits_are_switched_and_right(page: Page) -> None:
    wired = page.locator("#gate-circuits")
    for circuit, rows in (("Half adder", 4), ("Full adder", 8), ("2-bit multiplier", 16)):
        wired.get_by_label("Circuit", exact=True).select_option(label=circuit)
        expect(wired.locator("[data-count]")).to_have_text(f"All {rows} rows right.")
        expect(wired.locator("tbody tr")).to_have_count(rows)
    for name in ("a1", "a0", "b1"):
        wired.get_by_role("button", name=f"{name} = 0").click()
    expect(wired.locator("[data-answer]")).to_have_text("3 × 2 = 6 ✓ right")
    expect(wired.locator("tr.present")).to_have_text("3 × 26✓")
    drawn = wired.get_by_role("img", name="2-bit multiplier: a1 = 1, a0 = 1, b1 = 1, b0 = 0 give")
    expect(drawn).to_be_visible()
    values = wired.locator("[data-wiring] .value").all_text_contents()
    assert values == list("0110") + list("1110")  # p3 to p0, a1 to b0


def test_a_narrow_screen_is_not_scrolled_sideways(phone: Page) -> None:
    trained_here(phone)
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    small = "[...document.querySelectorAll('#gate-lab :is(button, select, input), #gate-circuits "
    small += "button')].filter(e => e.getBoundingClientRect().height < 40 && e.type != 'radio')"
    assert phone.evaluate(f"{small}.map(e => e.outerHTML)") == []
