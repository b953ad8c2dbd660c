"""Sweeps: thousands of runs of one training, as many side by side as fit, kept in one table.

Paths that may be traced are columns of points of one compiled program; static ones are facets,
a program each. No processes share the work of a machine: the batch is the worker.
"""

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fractaljax import config
from fractaljax.cluster import Cluster, Team, connected
from fractaljax.config.files import named_files
from fractaljax.config.sweeps import MAX_LISTED, Dim, Grid, parse_sweep
from fractaljax.engine import hosts, order, plan, program, scan
from fractaljax.engine.train import check_precision
from fractaljax.errors import FractaljaxError, at
from fractaljax.pair import Course, Pair
from fractaljax.runs import Sweep
from fractaljax.spec import MAX_SEED, is_seed
from fractaljax.store import origins
from fractaljax.store.sweeps import load_sweep
from fractaljax.store.table import Table

log = logging.getLogger("fractaljax")
MAX_WRITTEN = 10**5  # values that a command line holds; more are ranges, and all different
MAX_PROGRAMS = 10_000
MAX_RUNS = 2**28  # of one sweep; the keys of so many take 2 GiB
PART_WORK = 2e10  # multiplications of one call of a program: some seconds of two cores
PART_BYTES = 2**26  # of readings in one part of the table
RESERVED = {"step", "written"}  # columns of the table that are no readings
WAIT_S = 0.2  # between two looks at runs that another process trains
MEASURED = 4  # programs that a plan times; the others are scaled from them


class Batch(NamedTuple):
    """The runs of one compiled program."""

    settings: dict[str, Any]  # of its facet: canonical path -> value
    course: Course
    names: tuple[str, ...]  # canonical paths that are traced
    grid: Grid  # of the traced paths, in the words of the user


class Job(NamedTuple):
    """A sweep, checked and not yet run."""

    name: str
    digest: str  # tells one sweep's base setting from another
    setting: config.Setting
    grid: Grid
    batches: list[Batch]
    paths: dict[str, str]  # as the user wrote it -> canonical
    devices: int | None
    chunk: int | None


class Planned(NamedTuple):
    """What one program will cost."""

    settings: dict[str, Any]
    runs: int
    chunk: int  # networks side by side on a device
    bytes: int  # scratch memory and readings of one call, all devices
    seconds: float


class Progress(NamedTuple):
    """What `on_part` hears after every part."""

    done: int  # runs that are there now, of this sweep
    total: int
    trained: int  # in this call
    seconds: float  # of this call
    program: int  # the running one, from 1
    programs: int


def sweep(
    path: str | Path,
    words: Sequence[str] = (),
    *,
    out: str | Path,
    zips: Sequence[str] = (),
    only: str | None = None,
    dtype: str | None = None,
    devices: int | None = None,
    chunk: int | None = None,
    overwrite: bool = False,
    rerun: Mapping[str, Any] | None = None,
    on_part: Callable[[Progress], Any] | None = None,
    cluster: str | Cluster | Team | None = None,
) -> Sweep:
    """A whole sweep from Python: `sweep("gph.yaml", ["batch_seed=0..100"], out="outputs/gph")`.

    Args:
        path: a YAML config.
        words: `path=value`, `path=a,b,c` or `path=0..100`, as on the command line.
        out: folder of the table; the same call goes on where it stopped.
        zips: `a,b`: paths that vary together.
        only, dtype, devices, chunk, overwrite, rerun, on_part, cluster: as in `prepare` and `run`.
    """
    grid = parse_sweep(words, zips)
    job = prepare(config.read(path), grid, only=only, dtype=dtype, devices=devices, chunk=chunk)
    return run(job, out, overwrite=overwrite, rerun=rerun, on_part=on_part, cluster=cluster)


