"""Registered components, one role a file. Importing this package registers them all.

A file here imports `types`, `registry` and `errors`, never the engine and never another file
that registers parts.
"""

from fractaljax.parts import (
    callbacks,
    comparisons,
    datasets,
    folds,
    growth,
    masked,
    metrics,
    models,
    optimizers,
    problems,
    rates,
    rewiring,
    rules,
    schedules,
    stopping,
    synthetic,
    teacher,
    teachers,
    tournament,
    when,
    where,
)

__all__ = [
    "callbacks",
    "comparisons",
    "datasets",
    "folds",
    "growth",
    "masked",
    "metrics",
    "models",
    "optimizers",
    "problems",
    "rates",
    "rewiring",
    "rules",
    "schedules",
    "stopping",
    "synthetic",
    "teacher",
    "teachers",
    "tournament",
    "when",
    "where",
]
