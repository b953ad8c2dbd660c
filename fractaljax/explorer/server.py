"""The server: routes, what a request may ask, and who may ask.

Requests that wait for training are coroutines that watch their client: one that goes away takes
its work out of the queue. Everything that touches a disk runs in the thread pool.
"""

import asyncio
import base64
import contextlib
import json
import logging
import re
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fractaljax import registry
from fractaljax.errors import FractaljaxError, unknown
from fractaljax.explorer import points
from fractaljax.explorer.geometry import MIN_LEVEL, Place
from fractaljax.explorer.guard import Guard
from fractaljax.explorer.maps import Map, Maps
from fractaljax.explorer.queue import TILE, URGENT, Queue, Urgency
from fractaljax.explorer.refusals import Refused, Unknown
from fractaljax.explorer.renders import MAX_SIDE, MIN_SIDE, Renders
from fractaljax.explorer.tiles import Made, Values
from fractaljax.families import explore
from fractaljax.spec import Spec
from fractaljax.view.colours import table
from fractaljax.window import Window

log = logging.getLogger("fractaljax")
PAGE = Path(__file__).parent / "page"
MAX_BODY = 64 * 1024  # bytes
SEEN_S = 10.0  # a connection counts as a client so long after its last request
MOST_SEEN = 10_000
# an hour, not for ever: a map that is made again on another machine may differ in last bits
CACHED = {"cache-control": "private, max-age=3600"}
FRESH = {"cache-control": "no-cache"}
_WHOLE = re.compile(r"[0-9]{1,20}")


def make_app(
    spec: Spec,
    window: Window,
    *,
    title: str = "fractaljax",
    folder: str | Path = "outputs/explore",
    hosts: tuple[str, ...] | None = ("localhost", "127.0.0.1", "[::1]"),
    addresses: bool = False,
) -> Starlette:
    """The application, with its training thread running from startup to shutdown.

    Args:
        spec, window: of the map it starts with; JAX must be in the Spec's precision.
        title: of that map.
        folder: keeps all maps.
        hosts: names this server may be called by, without port; None allows any.
        addresses: any numeric address is allowed too.

    Raises:
        FractaljaxError: the settings cannot be explored.
    """
    return Explorer(spec, window, title, Path(folder)).app(hosts, addresses)


