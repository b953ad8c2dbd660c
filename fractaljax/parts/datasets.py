"""Problems that are read: a set that ships with scikit-learn, and sets of tensorflow_datasets.

Libraries that read are imported where they read: they are slow to import, and `digits` is an
extra.
"""

import functools
import os
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from fractaljax import contents
from fractaljax.errors import FractaljaxError, unknown
from fractaljax.parts import images
from fractaljax.parts.sampling import LOSSES, accuracy, batches, difference
from fractaljax.registry import register
from fractaljax.types import Data, Key, Problem

SCALINGS = ("standard", "unit")


class _Split(NamedTuple):
    """Points that are drawn by the key of the data; 0 of `points` is all that remain."""

    points: int
    validation: int
    test: int


@register("problem", "digits")
def digits(
    points: int = 0,
    loss: str = "cross_entropy",
    batch: int = 0,
    sampling: str = "",
    scaling: str = "standard",
    pool: int = 1,
    validation: int = 0,
    test: int = 0,
) -> Problem:
    """Handwritten digits of scikit-learn: 1797 images of 8 x 8 pixels, 10 classes; offline.

    Args:
        points: how many are taken, drawn by the key of the data; 0 is all that are not held out,
            in their own order where none is.
        loss: `cross_entropy` or `mse`, to one-hot targets.
        batch: points of a minibatch; 0 is full batch. The loss that is shown is always on all.
        sampling: of minibatches: replacement, distinct, epochs or passes.
        scaling: of pixels: `standard`, mean 0 and deviation 1 over all of them; `unit`, 0 to 1.
        pool: squares of so many pixels by so many become their mean: 2 gives 4 x 4, 4 gives 2 x 2.
        validation, test: points held out to decide when training stops, and to judge it; drawn by
            the key of the data.

    Raises:
        FractaljaxError: a bad argument; when the data are read, scikit-learn is missing.
    """
    split = _split(points, validation, test)
    _check_pool(pool)
    source = functools.partial(read_digits, scaling, pool)
    return _problem(source, split, loss, batch, sampling, scaling)


@register("problem", "tfds")
def tfds(
    dataset: str = "mnist",
    split: str = "train",
    data_dir: str = "",
    manual_dir: str = "",
    points: int = 0,
    loss: str = "cross_entropy",
    batch: int = 0,
    sampling: str = "",
    scaling: str = "standard",
    pool: int = 1,
    validation: int = 0,
    test_split: str = "",
) -> Problem:
    """An image classification set of tensorflow_datasets, read without TensorFlow.

    A set that is prepared, as array_record or tfrecord, is read. One that is not is prepared
    first: `mnist`, `fashion_mnist` and `kmnist` always can be, another one if its own builder
    runs here, and many of these need TensorFlow. Needs features `image` and `label`, and images
    of one size, in bytes.

    Args:
        dataset: name of the set, as in `mnist` or `name/config:version`.
        split: `train`, `test`, or a slice such as `train[:10%]`.
        data_dir: folder of prepared sets; "" is the default of tensorflow_datasets.
        manual_dir: folder of files that were downloaded by hand; read only to prepare a set.
        points: how many are taken, drawn by the key of the data; 0 is all that are not held out,
            in their own order where none is.
        loss: `cross_entropy` or `mse`, to one-hot targets.
        batch: points of a minibatch; 0 is full batch. The loss that is shown is always on all.
        sampling: of minibatches: replacement, distinct, epochs or passes.
        scaling: of pixels: `standard`, mean 0 and deviation 1 over all of `split`; `unit`, 0 to 1.
        pool: squares of so many pixels by so many become their mean.
        validation: points of `split` held out to decide when training stops; drawn by the key of
            the data.
        test_split: as `split`, of the points that judge a training once it has ended; "": none.

    Raises:
        FractaljaxError: a bad argument; when the data are read, what is missing and what to do.
    """
    if not dataset or not split:
        raise FractaljaxError(f"dataset='{dataset}', split='{split}': both need a name")
    _check_pool(pool)
    folders = [os.path.expanduser(folder) for folder in (data_dir, manual_dir)]
    source = functools.partial(read_tfds, scaling, dataset, split, test_split, *folders, pool)
    problem = _problem(source, _split(points, validation, 0), loss, batch, sampling, scaling)
    return problem._replace(reads=functools.partial(images.places, dataset, *folders))


class Source(NamedTuple):
    """What was read, scaled."""

    data: Data
    offset: float  # x is (raw - offset) / scale
    scale: float


