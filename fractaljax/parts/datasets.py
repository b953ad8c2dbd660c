"""Problems that are read: a set that ships with scikit-learn, and sets of tensorflow_datasets.

Libraries that read are imported where they read: they are slow to import, and `digits` is an
extra.
"""

import functools
import os
from collections.abc import Callable

import jax
import numpy as np

from fractaljax.errors import FractaljaxError, unknown
from fractaljax.parts import images
from fractaljax.parts.sampling import LOSSES, difference, sampler
from fractaljax.registry import register
from fractaljax.types import Array, Data, Key, Problem


@register("problem", "digits")
def digits(
    points: int = 0, loss: str = "cross_entropy", batch: int = 0, sampling: str = ""
) -> Problem:
    """Handwritten digits of scikit-learn: 1797 images of 8 x 8 pixels, 10 classes; offline.

    Args:
        points: how many are taken, drawn by the key of the data; 0 is all, in their own order.
        loss: `cross_entropy` or `mse`, to one-hot targets.
        batch: points of a minibatch; 0 is full batch. The loss that is shown is always on all.
        sampling: of minibatches: replacement, distinct or epochs.

    Raises:
        FractaljaxError: a bad argument; when the data are read, scikit-learn is missing.
    """
    return _problem(read_digits, points, loss, batch, sampling)


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
        points: how many are taken, drawn by the key of the data; 0 is all, in their own order.
        loss: `cross_entropy` or `mse`, to one-hot targets.
        batch: points of a minibatch; 0 is full batch. The loss that is shown is always on all.
        sampling: of minibatches: replacement, distinct or epochs.

    Raises:
        FractaljaxError: a bad argument; when the data are read, what is missing and what to do.
    """
    if not dataset or not split:
        raise FractaljaxError(f"dataset='{dataset}', split='{split}': both need a name")
    folders = [os.path.expanduser(folder) for folder in (data_dir, manual_dir)]
    source = functools.partial(read_tfds, dataset, split, *folders)
    return _problem(source, points, loss, batch, sampling)


@functools.cache
def read_digits() -> Data:
    """The digits, standardised: `x` `[1797, 64]` and one-hot `y` `[1797, 10]`, float64."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise FractaljaxError(
            "digits needs scikit-learn: pip install 'fractaljax[digits]'"
        ) from None
    pixels, labels = load_digits(return_X_y=True)
    return _prepared(np.array(pixels, np.float64), np.asarray(labels), 10)


@functools.lru_cache(maxsize=2)  # a training and a test split; MNIST in float64 is 376 MB
def read_tfds(dataset: str, split: str, data_dir: str, manual_dir: str) -> Data:
    """A split, pixels over 255 then standardised: `x` `[N, H * W * C]`, `y` `[N, O]`, float64."""
    (pixels, labels), classes = images.load(dataset, split, data_dir, manual_dir)
    return _prepared(pixels.reshape(len(pixels), -1) / 255.0, labels, classes)


def _prepared(x: np.ndarray, labels: np.ndarray, classes: int) -> Data:
    """Standardises `x` in place, as a whole; read-only arrays, since they are handed out twice."""
    x -= x.mean()
    x /= x.std()
    y = np.zeros((len(labels), classes))
    y[np.arange(len(labels)), labels] = 1.0
    x.setflags(write=False)
    y.setflags(write=False)
    return Data(x, y)


def _problem(
    source: Callable[[], Data], points: int, loss: str, batch: int, sampling: str
) -> Problem:
    if points < 0:
        raise FractaljaxError(f"points={points}: allowed are 0, which is all, and more")
    if loss not in LOSSES:
        raise unknown("loss", loss, LOSSES)
    if 0 < points < batch and sampling in ("distinct", "epochs"):
        raise FractaljaxError(f"batch={batch}: more than points={points}")

    def load(key: Key, source: Data, count: Callable[[int, int], int]) -> Data:
        del count
        if points == 0:
            return Data(*source)
        chosen = _subset(key, points, source.x.shape[0])
        return Data(source.x[chosen], source.y[chosen])

    squared = difference if loss == "mse" else None
    return Problem(source, load, LOSSES[loss], sampler(batch, sampling), residuals=squared)


def _subset(key: Key, points: int, total: int) -> Array:
    if points > total:
        raise FractaljaxError(f"points={points}: the set has {total}")
    return jax.random.choice(key, total, (points,), replace=False)
