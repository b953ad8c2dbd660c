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
from collections.abc import Callable, Hashable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, NoReturn, TypeVar

from fractaljax.errors import FractaljaxError

PARTIAL = (".part", ".partial", ".tmp", ".crdownload")  # ends of what is still being written
INCOMPLETE = ".incomplete"  # in the name of a set that tensorflow_datasets is about to prepare
# what is trained is no data: how the folders of results are told from others
FIELD = os.path.join("field", "zarr.json")  # of a scan
BESIDE = {".sums", "claims"}  # one of these lies in the folder of any other result, and ...
SETTINGS = {"config.yaml", "study.yaml", "zoom.json", "run_manifest.yaml"}  # ... one of these
DIGESTS, LINE = "files.jsonl", b'{"setting": "'  # what a result was begun with, and how it begins
CODE = ".py"

T = TypeVar("T")
Found = tuple[str, os.stat_result]


class Content(NamedTuple):
    """What a file or a folder holds."""

    sha256: str
    modified: str  # when its newest file was changed: UTC, to the minute
    files: int | None = None  # of a folder: how many; None: it is a file


_digests: dict[tuple[int, int], tuple[tuple[int, ...], str]] = {}  # by device and inode
_latest: dict[Hashable, Hashable] = {}  # by what caches are keyed by: what was found there last
_derived: list[Callable[[], None]] = []  # each empties a cache of what was made of files
_modules: weakref.WeakKeyDictionary[ModuleType, Content | None] = weakref.WeakKeyDictionary()


def derived(
    maxsize: int,
) -> "Callable[[Callable[..., T]], functools._lru_cache_wrapper[T]]":
    """`functools.lru_cache` for what is made of files and of code; `follow` empties it."""

    def decorate(function: Callable[..., T]) -> "functools._lru_cache_wrapper[T]":
        cached = functools.lru_cache(maxsize)(function)
        _derived.append(cached.cache_clear)
        return cached

    return decorate


def follow(name: Hashable, found: Hashable) -> None:
    """Empties every `derived` cache where `found` is another than it was for this name last.

    Args:
        name: as caches know what was read: a part with its arguments, not a place on the disk,
            which may be another one after `chdir`.
        found: the digests of what it reads now.
    """
    if _latest.setdefault(name, found) != found:
        _latest[name] = found
        for empty in _derived:
            empty()


def look(path: str) -> Content | None:
    """What a file or a folder holds now; None where there is none.

    Of a folder the names and contents of all files count, also in folders below. Hidden and
    unfinished files do not, nor do the folders of results of this package below it.

    Raises:
        FractaljaxError: a file or a folder cannot be read.
    """
    try:
        if os.path.isfile(path):
            return _file(path)
        return _folder(path, _files(path)) if os.path.isdir(path) else None
    except OSError as error:
        where = error.filename or path
        raise FractaljaxError(f"{where} cannot be read: {error.strerror or error}") from None
    except ValueError:  # a name that no file can have
        return None


def holds_cwd(path: str) -> bool:
    """Whether a folder is the one in which this process works, or one above. It has no digest:
    whatever is written would change it."""
    if not os.path.isdir(path):
        return False
    here, folder = os.path.realpath(os.curdir), os.path.realpath(path)
    return os.path.commonpath([here, folder]) == folder


def home_of(module: str) -> str:
    """The module whose text `of_module` takes for a module: the outermost package around it that
    lies in a file, or itself."""
    words = module.split(".")
    around = (".".join(words[:n]) for n in range(1, len(words)))
    return next((one for one in around if getattr(sys.modules.get(one), "__file__", None)), module)


def of_module(name: str) -> Content | None:
    """The text of an imported module; of a package that of all its modules; None where it lies in
    no file. What was imported counts, so the text is read once a process."""
    module = sys.modules.get(name)
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
    for place, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen or (place != folder and _is_result(place, names)):
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(filter(_counts, folders))
        for path in (os.path.join(place, name) for name in sorted(filter(_counts, names))):
            with contextlib.suppress(FileNotFoundError):  # a link to nowhere
                status = os.stat(path)
                if stat.S_ISREG(status.st_mode):
                    yield path, status


def _raise(error: OSError) -> NoReturn:
    raise error


def _is_result(folder: str, names: Iterable[str]) -> bool:
    """Whether a folder with files of these names was written by this package."""
    if os.path.isfile(os.path.join(folder, FIELD)) or (BESIDE & {*names} and SETTINGS & {*names}):
        return True
    if DIGESTS not in names:
        return False
    with open(os.path.join(folder, DIGESTS), "rb") as stream:
        return stream.read(len(LINE)) == LINE


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


def _minute(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
