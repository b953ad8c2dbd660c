"""Does the memory of the explorer's server stand still under fifty clients?

    python benchmarks/soak.py [--minutes 10] [--clients 50]

A server process of its own serves the map `demo`. Every client is a thread with a connection of
its own that asks for one thing after the other, with a pause of up to `PAUSE_S` after each: tiles
(new ones, known ones, some given up), clicks, small renders (followed to the end or cancelled) and
their pictures, other settings (more maps than are kept open), the page, the palettes, the status,
and what is to be refused: places that do not exist, foreign names, bodies that are too long or
never end.

Every setting is asked for once before the clock starts, so that its program is compiled. Told are
resident memory, open files and threads of the server every few seconds; the slope is the
least-squares line through the resident memory after the warm-up, the first third of the time.

RESULT (two cores of an AMD EPYC (Zen 4, virtual), 27 November 2026, tests running beside it):

     minutes      MiB  files  threads
        0.08    500.5     30       39
        0.88    512.8     85       37
        1.68    567.3     91       37
        2.49    597.7    112       38
        3.29    591.1    117       38
        4.09    601.2    121       38
        4.89    627.8    120       38
        5.69    627.8    118       38
        6.49    644.3    118       40
        7.30    644.8    142       38
        8.10    644.3    137       39
        8.91    777.6    153       39
        9.71    645.4    141       39
        9.96    645.4    142       39
    after the warm-up: +10.01 MiB a minute, 566 to 805 MiB, 113 to 153 files, 37 to 40 threads
    4108 answers: click 200 164, given up 26, given up 200 24, given up 429 2, page 200 121,
    refused 403 26, refused 404 67, refused 413 62, render 200 983, render 404 45, render 429
    12, settings 200 30, settings 429 10, status 200 180, tile 200 2290, tile 429 66
    broken: 0 ; left in the queue: 9

Memory rose in steps for six and a half minutes, then stood at 644 to 645 MiB until the end, but for
a passing 805 at minute nine: the slope is that of the steps and of the peak. What the steps are was
not taken apart; programs of 24 settings compiled three times over in one process add nothing the
second and third time.
"""

import argparse
import random
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
from explorer import MIB, resident, server

PAUSE_S = 0.4  # at most, between two requests of a client
TIMEOUT_S = 300  # of one answer
SAMPLE_S = 3.0
WARM_UP = 1 / 3  # of the time: caches fill
DEEPEST = 14  # level of a tile
SETTINGS = [{"model.activation": a, "steps": s} for a in ("tanh", "relu") for s in range(20, 32)]
ROWS = 12  # of the table


class Sample(NamedTuple):
    """Of the server process, at one time."""

    seconds: float
    memory: float  # MiB
    files: int
    threads: int


class Soak(NamedTuple):
    """What was seen."""

    samples: list[Sample]
    answers: Counter[str]  # kind and status -> how many
    broken: list[str]  # answers of 500 and more, and connections that failed
    queue: int  # what still waits in the end

    def late(self) -> list[Sample]:
        """The samples after the warm-up."""
        end = self.samples[-1].seconds
        return [s for s in self.samples if s.seconds >= WARM_UP * end]

    def slope(self) -> float:
        """MiB a minute, after the warm-up."""
        seconds, memory = zip(*((s.seconds, s.memory) for s in self.late()), strict=True)
        return float(np.polyfit(np.array(seconds) / 60, memory, 1)[0])


def seen(process: int, since: float) -> Sample:
    folder = Path(f"/proc/{process}")
    threads = len(list((folder / "task").iterdir()))
    files = len(list((folder / "fd").iterdir()))
    return Sample(time.monotonic() - since, resident(process) / MIB, files, threads)


