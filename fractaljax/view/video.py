"""A zoom as a video: constant speed from the widest level to the deepest, colours cross-faded.

Frames are made and encoded one after the other, in segments of one level each, kept in a hidden
folder beside the file until the last one is there. The same call goes on at the first segment that
is missing.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fractaljax import config
from fractaljax.errors import FractaljaxError, unknown
from fractaljax.levels import Zoom
from fractaljax.view import colours, picture
from fractaljax.view.encode import CODECS, Codec, chosen, encode, ffmpeg, join
from fractaljax.view.frames import Pair, View
from fractaljax.view.metadata import version
from fractaljax.view.overlay import Overlay
from fractaljax.view.stretch import Scale

SIZES = {
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "4k": (3840, 2160),
    "8k": (7680, 4320),
}
HOLD_S = 1.0  # the first and the last frame stand still so long
LEAST = 16  # pixels along a side
MAX_FRAMES = 10**6  # more than nine hours
_FORMAT = 1  # of segments; raised when frames come out differently
_WORKERS = 4  # threads that make frames; each holds the colours of two keyframes

log = logging.getLogger("fractaljax")


class Progress(NamedTuple):
    """After a frame."""

    frames: int  # made in this run
    left: int
    total: int
    seconds: float  # of this run


def save_video(
    zoom: Zoom,
    path: str | Path,
    *,
    fps: float = 30,
    seconds_per_level: float = 1.5,
    size: str | int | tuple[int, int] = "1080p",
    codec: str | None = None,
    reading: str | None = None,
    cmap: str = "Spectral",
    stretch: str = "rank",
    labels: bool = False,
    on_frame: Callable[[Progress], None] | None = None,
) -> None:
    """Writes a zoom as a video, from its widest level to the deepest.

    Memory holds two levels and a few frames, whatever the length. The file appears whole or not
    at all; a call that was stopped goes on where it was, from the folder `.NAME-...` beside it.

    Args:
        zoom: two levels or more.
        path: where it goes; without `codec` the suffix decides how it is encoded.
        fps: frames a second.
        seconds_per_level: time from one level to the next. The first and the last frame stand
            still for a second.
        size: a name of `SIZES`, one number for a square, `WxH`, or `(width, height)`. A frame
            shows the widest part around the centre that has its shape.
        codec: a name of `encode.CODECS`.
        reading, cmap, stretch: see `picture.scale`.
        labels: whether to draw axes and depth.
        on_frame: called after every frame that is made, with the `Progress`.

    Raises:
        FractaljaxError: something asked for is not allowed, ffmpeg is missing or failed, or the
            file cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise FractaljaxError(f"{path} cannot be written: it is a folder")
    name = chosen(path, codec)
    width, height = dimensions(size)
    _check(zoom, CODECS[name], name, fps, seconds_per_level, (width, height))
    reading = picture.named(zoom.levels[0], reading)
    ny, nx = zoom.levels[0].window.grid
    view = View(nx, ny, width, height, zoom.factor)
    look = {
        "codec": name,
        "size": [width, height],
        "fps": fps,
        "seconds_per_level": seconds_per_level,
        "reading": reading,
        "cmap": cmap,
        "stretch": stretch,
        "labels": labels,
    }
    ffmpeg()  # missing? better known now than after the first frame
    parts = schedule(len(zoom.levels), fps, seconds_per_level)
    overlay = Overlay(zoom.levels[0], view) if labels else None
    with _folder(path, _digest(zoom, reading, look)) as work:
        _warn(view)
        _Maker(zoom, view, look, overlay, parts, on_frame).segments(work)
        files = [_segment(work, k, CODECS[name]) for k in range(len(parts))]
        whole = work / f"whole{path.suffix.lower()}"
        join(whole, files, CODECS[name], _notes(zoom, look))
        try:
            os.replace(whole, path)
        except OSError as error:
            raise FractaljaxError(f"{path} cannot be written: {error.strerror or error}") from None
        shutil.rmtree(work, ignore_errors=True)


