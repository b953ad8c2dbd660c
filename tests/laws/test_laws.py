"""Laws over the registry: adding a part adds a row to `covering`, never a test."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator

import covering
import jax.numpy as jnp
import numpy as np
import pytest

from fractaljax import laws, registry
from fractaljax.families.fractal import prepare
from fractaljax.spec import Part, Spec
from fractaljax.types import Fold

READERS = ("metric", "comparison")  # they read a training, and are traced all at once
ROLES = [role for role in registry.ROLES if role not in (*READERS, "colormap")]
STILL = [pytest.param(spec, id=covering.title(spec)) for spec in covering.STILL]
GROWING = [pytest.param(spec, id=covering.title(spec)) for spec in covering.GROWING]


@contextlib.contextmanager
def taken_apart(spec: Spec) -> Iterator[None]:
    """Where parts break a law together, says which of them breaks one alone."""
    try:
        yield
    except AssertionError as together:
        found = []
        for role, name in sorted(covering.parts_of([spec]) - {("problem", "teacher")}):
            try:
                laws.check(role, name)
            except AssertionError as alone:
                found.append(f"{role} '{name}': {alone}")
        raise AssertionError(
            "\n".join(found) or f"no part alone, but together: {together}"
        ) from together


@pytest.mark.parametrize("spec", STILL)
def test_parts_keep_the_laws(spec):
    with taken_apart(spec):
        laws.check_together(spec)


@pytest.mark.slow
@pytest.mark.parametrize("spec", GROWING)
def test_growing_networks_keep_the_laws(spec):
    with taken_apart(spec):
        laws.check_together(spec)
    points = np.geomspace(1e-2, 1, laws.PIXELS)[:, None]
    assert laws.scanned(spec)(points)["events"].max() > 0, "nothing grew"


@pytest.mark.parametrize("spec", [*STILL, *GROWING])
def test_parts_keep_to_single_precision(spec):
    """Nothing widens; what is computed is proved above."""
    prepare("float32")
    spec = dataclasses.replace(spec, dtype="float32")
    with taken_apart(spec):
        laws.state_is_stable(spec)
        laws.axes_trace_together(spec)


@pytest.mark.parametrize("role", ROLES)
def test_every_axis_traces_alone_and_unknown_arguments_are_refused(role):
    for name in covering.named(role):
        spec = laws.with_part(role, name)
        laws.refuses_unknown(spec)
        laws.every_axis_traces(spec, role)


@pytest.mark.parametrize("role", ROLES)
def test_a_part_is_checked_by_its_name(role):
    """What `fractaljax.laws` offers to parts of others, for the first of ours in each role."""
    laws.check(role, covering.named(role)[0])


def test_every_part_is_in_a_training():
    found = covering.parts_of([*covering.STILL, *covering.GROWING])
    assert found >= {(role, name) for role in ROLES for name in covering.named(role)}


def test_every_pair_of_parts_is_in_a_training():
    """Of what can be combined freely; counted here without the generator of the array."""
    for a, b in itertools.combinations(("model", "optimizer", "problem", "schedule"), 2):
        found = {(getattr(s, a).name, getattr(s, b).name) for s in covering.STILL}
        assert found == set(itertools.product(covering.named(a), covering.named(b)))
    for role in ("rule", "stopping"):
        for other in ("model", "optimizer", "schedule"):
            found = {(getattr(s, role), getattr(s, other).name) for s in covering.STILL}
            assert len(found) == 2 * len(covering.named(other))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_metrics_keep_the_laws(dtype):
    prepare(dtype)
    for name in registry.names("metric"):
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


def test_a_part_that_breaks_a_law_is_caught_and_named(monkeypatch):
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
    spec = laws.with_part("fold", "drops_precision")
    with pytest.raises(AssertionError, match=r"^fold 'drops_precision': law 7"), taken_apart(spec):
        laws.check_together(spec)
