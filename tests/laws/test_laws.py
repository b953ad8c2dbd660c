"""Laws over the registry: adding a part adds a row to `covering`, never a test."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator

import covering
import jax
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
EACH = [pytest.param(spec, id=covering.title(spec)) for spec in covering.EACH]


@contextlib.contextmanager
def taken_apart(spec: Spec) -> Iterator[None]:
    """Where parts break a law together, says which of them breaks one alone."""
    try:
        yield
    except Exception as together:
        found = []
        for role, name in sorted(covering.parts_of([spec]) - {("problem", "teacher")}):
            try:
                laws.check(role, name)
            except Exception as alone:
                found.append(f"{role} '{name}': {type(alone).__name__}: {alone}")
        raise AssertionError(
            "\n".join(found) or f"no part alone, but together: {together!r}"
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


@pytest.fixture(scope="module")
def small_programs():
    """A program an operation, shared by many trainings: gibibytes in the end."""
    yield
    jax.clear_caches()


@pytest.mark.slow
@pytest.mark.usefixtures("small_programs")
@pytest.mark.parametrize("spec", EACH)
def test_an_axis_trains_as_the_setting(spec):
    """In float32; in float64 nothing is rounded on the way."""
    prepare("float32")
    laws.axes_train_as_settings(dataclasses.replace(spec, dtype="float32"))


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
    """Counted here without the generator of the array."""
    levels = {role: covering.named(role) for role in ("model", "optimizer", "problem", "schedule")}
    levels |= {role: [None, *covering.named(role)] for role in ("rule", "stopping")}
    for a, b in itertools.combinations(levels, 2):
        chosen = [(getattr(spec, a), getattr(spec, b)) for spec in covering.STILL]
        found = {tuple(part and part.name for part in parts) for parts in chosen}
        missing = set(itertools.product(levels[a], levels[b])) - found
        held_out = {("teacher", "patience"), ("rippled_parabola", "patience")}
        assert missing == (held_out if (a, b) == ("problem", "stopping") else set()), (a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_metrics_keep_the_laws(dtype):
    prepare(dtype)
    for name in registry.names("metric"):
        spec = laws.with_part("metric", name)
        laws.refuses_unknown(spec)
        laws.state_is_stable(spec)
        laws.every_axis_traces(spec, "metric")
        laws.axes_train_as_settings(spec, "metric")


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
    with (
        pytest.raises(AssertionError, match=r"^fold 'drops_precision': AssertionError: law 7"),
        taken_apart(spec),
    ):
        laws.check_together(spec)


def test_a_part_that_fails_is_named_too(monkeypatch):
    monkeypatch.setitem(registry._PARTS, "schedule", dict(registry._PARTS["schedule"]))

    @registry.register("schedule", "adds_text")
    def adds_text():
        """No number comes of it."""
        return lambda step, steps: step + "1"

    spec = laws.with_part("schedule", "adds_text")
    with (
        pytest.raises(AssertionError, match=r"^schedule 'adds_text': TypeError"),
        taken_apart(spec),
    ):
        laws.check_together(spec)


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ("optimizer.lr: not beside lr_in", "optimizer.lr"),
        ("lr is no axis here", "optimizer.lr"),
        ("steps must be whole", None),
    ],
)
def test_the_axis_that_a_refusal_names_is_found(message, path):
    axes = dict.fromkeys(("optimizer.lr_in", "optimizer.lr", "optimizer.eps"), 0.5)
    assert laws._named(axes, message) == path