class Explorer:
    """What the routes share."""

    def __init__(self, spec: Spec, window: Window, title: str, folder: Path):
        spec = explore.explored(spec)
        explore.check(spec, window)
        self._queue = Queue()
        self._maps = Maps(folder, self._queue.has, self._queue.wake)
        self._renders = Renders(self._queue)
        self._start = self._maps.add(spec, window, title)
        self._seen: dict[Any, float] = {}

    def app(self, hosts: tuple[str, ...] | None, addresses: bool = False) -> Starlette:
        routes = [
            Route("/", self._page),
            Route("/api/start", self._describe_start),
            Route("/api/status", self._status),
            Route("/api/palettes", _palettes),
            Route("/api/maps", self._new_map, methods=["POST"]),
            Route("/api/maps/{map}", self._describe),
            Route("/api/maps/{map}/tiles/{level}/{x}/{y}", self._tile),
            Route("/api/maps/{map}/point", self._point),
            Route("/api/maps/{map}/renders", self._new_render, methods=["POST"]),
            Route("/api/renders/{render}", self._render, methods=["GET"]),
            Route("/api/renders/{render}", self._cancel, methods=["DELETE"]),
            Route("/api/renders/{render}/image.png", self._image),
            Mount("/static", StaticFiles(directory=PAGE, check_dir=False)),
        ]
        app = Starlette(
            routes=routes,
            lifespan=self._lifespan,
            exception_handlers={
                FractaljaxError: _refused,
                HTTPException: _missing,
                ClientDisconnect: _gone,
                Exception: _broken,
            },
        )
        app.add_middleware(Guard, hosts=hosts, addresses=addresses)
        app.state.explorer = self
        return app

    @property
    def compiled(self) -> Any:
        """An event: the first map can train."""
        return self._start.compiled

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._queue.start()
        try:
            yield
        finally:
            await run_in_threadpool(self.close)

    def close(self) -> None:
        """Ends the training after the running slice, and all claims; takes two seconds at most.
        `idle` tells whether something could not be ended."""
        self._queue.stop()
        self._renders.close()
        self._maps.close()

    @property
    def idle(self) -> bool:
        """Whether nothing computes."""
        return not (self._queue.alive or self._maps.alive)

    def _page(self, _: Request) -> Response:
        if not (PAGE / "index.html").is_file():
            raise Unknown("the page is not part of this installation")
        return FileResponse(PAGE / "index.html", headers=FRESH)

    def _describe_start(self, _: Request) -> Response:
        return JSONResponse({"map": _map_json(self._start)}, headers=FRESH)

    def _describe(self, request: Request) -> Response:
        return JSONResponse(_map_json(self._map(request)), headers=FRESH)

    async def _new_map(self, request: Request) -> Response:
        body = await _json(request)
        if not isinstance(body, dict) or not set(body) <= {"settings", "base"}:
            raise Refused('a map takes {"settings": {path: value}, "base": "id of a map"}')

        def make() -> dict[str, Any]:
            base = self._maps.get(str(body["base"])) if "base" in body else self._start
            return _map_json(self._maps.change(base, body.get("settings", {})))

        return JSONResponse(await run_in_threadpool(make), headers=FRESH)

    async def _tile(self, request: Request) -> Response:
        self._see(request)
        shown = await run_in_threadpool(self._map, request)
        place = shown.place(*(_whole(request.path_params[k], k) for k in ("level", "x", "y")))
        reading = request.query_params.get("reading", shown.readings()[0])
        if reading not in shown.readings():
            raise unknown("reading", reading[:40], shown.readings())
        values, made = await run_in_threadpool(shown.tiles.stored, place), Made(0, 0)
        if values is None:
            made = await self._answer(request, self._ask_tile(shown, place))
            values = await run_in_threadpool(shown.tiles.stored, place)
        if values is None:
            raise Refused(f"tile {place.level}/{place.x}/{place.y} was lost on disk", 500)
        headers = {"X-Trained": str(made.trained), "X-Reused": str(made.reused)}
        return Response(
            _bytes(values, reading),
            media_type="application/octet-stream",
            headers={**CACHED, **headers},
        )

    async def _point(self, request: Request) -> Response:
        self._see(request)
        shown = await run_in_threadpool(self._map, request)
        asked = request.query_params
        if "x" not in asked or "y" not in asked:
            raise Refused("a point takes x=...&y=..., decimal numbers in axis coordinates")
        level = None
        if "level" in asked:
            level = shown.place(_whole(asked["level"], "level"), 0, 0).level
        where = (asked["x"], asked["y"])
        future = self._queue.ask(
            (shown.id, "point", *where, level),
            lambda: points.work(shown, where, level),
            Urgency(URGENT, 0),
            shown.compiled.is_set,
        )
        return JSONResponse(await self._answer(request, future), headers=FRESH)

    async def _new_render(self, request: Request) -> Response:
        shown = await run_in_threadpool(self._map, request)
        body = await _json(request)
        render = await run_in_threadpool(self._renders.add, shown, body)
        return JSONResponse(render.describe(), headers=FRESH)

    def _render(self, request: Request) -> Response:
        render = self._renders.get(request.path_params["render"])
        return JSONResponse(render.describe(), headers=FRESH)

    def _cancel(self, request: Request) -> Response:
        render = self._renders.cancel(request.path_params["render"])
        return JSONResponse(render.describe(), headers=FRESH)

    def _image(self, request: Request) -> Response:
        render = self._renders.get(request.path_params["render"])
        if not render.image.is_file():
            raise Unknown(f"render {render.id} has no picture yet; it is {render.state}")
        return FileResponse(render.image, media_type="image/png", headers=FRESH)

    def _status(self, _: Request) -> Response:
        now = time.monotonic()
        self._seen = {k: t for k, t in list(self._seen.items()) if now - t < SEEN_S}
        return JSONResponse(
            {
                "queue": self._queue.waiting,
                "training": self._queue.busy,
                "compiling": self._maps.compiling > 0,
                "rate": round(self._maps.rate(), 1),
                "trained": self._maps.trained(),
                "clients": len(self._seen),
            },
            headers=FRESH,
        )

    def _map(self, request: Request) -> Map:
        return self._maps.get(request.path_params["map"])

    def _ask_tile(self, shown: Map, place: Place) -> Future:
        first = place.level <= MIN_LEVEL + 1
        return self._queue.ask(
            (shown.id, "tile", place),
            lambda: _tile_work(shown, place),
            Urgency(URGENT if first else TILE, place.level),
            shown.compiled.is_set,
        )

    def _see(self, request: Request) -> None:
        if len(self._seen) < MOST_SEEN:
            self._seen[request.client] = time.monotonic()

    async def _answer(self, request: Request, future: Future) -> Any:
        """What the work returns; when the client goes away first, nobody waits for it any more."""
        gone = asyncio.ensure_future(_disconnected(request))
        answer = asyncio.wrap_future(future)  # cancelling the one cancels the other
        try:
            await asyncio.wait({gone, answer}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            raise ClientDisconnect
        finally:
            gone.cancel()
            answer.cancel()


def _tile_work(shown: Map, place: Place) -> Any:
    shown.usable()
    return shown.tiles.work(place)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _map_json(shown: Map) -> dict[str, Any]:
    return {**shown.describe(), "min_side": MIN_SIDE, "max_side": MAX_SIDE}


def _bytes(values: Values, reading: str) -> bytes:
    """One reading as little-endian float32, row 0 the lowest y; NaN where it is not finite, and
    the largest float32 where it is finite and larger."""
    found, most = values[reading], float(np.finfo("f4").max)
    numbers = np.clip(found, -most, most).astype("<f4")
    numbers[~np.isfinite(found)] = np.nan
    return numbers.tobytes()


def _whole(text: str, name: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise Refused(f"{name}={text[:40]}: takes a whole number from 0")
    return int(text)


async def _json(request: Request) -> Any:
    """The body, which must be JSON and short."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise Refused("the body must be application/json", 415)
    body, said = b"", request.headers.get("content-length", "0")
    if not said.isdecimal() or len(said) > 18 or int(said) > MAX_BODY:
        raise Refused(f"the body is longer than {MAX_BODY} bytes", 413)
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            raise Refused(f"the body is longer than {MAX_BODY} bytes", 413)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("the body is not valid JSON") from None


def _palettes(_: Request) -> Response:
    found = {n: base64.b64encode(table(n).tobytes()).decode() for n in registry.names("colormap")}
    return JSONResponse(found, headers=FRESH)


def _error(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": text}, status, headers={**FRESH, **(headers or {})})


async def _refused(_: Request, error: Exception) -> Response:
    disk = 500 if isinstance(error.__cause__, OSError) else 400
    status = error.status if isinstance(error, Refused) else disk
    return _error(status, str(error), {"Retry-After": "1"} if status == 429 else None)


async def _missing(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail, dict(error.headers or {}))


async def _gone(_: Request, error: Exception) -> Response:
    return _error(499, "the client went away")  # nobody reads this


async def _broken(_: Request, error: Exception) -> Response:
    log.error("a request failed: %r", error)
    return _error(500, f"internal error: {type(error).__name__}")
