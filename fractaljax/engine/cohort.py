"""Members: networks of one training that end one by one, in a batch that shrinks with them.

All members are at the same epoch. They lie in *waves* of one chunk a device; after every look at
the validation data those that are spent leave, and as soon as one wave fewer will do the rest
moves together. The chunk is never changed: a member reads the same beside any neighbours.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fractaljax import contents
from fractaljax.engine import descent, growth, hosts, plan, program, train
from fractaljax.engine.hparams import packed, unpacked
from fractaljax.engine.program import PIXELS
from fractaljax.engine.streams import shared_draws
from fractaljax.engine.train import check_precision
from fractaljax.engine.update import masked
from fractaljax.errors import FractaljaxError
from fractaljax.spec import Part, Spec, build
from fractaljax.types import Array, Data, State, Tree

SAVE_EVERY_S = 30.0
CURVES = ("training", "validation", "accuracy", "edges")
# mean loss of an epoch as the gradient saw it; loss and accuracy of the looks at the validation
# data, else NaN; edges that exist, NaN where the model has no masks


class Member(NamedTuple):
    """How one training went."""

    readings: dict[str, float]  # of `engine.stopping` and `engine.growth`
    curves: dict[str, np.ndarray]  # CURVES -> [E], up to the end
    params: Tree  # weights of the best look; the first ones where no loss was finite
    masks: Tree  # which of them exist; () where all do
    ledger: np.ndarray  # [events, F]; `engine.growth.columns` names the columns


class Progress(NamedTuple):
    """What `on_look` hears after every look."""

    epoch: int
    epochs: int  # at most
    alive: int
    members: int
    trained: int  # epochs of members in this call
    seconds: float  # of this call


class Checkpoint(Protocol):
    """Where a cohort is kept while it trains."""

    def load(self) -> Mapping[str, np.ndarray] | None: ...
    def save(self, arrays: Mapping[str, np.ndarray]) -> None: ...


Start = tuple[Tree, Tree]  # params and masks


def _kind(leaf: Array) -> tuple[tuple[int, ...], str]:
    return tuple(leaf.shape), str(leaf.dtype)


class _Wave(NamedTuple):
    """One chunk a device; `ids` are -1 where there is no member any more."""

    ids: np.ndarray
    state: State  # on the devices, [lanes, ...]


class _Programs(NamedTuple):
    """Compiled for one wave; all arrays `[lanes, ...]`."""

    begin: Callable[..., State]  # (values, words)
    advance: Callable[..., tuple[State, Array, Array]]
    # (values, words, live, state, t, epochs) -> state, curve [lanes, K, CURVES], spent
    reading: Callable[..., dict[str, Array]]  # (values, words, state)


def train_cohort(
    spec: Spec,
    names: Sequence[str],
    points: np.ndarray,
    *,
    chunk: int | None = None,
    mesh: Mesh | None = None,
    checkpoint: Checkpoint | None = None,
    compact: bool = True,
    on_look: Callable[[Progress], Any] | None = None,
    on_event: Callable[[int, int, State], Any] | None = None,
    starts: Sequence[Start] | None = None,
) -> list[Member]:
    """Trains one network a point, each until its early stopping ends it.

    Args:
        spec: what to train, with `stopping`.
        names: canonical paths of the values of a point.
        points: `[P, A]` float64.
        chunk: networks side by side on one device (default: by backend and size).
        mesh: devices (default: all).
        checkpoint: where to go on from, and what is kept for that every 30 seconds.
        compact: whether members that ended make room; off only to measure what it saves.
        on_look: called after every look; whatever it raises ends the training, which is kept.
        on_event: called with member, epoch and state of each that has grown since the last look.
        starts: weights and masks of each member before its first step, instead of its own draw.

    Raises:
        FractaljaxError: precision, names or values are not possible, before anything compiles.
    """
    hosts.alone("a cohort of members")
    names = check(spec, names, points)
    mesh = plan.mesh() if mesh is None else mesh
    chunk = chunk or plan.cohort_chunk(spec, mesh)
    cohort = _Cohort(spec, names, points, chunk, mesh, compact, on_event)
    saved = checkpoint.load() if checkpoint else None
    if saved is None or not cohort.restore(saved):
        cohort.start(starts)
    began, clock = time.perf_counter(), time.perf_counter()
    try:
        while cohort.alive:
            cohort.advance()
            if checkpoint and cohort.alive and time.perf_counter() - clock > SAVE_EVERY_S:
                checkpoint.save(cohort.kept())
                clock = time.perf_counter()
            if on_look:
                on_look(cohort.progress(time.perf_counter() - began))
    except BaseException as error:
        if checkpoint and cohort.whole:
            checkpoint.save(cohort.kept())
        if program.out_of_memory(error):
            raise FractaljaxError(
                f"out of memory with {chunk} members side by side on a device; take a smaller chunk"
            ) from error
        raise
    return [cohort.ended[i] for i in range(len(points))]


def check(spec: Spec, names: Sequence[str], points: np.ndarray) -> tuple[str, ...]:
    """Canonical names; raises when these members cannot be trained."""
    check_precision(spec)
    if spec.stopping is None or spec.fold:
        raise FractaljaxError("stopping: members need it, and no fold: they end one by one")
    found = tuple(spec.traced(name) for name in names)
    if not np.isfinite(points).all():
        raise FractaljaxError("points: values of a member must be finite numbers")
    program.readings(spec, found)  # whatever a step refuses
    return found


def evaluate(
    spec: Spec, names: Sequence[str], points: np.ndarray, params: Sequence[Tree], data: Data
) -> dict[str, np.ndarray]:
    """`loss` and the other scores of the problem on some data, `[P]` each."""
    if not len(points):
        return {}
    names = tuple(spec.traced(name) for name in names)
    scored = _scorer(spec, names)
    data = jax.tree.map(jnp.asarray, data)
    rows = [
        jax.device_get(scored(jnp.asarray(values), weights, data))
        for values, weights in zip(packed(points, names, spec.dtype), params, strict=True)
    ]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def extrema(
    spec: Spec, names: Sequence[str], points: np.ndarray, found: Sequence[Member]
) -> np.ndarray:
    """Share of the hidden units that are dead or saturated in the end, `[P]`, as the Spec's `where`
    has it (default: as usual); NaN where the model has no masks."""
    share = np.full(len(points), np.nan)
    usual = spec if spec.where else dataclasses.replace(spec, growth=(Part("embedded"),), when=None)
    known = [i for i, name in enumerate(names) if name in usual.paths()]
    own = tuple(names[i] for i in known)
    extreme, values = growth.extreme_share(usual, own), packed(points[:, known], own, spec.dtype)
    for i, member in enumerate(found):
        if member.masks:
            share[i] = extreme(jnp.asarray(values[i]), member.params, member.masks)
    return share


def drawn(spec: Spec, names: Sequence[str], points: np.ndarray) -> list[Start]:
    """Weights and masks of members before their first step."""
    found = tuple(spec.traced(name) for name in names)
    common, words = program.common_of(spec, found), program.identity_words(spec, points)

    def begin(values: Array, words: Array) -> Start:
        hparams = unpacked(found, values)
        state = train.begin(spec, hparams, train.drawn(spec, common, hparams, words))
        return state.params, state.anatomy.masks if state.anatomy else ()

    values = packed(points, found, spec.dtype)
    lowered = program.lowered(spec, found, jax.jit(begin), values[0], words[0])
    compiled = lowered.compile()
    return [jax.device_get(compiled(*row)) for row in zip(values, words, strict=True)]


def gradient_flow(spec: Spec, names: Sequence[str], points: np.ndarray) -> dict[str, np.ndarray]:
    """Norm of the gradient on the training data before the first step, a layer, `[P]` each; of
    weights that exist."""
    names = tuple(spec.traced(name) for name in names)
    flow = _flow(spec, names)
    words = program.identity_words(spec, points)
    rows = [
        jax.device_get(flow(jnp.asarray(values), word))
        for values, word in zip(packed(points, names, spec.dtype), words, strict=True)
    ]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


@contents.derived(maxsize=16)
def _flow(spec: Spec, names: tuple[str, ...]) -> Callable[..., dict[str, Array]]:
    """`(values [A + S], words) -> layer -> norm` of one network."""
    common = program.common_of(spec, names)

    def norms(values: Array, words: Array) -> dict[str, Array]:
        hparams = unpacked(names, values)
        draws = train.drawn(spec, common, hparams, words)
        state = train.begin(spec, hparams, draws)
        grads = jax.grad(lambda p: descent.loss(spec, hparams, p, draws.whole))(state.params)
        if state.anatomy:
            grads = masked(grads, state.anatomy.masks)
        return {name: jnp.linalg.norm(own["kernel"]) for name, own in grads.items()}

    jitted, compiled = jax.jit(norms), []

    def run(values: Array, words: Array) -> dict[str, Array]:
        if not compiled:
            compiled.append(program.lowered(spec, names, jitted, values, words).compile())
        return compiled[0](values, words)

    return run


@functools.lru_cache(maxsize=16)
def _scorer(spec: Spec, names: tuple[str, ...]) -> Callable[..., dict[str, Array]]:
    """`(values [A + S], params, data) -> name -> score` of one network."""

    def scores(values: Array, params: Tree, data: Data) -> dict[str, Array]:
        hparams = unpacked(names, values)
        outputs = build(spec, "model", hparams).apply(params, data.x)
        problem = build(spec, "problem", hparams)
        others = {name: score(outputs, data.y) for name, score in problem.scores.items()}
        return {"loss": problem.loss(outputs, data.y), **others}

    return jax.jit(scores)


def looks(spec: Spec) -> np.ndarray:
    """The epochs after which the validation data are looked at, ascending."""
    epochs = spec.steps // epoch_length(spec)
    rule = build(spec, "stopping", {})
    every = jnp.arange(1, epochs + 1, dtype=jnp.int32)
    return 1 + np.flatnonzero(jax.vmap(lambda epoch: rule.due(epoch, epochs))(every))


def epoch_length(spec: Spec) -> int:
    """Steps of an epoch."""
    return descent.epoch_length(spec, {}, shared_draws(spec).data)


class _Cohort:
    """Members at one epoch, those that ended and those that go on."""

    def __init__(
        self,
        spec: Spec,
        names: tuple[str, ...],
        points: np.ndarray,
        chunk: int,
        mesh: Mesh,
        compact: bool,
        on_event: Callable[[int, int, State], Any] | None,
    ):
        self._spec, self._names, self._points = spec, names, points
        self._compact, self._on_event = compact, on_event
        self._events = np.zeros(len(points), int)
        self._shape, self._length = (mesh.size, chunk), epoch_length(spec)
        self._split = NamedSharding(mesh, P(PIXELS))
        self._looks, self._epochs = looks(spec), spec.steps // self._length
        longest = int(np.diff(self._looks, prepend=0).max(initial=1))
        self._programs = _compiled(spec, names, chunk, mesh, longest)
        self._epoch, self._trained = 0, 0
        self._waves: list[_Wave] = []
        self._curves = np.full((len(points), self._epochs, len(CURVES)), np.nan)
        self.ended: dict[int, Member] = {}
        self.whole = False  # whether all states are those after the same epoch

    @property
    def alive(self) -> int:
        return len(self._points) - len(self.ended)

    def start(self, starts: Sequence[Start] | None = None) -> None:
        """All members before their first step."""
        for ids in self._dealt(np.arange(len(self._points))):
            state = self._programs.begin(*self._placed(ids))
            if starts is not None:
                own = [starts[max(int(i), 0)] for i in ids]
                params, masks = jax.tree.map(lambda *leaves: np.stack(leaves), *own)
                anatomy = state.anatomy._replace(masks=masks)
                watch = state.watch._replace(
                    kept=state.watch.kept._replace(params=params, masks=masks)
                )
                state = state._replace(params=params, anatomy=anatomy, watch=watch)
                if (found := jax.tree.map(_kind, state)) != jax.tree.map(_kind, self._first()):
                    raise FractaljaxError(f"starts: other shapes than this network's: {found}")
                state = self._put(state)
            self._waves.append(_Wave(ids, state))
        self.whole = True

    def advance(self) -> None:
        """On to the next look; who is spent then leaves."""
        upto = int(self._looks[np.searchsorted(self._looks, self._epoch, side="right")])
        epochs, t = upto - self._epoch, self._epoch * self._length
        self.whole = False
        made = [
            self._programs.advance(
                *self._placed(w.ids), self._put(w.ids >= 0), w.state, np.int32(t), np.int32(epochs)
            )
            for w in self._waves
        ]
        self._waves = [
            _Wave(w.ids, state) for w, (state, _, _) in zip(self._waves, made, strict=True)
        ]
        for number, (_, curve, spent) in enumerate(made):
            ids, curve = self._waves[number].ids, np.asarray(curve)
            here = ids >= 0
            self._curves[ids[here], self._epoch : upto] = curve[here, :epochs]
            self._trained += epochs * int(here.sum())
            self._tell(self._waves[number], upto)
            gone = here & (np.asarray(spent) | (upto == self._epochs))
            if gone.any():
                self._leave(number, gone, upto)
        self._epoch, self.whole = upto, True
        if self._compact and -(-self.alive // math.prod(self._shape)) < len(self._waves):
            self._move_together()

    def progress(self, seconds: float) -> Progress:
        return Progress(
            self._epoch, self._epochs, self.alive, len(self._points), self._trained, seconds
        )

    def kept(self) -> dict[str, np.ndarray]:
        """Everything there is, to go on from."""
        ids, states = self._states()
        ended = sorted(self.ended)
        arrays: dict[str, np.ndarray] = {
            "epoch": np.array(self._epoch),
            "alive": ids,
            "curves": self._curves[:, : self._epoch],
            "ended": np.array(ended, int),
        }
        arrays |= {f"state_{i:03d}": leaf for i, leaf in enumerate(jax.tree.leaves(states))}
        for member in ended:
            one = self.ended[member]
            arrays |= {f"reading_{member}_{k}": np.array(v) for k, v in one.readings.items()}
            weights = jax.tree.leaves((one.params, one.masks, one.ledger))
            arrays |= {f"params_{member}_{i:03d}": leaf for i, leaf in enumerate(weights)}
        return arrays

    def restore(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Goes on from what was kept; whether that was of this cohort."""
        everyone = np.arange(len(self._points))
        shapes = self._first()
        structure = jax.tree.structure(shapes)
        try:
            ids = arrays["alive"]
            leaves = [arrays[f"state_{i:03d}"] for i in range(structure.num_leaves)]
            fits = all(
                leaf.shape == (len(ids), *shape.shape[1:]) and leaf.dtype == shape.dtype
                for leaf, shape in zip(leaves, jax.tree.leaves(shapes), strict=True)
            )
            ended = {int(i): self._restored(int(i), arrays, shapes) for i in arrays["ended"]}
            epoch = int(arrays["epoch"])
            self._curves[:, :epoch] = arrays["curves"]
        except (KeyError, ValueError):
            return False
        if not fits or sorted([*ended, *ids.tolist()]) != everyone.tolist():
            return False
        self._epoch, self.ended = epoch, ended
        for i, member in ended.items():
            upto = int(member.readings["stopped_epoch"])
            self.ended[i] = member._replace(curves=self._curve(i, upto))
        states = jax.tree.unflatten(structure, leaves)
        if states.anatomy:  # what has grown before was told before
            self._events[ids] = states.anatomy.events
        self._lay(ids, states)
        self.whole = True
        return True

    def _restored(self, i: int, arrays: Mapping[str, np.ndarray], shapes: State) -> Member:
        prefix = f"reading_{i}_"
        own = [name for name in arrays if name.startswith(prefix)]
        readings = {name.removeprefix(prefix): float(arrays[name]) for name in own}
        structure = jax.tree.structure((*shapes.watch.kept, np.zeros(0)))
        weights = [arrays[f"params_{i}_{n:03d}"] for n in range(structure.num_leaves)]
        params, masks, ledger = jax.tree.unflatten(structure, weights)
        return Member(readings, {}, params, masks, ledger)

    def _curve(self, member: int, upto: int) -> dict[str, np.ndarray]:
        return {name: self._curves[member, :upto, i].copy() for i, name in enumerate(CURVES)}

    def _tell(self, wave: _Wave, epoch: int) -> None:
        """`on_event` of the members of a wave that have grown."""
        if self._on_event is None or not wave.state.anatomy:
            return
        events = np.asarray(wave.state.anatomy.events)
        grown = np.flatnonzero((wave.ids >= 0) & (events > self._events[wave.ids]))
        if not len(grown):
            return
        state = jax.device_get(wave.state)  # whole: a slice of a leaf would be a program of its own
        for lane in grown:
            member = int(wave.ids[lane])
            self._events[member] = events[lane]
            own = jax.tree.map(lambda leaf, lane=lane: leaf[lane].copy(), state)
            self._on_event(member, epoch, own)

    def _leave(self, number: int, gone: np.ndarray, upto: int) -> None:
        """Members of a wave that are spent, or at the last epoch, end."""
        wave = self._waves[number]
        readings = jax.device_get(self._programs.reading(*self._placed(wave.ids), wave.state))
        kept, anatomy = jax.device_get((wave.state.watch.kept, wave.state.anatomy))
        for lane in np.flatnonzero(gone):
            member = int(wave.ids[lane])
            weights = jax.tree.map(lambda leaf, lane=lane: leaf[lane].copy(), kept)
            ledger = anatomy.ledger[lane, : anatomy.events[lane]] if anatomy else np.zeros((0, 0))
            self.ended[member] = Member(
                {name: float(values[lane]) for name, values in readings.items()},
                self._curve(member, upto),
                weights.params,
                weights.masks,
                ledger.copy(),
            )
        self._waves[number] = wave._replace(ids=np.where(gone, -1, wave.ids))

    def _move_together(self) -> None:
        """As few waves as will do."""
        ids, states = self._states()
        self._lay(ids, states)

    def _states(self) -> tuple[np.ndarray, State]:
        """Those that go on: who, and where they are, on the host."""
        if not self._waves:
            return np.zeros(0, int), jax.tree.map(lambda leaf: np.asarray(leaf)[:0], self._first())
        ids = np.concatenate([w.ids[w.ids >= 0] for w in self._waves])
        parts = [
            jax.tree.map(lambda leaf, w=w: np.asarray(leaf)[w.ids >= 0], w.state)
            for w in self._waves
        ]
        return ids, jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def _first(self) -> State:
        """The first wave before its first step: what states look like."""
        return self._programs.begin(*self._placed(self._dealt(np.arange(len(self._points)))[0]))

    def _lay(self, ids: np.ndarray, states: State) -> None:
        """Members into waves."""
        self._waves = []
        place = {int(member): row for row, member in enumerate(ids)}
        for lane_ids in self._dealt(ids):
            rows = [place.get(int(i), 0) for i in lane_ids]  # an empty lane holds any state
            state = jax.tree.map(lambda leaf, rows=rows: leaf[rows], states)
            self._waves.append(_Wave(lane_ids, self._put(state)))

    def _dealt(self, ids: np.ndarray) -> list[np.ndarray]:
        """Members by wave, `[lanes]` each; a device that has none does nothing."""
        waves = []
        devices, chunk = self._shape
        for start in range(0, len(ids), devices * chunk):
            lanes = np.full((chunk, devices), -1)  # to the devices in turn
            some = ids[start : start + devices * chunk]
            lanes.flat[: len(some)] = some
            waves.append(lanes.T.ravel())
        return waves

    def _placed(self, ids: np.ndarray) -> tuple[Array, Array]:
        """Values and words of the members of a wave, on the devices."""
        points = self._points[np.maximum(ids, 0)]
        words = program.identity_words(self._spec, points)
        values = packed(points, self._names, self._spec.dtype)
        return self._put(values), self._put(words)

    def _put(self, tree: Tree) -> Tree:
        return jax.device_put(tree, self._split)


