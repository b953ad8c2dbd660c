"""Runs and sweeps in memory: selected, gone through, and handed to pandas and xarray."""

import itertools

import numpy as np
import pytest

from fractaljax.errors import FractaljaxError
from fractaljax.runs import Sweep, laid_over, matches, values_at

CONFIG = {
    "model": {"name": "deep_linear", "gamma": 1.0, "widths": [3, 3]},
    "problem": {"batch": None},
    "batch_seed": None,
    "steps": 8,
}
STEPS = np.arange(0, 8, 2, dtype=np.int32)
GRID = [*itertools.product([0.75, 1.0, 1.5], [None, 5], range(4))]


def objects(values):
    out = np.empty(len(values), object)
    out[:] = values
    return out


def sweep(grid=GRID):
    """A run of value 100 i + step, for i in the order of the grid."""
    n = len(grid)
    columns = {
        "model.gamma": np.array([g for g, _, _ in grid]),
        "problem.batch": objects([b for _, b, _ in grid]),
        "batch_seed": np.array([s for _, _, s in grid]),
    }
    loss = (100 * np.arange(n)[:, None] + STEPS).astype(np.float32)
    norms = np.stack([loss, -loss], axis=2)
    readings = {"test_loss": loss, "layer_norms": norms, "measure": np.arange(n) / 2}
    return Sweep(CONFIG, columns, readings, np.tile(STEPS, (n, 1)))


def uneven(grid=GRID):
    """Twice as many evaluations where there is no batch."""
    whole = sweep(grid)
    batches = whole.values("problem.batch")
    steps = objects([np.arange(0, 8, 2 if b else 1) for b in batches])
    loss = objects([np.float32(one) for one in steps])
    return Sweep(CONFIG, {p: whole.values(p) for p in whole.swept}, {"test_loss": loss}, steps)


def test_a_run_is_its_values_over_the_base_and_its_curves():
    run = sweep()[13]
    assert GRID[13] == (1.0, 5, 1)
    assert run.overrides == {"model.gamma": 1.0, "problem.batch": 5, "batch_seed": 1}
    assert [type(v) for v in run.overrides.values()] == [float, int, int]
    assert run.config["problem"] == {"batch": 5} and run.config["batch_seed"] == 1
    assert run.config["model"] == CONFIG["model"] and CONFIG["problem"] == {"batch": None}
    np.testing.assert_array_equal(run["test_loss"], 1300 + STEPS)
    np.testing.assert_array_equal(run.step, STEPS)
    assert run["layer_norms"].shape == (4, 2) and run["measure"] == 6.5
    with pytest.raises(FractaljaxError, match="Did you mean 'test_loss'"):
        run["tets_loss"]


def test_runs_come_in_order_over_many_blocks():
    grid = [(1.0, None, s) for s in range(2500)]
    seen = [(r.overrides["batch_seed"], r["test_loss"][0]) for r in sweep(grid)]
    assert seen == [(s, 100 * s) for s in range(2500)]
    assert len(sweep(grid)[10:2490]) == 2480
    assert sweep(grid)[10:2490][-1].overrides["batch_seed"] == 2489
    with pytest.raises(IndexError):
        sweep(grid)[2500]


def test_history_has_a_row_a_run():
    whole = sweep()
    assert list(whole.history) == ["test_loss", "layer_norms", "measure"]
    assert whole.history["test_loss"].shape == (24, 4)
    assert whole.history["layer_norms"].shape == (24, 4, 2)
    assert whole.history["measure"].shape == (24,)
    np.testing.assert_array_equal(whole.steps, STEPS)
    chosen = whole.select(batch_seed=2)
    np.testing.assert_array_equal(
        chosen.history["test_loss"][:, 0], [200, 600, 1000, 1400, 1800, 2200]
    )
    with pytest.raises(FractaljaxError, match="unknown reading 'loss'"):
        whole.history["loss"]


@pytest.mark.parametrize(
    "match, expected",
    [
        ({"model.gamma": 1.5}, lambda g, b, s: g == 1.5),
        ({"gamma": 1}, lambda g, b, s: g == 1.0),
        ({"problem.batch": None}, lambda g, b, s: b is None),
        ({"problem.batch": [None, 5], "batch_seed": [0, 3]}, lambda g, b, s: s in (0, 3)),
        ({"batch_seed": range(1, 3), "gamma": 0.75}, lambda g, b, s: g == 0.75 and s in (1, 2)),
        ({"batch_seed": np.array([1])}, lambda g, b, s: s == 1),
        ({"steps": 8, "seed": 3}, lambda g, b, s: s == 3),
    ],
)
def test_select(match, expected):
    names = {"seed": "batch_seed"}
    chosen = sweep().select({names.get(k, k): v for k, v in match.items()})
    wanted = [point for point in GRID if expected(*point)]
    assert [tuple(run.overrides.values()) for run in chosen] == wanted


@pytest.mark.parametrize(
    "match, said",
    [
        ({"model.gama": 1.0}, "Did you mean 'model.gamma'"),
        ({"gamma": 3.0}, r"no run has model.gamma=3.0; there are 0.75, 1.0, 1.5$"),
        ({"batch": 7}, r"problem.batch=7; there are null, 5$"),
        ({"batch_seed": 1.5}, r"batch_seed=1.5; there are 0, 1, 2, 3$"),
        ({"batch_seed": True}, r"batch_seed=True; there are"),
        ({"model": 1}, "unknown swept path 'model'"),
    ],
)
def test_select_refuses(match, said):
    with pytest.raises(FractaljaxError, match=said):
        sweep().select(match)


