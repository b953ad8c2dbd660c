"""Handing out pieces of work, one a worker at a time, and taking their receipts.

Which worker has a piece is decided here, so that a worker that dies costs this piece and no other.
A piece that kills its workers is set aside and named in the end; where the last ones take long
they are handed out a second time, and the first receipt counts.
"""

import contextlib
import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from statistics import median
from typing import Any, NamedTuple

from fractaljax import config
from fractaljax.cluster import fitness
from fractaljax.cluster.connect import Gone, Team
from fractaljax.engine import plan
from fractaljax.errors import FractaljaxError

TICK_S = 0.2  # between two looks at what is late
BUSY_S = 0.5  # until a piece is tried again that somebody else is at
PATIENCE_S = 2.0  # a piece younger than this is never late
LATE = 3.0  # times the usual, from which on a piece is late
UNKNOWN_S = 120.0  # patience while nothing has come back
TRIES = 3  # of a piece that kills its worker, or fails for no known reason
FETCH_S = 5.0  # for a receipt whose worker may have gone


class Piece(NamedTuple):
    """One piece of work: `task(*args, copy)` on a worker, `copy` where another may be at it."""

    name: str  # in messages
    task: Callable[..., Any]
    args: tuple[Any, ...]


class Busy(NamedTuple):
    """The receipt of a piece that could not be done now: somebody is at it, or it must wait."""

    why: str


class _Context(NamedTuple):
    """What a process must be for a piece."""

    versions: dict[str, str]
    plugins: list[str]
    dtype: str
    devices: int | None
    crowded: bool


class _Done(NamedTuple):
    worker: str
    receipt: Any


class _Failed(NamedTuple):
    worker: str
    why: str
    told: bool  # whether the user can mend it
    unfit: bool = False  # whether it lies in the worker alone


class _Hand(NamedTuple):
    piece: Piece
    since: float
    worker: str


def deal(
    team: Team,
    pieces: Iterable[Piece],
    *,
    dtype: str,
    heard: Callable[[Piece, Any], Any],
    shown: Callable[[], Any] = lambda: None,
    short: bool = True,
) -> None:
    """Has all pieces done.

    Args:
        pieces: a deque may be added to while this goes on.
        dtype: precision of JAX that they need.
        heard: called with every piece and its receipt, once.
        shown: called after that, and every so often; what it raises ends the work.
        short: whether they last seconds. Late ones are then handed out again, and an end waits
            for those that run.

    Raises:
        FractaljaxError: what a piece said, or which pieces cost their workers every time; all
            others are done by then.
    """
    waiting = pieces if isinstance(pieces, deque) else deque(pieces)
    versions, plugins = fitness.versions(), fitness.plugins()
    context = _Context(versions, plugins, dtype, team.devices, team.crowded)
    _Dealer(team, waiting, context, heard, shown, short).run()


def ask(team: Team, piece: Piece, dtype: str) -> Any:
    """The receipt of one piece."""
    found = []
    deal(team, [piece], dtype=dtype, heard=lambda _, receipt: found.append(receipt))
    return found[0]


