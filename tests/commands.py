"""Commands and scripts in processes of their own, which have imported everything already."""

import functools
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import NamedTuple

import child
from child import World

WAIT_S = 500.0  # less than a test may take
LOOK_EVERY_S = 0.002
FORKED = multiprocessing.get_context("forkserver")


class Ended(NamedTuple):
    """A command that ended."""

    code: int  # negative: by this signal
    said: str  # standard output
    told: str  # standard error


class Command:
    """A command that runs in a process of its own.

    Args:
        words: what follows `fractaljax` in a shell; with a script what it finds in `sys.argv`.
        script: Python to be run in the place of the command.
    """

    def __init__(self, words: Sequence[object], world: World | None = None, script: str = ""):
        self._place = Path(tempfile.mkdtemp())
        self._place.chmod(0o777)  # the process may be another user's
        self._said, self._told = self._place / "said", self._place / "told"
        self._read = 0  # characters of what it said
        asked, self._asks = FORKED.Pipe(duplex=False)
        job = child.Job([str(w) for w in words], script, dict(os.environ), self._said, self._told)
        _serve()
        self._process = FORKED.Process(
            target=child.run, args=(job, asked, world or World()), daemon=True
        )
        self._process.start()
        asked.close()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    def running(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.kill(self.pid, signal.SIGINT)

    def answer(self, text: str) -> None:
        """Gives it something to read."""
        os.write(self._asks.fileno(), text.encode())

    def line(self) -> str:
        """The next line that it says, waited for; empty once it has ended."""
        end = time.monotonic() + WAIT_S
        while True:
            last = not self.running()  # before the look: what it says at its end is seen
            said = _read(self._said)[self._read :]
            if "\n" in said or last:
                found = said.partition("\n")[0] + "\n" if "\n" in said else said
                self._read += len(found)
                return found
            self._wait(end)

    def told(self) -> str:
        """What it has written to standard error so far."""
        return _read(self._told)

    def until(self, happened: Callable[[], object]) -> None:
        """Waits for something that this command does."""
        end = time.monotonic() + WAIT_S
        while True:
            last = not self.running()
            if happened():
                return
            assert not last, f"it ended before: {self.told()}"
            self._wait(end)

    def ended(self) -> Ended:
        """Waits for its end; it has nothing more to read."""
        self._asks.close()
        end = time.monotonic() + WAIT_S
        while self.running():
            self._process.join(1.0)
            self._wait(end)
        streams = _read(self._said), _read(self._told)
        shutil.rmtree(self._place)
        return Ended(self._process.exitcode or 0, *streams)

    def _wait(self, end: float) -> None:
        """A moment until the next look; a command that is waited for too long is ended."""
        if time.monotonic() > end:
            self.kill()
            raise AssertionError(f"a command hangs: {self.told()}")
        time.sleep(LOOK_EVERY_S)


def run(words: Sequence[object], world: World | None = None, script: str = "") -> Ended:
    """A command from its beginning to its end."""
    return Command(words, world, script).ended()


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@functools.cache
def _serve() -> None:
    """Starts the server that commands are forked from, with everything imported."""
    FORKED.set_forkserver_preload(["child", "preloaded"])
    before = os.environ.get("PYTHONPATH")
    found = [str(Path(__file__).parent), *([before] if before else [])]
    try:  # it finds modules by this alone
        os.environ["PYTHONPATH"] = os.pathsep.join(found)
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
