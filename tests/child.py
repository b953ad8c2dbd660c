"""What the process of one command or script does, from its conditions to its exit code."""

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import jax

from fractaljax.cli import main


class Job(NamedTuple):
    """What a process has to do."""

    words: list[str]  # what follows its name
    script: str  # empty: the words are a command of fractaljax
    environment: dict[str, str]
    said: Path  # gets standard output
    told: Path  # gets standard error


class World(NamedTuple):
    """The conditions a command runs under."""

    clock: float = 0.0  # s, added to what the clock says
    clock_step: float = 0.0  # s, added once more at every look at the clock
    uid: int | None = None  # of another user
    memory: int | None = None  # bytes of address space beyond what is in use
    file_size: int | None = None  # bytes that no file may exceed
    before: tuple[str, ...] = ()  # a command that is run before the limits hold
    counted: Path | None = None  # a file that gets a line for everything that is trained
    terminal: bool = False  # of its own: it and what it starts are one group
    careful: bool = False  # saves what it has as often as it can


def run(job: Job, asked: Connection, world: World) -> None:
    """Does a job and ends the process with its exit code.

    Args:
        asked: what it reads as standard input.
    """
    os.dup2(asked.fileno(), 0)
    sys.stdin = open(0)  # noqa: SIM115 (as long as the process)
    for stream, path in ((1, job.said), (2, job.told)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), stream)
    os.environ.clear()
    os.environ.update(job.environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    enter(world)
    sys.argv = ["-c" if job.script else "fractaljax", *job.words]
    try:
        if job.script:
            exec(compile(job.script, "<script>", "exec"), {"__name__": "__main__"})
            code = 0
        else:
            code = main(job.words)
    except SystemExit as left:
        code = left.code
        if isinstance(code, str):  # as Python does
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    if jax.distributed.is_initialized():
        jax.distributed.shutdown()  # `_exit` leaves this out of the end of a process
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def enter(world: World) -> None:
    """Makes the conditions those of this process."""
    if world.terminal:
        os.setsid()
    if world.before:
        main(list(world.before))
        sys.stdout.flush()
        sys.stderr.flush()
        os.ftruncate(1, 0)
        os.ftruncate(2, 0)
    if world.careful:
        _save_often()
    if world.counted:
        _count(world.counted)
    if world.clock or world.clock_step:
        _shift_clock(world)
    if world.file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (world.file_size, resource.RLIM_INFINITY))
    if world.uid is not None:
        os.setgroups([])
        os.setgid(world.uid)
        os.setuid(world.uid)
    if world.memory is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + world.memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _save_often() -> None:
    from fractaljax.engine import cohort
    from fractaljax.families import sweep

    cohort.SAVE_EVERY_S, sweep.PART_WORK = 0.0, 1


def _count(told: Path) -> None:
    """Writes down how many tiles, runs and members this process trains."""
    from fractaljax.engine import cohort
    from fractaljax.store import ledger, table

    def counting(owner: Any, name: str, number: Callable[..., int]) -> None:
        real = getattr(owner, name)

        def trained(*arguments: Any, **named: Any) -> Any:
            found = real(*arguments, **named)
            with open(told, "a") as file:
                file.write(f"{number(*arguments)}\n")
            return found

        setattr(owner, name, trained)

    counting(ledger.Store, "write", lambda *_: 1)
    counting(table.Table, "write", lambda _, settings, *rest: len(settings))
    counting(cohort, "train_cohort", lambda spec, names, points: len(points))


def _shift_clock(world: World) -> None:
    """Another time of day; what measures intervals (`monotonic`, `perf_counter`) stays."""
    real, looks = time.time, iter(range(10**9))

    def shifted() -> float:
        return real() + world.clock + world.clock_step * next(looks)

    time.time = shifted
    time.time_ns = lambda: int(shifted() * 1e9)