def prepare(
    raw: Mapping[str, Any],
    grid: Grid,
    *,
    only: str | None = None,
    dtype: str | None = None,
    devices: int | None = None,
    chunk: int | None = None,
) -> Job:
    """Checks a whole sweep before anything is trained, with JAX set to its precision.

    Args:
        raw: settings as `config.read` returns them.
        grid: what is fixed and what is swept.
        only: the experiment of the file.
        dtype, devices, chunk: as in a scan.

    Raises:
        FractaljaxError: for whatever file, grid or value gets wrong, in one line.
    """
    fixed = [*grid.fixed, *([("dtype", dtype)] if dtype else [])]
    swept = [path for dim in grid.dims for path in dim.paths]
    setting = config.setting(raw, fixed, only, swept)
    for path in swept:
        if path.split(".")[-1] in ("metric", "metrics", "fold", "callback", "callbacks"):
            raise FractaljaxError(f"{path} is not swept; several are one value: {path}=[a,b]")
    paths = {path: setting.path(path) for dim in grid.dims for path in dim.paths}
    for path, _ in grid.fixed:
        if any(_reaches(setting, path, canonical) for canonical in paths.values()):
            raise FractaljaxError(f"{path} is not read: it is swept too")
    for path, canonical in paths.items():
        if list(paths.values()).count(canonical) > 1:
            raise FractaljaxError(f"{path}: {canonical} is swept twice")
        if canonical.split(".")[-1] == "seed" and not setting.course.batched(canonical):
            raise FractaljaxError(
                f"{path} is not read: data_seed, model_seed and batch_seed are given"
            )
        if canonical == "dtype":
            raise FractaljaxError("dtype: one a sweep; give --dtype float32 or float64")
    if grid.size > MAX_RUNS:
        path = max(grid.dims, key=lambda dim: len(dim.rows)).paths[0]
        raise FractaljaxError(
            f"{path}: {grid.size:,} runs in all; at most {MAX_RUNS:,} in one sweep"
        )
    plan.check_sizes(chunk)
    plan.prepare(setting.course.dtype, devices)
    check_precision(setting.course)
    static = {path for path in paths if not _may_trace(setting.course, paths, grid, path)}
    if math.prod(len(dim.rows) for dim in grid.dims if static & {*dim.paths}) > MAX_PROGRAMS:
        raise FractaljaxError(f"more than {MAX_PROGRAMS:,} programs: too many static values")
    batches = []
    for settings, rest in grid.split(static.__contains__):
        settings = {paths[path]: value for path, value in settings.items()}
        course = setting.course.updated(settings)
        own = {paths[path] for dim in rest.dims for path in dim.paths}
        rest = Grid((*rest.dims, *_beside(course, own)))
        names = tuple(paths.get(path, path) for dim in rest.dims for path in dim.paths)
        batches.append(Batch(settings, course, names, rest))
    named_files(batch.course for batch in batches)  # what was read of other contents is forgotten
    for batch in batches[:MEASURED]:  # whatever a step refuses is refused before a folder is made
        _check_values(batch, paths)
        readings = program.readings(batch.course, batch.names)
        if taken := RESERVED & set(readings):
            raise FractaljaxError(f"a reading may not be called {', '.join(taken)} in a sweep")
    _tell_repeated(grid)
    text = json.dumps(setting.tree(), sort_keys=False, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return Job(setting.name, digest, setting, grid, batches, paths, devices, chunk)


def planned(job: Job) -> list[Planned]:
    """Every program with its batch, memory and time, from short trials on this machine."""
    mesh = plan.mesh(job.devices)
    rows, rates = [], {}
    step = -(-len(job.batches) // MEASURED)
    for i, batch in enumerate(job.batches):
        chunk = choose_chunk(job, batch, mesh)
        if i % step == 0:
            rates[i] = _rate(batch, chunk, mesh)
        rate, scratch = rates[i - i % step]
        near = job.batches[i - i % step]
        seconds = batch.grid.size * batch.course.steps / rate * _work(batch) / _work(near)
        memory = scratch + capacity_of(batch, chunk, mesh) * _row_bytes(batch)
        rows.append(Planned(batch.settings, batch.grid.size, chunk, memory, seconds))
    return rows


def run(
    job: Job,
    out: str | Path,
    *,
    overwrite: bool = False,
    rerun: Mapping[str, Any] | None = None,
    on_part: Callable[[Progress], Any] | None = None,
    cluster: str | Cluster | Team | None = None,
) -> Sweep:
    """Trains every run that is not in the table yet.

    Args:
        job: what `prepare` made.
        out: folder of the table; the same call goes on where it stopped.
        overwrite: throw away what the folder holds.
        rerun: path -> value: runs that match are trained again.
        on_part: called with a `Progress` after every part; whatever it raises ends the sweep,
            parts kept.
        cluster: as in a scan; its workers train the parts into `out`, which all of them must see.

    Raises:
        FractaljaxError: the folder holds another sweep, or cannot be written.
    """
    with at("rerun"):
        again = {job.setting.path(path): value for path, value in (rerun or {}).items()}
    if cluster is not None:
        from fractaljax.families import sweep_parts  # which is made of what is here

        with connected(cluster, job.devices) as team:
            told = {"overwrite": overwrite, "again": again, "on_part": on_part}
            return sweep_parts.run(team, job, out, **told)
    hosts.alone("a sweep")
    mesh = plan.mesh(job.devices)
    made = {"backend": mesh.devices.flat[0].platform, **scan.machine_record(mesh)}
    named = named_files(batch.course for batch in job.batches)
    table = Table(out, job.setting.tree(), provenance=made, overwrite=overwrite, files=named)
    if again:
        log.info("%d runs are trained again", table.forget(again))
    total, trained, clock = job.grid.size, 0, time.perf_counter()
    done = 0
    for number, batch in enumerate(job.batches, 1):
        origins.check_folder(table.path, [batch.course], origins.ANEW)  # every program reads again
        numeric = table.numeric(batch.settings, settled(job, batch, mesh))
        chunk, kernel = numeric["chunk"], order.begun_with(numeric)
        capacity = capacity_of(batch, chunk, mesh)
        for waiting, seen in _claimed(job, batch, table, capacity):
            done += seen - len(waiting)
            if waiting:
                tile = program.compile_tile(
                    batch.course, batch.names, capacity, chunk, mesh, kernel
                )
                curves = tile.run(points_of(batch, waiting))
                settings = [settings_of(job, batch, i) for i in waiting]
                table.write(settings, curves, np.asarray(batch.course.evaluated))
                done, trained = done + len(waiting), trained + len(waiting)
            if on_part:
                seconds = time.perf_counter() - clock
                on_part(Progress(done, total, trained, seconds, number, len(job.batches)))
    table.compact()
    return load_sweep(out)


def missing(job: Job, batch: Batch, table: Table, capacity: int) -> Iterator[tuple[list[int], int]]:
    """Indices of runs that are not there, at most `capacity` at once, and how many were seen."""
    waiting: list[int] = []
    seen = 0
    for start in range(0, batch.grid.size, capacity):
        block, absent = _absent(job, batch, table, start, capacity)
        waiting += absent
        seen += len(block)
        if len(waiting) >= capacity:
            yield waiting[:capacity], seen - len(waiting[capacity:])
            waiting, seen = waiting[capacity:], len(waiting[capacity:])
    if seen:
        yield waiting, seen


def _claimed(
    job: Job, batch: Batch, table: Table, capacity: int
) -> Iterator[tuple[list[int], int]]:
    """As `missing`, claimed until the next are asked for; blocks of runs that another process has
    claimed come last, once that process is done with them or gone."""
    left = list(range(0, batch.grid.size, capacity))
    while left:
        waiting: list[int] = []
        busy, held, seen = [], [], 0
        for start in left:
            if not table.claim(batch.settings, start):
                busy.append(start)
                continue
            held.append(start)
            block, absent = _absent(job, batch, table, start, capacity)
            waiting += absent
            seen += len(block)
            if len(waiting) >= capacity:
                rest = waiting[capacity:]
                yield waiting[:capacity], seen - len(rest)
                waiting, seen = rest, len(rest)
            if not waiting:
                held = _released(table, batch, held)
        if seen:
            yield waiting, seen
        _released(table, batch, held)
        if busy and len(busy) == len(left):
            time.sleep(WAIT_S)
        left = busy


def _absent(
    job: Job, batch: Batch, table: Table, start: int, capacity: int
) -> tuple[range, list[int]]:
    """A block of runs, and those of them that are not there."""
    block = range(start, min(start + capacity, batch.grid.size))
    gone = table.missing([settings_of(job, batch, i) for i in block])
    return block, [i for i, is_gone in zip(block, gone, strict=True) if is_gone]


def _released(table: Table, batch: Batch, held: list[int]) -> list[int]:
    for start in held:
        table.release(batch.settings, start)
    return []


def settings_of(job: Job, batch: Batch, index: int) -> dict[str, Any]:
    """The swept values of one run, by canonical path."""
    own = batch.grid.settings(index).items()
    return {**batch.settings, **{job.paths[path]: v for path, v in own if path in job.paths}}


def _tell_repeated(grid: Grid) -> None:
    """Says where a value stands twice: such runs are one."""
    for dim in grid.dims:
        if len(dim.rows) > MAX_WRITTEN:
            continue
        different = {json.dumps(row, default=str) for row in dim.rows}
        if more := len(dim.rows) - len(different):
            log.warning(
                "%s: %d values are given twice; each is one run", ", ".join(dim.paths), more
            )


def _check_values(batch: Batch, paths: Mapping[str, str]) -> None:
    """Raises for a traced value that its part refuses; a tracer would slip through."""
    for dim in batch.grid.dims:
        names = [paths.get(path, path) for path in dim.paths]
        if all(map(is_seed, names)):
            continue  # checked as seeds, and there may be a million of them
        if len(dim.rows) > MAX_LISTED:
            raise FractaljaxError(
                f"{dim.paths[0]}: {len(dim.rows):,} values; only seeds may be so many"
            )
        for row in dim.rows:
            batch.course.updated(dict(zip(names, row, strict=True)))


def _reaches(setting: config.Setting, path: str, canonical: str) -> bool:
    """Whether a path, in whatever words, is this one; whole blocks have no path of their own."""
    try:
        return setting.path(path) == canonical
    except FractaljaxError:
        return False


def _may_trace(course: Course, paths: Mapping[str, str], grid: Grid, path: str) -> bool:
    """Whether the values of a swept path can be one batch; seeds among them must be seeds."""
    if not course.batched(paths[path]):
        return False
    dim = next(dim for dim in grid.dims if path in dim.paths)
    column = dim.paths.index(path)
    # what is longer than lists may be is a range, and known by its ends
    rows = dim.rows if len(dim.rows) <= MAX_LISTED else (dim.rows[0], dim.rows[-1])
    values = [row[column] for row in rows]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return False
    if is_seed(paths[path]) and not scan.are_seeds(np.array(values, np.float64)):
        raise FractaljaxError(f"{path}: takes whole numbers from 0 to {MAX_SEED}")
    return True


def settled(job: Job, batch: Batch, mesh: Any) -> dict[str, Any]:
    """The numeric setting of a program that nobody has begun."""
    numeric, kernel = {"chunk": choose_chunk(job, batch, mesh)}, order.automatic(batch.course)
    return numeric if kernel == order.XLA else {**numeric, "kernel": kernel}


def choose_chunk(job: Job, batch: Batch, mesh: Any) -> int:
    """Networks side by side on a device: pinned, known, measured when that pays, or estimated."""
    if job.chunk:
        return job.chunk
    course, names, kernel = batch.course, batch.names, order.automatic(batch.course)
    if known := plan.remembered(course, names, mesh, kernel):
        return known.chunk
    share = -(-batch.grid.size // mesh.size)
    if batch.grid.size * batch.course.steps * _work(batch) >= plan.WORTH_MEASURING * 1e4:
        choices = plan.candidates(course, names, mesh, batch.grid.size, kernel)
        rates = plan.measure(course, names, lambda n: _first(batch, n), mesh, choices, kernel)
        return max(rates, key=lambda choice: rates[choice]).chunk
    return min(plan.estimated_chunk(batch.course), 2 ** math.ceil(math.log2(share)))


def points_of(batch: Batch, indices: Iterable[int]) -> np.ndarray:
    """The traced values of some runs, `[P, A]`."""
    rows = [list(batch.grid.settings(i).values()) for i in indices]
    return np.array(rows, np.float64).reshape(len(rows), len(batch.names))


def _first(batch: Batch, count: int) -> np.ndarray:
    """The points of the first runs, gone through again where there are fewer."""
    return points_of(batch, (i % batch.grid.size for i in range(count)))


def _beside(course: Course, names: set[str]) -> Iterator[Dim]:
    """One value each of paths that are axes although nobody sweeps them.

    What is swept of one side of a pair is an axis of the other too: both are then computed alike,
    so that two sides of equal values stay equal to the last bit. And a program needs something to
    be over: the seed of the batches.
    """
    if not names:
        names = {"a.batch_seed"} if isinstance(course, Pair) else {"batch_seed"}
        yield from (Dim((path,), [(_value(course, path),)]) for path in names)
    if isinstance(course, Pair):
        for path in sorted(names):
            side, _, rest = path.partition(".")
            other = {"a": "b", "b": "a"}.get(side)
            if other and f"{other}.{rest}" not in names and rest in course.sides[other].paths():
                value = _value(course, f"{other}.{rest}")
                if value is not None:
                    yield Dim((f"{other}.{rest}",), [(value,)])


def _value(course: Course, path: str) -> Any:
    """The value of a path; of a seed that is not given, the seed that stands for it."""
    found = course.paths()[path]
    return course.seed if found is None and is_seed(path) else found


def capacity_of(batch: Batch, chunk: int, mesh: Any) -> int:
    """Runs of one call: some seconds of work, a bounded part of the table."""
    at_once = chunk * mesh.size
    work = at_once * batch.course.steps * _work(batch)
    most = min(PART_WORK / work, PART_BYTES / (at_once * _row_bytes(batch)))
    needed = -(-batch.grid.size // at_once)
    return at_once * int(min(max(most, 1), needed))


def _rate(batch: Batch, chunk: int, mesh: Any) -> tuple[float, int]:
    """Network-steps a second, and bytes of scratch memory, from a short trial."""
    short = plan.shortened(batch.course)
    points = _first(batch, chunk * mesh.size)
    kernel = order.automatic(short)
    tile = program.compile_tile(short, batch.names, len(points), chunk, mesh, kernel)
    tile.run(points)
    clock = time.perf_counter()
    tile.run(points)
    seconds = time.perf_counter() - clock
    scratch = tile.compiled.memory_analysis().temp_size_in_bytes * mesh.size
    return len(points) * short.steps / seconds, scratch


def _work(batch: Batch) -> float:
    return plan.multiplications(batch.course)


def _row_bytes(batch: Batch) -> int:
    """Of the readings of one run."""
    readings = program.readings(batch.course, batch.names).values()
    return sum(math.prod(r.shape) * np.dtype(r.dtype).itemsize for r in readings)
