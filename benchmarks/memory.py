"""Does the peak memory of a scan depend on the number of pixels?

    python benchmarks/memory.py

One child process a case scans networks of width 8 for 5 steps and keeps the field in memory; its
largest resident set is read when it ends. `tiles` is the default (64 x 64 pixels a call), `whole`
is `tile=0`, the whole window in one jitted call. What the result itself takes (8 bytes of the
measure and 1 of `done` a pixel) is subtracted; what is left is JAX, the compiled program, and
whatever else grew.

RESULT (two cores of an Intel Xeon (AVX-512, virtual), 22 November 2026):

          pixels         peak MiB  result MiB  difference       s
       64 x 64   tiles        322         0.0         322     0.8
      256 x 256  tiles        293         0.6         292     0.7
     1024 x 1024 tiles        301         9.0         292     9.6
       64 x 64   whole        295         0.0         295     0.2
      256 x 256  whole        334         0.6         333     1.4
     1024 x 1024 whole        410         9.0         401     9.2

Tile by tile the peak does not grow; in one jitted call it grows by some 110 bytes a pixel, the
points and readings of the whole window, and by nothing that is pixels x steps.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import fractaljax as fj

CONFIG = Path(__file__).parent.parent / "configs" / "paper" / "tanh.yaml"
SIDES = (64, 256, 1024)
TILES = {"tiles": None, "whole": 0}
CHUNK = 16  # pinned: the scan must not stop to measure chunks
MB = 2**20


def child(side: int, tile: str) -> None:
    """One scan in this process; prints bytes of its result, of its peak, and seconds."""
    spec, window = fj.load(CONFIG, ["steps=5"], only="demo")
    field = fj.scan(spec, window.resized(side), tile=TILES[tile], chunk=CHUNK)
    result = field["measure"].nbytes + field.done.nbytes
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(json.dumps({"result": result, "peak": peak, "seconds": field.provenance["wall_s"]}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--child", nargs=2, metavar=("SIDE", "TILE"), help=argparse.SUPPRESS)
    case = parser.parse_args().child
    if case:
        return child(int(case[0]), case[1])
    print(f"{'pixels':>12} {'':6}{'peak MiB':>10}{'result MiB':>12}{'difference':>12}{'s':>8}")
    for tile in TILES:
        for side in SIDES:
            command = [sys.executable, __file__, "--child", str(side), tile]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            m = json.loads(done.stdout)
            peak, result = m["peak"] / MB, m["result"] / MB
            row = f"{peak:10.0f}{result:12.1f}{peak - result:12.0f}{m['seconds']:8.1f}"
            print(f"{side:>5} x {side:<5}{tile:6}{row}", flush=True)


if __name__ == "__main__":
    main()
