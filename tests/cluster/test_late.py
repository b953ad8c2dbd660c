"""Originals that come after their copies, clocks that go wrong, workers that lack something,
folders that nobody shares.

The tasks of workers, called in this process.
"""

import numpy as np
import pytest

import fractaljax as fj
from fractaljax import config
from fractaljax.cluster import Piece, deal, shared, tiles
from fractaljax.cluster.fitness import Unfit
from fractaljax.config.sweeps import parse_sweep
from fractaljax.engine import plan
from fractaljax.errors import FractaljaxError
from fractaljax.families import sweep as family
from fractaljax.families import sweep_parts, units
from fractaljax.store import Store, table
from fractaljax.store.sweeps import load_sweep
from fractaljax.store.table import Table

SWEEP = """
model: {name: deep_linear, num_hidden: 1, hidden_dim: 3}
data: {in_dim: 3, out_dim: 3, train_samples: 8, test_samples: 4}
training: {lr: 1.0e-2}
metrics: [test_loss]
max_steps: 4
num_evaluations: 2
"""


@pytest.fixture
def job(tmp_path):
    """A scan whose store is begun, for workers."""
    path = tmp_path / "small.yaml"
    path.write_text("model: {width: 4}\nsteps: 5\nwindow: {resolution: 4}\n")
    spec, window = fj.load(path)
    plan.prepare(spec.dtype)
    names = tiles.engine.check(spec, window)
    found = tiles.Job(tmp_path / "scan", spec, window, names, None, 1)
    settled = tiles._settle(found, None, plan.Numeric(2, 2, ""), False)
    store = Store(found.path, spec, window)
    store.begin(settled.readings, settled.numeric)
    yield found
    store.close({"pixels": 0})


@pytest.fixture
def runs(tmp_path):
    """A sweep of three runs for workers: folder, what they share, the batch, how it is trained."""
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    made = family.prepare(config.read(path), parse_sweep(["batch_seed=0..3"]), chunk=2, devices=1)
    Table(tmp_path / "runs", made.setting.tree())
    return tmp_path / "runs", made, made.batches[0], sweep_parts.Size(2, 4, "cpu")


def parts(folder):
    return sorted(path.name for path in (folder / "parts").glob("*.parquet"))


@pytest.mark.parametrize("copy", [False, True])
def test_who_is_late_leaves_the_tile_that_is_there(job, monkeypatch, copy):
    train = tiles.engine.train_tile

    def slow(*words):
        """Another has finished the tile when this one has trained it."""
        readings, chunk, pixels = train(*words)
        other = Store(job.path, job.spec, job.window)
        with other.joined():
            other.write(0, other.tile(0), {k: np.full_like(v, 7) for k, v in readings.items()})
        return readings, chunk, pixels

    monkeypatch.setattr(tiles.engine, "train_tile", slow)
    receipt = tiles._train(job, 0, copy)
    assert (receipt.pixels, receipt.known) == (0, 0)
    assert (fj.open(job.path)["measure"][:2, :2] == 7).all()


def test_who_is_late_adds_no_part(runs):
    folder, made, batch, size = runs
    for copy in (False, True, False):
        sweep_parts._train(folder, made, batch, [0, 1, 2], size, 0.0, copy)
        assert len(parts(folder)) == 1
    assert len(load_sweep(folder)) == 3


@pytest.mark.parametrize("hours", [0, -1, 1])
def test_what_is_trained_again_is_newer_than_what_was_there(runs, monkeypatch, hours):
    """Also where the clock of the worker is wrong, and whoever comes first, copy or original."""
    folder, made, batch, size = runs
    driver = Table(folder, made.setting.tree())
    settings = [family.settings_of(made, batch, i) for i in (0, 1, 2)]
    old = {"test_loss": np.full((3, 2), 7, np.float32)}
    driver.write(settings, old, np.asarray(batch.course.evaluated))
    assert driver.forget({"batch_seed": [0, 1]}) == 2
    clock = table.time.time
    monkeypatch.setattr(table.time, "time", lambda: clock() + 3600 * hours)
    for copy in (True, False):
        sweep_parts._train(folder, made, batch, [0, 1], size, driver.since, copy)
        assert len(parts(folder)) == 2
    assert not driver.missing(settings).any()
    driver.compact()
    found = [load_sweep(folder).select({"batch_seed": n})[0]["test_loss"] for n in (0, 1, 2)]
    assert [bool((curve == 7).all()) for curve in found] == [False, False, True]


