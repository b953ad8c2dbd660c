"""Workers and drivers killed, stopped or interrupted: nothing finished is lost or done again."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from commands import Command, run

import fractaljax as fj
from fractaljax import cli

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals of POSIX"),
]
TILES = 64


def command(config, out, where):
    numeric = ["--chunk", "2", "--tile", "2", "--devices", "1"]
    return ["scan", str(config), *numeric, "--cluster", str(where), "--out", str(out)]


def start(*words, **options):
    """A driver with workers of its own: a process forked from the tests' server has no children."""
    return subprocess.Popen(
        [sys.executable, "-m", "fractaljax.cli", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def finished(out):
    """The files of every tile that is marked done, with their times."""
    marks = [p for p in (out / "field" / "done" / "c").glob("*/*") if p.name.isdigit()]
    files = [*marks, *(out / "field" / "measure" / "c" / p.parent.name / p.name for p in marks)]
    return {p: p.stat().st_mtime_ns for p in files}


def at_least(out, tiles):
    """Whether so many tiles are finished, to be waited for."""
    return lambda: len(finished(out)) >= 2 * tiles


def wait_for(out, tiles, process):
    until, there = time.monotonic() + 120, at_least(out, tiles)
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "no tile within two minutes"
        time.sleep(0.01)


def check(out, undisturbed, before):
    after = finished(out)
    assert len(after) == 2 * TILES
    assert {p: after[p] for p in before} == before, "a finished tile was written again"
    assert fj.open(out)["measure"][:].tobytes() == undisturbed


def test_a_killed_worker_costs_its_tile(processes, config, undisturbed, tmp_path):
    out = tmp_path / "out"
    driver = Command(command(config, out, processes.file))
    driver.until(at_least(out, 6))
    before = finished(out)
    processes.workers[0].kill()
    processes.add()
    code, _, err = driver.ended()
    assert code == 0, err
    assert "is gone; what it was at is handed out again" in err and "Traceback" not in err
    check(out, undisturbed, before)
    made = fj.open(out).provenance
    # one that was killed between the last byte of its tile and the receipt is not counted
    assert made["pixels"] in (4 * TILES, 4 * TILES - 4)


def test_a_killed_driver_goes_on_and_so_does_one_whose_worker_died_too(
    processes, config, undisturbed, tmp_path
):
    out = tmp_path / "out"
    driver = Command(command(config, out, processes.file))
    driver.until(at_least(out, 6))
    driver.kill()
    driver.ended()
    first = finished(out)
    driver = Command(command(config, out, processes.file))
    driver.until(at_least(out, len(first) // 2 + 6))
    processes.workers[-1].kill()
    driver.kill()
    driver.ended()
    processes.add()
    second = finished(out)
    assert {p: second[p] for p in first} == first, "a finished tile was written again"
    assert len(second) < 2 * TILES, "there was nothing left to go on with"
    ended = run(command(config, out, processes.file))
    assert ended.code == 0, ended.told
    check(out, undisturbed, second)


def test_a_worker_that_stands_still_does_not_hold_the_end(processes, config, undisturbed, tmp_path):
    out = tmp_path / "out"
    driver = Command(command(config, out, processes.file))
    driver.until(at_least(out, 10))
    stopped = processes.workers[-1]
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        before = finished(out)
        ended = driver.ended()
        assert ended.code == 0, ended.told
        check(out, undisturbed, before)
        whole = finished(out)
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    time.sleep(3)  # the one that stood still ends its tile, and finds it there
    assert finished(out) == whole


def test_a_scheduler_that_dies_is_one_line(own, config, undisturbed, tmp_path):
    out = tmp_path / "out"
    driver = Command(command(config, out, own.file))
    driver.until(at_least(out, 2))
    own.scheduler.kill()
    code, _, err = driver.ended()
    assert code == 2 and "the scheduler is gone" in err, err
    assert "Traceback" not in err, err
    own.close()
    before = finished(out)
    assert cli.main(["scan", str(config), "--devices", "1", "--out", str(out)]) == 0
    check(out, undisturbed, before)


def test_ctrl_c_keeps_what_runs_and_ends_the_workers(config, undisturbed, tmp_path):
    out = tmp_path / "out"
    driver = start(*command(config, out, "local:2"), start_new_session=True)
    wait_for(out, 4, driver)
    workers = psutil.Process(driver.pid).children(recursive=True)
    assert len(workers) >= 2
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: to the workers too
    printed, err = driver.communicate(timeout=120)
    assert driver.returncode == 130 and printed == "", err
    assert "after this tile" in err and "goes on" in err and "Traceback" not in err, err
    assert not psutil.wait_procs(workers, timeout=30)[1], "a worker outlives its driver"
    before = finished(out)
    # the receipts of the tiles at which the two workers ended may come too late to be counted
    untold = len(before) // 2 - fj.open(out).provenance["pixels"] // 4
    assert 0 <= untold <= 2, "finished tiles are not told of"
    if len(before) < 2 * TILES:
        words = ["scan", str(config), "--devices", "1", "--out", str(out)]
        assert cli.main(words) == 0  # and a process alone goes on with what a cluster began
    check(out, undisturbed, before)


def test_a_killed_driver_takes_its_own_workers_with_it(config, tmp_path):
    out = tmp_path / "out"
    driver = start(*command(config, out, "local:2"))
    wait_for(out, 2, driver)
    workers = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.communicate()
    assert not psutil.wait_procs(workers, timeout=30)[1], "a worker outlives its driver"
    partial = fj.open(out)
    assert partial.done.any() and not partial.done.all()


def test_a_worker_of_many_threads_is_left_out(processes, config, tmp_path):
    out = tmp_path / "out"
    wide = processes.add("--nthreads", "2", "--name", "wide")
    words = command(config, out, processes.file)
    driver = Command([*words, "steps=10", "--cluster-resources", "GPU=1"])
    try:
        told = "it has 2 threads: --nthreads 1", "waiting for a worker with GPU=1"
        driver.until(lambda: all(line in driver.told() for line in told))
        processes.add("--resources", "GPU=1")
        ended = driver.ended()
        assert ended.code == 0, ended.told
        assert fj.open(out).provenance["workers"] == 1
    finally:
        wide.kill()
        driver.kill()