@functools.lru_cache(maxsize=8)
def read_digits(scaling: str = "standard", pool: int = 1) -> Source:
    """The digits: `x` `[1797, 64 / pool^2]` and one-hot `y` `[1797, 10]`, float64."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise FractaljaxError(
            "digits needs scikit-learn: pip install 'fractaljax[digits]'"
        ) from None
    pixels, labels = load_digits(return_X_y=True)
    x = _flat(_pooled(np.array(pixels, np.float64).reshape(-1, 8, 8, 1), pool))
    return _prepared(x, np.asarray(labels), 10, scaling, 16.0)


@contents.derived(maxsize=2)  # MNIST in float64 is 376 MB
def read_tfds(
    scaling: str,
    dataset: str,
    split: str,
    test_split: str,
    data_dir: str,
    manual_dir: str,
    pool: int = 1,
) -> Source:
    """A split, and the test split scaled as it is: `x` `[N, H * W * C]`, `y` `[N, O]`, float64."""
    (pixels, labels), classes = images.load(dataset, split, data_dir, manual_dir)
    found = _prepared(_flat(_pooled(pixels, pool)), labels, classes, scaling, 255.0)
    if not test_split:
        return found
    (pixels, labels), _ = images.load(dataset, test_split, data_dir, manual_dir)
    x = _flat(_pooled(pixels, pool))
    if x.shape[1] != found.data.x.shape[1]:
        raise FractaljaxError(f"test_split={test_split}: images of another size than {split}'s")
    test = _frozen((x - found.offset) / found.scale, labels, classes)
    return found._replace(data=found.data._replace(test=test))


def _check_pool(pool: int) -> None:
    if pool < 1:
        raise FractaljaxError(f"pool={pool}: at least 1")


def _pooled(pixels: np.ndarray, pool: int) -> np.ndarray:
    """Means of squares, `[N, H, W, C] -> [N, H / pool, W / pool, C]`."""
    if pool == 1:
        return pixels
    n, height, width, colours = pixels.shape
    if height % pool or width % pool:
        raise FractaljaxError(f"pool={pool}: does not divide images of {height} x {width} pixels")
    squares = (n, height // pool, pool, width // pool, pool, colours)
    return pixels.reshape(squares).mean(axis=(2, 4))


def _flat(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(len(pixels), -1).astype(np.float64)


def _prepared(
    x: np.ndarray, labels: np.ndarray, classes: int, scaling: str, largest: float
) -> Source:
    """Scales `x` in place, as a whole."""
    offset, scale = (x.mean(), x.std()) if scaling == "standard" else (0.0, largest)
    x -= offset
    x /= scale
    return Source(_frozen(x, labels, classes), float(offset), float(scale))


def _frozen(x: np.ndarray, labels: np.ndarray, classes: int) -> Data:
    """Points and one-hot targets; read-only arrays, since they are handed out twice."""
    y = np.zeros((len(labels), classes))
    y[np.arange(len(labels)), labels] = 1.0
    x.setflags(write=False)
    y.setflags(write=False)
    return Data(x, y)


def _split(points: int, validation: int, test: int) -> _Split:
    for name, value in {"points": points, "validation": validation, "test": test}.items():
        if value < 0:
            allowed = "0, which is all, and more" if name == "points" else "0 and more"
            raise FractaljaxError(f"{name}={value}: allowed are {allowed}")
    return _Split(points, validation, test)


def _problem(
    source: Callable[[], Source], split: _Split, loss: str, batch: int, sampling: str, scaling: str
) -> Problem:
    if loss not in LOSSES:
        raise unknown("loss", loss, LOSSES)
    if scaling not in SCALINGS:
        raise unknown("scaling", scaling, SCALINGS)
    if 0 < split.points < batch and sampling in ("distinct", "epochs", "passes"):
        raise FractaljaxError(f"batch={batch}: more than points={split.points}")

    def load(key: Key, source: Data, count: Callable[[int, int], int]) -> Data:
        del count
        return _drawn(key, source, split)

    return Problem(
        lambda: source().data,
        load,
        LOSSES[loss],
        residuals=difference if loss == "mse" else None,
        scores={"accuracy": accuracy},
        scaling=lambda: (source().offset, source().scale),
        **batches(batch, sampling),
    )


def _drawn(key: Key, source: Data, split: _Split) -> Data:
    """Training, validation and test points, no point in two of them."""
    if not any(split):
        return Data(*source)
    total, held = source.x.shape[0], split.validation + split.test
    points = split.points or total - held
    if points < 1 or held + points > total:
        asked = {k: v for k, v in split._asdict().items() if v}
        words = " + ".join(f"{name}={value}" for name, value in asked.items())
        raise FractaljaxError(f"{words}: the set has {total}")
    # the first of one order are the training points, so that `points` alone draws as it always did
    order = jax.random.choice(key, total, (points + held,), replace=False)

    def taken(first: int, count: int) -> Data:
        chosen = order[first : first + count]
        return Data(source.x[chosen], source.y[chosen])

    valid = taken(points, split.validation) if split.validation else ()
    test = taken(points + split.validation, split.test) if split.test else source.test
    return taken(0, points)._replace(test=test, valid=valid)