def test_a_worker_of_another_backend_or_without_a_compiler_is_unfit(job, monkeypatch):
    numeric = {"tile": 2, "backend": "gpu", "chunk": 2, "kernel": "xla"}
    with pytest.raises(Unfit, match=r"its backend is cpu.* trained on gpu"):
        tiles._settle(job, numeric, plan.Numeric(2, 2, ""), False)
    native = {**numeric, "backend": "cpu", "kernel": "native"}
    monkeypatch.setattr(tiles.build, "missing", lambda: "no compiler")
    for begun, asked in ((native, None), (None, "native")):
        with pytest.raises(Unfit, match="kernel=native: no compiler"):
            tiles._settle(job, begun, plan.Numeric(2, 2, "", asked), False)
    for renewed in (numeric, native):
        Store(job.path, job.spec, job.window).renew(renewed)
        with pytest.raises(Unfit):
            tiles._train(job, 0, False)


def test_a_sweep_and_a_study_keep_one_backend(runs):
    folder, made, batch, size = runs
    assert sweep_parts._settle(folder, made, batch, None, False).backend == "cpu"
    numeric = Table(folder, made.setting.tree()).numeric(batch.settings, {})
    assert numeric == {"chunk": 2, "backend": "cpu"}
    with pytest.raises(Unfit, match=r"backend is cpu.* trained on gpu"):
        sweep_parts._settle(folder, made, batch, "gpu", False)
    with pytest.raises(Unfit, match=r"backend is cpu.* trained on gpu"):
        wanted = size._replace(backend="gpu")
        sweep_parts._train(folder, made, batch, [0], wanted, 0.0, False)
    assert units._numeric(units.Kind(units.Numeric(1), "cpu")) == (1, None)
    with pytest.raises(Unfit, match=r"backend is cpu.* trained on gpu"):
        units._numeric(units.Kind(units.Numeric(1), "gpu"))


def test_a_sweep_goes_on_with_the_backend_it_has(tmp_path, runs):
    _, made, batch, _ = runs
    table = Table(tmp_path / "before", made.setting.tree())
    table.numeric(batch.settings, {"chunk": 4, "backend": "gpu"})
    with pytest.raises(Unfit, match="trained on gpu"):
        sweep_parts._settle(tmp_path / "before", made, batch, None, False)


def test_runs_that_are_not_to_be_seen_are_one_line(runs, monkeypatch):
    monkeypatch.setattr(shared, "SEEN_S", 0.2)
    folder, made, _, size = runs
    driver = sweep_parts._Driver(made, made, Table(folder, made.setting.tree()), folder, None)
    driver.heard(driver.pieces.popleft(), size)
    (part,) = driver.pieces
    with pytest.raises(FractaljaxError, match=r"node7, process 1 has written part 1 .* share"):
        driver.heard(part, sweep_parts.Written(3, "node7, process 1"))
    driver.heard(part, part.task(*part.args, False))
    assert len(load_sweep(folder)) == 3


def test_a_unit_that_is_not_to_be_seen_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "SEEN_S", 0.2)

    def dealt(team, pieces, *, heard, **_):
        for piece in pieces:
            heard(piece, "node7, process 1")

    monkeypatch.setattr(units, "deal", dealt)
    there = {"4"}
    work = units.Work("search", 2, tmp_path, there.__contains__)
    units._deal(None, [Piece("architecture 4", print, ("4",))], "float32", work, None)
    with pytest.raises(FractaljaxError, match=r"has written architecture 8 .* machines share"):
        units._deal(None, [Piece("architecture 8", print, ("8",))], "float32", work, None)


class Lost:
    """A piece that was done by a worker whose receipt never comes."""

    status = "finished"

    def add_done_callback(self, told):
        told(self)

    def result(self, timeout):
        raise TimeoutError


class Silent:
    """A team of one worker, and the client of it."""

    devices, resources, crowded, present = 1, {}, False, frozenset({"node7"})

    def __init__(self):
        self.client, self.handed = self, 0

    def workers(self):
        return ["node7"]

    def submit(self, *words, **how):
        self.handed += 1
        return Lost()

    def cancel(self, futures):
        pass


def test_a_receipt_that_never_comes_is_a_try():
    silent = Silent()
    with pytest.raises(FractaljaxError, match="failed 3 times, at last node7 did not send"):
        deal(silent, [Piece("tile 3", print, ())], dtype="float32", heard=print)
    assert silent.handed == 3
