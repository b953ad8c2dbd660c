"""What a person sees while a scan runs: a bar on a terminal, a line now and then in a log."""

import logging
import signal
import sys
import time
from typing import Any

import numpy as np

log = logging.getLogger("fractaljax")
LOG_EVERY_S = 30.0  # between two lines where there is no terminal


class Reporter:
    """Shows tiles as they come, and turns Ctrl-C into an end after the running tile.

    Use it as a context; pass `on_tile` to `scan`.
    """

    def __init__(self, title: str):
        self._title = title
        self._asked = False  # whether Ctrl-C was pressed
        self._bar: Any = None
        self._said = time.monotonic()
        self._converged = self._seen = 0

    def __enter__(self) -> "Reporter":
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        if sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=None, note="compiling")
        return self

    def __exit__(self, *error: Any) -> None:
        signal.signal(signal.SIGINT, self._before)
        if self._bar:
            self._bar.stop()

    def on_tile(self, progress: Any) -> None:
        """Shows one more tile; raises KeyboardInterrupt if the user asked to stop."""
        rate = progress.pixels / max(progress.seconds, 1e-9)
        remaining = progress.left / rate
        note = f"{rate:,.0f} pixels/s, {_duration(remaining)} left{self._share(progress.readings)}"
        if self._bar:
            done = progress.total - progress.left
            self._bar.update(self._task, total=progress.total, completed=done, note=note)
        elif time.monotonic() - self._said >= LOG_EVERY_S:
            self._said = time.monotonic()
            done = 1 - progress.left / progress.total
            log.info("%s: %.1f %%, %s", self._title, 100 * done, note)
        if self._asked and progress.left:
            raise KeyboardInterrupt

    def _share(self, readings: dict[str, np.ndarray]) -> str:
        """The share of networks that converged so far in this run, where a reading tells."""
        if "measure" in readings:
            good = readings["measure"] < 0
        elif "status" in readings:
            good = readings["status"] == 0
        else:
            return ""
        self._converged += int(good.sum())
        self._seen += good.size
        return f", {100 * self._converged / self._seen:.1f} % converged"

    def _interrupt(self, *_: Any) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        log.warning("stopping after this tile; Ctrl-C again stops at once (the tile is lost)")


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        "[bold]{task.description}",
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
    )
    return Progress(*columns, console=Console(stderr=True))


def _duration(seconds: float) -> str:
    """`3 h 12 min`, `5 min 08 s` or `12 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
