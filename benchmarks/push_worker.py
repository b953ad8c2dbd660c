"""One variant of `push.py`, in this process: the engine with something replaced.

A JSON object says what; the process says `ready` once it has compiled, and answers every line with
the network-steps a second of one more training.
"""

import functools
import json
import math
import sys
import time
import types
from collections.abc import Callable

import ceilings
import jax
import jax.numpy as jnp
import numpy as np
import trainings
from jax.sharding import PartitionSpec as P

from fractaljax.engine import plan, program, train
from fractaljax.engine.streams import shared_draws
from fractaljax.parts import models

STEPS, SIDE, WHOLE_SIDE = 500, 16, 32


def main() -> None:
    setting = json.loads(sys.argv[1])
    rate = members(setting["compact"]) if "compact" in setting else networks(setting)
    rate()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(rate(), flush=True)


def members(compact: bool) -> Callable[[], float]:
    """Epochs of members a second, as `transfer.py` measures compaction."""
    import transfer

    child = transfer.Child(f"compacted:{'yes' if compact else 'no'}")
    return lambda: child.round()["rate"]


def networks(setting: dict) -> Callable[[], float]:
    """Network-steps a second over the window."""
    if "cores" in setting:
        ceilings.pin(setting["cores"])
    if "devices" in setting:
        plan.prepare(setting["dtype"], setting["devices"])
    training = chosen(setting)
    if setting.get("own"):
        own = {"redraw": True, "draws": "fold_in"}
        training = training._replace(spec=training.spec.updated(own))
    replace(setting)
    chunk = setting.get("chunk", training.chunk)
    if setting.get("run") == "by_hand":
        run = by_hand(training, chunk)
        expect_same(run(), training, chunk)
    else:
        spec, names, points, _ = training
        kernel = setting.get("kernel", program.XLA)
        tile = program.compile_tile(spec, names, len(points), chunk, plan.mesh(), kernel)
        run = functools.partial(tile.run, training.points)

    def rate() -> float:
        clock = time.perf_counter()
        run()
        return training.network_steps / (time.perf_counter() - clock)

    return rate


def chosen(setting: dict) -> trainings.Training:
    if "network" in setting:
        return trainings.TRAININGS[setting["network"]](setting["dtype"])
    calm = setting.get("calm", True)
    return trainings.paper(setting["dtype"], STEPS, SIDE if calm else WHOLE_SIDE, calm)


def replace(setting: dict) -> None:
    """Puts other constants and parts into the engine of this process."""
    if "stride" in setting:
        program.STEPS_A_CHECK = setting["stride"]
    if "unroll" in setting:
        plain = jax.lax.fori_loop

        def fori_loop(lower, upper, body, state):
            known = isinstance(upper, int) and upper % setting["unroll"] == 0
            return plain(lower, upper, body, state, unroll=setting["unroll"] if known else None)

        jax.lax.fori_loop = fori_loop
    if "by_points" in setting:
        models.Dense = functools.partial(_dense, models.Dense, setting["by_points"] == "everywhere")
    if "options" in setting:
        lowered = program.lowered

        def with_options(*arguments):
            compile = functools.partial(lowered(*arguments).compile, setting["options"])
            return types.SimpleNamespace(compile=compile)

        program.lowered = with_options
    if not setting.get("exit", True):
        train.settled = lambda spec, hparams, state: jnp.zeros((), bool)


def _dense(layer, by_points: bool, multiplier, bias, usual=False, **named):
    del usual
    return layer(multiplier, bias, by_points, **named)


def by_hand(training: trainings.Training, chunk: int) -> Callable[[], np.ndarray]:
    """The same training without early exit, in plain JAX with gradients derived by hand; gives the
    measure of networks that converge, `[P]`."""
    spec, draws, mesh = training.spec, shared_draws(training.spec), plan.mesh()
    x, y = draws.data.x, draws.data.y[:, 0]
    first, last = (draws.weights[f"layer_00{i}"]["kernel"] for i in (0, 1))
    points, inputs = x.shape
    hidden = first.shape[1]
    gain = math.sqrt(2 / inputs)

    def step(rates, t, carry):
        w, v, start, total = carry  # [C, I, H], [C, H], [C], [C]
        h = jnp.tanh(gain * jnp.einsum("cih,ni->chn", w, x))
        error = jnp.einsum("chn,ch->cn", h, v) / hidden - y
        loss = jnp.mean(error**2, axis=1)
        start = jnp.where(t == 0, loss, start)
        back = error * (2 / (points * hidden))
        inner = (back[:, None, :] * v[:, :, None]) * (gain * (1 - h * h))
        w = w - rates[:, 0, None, None] * jnp.einsum("chn,ni->cih", inner, x)
        v = v - rates[:, 1, None] * jnp.einsum("chn,cn->ch", h, back)
        return w, v, start, total + loss / start

    def several(rates):
        zero = jnp.zeros(chunk, x.dtype)
        many = (jnp.broadcast_to(a, (chunk, *a.shape)) for a in (first, last[:, 0]))
        loop = functools.partial(step, rates)
        return -jax.lax.fori_loop(0, spec.steps, loop, (*many, zero, zero))[3]

    rates = training.points.astype(spec.dtype).reshape(-1, chunk, 2)
    mapped = jax.shard_map(
        lambda rates: jax.lax.map(several, rates),
        mesh=mesh,
        in_specs=P(program.PIXELS),
        out_specs=P(program.PIXELS),
        check_vma=False,
    )
    compiled = jax.jit(mapped).lower(rates).compile()
    return lambda: np.asarray(compiled(rates)).ravel()


def expect_same(found: np.ndarray, training: trainings.Training, chunk: int) -> None:
    """Ends unless the networks read what the engine's read."""
    tile = program.compile_tile(
        training.spec, training.names, len(training.points), chunk, plan.mesh()
    )
    expected = tile.run(training.points)["measure"]
    if not np.allclose(found, expected, rtol=1e-3):
        raise SystemExit("by hand, other networks are trained")


if __name__ == "__main__":
    main()
