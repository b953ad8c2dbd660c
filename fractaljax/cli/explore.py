"""The verb `explore`: a web page on this machine, that trains what one looks at."""

import argparse
import logging
import os
import socket
import sys
import threading
from typing import Any

from fractaljax.cli import source
from fractaljax.errors import FractaljaxError

log = logging.getLogger("fractaljax")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
NAMES = ("localhost", "127.0.0.1", "[::1]")  # the same, as a browser calls them
SMALL = ("model.width=8", "problem.inputs=8", "steps=100", "dtype=float64")  # without a CONFIG
KEEP_S = 60  # seconds that an idle connection is kept
READY_S = 60.0  # for the first program; the page opens then


EXPLORE = """examples:
  fractaljax explore
  fractaljax explore configs/paper/tanh.yaml --only overview
  fractaljax explore outputs/tanh-zoom/level_005 --port 8080

Tiles are trained as one zooms and pans, and kept in --out. A click shows a network's training
curve; a box is rendered in the background."""


def add_explore(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb, beside CONFIG, overrides, --only and --plugin."""
    add = parser.add_argument
    add("--port", type=int, default=8000, metavar="N", help="default: 8000; 0: any that is free")
    host = "address to listen on (default: this machine only)"
    add("--host", default=LOOPBACK[0], metavar="ADDRESS", help=host)
    out = "folder of all maps (default: outputs/explore)"
    add("--out", default="outputs/explore", metavar="DIR", help=out)
    add("--dtype", choices=("float32", "float64"))
    add("--devices", type=int, metavar="N", help="devices to use (default: all)")
    add("--no-open", action="store_true", help="do not open a browser")


def explore(arguments: argparse.Namespace) -> int:
    """Serves the explorer until Ctrl-C."""
    from fractaljax import config
    from fractaljax.families import fractal

    try:
        import uvicorn

        from fractaljax.explorer.server import make_app
    except ImportError as error:
        raise FractaljaxError(
            f"explore needs {error.name}: pip install 'fractaljax[explore]'"
        ) from None
    if arguments.config and "=" in arguments.config and not os.path.exists(arguments.config):
        arguments.overrides.insert(0, arguments.config)  # no CONFIG, but an override
        arguments.config = None
    raw, stem = source.settings(arguments)
    small = SMALL if arguments.config is None else ()
    name, spec, window = config.experiments(
        raw, [*small, *source.overrides(arguments)], only=arguments.only
    )[0]
    fractal.prepare(spec.dtype, arguments.devices)
    fractal.check(spec, window, devices=arguments.devices)
    local = arguments.host in LOOPBACK
    title = stem if name == stem else f"{stem} / {name}"
    with _listening(arguments.host, arguments.port) as listener:
        app = make_app(
            spec,
            window,
            title=title,
            folder=arguments.out,
            hosts=NAMES if local else (*NAMES, arguments.host, *_own_names()),
            addresses=not local,
        )
        if not local:
            log.warning("anybody who can reach this port can make this machine train networks")
        url = _url(arguments.host, listener.getsockname()[1])
        explorer = app.state.explorer
        threading.Thread(
            target=_announce, args=(explorer, url, not arguments.no_open), daemon=True
        ).start()
        served = uvicorn.Config(
            app,
            log_level="warning",
            server_header=False,
            timeout_keep_alive=KEEP_S,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(served)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn passes it on when all is closed
            log.info("stopped; what was trained is kept in %s", arguments.out)
        if not explorer.idle:
            # a compilation cannot be interrupted, and the interpreter must not end under it;
            # everything on disk is whole
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
    return 0


def _announce(explorer: Any, url: str, opens: bool) -> None:
    """Says where the page is, once it can train."""
    import webbrowser

    log.info("compiling ...")
    explorer.compiled.wait(READY_S)
    print(f"explorer: {url}   (Ctrl-C ends it)", flush=True)
    if opens:
        try:
            webbrowser.open(url)
        except (webbrowser.Error, OSError) as error:  # no display is no reason to fail
            log.info("no browser was opened (%s)", error)


def _listening(host: str, port: int) -> socket.socket:
    if not 0 <= port < 2**16:
        raise FractaljaxError(f"--port {port}: allowed are 0 to {2**16 - 1}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except (socket.gaierror, ValueError):  # the second: a label too long, or empty
        raise FractaljaxError(
            f"--host {host}: no such address; allowed are names and addresses of this machine"
        ) from None
    except OSError as error:
        raise FractaljaxError(
            f"cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}; choose another "
            "--port"
        ) from None


def _own_names() -> list[str]:
    """What others call this machine; any other name was pointed here by somebody else."""
    return [socket.gethostname(), socket.getfqdn()]


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
