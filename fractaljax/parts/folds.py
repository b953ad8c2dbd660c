"""What is measured while a network trains.

From the first loss that is not finite on, training has failed for good: every fold here reads
the rest of the steps in a closed form of its own, so that a reading never depends on how long
the neighbours of a network run.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fractaljax.errors import FractaljaxError, unknown
from fractaljax.registry import register
from fractaljax.types import Array, Fold, Snapshot, Tree

STATUS = ("converged", "bounded", "oscillating", "diverged", "nonfinite")  # codes 0 to 4


class _Measure(NamedTuple):
    first: Array  # loss at step 0
    total: Array  # sum of v
    inverse: Array  # sum of 1 / v
    tail: Array  # sum of v over the last steps
    left: Array  # steps not yet taken
    alive: Array
    peak: Tree  # largest v; () unless the rule is `bounded`


@register("fold", "measure")
def measure(rule: str = "tail", tail: int = 20, cap: float = 1e6) -> Fold:
    """The paper's convergence measure: minus the summed loss, or plus the summed inverse.

    With `v_t = loss_t / loss_0`: `-sum(v)` where the mean of the last `tail` values is below 1,
    else `+sum(1 / v)` (arXiv:2402.06184, section 2 and its notebook). A loss that is not finite
    counts as `cap`, and `v` is at most `cap`.

    Args:
        rule: what converged means: `tail`, as above; `bounded`: no `v` reached `cap`
            (Liu, arXiv:2406.13971).
        tail: steps over which oscillations are averaged.
        cap: what a diverged loss counts as.
    """
    _check_tail(tail)
    if rule not in ("tail", "bounded"):
        raise unknown("rule", rule, ("tail", "bounded"))
    if rule == "bounded" and tail != 20:
        raise FractaljaxError(f"tail={tail} is not read: rule is bounded")

    def init(params: Tree, steps: int) -> _Measure:
        zero = _zero(params)
        left, alive = jnp.full((), steps, jnp.int32), jnp.ones((), bool)
        return _Measure(zero, zero, zero, zero, left, alive, zero if rule == "bounded" else ())

    def update(c: _Measure, s: Snapshot) -> _Measure:
        first = jnp.where(s.t == 0, jnp.where(jnp.isfinite(s.loss), s.loss, cap), c.first)
        alive = jnp.isfinite(s.loss)
        v = jnp.where(alive, jnp.minimum(_ratio(s.loss, first), cap), 0)
        inverse = c.inverse + jnp.where(alive, 1 / v, 0)
        recent = c.tail + jnp.where(s.left <= tail, v, 0)
        peak = jnp.maximum(c.peak, v) if rule == "bounded" else ()
        return _Measure(first, c.total + v, inverse, recent, s.left - alive, alive, peak)

    def final(c: _Measure, steps: int) -> dict[str, Array]:
        v = jnp.minimum(_ratio(jnp.full_like(c.first, cap), c.first), cap)
        v = jnp.where(c.left > 0, v, 1)  # no step is left of most; 0 / v must not be 0 / 0
        total, inverse = c.total + c.left * v, c.inverse + c.left / v
        mean = (c.tail + jnp.minimum(c.left, tail) * v) / min(tail, steps)
        # a loss of 0 throughout has converged too, and must not read -0.0
        total = jnp.maximum(total, jnp.finfo(total.dtype).tiny)
        converged = mean < 1 if rule == "tail" else (c.left == 0) & (c.peak < cap)
        return {"measure": jnp.where(converged, -total, inverse)}

    return Fold(init, update, lambda c: ~c.alive, final)


def _ratio(loss: Array, first: Array) -> Array:
    """`loss / first`, where a loss of zero is zero also over zero."""
    return jnp.where(loss == 0, 0, loss / first)


class _Status(NamedTuple):
    first: Array
    last: Array  # loss one step before
    rising: Array  # whether the loss rose last time
    turns: Array  # changes of direction in the tail
    tail: Array
    code: Array  # of a failure; 0 while there is none
    at: Array  # step of the failure, -1 while there is none


@register("fold", "status")
def status(
    rule: str = "either", loss_limit: float = 1e6, norm_limit: float = 1e6, tail: int = 20
) -> Fold:
    """How training ended: `status` (0 converged, 1 bounded, 2 oscillating, 3 diverged, 4 not
    finite) and `diverged_at`, the step at which it failed, or -1.

    Converged: the mean loss of the last `tail` steps is below the first loss (as in `measure`).
    Of the rest, oscillating: the loss turned in at least half of these steps; bounded: it did
    not. Diverged: a limit was crossed first; not finite: the loss was NaN or infinite first.

    Args:
        rule: limit that counts: loss, norm or either.
        loss_limit: largest loss.
        norm_limit: largest Frobenius norm of one layer's weights.
        tail: steps looked at in the end.
    """
    _check_tail(tail)
    if rule not in ("loss", "norm", "either"):
        raise unknown("rule", rule, ("loss", "norm", "either"))
    unread = {"loss": ("norm_limit", norm_limit), "norm": ("loss_limit", loss_limit)}.get(rule)
    if unread and not (isinstance(unread[1], float) and unread[1] == 1e6):
        raise FractaljaxError(f"{unread[0]}={unread[1]} is not read: rule is {rule}")

    def init(params: Tree, steps: int) -> _Status:
        zero, count = _zero(params), jnp.zeros((), jnp.int32)
        return _Status(zero, zero, jnp.zeros((), bool), count, zero, count, count - 1)

    def update(c: _Status, s: Snapshot) -> _Status:
        over = jnp.zeros((), bool)
        if rule != "norm":
            over |= s.loss > loss_limit
        if rule != "loss":
            squares = [jnp.sum(w**2) for w in jax.tree.leaves(s.params) if w.ndim > 1]
            over |= jnp.max(jnp.stack(squares)) > norm_limit * norm_limit
        code = jnp.where(jnp.isfinite(s.loss), jnp.where(over, 3, 0), 4).astype(jnp.int32)
        first = jnp.where(s.t == 0, s.loss, c.first)
        rising, recent = s.loss > c.last, s.left <= tail
        turned = recent & (s.t >= 2) & (rising != c.rising)
        total = c.tail + jnp.where(recent, s.loss, 0)
        at = jnp.where(code > 0, s.t, -1)
        return _Status(first, s.loss, rising, c.turns + turned, total, code, at)

    def final(c: _Status, steps: int) -> dict[str, Array]:
        seen = min(tail, steps)
        kept = jnp.where(c.turns * 2 >= seen, 2, 1)
        code = jnp.where(
            c.code > 0, c.code, jnp.where((c.tail / seen < c.first) | (c.tail == 0), 0, kept)
        )
        return {"status": code.astype(jnp.uint8), "diverged_at": c.at}

    return Fold(init, update, lambda c: c.code > 0, final)


class _Last(NamedTuple):
    value: Array
    alive: Array


@register("fold", "final_loss")
def final_loss() -> Fold:
    """The loss at the last step, before its update; infinite once a loss was not finite."""

    def init(params: Tree, steps: int) -> _Last:
        return _Last(_zero(params), jnp.ones((), bool))

    def update(c: _Last, s: Snapshot) -> _Last:
        alive = jnp.isfinite(s.loss)
        return _Last(jnp.where(alive, s.loss, jnp.inf), alive)

    return Fold(init, update, lambda c: ~c.alive, lambda c, steps: {"final_loss": c.value})


@register("fold", "probe")
def probe(seed: int = -1234567, cap: float = 1e6) -> Fold:
    """The network's first output on one Gaussian input at the last step, before its update.

    The published notebook's other readout, with its seed; `cap` where the loss or the output is
    not finite.
    """

    def init(params: Tree, steps: int) -> _Last:
        return _Last(_zero(params), jnp.ones((), bool))

    def update(c: _Last, s: Snapshot) -> _Last:
        weights = jax.tree.leaves(s.params[min(s.params)])[-1]
        with jax.ensure_compile_time_eval(), jax.enable_x64(True):  # the same in both precisions
            x = jax.random.normal(jax.random.key(seed), (1, weights.shape[0])).astype(weights.dtype)
        value = s.apply(s.params, x).ravel()[0]
        alive = jnp.isfinite(s.loss)
        return _Last(jnp.where(alive & jnp.isfinite(value), value, cap), alive)

    return Fold(init, update, lambda c: ~c.alive, lambda c, steps: {"probe": c.value})


class _History(NamedTuple):
    values: Array  # [K]
    alive: Array


@register("fold", "history")
def history(every: int = 10) -> Fold:
    """The loss at steps 0, `every`, 2 `every`, ...: `[K]`; infinite once it was not finite."""
    if every < 1:
        raise FractaljaxError(f"every={every}: at least 1")

    def init(params: Tree, steps: int) -> _History:
        # infinite until written: a failed network then needs no closed form
        return _History(
            jnp.full(-(-steps // every), jnp.inf, _zero(params).dtype), jnp.ones((), bool)
        )

    def update(c: _History, s: Snapshot) -> _History:
        alive = jnp.isfinite(s.loss)
        i = s.t // every
        now = alive & (s.t % every == 0)
        return _History(c.values.at[i].set(jnp.where(now, s.loss, c.values[i])), alive)

    return Fold(init, update, lambda c: ~c.alive, lambda c, steps: {"history": c.values})


def _zero(params: Tree) -> Array:
    return jnp.zeros((), jax.tree.leaves(params)[0].dtype)


def _check_tail(tail: int) -> None:
    if tail < 1:
        raise FractaljaxError(f"tail={tail}: at least 1 step")
