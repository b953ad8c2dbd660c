"""Who may call the server, and what a browser may do with its answers.

A page of another site can make a browser call a server on this machine. It is turned away: by the
name it called (a foreign name that was pointed at this machine), and by what the browser says of
where the call comes from.
"""

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]
HEADERS = {
    # OpenSeadragon adds a style element of its own; scripts come from files of this server only
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; "
    "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """ASGI middleware.

    Args:
        app: what is guarded.
        hosts: names the server may be called by, without port; None allows any.
        addresses: any numeric address is allowed too: no foreign name is one.
    """

    def __init__(self, app: App, hosts: tuple[str, ...] | None, addresses: bool = False):
        self._app, self._addresses = app, addresses
        self._hosts = None if hosts is None else {name.lower() for name in hosts}

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-cache")  # the page fits this version
            await send(message)

        why = self._refusal(scope["path"], Headers(scope=scope))
        if why:
            await JSONResponse({"error": why}, 403)(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)

    def _refusal(self, path: str, headers: Headers) -> str | None:
        """Why a request is turned away, or None."""
        host = headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if not self._called(name.lower()):
            return f"this server is not called '{host[:100]}'"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            if path == "/" and headers.get("sec-fetch-mode") == "navigate":
                return None  # a link to the page that was followed
            return "requests from other sites are refused"
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != host:
            return "requests from other sites are refused"
        return None

    def _called(self, name: str) -> bool:
        """Whether this server has that name."""
        if self._hosts is None or name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return self._addresses


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
