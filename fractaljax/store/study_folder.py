"""What lies where in the folder of a search and in that of a transfer, and how it is written.

SEARCH/study.yaml                      the study; another one is refused
SEARCH/ARCH/search_results.csv         a line a trial
SEARCH/ARCH/curves.npz                 losses of every epoch of every trial
SEARCH/ARCH/best_hyperparameters.yaml
SEARCH/ARCH/best_trial/                metrics.csv, loss_curve.png, and a network
SEARCH/ARCH/retrain/seed_N/            a network
SEARCH/ARCH/retrain/seed_losses.csv
SEARCH/ARCH/summary.yaml               written last: the architecture is done
TRANSFER/targets/ARCH.csv              a line a source and seed; written last, as above
DIR/machine.yaml                       by what it was begun: devices, chunks, versions
DIR/files.jsonl                        digests of the files that the settings name (`origins`)
DIR/.../running.npz                    members in training, to go on from
DIR/claims                             locked bytes: who works on which architecture

A network is `config.yaml` (settings, values, scaling, scores) and `weights.npz`. Every file is
written whole, with a checksum in `.sums` beside it; a folder's last file says that the folder is
complete.
"""

import contextlib
import csv
import io
import json
import logging
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from fractaljax import config
from fractaljax.config.plain_yaml import from_yaml, to_yaml
from fractaljax.errors import FractaljaxError
from fractaljax.store import disk, formats, origins, seals
from fractaljax.store.claims import Claims

log = logging.getLogger("fractaljax")
STUDY, RESULTS, CURVES = "study.yaml", "search_results.csv", "curves.npz"
BEST, SUMMARY, RUNNING = "best_hyperparameters.yaml", "summary.yaml", "running.npz"
SEED_LOSSES, CONFIG, WEIGHTS = "seed_losses.csv", "config.yaml", "weights.npz"
MACHINE = "machine.yaml"
MASK = "mask:"  # before the name of a weight: which of its entries exist
HEADER = "# written by fractaljax\n"
MANY = 2**16 - 1  # what a packed file says of more contents than its end can count
# what else a packed file raises whose flags, kind of packing or sizes are not what they were
BROKEN = (RuntimeError, NotImplementedError, MemoryError, OverflowError, struct.error, zlib.error)


def begin(
    folder: Path,
    tree: Mapping[str, Any],
    machine: Mapping[str, Any],
    free: Sequence[str],
    named: origins.Named = MappingProxyType({}),
) -> None:
    """Makes a folder the one of a study.

    Args:
        machine: by what it is begun.
        free: top-level keys of the study that may differ from what is there.
        named: what the settings name on disk.

    Raises:
        FractaljaxError: it holds another study, or one that was begun with other files.
    """
    file, begun = folder / STUDY, os.path.lexists(folder / MACHINE)
    tree = _plain(tree)
    with disk.on_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not begun:
        origins.check_free(folder, named)
    if not os.path.lexists(file):
        write_tree(file, tree)
    found = read_tree(file)  # another process may have been first
    old, new = ({k: v for k, v in t.items() if k not in free} for t in (found, tree))
    if differing := config.compared(old, new):
        shown = "; ".join(differing[:3]) + ("; ..." if len(differing) > 3 else "")
        raise FractaljaxError(
            f"{folder} holds another study; it differs in {shown} (stored -> asked). "
            "Choose another --out."
        )
    with disk.on_disk(folder):
        origins.keep(folder, named, begun=begun)
    if not os.path.lexists(folder / MACHINE):
        write_tree(folder / MACHINE, machine)


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[Claims]:
    """Claims on the folder of a study, until the block ends."""
    with disk.on_disk(folder):
        claims = Claims(folder)
    with contextlib.closing(claims):
        yield claims


def make(folder: Path, study: Path) -> None:
    """Makes a folder below that of a study.

    Raises:
        FractaljaxError: the study's own is gone.
    """
    with disk.on_disk(folder):
        if not os.path.lexists(study / STUDY):
            raise FractaljaxError(f"{study}: {study / STUDY} is gone; what was finished went too")
        folder.mkdir(parents=True, exist_ok=True)


def drop_damaged(folder: Path, complete: Sequence[str]) -> None:
    """Makes a folder, which the caller has claimed, incomplete where a file of it is damaged or
    lost: everything in it is trained again.

    Args:
        complete: names of the files that say that something is there; the first is written last.
    """
    with disk.on_disk(folder):
        found = seals.damaged(folder)
        if not (folder / complete[0]).exists():  # a sum comes before its file: it may be to come
            found = [path for path in found if path.exists()]
        if not found:
            return
        some = ", ".join(str(path.relative_to(folder)) for path in found[:3])
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        log.warning("%s: damaged, and trained again: %s%s", folder, some, more)
        for path in (*(folder / name for name in complete), *found, *folder.rglob(seals.SUMS)):
            path.unlink(missing_ok=True)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A CSV file; numbers are written so that reading gives the same ones."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows([_number(value) for value in row] for row in rows)
    with disk.on_disk(path):
        seals.replace(path, text.getvalue())


