"""The problem of a linear teacher: Gaussian inputs, targets by a matrix, noise in training only."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fractaljax import registry
from fractaljax.errors import FractaljaxError, at
from fractaljax.parts import lapack
from fractaljax.parts.sampling import LOSSES, sampler, traced_batch
from fractaljax.registry import register
from fractaljax.types import Array, Data, Key, Problem, Stream

STREAMS = {"test": 0, "train": 1, "noise": 2, "rotation": 3}  # under the key of the data
FRESH = {"inputs": 0, "noise": 1}  # under the key of a step, where every batch is drawn anew


class Targets(NamedTuple):
    """What targets are made of once the teacher's hyperparameters are known."""

    rotation: Array  # [I, I], orthogonal; the teacher's eigenvectors are its rows
    weights: Array  # [N, 1], of mean 1: how much a point counts
    inputs: Array  # [N, I]
    noise: Array  # [N, O], standard normals; zero in test data


class Moments(NamedTuple):
    """Second moments of inputs x and noise e: means over the points."""

    rotation: Array  # [I, I]
    xx: Array  # [I, I]
    xe: Array  # [I, O]
    ee: Array  # [O], of each component of the noise


@register("problem", "teacher")
def teacher(
    matrix: str = "diagonal",
    scale: float | None = None,
    alpha: float | None = None,
    k: int | None = None,
    rotated: bool = False,
    in_dim: int = 5,
    out_dim: int = 5,
    d_active: int | None = None,
    train_samples: int = 500,
    test_samples: int = 500,
    noise_std: float = 0.0,
    online: bool = False,
    batch: int | float | None = None,
    sampling: str | None = None,
) -> Problem:
    """Regression of a linear teacher `y = A x + noise` on Gaussian inputs.

    Inputs are N(0, 1). Test targets are never noisy. The loss is the mean over points and outputs
    of the squared error. A model that is linear is trained on the second moments of each batch,
    which have the same gradient at a cost that does not grow with the batch.

    Args:
        matrix: diagonal, identity, power_law or power_law_topk, or a teacher of your own.
        scale, alpha, k: of the teachers that take them; null is the teacher's default.
        rotated: the teacher is `O^T A O` with an orthogonal O drawn by the key of the data (Haar).
        in_dim, out_dim: of inputs and outputs.
        d_active: inputs lie in the space of the teacher's first `d_active` eigenvectors; null: all.
        train_samples, test_samples: how many points are drawn once.
        noise_std: standard deviation of the noise on training targets.
        online: every batch is drawn anew; there is no training set then.
        batch: points of a batch; null or `train_samples` and more is the full batch. As an axis
            it is rounded down, and costs as much as the full batch.
        sampling: how a batch is taken from a training set: epochs (default; a new permutation
            every `train_samples // batch` steps, the remainder dropped), distinct or replacement.

    Raises:
        FractaljaxError: an argument out of range or that nobody reads, with what is allowed.
    """
    arguments = dict(locals())
    sizes = {"in_dim": in_dim, "out_dim": out_dim, "test_samples": test_samples}
    sizes |= {} if online else {"train_samples": train_samples}
    for name, value in sizes.items():
        if value < 1:
            raise FractaljaxError(f"{name}={value}: at least 1")
    if d_active is not None and not 1 <= d_active <= in_dim:
        raise FractaljaxError(f"d_active={d_active}: allowed are 1 to in_dim={in_dim}, or null")
    if rotated and in_dim != out_dim:
        raise FractaljaxError(f"rotated: in_dim={in_dim} and out_dim={out_dim} must be equal")
    if isinstance(noise_std, float) and not (math.isfinite(noise_std) and noise_std >= 0):
        raise FractaljaxError(f"noise_std={noise_std}: takes a finite number of at least 0")
    if isinstance(batch, int | float) and not (batch >= 1 and batch == int(batch)):
        raise FractaljaxError(f"batch={batch}: takes a whole number from 1, or null: full batch")
    if online and not isinstance(batch, int | float):
        raise FractaljaxError(f"batch={batch}: online data need the size of a batch, no axis")
    if online and sampling is not None:
        raise FractaljaxError(f"sampling={sampling} is not read: online batches are drawn anew")
    if sampling == "passes":
        raise FractaljaxError("sampling=passes: a teacher takes epochs, distinct or replacement")
    if sampling is not None:
        sampler(1, sampling)  # refuses a name it does not know, also where only a callback reads it
    given = {"scale": scale, "alpha": alpha, "k": k}
    values = _values(matrix, {name: v for name, v in given.items() if v is not None})

    def load(key: Key, source: Any, count: Any) -> Data:
        del source, count
        values(in_dim, out_dim)  # refuses dimensions it cannot have
        rotation = _haar(_key(key, "rotation"), in_dim) if rotated else jnp.eye(in_dim)
        x = _active(jax.random.normal(_key(key, "test"), (test_samples, in_dim)), rotation)
        test = Data(x, Targets(rotation, _ones(x), x, jnp.zeros((test_samples, out_dim))))
        if online:  # the loss that is shown then is the test's
            return test._replace(test=test)
        x = _active(jax.random.normal(_key(key, "train"), (train_samples, in_dim)), rotation)
        noise = jax.random.normal(_key(key, "noise"), (train_samples, out_dim))
        return Data(x, Targets(rotation, _ones(x), x, noise), test)

    def _active(x: Array, rotation: Array) -> Array:
        if d_active is None:
            return x
        return (x @ rotation.T * (jnp.arange(in_dim) < d_active)) @ rotation

    def learned(rotation: Array) -> Array:
        """The teacher, `[I, O]`, for points in rows."""
        singular = values(in_dim, out_dim).astype(rotation.dtype)
        plain = jnp.zeros((in_dim, out_dim), rotation.dtype)
        plain = plain.at[jnp.arange(len(singular)), jnp.arange(len(singular))].set(singular)
        return rotation.T @ plain @ rotation if rotated else plain

    def residuals(outputs: Array, targets: Targets) -> Array:
        error = outputs - targets.inputs @ learned(targets.rotation) - noise_std * targets.noise
        return jnp.sqrt(targets.weights) * error

    def loss(outputs: Array, targets: Targets | Moments) -> Array:
        if isinstance(targets, Targets):
            return LOSSES["mse"](residuals(outputs, targets), 0.0)
        # outputs are of the unit vectors: rows of the map itself
        error = outputs - learned(targets.rotation)
        squares = jnp.sum(error * (targets.xx @ error), axis=0)
        crossed = jnp.sum(error * targets.xe, axis=0)
        return jnp.mean(squares - 2 * noise_std * crossed + noise_std**2 * targets.ee)

    def moments(data: Data) -> Data:
        x, e, n = data.x, data.y.noise, data.x.shape[0]
        xw, ew = data.y.weights * x / n, data.y.weights * e / n
        means = Moments(data.y.rotation, x.T @ xw, x.T @ ew, jnp.sum(e * ew, axis=0))
        return Data(jnp.eye(in_dim, dtype=x.dtype), means)

    def fresh(stream: Stream, t: Array, data: Data) -> Data:
        assert isinstance(batch, int | float)
        size, dtype, rotation = int(batch), data.x.dtype, data.y.rotation
        keys = {name: jax.random.fold_in(stream(t), tag) for name, tag in FRESH.items()}

        def normal(key: Key, width: int) -> Array:
            # of one kind, so that both precisions see the same points
            return jax.random.normal(key, (size, width), jnp.float32).astype(dtype)

        x = _active(normal(keys["inputs"], in_dim), rotation)
        noise = normal(keys["noise"], out_dim)
        return Data(x, Targets(rotation, _ones(x), x, noise))

    def chosen(stream: Stream, t: Array, data: Data) -> Data:
        """Some of the points."""
        rows, weights = pick(stream, t)
        x = data.x[rows]
        return Data(x, Targets(data.y.rotation, weights.astype(x.dtype), x, data.y.noise[rows]))

    pick = _picker(batch, sampling or "epochs", train_samples)

    def resized(size: int) -> Problem:
        changed = {**arguments, "batch": size or None}
        return teacher(**changed)

    return Problem(
        source=lambda: (),
        load=load,
        loss=loss,
        batch=fresh if online else chosen if pick else None,
        residuals=residuals,
        fresh=online,
        moments=moments,
        resized=resized,
    )


