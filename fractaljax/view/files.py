"""Files that are there whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fractaljax.errors import FractaljaxError


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A stream whose bytes become the file at `path` when the block ends without an exception.

    They are written beside it first: a reader sees the old file or the new one, and a failure
    leaves the old one as it was, and nothing else.

    Raises:
        FractaljaxError: the file cannot be written (no folder, no permission, disk full, ...).
    """
    path = Path(path)
    if "\0" in str(path):
        raise FractaljaxError(f"{path} cannot be written: no name of a file")
    # not tempfile: its files are private to the user, and this one stays
    draft = path.parent / f".fractaljax-{secrets.token_hex(8)}.tmp"
    try:
        try:
            with draft.open("xb") as stream:
                yield stream
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise FractaljaxError(f"{path} cannot be written: {error.strerror or error}") from None
