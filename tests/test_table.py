"""The table of a sweep: found again, never doubled, never torn, joined from many machines."""

import contextlib
import itertools
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import commands
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from commands import Command

from fractaljax import config
from fractaljax.errors import FractaljaxError
from fractaljax.store import parquet, parquet_sums, rows
from fractaljax.store.merging import merge
from fractaljax.store.sweeps import load_run, load_sweep
from fractaljax.store.table import Table

CONFIG = {
    "model": {"name": "deep_linear", "gamma": 1.0, "widths": [3, 3]},
    "optimizer": {"name": "sgd", "lr": 1e-4},
    "problem": {"name": "teacher", "batch": None, "matrix": "diagonal"},
    "batch_seed": 0,
    "redraw": False,
    "steps": 8,
}
STEP = np.arange(0, 8, 2)


def grid(gammas=(0.75, 1.0), seeds=range(5)):
    points = itertools.product(gammas, seeds)
    return [{"model.gamma": gamma, "batch_seed": seed} for gamma, seed in points]


def curves(settings, plus=0.0, length=4):
    """A curve that says which run it is of."""
    first = [[1000 * s.get("model.gamma", 1.0) + s.get("batch_seed", 0)] for s in settings]
    return {"test_loss": np.float32(first) + np.arange(length, dtype=np.float32) / 8 + plus}


def filled(folder, settings, plus=0.0, base=CONFIG):
    table = Table(folder, base)
    table.write(settings, curves(settings, plus), STEP)
    return table


def holds(folder, settings, plus=0.0):
    """Whether these runs are there once each, and no others."""
    sweep = load_sweep(folder)
    place = {tuple(sorted(s.items())): i for i, s in enumerate(settings)}
    order = [place.pop(tuple(sorted(run.overrides.items()))) for run in sweep]
    assert not place
    np.testing.assert_array_equal(
        sweep.history["test_loss"], curves(settings, plus)["test_loss"][order]
    )


def parts(folder):
    return sorted((folder / "parts").iterdir())


@pytest.fixture(params=["parts", "compact"])
def finish(request):
    """What is done before a table is read: nothing, or all parts are joined."""
    return lambda table: table.compact() if request.param == "compact" else None


# ---- what goes in comes out


def test_every_kind_of_value_comes_back(tmp_path, finish):
    values = {
        "model.gamma": [0.75, 1, 1.5],
        "batch_seed": [0, 3, 2**32 - 1],
        "problem.batch": [None, 5, 50],
        "problem.matrix": ["diagonal", "power, law", "ü"],
        "redraw": [True, False, True],
        "model.widths": [[3, 3], [4], []],
        "model.skip": [None, "all", 2],
    }
    settings = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    table = Table(tmp_path, CONFIG, provenance={"backend": "cpu"})
    table.write(settings, curves(settings), STEP)
    finish(table)
    sweep = load_sweep(tmp_path)
    assert sweep.swept == tuple(values) and sweep.config == CONFIG
    assert sweep.provenance == [{"backend": "cpu"}]
    for run, own in zip(sweep, settings, strict=True):
        assert run.overrides == own
        kinds = {path: type(value) for path, value in run.overrides.items()}
        assert kinds == {p: type(v) for p, v in own.items()} | {"model.gamma": float}
        assert run.config["problem"]["batch"] == own["problem.batch"]
    assert sweep.values("batch_seed").dtype == np.int64
    assert sweep.values("model.gamma").dtype == np.float64
    assert not Table(tmp_path, CONFIG).missing(settings).any()
    assert len(sweep.select({"model.widths": [3, 3]})) == 1


@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (4,), (4, 3), (4, 2, 3)])
def test_readings_keep_their_dtype_and_shape(tmp_path, finish, kind, shape):
    draws = np.random.default_rng(1).normal(size=(10, *shape)) * 3
    readings = {"a": draws.astype(kind), "b": np.full((10, *shape), np.nan)}
    readings["b"].reshape(10, -1)[2, 0] = np.inf
    table = Table(tmp_path, CONFIG)
    table.write(grid(), readings, STEP)
    finish(table)
    for name, expected in readings.items():
        found = load_sweep(tmp_path).history[name]
        assert found.dtype == expected.dtype and found.tobytes() == expected.tobytes()


