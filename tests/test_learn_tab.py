"""The Learn tab: steps of a training, what is shown of them, who may train, the worker's end."""

import base64
import gzip
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from playwright.sync_api import Browser, Page, expect
from sklearn.metrics import confusion_matrix

from experiments.core.errors import UserError
from experiments.core.paths import ROOT
from experiments.data import mnist
from experiments.tasks.mnist import RECIPES
from experiments.training import loop
from experiments.training import options as command_line
from serve.backends.onnx_backend import OnnxPredictor
from serve.models.registry_query import Answer, RegistryQuery, Request
from serve.models.store import MAX_ADDED, ModelStore
from serve.strings import layout
from serve.strings import learn as texts
from serve.tabs.learn import live as live_module
from serve.tabs.learn import options, record
from serve.tabs.learn.live import IDLE_S, UNWATCHED_S, Live
from serve.tabs.learn.options import RunOptions, TrainRequest
from serve.tabs.learn.process import Worker
from serve.tabs.learn.routes import RECORDED, _Seen
from serve.tabs.learn.worker import fits, frames
from tests import graphs
from tests.conftest import loopback_context, page_in_thread
from tests.expect import refused

SMALL = RunOptions(digits=200, base_channels=4)
SECONDS = 120  # on a busy machine

# A worker without torch: it answers commands as the real one does, and trains nothing.
STAND_IN = """
import json, sys
def say(kind, **facts): print(json.dumps({"kind": kind, **facts}), flush=True)
say("ready", id="")
for line in sys.stdin:
    command = json.loads(line)
    do, present = command["do"], command.get("id", globals().get("present", ""))
    if do == "start":
        say("start", id=present, runs=command["runs"])
        say("frame", id=present, points=[[0, 1, 0, 1, 0]], looks=[{}], seconds=[0])
        say("phase", id=present, phase="paused" if command["paused"] else "running")
    elif do == "stop":
        say("phase", id=present, phase="stopped")
    elif do == "pause":
        say("phase", id=present, phase="paused")
    elif do == "step":
        sys.exit("out of memory")
"""