def read_table(path: Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """The lines of a CSV file, by column.

    Raises:
        FractaljaxError: it is damaged, or lacks one of these columns.
    """
    with disk.on_disk(path):
        table = csv.DictReader(io.StringIO(seals.read(path).decode(errors="replace")))
        lines = list(table)
    lacking = set(columns) - set(table.fieldnames or ())
    if lacking or any(None in line or None in line.values() for line in lines):
        raise FractaljaxError(f"{path} is damaged: remove it, and the same command makes it again")
    return lines


def write_tree(path: Path, tree: Mapping[str, Any]) -> None:
    """A YAML file."""
    text = to_yaml(_plain(tree))
    with disk.on_disk(path):
        seals.replace(path, formats.marked(HEADER) + text)


def write_list(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """A YAML file of a list."""
    text = to_yaml(_plain(entries))
    with disk.on_disk(path):
        seals.replace(path, HEADER + text)


def read_tree(path: Path) -> dict[str, Any]:
    """What a YAML file of ours says.

    Raises:
        FractaljaxError: it is damaged, somebody else's, or of a newer format.
    """
    try:
        text = seals.read_text(path)
    except FractaljaxError:  # not as it was written
        raise
    except OSError as error:
        raise FractaljaxError(f"{path}: {disk.reason(error)}") from error
    except ValueError:  # no text, or too much of it
        text = ""
    ours = formats.is_ours(path, text, HEADER)
    try:
        found = from_yaml(text) if ours else None
    except FractaljaxError:  # no YAML
        found = None
    if not isinstance(found, dict):
        raise FractaljaxError(f"{path} is damaged or was not written by fractaljax")
    return found


def write_text(path: Path, text: str) -> None:
    """A text file."""
    with disk.on_disk(path):
        seals.replace(path, text)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """An npz file."""
    with disk.on_disk(path):
        seals.replace(path, _packed(arrays))


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of an npz file; None where it is not there or damaged (each has a checksum)."""
    try:
        _check_sizes(path)
        content = seals.read(path)
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            # each is read whole, its checksum with it, before anything in it is believed
            found = {name: io.BytesIO(packed.read(name)) for name in packed.namelist()}
        if int.from_bytes(content[-12:-10], "little") not in (len(found), MANY):
            return None  # a damaged list of contents hides some
        return {
            name.removesuffix(".npy"): np.lib.format.read_array(content, allow_pickle=False)
            for name, content in found.items()
        }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, *BROKEN):
        return None


def _check_sizes(path: Path) -> None:
    """Raises ValueError where reading would take more memory than the file has bytes: ours hold
    their arrays as they are, so that none that claims to be larger, or is packed, is ours."""
    with zipfile.ZipFile(disk.regular(path)) as members:
        for member in members.infolist():
            if (
                member.compress_type != zipfile.ZIP_STORED
                or member.file_size > member.compress_size
            ):
                raise ValueError(f"{member.filename} is packed")
            with members.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                if version == (1, 0):
                    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
                else:
                    shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
            if math.prod(shape) * dtype.itemsize > member.file_size:
                raise ValueError(f"{member.filename} claims {shape}")


class Running:
    """Members in training, kept in a file of a folder; `about` tells them from others."""

    def __init__(self, folder: Path, about: Mapping[str, Any]):
        self._path = folder / RUNNING
        self._about = json.dumps(_plain(about), sort_keys=True)

    def load(self) -> dict[str, np.ndarray] | None:
        """What was kept of these very members, or None."""
        found = read_arrays(self._path)
        if found is None or str(found.pop("about", "")) != self._about:
            return None
        return found

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        with disk.on_disk(self._path):  # replaced often, and checked by its own checksums
            disk.replace(self._path, _packed({**arrays, "about": np.array(self._about)}))

    def discard(self) -> None:
        """They are done."""
        discard_running(self._path.parent)


def discard_running(folder: Path) -> None:
    """Removes the members in training of a folder, also what a killed process left half written."""
    for file in [folder / RUNNING, *folder.glob(f".{RUNNING}-*")]:
        file.unlink(missing_ok=True)


def write_network(
    folder: Path, weights: Mapping[str, np.ndarray], about: Mapping[str, Any]
) -> None:
    """A network and what belongs to it; `config.yaml` last. The folder is made, not those above."""
    write_arrays(folder / WEIGHTS, weights)
    write_tree(folder / CONFIG, about)


def read_network(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """`(weights, about)`.

    Raises:
        FractaljaxError: there is none, or it is damaged.
    """
    if not (folder / CONFIG).is_file():
        raise FractaljaxError(f"{folder}: no network here (there is no {folder / CONFIG})")
    about = read_tree(folder / CONFIG)
    weights = read_arrays(folder / WEIGHTS)
    if weights is None:
        raise FractaljaxError(f"{folder / WEIGHTS} is missing or damaged")
    return weights, about


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    np.savez(content, **dict(arrays))  # pyright: ignore[reportArgumentType]
    return content.getvalue()


def _number(value: Any) -> Any:
    """Floats in full, NaN as `nan`; everything else as it is."""
    return repr(float(value)) if isinstance(value, float | np.floating) else value


def _plain(tree: Any) -> Any:
    """Dictionaries, lists and Python's own numbers, as YAML and JSON have them."""
    if isinstance(tree, Mapping):
        return {str(k): _plain(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain(v) for v in tree]
    if isinstance(tree, np.generic):
        return _plain(tree.item())
    if isinstance(tree, float) and math.isnan(tree):
        return None
    return tree