def test_the_file_is_readable_without_fractaljax(tmp_path):
    table = Table(tmp_path, CONFIG, provenance={"versions": {"jax": "1"}})
    table.write(grid(), curves(grid()), STEP)
    table.compact()
    found = pq.read_table(tmp_path / "results.parquet")
    assert found.column_names == ["model.gamma", "batch_seed", "test_loss", "step", "written"]
    kinds = [str(found.schema.field(name).type) for name in found.column_names]
    element = "list<element: {}>".format
    assert kinds == ["double", "int64", element("float"), element("int32"), "double"]
    assert found["step"][0].as_py() == [0, 2, 4, 6]
    assert abs(found["written"][0].as_py() - time.time()) < 100
    about = json.loads(found.schema.metadata[b"fractaljax"])
    assert about["config"] == CONFIG and about["provenance"] == [{"versions": {"jax": "1"}}]
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == CONFIG


def test_runs_of_different_length_and_columns_stand_in_one_table(tmp_path, finish):
    table = Table(tmp_path, CONFIG)
    short, long = [{"batch_seed": 0}, {"batch_seed": 1}], [{"steps": 16, "batch_seed": 0}]
    table.write(short, curves(short), STEP)
    table.write(long, {**curves(long, length=8), "norm": np.ones(1)}, np.arange(0, 16, 2))
    finish(table)
    sweep = load_sweep(tmp_path)
    assert [r.overrides["steps"] for r in sweep] == [8, 8, 16]
    assert [len(r["test_loss"]) for r in sweep] == [len(r.step) for r in sweep] == [4, 4, 8]
    assert [str(r["norm"]) for r in sweep] == ["nan", "nan", "1.0"]
    with pytest.raises(FractaljaxError, match=r"select one value of steps \(8, 16\)"):
        sweep.history["test_loss"]
    assert sweep.select(steps=8).history["test_loss"].shape == (2, 4)
    assert sweep.select(steps=16).steps[-1] == 14


def test_a_curve_that_only_some_runs_have(tmp_path, finish):
    table = Table(tmp_path, CONFIG)
    table.write([{"batch_seed": 0}], curves([{}]), STEP)
    table.write([{"batch_seed": 1}], {"svs": [np.ones((4, 3))]}, STEP)
    finish(table)
    sweep = load_sweep(tmp_path)
    assert [(r["test_loss"] is None, r["svs"] is None) for r in sweep] == [
        (False, True),
        (True, False),
    ]
    with pytest.raises(FractaljaxError, match="svs is not there in some runs: select one value of"):
        sweep.history["svs"]
    assert sweep.select(batch_seed=1).history["svs"].shape == (1, 4, 3)


def test_arrays_of_different_shape_in_one_part(tmp_path, finish):
    ragged = [np.ones((4, k), np.float32) * k for k in (1, 2, 2)]
    table = Table(tmp_path, CONFIG)
    table.write(grid(seeds=range(3), gammas=[1.0]), {"svs": ragged}, STEP)
    finish(table)
    for run, expected in zip(load_sweep(tmp_path), ragged, strict=True):
        np.testing.assert_array_equal(run["svs"], expected)


def test_columns_of_several_kinds_in_several_parts(tmp_path, finish):
    table = Table(tmp_path, CONFIG)
    kept = [None, 5, "all", 2.5, [1], True]
    for value in kept:
        table.write([{"problem.batch": value, "model.depth": 3}], curves([{}]), STEP)
    table.write([{"model.depth": 2.5}], curves([{}]), STEP)
    finish(table)
    sweep = load_sweep(tmp_path)
    found = [run.overrides["problem.batch"] for run in sweep]
    assert [(v, type(v)) for v in found] == [(v, type(v)) for v in [*kept, None]]
    np.testing.assert_array_equal(sweep.values("model.depth"), [3] * 6 + [2.5])
    asked = [{"problem.batch": v, "model.depth": 3} for v in [*kept, 1, 7]]
    np.testing.assert_array_equal(Table(tmp_path, CONFIG).missing(asked), [False] * 6 + [True] * 2)


def test_a_column_of_nothing_and_a_base_of_something(tmp_path, finish):
    base = CONFIG | {"problem": {"batch": 50}}
    table = Table(tmp_path, base)
    table.write([{"problem.batch": None}], curves([{}]), STEP)
    table.write([{"batch_seed": 7}], curves([{}]), STEP)
    finish(table)
    assert [*load_sweep(tmp_path).values("problem.batch")] == [None, 50]


