"""MNIST and its kin, prepared without TensorFlow.

The builders of tensorflow_datasets decompress the files of these sets and encode their images
with TensorFlow. The builders here inherit names, versions, features, addresses and checksums,
and do those two things with gzip and Pillow; what they write, `tfds.data_source` reads.
"""

import functools
import gzip
import math
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np

from fractaljax.errors import FractaljaxError

KIN = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}

MAX_DIMENSIONS = 3
MAX_BYTES = 2**31  # of a file, unpacked; MNIST's largest has 47 MB


@functools.cache
def builder_class(dataset: str) -> type:
    """The builder of a set of `KIN`: that of tensorflow_datasets, less TensorFlow."""
    from PIL import Image
    from tensorflow_datasets import image_classification
    from tensorflow_datasets.core import registered

    stock = getattr(image_classification, KIN[dataset])
    with registered.skip_registration():  # the stock builder has the name

        class LocalBuilder(stock):
            name = dataset
            url_infos = stock.url_infos  # checksums, which are looked up beside the class

            def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
                urls = {split: [urljoin(self.URL, f) for f in FILES[split]] for split in FILES}
                paths = dl_manager.download(urls)
                return {split: self._generate_examples(*paths[split]) for split in paths}

            def _generate_examples(self, images: Path, labels: Path) -> Iterator[tuple[int, dict]]:
                pairs = zip(read_idx(images), read_idx(labels), strict=True)
                for index, (image, label) in enumerate(pairs):
                    yield index, {"image": Image.fromarray(image), "label": int(label)}

    return LocalBuilder


def check_files(dataset: str, manual_dir: str) -> None:
    """Raises at once where the four files of a set cannot be had.

    tensorflow_datasets tries an address that does not answer for three minutes and more.

    Raises:
        FractaljaxError: the folder lacks a file.
        requests.RequestException: without a folder, the address of the set does not answer.
    """
    names = [name for pair in FILES.values() for name in pair]
    if not manual_dir:
        import requests

        url = urljoin(builder_class(dataset).URL, names[0])
        requests.head(url, timeout=10, allow_redirects=True)
    elif lacking := [name for name in names if not (Path(manual_dir) / name).is_file()]:
        raise FractaljaxError(f"manual_dir={manual_dir}: lacks {', '.join(lacking)}")


def read_idx(path: str | PathLike) -> np.ndarray:
    """The bytes of a gzipped IDX file: `[N, H, W]` of images, `[N]` of labels."""
    with gzip.open(path) as file:
        head = file.read(4)  # two zeros, the code of the type, a byte
        if len(head) < 4 or not 1 <= head[3] <= MAX_DIMENSIONS:
            raise FractaljaxError(f"{path} is damaged: it does not begin as an IDX file")
        shape = np.frombuffer(file.read(4 * head[3]), ">u4")
        size = math.prod(map(int, shape))
        if len(shape) < head[3] or size > MAX_BYTES:
            raise FractaljaxError(f"{path}: {size} bytes of images; at most {MAX_BYTES}")
        content = file.read(size + 1)  # no more, however far the rest would unpack
    if len(content) != size:
        raise FractaljaxError(f"{path} is damaged: its header says {size} bytes")
    return np.frombuffer(content, np.uint8).reshape(shape)
