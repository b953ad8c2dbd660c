"""What a person sees while something long runs: a bar on a terminal, a line at times in a log."""

import logging
import signal
import sys
import time
from typing import Any

log = logging.getLogger("fractaljax")
LOG_EVERY_S = 30.0  # between two lines where there is no terminal


class Gauge:
    """A bar on a terminal, a line now and then in a log. Use it as a context."""

    def __init__(self, title: str, note: str):
        self._title, self._note = title, note
        self._bar: Any = None
        self._said = time.monotonic()

    def __enter__(self) -> "Gauge":
        if sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=None, note=self._note)
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, done: float, total: int, note: str) -> None:
        """How far it is, and what there is to say."""
        if self._bar:
            self._bar.update(self._task, total=total, completed=done, note=note)
        elif time.monotonic() - self._said >= LOG_EVERY_S:
            self._said = time.monotonic()
            log.info("%s: %.1f %%, %s", self._title, 100 * done / total, note)


class Stopper:
    """Turns Ctrl-C into an end after the running piece of work. Use it as a context.

    Args:
        piece: what is finished first, in a word.
    """

    def __init__(self, piece: str):
        self._piece = piece
        self._asked = False  # whether Ctrl-C was pressed

    def __enter__(self) -> "Stopper":
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *error: Any) -> None:
        signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raises KeyboardInterrupt if the user asked to stop."""
        if self._asked:
            raise KeyboardInterrupt

    def _interrupt(self, *_: Any) -> None:
        self.check()
        self._asked = True
        log.warning(
            "stopping after this %s; Ctrl-C again stops at once (the %s is lost)",
            self._piece,
            self._piece,
        )


class Reporter:
    """Shows tiles as they come, and turns Ctrl-C into an end after the running tile.

    Use it as a context; pass `on_tile` to `scan`.
    """

    def __init__(self, title: str):
        self._gauge, self._stopper = Gauge(title, "compiling"), Stopper("tile")
        self._converged = self._seen = 0

    def __enter__(self) -> "Reporter":
        self._stopper.__enter__()
        self._gauge.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stopper.__exit__(*error)
        self._gauge.__exit__(*error)

    def on_tile(self, progress: Any) -> None:
        """Shows one more tile; raises KeyboardInterrupt if the user asked to stop."""
        rate = max(progress.pixels, 1) / max(progress.seconds, 1e-9)  # a tile may be all known
        remaining = progress.left / rate
        note = f"{rate:,.0f} pixels/s, {duration(remaining)} left{self._share(progress.readings)}"
        self._gauge.show(progress.total - progress.left, progress.total, note)
        if progress.left:
            self._stopper.check()

    def _share(self, readings: dict[str, Any]) -> str:
        """The share of networks that converged so far in this run, where a reading tells."""
        from fractaljax.analysis import edges

        name = edges.telling(readings)
        if name is None:
            return ""
        good = edges.converged(readings[name], name)
        self._converged += int(good.sum())
        self._seen += good.size
        return f", {100 * self._converged / self._seen:.1f} % converged"


def _bar() -> Any:
    """A bar on the terminal, with room for a note."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        "[bold]{task.description}",
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
    )
    return Progress(*columns, console=Console(stderr=True))


def duration(seconds: float) -> str:
    """`3 h 12 min`, `5 min 08 s` or `12 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def epochs_note(look: Any) -> str:
    """How far the members of a cohort are, and how long it may still take."""
    rate = look.trained / max(look.seconds, 1e-9)
    left = look.alive * (look.epochs - look.epoch) / max(rate, 1e-9)
    return (
        f"epoch {look.epoch:,} of at most {look.epochs:,}, {look.alive} of {look.members} alive, "
        f"{rate:,.1f} epochs/s, at most {duration(left)} left"
    )