@pytest.mark.slow
def test_a_hundred_thousand_runs(tmp_path):
    settings = grid(seeds=range(50_000))
    seeds = np.array([s["batch_seed"] for s in settings], np.float32)
    loss = np.repeat(seeds[:, None], 250, axis=1)
    loss[:, 1] = [s["model.gamma"] for s in settings]
    table = Table(tmp_path, CONFIG)
    for start in range(0, len(settings), 20_000):
        block = slice(start, start + 20_000)
        table.write(settings[block], {"test_loss": loss[block]}, np.arange(250))
    table.compact()
    sweep = load_sweep(tmp_path)
    assert sweep.history["test_loss"].tobytes() == loss.tobytes()
    np.testing.assert_array_equal(sweep.values("batch_seed"), seeds)
    np.testing.assert_array_equal(sweep.steps, np.arange(250))
    backwards = sweep[::-1].select(gamma=0.75)
    np.testing.assert_array_equal(backwards.history["test_loss"], loss[49_999::-1])
    assert pq.ParquetFile(tmp_path / "results.parquet").num_row_groups > 5
    again = Table(tmp_path, CONFIG)
    asked = [{"batch_seed": s, "model.gamma": 0.75} for s in range(49_000, 51_000)]
    np.testing.assert_array_equal(again.missing(asked), np.arange(2000) >= 1000)


def test_a_table_without_runs(tmp_path):
    Table(tmp_path, CONFIG).compact()
    sweep = load_sweep(tmp_path)
    assert len(sweep) == 0 and [*sweep] == [] and len(sweep.steps) == 0
    with pytest.raises(FractaljaxError, match="no runs here yet"):
        load_run(tmp_path)


# ---- which runs are there


@pytest.mark.parametrize(
    "same",
    [
        {"batch_seed": 3, "model.gamma": 0.75},
        {"model.gamma": 0.75, "batch_seed": 3.0},
        {"model.gamma": 0.75, "batch_seed": np.int64(3), "steps": 8, "optimizer.lr": 1e-4},
        {"model.gamma": np.float64(0.75), "batch_seed": 3, "model.widths": (3, 3)},
        {"model.gamma": 0.75, "batch_seed": 3, "problem.batch": None, "redraw": False},
    ],
)
def test_a_run_is_the_same_in_any_order_and_with_base_values(tmp_path, same):
    table = filled(tmp_path, grid())
    assert not table.missing([same]).any()
    assert not Table(tmp_path, CONFIG).missing([same]).any()
    table.write([same], curves([same], plus=1), STEP)
    table.compact()
    assert len(load_sweep(tmp_path)) == len(grid())
    assert load_run(tmp_path, gamma=0.75, batch_seed=3)["test_loss"][0] == 754


@pytest.mark.parametrize(
    "other",
    [
        {"model.gamma": 0.75},
        {"model.gamma": 0.75, "batch_seed": 5},
        {"model.gamma": 0.75000001, "batch_seed": 3},
        {"model.gamma": 0.75, "batch_seed": 3, "redraw": True},
        {"model.gamma": 0.75, "batch_seed": 3, "redraw": 0},
        {"model.gamma": 0.75, "batch_seed": 3, "problem.batch": 0},
        {"model.gamma": 0.75, "batch_seed": "3"},
        {"model.gamma": 3, "batch_seed": 0.75},
        {"model.gamma": 0.75, "batch_seed": 3, "model.widths": [3, 4]},
        {"model.gamma": 0.75, "batch_seed": None},
    ],
)
def test_another_value_is_another_run(tmp_path, other):
    known = [s for s in grid() if s != {"model.gamma": 0.75, "batch_seed": 0}]
    assert filled(tmp_path, known).missing([other]).all()


def test_a_run_of_the_base_alone_is_a_run(tmp_path):
    table = Table(tmp_path, CONFIG)
    assert table.missing([{}]).all()
    table.write([{}], curves([{}]), STEP)
    again = Table(tmp_path, CONFIG)
    asked = [{}, {"steps": 8}, {"batch_seed": 0, "model.gamma": 1}, {"batch_seed": 1}]
    np.testing.assert_array_equal(again.missing(asked), [False, False, False, True])
    run = load_run(tmp_path)
    assert run.overrides == {} and run.config == CONFIG


