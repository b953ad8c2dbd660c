"""The verb `sweep`: a product of settings, as many runs side by side as fit."""

import argparse
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractaljax.cli import source, team
from fractaljax.cli.progress import Gauge, Stopper, duration
from fractaljax.errors import FractaljaxError, at

if TYPE_CHECKING:
    from fractaljax.families.sweep import Job, Progress

log = logging.getLogger("fractaljax")
SWEEP = """examples:
  fractaljax sweep configs/dynamics/gph.yaml batch_seed=0..100 problem.batch=50,5
  fractaljax sweep configs/dynamics/gph.yaml training.lr=1e-4,2e-4 model.num_hidden=2,3,4
  fractaljax sweep configs/dynamics/gph.yaml model.gamma=0.75,1.0,1.5 steps=6000,9000,27000 \\
      --zip model.gamma,steps
  fractaljax sweep configs/dynamics/comparative/diagonal_teacher.yaml training_b.batch_size=50 \\
      training_b.batch_seed=0..20
  fractaljax sweep ... --dry-run                          programs, memory and time, nothing else

One value fixes a setting; several are swept: a,b,c or 0..100 or 0..100..10 (the end excluded);
[a,b] is one value that is a list. All combinations are run, in the order of the command line.
A run that is there is not trained again; the same command goes on where it stopped."""
NO_WORKERS = (
    "there are no workers: the batch is the worker; --devices and --chunk set its size, and "
    "--cluster local:N or the address of a scheduler trains on many machines"
)


def add_sweep(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--zip", action="append", default=[], metavar="A,B", help="swept paths that vary together")
    add("--dtype", choices=("float32", "float64"))
    add("--devices", type=int, metavar="N", help="devices to use (default: all)")
    add("--chunk", type=int, metavar="N", help="networks side by side on a device")
    add("--out", metavar="DIR", help="folder of the table (default: outputs/...)")
    again = "train these runs again, as in batch_seed=3; repeat it for more than one path"
    add("--rerun", action="append", default=[], metavar="PATH=VALUE", help=again)
    add("--overwrite", action="store_true", help="throw away what the folder holds")
    add("--dry-run", action="store_true", help="what it would cost, and nothing else")
    add("--plots", action="store_true", help="curves as plots.png in the folder")
    add("--workers", nargs="?", const="", help=argparse.SUPPRESS)  # refused in words
    team.add_cluster(parser)


def sweep(arguments: argparse.Namespace) -> int:
    """Trains every run that is not in the table yet."""
    if arguments.workers is not None:
        raise FractaljaxError(f"--workers: {NO_WORKERS}")
    from fractaljax.config.sweeps import parse_sweep
    from fractaljax.families import sweep as family

    again = _again(arguments.rerun)
    raw, stem = source.settings(arguments)
    job = family.prepare(
        raw,
        parse_sweep(arguments.overrides, arguments.zip),
        only=arguments.only,
        dtype=arguments.dtype,
        devices=arguments.devices,
        chunk=arguments.chunk,
    )
    if arguments.dry_run:
        team.refuse_cluster(arguments, "--dry-run measures this machine")
        _tell(job)
        return 0
    out = Path(arguments.out or Path("outputs") / stem / job.name / job.digest)
    with Stopper("part") as stopper, Gauge(job.name, "compiling") as gauge:

        def on_part(progress: "Progress") -> None:
            gauge.show(progress.done, progress.total, _note(progress))
            if progress.done < progress.total:
                stopper.check()

        with team.team(arguments) as workers:
            how: dict[str, Any] = {"overwrite": arguments.overwrite, "rerun": again}
            found = family.run(job, out, **how, on_part=on_part, cluster=workers)
    log.info("%s: %s runs", job.name, f"{len(found):,}")
    if arguments.plots:
        from fractaljax.view.curves import save_plots

        save_plots(found, out / "plots.png")
    print(out)
    return 0


def _again(words: list[str]) -> dict[str, Any]:
    """Path -> value, or values, of --rerun."""
    from fractaljax.config.sweeps import parse_sweep

    with at("--rerun"):
        grid = parse_sweep(words)
    several = {dim.paths[0]: [row[0] for row in dim.rows] for dim in grid.dims}
    return {**dict(grid.fixed), **several}


def _note(progress: "Progress") -> str:
    if not progress.trained:
        return f"{progress.done:,} of {progress.total:,} are there"
    rate = progress.trained / progress.seconds
    left = duration((progress.total - progress.done) / rate)
    return f"{rate:,.2f} runs/s, {left} left (program {progress.program} of {progress.programs})"


def _tell(job: "Job") -> None:
    """The plan of a sweep."""
    from fractaljax.families import sweep as family

    steps = sorted({batch.course.steps for batch in job.batches})
    told = " to ".join(f"{n:,}" for n in dict.fromkeys((steps[0], steps[-1])))
    swept = set(job.paths.values())  # a program may have axes beside those that were asked for
    batched = {name for batch in job.batches for name in batch.names if name in swept}
    static = {path for batch in job.batches for path in batch.settings}
    print(f"{job.name}: {job.grid.size:,} runs in {len(job.batches):,} programs, {told} steps")
    print(f"batched in one program: {', '.join(sorted(batched)) or 'nothing'}")
    print(f"a program each:         {', '.join(sorted(static)) or 'nothing'}")
    print(f"\n{'runs':>10} {'chunk':>6} {'memory':>9} {'time':>12}  settings")
    rows = family.planned(job)
    for row in rows:
        facet = ", ".join(f"{path}={_typed(value)}" for path, value in row.settings.items())
        memory, time = f"{row.bytes / 2**20:,.0f} MiB", duration(row.seconds)
        print(f"{row.runs:>10,} {row.chunk:>6} {memory:>9} {time:>12}  {facet}")
    print(
        f"\nin all {duration(sum(row.seconds for row in rows))} on this machine, as a short "
        "trial says"
    )


def _typed(value: Any) -> str:
    """A value as one types it: null, true, [5, 10]."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