def test_select_refuses_values_that_never_meet():
    with pytest.raises(FractaljaxError, match=r"model.gamma=1.5, problem.batch=None at once"):
        sweep([GRID[0], GRID[-1]]).select(gamma=1.5, batch=None)


def test_a_list_may_be_one_value_or_several():
    column = objects([[1, 2], [3], None, True, 1])
    np.testing.assert_array_equal(matches(column, [1, 2]), [True, False, False, False, True])
    np.testing.assert_array_equal(matches(column, [[1, 2], [3]]), [True, True, False, False, False])
    np.testing.assert_array_equal(matches(column, True), [False, False, False, True, False])


def test_runs_of_different_shape_say_what_to_select():
    for access in (lambda s: s.history["test_loss"], lambda s: s.steps, lambda s: s.to_xarray()):
        with pytest.raises(
            FractaljaxError, match=r"select one value of problem.batch \(null, 5\)$"
        ):
            access(uneven())
    chosen = uneven().select(batch=5)
    assert chosen.history["test_loss"].shape == (12, 4)
    np.testing.assert_array_equal(chosen.steps, STEPS)


def test_curves_of_equal_length_at_other_steps_have_no_common_steps():
    whole = sweep()
    gamma = whole.values("model.gamma")
    step = np.tile(STEPS, (24, 1)) * np.where(gamma == 1.5, 3, 1)[:, None]
    other = Sweep(CONFIG, {"model.gamma": gamma}, dict(whole.history), step)
    with pytest.raises(FractaljaxError, match=r"different steps: select one value of model.gamma"):
        _ = other.steps
    np.testing.assert_array_equal(other.select(gamma=1.5).steps, 3 * STEPS)


def test_a_reading_that_some_runs_lack_is_named():
    whole = sweep()
    loss = objects(
        [
            v if b else None
            for v, b in zip(whole.history["test_loss"], whole.values("problem.batch"), strict=True)
        ]
    )
    some = Sweep(
        CONFIG, {p: whole.values(p) for p in whole.swept}, {"test_loss": loss}, whole._step
    )
    with pytest.raises(
        FractaljaxError, match=r"not there in some runs: select one value of problem.b"
    ):
        some.history["test_loss"]
    assert some[0]["test_loss"] is None


def test_pandas_has_a_row_a_run():
    frame = sweep().to_pandas()
    assert list(frame) == [
        *("model.gamma", "problem.batch", "batch_seed"),
        *("test_loss", "layer_norms", "measure", "step"),
    ]
    chosen = frame[(frame["model.gamma"] == 1.0) & (frame["batch_seed"] == 1)]
    np.testing.assert_array_equal(chosen["test_loss"].iloc[0], 900 + STEPS)
    assert len(uneven().to_pandas()["step"].iloc[0]) == 8


@pytest.mark.parametrize("seed", [0, 1])
def test_xarray_has_a_dimension_a_path_whatever_the_order_of_the_runs(seed):
    order = np.random.default_rng(seed).permutation(24)
    whole = sweep()
    data = whole._of(order).to_xarray()
    assert data["test_loss"].dims == ("model.gamma", "problem.batch", "batch_seed", "step")
    assert data["layer_norms"].dims[3:] == ("step", "layer_norms_0")
    assert data["measure"].dims == ("model.gamma", "problem.batch", "batch_seed")
    for i, (gamma, batch, s) in enumerate(GRID):
        place = {"model.gamma": gamma, "batch_seed": s}
        found = (
            data["test_loss"]
            .sel(place)
            .isel({"problem.batch": [*data["problem.batch"].values].index(batch)})
        )
        np.testing.assert_array_equal(found, whole.history["test_loss"][i])


def test_xarray_of_what_is_no_product_has_a_dimension_of_runs():
    for grid in (GRID[:-1], [*GRID[:-1], GRID[0]], [(0.75, None, 0), (1.5, 5, 1)]):
        data = sweep(grid).to_xarray()
        assert data["test_loss"].dims == ("run", "step") and data.sizes["run"] == len(grid)
        assert [*data["batch_seed"].values] == [s for _, _, s in grid]


def test_a_path_of_a_pair_without_a_side_is_of_both():
    pair = {
        "a": {"model": {"gamma": 1.0}, "batch_seed": 1},
        "b": {"model": {"gamma": 1.5}},
        "evaluations": 4,
    }
    assert values_at(pair, "model.gamma") == [1.0, 1.5] and values_at(pair, "b.model.gamma") == [
        1.5
    ]
    assert values_at(pair, "evaluations") == [4] and values_at(pair, "model.nothing") == []
    changed = laid_over(pair, {"model.gamma": 2.0, "b.batch_seed": 3, "evaluations": 5})
    assert changed == {
        "a": {"model": {"gamma": 2.0}, "batch_seed": 1},
        "b": {"model": {"gamma": 2.0}, "batch_seed": 3},
        "evaluations": 5,
    }


def test_what_a_sweep_says_of_itself_is_short():
    assert repr(sweep()) == (
        "<Sweep of 24 runs over model.gamma (3), problem.batch (2), batch_seed (4): "
        "test_loss, layer_norms, measure>"
    )
