"""Robustness of the default digit network: python -m benchmarks.robustness --seeds 5

Compared with its int8 graph, and with the same network trained on MNIST's digits only. Each is
evaluated on the whole test set, which is read once a seed, after all choices. Writes
benchmarks/results/robustness.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from benchmarks import backends, record
from experiments.core import cli
from experiments.evaluation.robustness import EvalSet, Predictor, evaluate

if TYPE_CHECKING:
    from torch import nn

    from experiments.training.trainer import Trainer

PLAIN = dict.fromkeys(("strong_affine_frac", "corruption_prob", "pen_ratio", "outlier_ratio"), 0.0)
PENS = (6, 8, 10, 12, 16, 20, 24, 28, 32, 36, 40)  # pixels on a canvas of 400
STRENGTHS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)  # of adversaries, in full ink
ATTACKED, STEPS = 1000, 20  # digits; steps of PGD
BATCH = 500  # of the int8 graph
CALIBRATION = 500  # training digits for the value ranges of int8


@click.command("benchmarks.robustness")
@click.option("--seeds", type=click.IntRange(2), default=5, show_default=True)
def command(seeds: int) -> None:
    """Evaluate the default recipe, its int8 graph, and the recipe on MNIST alone."""
    from experiments import train
    from experiments.evaluation.robustness import EvalSet, predictor

    eval_set, attacks = None, []
    runs: dict[str, list[dict[str, Any]]] = {"default": [], "int8": [], "plain": []}
    record.warm_up("mnist", "default")
    for seed in range(seeds):
        for arm, changed in (("default", {}), ("plain", PLAIN)):
            asked = record.request("mnist", "default", seed, changed=changed)
            job, net, _, seconds = record.fit(asked)
            facts = train.calibrate(job, net)
            test = job.splits.test.open("benchmark")
            eval_set = eval_set or EvalSet.prepare(
                test.x, test.y, each=len(test.x), pens=PENS, test=True
            )
            numbers = evaluate_model(predictor(job.task.outputs, net), eval_set, facts)
            runs[arm].append({**numbers, "seconds": seconds})
            if arm == "default":
                runs["int8"].append(evaluate_model(int8_predictor(job, net), eval_set, facts))
                attacks.append(attacked(net, test.x[:ATTACKED], test.y[:ATTACKED]))
            click.echo(f"seed {seed}, {arm}: {runs[arm][-1]['test_accuracy']:.4f}")
    result = {
        "task": "mnist",
        "hparams": vars(job.task.recipes["default"]),
        **{arm: spreads(each) for arm, each in runs.items()},
        "drawings": np.mean([run["drawings"] for run in runs["default"]], 0).tolist(),
        "pens": PENS,
        "strengths": STRENGTHS,
        "attacks": {name: [run[name] for run in attacks] for name in attacks[0]},
    }
    record.save("robustness", f"python -m benchmarks.robustness --seeds {seeds}", result)


def evaluate_model(
    model: Predictor, eval_set: EvalSet, facts: Mapping[str, float]
) -> dict[str, Any]:
    """Return all robustness numbers on the test set."""
    report = evaluate(model, eval_set, facts["score_threshold"])
    numbers = report.numbers()
    return {
        "test_accuracy": report.reliability.overall,
        "test_ece": numbers.pop("ece/validation"),  # these digits are the test set's
        "refused/digits": float((report.scores < report.threshold).mean()),
        "temperature": facts.get("temperature", 1.0),
        **numbers,
        **{f"kept/{kind}": value for kind, value in report.accuracy_after.items()},
        "kept/drawings": report.drawings_accepted,
        "drawings/least_digit_and_pen": float(report.drawings.min()),
        "drawings": report.drawings,
    }


def int8_predictor(job: Trainer, net: nn.Module) -> Predictor:
    """Return the net's int8 graph as a predictor."""
    from export import graph, precision

    fp32 = graph.of_task(job.task, net, job.splits.val.x[:2], {})
    int8 = precision.int8(fp32, job.splits.train.x[:CALIBRATION]).SerializeToString()
    return partial(backends.run_onnxruntime, int8, batch=BATCH)


def attacked(net: nn.Module, x: np.ndarray, y: np.ndarray) -> dict[str, list[float]]:
    """Return the accuracy (0 to 1) under FGSM and PGD (L-infinity) of each strength.

    Sources: I. Goodfellow et al., "Explaining and Harnessing Adversarial Examples", 2015;
    A. Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018.
    """
    return {
        "FGSM": [accuracy_under_attack(net, x, y, 255 * s, 1) for s in STRENGTHS],
        f"PGD, {STEPS} steps": [
            accuracy_under_attack(net, x, y, 255 * s, STEPS) for s in STRENGTHS
        ],
    }


def accuracy_under_attack(
    net: nn.Module, x: np.ndarray, y: np.ndarray, epsilon: float, steps: int
) -> float:
    """Return the accuracy on images, uint8 [N, 28, 28], changed by at most `epsilon` levels."""
    import torch
    from torch.nn.functional import cross_entropy

    from models.cnn import DIGITS

    images, labels = torch.tensor(x).float(), torch.tensor(y)
    adversarial = images.clone()
    step = epsilon if steps == 1 else 2.5 * epsilon / steps
    for _ in range(steps):
        # Follow the sign of the loss's gradient, then return to the allowed box.
        adversarial.requires_grad_(True)
        loss = cross_entropy(net(adversarial)[:, :DIGITS], labels)
        (gradient,) = torch.autograd.grad(loss, adversarial)
        moved = adversarial.detach() + step * gradient.sign()
        adversarial = moved.clamp(images - epsilon, images + epsilon).clamp(0, 255)
    with torch.inference_mode():
        pred = net(adversarial)[:, :DIGITS].argmax(1)
    return float((pred == labels).float().mean())


def spreads(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and deviation over seeds of each number."""
    names = [name for name in runs[0] if name != "drawings"]
    return {name: record.spread([run[name] for run in runs]) for name in names}


if __name__ == "__main__":
    cli.main(command)
