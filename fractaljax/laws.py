"""The contract of a part as a callable: run it on every part of ours, and on your own.

import my_parts                      # registers model "wavelet"
from fractaljax import laws
laws.check("model", "wavelet")       # raises AssertionError with the law that is broken
"""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from fractaljax import registry
from fractaljax.engine import program, train
from fractaljax.engine.hparams import packed, unpacked
from fractaljax.engine.plan import mesh
from fractaljax.engine.streams import shared_draws
from fractaljax.errors import FractaljaxError
from fractaljax.pair import Course, Pair
from fractaljax.spec import MANY_ROLES, Part, Spec
from fractaljax.types import State, Tree
from fractaljax.window import Axis, Window

STEPS = 12  # enough for a fold's tail to begin and for momentum to matter
Alone = list[dict[str, jax.Array]]  # readings of one network a rate
GROWING = ("when", "where", "growth", "rates")  # roles of a network that grows
DRAWING = ("model", "problem", "teacher")  # roles that draw at random
PIXELS, CHUNK = 16, 4  # of the one program that all laws of scans run
RATES = (0.05, 5.0)  # one that converges on the default problem, one that need not


def check(role: str, name: str) -> None:
    """Proves a registered part, in otherwise default surroundings, in the current precision.

    Raises:
        AssertionError: names the law.
        FractaljaxError: the part is not registered, or refuses its own defaults.

    Example:
        >>> fj.laws.check("schedule", "cosine")
        >>> fj.laws.check("schedule", "cosin")
        Traceback (most recent call last):
        fractaljax.errors.FractaljaxError: unknown schedule 'cosin'. Did you mean 'cosine'? ...
    """
    if role == "colormap":
        raise FractaljaxError("a colour map is no part of a training; it has no laws here")
    registry.lookup(role, name)
    if role == "comparison":
        state_is_stable(pair_with(name))
        neighbours_do_not_matter(pair_with(name))
        return
    spec = with_part(role, name)
    refuses_unknown(spec)
    every_axis_traces(spec, role)
    state_is_stable(spec)
    if role not in (*GROWING, "metric"):  # one reads a training; the others are slow to compile
        alone = by_themselves(spec)
        batch_equals_loop(spec, alone)
        scan_equals_train(spec, alone)
    if role in DRAWING:
        draws_are_the_seeds(spec)
    neighbours_do_not_matter(spec)
    axes_train_as_settings(spec, role)


def check_together(spec: Spec) -> None:
    """Proves the laws for all parts of a Spec side by side, in its precision.

    Where they do not hold, `check` tells for each part whether it is the one.

    Raises:
        AssertionError: names the law.

    Example:
        >>> fj.prepare("float64")
        >>> problem = fj.Part("random_regression", points=6, inputs=2)
        >>> spec = fj.Spec(model=fj.Part("linear"), problem=problem, steps=5, dtype="float64")
        >>> fj.laws.check_together(spec)
    """
    axes_trace_together(spec)
    state_is_stable(spec)
    if not (spec.growth or spec.rates or spec.metric):
        scan_equals_train(spec)  # a chunk of a scan is the batch of law 3
    draws_are_the_seeds(spec)
    neighbours_do_not_matter(spec)


def with_part(role: str, name: str, spec: Spec | None = None) -> Spec:
    """A small Spec with this part in it, of a linear network where the part needs one."""
    if spec is None:
        problem = Part("random_regression", points=8, inputs=4)
        dtype = "float64" if jax.config.values["jax_enable_x64"] else "float32"
        spec = Spec(model=Part("mlp", width=4), problem=problem, steps=STEPS, dtype=dtype)
        if role == "stopping":  # two steps an epoch, the last batch smaller; six epochs
            held = {"validation": 4, "batch": 5, "sampling": "passes"}
            problem = Part(problem.name, **dict(problem.args) | held)
            spec = dataclasses.replace(spec, problem=problem, fold=())
        if role in GROWING:  # the network grows after every fourth step
            model = Part("masked_mlp", widths=(6, 4, 5), start=(4, 0, 3), density=0.5)
            growth = () if role == "growth" else (Part("embedded"),)
            when = Part("every", epochs=4) if growth and role != "when" else None
            spec = dataclasses.replace(spec, model=model, growth=growth, when=when)
        if role in ("teacher", "metric", "callback"):
            spec = _linear(spec, name if role == "teacher" else "diagonal")
    if role == "teacher":
        return spec
    part = Part(name)
    more = {"evaluations": 3} if role == "metric" else {}
    return dataclasses.replace(spec, **{role: (part,) if role in MANY_ROLES else part}, **more)


