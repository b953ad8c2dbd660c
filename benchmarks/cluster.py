"""What does a cluster cost, against one process on the same cores, and how long does a death?

    python benchmarks/cluster.py

One scan (the paper's network, 128 x 128 pixels, 50 steps, tiles of 16 x 16, chunk 16) by one
process on two devices and by `local:2` with one device each, in turn, three rounds after one that
compiles; the best of each. Such tiles are small, usual ones last many seconds. What dealing costs,
pieces without work tell. Then a worker is killed in the middle of its piece: seconds until another
one has it.

RESULT (two cores of an AMD EPYC (Zen 4, virtual), 26 November 2026):

one process, 2 devices       8.05 tiles/s
local:2, 1 device each       6.83 tiles/s
ratio                        0.85
a piece without work         10.8 ms
from death to new hands       0.6 s

At these tiles, a quarter of a second of one core each, a cluster costs 15 %: some 45 ms of a worker
for every tile. Dealing is 22 ms of it, at two workers; the rest was not taken apart.
"""

import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import fractaljax as fj
from fractaljax.cluster import Piece, Team, connected, deal

CONFIG = Path(__file__).parent.parent / "configs" / "paper" / "tanh.yaml"
ROUNDS, SIDE, TILE, CHUNK = 3, 128, 16, 16
EMPTY = 200  # pieces that do nothing


def nothing(copy: bool) -> None:
    """A piece without work."""
    del copy


def slow(place: Path, copy: bool) -> float:
    """A piece that says who is at it; the first who is will be killed."""
    del copy
    first = not place.exists()
    if first:
        place.write_text(str(os.getpid()))
        time.sleep(60)
    return time.time()


def rate(scan: Callable[[Path], fj.Field]) -> float:
    """Tiles a second of a scan into a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        clock = time.perf_counter()
        scan(Path(folder) / "out")
        return (SIDE // TILE) ** 2 / (time.perf_counter() - clock)


def dealt(team: Team, pieces: list[Piece], **heard: Callable) -> float:
    """Seconds until all pieces are done."""
    clock = time.perf_counter()
    deal(team, pieces, dtype="float64", **{"heard": lambda *_: None, **heard})
    return time.perf_counter() - clock


def handed_over(team: Team) -> float:
    """Seconds from the death of a worker until another one begins with its piece."""
    with tempfile.TemporaryDirectory() as folder:
        place, killed, begun = Path(folder) / "who", [], []

        def shown() -> None:
            if place.exists() and not killed and place.read_text():
                os.kill(int(place.read_text()), signal.SIGKILL)
                killed.append(time.time())

        pieces = [Piece("slow", slow, (place,))]
        dealt(team, pieces, heard=lambda _, receipt: begun.append(receipt), shown=shown)
    return begun[0] - killed[0]


def main() -> None:
    logging.getLogger("fractaljax").setLevel(logging.ERROR)
    spec, window = fj.load(CONFIG, ["steps=50"], only="overview")
    window = window.resized(SIDE)
    fj.prepare(spec.dtype, devices=2)
    numeric = {"chunk": CHUNK, "tile": TILE}
    with connected("local:2", devices=1) as team:
        ways = {
            "one process, 2 devices": lambda out: fj.scan(spec, window, store=out, **numeric),
            "local:2, 1 device each": lambda out: fj.scan(
                spec, window, store=out, cluster=team, **numeric
            ),
        }
        found = dict.fromkeys(ways, 0.0)
        for n in range(ROUNDS + 1):
            for name, scan in ways.items():
                measured = rate(scan)
                found[name] = max(found[name], measured) if n else 0.0
        for name, tiles in found.items():
            print(f"{name:<24} {tiles:8.2f} tiles/s")
        alone, many = found.values()
        print(f"{'ratio':<24} {many / alone:8.2f}")
        cost = dealt(team, [Piece(str(i), nothing, ()) for i in range(EMPTY)]) / EMPTY
        print(f"{'a piece without work':<24} {1000 * cost:8.1f} ms")
        print(f"{'from death to new hands':<24} {handed_over(team):8.1f} s")


if __name__ == "__main__":
    main()
