"""The queue: urgent work first, each piece once, none that nobody awaits."""

import threading
from concurrent.futures import CancelledError

import pytest

from fractaljax.explorer import queue as queues
from fractaljax.explorer.queue import RENDER, TILE, URGENT, Queue, Urgency
from fractaljax.explorer.refusals import Busy

WAIT_S = 10


@pytest.fixture
def queue():
    made = Queue(most=5)
    yield made
    made.stop()


class Log:
    """Work that notes its slices, and can be told to hold on."""

    def __init__(self):
        self.slices, self.closed = [], []
        self.held, self.go = threading.Event(), threading.Event()

    def work(self, name, slices=1):
        try:
            for _ in range(slices):
                self.slices.append(name)
                yield 0.0
        except GeneratorExit:
            self.closed.append(name)
            raise
        return name

    def hold(self):
        """A slice that lasts until `go`."""
        self.held.set()
        self.go.wait(WAIT_S)
        yield 0.0


def ask(queue, log, name, rank=TILE, level=6, slices=1, **options):
    return queue.ask(name, lambda: log.work(name, slices), Urgency(rank, level), **options)


def held(queue, log):
    """The queue with its thread busy in a slice."""
    future = queue.ask("held", log.hold, Urgency(URGENT, 0))
    queue.start()
    assert log.held.wait(WAIT_S)
    return future


def test_what_is_urgent_comes_first_then_coarse_levels_then_what_was_asked_last(queue, monkeypatch):
    monkeypatch.setattr(queues, "FAIR", 10**9)
    log = Log()
    order = [("render", RENDER, 0), ("old", TILE, 9), ("new", TILE, 9), ("coarse", TILE, 8)]
    futures = [ask(queue, log, *what) for what in order]
    futures.append(ask(queue, log, "click", URGENT))
    queue.start()
    assert [f.result(WAIT_S) for f in futures] == [*(o[0] for o in order), "click"]
    assert log.slices == ["click", "coarse", "new", "old", "render"]


def test_what_is_asked_twice_is_done_once(queue):
    log = Log()
    futures = [ask(queue, log, "tile") for _ in range(3)]
    queue.start()
    assert [f.result(WAIT_S) for f in futures] == ["tile"] * 3
    assert log.slices == ["tile"]


def test_what_nobody_awaits_is_dropped_before_it_starts(queue):
    log = Log()
    first = held(queue, log)
    dropped, kept = ask(queue, log, "dropped"), ask(queue, log, "kept")
    shared = [ask(queue, log, "shared") for _ in range(2)]
    assert queue.waiting == 4
    dropped.cancel()
    shared[0].cancel()
    assert queue.waiting == 3
    log.go.set()
    assert (kept.result(WAIT_S), shared[1].result(WAIT_S)) == ("kept", "shared")
    first.result(WAIT_S)
    assert sorted(log.slices) == ["kept", "shared"]
    with pytest.raises(CancelledError):
        dropped.result(WAIT_S)


def test_what_has_begun_ends_after_its_slice_when_nobody_awaits_it(queue):
    log = Log()
    begun = ask(queue, log, "begun", slices=10**9)
    queue.start()
    while not log.slices:
        pass
    begun.cancel()
    assert ask(queue, log, "next", RENDER).result(WAIT_S) == "next"
    assert log.closed == ["begun"] and queue.waiting == 0


def test_long_work_lets_urgent_work_through_and_is_not_starved_by_it(queue):
    log = Log()
    long = ask(queue, log, "render", RENDER, slices=20)  # the oldest
    tiles = [ask(queue, log, f"tile {i}", slices=20) for i in range(3)]
    queue.start()
    [f.result(WAIT_S) for f in (*tiles, long)]
    while_tiles_were_there = log.slices[:60]
    assert 2 <= while_tiles_were_there.count("render") <= 15


def test_what_has_begun_is_finished_before_its_equals_begin_and_the_oldest_is_never_starved(queue):
    log = Log()
    deep = ask(queue, log, "deep", TILE, level=20, slices=8)
    begun = ask(queue, log, "begun", slices=30)
    queue.start()
    while not log.slices:
        pass
    others = [ask(queue, log, f"later {i}", slices=30) for i in range(2)]
    assert [f.result(WAIT_S) for f in (begun, deep, *others)][:2] == ["begun", "deep"]
    end = max(i for i, name in enumerate(log.slices) if name == "begun")
    assert not any(name.startswith("later") for name in log.slices[:end])
    assert 6 <= log.slices[:end].count("deep") <= 8


def test_a_full_queue_refuses(queue):
    log = Log()
    held(queue, log)
    for i in range(4):
        ask(queue, log, i)
    with pytest.raises(Busy, match="waiting"):
        ask(queue, log, "one more")
    again = ask(queue, log, 3)  # what waits already may be asked again
    log.go.set()
    assert again.result(WAIT_S) == 3


def test_work_that_fails_tells_all_and_the_next_goes_on(queue):
    def fails():
        yield 0.0
        raise OSError("disk full")

    futures = [queue.ask("bad", fails, Urgency(TILE, 6)) for _ in range(2)]
    queue.start()
    for future in futures:
        with pytest.raises(OSError, match="disk full"):
            future.result(WAIT_S)
    assert ask(queue, Log(), "next").result(WAIT_S) == "next"


def test_work_that_is_not_ready_waits_without_being_in_the_way(queue):
    log, ready = Log(), threading.Event()
    early = ask(queue, log, "early", URGENT, ready=ready.is_set)
    queue.start()
    assert ask(queue, log, "late", RENDER).result(WAIT_S) == "late"
    assert log.slices == ["late"]
    ready.set()
    queue.wake()
    assert early.result(WAIT_S) == "early"


def test_whoever_waits_when_the_queue_stops_is_told(queue):
    log = Log()
    held(queue, log)
    waiting = ask(queue, log, "waiting")
    log.go.set()
    queue.stop()
    with pytest.raises(Busy, match="ends"):
        waiting.result(WAIT_S)
    assert not queue.alive
