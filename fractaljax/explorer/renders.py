"""Renders: a box of a map at full resolution, in the background; an ordinary result folder."""

import itertools
import threading
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from fractaljax import config
from fractaljax.explorer import geometry
from fractaljax.explorer.geometry import TILE
from fractaljax.explorer.maps import Map
from fractaljax.explorer.queue import RENDER, Queue, Urgency
from fractaljax.explorer.refusals import Busy, Refused, Unknown
from fractaljax.explorer.tiles import CLAIMED_S, trained_into
from fractaljax.store import Store, open_field, origins
from fractaljax.window import Window

MIN_SIDE, MAX_SIDE = 16, 8192
MOST_WAITING = 16
MOST_KNOWN = 200  # finished ones that are still answered for
_NOTHING = np.zeros(0, bool)
WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


class Render:
    """One box. `future` ends with it; cancelling it ends the work after the running slice."""

    future: Future  # from `Renders.add`

    def __init__(self, name: str, shown: Map, window: Window):
        self.id, self.shown, self.window = name, shown, window
        digest = config.digest(shown.spec, window)
        self.folder = shown.folder / "renders" / digest
        self.done, self.total = 0, window.size
        self._begun = False
        self._running = _NOTHING  # which pixels of the running tile are there
        self._trained, self._seconds = 0, 0.0

    @property
    def state(self) -> str:
        """One of the five words above."""
        if not self.future.done():
            return RUNNING if self._begun else WAITING
        if self.future.cancelled():
            return CANCELLED
        return FAILED if self.future.exception() else DONE

    @property
    def image(self) -> Path:
        return self.folder / "image.png"

    def work(self, drawing: ThreadPoolExecutor) -> Generator[float, None, None]:
        """Work for the queue: trains tile by tile, then draws."""
        shown = self.shown
        shown.usable()
        self._begun = True
        origins.check_folder(shown.folder, [shown.spec])
        store = Store(self.folder, shown.spec, self.window)
        pinned = {"tile": TILE, **shown.training.numeric}
        store.begin(shown.training.readings, store.begun() or pinned)
        window = store.window  # with the coordinates that it keeps
        try:
            self.done = self.total - store.left()
            while store.left():
                trained = 0
                for index, tile in enumerate(window.tiles(TILE)):
                    if not store.claim(index):
                        continue
                    try:
                        mask = np.zeros(tile.shape, bool)
                        values = {
                            k: r.empty(tile.shape) for k, r in shown.training.readings.items()
                        }
                        points, todo = window.points(tile), np.arange(mask.size)
                        self._running = mask
                        self._seconds += yield from trained_into(
                            shown.training, points, todo, mask, values
                        )
                        store.write(index, tile, values)
                        self._running = _NOTHING
                        self.done += mask.size
                        trained += mask.size
                        self._trained += mask.size
                    finally:
                        store.release(index)
                self.done = self.total - store.left()  # with what other processes trained
                if not trained and store.left():
                    yield CLAIMED_S  # another process has the rest
        finally:
            run = {"pixels": self._trained, "wall_s": round(self._seconds, 3)}
            store.close({**shown.training.record, **run})
        drawn = drawing.submit(_draw, self.folder)
        while not drawn.done():
            yield CLAIMED_S
        drawn.result()

    def describe(self) -> dict[str, Any]:
        """Where it stands, as JSON."""
        rate = self._trained / self._seconds if self._seconds else self.shown.training.rate
        done = self.done + int(self._running.sum())
        state = self.state
        finished = state == DONE
        error = self.future.exception() if state == FAILED else None
        return {
            "id": self.id,
            "state": state,
            "done": done,
            "total": self.total,
            "rate": round(rate, 1),
            "left_s": round((self.total - done) / rate, 1) if rate and not finished else None,
            "picture": f"/api/renders/{self.id}/image.png" if finished else None,
            "folder": str(self.folder),
            "error": error and (str(error) or repr(error)),
        }


class Renders:
    """All renders of this session."""

    def __init__(self, queue: Queue):
        self._queue = queue
        self._lock = threading.Lock()
        self._known: dict[str, Render] = {}
        self._numbers = itertools.count(1)
        self._drawing = ThreadPoolExecutor(1, thread_name_prefix="drawing")

    def add(self, shown: Map, body: Any) -> Render:
        """Starts one: `{"x": [low, high], "y": [low, high], "side": n}`, ends as decimal texts.

        Raises:
            FractaljaxError: the box or the side is not possible, or too many wait.
        """
        window = _window(shown, body)
        window.check(shown.spec.dtype)
        with self._lock:
            waiting = sum(r.state in (WAITING, RUNNING) for r in self._known.values())
            if waiting >= MOST_WAITING:
                raise Busy(f"{waiting} renders are waiting already; cancel one")
            for old in [k for k, r in self._known.items() if r.state not in (WAITING, RUNNING)]:
                if len(self._known) < MOST_KNOWN:
                    break
                del self._known[old]
            render = Render(f"r{next(self._numbers)}", shown, window)
            for other in self._known.values():
                if other.folder == render.folder and other.state in (WAITING, RUNNING):
                    return other
            render.future = self._queue.ask(
                (shown.id, "render", render.id),
                lambda: render.work(self._drawing),
                Urgency(RENDER, 0),
                shown.compiled.is_set,
            )
            self._known[render.id] = render
        return render

    def get(self, name: str) -> Render:
        with self._lock:
            if name not in self._known:
                raise Unknown(f"no render '{name[:20]}' in this session")
            return self._known[name]

    def cancel(self, name: str) -> Render:
        """Ends one; its finished tiles are kept."""
        render = self.get(name)
        render.future.cancel()
        return render

    def close(self) -> None:
        self._drawing.shutdown(wait=False, cancel_futures=True)


def _window(shown: Map, body: Any) -> Window:
    if not isinstance(body, dict) or set(body) != {"x", "y", "side"}:
        raise Refused('a render takes {"x": [low, high], "y": [low, high], "side": n}')
    side = body["side"]
    if not isinstance(side, int) or isinstance(side, bool) or not MIN_SIDE <= side <= MAX_SIDE:
        raise Refused(f"side={str(side)[:20]}: a whole number from {MIN_SIDE} to {MAX_SIDE}")
    ends = []
    for which in "xy":
        pair = body[which]
        if not isinstance(pair, list) or len(pair) != 2:
            raise Refused(f"{which}: takes [low, high], as decimal numbers in text")
        low, high = pair
        ends.append((low, high))
    return geometry.box_window(shown.roots, (ends[0], ends[1]), side)


def _draw(folder: Path) -> None:
    from fractaljax.view.figure import save_figure
    from fractaljax.view.image import save_image

    field = open_field(folder)
    save_image(field, folder / "image.png")
    save_figure(field, folder / "figure.png")
