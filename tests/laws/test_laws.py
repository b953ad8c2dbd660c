"""Laws over the registry: adding a part adds a row here, never a test."""

import dataclasses

import jax.numpy as jnp
import pytest

from fractaljax import laws, registry
from fractaljax.families.fractal import prepare
from fractaljax.spec import Part
from fractaljax.types import Fold

ROWS = [
    (role, name)
    for role in registry.ROLES
    for name in registry.names(role)
    if name != "tfds"  # needs a data set on disk: see tests/parts/test_datasets.py
    and role != "colormap"
]
READERS = ("metric", "comparison")  # they read a training; compiled all at once, below
TRAINED = [
    pytest.param(*row, marks=pytest.mark.slow if row[0] in laws.GROWING else ())
    for row in ROWS
    if row[0] not in READERS
]


@pytest.mark.parametrize(("role", "name"), TRAINED)
def test_part_keeps_the_laws(role, name):
    laws.check(role, name)


@pytest.mark.slow
@pytest.mark.parametrize(("role", "name"), TRAINED)
def test_part_keeps_to_single_precision(role, name):
    """Nothing widens; what it computes is proved above."""
    prepare("float32")
    spec = laws.with_part(role, name)
    assert spec.dtype == "float32"
    laws.state_is_stable(spec)
    laws.every_axis_traces(spec, role)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", registry.names("metric"))
def test_metric_keeps_the_laws(name, dtype):
    prepare(dtype)
    spec = laws.with_part("metric", name)
    laws.refuses_unknown(spec)
    laws.state_is_stable(spec)
    laws.every_axis_traces(spec, "metric")


TOGETHER = ("grad_norm_squared", "trace_gradient_covariance")  # parts of the others' readings


@pytest.mark.parametrize("left_out", ["trace_covariances", "gradient_stats"])
def test_metrics_do_not_depend_on_neighbours(left_out):
    names = set(registry.names("metric")) - {left_out, *TOGETHER}
    spec = laws.with_part("metric", "test_loss")
    spec = dataclasses.replace(spec, metric=tuple(Part(name) for name in sorted(names)))
    laws.neighbours_do_not_matter(spec)


def test_comparisons_keep_the_laws():
    names = registry.names("comparison")
    pair = laws.pair_with(names[0])
    pair = dataclasses.replace(pair, comparison=tuple(Part(name) for name in names))
    laws.state_is_stable(pair)
    laws.neighbours_do_not_matter(pair)


# every model with every optimiser, and each of them with every rule
RULES = (None, *registry.names("rule"))
FITTED = [
    (model, optimizer, RULES[(i + j) % len(RULES)])
    for i, model in enumerate(registry.names("model"))
    for j, optimizer in enumerate(registry.names("optimizer"))
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "optimizer", "rule"), FITTED)
def test_parts_fit_together(model, optimizer, rule):
    """All folds at once."""
    folds = tuple(Part(name) for name in registry.names("fold"))
    spec = laws.with_part("optimizer", optimizer, laws.with_part("model", model))
    spec = dataclasses.replace(spec, fold=folds, rule=Part(rule) if rule else None, steps=3)
    laws.state_is_stable(spec)
    laws.batch_equals_loop(spec)


def test_a_part_that_breaks_a_law_is_caught(monkeypatch):
    """Laws can fail."""
    monkeypatch.setitem(registry._PARTS, "fold", dict(registry._PARTS["fold"]))

    @registry.register("fold", "drops_precision")
    def drops_precision() -> Fold:
        """Its carry changes its dtype."""
        return Fold(
            init=lambda params, steps: jnp.zeros((), jnp.float32),
            update=lambda c, s: c + s.loss,
            settled=lambda c: jnp.zeros((), bool),
            final=lambda c, steps: {"drops_precision": c},
        )

    with pytest.raises(AssertionError, match="float32"):
        laws.check("fold", "drops_precision")
