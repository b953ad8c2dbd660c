"""How long until the explorer shows something, and does it stand fifty people panning at once?

    python benchmarks/explorer.py [--seconds 120] [--clients 50]

`first picture`: a server process for each case, `cold` with an empty cache of compiled programs,
`warm` with the one the cold case left. `ready` is from the start of the process to the first map
being compiled (the page is opened then), the others from the request of a tile to its answer, one
after the other: level 4 is 16 x 16 networks, level 5 768 more, level 6 3072 more.

`panning`: clients that each hold a view of 4 x 3 tiles of `demo`, and the tile three levels coarser
that lies under it, move it or zoom every second and give up what they no longer see, as a browser
does. Told are the answers, how long they took, what
was refused because the queue was full (clients come back later), and the server's resident memory
through the run.

RESULT (two cores of an Intel Xeon with AVX-512, 22 November 2026; `--seconds 60`):

    first picture         ready s  level 4  level 5  level 6
    demo      cold            2.9     0.12     0.16     0.32
    demo      warm            2.6     0.10     0.17     0.34
    overview  cold            2.5     1.02     2.04     8.09
    overview  warm            2.7     0.75     2.16     7.97
    50 clients, 60 s: 6020 tiles answered, 5566 of them
    without training; 459079 networks trained (10510/s lately)
    seconds to an answer: 10 % 0.03, 50 % 0.09, 90 % 1.02, 99 % 5.65
    18639 given up by clients that moved on, 0 refused (429)
    failed: 0 ; left in the queue: 0
    resident MiB through the run: 352 372 373 373 373 374 374 374 374 375 375 375 376

The memory all but stands still after the first seconds. Fifty views that move every second ask for
far more than two cores train; what is given up before its turn is not trained.
"""

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

CONFIG = Path(__file__).parent.parent / "configs" / "paper" / "tanh.yaml"
VIEW = 4, 3  # tiles
MOVE_S = 1.0  # between two moves of one client
DEEPEST = 20  # level the clients zoom to
SAMPLES = 12  # of the memory, told of one run
MIB = 2**20


def serve(experiment: str, folder: str) -> None:
    """A server in this process; prints its port when it can train, ends with its input."""
    import uvicorn

    import fractaljax as fj
    from fractaljax.cli.explore import KEEP_S
    from fractaljax.explorer.server import make_app

    spec, window = fj.load(CONFIG, only=experiment)
    app = make_app(spec, window, title=experiment, folder=folder)
    config = uvicorn.Config(app, port=0, log_level="error", timeout_keep_alive=KEEP_S)
    server = uvicorn.Server(config)

    def watch() -> None:
        app.state.explorer.compiled.wait()
        while not server.started:
            time.sleep(0.01)
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    server.run()


@contextlib.contextmanager
def server(experiment: str, folder: str, cache: str) -> Any:
    """A server process: its process, its address, and seconds until it was ready."""
    clock = time.perf_counter()
    environment = {**os.environ, "XDG_CACHE_HOME": cache}
    command = [sys.executable, __file__, "--serve", experiment, folder]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        port = int(process.stdout.readline())
        yield process, f"http://127.0.0.1:{port}", time.perf_counter() - clock
        process.stdin.close()


def first_picture(work: Path) -> None:
    print(f"{'first picture':20}{'ready s':>9}{'level 4':>9}{'level 5':>9}{'level 6':>9}")
    for experiment in ("demo", "overview"):
        cache = work / f"cache-{experiment}"
        for case in ("cold", "warm"):
            folder = work / f"{experiment}-{case}"
            with (
                server(experiment, str(folder), str(cache)) as (_, url, ready),
                httpx.Client(base_url=url, timeout=120) as client,
            ):
                name = client.get("/api/start").json()["map"]["id"]
                row = f"{experiment:10}{case:10}{ready:9.1f}"
                for level in (4, 5, 6):
                    clock = time.perf_counter()
                    answer = client.get(f"/api/maps/{name}/tiles/{level}/0/0")
                    assert answer.status_code == 200, answer.text
                    row += f"{time.perf_counter() - clock:9.2f}"
            print(row, flush=True)


class Tally:
    """What all clients together saw."""

    def __init__(self):
        self.seconds: list[float] = []  # of answered tiles
        self.from_disk = self.refused = self.given_up = 0
        self.failed: list[str] = []


