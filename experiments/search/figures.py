"""The figures of a search: Optuna's own plots, with this project's titles, labels and sizes.

Imports wait inside the functions: a command that searches need not draw.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from experiments.figures.spec import FigureSpec

if TYPE_CHECKING:
    import numpy as np
    import optuna
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    Plot = Callable[[], Axes | np.ndarray]

LABELS = {
    "val_accuracy": "accuracy (validation)",
    "val_loss": "loss (validation)",
    "latency_ms": "time for one sample (ms)",
    "parameters": "parameters",
}
CAPTIONS = {  # name: title, what to look for, what the figure cannot show
    "history": (
        "Optimization history",
        "Look for how late the best value appears: if late, more trials may improve it.",
        "It cannot show how much of a difference is chance: each trial has one seed.",
    ),
    "importances": (
        "Importance of the hyper-parameters",
        "Look for the hyper-parameters worth searching; the others have a small importance.",
        "It cannot show the direction, nor values that were not tried.",
    ),
    "parallel-coordinates": (
        "Parallel coordinates",
        "Look for axes that lines of the best shade cross close together: good values.",
        "It cannot show values that were not tried; only neighbouring axes can be compared.",
    ),
    "slice": (
        "Slices: the value by each hyper-parameter",
        "Look for a trend along an axis; later trials are darker and gather at good values.",
        "It cannot show how two hyper-parameters depend on each other.",
    ),
    "contour": (
        "Contours: the value by each pair",
        "Look for valleys along a diagonal: such a pair has to be searched together.",
        "It cannot show what lies between the trials: that is interpolated.",
    ),
    "rank": (
        "Ranks: the trials by each pair",
        "Look for regions of one colour: the rank of a trial follows from the pair there.",
        "It cannot show how far apart two ranks are.",
    ),
    "edf": (
        "Empirical distribution of the value",
        "Look for a steep rise at the good end: most trials are about equally good.",
        "It cannot show which hyper-parameters made the difference.",
    ),
    "timeline": (
        "Timeline of the trials",
        "Look for bars that overlap (parallel trials) and for short ones (pruned trials).",
        "It cannot show what a trial waited for.",
    ),
    "intermediate-values": (
        "Intermediate values of the trials",
        "Look for lines that cross: a trial that is behind early may win late.",
        "It cannot show where a pruned trial would have ended.",
    ),
    "pareto-front": (
        "Trials that no other beats in every objective",
        "Look for the bend of the front, beyond which a small gain has a high price.",
        "It cannot show how noisy each point is; latencies are of this machine.",
    ),
}
CORE = ("history", "importances", "pareto-front")
MAX_RATIO = 20  # of the largest value to the smallest; above, values are on a log scale
MAX_LEGEND = 20  # entries; a longer legend is removed
WIDE, SQUARE = (9.0, 5.0), (11.0, 9.0)  # inches
SLICE = (7.0, 4.5)  # inches of two hyper-parameters; Optuna widens it for more


def exhibits(
    study: optuna.Study, objectives: Sequence[str], *, brief: bool = False
) -> Iterator[FigureSpec]:
    """Yield the figures of a study with a complete trial; of several objectives, of the first.

    Args:
        brief: of one objective only its history: a few short trials show no more.
    """
    from optuna.visualization import matplotlib as plots

    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    values = [trial.values[0] for trial in complete]
    # a parameter with a single value has no axis
    params = [n for n in complete[0].params if len({t.params.get(n) for t in complete}) > 1]
    name = LABELS[objectives[0]]
    log = min(values) > 0 and max(values) > MAX_RATIO * min(values)

    # Without a target, Optuna draws the value of a study with one objective and marks the best.
    # Plots that encode the value as a colour get its logarithm where it spans decades.
    value: dict[str, Any] = {"target_name": name}
    if len(objectives) > 1:
        value["target"] = lambda trial: trial.values[0]
    color = value
    if log:
        color = {"target_name": f"log10 {name}", "target": lambda t: math.log10(t.values[0])}

    yield _spec("history", lambda: plots.plot_optimization_history(study, **value), log_y=log)
    if brief and len(objectives) == 1:
        return
    from optuna.importance import FanovaImportanceEvaluator  # imports scikit-learn

    if params and len(set(values)) > 1:
        evaluator = FanovaImportanceEvaluator(seed=0)
        importances = partial(plots.plot_param_importances, study, evaluator, params, **color)
        yield _spec("importances", importances)
    if params:
        coordinates = partial(plots.plot_parallel_coordinate, study, params, **color)
        yield _spec("parallel-coordinates", coordinates)
        yield _spec("slice", partial(plots.plot_slice, study, params, **value), SLICE, log_y=log)
    if len(params) > 1:
        yield _spec("contour", partial(plots.plot_contour, study, params, **color), SQUARE)
        yield _spec("rank", partial(plots.plot_rank, study, params, **value), SQUARE)
    yield _spec("edf", partial(plots.plot_edf, study, **color))
    yield _spec("timeline", partial(plots.plot_timeline, study))
    if len(objectives) == 1:
        intermediate = partial(plots.plot_intermediate_values, study)
        yield _spec("intermediate-values", intermediate, log_y=log, labels=("epoch", name))
    for index, objective in enumerate(objectives[1:], start=1):
        front = partial(
            plots.plot_pareto_front,
            study,
            target_names=[name, LABELS[objective]],
            targets=partial(_pair, index),
        )
        yield _spec("pareto-front", front, suffix=f"-{objective}", log_x=log)


def _pair(index: int, trial: optuna.trial.FrozenTrial) -> tuple[float, float]:
    return trial.values[0], trial.values[index]


def _spec(
    name: str,
    plot: Plot,
    size: tuple[float, float] = WIDE,
    suffix: str = "",
    **axes: Any,
) -> FigureSpec:
    """Return the figure `name`; `axes` are arguments of `draw`."""
    title, look, limit = CAPTIONS[name]
    drawing = partial(draw, title, plot, size, **axes)
    return FigureSpec(f"search/{name}{suffix}", drawing, look, limit, core=name in CORE)


def _label_decades(axis: Axis) -> None:
    """Label few numbers of a small logarithmic axis, so that they do not overlap."""
    from matplotlib.axis import XAxis
    from matplotlib.ticker import LogLocator, NullFormatter

    if axis.get_scale() == "log":
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1, 3) if high < 100 * low else (1,)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
        if isinstance(axis, XAxis):
            axis.set_tick_params(rotation=45)


def draw(
    title: str,
    plot: Plot,
    size: tuple[float, float],
    *,
    log_x: bool = False,
    log_y: bool = False,
    labels: tuple[str, str] | None = None,
) -> Figure:
    """Draw one of Optuna's plots.

    Args:
        plot: returns the axes.
        size: inches.
        log_x, log_y: whether the x and the y axes are logarithmic.
        labels: of x and y; Optuna's own if None.
    """
    import matplotlib as mpl
    import numpy as np
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator
    from optuna.exceptions import ExperimentalWarning

    from experiments.figures.plots import style

    # 1. Optuna draws with pyplot and a style sheet of its own: undo both.
    settings = {
        "figure.figsize": size,
        "figure.dpi": style.DPI,
        "axes.facecolor": "#E5E5E5",  # as in Optuna's style sheet
        "figure.constrained_layout.use": True,
    }
    plt.switch_backend("agg")
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", message="The figure layout has changed")
        axes = np.array(plot(), object).ravel()
        fig: Figure = axes[0].figure
        plt.close(fig)

    # 2. One title, whole numbers of trials, scales, labels, and no long legend.
    for ax in axes:
        for position in ("left", "center"):
            ax.set_title("", loc=position)
        if ax.get_xlabel() in ("Trial", "Step"):
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if log_x:
            ax.set_xscale("log")
        if log_y:
            ax.set_yscale("log")
        if labels:
            ax.set(xlabel=labels[0], ylabel=labels[1])
        if len(axes) > 1:
            for axis in (ax.xaxis, ax.yaxis):
                _label_decades(axis)
        legend = ax.get_legend()
        if legend and len(legend.get_texts()) > MAX_LEGEND:
            legend.remove()
    fig.suptitle(title, fontsize=14, fontweight="bold", color=style.INK)
    fig.set_layout_engine("constrained")
    return fig