def pair_with(name: str) -> Pair:
    """A small Pair with this comparison."""
    spec = dataclasses.replace(with_part("teacher", "diagonal"), fold=())
    return Pair(spec, spec.updated({"batch_seed": 1}), (Part(name),), 3)


def _linear(spec: Spec, matrix: str) -> Spec:
    sizes = {"in_dim": 3, "out_dim": 3, "train_samples": 12, "test_samples": 6}
    problem = Part("teacher", matrix=matrix, batch=4, sampling="replacement", **sizes)
    model = Part("deep_linear", num_hidden=1, hidden_dim=4)
    return dataclasses.replace(spec, model=model, problem=problem)


def refuses_unknown(spec: Spec) -> None:
    """Law 1 and 2: an argument that no factory has is refused, with the path."""
    for prefix, part in spec.parts():
        role = prefix.split(".")[0]
        wrong = Part(part.name, **dict(part.args) | {"no_such_argument": 1})
        others = tuple(p for p in getattr(spec, role) if p != part) if role in MANY_ROLES else ()
        try:
            dataclasses.replace(spec, **{role: (*others, wrong) if role in MANY_ROLES else wrong})
        except FractaljaxError as error:
            assert f"{prefix}.no_such_argument" in str(error), f"law 1: no path in: {error}"
        else:
            raise AssertionError(f"law 2: {role} '{part.name}' takes an argument that it has not")


