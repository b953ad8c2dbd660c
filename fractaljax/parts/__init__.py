"""Registered components, one role a file. Importing this package registers them all.

A file here imports `types`, `registry` and `errors`, never the engine and never another file
that registers parts.
"""

from fractaljax.parts import (
    callbacks,
    comparisons,
    datasets,
    folds,
    metrics,
    models,
    optimizers,
    problems,
    rules,
    schedules,
    stopping,
    teacher,
    teachers,
)

__all__ = [
    "callbacks",
    "comparisons",
    "datasets",
    "folds",
    "metrics",
    "models",
    "optimizers",
    "problems",
    "rules",
    "schedules",
    "stopping",
    "teacher",
    "teachers",
]
