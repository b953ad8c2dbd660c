"""The folder that all machines share: who wrote into it, and whether that is to be seen here."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from fractaljax.errors import FractaljaxError

SEEN_S = 30.0  # until what a worker wrote must be visible here, over a network file system
LOOK_S = 0.1


def whoami() -> str:
    """This process in messages."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def wait_for(there: Callable[[], bool], what: str, worker: str, folder: Path) -> None:
    """Waits until what a worker has written is there.

    Raises:
        FractaljaxError: it does not come.
    """
    until = time.monotonic() + SEEN_S
    while not there():
        if time.monotonic() > until:
            raise FractaljaxError(
                f"{worker} has written {what} into {folder}, which is not there here: the folder "
                "must be one that all machines share"
            )
        time.sleep(LOOK_S)
