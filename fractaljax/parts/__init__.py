"""Registered components, one role a file. Importing this package registers them all.

A file here imports `types`, `registry` and `errors`, never the engine and never another file
that registers parts.
"""

from fractaljax.parts import datasets, folds, models, optimizers, problems, rules, schedules

__all__ = ["datasets", "folds", "models", "optimizers", "problems", "rules", "schedules"]
