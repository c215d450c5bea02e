"""A fit that is interrupted and resumed ends with the same weights, bit by bit."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from experiments import tasks
from experiments.tasks.task import Hparams, Split, Splits, Task
from experiments.training import checkpoint
from experiments.training.checkpoint import CheckpointPolicy
from experiments.training.device import to_device
from experiments.training.loop import State, fit, initialise
from experiments.training.metrics import EpochMetrics, predict
from experiments.training.trainer import Trainer

CPU = torch.device("cpu")
SEED, OTHER_SEED = 3, 4
EPOCHS = 3
SMALL_NETS = {
    "gate": {"num_restarts": 3},
    "mnist": {"base_channels": 4, "num_stages": 1, "hidden_dim": 16},
    "logic": {"hidden_gates": 60, "class_votes": 4},
}
Small = Callable[[str], Splits]
Result = tuple[dict[str, Tensor], list[EpochMetrics]]


@dataclass
class Fit:
    """A fit on a small split, of several batches an epoch; it records its augmented batches."""

    task: Task
    splits: Splits
    hparams: Hparams
    val: Split | None = None
    augmented: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.train = to_device(self.splits.train, CPU)
        self.val = self.val or to_device(self.splits.val, CPU)
        self.batches = len(self.train.x) // self.hparams.batch_size
        original = self.task.augment

        def augment(*args: object) -> tuple[Tensor, Tensor]:
            x, y = original(*args)
            self.augmented.append(x.clone())
            return x, y

        self.task = replace(self.task, augment=augment)

    def interrupt(self, after: int) -> bytes:
        """Return the serialized state after a number of steps."""
        net = initialise(self.task, self.splits, self.hparams, SEED)
        states: list[bytes] = []

        def stop(state: Callable[[], State]) -> None:
            if state().facts["done"] == after:
                states.append(checkpoint.serialize(state()))
                raise KeyboardInterrupt

        epochs = fit(self.task, net, self.train, self.val, self.hparams, seed=SEED, after_step=stop)
        with pytest.raises(KeyboardInterrupt):
            list(epochs)
        self.augmented.clear()
        return states[0]

    def finish(self, state: bytes | None = None) -> Result:
        """Train to the end, from the beginning or a state; return weights and history.

        A resumed net begins with other weights, so that all it has comes from the state.
        """
        net = initialise(self.task, self.splits, self.hparams, OTHER_SEED if state else SEED)
        resume = checkpoint.deserialize(state) if state else None
        epochs = fit(self.task, net, self.train, self.val, self.hparams, seed=SEED, resume=resume)
        return net.state_dict(), list(epochs)

    def trainer(self, folder: Path) -> Trainer:
        """Return a trainer that saves a checkpoint at each step."""
        return Trainer(
            task=self.task,
            data=self.task.data_options(),
            options={},
            splits=self.splits,
            train=self.train,
            val=self.val,
            calibration=None,
            hparams=self.hparams,
            seed=SEED,
            device=CPU,
            precision="fp32",
            folder=folder,
            policy=CheckpointPolicy(min_interval_s=0, max_overhead=1e9),
        )


def prepared(small: Small, name: str, **hparams: object) -> Fit:
    task, splits = tasks.get(name), small(name)
    rows = max(2, len(splits.train.x) // 4)  # two batches of the gates' table, four of the digits
    given = {"epochs": EPOCHS, "batch_size": rows, "eval_every": 1, **SMALL_NETS[name]}
    return Fit(task, splits, task.hparams(**given | hparams))


def assert_same(a: Result, b: Result) -> None:
    """Compare weights, then histories."""
    assert a[0].keys() == b[0].keys()
    assert [name for name in a[0] if not torch.equal(a[0][name], b[0][name])] == []
    assert a[1] == b[1]


@pytest.fixture(scope="module", params=tasks.names())
def uninterrupted(request: pytest.FixtureRequest, small: Small) -> tuple[Fit, Result]:
    one = prepared(small, request.param)
    return one, one.finish()


@pytest.mark.parametrize("epochs", [0.5, 1.5, 2])  # after an epoch's first half, or its end
def test_a_resumed_fit_ends_as_an_uninterrupted_one(
    uninterrupted: tuple[Fit, Result], epochs: float
) -> None:
    one, result = uninterrupted
    done = int(epochs * one.batches)
    resumed = one.finish(one.interrupt(done))
    assert_same(resumed, result)
    assert [metrics.epoch for metrics in resumed[1]] == [1, 2, 3]
    assert len(one.augmented) == EPOCHS * one.batches - done  # no step is taken twice


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_each_update_rule_resumes_within_a_partial_epoch(small: Small, optimizer: str) -> None:
    one = prepared(small, "mnist", optimizer=optimizer, epochs=1.5, eval_every=2)
    result = one.finish()
    augmented = one.augmented.copy()
    assert_same(one.finish(one.interrupt(5)), result)
    assert [metrics.epoch for metrics in result[1]] == [2]
    assert all(map(torch.equal, one.augmented, augmented[5:]))


def test_the_best_epochs_weights_survive(small: Small) -> None:
    """Validation's labels are the predictions after epoch 1, so that epoch stays the best."""
    one = prepared(small, "mnist", epochs=4)
    tensors = checkpoint.deserialize(one.interrupt(one.batches)).tensors
    first = {k.removeprefix("net/"): v for k, v in tensors.items() if k.startswith("net/")}
    net = initialise(one.task, one.splits, one.hparams, SEED)
    net.load_state_dict(first)
    one.val = Split(one.val.x, one.task.predict(predict(net, one.val.x)))
    state = one.interrupt(3 * one.batches + 1)
    weights, history = one.finish(state)
    assert max(history, key=lambda metrics: metrics.rank).epoch == 1
    assert_same((weights, history), (first, history))
    later = checkpoint.deserialize(state).tensors
    assert any(not torch.equal(later[f"net/{name}"], value) for name, value in first.items())


def test_a_trainer_resumes_although_its_newest_checkpoint_is_damaged(
    uninterrupted: tuple[Fit, Result], tmp_path: Path
) -> None:
    one, (weights, history) = uninterrupted
    trainer = one.trainer(tmp_path)
    epochs = trainer.fit(trainer.net(), "interrupted")
    assert list(islice(epochs, 2)) == history[:2]  # and stops at that step
    newest = max(tmp_path.glob("fit-*/*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-100])
    one.augmented.clear()
    net = trainer.net()
    assert_same((net.state_dict(), list(trainer.fit(net, "resumed"))), (weights, history))
    assert 0 < len(one.augmented) <= EPOCHS * one.batches - 2
    epochs.close()


def test_other_settings_do_not_resume(uninterrupted: tuple[Fit, Result], tmp_path: Path) -> None:
    trainer = uninterrupted[0].trainer(tmp_path)
    list(trainer.fit(trainer.net(), "fit"))
    other_hparams = replace(trainer.hparams, lr=0.01)
    for changes in ({"seed": OTHER_SEED}, {"precision": "bf16"}, {"hparams": other_hparams}):
        assert replace(trainer, **changes).interrupted() is None
    assert trainer.interrupted() is not None
    trainer.delete_checkpoints()
    assert trainer.interrupted() is None and not list(tmp_path.iterdir())