def _values(matrix: str, given: dict[str, Any]) -> Any:
    """The teacher's diagonal, `(I, O) -> [min(I, O)]`; a number it does not take is refused."""
    takes = registry.arguments("teacher", matrix)
    for name, value in given.items():
        if name not in takes:
            raise FractaljaxError(f"{name}={value} is not read: matrix is {matrix}")
    with at(f"matrix={matrix}"):
        return registry.lookup("teacher", matrix)(**given)


def _picker(batch: Any, sampling: str, total: int) -> Any:
    """How points are taken from a training set: `(stream, t) -> (rows [B], weights [B, 1])`, or
    None for the full batch; of a size that is traced, all rows with zeros among the weights."""
    if isinstance(batch, int | float):
        indices = sampler(int(batch), sampling)

        def some(stream: Stream, t: Array) -> tuple[Array, Array]:
            assert indices is not None
            rows = indices(stream, t, Data(jnp.arange(total), ())).x
            return rows, jnp.ones((rows.shape[0], 1))

        return some if batch < total else None
    if batch is None:
        return None

    def all_of_them(stream: Stream, t: Array) -> tuple[Array, Array]:
        size = jnp.clip(jnp.floor(batch), 1, total).astype(jnp.int32)
        rows = traced_batch(sampling, stream, t, size, total)
        weights = jnp.where(jnp.arange(total) < size, total / size, 0)
        return rows, weights[:, None]

    return all_of_them


def _ones(x: Array) -> Array:
    return jnp.ones((x.shape[0], 1), x.dtype)


def _key(key: Key, stream: str) -> Key:
    return jax.random.fold_in(key, STREAMS[stream])


def _haar(key: Key, size: int) -> Array:
    """An orthogonal matrix, uniform over all of them (Mezzadri, arXiv:math-ph/0609050)."""
    q, r = lapack.qr(jax.random.normal(key, (size, size)))
    return q * jnp.sign(jnp.diagonal(r))
