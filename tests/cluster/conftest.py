"""Clusters for tests: workers of this process, and a scheduler with workers of their own."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
        self.workers: list[subprocess.Popen] = []
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address",
            "127.0.0.1:0", "--scheduler-file", self.file,
        )  # fmt: skip
        until = time.monotonic() + START_S
        while not self.file.exists():
            assert time.monotonic() < until and self.scheduler.poll() is None
            time.sleep(0.05)

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
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()

    def _start(self, *words):
        log = open(self._folder / f"{words[0]}.log", "ab")  # noqa: SIM115 (the process has it)
        place = {"cwd": self._folder, "env": {**os.environ, "DASK_TEMPORARY_DIRECTORY": "."}}
        found = [sys.executable, "-m", "distributed.cli.dask_" + words[0], *map(str, words[1:])]
        with log:
            return subprocess.Popen(found, stdout=log, stderr=log, **place)


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
