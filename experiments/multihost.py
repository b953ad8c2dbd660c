"""One scan by several processes, over one mesh of all their devices (docs/multihost.md).

    python experiments/multihost.py CONFIG OUT --chunk 8 \
        --coordinator 127.0.0.1:9876 --processes 2 --rank 0 &
    python experiments/multihost.py CONFIG OUT --chunk 8 \
        --coordinator 127.0.0.1:9876 --processes 2 --rank 1

The same command in every process, but for the rank. Process 0 keeps the store OUT and says which
tile is next; the command goes on where an earlier one stopped, with as many processes as now.
On SLURM, Open MPI and Cloud TPU the last three options are left out: JAX finds them.
"""

import argparse

import jax

import fractaljax as fj
from fractaljax.errors import FractaljaxError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config")
    parser.add_argument("out")
    parser.add_argument("overrides", nargs="*", metavar="path=value")
    parser.add_argument("--only", help="name of the experiment (default: the first)")
    parser.add_argument("--chunk", type=int, required=True, help="networks at once on a device")
    parser.add_argument("--tile", type=int, help="side of a tile in pixels")
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 listens")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--rank", type=int)
    a = parser.parse_intermixed_args()
    # before anything asks JAX for its devices: afterwards it has those of this process alone
    jax.distributed.initialize(a.coordinator, a.processes, a.rank)
    try:
        spec, window = fj.load(a.config, a.overrides, only=a.only)
        field = fj.scan(spec, window, store=a.out, chunk=a.chunk, tile=a.tile)
    except FractaljaxError as error:
        parser.exit(2, f"multihost: {error}\n")
    if jax.process_index() == 0:
        made = field.provenance
        where = f"{made['devices']} devices of {jax.process_count()} processes"
        print(f"{made['pixels']} pixels in {made['wall_s']:.1f} s by {where}: {a.out}")


if __name__ == "__main__":
    main()
