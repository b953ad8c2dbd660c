"""Image sets of tensorflow_datasets as arrays, without TensorFlow.

Decoding is slow, so the arrays are kept in the user's cache folder under a fingerprint of the
files they came from: other files are decoded anew.
"""

import contextlib
import difflib
import hashlib
import os
import re
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fractaljax import machine
from fractaljax.errors import FractaljaxError
from fractaljax.parts import mnist


class Images(NamedTuple):
    """A split as it is stored."""

    pixels: np.ndarray  # uint8 [N, H, W, C]
    labels: np.ndarray  # int64 [N]


def load(dataset: str, split: str, data_dir: str, manual_dir: str) -> tuple[Images, int]:
    """A split of a set and its number of classes; a set that is not prepared is prepared first.

    Raises:
        FractaljaxError: one line that says what is wrong and what to do.
    """
    where = f"dataset={dataset}"
    with _one_line(where, dataset), contextlib.redirect_stdout(sys.stderr):  # it prints progress
        builder = _prepared(dataset, data_dir) or _prepare(dataset, data_dir, manual_dir)
        features = dict(builder.info.features.items())
    classes = getattr(features.get("label"), "num_classes", None)
    if "image" not in features or not classes:
        raise FractaljaxError(
            f"{where}: needs the features image and label, a class; "
            f"it has {', '.join(sorted(features))}"
        )
    with _one_line(f"split={split}", dataset):
        files = builder.info.splits[split].file_instructions
    if not files:
        raise FractaljaxError(f"split={split}: has no images")
    with _one_line(f"{where}: cannot read {builder.data_dir}", dataset):
        path = _cache_path(f"{builder.info.full_name}-{split}", files)
        images = _read_cache(path) if path else None
        if images is None:
            images = _decoded(f"{where}, split={split}", _examples(builder, split, files))
            if path:
                _write_cache(path, images)
    return images, classes


def places(dataset: str, data_dir: str, manual_dir: str) -> dict[str, tuple[str, ...]]:
    """Where a set lies, by the argument that says so: the prepared one in all its versions, and
    the files that it is prepared from, or their folder where only its builder knows their names.
    What is not there is left out: either will do."""
    prepared = data_dir or os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets"
    name = re.split("[/:]", dataset)[0]
    files = [Path(manual_dir)] if manual_dir else []
    if manual_dir and name in mnist.KIN:
        files = [Path(manual_dir) / file for pair in mnist.FILES.values() for file in pair]
    found = {"data_dir": [Path(prepared) / name], "manual_dir": files}
    return {argument: tuple(str(p) for p in found[argument] if p.exists()) for argument in found}


def _prepared(dataset: str, data_dir: str) -> Any | None:
    from tensorflow_datasets.core import read_only_builder, registered

    try:
        return read_only_builder.builder_from_files(dataset, data_dir=data_dir or None)
    except registered.DatasetNotFoundError:
        return None


def _prepare(dataset: str, data_dir: str, manual_dir: str) -> Any:
    import tensorflow_datasets as tfds

    if manual_dir and not Path(manual_dir).is_dir():
        raise FractaljaxError(f"manual_dir={manual_dir}: there is no such folder")
    target = {"data_dir": data_dir or None, "file_format": "array_record"}
    if dataset in mnist.KIN:
        mnist.check_files(dataset, manual_dir)
        builder = mnist.builder_class(dataset)(**target)
    else:
        builder = tfds.builder(dataset, **target)
    config = tfds.download.DownloadConfig(manual_dir=manual_dir or None)
    builder.download_and_prepare(download_config=config)
    return builder


def _examples(builder: Any, split: str, files: Sequence[Any]) -> Iterator[dict[str, Any]]:
    from tensorflow_datasets.core.file_adapters import FileFormat

    if builder.info.file_format != FileFormat.TFRECORD:
        yield from builder.as_data_source(split)
        return
    for file in files:
        for record in _tfrecords(file)[file.skip : file.skip + file.take]:
            yield builder.info.features.deserialize_example_np(record)


def _tfrecords(file: Any) -> list[bytes]:
    """All records of a TFRecord file; their checksums are not read, images have their own.

    A record is stored as its length, 4 bytes of checksum, itself, and 4 bytes of checksum.
    """
    content = Path(file.filename).read_bytes()
    records, start = [], 0
    while start + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        records.append(content[start + 12 : start + 12 + length])
        start += length + 16
    if start != len(content) or len(records) != file.examples_in_shard:
        raise ValueError(f"{file.filename} is damaged")
    return records


def _decoded(where: str, examples: Iterator[dict[str, Any]]) -> Images:
    pixels: list[np.ndarray] = []
    labels: list[int] = []
    for example in examples:
        image, label = example["image"], int(example["label"])
        if image.dtype != np.uint8 or (pixels and image.shape != pixels[0].shape):
            raise FractaljaxError(
                f"{where}: images must be bytes and of one size; number {len(pixels)} is "
                f"{image.dtype}{list(image.shape)}"
            )
        if label < 0:
            raise FractaljaxError(f"{where}: has no labels")
        pixels.append(image)
        labels.append(label)
    return Images(np.stack(pixels), np.array(labels))


def _cache_path(name: str, files: Sequence[Any]) -> Path | None:
    """None for a user without a home."""
    folder = machine.cache_folder()
    if folder is None:
        return None
    digest = hashlib.sha256(name.encode())
    for file in files:
        digest.update(f"{file.skip} {file.take} ".encode())
        with open(file.filename, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    readable = re.sub(r"[^A-Za-z0-9._]+", "-", name)
    return folder / "datasets" / f"{readable}-{digest.hexdigest()[:16]}.npz"


def _read_cache(path: Path) -> Images | None:
    """None where there is no such file or a damaged one, whatever the damage is."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Images(arrays["pixels"], arrays["labels"])
    except Exception:
        return None


def _write_cache(path: Path, images: Images) -> None:
    """Whole or not at all; a folder that cannot be written costs time, never the run."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            np.savez(Path(folder) / path.name, **images._asdict())
            os.replace(Path(folder) / path.name, path)


@contextlib.contextmanager
def _one_line(where: str, dataset: str) -> Iterator[None]:
    """tensorflow_datasets raises errors of many kinds and lines; a user reads one line of ours."""
    try:
        yield
    except FractaljaxError:
        raise
    except Exception as error:
        raise FractaljaxError(f"{where}: {_said(error, dataset)}") from error


def _said(error: Exception, dataset: str) -> str:
    """What an error means, and what to do."""
    import requests
    from tensorflow_datasets.core import registered
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    text = f"{error}".strip().split("\n")[0].rstrip(":. ") or type(error).__name__
    if isinstance(error, registered.DatasetNotFoundError):
        name = re.split("[/:]", dataset)[0]
        near = difflib.get_close_matches(name, registered.list_imported_builders(), n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        return f"tensorflow_datasets has no such set.{hint}"
    if isinstance(error, requests.RequestException | DownloadError):
        if request := getattr(error, "request", None):
            text = f"no answer from {request.url}"
        names = ", ".join(sum(mnist.FILES.values(), ())) if dataset in mnist.KIN else "its files"
        return f"{text}. Put {names} into a folder and give it as manual_dir."
    if isinstance(error, NonMatchingChecksumError):
        return f"{text}. Fetch that file anew."
    if "No module named 'tensorflow" in text:
        return f"its builder needs TensorFlow ({text}). Give a prepared folder as data_dir."
    return text
