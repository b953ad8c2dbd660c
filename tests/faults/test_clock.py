"""A clock that jumps by days, back and forth, between runs and within them; files of any date."""

import os
import random
import time

import numpy as np
import pytest
from commands import Command, World, run
from harness import SEED, VERBS, completed, lost, tally, wrong

from fractaljax import load_sweep
from fractaljax.store import table
from fractaljax.store.table import Table

pytestmark = pytest.mark.slow

DAY = 86400.0
JUMPS = (-3650 * DAY, -3 * DAY, 3 * DAY, 36500 * DAY)  # a century ahead is beyond 2038


@pytest.mark.parametrize("verb", VERBS)
def test_a_clock_that_jumps_changes_nothing(undisturbed, tmp_path, verb):
    whole, chance = undisturbed(verb), random.Random(SEED)
    gone, out, before = 0, tmp_path / "result", {}
    jumps = chance.sample(JUMPS, 2)
    for jump in jumps:
        step = chance.choice((-DAY, DAY))  # and at every look within the run
        command = Command(whole.work.words(out), World(clock=jump, clock_step=step))
        command.until(out.exists)
        time.sleep(0.5 * chance.random() * (whole.pace.seconds - whole.pace.began))
        command.kill()
        command.ended()
        gone += lost(before, whole.work.finished(out))
        before = whole.work.finished(out)
    more, differing = completed(whole, out, before)
    tally("clock jumps", verb, len(jumps), gone + more, differing)


@pytest.mark.parametrize("verb", VERBS)
def test_files_of_any_date_are_as_good(undisturbed, tmp_path, verb):
    whole, out = undisturbed(verb), tmp_path / "result"
    assert run(whole.work.words(out)).code == 0
    dates = (0, 2**31 + 10**6, time.time())
    for number, file in enumerate(sorted(f for f in out.rglob("*") if f.is_file())):
        os.utime(file, (dates[number % 3],) * 2)
    before = whole.work.finished(out)
    tally("files of 1970 and 2038", verb, 1, *completed(whole, out, before))


def test_of_two_runs_the_newest_counts_although_the_clock_went_back(tmp_path, monkeypatch):
    def write(value: float) -> None:
        runs = Table(tmp_path / "sweep", {"seed": 0})
        runs.forget({"seed": 1})
        assert runs.missing([{"seed": 1}]).all()
        runs.write([{"seed": 1}], {"loss": np.array([value])}, np.zeros(0, int))
        assert not runs.missing([{"seed": 1}]).any()

    for value, now in enumerate((5e9, 1e9, 0.0, 2e9)):
        monkeypatch.setattr(table.time, "time", lambda now=now: now)
        write(float(value))
        assert load_sweep(tmp_path / "sweep").history["loss"].tolist() == [value]
    runs = Table(tmp_path / "sweep", {"seed": 0})
    runs.compact()
    assert load_sweep(tmp_path / "sweep").history["loss"].tolist() == [3.0]
    tally("clock jumps", "table of a sweep", 3)


@pytest.mark.long
def test_runs_that_are_trained_again_win_whatever_the_clock_says(undisturbed, tmp_path):
    whole, out = undisturbed("sweep"), tmp_path / "result"
    assert run(whole.work.words(out), World(clock=36500 * DAY)).code == 0
    first = whole.work.finished(out)
    again = [*whole.work.words(out), "--rerun", "batch_seed=3"]
    assert run(again, World(clock=-3650 * DAY, clock_step=-DAY)).code == 0
    second = whole.work.finished(out)
    newer = [key for key in first if second[key] > first[key]]
    assert len(newer) == len(first) // 6 and set(second) == set(first)
    assert lost({k: v for k, v in first.items() if k not in newer}, second) == 0
    tally("clock jumps", "sweep --rerun", 1, 0, wrong(whole.found, whole.work.found(out)))