async def fetch(client: httpx.AsyncClient, path: str, tally: Tally) -> None:
    """One tile, asked again while the queue is full."""
    clock = time.perf_counter()
    try:
        while (answer := await client.get(path)).status_code == 429:
            tally.refused += 1
            await asyncio.sleep(float(answer.headers["retry-after"]))
        if answer.status_code != 200:
            tally.failed.append(answer.text)
            return
        tally.seconds.append(time.perf_counter() - clock)
        tally.from_disk += answer.headers["x-trained"] == "0"
    except asyncio.CancelledError:
        tally.given_up += 1
        raise
    except httpx.HTTPError as error:
        tally.failed.append(repr(error))


async def wander(url: str, name: str, number: int, end: float, tally: Tally) -> None:
    """One client: a view that moves and zooms."""
    dice = random.Random(number)
    level, x, y = 8, dice.random(), dice.random()
    wide, high = VIEW
    views: dict[str, asyncio.Task] = {}
    limits = httpx.Limits(max_connections=6)  # as a browser
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        while time.monotonic() < end:
            tiles = 2 ** (level - 6)
            left = min(max(int(x * tiles) - wide // 2, 0), max(tiles - wide, 0))
            low = min(max(int(y * tiles) - high // 2, 0), max(tiles - high, 0))
            seen = {
                f"/api/maps/{name}/tiles/{level}/{left + i}/{low + j}"
                for i in range(min(wide, tiles))
                for j in range(min(high, tiles))
            }
            # the page puts coarser tiles under those that are not there yet
            seen.add(f"/api/maps/{name}/tiles/{level - 3}/{left // 8}/{low // 8}")
            for path in [p for p, task in views.items() if p not in seen or task.done()]:
                views.pop(path).cancel()
            for path in seen - views.keys():
                views[path] = asyncio.ensure_future(fetch(client, path, tally))
            await asyncio.sleep(MOVE_S * dice.uniform(0.5, 1.5))
            if dice.random() < 0.3:
                level = min(max(level + dice.choice((-1, 1, 1)), 8), DEEPEST)
            x = min(max(x + dice.uniform(-2, 2) / tiles, 0), 1)
            y = min(max(y + dice.uniform(-2, 2) / tiles, 0), 1)
        for task in views.values():
            task.cancel()
        await asyncio.gather(*views.values(), return_exceptions=True)


async def panning(process: subprocess.Popen, url: str, clients: int, seconds: int) -> None:
    tally, memory = Tally(), []
    end = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        name = (await client.get("/api/start")).json()["map"]["id"]
        walks = [asyncio.ensure_future(wander(url, name, i, end, tally)) for i in range(clients)]
        while time.monotonic() < end:
            memory.append(resident(process.pid) / MIB)
            await asyncio.sleep(seconds / SAMPLES)
        await asyncio.gather(*walks)
        memory.append(resident(process.pid) / MIB)
        await asyncio.sleep(2)
        status = (await client.get("/api/status")).json()
    times = np.array(tally.seconds)
    print(f"{clients} clients, {seconds} s: {len(times)} tiles answered, {tally.from_disk} of them")
    print(f"without training; {status['trained']} networks trained ({status['rate']:.0f}/s lately)")
    shares = ", ".join(f"{q} % {np.percentile(times, q):.2f}" for q in (10, 50, 90, 99))
    print(f"seconds to an answer: {shares}")
    print(f"{tally.given_up} given up by clients that moved on, {tally.refused} refused (429)")
    print(
        f"failed: {len(tally.failed)} {tally.failed[:2] or ''}; left in the queue: "
        f"{status['queue']}"
    )
    print("resident MiB through the run: " + " ".join(f"{m:.0f}" for m in memory))


def resident(process: int) -> int:
    """Bytes of resident memory of a process (Linux)."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--serve", nargs=2, metavar=("NAME", "DIR"), help=argparse.SUPPRESS)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=120)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(*arguments.serve)
    work = Path(tempfile.mkdtemp(prefix="fractaljax-explorer-"))
    try:
        first_picture(work)
        cache = str(work / "cache-demo")
        with server("demo", str(work / "panning"), cache) as (process, url, _):
            asyncio.run(panning(process, url, arguments.clients, arguments.seconds))
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