def dimensions(size: str | int | tuple[int, int]) -> tuple[int, int]:
    """Width and height of `1080p`, `512`, `640x360` or a pair.

    Raises:
        FractaljaxError: it is none of these.
    """
    if isinstance(size, tuple):
        return size
    text = str(size).lower()
    if text in SIZES:
        return SIZES[text]
    sides = text.split("x")
    if len(sides) > 2 or not all(s.isascii() and s.isdigit() and len(s) < 10 for s in sides):
        raise unknown("size", str(size)[:40], [*SIZES, "N", "WxH"])
    return int(sides[0]), int(sides[-1])


def schedule(levels: int, fps: float, seconds_per_level: float) -> list[list[float]]:
    """The frames of each segment, as shares of the way from one level to the next.

    Segment k goes from level k to level k + 1; the last frame of all is the deepest level. Both
    ends stand still for `HOLD_S`.
    """
    pairs, still = levels - 1, round(HOLD_S * fps)
    count = max(round(pairs * fps * seconds_per_level), 1)
    parts: list[list[float]] = [[] for _ in range(pairs)]
    for frame in range(count + 1):
        level, rest = divmod(frame * pairs, count)
        level, share = (level, rest / count) if level < pairs else (pairs - 1, 1.0)
        parts[level].append(share)
    parts[0][:0] = [0.0] * still
    parts[-1] += [1.0] * still
    return parts


def _check(
    zoom: Zoom,
    codec: Codec,
    name: str,
    fps: float,
    seconds_per_level: float,
    size: tuple[int, int],
) -> None:
    """Refuses what cannot become a video, before anything is computed."""
    if len(zoom.levels) < 2:
        raise FractaljaxError(
            f"{zoom.path}: {len(zoom.levels)} complete level; a video needs at least 2"
        )
    for k, level in enumerate(zoom.levels):
        if level.window.y is None:
            raise FractaljaxError(f"{zoom.path}: level {k} has one axis; a video needs two")
        if level.window.grid != zoom.levels[0].window.grid:
            raise FractaljaxError(f"{zoom.path}: level {k} has another resolution than level 0")
        if not np.all(level.done):
            raise FractaljaxError(f"{zoom.path}: level {k} is not trained whole")
    if not (math.isfinite(fps) and 0 < fps <= codec.fps):
        raise FractaljaxError(f"fps={fps}: {name} takes more than 0, up to {codec.fps:g}")
    if not (math.isfinite(seconds_per_level) and seconds_per_level > 0):
        raise FractaljaxError(f"seconds_per_level={seconds_per_level} must be above 0")
    if (len(zoom.levels) - 1) * fps * seconds_per_level + 2 * HOLD_S * fps > MAX_FRAMES:
        raise FractaljaxError(
            f"seconds_per_level={seconds_per_level}: more than {MAX_FRAMES:,} frames in all"
        )
    shape = f"size {size[0]}x{size[1]}"
    if not all(LEAST <= side <= codec.side for side in size):
        raise FractaljaxError(f"{shape}: sides of {LEAST} to {codec.side} pixels are allowed")
    if codec.even and any(side % 2 for side in size):
        near = "x".join(str(side + side % 2) for side in size)
        raise FractaljaxError(f"{shape}: {name} takes even sides only, such as {near}")


def _warn(view: View) -> None:
    """Says so when there are fewer samples than pixels."""
    if view.enlarged > 1.005:
        enough = math.ceil(max(view.columns, view.rows) * view.enlarged)
        log.warning(
            "keyframes of %d x %d are enlarged up to %.1f times in frames of %d x %d (towards the "
            "border, before the next level); %d samples a side would do",
            *(view.columns, view.rows, view.enlarged, view.width, view.height, enough),
        )


def _digest(zoom: Zoom, reading: str, look: dict[str, Any]) -> str:
    """Ten hex digits that tell these frames from any others.

    A level is a function of its settings and of how it was computed, so these stand for its
    values; its middle row is looked at as well, for arrays that were made by hand.
    """
    told = hashlib.sha256(json.dumps([_FORMAT, version(), look, zoom.factor]).encode())
    told.update(json.dumps(CODECS[look["codec"]]).encode())
    told.update(colours.table(look["cmap"]).tobytes())
    for level in zoom.levels:
        settings = config.as_tree(level.spec, level.window)
        told.update(json.dumps([settings, dict(level.provenance)], default=str).encode())
        middle = level.window.grid[0] // 2
        told.update(picture.rows(level, reading, middle, middle + 1)[0].tobytes())
    return told.hexdigest()[:10]


