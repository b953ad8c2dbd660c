"""The simulation of many workers against closed forms."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest

PLACE = Path(__file__).parents[2] / "benchmarks" / "farm.py"


@pytest.fixture(scope="module")
def farm():
    """A file of `benchmarks`, which is no package."""
    spec = importlib.util.spec_from_file_location("farm", PLACE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["farm"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["farm"]


@pytest.mark.parametrize(("workers", "tiles"), [(1, 7), (4, 8), (4, 9), (10, 3), (7, 1000)])
@pytest.mark.parametrize("copies", [False, True])
def test_equal_tiles_without_failures_go_in_rounds(farm, workers, tiles, copies):
    found = farm.Farm(farm.Plan(workers, tiles, 3.0, copies=copies)).run()
    assert found.makespan == pytest.approx(math.ceil(tiles / workers) * 3.0)
    assert found.done == tiles and found.lost == 0
    if not copies:
        assert found.wasted == 0 and found.handed == tiles


def test_a_slow_scheduler_hands_out_one_tile_after_the_other(farm):
    found = farm.Farm(farm.Plan(workers=50, tiles=200, seconds=5.0, service_s=1.0)).run()
    assert found.makespan == pytest.approx(200 * 1.0 + 5.0)


def test_a_slow_store_takes_one_tile_after_the_other(farm):
    found = farm.Farm(farm.Plan(workers=50, tiles=200, seconds=5.0, put_s=1.0)).run()
    assert found.makespan == pytest.approx(5.0 + 200 * 1.0)


def test_lost_tiles_are_as_many_as_the_rate_times_the_time_that_was_worked(farm):
    """Poisson: within four standard deviations; a lost tile costs half of itself on average."""
    plan = farm.Plan(20, 20_000, 10.0, mtbf_s=1000.0, restart_s=5.0, detect_s=2.0)
    found = farm.Farm(plan, seed=1).run()
    worked = 20_000 * 10.0 + found.wasted
    expected = worked / 1000.0
    assert abs(found.lost - expected) < 4 * math.sqrt(expected)
    assert found.done == 20_000 and found.handed == 20_000 + found.lost
    assert found.wasted / found.lost == pytest.approx(5.0, rel=0.2)
    floor = (worked + found.lost * 5.0) / 20  # all workers busy or restarting, all the time
    assert floor <= found.makespan <= floor + 4 * 15.0


def test_tiles_that_nobody_hands_out_again_are_missing(farm):
    plan = farm.Plan(20, 5000, 10.0, mtbf_s=1000.0, restart_s=5.0, again=False)
    found = farm.Farm(plan).run()
    assert found.lost > 0 and found.done == 5000 - found.lost
    assert farm.Farm(plan._replace(again=True)).run().done == 5000


def test_copies_of_the_last_tiles_do_not_wait_for_a_slow_worker(farm):
    """Two workers, three tiles of 10 s, one worker ten times as slow: its tile is made twice."""
    plan = farm.Plan(workers=2, tiles=3, seconds=10.0, slow_share=0.5, slow=10.0)
    alone = farm.Farm(plan).run()
    copied = farm.Farm(plan._replace(copies=True)).run()
    assert alone.makespan == pytest.approx(100.0) and alone.tail == pytest.approx(80.0)
    assert copied.makespan == pytest.approx(30.0) and copied.handed == 4


def test_a_copy_keeps_a_tile_whose_first_worker_is_lost(farm):
    """With copies every tile comes, and no tile is counted twice."""
    plan = farm.Plan(50, 500, 10.0, (0.2, 1.8), mtbf_s=40.0, restart_s=30.0, detect_s=5.0)
    for seed in range(20):
        found = farm.Farm(plan._replace(copies=True), seed).run()
        assert found.done == 500


def test_the_same_seed_is_the_same_outcome(farm):
    plan = farm.Plan(20, 500, 10.0, (0.5, 1.5), 0.01, 0.01, 500.0, 5.0, 2.0, 0.1, 2.0, copies=True)
    assert farm.Farm(plan, 3).run() == farm.Farm(plan, 3).run()
    assert farm.Farm(plan, 3).run() != farm.Farm(plan, 4).run()
