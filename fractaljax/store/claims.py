"""Who trains what, among processes that share a folder: locks on the bytes of one file.

Byte k is locked by the process that trains tile k, byte `PRESENT` by all that work in the folder.
Locks go with their process, so a killed one leaves nothing behind. Some network file systems have
none: there two processes may both train a tile, to the same bits, and nobody is seen to be present.
"""

import errno
import os
from pathlib import Path

from fractaljax.errors import FractaljaxError

try:
    import fcntl
except ImportError:  # Windows: tiles are still written whole, but two processes both train them
    fcntl = None

PRESENT = 2**40  # beyond any tile
LOCKLESS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # file systems that know no locks


class Claims:
    """The claims of this process on a folder, which must exist."""

    def __init__(self, path: Path):
        self._path = path
        self._file = os.open(path / "claims", os.O_RDWR | os.O_CREAT, 0o644)

    def be_alone(self) -> None:
        """Raises while another process works here: it would go on writing into the new result."""
        if not self._lock(PRESENT):
            raise FractaljaxError(f"{self._path}: another process is writing here; stop it first")

    def be_present(self) -> None:
        """Tells others that work goes on here."""
        if fcntl is not None:
            self._on_locks(fcntl.LOCK_SH, PRESENT)

    def take(self, tile: int) -> bool:
        """Whether the tile is this process's to train, from here until it is released."""
        return self._lock(tile)

    def release(self, tile: int) -> None:
        """Leaves a tile to others."""
        if fcntl is not None:
            self._on_locks(fcntl.LOCK_UN, tile)

    def close(self) -> None:
        """Ends every claim; nothing can be claimed afterwards."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _lock(self, byte: int) -> bool:
        if fcntl is None:
            return True
        try:
            self._on_locks(fcntl.LOCK_EX | fcntl.LOCK_NB, byte)
        except OSError:
            return False
        return True

    def _on_locks(self, how: int, byte: int) -> None:
        """Locks or unlocks a byte; nothing happens where the file system knows no locks."""
        try:
            fcntl.lockf(self._file, how, 1, byte)  # pyright: ignore[reportOptionalMemberAccess]
        except OSError as error:
            if error.errno not in LOCKLESS:
                raise
