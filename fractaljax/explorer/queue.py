"""One thread that trains: the most urgent work first, each piece once, none that nobody awaits.

Work is a generator that does a slice of less than a second at a time and yields seconds to leave
it alone; what it returns is the answer. Between two slices something more urgent may come first.
"""

import logging
import threading
import time
from collections.abc import Callable, Generator, Hashable
from concurrent.futures import Future
from typing import Any, NamedTuple

from fractaljax.explorer.refusals import Busy

log = logging.getLogger("fractaljax")
Work = Generator[float, None, Any]
URGENT, TILE, RENDER = range(3)
MOST_WAITING = 1024
FAIR = 4  # every so many slices the oldest work gets one, every second time renders included
POLL_S = 0.05  # between two looks at work that is not ready


class Urgency(NamedTuple):
    """What comes first: the lowest rank, then the coarsest level; of equals what has begun, then
    what was asked last."""

    rank: int
    level: int


class _Job:
    def __init__(
        self, key: Hashable, make: Callable[[], Work], urgency: Urgency, ready: Callable[[], bool]
    ):
        self.key, self.urgency, self.ready = key, urgency, ready
        self.make = make
        self.work: Work | None = None
        self.listeners: list[Future] = []
        self.born = self.asked = time.monotonic()
        self.wake = 0.0

    def awaited(self) -> bool:
        return any(not listener.cancelled() for listener in self.listeners)


class Queue:
    """See above; `start` it before, `stop` it after."""

    def __init__(self, most: int = MOST_WAITING):
        self._most = most
        self._jobs: dict[Hashable, _Job] = {}
        self._changed = threading.Condition()
        self._running: _Job | None = None
        self._stopped = False
        self._slices = 0
        self._thread = threading.Thread(target=self._run, name="training", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, wait_s: float = 1.5) -> None:
        """Ends after the running slice; waits for that, but no longer than told."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(wait_s)

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def ask(
        self,
        key: Hashable,
        make: Callable[[], Work],
        urgency: Urgency,
        ready: Callable[[], bool] = lambda: True,
    ) -> Future:
        """What the work with this key returns, in the future; asked for twice, it is done once.

        Cancel the future when nobody waits for it any more: work whose futures are all cancelled
        is dropped, what has begun after its slice.

        Raises:
            Busy: too much is waiting.
        """
        listener: Future = Future()
        with self._changed:
            if self._stopped:
                raise Busy("the server ends")
            self._drop_unawaited()
            job = self._jobs.get(key)
            if job is None:
                if len(self._jobs) >= self._most:
                    raise Busy(f"{len(self._jobs)} requests are waiting already; try again soon")
                job = self._jobs[key] = _Job(key, make, urgency, ready)
            job.urgency = min(job.urgency, urgency)
            job.asked = time.monotonic()
            job.listeners = [f for f in job.listeners if not f.cancelled()] + [listener]
            self._changed.notify_all()
        return listener

    def wake(self) -> None:
        """Something that work waits for may be ready."""
        with self._changed:
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        with self._changed:
            self._drop_unawaited()
            return len(self._jobs)

    @property
    def busy(self) -> bool:
        return self._running is not None

    def has(self, owner: Hashable) -> bool:
        """Whether work waits or runs whose key begins with this owner."""
        with self._changed:
            return any(isinstance(k, tuple) and k[0] == owner for k in self._jobs)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._running = None
                while not self._stopped and (job := self._next()) is None:
                    self._changed.wait(POLL_S if self._jobs else None)
                if self._stopped:
                    break
                self._running = job
            assert job is not None
            self._advance(job)
        for job in list(self._jobs.values()):
            if job.work is not None:
                job.work.close()
            self._end(job, None, Busy("the server ends"))

    def _next(self) -> _Job | None:
        """The job that gets the next slice."""
        self._drop_unawaited()
        now = time.monotonic()
        for job in self._jobs.values():
            if not job.awaited():
                return job  # to be closed, before the same work may begin anew
        able = [j for j in self._jobs.values() if j.wake <= now and (j.work or j.ready())]
        if not able:
            return None
        self._slices += 1
        if self._slices % FAIR == 0:
            tiles = [j for j in able if j.urgency.rank < RENDER]
            return min(tiles if tiles and self._slices % (2 * FAIR) else able, key=lambda j: j.born)
        return min(able, key=lambda j: (j.urgency, j.work is None, -j.asked))

    def _advance(self, job: _Job) -> None:
        """One slice of a job, and its end."""
        with self._changed:
            dropped = not job.awaited()
            if dropped:  # whoever asks from here on gets work of its own
                del self._jobs[job.key]
        try:
            if dropped:
                if job.work is not None:
                    job.work.close()
                return
            if job.work is None:
                job.work = job.make()
            pause = next(job.work)
            job.wake = time.monotonic() + pause if pause else 0.0
        except StopIteration as end:
            self._end(job, end.value, None)
        except BaseException as error:  # of the work: its listeners hear it, the thread goes on
            self._end(job, None, error)

    def _end(self, job: _Job, answer: Any, error: BaseException | None) -> None:
        with self._changed:
            self._jobs.pop(job.key, None)
        for listener in job.listeners:
            if listener.set_running_or_notify_cancel():
                if error is None:
                    listener.set_result(answer)
                else:
                    listener.set_exception(error)

    def _drop_unawaited(self) -> None:
        """Forgets what has not begun and nobody awaits; what has begun ends in its own thread."""
        gone = [k for k, j in self._jobs.items() if j.work is None and not j.awaited()]
        for key in gone:
            if self._jobs[key] is not self._running:
                del self._jobs[key]