def test_a_million_runs_have_keys_of_their_own():
    """Over a regular grid, where a weak hash would meet itself."""
    seeds, rates = np.tile(np.arange(1000), 1000), np.repeat(np.arange(1000) * 1e-5, 1000)
    fields = [
        pa.field(n, t, metadata={rows.KIND: rows.SWEPT})
        for n, t in (("batch_seed", pa.int64()), ("optimizer.lr", pa.float64()))
    ]
    table = pa.Table.from_arrays([pa.array(seeds), pa.array(rates)], schema=pa.schema(fields))
    keys = rows.keys(table, CONFIG)
    assert len(np.unique(keys)) == 10**6
    for bit in range(64):
        assert abs((keys >> np.uint64(bit) & np.uint64(1)).mean() - 0.5) < 0.005


def test_both_sides_of_a_pair_are_the_base_of_a_path_without_a_side(tmp_path):
    side = {"model": {"gamma": 1.0}, "batch_seed": 0}
    table = Table(tmp_path, {"a": side, "b": side | {"batch_seed": 5}, "evaluations": 4})
    table.write([{"a.batch_seed": 1}], curves([{}]), STEP)
    asked = [{"a.batch_seed": 1, "model.gamma": 1}, {"a.batch_seed": 1, "batch_seed": 5}]
    np.testing.assert_array_equal(table.missing(asked), [False, True])
    run = load_run(tmp_path)
    assert (run.config["a"]["batch_seed"], run.config["b"]["batch_seed"]) == (1, 5)


@pytest.mark.parametrize("name", ["gph", "comparative/diagonal_teacher"])
def test_every_path_of_a_config_is_found_in_its_tree(name, tmp_path):
    file = Path(__file__).parent.parent / "configs" / "dynamics" / f"{name}.yaml"
    setting = config.setting(config.read(file))
    table = Table(tmp_path, setting.tree())
    table.write([{}], curves([{}]), STEP)
    tree = setting.tree()
    sided = {f"{side}.evaluations" for side in "ab"}  # of a pair: one number for both
    base = {p: v for p, v in setting.course.paths().items() if p not in sided}
    assert len(base) > 20
    assert not table.missing([{path: value} for path, value in base.items()]).any()
    assert all(rows.base_value(tree, path) is not None for path, v in base.items() if v is not None)


# ---- once more


@pytest.mark.parametrize(
    "match, gone",
    [
        ({"batch_seed": 3}, 2),
        ({"model.gamma": 0.75}, 5),
        ({"model.gamma": 0.75, "batch_seed": [1, 2]}, 2),
        ({"steps": 8}, 10),
        ({"steps": 9}, 0),
        ({}, 10),
    ],
)
def test_rerun_trains_again_what_matches_and_loses_nothing(tmp_path, finish, match, gone):
    finish(filled(tmp_path, grid()))
    table = Table(tmp_path, CONFIG)
    assert table.forget(match) == gone
    absent = table.missing(grid())
    assert absent.sum() == gone
    holds(tmp_path, grid())  # until they are there again
    again = [s for s, a in zip(grid(), absent, strict=True) if a]
    if again:
        table.write(again[:1], curves(again[:1], plus=0.5), STEP)
        assert table.missing(grid()).sum() == gone - 1
    Table(tmp_path, CONFIG).compact()  # another process: the old file is gone
    assert table.missing(grid()).sum() == max(0, gone - 1)
    if again:
        table.write(again[1:], curves(again[1:], plus=0.5), STEP) if again[1:] else None
        np.testing.assert_array_equal(
            load_sweep(tmp_path).history["test_loss"][:, 0] % 1 == 0.5,
            [s in again for s in (run.overrides for run in load_sweep(tmp_path))],
        )
    assert len(load_sweep(tmp_path)) == len(grid())


def test_what_was_trained_again_stays_when_more_is_forgotten(tmp_path):
    table = filled(tmp_path, grid())
    assert table.forget({"batch_seed": [0, 1]}) == 4
    table.write(grid(seeds=[0]), curves(grid(seeds=[0]), plus=0.5), STEP)
    assert table.forget({"batch_seed": 2}) == 2
    absent = [
        s["batch_seed"] for s, gone in zip(grid(), table.missing(grid()), strict=True) if gone
    ]
    assert absent == [1, 2, 1, 2]