@contextlib.contextmanager
def _folder(path: Path, digest: str) -> Iterator[Path]:
    """The hidden folder of the segments, for one process at a time; gone when it is empty."""
    work = path.parent / f".{path.name}-{digest}"
    try:
        work.mkdir(exist_ok=True)
        lock = os.open(work, os.O_RDONLY)
    except OSError as error:
        raise FractaljaxError(f"{path} cannot be written: {error.strerror or error}") from None
    try:
        _claim(lock, path)
        try:
            for draft in work.glob("*.part.*"):  # of a run that was killed
                draft.unlink(missing_ok=True)
            yield work
        finally:
            with contextlib.suppress(OSError):
                work.rmdir()
    finally:
        os.close(lock)


def _claim(lock: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: segments are written whole, but two processes both make them
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise FractaljaxError(f"{path}: another process is making this video") from None


def _segment(work: Path, number: int, codec: Codec) -> Path:
    return work / f"segment_{number:04d}{codec.segment}"


class _Maker:
    """Makes the segments that are missing."""

    def __init__(
        self,
        zoom: Zoom,
        view: View,
        look: dict[str, Any],
        overlay: Overlay | None,
        parts: list[list[float]],
        on_frame: Callable[[Progress], None] | None,
    ):
        self._zoom, self._view, self._look = zoom, view, look
        self._overlay, self._parts, self._on_frame = overlay, parts, on_frame
        self._scales: dict[int, Scale] = {}  # of the last two levels
        self._made = 0

    def segments(self, work: Path) -> None:
        codec = CODECS[self._look["codec"]]
        todo = [k for k in range(len(self._parts)) if not _segment(work, k, codec).exists()]
        self._left = sum(len(self._parts[k]) for k in todo)
        self._start = time.monotonic()
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _WORKERS)) as pool:
            for k in todo:
                frames = self._frames(k, pool)
                size = (self._view.width, self._view.height)
                encode(_segment(work, k, codec), frames, size, self._look["fps"], codec)

    def _frames(self, level: int, pool: ThreadPoolExecutor) -> Iterator[np.ndarray]:
        fields = (self._zoom.levels[level], self._zoom.levels[level + 1])
        scales = (self._scale(level), self._scale(level + 1))
        shares = self._parts[level]
        pair = Pair(fields, scales, self._look["reading"], self._view, shares, pool)

        def make(share: float) -> np.ndarray:
            frame = pair.frame(share)
            if self._overlay:
                self._overlay.draw(frame, level + share)
            return np.asarray(frame)

        for frame in _ahead(pool, make, shares):
            yield frame
            self._tell()

    def _scale(self, level: int) -> Scale:
        if level not in self._scales:
            look = {key: self._look[key] for key in ("reading", "cmap", "stretch")}
            self._scales = {k: s for k, s in self._scales.items() if k == level - 1}
            self._scales[level] = picture.scale(self._zoom.levels[level], **look)
        return self._scales[level]

    def _tell(self) -> None:
        self._made, self._left = self._made + 1, self._left - 1
        if self._on_frame:
            total = sum(map(len, self._parts))
            seconds = time.monotonic() - self._start
            self._on_frame(Progress(self._made, self._left, total, seconds))


def _ahead(
    pool: ThreadPoolExecutor, make: Callable[[float], np.ndarray], shares: list[float]
) -> Iterator[np.ndarray]:
    """The frames in order, a few of them in the making; one that stands still is made once."""
    waiting: deque[Future[np.ndarray]] = deque()
    last: tuple[float, Future[np.ndarray]] | None = None
    for share in shares:
        if last is None or last[0] != share:
            last = share, pool.submit(make, share)
        waiting.append(last[1])
        if len(waiting) > _WORKERS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _notes(zoom: Zoom, look: dict[str, Any]) -> dict[str, Any]:
    """What the file says of itself: the plan of the zoom, the settings and the look."""
    widest = zoom.levels[0]
    return {
        "fractaljax": version(),
        "levels": len(zoom.levels),
        "factor": zoom.factor,
        "plan": dict(zoom.plan),
        "settings": config.dump(widest.spec, widest.window),
        "look": look,
    }