def wait_until(holds: Callable[[], object], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


# ---- Steps


def steps_of(options: RunOptions) -> fits.Fit:
    fit = fits.Fit(fits.prepare(options))
    while not fit.finished:
        fit.advance()
    return fit


def test_steps_one_by_one_give_the_weights_of_the_training_loop() -> None:
    """Also if the net is measured between them, and another one is trained in turn."""
    trainer = fits.prepare(SMALL)
    expected = trainer.net()
    history = list(
        loop.fit(
            trainer.task, expected, trainer.train, trainer.val, trainer.hparams,
            seed=trainer.seed, precision=trainer.precision,
        )
    )  # fmt: skip
    fit, other = fits.Fit(trainer), fits.Fit(fits.prepare(replace_(SMALL, activation="tanh")))
    observer = frames.Observer(fit)
    while not fit.finished:
        fit.advance()
        other.advance()
        observer.frame(None)
    other.stop()
    assert fit.history == history and fit.done == fit.steps
    for name, value in expected.state_dict().items():
        assert torch.equal(fit.net.state_dict()[name], value), name


def replace_(given: RunOptions, **changes: object) -> RunOptions:
    return RunOptions(**{**given.model_dump(), **changes})


def test_fewer_digits_are_seen_more_often() -> None:
    whole, few = fits.prepare(RunOptions()), fits.prepare(RunOptions(digits=100))
    assert whole.hparams == replace(RECIPES["fast"], eval_every=whole.hparams.eval_every)
    assert len(few.train.y) == 100
    assert torch.bincount(few.train.y).tolist() == pytest.approx([10] * 10, abs=2)
    assert fits.Fit(few).steps == fits.Fit(whole).steps == 86
    assert whole.splits.unfit == () and "100 training digits" in few.splits.unfit[0]


def test_the_command_that_registers_a_network_trains_the_same() -> None:
    given = RunOptions(recipe="default", activation="tanh", lr=0.05, seed=3, augment=False)
    line = fits.command(given)
    assert line.startswith("mlflow run . -e train -P task=mnist -P recipe=default -P trials=0")
    settings = dict(word.split("=") for word in shlex.split(line) if "=" in word)
    config = command_line.parse({**fits.COMMAND, **settings, "seed": int(settings["seed"])})
    trainer = fits.prepare(given)
    assert (config.hparams, config.seed) == (trainer.hparams, trainer.seed)
    assert fits.command(RunOptions(digits=100)) == fits.command(RunOptions(noise_percent=1)) == ""


def test_wrong_labels_are_as_many_as_asked_for_and_all_wrong() -> None:
    clean = fits.prepare(RunOptions(digits=1000)).train
    noisy = fits.prepare(RunOptions(digits=1000, noise_percent=33)).train
    assert torch.equal(clean.x, noisy.x)
    assert int((clean.y != noisy.y).sum()) == 330
    assert set(noisy.y.tolist()) <= set(range(10))
    assert (fits.on_device()["train"].y.bincount(minlength=10) > 4000).all()  # not changed


def test_augmentation_is_that_of_the_default_recipe_or_none() -> None:
    on, off = (fits.prepare(RunOptions(augment=each)).hparams for each in (True, False))
    assert (on.corruption_prob, on.rotation_deg) == (0.3, RECIPES["default"].rotation_deg)
    assert (off.corruption_prob, off.rotation_deg, off.pen_ratio) == (0, 0, 0)


def test_a_stopped_training_stays_where_it_is() -> None:
    fit = fits.Fit(fits.prepare(SMALL))
    fit.advance()
    fit.stop()
    assert fit.finished and fit.done == 1


def test_a_training_that_diverges_says_so() -> None:
    fit = fits.Fit(fits.prepare(RunOptions(digits=200, base_channels=1)))
    with torch.no_grad():
        for parameter in fit.net.parameters():
            parameter.fill_(torch.nan)
    with refused("training-diverged"):
        while not fit.finished:
            fit.advance()


# ---- What is shown


def test_the_filters_are_what_the_first_layer_sees() -> None:
    """A kernel as shown, applied to the image itself, gives the first layer's response."""
    net = fits.prepare(RunOptions(base_channels=3)).net().requires_grad_(False)
    shown = frames.filters(net)
    assert shown.shape == (3, 6, 6)
    image = torch.rand(1, 1, 28, 28)
    response = net.get_submodule("stages.0.conv")(net.get_submodule("fold")(image))
    largest = next(net.parameters()).abs().max()
    kernels = (torch.tensor(shown).float()[:, None] - 128) / 127 * largest
    own = torch.nn.functional.conv2d(image, kernels, stride=2)
    assert torch.allclose(own, response, atol=36 * float(largest) / 127)
    assert frames.filters(fits.prepare(RunOptions(recipe="default")).net()).shape == (32, 3, 3)


def test_the_confusion_matrix_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    y, pred = random.integers(0, 10, 300), random.integers(0, 10, 300)
    expected = confusion_matrix(y, pred, labels=range(10)).reshape(-1).tolist()
    assert frames.confusion(y, pred) == expected


def test_a_frame_has_what_the_page_draws() -> None:
    fit = fits.Fit(fits.prepare(SMALL))
    drawing = fits.splits().val.x[:1]
    point, look = frames.Observer(fit).frame(drawing)
    assert point[0] == 0 and point[1] == pytest.approx(2.4, abs=0.3)  # the log of 11 classes
    assert len(look["preds"]) == 25 and sum(look["drawing"]) == pytest.approx(1, abs=0.01)
    assert sum(look["confusion"]) == frames.SAMPLE
    json.dumps([point, look], allow_nan=False)
    fit.stop()


def test_the_shown_digits_are_of_validation_and_of_every_class() -> None:
    rows = frames.shown()
    labels = fits.splits().val.y[rows]
    assert len(set(rows.tolist())) == 25 and (np.bincount(labels, minlength=10) >= 2).all()
    assert (np.diff(labels) >= 0).all()


# ---- Options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_channels", 0), ("base_channels", 65), ("base_channels", 1.5), ("digits", 19),
        ("digits", 55_001), ("digits", None), ("noise_percent", 91), ("recipe", "large"),
        ("seed", -1), ("lr", "fast"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_refused_in_one_sentence(name: str, value: object) -> None:
    with refused("value-invalid", what=name):
        options.checked({"runs": [{name: value}]})


@pytest.mark.parametrize("change", [{"lr": 0.0}, {"lr": 101.0}, {"activation": "step"}])
def test_what_the_task_refuses_is_refused_in_its_words(change: dict[str, object]) -> None:
    with pytest.raises(UserError) as caught:
        fits.prepare(RunOptions(**change))
    assert caught.value.code == "value-invalid" and next(iter(change)) in str(caught.value)


@pytest.mark.parametrize("runs", [[], [{}] * 3, [{"unknown": 1}], "none"])
def test_other_requests_are_refused(runs: object) -> None:
    with refused("value-invalid"):
        options.checked({"runs": runs})


# ---- Who may train


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def live(clock: Clock) -> Iterator[Live]:
    live = Live([sys.executable, "-c", STAND_IN], clock)
    yield live
    live.close()


REQUEST = TrainRequest(runs=[RunOptions()])


def phase(live: Live, client: str) -> object:
    return live.state(client)["phase"]


def test_one_training_at_a_time_and_the_others_wait_in_order(live: Live) -> None:
    for client in ("ann-00001", "bob-00001", "cem-00001"):
        live.start(client, REQUEST)
    wait_until(lambda: phase(live, "ann-00001") == "running")
    states = [live.state(client) for client in ("ann-00001", "bob-00001", "cem-00001")]
    assert [state["mine"] for state in states] == [True, False, False]
    assert [state["position"] for state in states] == [0, 1, 2]
    with refused("training-foreign"):
        live.command("bob-00001", "pause")
    live.command("cem-00001", "stop")  # waits no longer
    live.command("ann-00001", "stop")
    wait_until(lambda: live.state("bob-00001")["mine"])
    assert live.state("ann-00001")["waiting"] == 0
    live.start("bob-00001", REQUEST)  # its own training is replaced at once
    assert live.state("bob-00001")["mine"] and live.state("bob-00001")["position"] == 0


def test_nobody_watches(live: Live, clock: Clock) -> None:
    live.watch("ann-00001")
    live.start("ann-00001", REQUEST)
    wait_until(lambda: phase(live, "ann-00001") == "running")
    assert live._worker is not None
    pid = live._worker.pid
    clock.now = UNWATCHED_S - 1
    live.tidy()
    assert phase(live, "ann-00001") == "running"
    clock.now = UNWATCHED_S + 1
    live.tidy()
    assert phase(live, "ann-00001") == "stopped"
    clock.now = IDLE_S + 2
    live.tidy()
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    live.start("bob-00001", REQUEST)  # which starts another worker
    wait_until(lambda: phase(live, "bob-00001") == "running")


def test_a_paused_training_gives_way_to_one_that_waits(live: Live, clock: Clock) -> None:
    live.start("ann-00001", REQUEST)
    live.command("ann-00001", "pause")
    wait_until(lambda: phase(live, "ann-00001") == "paused")
    live.start("bob-00001", REQUEST)
    clock.now = UNWATCHED_S + 1
    for client in ("ann-00001", "bob-00001"):
        live.watch(client)
    live.tidy()
    assert live.state("bob-00001")["mine"]


def test_a_worker_that_ends_is_reported_and_replaced(live: Live) -> None:
    live.start("ann-00001", REQUEST)
    live.command("ann-00001", "step")
    wait_until(lambda: phase(live, "ann-00001") == "failed")
    state = live.state("ann-00001")
    assert state["code"] == "training-ended" and "out of memory" in str(state["error"])
    live.start("ann-00001", REQUEST)
    wait_until(lambda: phase(live, "ann-00001") == "running")


def test_a_worker_that_cannot_start_is_not_started_again_and_again(clock: Clock) -> None:
    live = Live([sys.executable, "-c", "import sys; sys.exit('no room')"], clock)
    try:
        live.watch("ann-00001")
        wait_until(lambda: "no room" in str(live.state("ann-00001")["error"]))
        live.watch("ann-00001")
        assert live._worker is None
        live.start("ann-00001", REQUEST)  # a visitor may try again
        wait_until(lambda: phase(live, "ann-00001") == "failed")
    finally:
        live.close()


def test_a_stream_sends_each_point_once(live: Live) -> None:
    live.start("ann-00001", REQUEST)
    wait_until(lambda: phase(live, "ann-00001") == "running")
    seen = _Seen()
    kinds = [event.partition("\n")[0] for event in seen.news(live, "ann-00001")]
    assert kinds == ["event: start", "event: frame", "event: state"]
    assert seen.news(live, "ann-00001") == []
    assert len(_Seen().news(live, "bob-00001")) == 3  # who comes later sees all of it


# ---- Recorded runs


def test_the_recorded_runs_are_small_and_complete() -> None:
    packed = RECORDED.read_bytes()
    assert len(packed) <= record.MAX_BYTES
    recordings = json.loads(gzip.decompress(packed))["recordings"]
    assert [each["title"] for each in recordings] == [texts.EXPERIMENTS[n] for n in record.RUNS]
    for recording in recordings:
        runs = len(recording["start"]["runs"])
        assert len(base64.b64decode(recording["start"]["shown"])) == 25 * 28 * 28
        for frame in recording["frames"]:
            assert len(frame["points"][0]) == len(frame["looks"]) == runs
        assert recording["final"]["runs"][-1]["accuracy"] > 0.98
        assert recording["final"]["runs"][-1]["count"] == 3000


# ---- The worker itself


class NoRegistry(RegistryQuery):
    """An empty registry."""

    def __init__(self, request: Request) -> None:
        """Ask nothing."""

    def answer(self) -> Answer:
        return Answer()


@pytest.mark.slow
def test_a_real_training_reaches_98_percent_and_can_be_served(
    tmp_path: Path, digits: mnist.Mnist
) -> None:
    live = Live()
    try:
        live.start("ann-00001", TrainRequest(runs=[RunOptions()], speed="full"))
        wait_until(lambda: live.training is not None and live.training.phase == "done", 300)
        assert live.training is not None and live.training.final is not None
        [result] = live.training.final["runs"]
        assert result["accuracy"] > 0.98 and result["count"] == 3000
        store = ModelStore([], "onnxruntime", ["mnist"], NoRegistry)
        path = live.export(live.training.id, 0, timeout_s=300)
        assert path is not None
        key = store.add_file(path)
        predictor = store.load(key, "mnist")
        pred = predictor(digits.test_images[:1000])["probabilities"].argmax(1)
        assert (pred == digits.test_labels[:1000]).mean() > 0.97
        assert predictor.facts["score_threshold"] < 10
        assert store.choices("mnist")[0][1] == key
        with refused("training-gone"):
            live.export("another", 0)
    finally:
        live.close()


@pytest.mark.slow
def test_the_worker_does_not_outlive_its_page() -> None:
    """Not even one that is killed."""
    code = (
        "import time; from serve.tabs.learn.process import Worker\n"
        "worker = Worker(lambda worker, message: message and print(worker.pid, flush=True))\n"
        "time.sleep(600)"
    )
    page = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert page.stdout is not None
    pid = int(page.stdout.readline())  # it is ready
    os.kill(pid, 0)
    page.send_signal(signal.SIGKILL)
    page.wait()
    page.stdout.close()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), 20)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_closed_worker_has_ended() -> None:
    worker = Worker(lambda *_: None, [sys.executable, "-c", STAND_IN])
    pid = worker.pid
    worker.close()
    assert not Path(f"/proc/{pid}").exists()


