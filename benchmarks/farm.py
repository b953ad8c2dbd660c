"""The simulation behind atlas.py: many workers, one scheduler, one store.

Workers ask for tiles, train them and put them. Handing out and putting take turns: `service_s`
and `put_s` are how long the scheduler and the store are busy with one tile. A worker that fails
(exponential) loses its tile only; the tile is handed out again once the scheduler knows.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Plan(NamedTuple):
    """One run of the simulation; times in seconds."""

    workers: int
    tiles: int
    seconds: float  # mean of a tile
    uneven: Sequence[float] = (1.0,)  # drawn from, a tile; their mean is 1
    service_s: float = 0.0  # of the scheduler, a tile handed out
    put_s: float = 0.0  # of the store, a tile put
    mtbf_s: float = math.inf  # of one worker
    restart_s: float = 0.0
    detect_s: float = 0.0
    slow_share: float = 0.0
    slow: float = 1.0
    again: bool = True  # lost tiles are handed out again
    copies: bool = False  # the last ones too, while their first worker still trains


class Outcome(NamedTuple):
    """How it went."""

    makespan: float  # until the last tile that comes is in the store
    done: int
    lost: int  # times that a worker was lost with a tile
    wasted: float  # worker-seconds on tiles that were lost or already there
    tail: float  # from the first worker without a tile to the end
    handed: int


class Farm:
    """The simulation: `Farm(plan, seed).run()`. The same seed, the same Outcome."""

    def __init__(self, plan: Plan, seed: int = 0):
        self._plan, self._random = plan, random.Random(seed)
        rng = np.random.default_rng(seed)
        self._work = plan.seconds * rng.choice(np.asarray(plan.uneven, float), plan.tiles)
        slow = rng.permutation(plan.workers) < round(plan.slow_share * plan.workers)
        self._pace = np.where(slow, plan.slow, 1.0)
        self._queue = deque(range(plan.tiles))
        self._running: dict[int, int] = {}  # tile -> workers on it, in the order they began
        self._copied: set[int] = set()
        self._done = np.zeros(plan.tiles, bool)
        self._idle: list[int] = []
        self._events: list[tuple] = []  # (time, number, action, arguments)
        self._number = self._lost = self._handed = self._left = 0
        self._scheduler = self._store = self._wasted = self._end = 0.0  # first two: busy until
        self._first_idle: float | None = None

    def run(self) -> Outcome:
        plan = self._plan
        self._left = plan.tiles
        for worker in range(plan.workers):
            self._at(0.0, self._ask, worker)
        while self._events and self._left:
            now, _, action, arguments = heapq.heappop(self._events)
            action(now, *arguments)
        tail = 0.0 if self._first_idle is None else max(0.0, self._end - self._first_idle)
        done = plan.tiles - self._left
        return Outcome(self._end, done, self._lost, self._wasted, tail, self._handed)

    def _at(self, when: float, action, *arguments) -> None:
        self._number += 1
        heapq.heappush(self._events, (when, self._number, action, arguments))

    def _ask(self, now: float, worker: int) -> None:
        """A worker without a tile: one of the queue, a copy of a running one, or none."""
        tile = self._next(now)
        if tile is None:
            self._idle.append(worker)
            return
        self._handed += 1
        self._running[tile] = self._running.get(tile, 0) + 1
        self._scheduler = max(now, self._scheduler) + self._plan.service_s
        start, work = self._scheduler, self._work[tile] * self._pace[worker]
        # failures have no memory: a fresh draw for every tile is the same process
        mtbf = self._plan.mtbf_s
        until = math.inf if math.isinf(mtbf) else self._random.expovariate(1 / mtbf)
        if until < work:
            self._at(start + until, self._fail, worker, tile, until)
        else:
            self._at(start + work, self._put, worker, tile, work)

    def _next(self, now: float) -> int | None:
        if self._queue:
            return self._queue.popleft()
        if self._first_idle is None:
            self._first_idle = now
        if self._plan.copies:
            for tile in self._running:  # the one that has been trained the longest comes first
                if tile not in self._copied:
                    self._copied.add(tile)
                    return tile
        return None

    def _put(self, now: float, worker: int, tile: int, work: float) -> None:
        """A trained tile waits for the store, and its worker with it."""
        if self._done[tile]:
            self._wasted += work
            self._at(now, self._ask, worker)
            return
        self._store = max(now, self._store) + self._plan.put_s
        self._at(self._store, self._kept, worker, tile, work)

    def _kept(self, now: float, worker: int, tile: int, work: float) -> None:
        if self._done[tile]:  # its copy was put meanwhile
            self._wasted += work
        else:
            self._done[tile] = True
            self._left -= 1
            self._end = now
        self._running.pop(tile, None)
        self._at(now, self._ask, worker)

    def _fail(self, now: float, worker: int, tile: int, work: float) -> None:
        self._lost += 1
        self._wasted += work
        self._at(now + self._plan.restart_s, self._ask, worker)
        self._at(now + self._plan.detect_s, self._miss, tile)

    def _miss(self, now: float, tile: int) -> None:
        """The scheduler knows that a worker is gone; nobody else may be on its tile."""
        if self._done[tile] or tile not in self._running:
            return
        self._running[tile] -= 1
        if self._running[tile]:
            return
        del self._running[tile]
        self._copied.discard(tile)
        if self._plan.again:
            self._queue.append(tile)
            if self._idle:
                self._at(now, self._ask, self._idle.pop())
