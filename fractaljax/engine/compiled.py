"""Compiled programs, kept in the user's cache folder for later processes.

JAX's own store of compiled programs (0.10.2, `jax/_src/lru_cache.py`) does not suit programs that
take a millisecond to load. It writes entries in place: a process that is killed leaves a part of
one, which is never replaced. Its size limit reads the time of last use of every entry before every
write, under one lock for all processes. And it hands XLA whatever bytes it finds. So `Store` takes
its place behind JAX's interface; where a later JAX has no such interface, JAX's own store is used.

An entry is a file: a digest of its name and a compiled program, and the program. Its time of
modification is the time of its last use, to the day. Programs run with the rights of the user, so
that a folder which another user owns or may write is not used.
"""

import contextlib
import functools
import hashlib
import logging
import os
import re
import stat
import time
import uuid
from pathlib import Path

import jax
from jaxlib.version import __version__ as jaxlib_version

from fractaljax import machine

log = logging.getLogger("fractaljax")
LIMIT = 2**30  # bytes of all programs, of all versions of jaxlib together
TRIMMED_TO = 0.75  # of the limit, by leaving out what was not used for longest
TRIM_EVERY = LIMIT // 16  # bytes that one process writes before it looks at the size again
DIGEST = 32  # bytes of a SHA-256
DAY_S, HOUR_S = 86_400, 3_600
PART = ".part-"  # begins the name of a file that is not whole yet
# the files of this module, and those that JAX's own store left here before 0.2
NAMED = re.compile(rf"[0-9a-f]{{64}}|{re.escape(PART)}.*|.*-(cache|atime)")


def keep() -> None:
    """Has JAX keep its compiled programs, from the first millisecond of compilation on.

    Nothing happens where the user gave JAX a folder, or where ours cannot be used: programs are
    then compiled in every process.
    """
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    place = folder()
    if place is None or not _usable(place):
        return
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    _take_over(place)


def folder() -> Path | None:
    """The folder of this jaxlib and this processor: the programs of others do not run here."""
    base = machine.cache_folder()
    if base is None:
        _refused("no home folder")
        return None
    about = f"{jaxlib_version} {machine.processor()}"
    return base / "xla" / f"{jaxlib_version}-{hashlib.sha256(about.encode()).hexdigest()[:12]}"


@functools.cache
def _refused(why: str) -> None:
    """Tells once why programs are not kept."""
    log.debug("%s; compiled programs are not kept", why)


def _usable(place: Path) -> bool:
    """Whether the folder is there, or could be made, and nobody else can write into it."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.stat()
    except OSError as error:
        _refused(f"{place}: {error.strerror}")
        return False
    ours = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
    if not ours or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        _refused(f"{place}: other users can write there")
        return False
    return True


def _take_over(place: Path) -> None:
    """Puts `Store` where JAX looks for its own."""
    try:
        from jax._src import compilation_cache

        original = compilation_cache.get_file_cache
    except (ImportError, AttributeError):
        log.debug("this JAX has no store of compiled programs that can be replaced; using its own")
        return

    def ours(path: str):
        return (Store(place), path) if path == str(place) else original(path)

    compilation_cache.get_file_cache = ours


class Store:
    """Compiled programs in a folder, behind JAX's `CacheInterface`; any number of processes may
    use the folder. Neither method raises: a program that is not kept is compiled."""

    def __init__(self, place: Path, limit: int = LIMIT):
        self._path = place  # the name JAX looks for
        self._limit = limit
        self._unchecked = limit  # bytes written since the size was known: it never was
        self._writes = True

    def get(self, key: str) -> bytes | None:
        """The program of a key; None where there is none, or a damaged one, which is removed."""
        file = self._file(key)
        try:
            content = file.read_bytes()
        except OSError:
            return None
        digest, program = content[:DIGEST], content[DIGEST:]
        if _digest(file, program) == digest:
            with contextlib.suppress(OSError):  # of a read-only folder, or removed meanwhile
                if time.time() - file.stat().st_mtime > DAY_S:
                    os.utime(file)
            return program
        log.debug("%s: damaged; compiled again", file)
        with contextlib.suppress(OSError):
            file.unlink()
        return None

    def put(self, key: str, value: bytes) -> None:
        """Keeps a program, whole or not at all; after the first one that the disk does not take,
        this process tries no more."""
        if not self._writes:
            return
        file = self._file(key)
        part = self._path / f"{PART}{uuid.uuid4().hex}"  # machines that share a disk share pids
        try:
            part.write_bytes(_digest(file, value) + value)
            os.replace(part, file)
        except OSError as error:
            self._writes = False
            _refused(f"{self._path}: {error.strerror}")
            with contextlib.suppress(OSError):
                part.unlink()
            return
        self._unchecked += len(value)
        if self._unchecked >= min(TRIM_EVERY, self._limit):
            self._unchecked = 0
            trim(self._path.parent, self._limit)

    def _file(self, key: str) -> Path:
        return self._path / hashlib.sha256(key.encode()).hexdigest()  # keys are of any length


def _digest(file: Path, program: bytes) -> bytes:
    return hashlib.sha256(file.name.encode() + program).digest()


def trim(root: Path, limit: int = LIMIT) -> None:
    """Removes the programs that were not used for longest once all take more than `limit` bytes;
    and parts that a killed process left. Several processes may do so at once.

    Args:
        root: the folder of all versions, each with a folder of its own. What is not named as a
            program is, or lies deeper, is not ours and stays.
    """
    found = []
    for path in _programs(root):
        with contextlib.suppress(OSError):
            about = path.lstat()
            if stat.S_ISREG(about.st_mode):
                found.append((about.st_mtime, about.st_size, path))
    total = sum(size for _, size, _ in found)
    most = limit * TRIMMED_TO if total > limit else total
    for used, size, path in sorted(found):
        abandoned = path.name.startswith(PART) and time.time() - used > HOUR_S
        if total > most or abandoned:
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size


def _programs(root: Path) -> list[Path]:
    """The files of programs and parts of them; what others remove meanwhile is no error."""
    found: list[Path] = []
    for pattern in ("*", "*/*"):
        with contextlib.suppress(OSError):
            found += root.glob(pattern)
    return [path for path in found if NAMED.fullmatch(path.name)]