def test_the_numeric_setting_of_a_program_is_that_of_the_first_who_asked(tmp_path):
    one, other = Table(tmp_path, CONFIG), Table(tmp_path, CONFIG)
    assert one.numeric({"steps": 16}, {"chunk": 8}) == {"chunk": 8}
    assert other.numeric({"steps": 16}, {"chunk": 4}) == {"chunk": 8}
    assert other.numeric({"steps": 16, "redraw": False}, {"chunk": 4}) == {"chunk": 8}
    assert other.numeric({"steps": 24}, {"chunk": 4}) == {"chunk": 4}
    with open(tmp_path / "numeric.jsonl", "a") as file:
        file.write('{"key": 3, "num')  # a crash
    assert Table(tmp_path, CONFIG).numeric({}, {"chunk": 2}) == {"chunk": 2}
    assert Table(tmp_path, CONFIG).numeric({}, {"chunk": 1}) == {"chunk": 2}


# ---- folders


def test_another_setting_is_refused_with_what_differs(tmp_path):
    filled(tmp_path, grid())
    other = CONFIG | {"optimizer": {"name": "sgd", "lr": 1e-3}, "steps": 16}
    with pytest.raises(FractaljaxError, match=r"optimizer.lr: 0.0001 -> 0.001; steps: 8 -> 16 \("):
        Table(tmp_path, other)
    holds(tmp_path, grid())
    table = Table(tmp_path, other, overwrite=True)
    assert table.missing(grid()).all() and len(load_sweep(tmp_path)) == 0
    assert load_sweep(tmp_path).config == other