def _seen(state: State) -> Array:
    """CURVES of one network at the end of an epoch."""
    watch = state.watch
    edges = growth.counts(state.anatomy)[0] if state.anatomy else jnp.nan
    found = (watch.training, watch.validation, watch.accuracy, edges)
    return jnp.stack([jnp.asarray(value, watch.training.dtype) for value in found])


@contents.derived(maxsize=2)  # each holds the data, once a device
def _compiled(
    spec: Spec, names: tuple[str, ...], chunk: int, mesh: Mesh, longest: int
) -> _Programs:
    """The programs of a wave; `longest` is the most epochs between two looks."""
    del chunk  # part of the key: programs are compiled for the shapes they first see
    common = program.common_of(spec, names)
    whole, length = NamedSharding(mesh, P()), epoch_length(spec)
    common = jax.tree.map(lambda leaf: jax.device_put(leaf, whole), common)

    def begin(values: Array, words: Array, common: Tree) -> State:
        return program.side_by_side(spec, names, common, values, words).begin()

    def reading(values: Array, words: Array, state: State, common: Tree) -> dict[str, Array]:
        return program.side_by_side(spec, names, common, values, words).reading(state)

    def advance(
        values: Array,
        words: Array,
        live: Array,
        state: State,
        t: Array,
        epochs: Array,
        common: Tree,
    ) -> tuple[State, Array, Array]:
        side = program.side_by_side(spec, names, common, values, words)

        def going(carry: tuple[Array, State, Array]) -> Array:
            return (carry[0] < epochs) & jnp.any(live)

        def one(carry: tuple[Array, State, Array]) -> tuple[Array, State, Array]:
            i, state, curve = carry
            state = side.stretch(t + i * length, length, state)
            return i + 1, state, curve.at[:, i].set(jax.vmap(_seen)(state))

        blank = jnp.full((values.shape[0], longest, len(CURVES)), jnp.nan, spec.dtype)
        start = jnp.zeros((), jnp.int32), state, blank
        _, state, curve = jax.lax.while_loop(going, one, start)
        return state, curve, side.settled(state)

    def sharded(function: Callable, *inputs: Any, donate: tuple[int, ...] = ()) -> Callable:
        mapped = jax.jit(
            jax.shard_map(
                function, mesh=mesh, in_specs=(*inputs, P()), out_specs=P(PIXELS), check_vma=False
            ),
            donate_argnums=donate,
        )

        compiled: list[Any] = []  # for the shapes of the first call: a wave has no others

        def run(*arguments: Any) -> Any:
            if not compiled:
                ready = program.lowered(spec, names, mapped, *arguments, common).compile()
                compiled.append(ready)
            return compiled[0](*arguments, common)

        return run

    split = P(PIXELS)
    return _Programs(
        sharded(begin, split, split),
        sharded(advance, split, split, split, split, P(), P(), donate=(3,)),
        sharded(reading, split, split, split),
    )