class Client:
    """One client: asks, and counts the answers.

    Args:
        url: of the server.
        number: seed of what it asks for.
        map_id: of the first map.
    """

    def __init__(self, url: str, number: int, map_id: str):
        self.answers: Counter[str] = Counter()
        self.broken: list[str] = []
        self._dice, self._map, self._maps = random.Random(number), map_id, [map_id]
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S)
        self._kinds = {
            "tile": (self._tile, 60),
            "click": (self._click, 8),
            "render": (self._render, 3),
            "settings": (self._settings, 2),
            "page": (self._page, 6),
            "status": (self._status, 10),
            "refused": (self._refused, 8),
            "given up": (self._given_up, 3),
        }

    def run(self, end: float) -> None:
        """Asks until then."""
        names, weights = zip(*((n, w) for n, (_, w) in self._kinds.items()), strict=True)
        while time.monotonic() < end:
            kind = self._dice.choices(names, weights)[0]
            try:
                for answer in self._kinds[kind][0]():
                    self.answers[f"{kind} {answer.status_code}"] += 1
                    if answer.status_code >= 500:
                        self.broken.append(f"{kind}: {answer.status_code} {answer.text[:200]}")
            except httpx.HTTPError as error:
                self.broken.append(f"{kind}: {error!r}")
            time.sleep(self._dice.uniform(0, PAUSE_S))
        self._http.close()

    def _place(self) -> str:
        level = self._dice.randint(4, DEEPEST)
        side = max(1, 2 ** (level - 6))
        x, y = self._dice.randrange(side), self._dice.randrange(side)
        name = self._dice.choice(self._maps)
        return f"/api/maps/{name}/tiles/{level}/{x}/{y}"

    def _tile(self):
        path = self._place()
        yield self._http.get(path)
        yield self._http.get(path, params={"reading": "status"})

    def _given_up(self):
        try:
            yield self._http.get(self._place(), timeout=0.05)
        except httpx.TimeoutException:
            self.answers["given up"] += 1

    def _click(self):
        x, y = self._dice.uniform(-3, 6), self._dice.uniform(-3, 6)
        yield self._http.get(f"/api/maps/{self._map}/point", params={"x": f"{x}", "y": f"{y}"})

    def _render(self):
        x, y = self._dice.uniform(-3, 5), self._dice.uniform(-3, 5)
        body = {"x": [f"{x}", f"{x + 1}"], "y": [f"{y}", f"{y + 1}"], "side": 32}
        asked = self._http.post(f"/api/maps/{self._map}/renders", json=body)
        yield asked
        if asked.status_code != 200:
            return
        place = f"/api/renders/{asked.json()['id']}"
        if self._dice.random() < 0.3:
            yield self._http.delete(place)
            return
        for _ in range(20):
            told = self._http.get(place)
            yield told
            if told.status_code != 200 or told.json()["state"] not in ("waiting", "running"):
                break
            time.sleep(0.5)
        yield self._http.get(f"{place}/image.png")

    def _settings(self):
        made = self._http.post("/api/maps", json={"settings": self._dice.choice(SETTINGS)})
        yield made
        if made.status_code == 200:
            self._maps = [self._map, made.json()["id"]]

    def _page(self):
        paths = ("/", "/api/palettes", "/api/start", f"/api/maps/{self._map}", "/static/app.js")
        yield self._http.get(self._dice.choice(paths))

    def _status(self):
        yield self._http.get("/api/status")

    def _refused(self):
        form = {"content-type": "application/json"}
        turn = self._dice.randrange(5)
        if turn == 0:
            yield self._http.get(f"/api/maps/{self._map}/tiles/6/99/99")
        elif turn == 1:
            yield self._http.get("/api/status", headers={"host": "evil.example"})
        elif turn == 2:
            yield self._http.get("/static/%2e%2e/server.py")
        elif turn == 3:
            yield self._http.post("/api/maps", content=b" " * 70_000, headers=form)
        else:
            with httpx.Client(base_url=self._http.base_url, timeout=TIMEOUT_S) as other:
                yield other.post(
                    "/api/maps", content=(b" " * 1000 for _ in range(90)), headers=form
                )


def compiled(url: str) -> None:
    """Asks for a tile of every setting."""
    with httpx.Client(base_url=url, timeout=TIMEOUT_S) as http:
        for settings in SETTINGS:
            made = http.post("/api/maps", json={"settings": settings}).raise_for_status()
            http.get(f"/api/maps/{made.json()['id']}/tiles/6/0/0").raise_for_status()


def soak(clients: int, minutes: float, folder: Path, cache: str) -> Soak:
    """Runs it: a server process, and so many clients for so long.

    Args:
        cache: where the server keeps what it compiles.
    """
    with server("demo", str(folder / "maps"), cache) as (process, url, _):
        name = httpx.get(f"{url}/api/start", timeout=TIMEOUT_S).json()["map"]["id"]
        compiled(url)
        began = time.monotonic()
        end = began + 60 * minutes
        asking = [Client(url, number, name) for number in range(clients)]
        threads = [threading.Thread(target=c.run, args=(end,), daemon=True) for c in asking]
        for thread in threads:
            thread.start()
        samples = []
        while time.monotonic() < end:
            samples.append(seen(process.pid, began))
            time.sleep(min(SAMPLE_S, 60 * minutes / 20))
        for thread in threads:
            thread.join(120)
        status = httpx.get(f"{url}/api/status", timeout=TIMEOUT_S).json()
        answers = sum((client.answers for client in asking), Counter())
        broken = [line for client in asking for line in client.broken]
        return Soak(samples, answers, broken, status["queue"])


def table(found: Soak) -> str:
    """A few of the samples, the slope, and what was answered."""
    lines = [f"{'minutes':>8} {'MiB':>8} {'files':>6} {'threads':>8}"]
    step = max(1, len(found.samples) // ROWS)
    for s in [*found.samples[::step], found.samples[-1]]:
        lines.append(f"{s.seconds / 60:>8.2f} {s.memory:>8.1f} {s.files:>6} {s.threads:>8}")
    late = found.late()
    lines += [
        f"after the warm-up: {found.slope():+.2f} MiB a minute, "
        f"{min(s.memory for s in late):.0f} to {max(s.memory for s in late):.0f} MiB, "
        f"{min(s.files for s in late)} to {max(s.files for s in late)} files, "
        f"{min(s.threads for s in late)} to {max(s.threads for s in late)} threads",
        f"{found.answers.total()} answers: "
        + ", ".join(f"{kind} {n}" for kind, n in sorted(found.answers.items())),
        f"broken: {len(found.broken)} {found.broken[:3] or ''}; left in the queue: {found.queue}",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fractaljax-soak-") as folder:
        found = soak(arguments.clients, arguments.minutes, Path(folder), f"{folder}/cache")
        print(table(found))


if __name__ == "__main__":
    main()
