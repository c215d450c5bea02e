"""Data, training, evaluation, search, tracking, registry, figures, and their commands."""

from experiments.core import process_env

process_env.prepare()  # here, since libraries read their switches when they are imported
