"""Small files, written whole; and what goes wrong on a disk, told in one line."""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fractaljax.errors import FractaljaxError

MAX_TEXT = 2**24  # bytes of a file that says what a store holds


def read_text(path: Path) -> str:
    """A small text file.

    Raises:
        ValueError: it is larger than `MAX_TEXT`, or no text.
        OSError: it cannot be read.
    """
    return read(path, MAX_TEXT).decode()


def regular(path: Path) -> Path:
    """The same path; raises OSError unless it is a regular file: nothing waits for a pipe."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return path


def read(path: Path, most: int) -> bytes:
    """A file of at most so many bytes.

    Raises:
        ValueError: it is larger.
        OSError: it cannot be read.
    """
    with regular(path).open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"larger than {most} bytes")
    return content


def from_json(text: str | bytes) -> Any:
    """What JSON text says; raises ValueError for whatever is none."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


@contextlib.contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Turns what the operating system or the array library says into one line."""
    try:
        yield
    except FractaljaxError:
        raise
    except (OSError, ValueError) as error:
        raise FractaljaxError(f"{path}: {reason(error)}. What is finished is kept.") from error


def reason(error: BaseException) -> str:
    """What an error says, without the operating system's or the array library's details."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error).split(" [")[0].split("\n")[0].replace("\x00", "/")


def replace(path: Path, content: str | bytes) -> None:
    """Writes a small file atomically; its folder is made, but none above: one that is gone since
    this process began is not to be there again with a part of what it held."""
    path.parent.mkdir(exist_ok=True)
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        fresh.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def append(path: Path, line: str) -> None:
    """Adds one line, in one write; a line cut off by a crash is ended first."""
    with open(path, "a+b") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        cut = file.read(1) not in (b"", b"\n")
        file.write(b"\n" * cut + line.encode() + b"\n")
