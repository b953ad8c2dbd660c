"""Small sets in the real format of MNIST: the four files, and a folder prepared from them."""

import gzip
from pathlib import Path
from unittest import mock

import numpy as np

from fractaljax.parts import images, mnist


def write_idx(folder: Path, split: str, pixels: np.ndarray, labels: np.ndarray) -> None:
    """Images `[N, 28, 28]` and labels `[N]` of a split, in bytes."""
    for name, array in zip(mnist.FILES[split], (pixels, labels), strict=True):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        content = header + array.astype(np.uint8).tobytes()
        (folder / name).write_bytes(gzip.compress(content, 1))


def registered_as(folder: Path, url: str) -> dict:
    """The files of a folder with their checksums, as if the authors of MNIST had made them."""
    from tensorflow_datasets.core.download.checksums import compute_url_info

    return {f"{url}{path.name}": compute_url_info(path) for path in folder.iterdir()}


def prepare(idx: Path, folder: Path) -> None:
    """MNIST prepared from the four files, by hand."""
    builder = mnist.builder_class("mnist")
    with mock.patch.object(builder, "url_infos", registered_as(idx, builder.URL)):
        images._prepare("mnist", str(folder), str(idx))
