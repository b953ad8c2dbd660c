"""The trainings that `roofline.py`, `push.py` and `gpu.py` measure, and what a step of them is.

`products` and `tanhs` are formulas; `roofline.py` prints beside them what the compiled program
does.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import transfer

import fractaljax as fj
from fractaljax import config
from fractaljax.engine import descent, program
from fractaljax.engine.hparams import packed
from fractaljax.engine.streams import generator, shared_draws

CONFIGS = Path(__file__).parent.parent / "configs"
CALM = (-3, -1)  # log10 of the rates between which no network fails, so that every step is taken
SIDE = 16  # networks along each axis of the window
RESIDUAL = {"model.width": 128, "model.depth": 5, "model.residual": True, "problem.points": 256}


class Training(NamedTuple):
    """Networks to be trained side by side, and on how many at once one core is at its best."""

    spec: fj.Spec
    names: tuple[str, ...]
    points: np.ndarray  # [P, A] float64
    chunk: int

    @property
    def network_steps(self) -> int:
        return len(self.points) * self.spec.steps


def paper(dtype: str, steps: int = 500, side: int = SIDE, calm: bool = True) -> Training:
    """The paper's network: 16 inputs, 16 hidden units, 272 points, full batch."""
    return _window([f"dtype={dtype}", f"steps={steps}"], 8, side, calm)


def residual(dtype: str, steps: int = 20) -> Training:
    """Four hidden layers of 128, two of them a residual block, 256 points, full batch."""
    words = [f"dtype={dtype}", f"steps={steps}"]
    return _window([*words, *(f"{k}={v}" for k, v in RESIDUAL.items())], 1, 4, True)


def deep_linear(dtype: str, steps: int = 400) -> Training:
    """Four layers of weights between 5 inputs and 5 outputs, width 100, batches of 50."""
    words = {
        "problem.batch": 50,
        "steps": steps,
        "evaluations": steps // 40,  # as published, 250 in 10,000 steps
        "dtype": dtype,
    }
    read = config.read(CONFIGS / "dynamics" / "gph.yaml")
    spec = config.setting(read, words.items()).course
    assert isinstance(spec, fj.Spec)
    fj.prepare(dtype)
    return Training(spec, ("batch_seed",), np.arange(32.0)[:, None], 4)


def mnist(dtype: str, epochs: int = 1) -> Training:
    """The first published architecture on random numbers in the shape of MNIST, batches of 4096."""
    specs, names, points = transfer.family("mnist")
    spec = specs[0].updated({"dtype": dtype})
    fj.prepare(dtype)
    length = descent.epoch_length(spec, {}, shared_draws(spec).data)
    return Training(spec.updated({"steps": epochs * length}), tuple(names), points[:2], 2)


TRAININGS = {"paper": paper, "residual": residual, "deep_linear": deep_linear, "mnist": mnist}


def _window(words: list[str], chunk: int, side: int, calm: bool) -> Training:
    spec, window = fj.load(CONFIGS / "paper" / "tanh.yaml", words, only="overview")
    axes = [axis.between(*CALM) for axis in window.axes] if calm else window.axes
    some = fj.Window(*axes).resized(side)
    (whole,) = some.tiles(0)
    return Training(spec, tuple(spec.traced(a.path) for a in axes), some.points(whole), chunk)


def one_step(training: Training, chunk: int) -> Any:
    """One step of `chunk` networks, compiled alone: for its cost analysis."""
    spec, names, points, _ = training
    common = program.common_of(spec, names)
    some = np.resize(points, (chunk, points.shape[1]))
    values, words = packed(some, names, spec.dtype), program.identity_words(spec, some)

    def begin(values, words, common):
        return program.side_by_side(spec, names, common, values, words).begin()

    def step(values, words, common, t, state):
        side = program.side_by_side(spec, names, common, values, words)
        return side.stretch(t, 1, state)

    with generator(spec):
        state = jax.eval_shape(begin, values, words, common)
    t = np.zeros((), np.int32)
    return program.lowered(spec, names, jax.jit(step), values, words, common, t, state).compile()


def products(spec: fj.Spec) -> float:
    """Floating-point operations of the matrix products of one step of one network.

    `2 N I O` a layer of `I` inputs and `O` outputs: forward, for the gradient of its weights, and,
    in all layers but the first, for the gradient of its inputs (of one output, that is no product).
    `N` are the points of a batch, the smaller last one of an epoch averaged in; where second
    moments serve instead of points, as many points as inputs. A look at validation data is one more
    product forward. 295,936 for the paper's network.
    """
    kernels = [kernel.shape for kernel in _kernels(spec)]
    weights = [math.prod(shape) for shape in kernels]
    inward = sum(inputs * outputs for inputs, outputs in kernels[1:] if outputs > 1)
    a_step = 2 * _points(spec) * (2 * sum(weights) + inward)
    held = shared_draws(spec).data.valid
    looks = 2 * held.x.shape[0] * sum(weights) / spec.steps if spec.stopping and held else 0
    return a_step + looks


def tanhs(spec: fj.Spec) -> float:
    """Hyperbolic tangents of one step of one network: hidden units times points."""
    if spec.paths().get("model.activation") != "tanh":
        return 0
    hidden = [leaf.shape[-1] for leaf in _kernels(spec)][:-1]
    return _points(spec) * sum(hidden)


def _kernels(spec: fj.Spec) -> list[jax.Array]:
    """From the first layer to the last."""
    return [layer["kernel"] for _, layer in sorted(shared_draws(spec).weights.items())]


def _points(spec: fj.Spec) -> float:
    draws = shared_draws(spec)
    points, inputs = draws.data.x.shape
    if draws.moments:
        return inputs
    batch = spec.paths().get("problem.batch") or points
    return points / -(-points // batch)
