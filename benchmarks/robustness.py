"""What the default digit network withstands: python -m benchmarks.robustness --seeds 5

Beside it stand its int8 graph, and the same network trained without the pictures that are warped
far, made worse or strange. Each is examined on the whole test set, read once a seed, after all
choices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from benchmarks import record
from experiments import cli

if TYPE_CHECKING:
    from torch import Tensor, nn

    from experiments.job import Job
    from experiments.robustness import Exam, Reader

PLAIN = {"far": 0.0, "degrade": 0.0, "strangers": 0.0}
PENS = (6, 8, 10, 12, 16, 20, 24, 28, 32, 36, 40)  # pixels on a canvas of 400
STRENGTHS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)  # of adversaries, in full ink
ATTACKED, STEPS = 1000, 20  # digits; steps of PGD
CALIBRATION = 500  # training digits that tell int8 the range of values
Results = dict[str, list[dict[str, Any]]]


@click.command("benchmarks.robustness")
@click.option("--seeds", type=click.IntRange(2), default=5, show_default=True)
def command(seeds: int) -> None:
    """Examine the default recipe, its int8 graph and its plain twin, and write the figures down."""
    from experiments.robustness import Exam

    exam, attacks = None, []
    found: Results = {"default": [], "int8": [], "plain": []}
    record.warm_up("mnist", "default")
    for seed in range(seeds):
        for arm, changed in (("default", {}), ("plain", PLAIN)):
            job, net, facts, seconds = trained(seed, changed)
            test = job.splits.test
            exam = exam or Exam.prepare(test.x, test.y, each=len(test.x), pens=PENS, test=True)
            found[arm].append({**examined(torch_reader(job, net), exam, facts), "seconds": seconds})
            if arm == "default":
                found["int8"].append(examined(int8_reader(job, net), exam, facts))
                attacks.append(attacked(net, test.x[:ATTACKED], test.y[:ATTACKED]))
            click.echo(f"seed {seed}, {arm}: {found[arm][-1]['test_accuracy']:.4f}")
    result = {
        "task": "mnist",
        "hparams": vars(job.task.recipes["default"]),
        **{arm: spreads(runs) for arm, runs in found.items()},
        "drawings": np.mean([run["drawings"] for run in found["default"]], 0).tolist(),
        "pens": PENS,
        "strengths": STRENGTHS,
        "attacks": {name: [run[name] for run in attacks] for name in attacks[0]},
    }
    record.save("robustness", f"python -m benchmarks.robustness --seeds {seeds}", result)


def trained(seed: int, changed: Mapping[str, Any]) -> tuple[Job, nn.Module, Any, float]:
    """Return the job of a seed, its trained and calibrated net, its facts, and the seconds."""
    from experiments import train
    from experiments.job import Job
    from experiments.tracking import NullRun

    job = Job.prepare(record.request("mnist", "default", seed, changed=changed))
    net, _, seconds = train.fit(job, NullRun())
    return job, net, job.task.calibrate(net, job.val), seconds


def examined(read: Reader, exam: Exam, facts: Mapping[str, float]) -> dict[str, Any]:
    """Return all numbers of a card on the test set."""
    from experiments.robustness import examine

    card = examine(read, exam, facts["score_threshold"])
    numbers = card.numbers()
    return {
        "test_accuracy": card.reliability.overall,
        "test_ece": numbers.pop("ece/validation"),  # these digits are the test set's
        "refused/digits": float((card.scores < card.threshold).mean()),
        "temperature": facts.get("temperature", 1.0),
        **numbers,
        **{f"kept/{kind}": share for kind, share in card.kept.items()},
        "kept/drawings": card.drawings_kept,
        "drawings/least_digit_and_pen": float(card.drawings.min()),
        "drawings": card.drawings,
    }


def torch_reader(job: Job, net: nn.Module) -> Reader:
    """Return the torch net as a reader."""
    from experiments.robustness import of_net

    return of_net(job.task.outputs, net)


def int8_reader(job: Job, net: nn.Module) -> Reader:
    """Return the net's int8 graph as a reader."""
    import onnxruntime

    from experiments.robustness import in_batches
    from export import graph, precision

    whole = graph.of_task(job.task, net, job.splits.test.x[:2], {})
    small = precision.int8(whole, job.splits.train.x[:CALIBRATION])
    session = onnxruntime.InferenceSession(small.SerializeToString())
    names = [output.name for output in session.get_outputs()]

    def read(images: np.ndarray) -> Mapping[str, np.ndarray]:
        return dict(zip(names, session.run(names, {job.task.input.name: images}), strict=True))

    return in_batches(read)


def attacked(net: nn.Module, x: np.ndarray, y: np.ndarray) -> dict[str, list[float]]:
    """Return the share right under FGSM and PGD (L-infinity) of each strength.

    Sources: I. Goodfellow et al., "Explaining and Harnessing Adversarial Examples", 2015;
    A. Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018.
    """
    import torch

    from models.cnn import DIGITS

    images, truth = torch.tensor(x).float(), torch.tensor(y)

    def right(bad: Tensor) -> float:
        with torch.inference_mode():
            return float((net(bad)[:, :DIGITS].argmax(1) == truth).float().mean())

    one = [right(fooled(net, images, truth, 255 * s, 1)) for s in STRENGTHS]
    many = [right(fooled(net, images, truth, 255 * s, STEPS)) for s in STRENGTHS]
    return {"FGSM": one, f"PGD, {STEPS} steps": many}


def fooled(net: nn.Module, images: Tensor, truth: Tensor, most: float, steps: int) -> Tensor:
    """Return `images`, float [N, 28, 28], changed by at most `most` levels to be misread."""
    import torch
    from torch.nn.functional import cross_entropy

    from models.cnn import DIGITS

    bad = images.clone()
    pace = most if steps == 1 else 2.5 * most / steps
    for _ in range(steps):
        bad.requires_grad_(True)
        loss = cross_entropy(net(bad)[:, :DIGITS], truth)
        (slope,) = torch.autograd.grad(loss, bad)
        stepped = bad.detach() + pace * slope.sign()
        bad = stepped.clamp(images - most, images + most).clamp(0, 255)
    return bad


def spreads(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and deviation over seeds of each number."""
    names = [name for name in runs[0] if name != "drawings"]
    return {name: record.spread([run[name] for run in runs]) for name in names}


if __name__ == "__main__":
    cli.main(command)
