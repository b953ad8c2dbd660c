"""What workers of this terminal are told; imported only where Dask distributed is there."""

import signal
from typing import Any

from distributed import WorkerPlugin


class Deaf(WorkerPlugin):
    """Keeps Ctrl-C from a worker: the driver says when it ends."""

    name = "fractaljax-deaf"
    idempotent = True

    def setup(self, worker: Any) -> None:
        del worker
        signal.signal(signal.SIGINT, signal.SIG_IGN)