def state_is_stable(spec: Course) -> None:
    """Law 7: the carried state is arrays only, and a step keeps its structure and dtypes."""
    course, t = program.course_of(spec), jnp.int32(0)
    draws = course.drawn(spec, course.common(spec, ()), {}, None)

    def stepped(state: Tree) -> Tree:
        state = course.step(spec, {}, draws, t, course.evaluate(spec, {}, draws, t, state))
        state = course.look(spec, {}, draws, t, state)
        return state if isinstance(spec, Pair) else train.growing(spec, {}, draws)(t, state)

    start = jax.eval_shape(lambda: course.begin(spec, {}, draws))
    after = jax.eval_shape(stepped, start)
    same = jax.tree.structure(start) == jax.tree.structure(after)
    assert same, "law 7: a step changes the structure of the state"
    pairs = zip(jax.tree.leaves(start), jax.tree.leaves(after), strict=True)
    for a, b in pairs:
        assert (a.shape, a.dtype) == (b.shape, b.dtype), f"law 7: a step turns {a} into {b}"
    floats = [x for x in jax.tree.leaves(start) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert all(x.dtype == spec.dtype for x in floats), f"law 7: the state leaves {spec.dtype}"


def by_themselves(spec: Spec) -> Alone:
    """Readings of one network a rate, each trained without neighbours."""
    data, key, path = shared_draws(spec).data, jax.random.key(spec.seed), _rate(spec)
    single = jax.jit(lambda rate: train.train(spec, {path: rate}, key, data))
    return [single(rate) for rate in jnp.asarray(RATES, spec.dtype)]


def batch_equals_loop(spec: Spec, alone: Alone | None = None) -> None:
    """Law 3: `vmap(train)` gives what a loop over `train` gives."""
    data, key, path = shared_draws(spec).data, jax.random.key(spec.seed), _rate(spec)
    batched = jax.vmap(lambda rate: train.train(spec, {path: rate}, key, data))
    batch = jax.jit(batched)(jnp.asarray(RATES, spec.dtype))
    for i, readings in enumerate(alone or by_themselves(spec)):
        for name, value in readings.items():
            _close(batch[name][i], value, spec.dtype, f"law 3: {name} at rate {RATES[i]}")


def scan_equals_train(spec: Spec, alone: Alone | None = None) -> None:
    """Laws 3 and 4: a pixel of a scan is the network that `train` trains with the same seed."""
    window = Window(Axis(_rate(spec), *RATES, n=2, scale="linear"))  # these rates to the last bit
    pixels = scanned(spec)(window.points(window.tiles(0)[0]))
    for i, readings in enumerate(alone or by_themselves(spec)):
        for name, value in readings.items():
            _close(pixels[name][i], value, spec.dtype, f"law 4: {name} at rate {RATES[i]}")


def scanned(spec: Course) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A scan over the rate, of up to `PIXELS` networks in several chunks."""
    return program.compile_tile(spec, (_rate(spec),), PIXELS, CHUNK, mesh()).run


def draws_are_the_seeds(spec: Spec) -> None:
    """Laws 4 and 5: data and initial weights are a function of the seed alone."""
    draw = shared_draws.__wrapped__  # afresh, as another process would
    one, two = draw(spec), draw(spec)
    for what in ("data", "weights"):
        pairs = zip(*(jax.tree.leaves(getattr(draws, what)) for draws in (one, two)), strict=True)
        same = all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)
        assert same, f"law 4: {what} that are drawn twice with one seed differ"


def neighbours_do_not_matter(spec: Course) -> None:
    """Law 3: a reading does not depend on how long the neighbours run, nor on the place."""
    window = Window(Axis(_rate(spec), 1e-2, 1e4, PIXELS))
    points, run = window.points(window.tiles(0)[0]), scanned(spec)
    forward = run(points)
    backward = {k: v[::-1] for k, v in run(points[::-1]).items()}
    alone = [run(points[i : i + 1]) for i in range(len(points))]
    for name, values in forward.items():
        assert np.array_equal(values, backward[name], equal_nan=True), (
            f"law 3: {name} depends on the order"
        )
        single = np.concatenate([a[name] for a in alone])
        assert np.array_equal(values, single, equal_nan=True), (
            f"law 3: {name} depends on the neighbours"
        )


def every_axis_traces(spec: Spec, role: str) -> None:
    """Law 1: every argument of a role that says it may be an axis is one, alone."""
    for path, value in _axes(spec).items():
        if path.split(".")[0] == role:
            with contextlib.suppress(_Refused):
                _trace(spec, {path: value})


def axes_trace_together(spec: Spec) -> None:
    """Law 1: all arguments that may be axes are so at the same time, but for those that a Spec
    refuses beside others."""
    axes = _axes(spec)
    while axes:
        try:
            return _trace(spec, axes)
        except _Refused as refused:
            del axes[refused.path]


def axes_train_as_settings(spec: Spec, role: str | None = None) -> None:
    """Law 1: a value that an axis brings trains as the same value as a setting, bit for bit.

    Operation by operation: whether a compiler rounds `a * b + c` once or twice depends on what is
    constant, and is not ours to say (`tests/engine/test_scalar.py` bounds what that makes).

    Args:
        role: the arguments of its parts alone (default: of all parts).
    """
    values = {k: v for k, v in _settable(spec).items() if role in (None, k.split(".")[0])}
    while values:
        try:
            broken = _otherwise(spec, values)
            break
        except _Refused as refused:
            del values[refused.path]
    else:
        return
    if broken:
        alone = [path for path, value in values.items() if _otherwise(spec, {path: value})]
        named = " and ".join(alone or values)
        raise AssertionError(f"law 1: {named} trains otherwise as an axis than as a setting")


def _settable(spec: Spec) -> dict[str, float]:
    """The paths that may be axes and a value for each, which float32 has to round and with which
    something happens; without those that a Spec does not take beside the others."""
    found: dict[str, float] = {}
    for path, default in _axes(spec).items():
        for value in (0.9137 * (default or 0.3), default or 0.3):
            with contextlib.suppress(FractaljaxError):
                spec.updated(found | {path: value})
                found[path] = value
                break
    return found


def _otherwise(spec: Spec, values: dict[str, float]) -> bool:
    """Whether two steps end elsewhere with these values as axes than with them as settings."""
    setting, names = spec.updated(values), tuple(values)
    draws = shared_draws(setting)
    travelled = packed(np.array([list(values.values())]), names, spec.dtype)[0]
    ends = []
    for hparams in ({}, unpacked(names, jnp.asarray(travelled))):
        with _refusals(names):
            state: State = train.begin(setting, hparams, draws)
            for t in range(2):
                state = train.step(setting, hparams, draws, jnp.int32(t), state)
            state = train.growing(setting, hparams, draws)(jnp.int32(2), state)
            ends.append((state, train.reading(setting, hparams, state)))
    leaves = zip(*map(jax.tree.leaves, ends), strict=True)
    return not all(np.array_equal(a, b, equal_nan=True) for a, b in leaves)


class _Refused(Exception):
    """An axis that a Spec refuses with a reason (a knob nobody would read): allowed."""

    def __init__(self, path: str):
        self.path = path


def _axes(spec: Spec) -> dict[str, float]:
    """The paths that say they may be axes, and a value for each."""
    found = {}
    for prefix, part in spec.parts():
        for argument in registry.arguments(prefix.split(".")[0], part.name).values():
            if argument.traced:
                value = part[argument.name]
                found[f"{prefix}.{argument.name}"] = 0.5 if value is None else value
    return found


def _trace(spec: Spec, axes: dict[str, float]) -> None:
    """The paths as tracers: the program is traced, and its readings have the Spec's dtype."""
    draws = shared_draws(spec)

    def last(values: dict[str, jax.Array]) -> Tree:
        state: State = train.begin(spec, values, draws)
        state = train.step(spec, values, draws, jnp.int32(0), state)
        state = train.look(spec, values, draws, jnp.int32(0), state)
        state = train.growing(spec, values, draws)(jnp.int32(0), state)
        return train.reading(spec, values, state)

    names = tuple(axes)
    values = packed(np.zeros((1, len(names))), names, spec.dtype)[0]
    with _refusals(names):
        read = jax.eval_shape(lambda values: last(unpacked(names, values)), values)
    for name, value in read.items():
        if jnp.issubdtype(value.dtype, jnp.floating):
            assert value.dtype == spec.dtype, (
                f"law 7: {', '.join(names)}: {name} becomes {value.dtype}"
            )


@contextlib.contextmanager
def _refusals(paths: tuple[str, ...]) -> Iterator[None]:
    """What goes wrong while these paths are axes: a refusal with a reason, or a broken law."""
    names = ", ".join(paths)
    try:
        yield
    except FractaljaxError as error:
        path = _named(paths, str(error))
        assert path, f"law 1: none of {names} is named in: {error}"
        raise _Refused(path) from error
    except jax.errors.JAXTypeError as error:
        raise AssertionError(
            f"law 1: {names} says it may be an axis, but does not trace: {error}"
        ) from error
    except (TypeError, ValueError) as error:
        if "__jax_array__" not in str(error):
            raise
        raise AssertionError(
            f"law 1: {names} reaches a function of jax.lax; jnp.asarray(value) makes it an array"
        ) from error


def _named(axes: Iterable[str], message: str) -> str | None:
    """The path that a message names; or one of which it names the last word."""
    whole, last = [(path, path) for path in axes], [(path, path.split(".")[-1]) for path in axes]
    found = (p for p, word in whole + last if re.search(rf"\b{re.escape(word)}\b", message))
    return next(found, None)


def _rate(spec: Course) -> str:
    """A learning rate that the Spec has."""
    known = spec.a.paths() if isinstance(spec, Pair) else spec.paths()
    return "optimizer.lr_in" if "optimizer.lr_in" in known else "optimizer.lr"


def _close(a: jax.Array, b: jax.Array, dtype: str, where: str) -> None:
    """Equal up to rounding: batching may change the order of a sum."""
    tolerance = 1e-9 if dtype == "float64" else 1e-3
    same = np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
    assert same, f"{where}: batched {a}, alone {b}"