def test_only_what_a_sweep_wrote_is_thrown_away(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    table = filled(tmp_path, grid())
    table.compact()
    table.write(grid(), curves(grid()), STEP)
    (tmp_path / "parts" / "mine.txt").write_text("mine")
    table.numeric({}, {"chunk": 2})
    del table
    Table(tmp_path, CONFIG, overwrite=True)
    ours = {"parts", "config.yaml", ".sums", "claims"}
    assert {p.name for p in tmp_path.iterdir()} == {"notes.txt", *ours}
    assert [p.name for p in parts(tmp_path)] == ["mine.txt"]


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name", ["config.yaml", "results.parquet", "parts"])
def test_files_of_others_are_refused(tmp_path, name, overwrite):
    (tmp_path / name).write_text("model: {width: 3}\n")
    with pytest.raises(
        FractaljaxError, match=f"^{tmp_path}.*{'exists' if name == 'parts' else name}"
    ):
        Table(tmp_path, CONFIG, overwrite=overwrite)
    assert (tmp_path / name).read_text() == "model: {width: 3}\n"


def test_no_sweep_is_one_line(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(FractaljaxError, match="no sweep here"):
            load_sweep(folder)
    filled(tmp_path, grid())
    (tmp_path / "config.yaml").write_bytes((tmp_path / "config.yaml").read_bytes()[:90] + b": {")
    with pytest.raises(FractaljaxError, match=r"config.yaml is damaged"):
        load_sweep(tmp_path)


def test_a_later_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("fractaljax.store.parquet.FORMAT", 2)
    filled(tmp_path, grid())
    monkeypatch.undo()
    with pytest.raises(FractaljaxError, match="by a newer fractaljax"):
        load_sweep(tmp_path)


def test_load_run_wants_one(tmp_path):
    filled(tmp_path, grid())
    with pytest.raises(
        FractaljaxError, match=r"10 runs match; select one by model.gamma \(0.75, 1"
    ):
        load_run(tmp_path)
    with pytest.raises(FractaljaxError, match=r"5 runs match; select one by batch_seed \(0, 1, 2"):
        load_run(tmp_path, gamma=1.0)
    run = load_run(tmp_path, {"model.gamma": 0.75}, batch_seed=4)
    np.testing.assert_array_equal(run["test_loss"], 754 + np.arange(4) / 8)


def test_a_reading_with_the_name_of_a_column_is_refused(tmp_path):
    for name in ("batch_seed", "written"):
        with pytest.raises(FractaljaxError, match=f"reading '{name}'"):
            Table(tmp_path, CONFIG).write(grid(), {name: np.zeros(10)}, STEP)
    assert len(load_sweep(tmp_path)) == 0


@contextlib.contextmanager
def as_nobody(folder):
    """A folder that this process may read and not write."""
    places = [folder, *folder.rglob("*")]
    for place in places:
        place.chmod(place.stat().st_mode & 0o555 | 0o444)
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(os.getuid())
        for place in places:
            place.chmod(place.stat().st_mode | 0o200)


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_a_read_only_folder_is_read_and_not_written():
    folder = Path(tempfile.mkdtemp())  # pytest's own is closed to others
    try:
        folder.chmod(0o755)
        table = filled(folder, grid())
        with as_nobody(folder):
            holds(folder, grid())
            for act in (
                lambda: Table(folder, CONFIG),
                lambda: Table(folder / "new", CONFIG),
                lambda: table.write(grid(), curves(grid()), STEP),
                table.compact,
                lambda: merge([folder], folder / "joined"),
            ):
                with pytest.raises(FractaljaxError, match=f"{folder}.*ermission denied"):
                    act()
        table.compact()
        holds(folder, grid())
    finally:
        shutil.rmtree(folder)


# ---- damage


@pytest.mark.parametrize("where", ["end", "keys", "empty"])
def test_a_damaged_file_counts_as_missing_and_the_others_load(tmp_path, finish, caplog, where):
    table = filled(tmp_path, grid([0.75]))
    finish(table)
    damaged = next(p for p in [*tmp_path.glob("parts/*"), *tmp_path.glob("*.parquet")])
    table.write(grid([1.0]), curves(grid([1.0])), STEP)
    content = bytearray(damaged.read_bytes())
    content[10:14] = b"\0\xff\0\xff"  # in the first page of the first column
    damaged.write_bytes({"end": content[:-200], "keys": content, "empty": b""}[where])
    with caplog.at_level(logging.WARNING, "fractaljax"):
        holds(tmp_path, grid([1.0]))
    assert str(damaged) in caplog.text and "\n" not in caplog.messages[0]
    table = Table(tmp_path, CONFIG)
    np.testing.assert_array_equal(table.missing(grid()), [True] * 5 + [False] * 5)
    table.write(grid([0.75]), curves(grid([0.75])), STEP)
    table.compact()
    holds(tmp_path, grid())
    assert damaged.with_name(f"{damaged.name}.damaged").exists()
    caplog.clear()
    assert not Table(tmp_path, CONFIG).missing(grid()).any() and not caplog.messages


def test_damage_in_a_curve_is_found_when_it_is_read(tmp_path, caplog):
    table = filled(tmp_path, grid([0.75]))
    damaged = parts(tmp_path)[0]
    table.write(grid([1.0]), curves(grid([1.0])), STEP)
    column = pq.ParquetFile(damaged).metadata.row_group(0).column(2)
    assert column.path_in_schema.startswith("test_loss")
    content = bytearray(damaged.read_bytes())
    content[column.data_page_offset + column.total_compressed_size - 4] ^= 0xFF
    damaged.write_bytes(content)
    with pytest.raises(
        FractaljaxError, match=rf"{damaged.name} is damaged .* trains its runs again"
    ):
        load_sweep(tmp_path).history["test_loss"]
    assert load_sweep(tmp_path).select(gamma=1.0).history["test_loss"].shape == (5, 4)
    with caplog.at_level(logging.WARNING, "fractaljax"):
        table.compact()
    assert str(damaged) in caplog.text
    holds(tmp_path, grid([1.0]))
    assert Table(tmp_path, CONFIG).missing(grid()).sum() == 5


# ---- killed, and side by side

SWEEP = """
import json, sys, time
import numpy as np
from fractaljax.store.table import Table

folder, config, settings, size = sys.argv[1], *map(json.loads, sys.argv[2:])
table = Table(folder, config)
for start in range(0, len(settings), size):
    block = [s for s in settings[start:start + size]]
    block = [s for s, gone in zip(block, table.missing(block)) if gone]
    if block:
        first = np.float32([[1000 * s["model.gamma"] + s["batch_seed"]] for s in block])
        table.write(block, {"test_loss": first + np.float32(np.arange(4) / 8)}, np.arange(0, 8, 2))
        print(len(block), flush=True)
    if start % 50 == 0:
        table.compact()
table.compact()
"""


def start(folder, settings, size=5):
    return Command([folder, json.dumps(CONFIG), json.dumps(settings), size], script=SWEEP)


def written(process):
    ended = process.ended()
    assert ended.code == 0, ended.told
    return sum(map(int, ended.said.split()))


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_killed_at_any_moment_it_goes_on_and_nothing_is_lost_or_doubled(tmp_path):
    settings, chance = grid(seeds=range(150)), random.Random(7)
    there = 0
    for _ in range(2):
        process = start(tmp_path, settings)
        for _ in range(chance.randrange(3, 12)):
            process.line()
        time.sleep(chance.random() * 0.01)
        process.kill()
        assert process.ended().code == -signal.SIGKILL, "the process ended before it was killed"
        now = len(load_sweep(tmp_path))
        assert there < now < len(settings)
        there = now
    assert written(start(tmp_path, settings)) == len(settings) - there
    holds(tmp_path, settings)
    left = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {"config.yaml", ".sums", "claims", "results.parquet"}


@pytest.mark.skipif(os.name != "posix", reason="fork")
def test_a_crash_at_any_point_of_joining_loses_nothing(tmp_path):
    """Killed at each operation on a file while old and new parts are joined."""
    base = tmp_path / "base"
    table = filled(base, grid([0.75]))
    table.compact()
    table.write(grid([1.0]), curves(grid([1.0])), STEP)
    table.write(grid([1.5]), curves(grid([1.5])), STEP)
    del table
    script = f"""
import os, signal, sys
from fractaljax.store.table import Table

def hook(event, arguments):
    if event in ("os.rename", "os.remove", "open") and sys.argv[1] in str(arguments[0]):
        if next(seen, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

for die_at in range(100):
    pid = os.fork()
    if pid == 0:
        seen = iter(range(die_at))
        sys.addaudithook(hook)
        Table(f"{{sys.argv[1]}}-{{die_at}}", {CONFIG!r}).compact()
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
        break
print(die_at)
"""
    for i in range(20):
        shutil.copytree(base, tmp_path / f"crash-{i}")
    ended = commands.run([tmp_path / "crash"], script=script)
    assert ended.code == 0, ended.told
    assert 4 <= int(ended.said) < 20
    for i in range(int(ended.said) + 1):
        folder = tmp_path / f"crash-{i}"
        holds(folder, grid([0.75, 1.0, 1.5]))
        Table(folder, CONFIG).compact()
        holds(folder, grid([0.75, 1.0, 1.5]))
        assert not parts(folder)


def test_two_processes_share_a_folder(tmp_path):
    settings = grid(seeds=range(100))
    both = [start(tmp_path, settings, 4), start(tmp_path, settings[::-1], 7)]
    assert sum(written(process) for process in both) >= len(settings)
    holds(tmp_path, settings)


def test_overwriting_while_another_process_writes_is_refused(tmp_path):
    code = "import sys, fractaljax.store.table as t; k = t.Table(sys.argv[1], eval(sys.argv[2])); "
    other = Command([tmp_path, repr(CONFIG)], script=code + "print(1, flush=True); input()")
    assert other.line()
    with pytest.raises(FractaljaxError, match="another process is writing here"):
        Table(tmp_path, CONFIG, overwrite=True)
    other.answer("\n")
    assert other.ended().code == 0
    Table(tmp_path, CONFIG, overwrite=True)


def test_a_sweep_whose_files_were_joined_meanwhile_says_so(tmp_path):
    table = filled(tmp_path, grid([0.75]))
    before = load_sweep(tmp_path)
    table.compact()
    between = load_sweep(tmp_path)
    table.forget({"batch_seed": 0})
    table.write(grid([0.75], [0]), curves(grid([0.75], [0]), plus=0.5), STEP)
    table.compact()
    for sweep in (before, between):
        with pytest.raises(FractaljaxError, match="meanwhile; load the sweep again"):
            sweep.history["test_loss"]


# ---- joined


def contents(folder):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def test_merge_of_three_keeps_the_newest(tmp_path):
    a, b, c, out = (tmp_path / name for name in "abco")
    filled(b, grid([0.75, 1.0]), plus=0.5).compact()
    filled(a, grid([0.75, 1.5]))  # newer than b in what both have
    filled(c, [*grid([2.0]), {"optimizer.lr": 2e-4, "batch_seed": 1}])
    before = {folder: contents(folder) for folder in (a, b, c)}
    heard = []
    merge([a, b, c], out, lambda done, total: heard.append((done, total)))
    assert {folder: contents(folder) for folder in (a, b, c)} == before
    sweep = load_sweep(out)
    assert set(sweep.swept) == {"model.gamma", "batch_seed", "optimizer.lr"} and len(sweep) == 21
    halves = {run.overrides["model.gamma"]: run["test_loss"][0] % 1 for run in sweep[:-1]}
    assert halves == {0.75: 0.0, 1.0: 0.5, 1.5: 0.0, 2.0: 0.0}
    assert sorted(set(sweep.values("optimizer.lr"))) == [1e-4, 2e-4]
    assert heard[-1] == (26, 26)
    files = {p.name for p in out.rglob("*") if p.is_file()}
    assert files == {"config.yaml", ".sums", "results.parquet", "claims"}
    table = Table(out, CONFIG)
    assert not table.missing(grid([0.75, 1.0, 1.5, 2.0])).any()
    table.write(grid([3.0]), curves(grid([3.0])), STEP)
    merge([a, out], out)  # the folder it goes to is one of them
    assert len(load_sweep(out)) == 26 and not parts(out)


def test_merge_refuses_another_setting_before_it_writes(tmp_path):
    a, b, out = (tmp_path / name for name in "abo")
    filled(a, grid())
    filled(b, grid(), base=CONFIG | {"steps": 16})
    with pytest.raises(FractaljaxError, match=r"hold different sweeps: steps: 8 -> 16 \("):
        merge([a, b], out)
    assert not out.exists()
    with pytest.raises(FractaljaxError, match="no sweep here"):
        merge([a, tmp_path / "none"], out)
    filled(out, grid([3.0]), base=CONFIG | {"steps": 24})
    before = contents(out)
    with pytest.raises(FractaljaxError, match=r"steps: 8 -> 24 \("):
        merge([a], out)
    assert contents(out) == before


def test_a_flipped_bit_anywhere_is_found_before_it_becomes_a_number(tmp_path):
    """Of headers of pages and of the footer too, which the checksums of pages leave out."""
    filled(tmp_path, grid())
    file, chance = parts(tmp_path)[0], random.Random(5)
    whole, copy = file.read_bytes(), tmp_path / "copy"
    for place in [*range(0, len(whole), 5), *range(len(whole) - 8, len(whole))]:
        content = bytearray(whole)
        content[place] ^= 1 << chance.randrange(8)
        copy.write_bytes(content)
        with contextlib.suppress(parquet.Damaged):
            one = parquet.index(copy)
            found = parquet.group(one, 0)
            assert place < 4, "the letters that every Parquet file begins with say nothing"
            assert found.equals(parquet.group(parquet.index(file), 0))


def test_checksums_are_optional_and_in_nobodys_way(tmp_path):
    filled(tmp_path, grid())
    file, plain = parts(tmp_path)[0], tmp_path / "parts" / "plain.parquet"
    table = pq.read_table(file)  # what any reader of Parquet makes of it
    assert table.equals(parquet.group(parquet.index(file), 0))
    schema, about = table.schema, json.loads(table.schema.metadata[parquet.ABOUT])
    assert about.pop(parquet.SUMMED) is True
    earlier = schema.with_metadata({parquet.ABOUT: json.dumps(about)})
    pq.write_table(table.cast(earlier), plain)  # as a version without them wrote it
    file.unlink()
    holds(tmp_path, grid())
    assert parquet_sums.MARK not in plain.read_bytes()


def test_merge_leaves_damaged_files_of_others_where_they_are(tmp_path, caplog):
    a, b, out = (tmp_path / name for name in "abo")
    filled(a, grid([0.75]))
    filled(b, grid([1.0]))
    damaged = parts(b)[0]
    damaged.write_bytes(damaged.read_bytes()[:-50])
    with caplog.at_level(logging.WARNING, "fractaljax"):
        merge([a, b], out)
    assert str(damaged) in caplog.text and damaged.exists()
    holds(out, grid([0.75]))


MERGE = """
import re, sys
from pathlib import Path
from fractaljax.store.merging import merge

def used():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

merge([sys.argv[1]], sys.argv[2])  # a small one, so that every library is loaded
before = used()
merge(sys.argv[3:], sys.argv[2] + "-large")
print(used() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory in the units of Linux")
def test_merge_needs_memory_for_row_groups_and_keys_only(tmp_path):
    small, a, b = (tmp_path / name for name in "sab")
    filled(small, grid())
    for folder, gamma in ((a, 0.75), (b, 1.0)):
        table = Table(folder, CONFIG)
        for seed in range(0, 6000, 2000):
            settings = grid([gamma], range(seed, seed + 2000))
            table.write(settings, curves(settings, length=5000), np.arange(5000))
    ended = commands.run([small, tmp_path / "out", a, b], script=MERGE)
    assert ended.code == 0, ended.told
    size = 2 * 12_000 * 5000 * 4 / 2**20  # MiB of readings and steps
    assert size > 450 and int(ended.said) < 200, ended.said
    sweep = load_sweep(f"{tmp_path / 'out'}-large")
    assert len(sweep) == 12_000
    assert sweep[11_999]["test_loss"][0] == 1000 * sweep.values("model.gamma")[-1] + 5999
