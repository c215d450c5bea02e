"""Checks shapes and dtypes in signatures while the tests run."""

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

TRAINING = ("device", "loop", "metrics", "optim")
CHECKED = ["models", "experiments.data.augment", "experiments.data.outlier_exposure"]
CHECKED += [f"experiments.training.{name}" for name in TRAINING]
CHECKED += ["experiments.evaluation", "experiments.figures.analysis", "experiments.figures.plots"]

check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, too


def check_signatures() -> None:
    """Check each call of a function in CHECKED; it must run before these modules are imported."""
    install_import_hook(CHECKED, f"{__name__}.check")
