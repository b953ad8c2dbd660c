"""What files hold: digests that tell one content from another.

Nothing is read twice in a process while its size, its times and its place on the disk stay. On a
core of a virtual Intel Xeon 50 MB take 0.12 s the first time.
"""

import contextlib
import functools
import hashlib
import os
import stat
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, TypeVar

from fractaljax.errors import FractaljaxError

PARTIAL = (".part", ".partial", ".tmp", ".crdownload")  # ends of what is still being written
INCOMPLETE = ".incomplete"  # in the name of a set that tensorflow_datasets is about to prepare
RESULT = "claims"  # lies in the folder of every result: what is trained is no data
CODE = ".py"

T = TypeVar("T")
Found = tuple[str, os.stat_result]


class Content(NamedTuple):
    """What a file or a folder holds."""

    sha256: str
    modified: str  # when its newest file was changed: UTC, to the minute
    files: int | None = None  # of a folder: how many; None: it is a file


_digests: dict[tuple[int, int], tuple[tuple[int, ...], str]] = {}  # by device and inode
_latest: dict[str, str] = {}  # by real path: the digest that was looked at last
_derived: list[Callable[[], None]] = []  # each empties a cache of what was made of files
_modules: weakref.WeakKeyDictionary[ModuleType, Content | None] = weakref.WeakKeyDictionary()


def derived(
    maxsize: int,
) -> "Callable[[Callable[..., T]], functools._lru_cache_wrapper[T]]":
    """`functools.lru_cache` for what is made of files; emptied once a file holds something else
    than it did when this process looked at it last."""

    def decorate(function: Callable[..., T]) -> "functools._lru_cache_wrapper[T]":
        cached = functools.lru_cache(maxsize)(function)
        _derived.append(cached.cache_clear)
        return cached

    return decorate


def look(path: str) -> Content | None:
    """What a file or a folder holds now; None where there is none.

    Of a folder the names and contents of all files count, also in folders below. Hidden and
    unfinished files do not, nor do results of this package. A folder in which this process works,
    or one above, has no digest: whatever is written would change it.

    Raises:
        FractaljaxError: a file cannot be read.
    """
    try:
        if os.path.isfile(path):
            found = _file(path)
        elif os.path.isdir(path) and not _holds_cwd(path):
            found = _folder(path, _files(path))
        else:
            return None
    except OSError as error:
        raise FractaljaxError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError:  # a name that no file can have
        return None
    place = os.path.realpath(path)
    if _latest.setdefault(place, found.sha256) != found.sha256:
        _latest[place] = found.sha256
        for empty in _derived:
            empty()
    return found


def of_module(name: str) -> Content | None:
    """The text of an imported module, or of all modules of its package; None where it lies in no
    file. What was imported counts, so the text is read once a process."""
    top = sys.modules.get(name.partition(".")[0])
    module = top if getattr(top, "__file__", None) else sys.modules.get(name)
    if module is None:
        return None
    if module not in _modules:
        _modules[module] = _text_of(module)
    return _modules[module]


def of_text(text: str) -> Content:
    """Some text that lies in no file of its own."""
    now = datetime.now(UTC).timestamp()
    return Content(hashlib.sha256(text.encode()).hexdigest(), _minute(now))


def _text_of(module: ModuleType) -> Content | None:
    file = getattr(module, "__file__", None)
    if not file or not os.path.isfile(file):
        return None
    try:
        if not hasattr(module, "__path__"):
            return _file(file)
        folder = str(Path(file).parent)
        return _folder(folder, (one for one in _files(folder) if one[0].endswith(CODE)))
    except OSError as error:
        raise FractaljaxError(f"{file} cannot be read: {error.strerror or error}") from None


def _file(path: str) -> Content:
    status = os.stat(path)
    return Content(_digest(path, status), _minute(status.st_mtime))


def _folder(folder: str, files: Iterable[Found]) -> Content:
    whole, newest, count = hashlib.sha256(), 0.0, 0
    for path, status in files:
        name = os.fsencode(os.path.relpath(path, folder))
        whole.update(name + b"\0" + _digest(path, status).encode() + b"\n")
        newest, count = max(newest, status.st_mtime), count + 1
    return Content(whole.hexdigest(), _minute(newest or os.stat(folder).st_mtime), count)


def _files(folder: str) -> Iterator[Found]:
    """All files of a folder and of those below that count, in one order everywhere."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen or (RESULT in names and place != folder):
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(filter(_counts, folders))
        for path in (os.path.join(place, name) for name in sorted(filter(_counts, names))):
            with contextlib.suppress(FileNotFoundError):  # a link to nowhere
                status = os.stat(path)
                if stat.S_ISREG(status.st_mode):
                    yield path, status


def _counts(name: str) -> bool:
    hidden = name.startswith(".") or name == "__pycache__"
    return not hidden and INCOMPLETE not in name and not name.endswith(PARTIAL)


def _digest(path: str, status: os.stat_result) -> str:
    place = status.st_dev, status.st_ino
    stamp = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    known = _digests.get(place)
    if known is None or known[0] != stamp:
        with open(path, "rb") as stream:
            known = (stamp, hashlib.file_digest(stream, "sha256").hexdigest())
        _digests[place] = known
    return known[1]


def _holds_cwd(folder: str) -> bool:
    here, folder = os.path.realpath(os.curdir), os.path.realpath(folder)
    return os.path.commonpath([here, folder]) == folder


def _minute(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
