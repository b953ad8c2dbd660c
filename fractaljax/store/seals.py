"""Checksums of the small files of a study, in `.sums` beside them: a line a content, `sum name`.

A sum is added before its file is replaced, and older ones stay: whatever a killed process left is
one of the contents that are known. A file that no sum tells of is taken as it is: it was written
by an earlier version, or copied alone.
"""

import zlib
from pathlib import Path

from fractaljax.errors import FractaljaxError
from fractaljax.store import disk

SUMS = ".sums"


def replace(path: Path, content: str | bytes) -> None:
    """Writes a file atomically, its sum first."""
    content = content.encode() if isinstance(content, str) else content
    found = _sums(path.parent).get(path.name, [])
    if found[-1:] != [_sum(content)]:
        path.parent.mkdir(exist_ok=True)
        disk.append(path.parent / SUMS, f"{_sum(content)} {path.name}")
    disk.replace(path, content)


def read(path: Path) -> bytes:
    """The content of a file.

    Raises:
        FractaljaxError: it is not one that was written there.
    """
    return _checked(path, disk.regular(path).read_bytes())


def read_text(path: Path) -> str:
    """The same of a small text file; raises ValueError where it is too large, or no text."""
    text = disk.read_text(path)
    _checked(path, text.encode())
    return text


def _checked(path: Path, content: bytes) -> bytes:
    if not _holds(_sums(path.parent).get(path.name, []), content):
        raise FractaljaxError(
            f"{path} is damaged (see {path.parent / SUMS}): remove it, and the command that made "
            "it makes it again"
        )
    return content


def damaged(folder: Path) -> list[Path]:
    """Files of a folder, and of those below, that were written and are not there as written."""
    found = []
    for sums in sorted(folder.rglob(SUMS)):
        for name, known in _sums(sums.parent).items():
            path = sums.parent / name
            if not path.is_file() or not _holds(known, path.read_bytes()):
                found.append(path)
    return found


def _holds(known: list[str], content: bytes) -> bool:
    return not known or _sum(content) in known


def _sums(folder: Path) -> dict[str, list[str]]:
    """Name -> the sums of all its contents; lines that are none are passed over."""
    try:
        lines = disk.read(folder / SUMS, disk.MAX_TEXT).split(b"\n")
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise FractaljaxError(f"{folder / SUMS}: {error}") from None
    found: dict[str, list[str]] = {}
    for line in lines:
        mark, _, name = line.decode(errors="replace").partition(" ")
        if len(mark) == 8 and name and "/" not in name:
            found.setdefault(name, []).append(mark)
    return found


def _sum(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"
