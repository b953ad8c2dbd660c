"""Clusters for tests: workers of this process, and a scheduler with workers of their own."""

import contextlib
import time
from pathlib import Path

import pytest
from commands import Command

import fractaljax as fj
from fractaljax.cluster import Piece, connected, deal

CONFIG = """
model: {width: 4}
problem: {inputs: 4, points: 8}
steps: 4000
dtype: float64
window: {resolution: 16}
"""
CHUNK, TILE, TILES = 2, 2, 64
START_S = 90.0  # for a process to be there, on a busy machine
DASK = """
import importlib, os, sys
name, folder, *words = sys.argv[1:]
os.chdir(folder)
os.environ["DASK_TEMPORARY_DIRECTORY"] = "."  # read at import
importlib.import_module(f"distributed.cli.dask_{name}").main(words)
"""


@pytest.fixture(scope="session")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("cluster") / "small.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="session")
def undisturbed(config):
    """The scan in this process alone, on two devices."""
    spec, window = fj.load(config)
    return fj.scan(spec, window, chunk=CHUNK, tile=TILE)["measure"].tobytes()


@pytest.fixture(scope="module")
def team():
    """Two workers of this machine, one device each."""
    with connected("local:2", devices=1) as found:
        yield found


class Processes:
    """A scheduler and workers, each a process without anybody to start it again."""

    def __init__(self, folder: Path):
        self._folder, self.file = folder, folder / "scheduler.json"
        self._started: list[Command] = []
        self.workers: list[Command] = []
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address",
            "127.0.0.1:0", "--scheduler-file", self.file,
        )  # fmt: skip
        self.scheduler.until(self.file.exists)

    def add(self, *words):
        """Another worker; it need not have registered yet."""
        self.workers.append(
            self._start(
                "worker", "--scheduler-file", self.file, "--nworkers", "1", "--nthreads", "1",
                "--no-nanny", "--no-dashboard", "--host", "127.0.0.1",
                "--memory-limit", "0", *words,
            )
        )  # fmt: skip
        return self.workers[-1]

    def warm(self):
        """Has every worker imported what it needs, so that all have their share of a short scan."""
        with connected(str(self.file)) as team:
            until = time.monotonic() + START_S
            while len(team.workers()) < len(self.workers):
                assert time.monotonic() < until
                time.sleep(0.1)
            pieces = [Piece(f"warm {i}", print, ("warm",)) for i in range(len(self.workers))]
            deal(team, pieces, dtype="float64", heard=lambda *_: None, short=False)

    def close(self):
        while self._started:
            process = self._started.pop()
            process.kill()
            process.ended()

    def _start(self, name, *words):
        self._started.append(Command([name, self._folder, *words], script=DASK))
        return self._started[-1]


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    with contextlib.closing(Processes(tmp_path_factory.mktemp("dask"))) as found:
        found.add()
        found.add()
        found.warm()
        yield found


@pytest.fixture
def own(tmp_path):
    """A scheduler and a worker for one test, which may kill them."""
    (tmp_path / "dask").mkdir()
    with contextlib.closing(Processes(tmp_path / "dask")) as found:
        found.add()
        yield found