# ---- Files of the page that come while it runs


def test_few_added_files_stay_open(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(graphs.digit("tanh")[1])
    onnx.helper.set_model_props(model, {**graphs.metadata("mnist"), "facts": "{}"})
    first = tmp_path / "first.onnx"
    first.write_bytes(model.SerializeToString())
    store = ModelStore([str(first)], "onnxruntime", ["mnist"], NoRegistry).open()
    keys = []
    for index in range(MAX_ADDED + 1):
        path = tmp_path / f"later-{index}.onnx"
        path.write_bytes(first.read_bytes())
        keys.append(store.add_file(path))
    assert [key for _, key in store.choices("mnist")][:MAX_ADDED] == keys[1:]
    with refused("key-invalid"):
        store.load(keys[0])
    assert isinstance(store.load(keys[-1], "mnist"), OnnxPredictor)


# ---- In the browser


def open_tab(page: Page, url: str) -> None:
    page.set_default_timeout(SECONDS * 1000)
    page.goto(url)
    page.wait_for_selector("#pad canvas")
    page.get_by_role("tab", name=layout.LEARN, exact=True).click()


@pytest.mark.browser
def test_train_pause_step_and_try_on_the_digit_tab(
    browser: Browser, trained: Path, tmp_path: Path
) -> None:
    expect.set_options(timeout=SECONDS * 1000)
    with page_in_thread(trained) as url, loopback_context(browser, url) as context:
        page = context.new_page()
        open_tab(page, url)
        status, main = page.locator(".learn [data-status]"), page.locator(".learn [data-train]")
        expect(status).to_have_text(texts.WORDS["ready"])
        page.locator(".learn [data-option=base_channels]").fill("0")
        main.click()
        expect(status).to_contain_text("base_channels: expected a value greater than or equal to 1")
        page.locator(".learn [data-option=base_channels]").fill("8")
        page.locator(".learn [data-speed]").select_option("slow")
        main.click()
        expect(main).to_have_text(texts.WORDS["pause"])
        main.click()
        expect(status).to_contain_text("Paused after")
        seen = page.locator(".learn [data-now=examples]")
        before = int(seen.inner_text().replace(",", ""))
        page.locator(".learn [data-step]").click()
        expect(seen).to_have_text(f"{before + 256:,}")
        page.locator(".learn [data-speed]").select_option("full")
        main.click()
        expect(status).to_contain_text("Done.", timeout=300_000)
        page.get_by_role("button", name="Try it on the Digit tab").click()
        expect(page.locator("#pad canvas")).to_be_visible(timeout=300_000)  # the exporter's import
        served = page.get_by_role("list", name=layout.SERVED)
        expect(served).to_contain_text("fast-gelu-seed-0-training-1-A.onnx")


@pytest.mark.browser
def test_without_torch_recorded_runs_are_played(
    browser: Browser, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect.set_options(timeout=SECONDS * 1000)
    monkeypatch.setattr(live_module, "find_spec", lambda name: None)
    with page_in_thread(trained) as url, loopback_context(browser, url) as context:
        page = context.new_page()
        open_tab(page, url)
        expect(page.locator(".learn [data-status]")).to_have_text(texts.WORDS["unavailable"])
        page.locator(".learn [data-speed]").select_option("full")
        page.locator(".learn [data-train]").click()
        expect(page.locator(".learn [data-status]")).to_contain_text("98.93")