class _Dealer:
    def __init__(
        self,
        team: Team,
        waiting: deque[Piece],
        context: _Context,
        heard: Callable[[Piece, Any], Any],
        shown: Callable[[], Any],
        short: bool,
    ):
        self._team, self._waiting, self._context = team, waiting, context
        self._heard, self._shown, self._short = heard, shown, short
        self._running: dict[Any, _Hand] = {}  # by future
        self._later: list[tuple[float, Piece]] = []  # until when, of those that were busy
        self._busy_since: dict[str, float] = {}
        self._tried: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self._done: set[str] = set()
        self._seconds: deque[float] = deque(maxlen=101)  # of the last pieces
        self._finished: queue.SimpleQueue = queue.SimpleQueue()

    def run(self) -> None:
        try:
            while self._waiting or self._later or self._unfinished():
                self._hand_out()
                self._take(TICK_S)
                self._shown()
        except (KeyboardInterrupt, FractaljaxError) as error:
            if self._short and not isinstance(error, Gone):
                self._drain()
            raise
        finally:
            self._cancel(list(self._running))
        if self._failed:
            told = "; ".join(f"{name}: {why}" for name, why in self._failed.items())
            raise FractaljaxError(f"{told}. Everything else is finished.")

    def _unfinished(self) -> list[_Hand]:
        """What is being done and has not come from anybody else."""
        return [hand for hand in self._running.values() if hand.piece.name not in self._done]

    def _hand_out(self) -> None:
        now, workers = time.monotonic(), self._team.workers()
        self._take_back()
        self._waiting.extend(piece for until, piece in self._later if until <= now)
        self._later = [(until, piece) for until, piece in self._later if until > now]
        at_work = {hand.worker for hand in self._running.values()}
        free = deque(worker for worker in workers if worker not in at_work)
        while self._waiting and free:
            self._submit(self._waiting.popleft(), free.popleft())
        if self._short and free and not self._waiting:
            self._repeat(now, free)

    def _take_back(self) -> None:
        """What was handed to workers that are gone."""
        lost = [f for f, hand in self._running.items() if hand.worker not in self._team.present]
        self._cancel(lost)
        for future in lost:
            piece = self._running.pop(future).piece
            if piece.name not in self._done:
                self._killed(piece)

    def _cancel(self, futures: list[Any]) -> None:
        """Nobody waits for these any more; a scheduler that is gone need not hear of it."""
        if futures:
            with contextlib.suppress(OSError, TimeoutError, RuntimeError):
                self._team.client.cancel(futures)

    def _repeat(self, now: float, free: deque[str]) -> None:
        """Hands late pieces out again, the oldest first, to workers that have nothing to do."""
        hands = sorted(self._unfinished(), key=lambda hand: hand.since)
        names = [hand.piece.name for hand in hands]
        for hand in hands:
            # what failed before might kill another worker
            late = now - hand.since > self._patience() and hand.piece.name not in self._tried
            if free and late and names.count(hand.piece.name) < 2:
                self._submit(hand.piece, free.popleft(), copy=True)

    def _patience(self) -> float:
        usual = LATE * median(self._seconds) if self._seconds else UNKNOWN_S
        return max(PATIENCE_S, usual)

    def _submit(self, piece: Piece, worker: str, copy: bool = False) -> None:
        busy = self._busy_since.get(piece.name)
        if self._short and busy is not None:
            copy = copy or time.monotonic() - busy > self._patience()
        future = self._team.client.submit(
            _perform,
            self._context,
            piece.task,
            piece.args,
            copy,
            key=f"fractaljax-{uuid.uuid4().hex}",
            pure=False,
            workers=[worker],
            resources=self._team.resources or None,
        )
        self._running[future] = _Hand(piece, time.monotonic(), worker)
        future.add_done_callback(self._finished.put)

    def _take(self, seconds: float) -> None:
        """Everything that has come back, waiting so long for the first."""
        try:
            future = self._finished.get(timeout=seconds)
            while True:
                self._took(future)
                future = self._finished.get_nowait()
        except queue.Empty:
            return

    def _took(self, future: Any) -> None:
        hand = self._running.pop(future, None)
        if hand is None or hand.piece.name in self._done:
            return
        if future.status == "error":
            self._broke(hand.piece, future)
            return
        if future.status != "finished":  # nobody but a scheduler that is gone
            raise Gone()
        try:
            answer = future.result(timeout=FETCH_S)
        except TimeoutError:  # its worker went with the receipt, or stands still: another does it
            self._cancel([future])
            self._again(hand.piece, f"at last {hand.worker} did not send its receipt")
            return
        except (OSError, RuntimeError, CancelledError):  # nobody could be asked for it
            raise Gone() from None
        self._answered(hand, answer)

    def _answered(self, hand: _Hand, answer: _Done | _Failed) -> None:
        piece, now = hand.piece, time.monotonic()
        if isinstance(answer, _Done) and not isinstance(answer.receipt, Busy):
            self._done.add(piece.name)
            self._failed.pop(piece.name, None)
            self._seconds.append(now - hand.since)
            self._heard(piece, answer.receipt)
        elif isinstance(answer, _Done):
            self._busy_since.setdefault(piece.name, now)
            self._later.append((now + BUSY_S, piece))
        elif answer.unfit:
            self._team.leave_out(answer.worker, answer.why)
            if not self._others(piece):
                self._waiting.append(piece)
        elif answer.told:
            raise FractaljaxError(answer.why)
        else:
            self._again(piece, f"at last on {answer.worker}: {answer.why}")

    def _broke(self, piece: Piece, future: Any) -> None:
        """A piece without an answer: its worker died, or the cluster would not have it."""
        from distributed.scheduler import KilledWorker

        error = future.exception()
        if isinstance(error, KilledWorker):
            self._killed(piece)
        else:
            line = (str(error).splitlines() or [""])[0]
            self._again(piece, f"{type(error).__name__}: {line}")

    def _killed(self, piece: Piece) -> None:
        self._again(
            piece, "its worker was killed every time (out of memory? a smaller --chunk needs less)"
        )

    def _again(self, piece: Piece, why: str) -> None:
        """Another try of a piece, unless it had enough of them."""
        self._tried[piece.name] = self._tried.get(piece.name, 0) + 1
        if self._tried[piece.name] >= TRIES:
            self._failed[piece.name] = f"failed {TRIES} times, {why}"
        elif not self._others(piece):
            self._waiting.append(piece)

    def _others(self, piece: Piece) -> bool:
        """Whether somebody else is at a piece."""
        return any(hand.piece.name == piece.name for hand in self._running.values())

    def _drain(self) -> None:
        """Waits for what runs: it is nearly done, and is not lost. Not for what is late."""
        while any(time.monotonic() - h.since < self._patience() for h in self._unfinished()):
            try:
                self._take(TICK_S)
            except FractaljaxError:
                continue  # the first one said is the one to be told


def _perform(context: _Context, task: Callable[..., Any], args: tuple, copy: bool) -> Any:
    """One piece, on a worker."""
    import distributed

    worker = distributed.get_worker().address
    try:
        why = fitness.unfit(context.versions)
        if why:
            return _Failed(worker, why, told=False, unfit=True)
        config.load_plugins(context.plugins)
        plan.prepare(context.dtype, context.devices)
        if context.crowded and plan.mesh().devices.flat[0].platform != "cpu":
            raise FractaljaxError(
                "cluster local:N: its workers would share the GPUs of this machine; start a worker "
                "a GPU, as deploy/README.md says, and give --cluster their scheduler's address"
            )
        return _Done(worker, task(*args, copy))
    except fitness.Unfit as error:
        return _Failed(worker, str(error), told=False, unfit=True)
    except FractaljaxError as error:
        return _Failed(worker, str(error), told=True)
    except Exception as error:  # whatever it is, the driver says where it was
        line = (str(error).splitlines() or [""])[0]
        return _Failed(worker, f"{type(error).__name__}: {line}", told=False)
