"""The digit network beyond accuracy: calibration, and robustness on validation digits."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from torch import nn

from experiments.core.stats import softmax
from experiments.data import hands
from experiments.evaluation import calibration, robustness
from experiments.evaluation.arrays import Array
from experiments.evaluation.calibration import Reliability
from experiments.evaluation.evaluation import Evaluation, EvaluationResult, Metric
from experiments.evaluation.robustness import Details, EvalSet
from experiments.tasks.mnist import DIGITS, outputs
from experiments.tasks.task import Split, Splits
from experiments.training import threads

REJECTED = 0.007  # fraction of the digits below the threshold of the score
CALIBRATION_SEED, VALIDATION_SEED = 1, 2  # of drawn digits; training has other seeds
# Hands of whom legible digits are expected: closer to the shapes than those of the training.
READER = hands.Hand(jitter=0.04, tremor=0.01, polygons=0.1, boxes=0.1, pens=(0.04, 0.2))

# The noise is three standard deviations of the difference between two seeds of the default
# recipe, or a little more: python -m benchmarks.robustness --seeds 5
METRICS = {
    "corruption": Metric(noise=0.045),
    "corruption/mean": Metric(noise=0.015, tag="corruption_mean"),
    "corruption/least": Metric(noise=0.08),
    "corruption/zigzag": Metric(noise=0.06),
    "corruption/fog": Metric(noise=0.09),
    "corruption/canny_edges": Metric(noise=0.125),
    "drawings": Metric(noise=0.03),
    "refused": Metric(noise=0.055),
    "auroc": Metric(noise=0.005),
    "ece/validation": Metric(
        noise=0.003,
        lower_is_better=True,
        maximum=0.02,
        label="validation calibration error, 15 bins",
    ),
    "test_ece": Metric(tag="test_ece", label="test calibration error, 15 bins"),
    "test_ece_before_temperature": Metric(label="test calibration error before temperature"),
}


def calibrate(
    net: nn.Module, fit: Split, judge: Split, canonical: bool = False
) -> dict[str, float]:
    """Set the temperature; return it, and the score below which an image is no digit.

    Both are fitted on `fit` and, where the data are MNIST's own, on as many drawn digits.
    `false_reject_rate` is the fraction of the digits of `judge` below that threshold,
    `drawn_reject_rate` that of other drawn digits.
    """
    images, y = fit.x.cpu().numpy(), fit.y.cpu().numpy()
    if canonical:
        asked = ((len(y), CALIBRATION_SEED), (len(judge.y), VALIDATION_SEED))
        (drawn, labels), (judged, _) = threads.mapped(lambda a: hands.digits(*a, READER), asked)
        images, y = np.concatenate([images, drawn.numpy()]), np.concatenate([y, labels.numpy()])
    net.get_buffer("temperature").fill_(1)
    model = robustness.predictor(outputs, net)
    temperature = calibration.temperature(model(images)["logits"], y)
    net.get_buffer("temperature").fill_(temperature)
    threshold = float(np.quantile(model(images)["score"], REJECTED))
    facts = {"temperature": temperature, "score_threshold": threshold}
    rejected = model(judge.x.cpu().numpy())["score"] < threshold
    facts[calibration.FALSE_REJECT_RATE] = float(rejected.mean())
    if canonical:
        rejected = model(judged.numpy())["score"] < threshold
        facts[calibration.DRAWN_REJECT_RATE] = float(rejected.mean())
    return facts


def evaluate(
    net: nn.Module,
    facts: Mapping[str, float],
    splits: Splits,
    test: Split,
    logits: Float[Array, "N classes"],
    champion: Mapping[str, float],
) -> EvaluationResult:
    """Return the robustness on validation digits; of the test set, only the calibration."""
    eval_set = EvalSet.prepare(splits.val.x, splits.val.y)
    model = robustness.predictor(outputs, net)
    report = robustness.evaluate(model, eval_set, facts["score_threshold"])
    numbers = report.numbers()
    logits = logits[:, :DIGITS]
    before = Reliability.of(softmax(logits * facts["temperature"]), test.y)
    after = Reliability.of(softmax(logits), test.y)
    return EvaluationResult(
        numbers=numbers,
        reported={
            **facts,
            "drawings_kept": report.drawings_accepted,
            "test_ece": after.error,
            "test_ece_before_temperature": before.error,
            **{f"kept_{kind}": value for kind, value in report.accuracy_after.items()},
        },
        metrics=METRICS,
        table=_table(numbers, champion),
        details=Details(
            report,
            {"before temperature scaling": before, "after temperature scaling": after},
            champion,
        ),
    )


def _table(numbers: Mapping[str, float], champion: Mapping[str, float]) -> str:
    """Return the numbers next to the champion's as Markdown."""
    rows = ["| number | this network | present champion |", "|---|---|---|"]
    for name, value in numbers.items():
        other = f"{champion[name]:.4f}" if name in champion else ""
        rows.append(f"| {name} | {value:.4f} | {other} |")
    return "\n".join([*rows, ""])


EVALUATION = Evaluation(calibrate=calibrate, evaluate=evaluate)
