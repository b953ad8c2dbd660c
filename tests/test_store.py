"""A result on disk: the same numbers as in memory, written once, found again, never torn."""

import dataclasses
import json
import logging
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import yaml
from commands import Command

import fractaljax as fj
from fractaljax import store
from fractaljax.errors import FractaljaxError
from fractaljax.ledger import Reading

SPEC = fj.Spec(
    model=fj.Part("mlp", width=4),
    problem=fj.Part("random_regression", inputs=4, points=8),
    steps=20,
    dtype="float64",
)
WINDOW = fj.Window(
    fj.Axis("optimizer.lr_in", 1e-3, 1e6, 12), fj.Axis("optimizer.lr_out", 1e-3, 1e6, 10)
)
TILE, TILES = 4, 9  # three rows of three, the last row lower
NUMERIC = {"chunk": 2, "tile": TILE, "backend": "cpu"}


def scan(path=None, spec=SPEC, window=WINDOW, **options):
    """A scan, and how many tiles it trained."""
    trained = []
    options = {"chunk": 2, "tile": TILE, "on_tile": trained.append} | options
    return fj.scan(spec, window, store=path, **options), len(trained)


@pytest.fixture(scope="module")
def memory():
    return scan()[0]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = tmp_path_factory.mktemp("original") / "result"
    scan(path)
    return path


@pytest.fixture
def result(original, tmp_path):
    """A complete result of one's own to damage."""
    return Path(shutil.copytree(original, tmp_path / "result"))


def contents(path):
    """Every file with its bytes and its time."""
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return {p.relative_to(path): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def same(a, b):
    assert set(a.arrays) == set(b.arrays)
    for name in a.arrays:
        assert a[name].dtype == b[name].dtype
        assert a[name].tobytes() == b[name].tobytes()
    np.testing.assert_array_equal(a.done, b.done)
    assert (a.spec, a.window) == (b.spec, b.window)


# ---- the same numbers


def test_a_stored_field_is_the_field_in_memory_bit_for_bit(memory, tmp_path):
    field, trained = scan(tmp_path / "a" / "b")
    assert trained == TILES and field.done.all()
    assert field["measure"].shape == (10, 12) and np.isfinite(field["measure"]).all()
    same(field, memory)
    opened = fj.open(tmp_path / "a" / "b")
    same(opened, field)
    assert dict(opened.provenance) == dict(field.provenance)
    np.testing.assert_array_equal(opened.x, WINDOW.x.points())
    np.testing.assert_array_equal(opened.y, WINDOW.y.points())


def test_rows_are_read_as_numpy_reads_them(original):
    rows = fj.open(original).arrays["measure"]
    whole = np.asarray(rows)
    assert (rows.shape, rows.dtype, rows.ndim, len(rows)) == (whole.shape, whole.dtype, 2, 10)
    for part in (slice(3, 7), slice(None, None, 3), slice(None, None, -1), slice(8, 1, -2)):
        np.testing.assert_array_equal(rows[part], whole[part])
    for part in (slice(7, 3), slice(-3, None), 4, -1, (slice(1, 3), 5), ..., whole < 0):
        np.testing.assert_array_equal(rows[part], whole[part])


def test_one_axis(tmp_path):
    line = fj.Window(WINDOW.x)
    field, trained = scan(tmp_path / "line", window=line)
    assert trained == 1 and field["measure"].shape == field.done.shape == (12,)
    same(fj.open(tmp_path / "line"), scan(window=line)[0])
    np.testing.assert_array_equal(field.arrays["measure"][2:5], field["measure"][2:5])


def test_several_readings_at_once(tmp_path):
    spec = dataclasses.replace(
        SPEC, fold=(fj.Part("measure"), fj.Part("status"), fj.Part("history", every=5))
    )
    field, _ = scan(tmp_path / "folds", spec=spec)
    assert list(field.arrays) == ["measure", "status", "diverged_at", "history"]
    assert field["history"].shape == (10, 12, 4) and field["status"].dtype == np.uint8
    same(field, scan(spec=spec)[0])
    same(fj.open(tmp_path / "folds"), field)
    assert field.shown == "measure"


def test_other_tools_read_the_store(tmp_path):
    xarray, zarr = pytest.importorskip("xarray"), pytest.importorskip("zarr")
    spec = dataclasses.replace(SPEC, fold=(fj.Part("measure"), fj.Part("history", every=5)))
    field, _ = scan(tmp_path / "folds", spec=spec)
    group = zarr.open_group(tmp_path / "folds" / "field", mode="r")
    for name in field.arrays:
        np.testing.assert_array_equal(group[name][...], field[name])
    assert group.attrs["fractaljax"]["settings"]["steps"] == 20
    dataset = xarray.open_zarr(tmp_path / "folds" / "field", consolidated=False, chunks=None)
    np.testing.assert_array_equal(dataset["history"].values, field["history"])
    assert dataset["measure"].dims == ("y", "x")


def test_to_xarray_has_native_coordinates(original):
    pytest.importorskip("xarray")
    field = fj.open(original)
    dataset = field.to_xarray()
    assert dataset["measure"].dims == ("optimizer.lr_out", "optimizer.lr_in")
    np.testing.assert_array_equal(dataset["optimizer.lr_in"], field.x)
    near = dataset["measure"].sel({"optimizer.lr_in": 1.0}, method="nearest")
    assert near.shape == (10,)


# ---- what it says of itself


def test_provenance_is_complete(original):
    made = fj.open(original).provenance
    assert made["dtype"] == "float64" and made["backend"] == "cpu"
    assert (made["chunk"], made["tile"], made["pixels"], made["runs"]) == (2, TILE, 120, 1)
    assert made["devices"] == len(jax.devices()) and made["device_kind"]
    assert made["versions"]["jax"] == jax.__version__
    assert set(made["versions"]) >= {"fractaljax", "jax", "jaxlib", "flax", "optax", "numpy"}
    assert made["wall_s"] > 0 and made["started"].startswith("20")
    assert made["pixels_per_s"] == pytest.approx(made["pixels"] / made["wall_s"])
    assert made["git"] is None or len(made["git"].removesuffix("-dirty")) == 40


def test_the_folder_holds_the_settings_for_scan_to_take_again(original):
    spec, window = fj.load(original / "spec.yaml")
    assert (spec, window) == (SPEC, WINDOW)


def test_a_run_that_died_before_its_record_leaves_provenance_to_the_next(result):
    """Killed after its last tile: nothing is left to train, yet the Field must say by what."""
    (result / "runs.jsonl").unlink()
    field, trained = scan(result)
    assert trained == 0
    assert set(field.provenance) >= {"versions", "devices", "device_kind", "git", "started"}


@pytest.mark.parametrize(
    "torn", [b'{"started": "2026-0', b"\xff\xfe", b"5\n", b"{}\n", b'{"wall_s": "x"}\n']
)
def test_a_torn_record_of_a_run_costs_that_record_only(result, torn):
    with open(result / "runs.jsonl", "ab") as file:
        file.write(torn)
    assert fj.open(result).provenance["runs"] == 1
    next((result / "field" / "done" / "c").rglob("0/0")).unlink()
    field, trained = scan(result)
    assert trained == 1
    assert (field.provenance["runs"], field.provenance["pixels"]) == (2, 120 + 16)


# ---- resume


def interrupted(path, tiles):
    """A scan stopped after some tiles, as Ctrl-C does."""
    left = iter(range(tiles - 1))

    def stop(progress):
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(path, on_tile=stop)


def test_resume_trains_only_what_is_pending(memory, tmp_path):
    path = tmp_path / "result"
    interrupted(path, 4)
    partial = fj.open(path)
    assert partial.done.sum() == 3 * 16 + 16
    np.testing.assert_array_equal(np.isnan(partial["measure"]), ~partial.done)
    np.testing.assert_array_equal(partial["measure"][partial.done], memory["measure"][partial.done])
    before = contents(path / "field" / "measure")
    field, trained = scan(path)
    assert trained == TILES - 4
    same(field, memory)
    after = contents(path / "field" / "measure")
    assert {k: after[k] for k in before} == before  # not written again either
    assert (field.provenance["runs"], field.provenance["pixels"]) == (2, 120)
    same(scan(path)[0], memory)
    assert scan(path)[1] == 0


def test_a_store_keeps_its_numeric_setting(original, result):
    for option, words in (
        ({"chunk": 4}, "chunk=2"),
        ({"tile": 5}, "tile=4"),
        ({"tile": 0}, "tile=4"),
    ):
        before = contents(result)
        with pytest.raises(FractaljaxError, match=words):
            scan(result, **option)
        assert contents(result) == before
    next((result / "field" / "done" / "c").rglob("0/0")).unlink()
    field, trained = scan(result, chunk=None, tile=None)
    assert trained == 1 and (field.provenance["chunk"], field.provenance["tile"]) == (2, TILE)
    same(field, fj.open(original))


def test_the_same_command_goes_on_where_memory_ran_out(tmp_path):
    """The chunk was halved by the scan itself; what the user pinned still is what was asked for."""
    path = tmp_path / "result"
    interrupted(path, 2)
    ledger = store.Store(path, SPEC, WINDOW)
    ledger.begin({"measure": Reading((), "float64")}, NUMERIC)
    ledger.renew({**NUMERIC, "chunk": 1, "first_chunk": NUMERIC["chunk"]})
    ledger.finish({"wall_s": 0.1, "pixels": 0})
    field, trained = scan(path, chunk=2)
    assert trained == TILES - 2 and field.provenance["chunk"] == 1


@pytest.mark.parametrize(
    ("spec", "window", "words"),
    [
        (dataclasses.replace(SPEC, steps=21), WINDOW, "steps: 20 -> 21"),
        (SPEC.updated({"model.width": 5}), WINDOW, "model.width: 4 -> 5"),
        (SPEC, WINDOW.resized(12, 11), "window.resolution"),
        (SPEC, WINDOW.zoom((0.0, 0.0), 2.0), "axes.optimizer.lr_in.min"),
    ],
)
def test_another_scan_is_refused_with_what_differs_and_touches_nothing(result, spec, window, words):
    before = contents(result)
    with pytest.raises(FractaljaxError, match=words) as error:
        scan(result, spec=spec, window=window)
    assert "--overwrite" in str(error.value) and "\n" not in str(error.value)
    assert contents(result) == before
    field, _ = scan(result, spec=spec, window=window, overwrite=True)
    same(field, scan(spec=spec, window=window)[0])
    assert field.provenance["runs"] == 1  # nothing of the old one is left
    assert fj.load(result / "spec.yaml") == (spec, window)


def test_two_scans_that_begin_at_once_do_not_mix(tmp_path):
    """Both saw an empty folder; the second to create its field finds that of another scan."""
    other = dataclasses.replace(SPEC, steps=21)
    second = store.Store(tmp_path / "result", other, WINDOW)
    assert second.begun() is None
    scan(tmp_path / "result")
    before = contents(tmp_path / "result")
    with pytest.raises(FractaljaxError, match="holds another scan"):
        second.begin({"measure": Reading((), "float64")}, NUMERIC)
    assert contents(tmp_path / "result") == before


# ---- damage

DAMAGE = {
    "first byte": lambda b: bytes([b[0] ^ 1]) + b[1:],
    "middle": lambda b: b[: len(b) // 2] + bytes([b[len(b) // 2] ^ 64]) + b[len(b) // 2 + 1 :],
    "checksum": lambda b: b[:-1] + bytes([b[-1] ^ 128]),
    "cut off": lambda b: b[: len(b) // 2],
    "empty": lambda b: b"",
    "longer": lambda b: b + b"\0",
    "zeros": lambda b: bytes(len(b)),
    "lost": None,
}


def damage(file, kind):
    if DAMAGE[kind] is None:
        file.unlink()
    else:
        file.write_bytes(DAMAGE[kind](file.read_bytes()))


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("array", ["measure", "done"])
def test_a_damaged_tile_is_found_and_trained_again(memory, result, array, kind, caplog):
    damage(result / "field" / array / "c" / "1" / "2", kind)
    with caplog.at_level(logging.WARNING, "fractaljax"):
        field, trained = scan(result)
    assert trained == 1
    same(field, memory)
    assert scan(result)[1] == 0
    if (array, kind) != ("done", "lost"):  # that one is a tile never finished
        assert any("damaged" in r.getMessage() for r in caplog.records)


def test_reading_a_damaged_tile_says_so_in_one_line(result):
    damage(result / "field" / "measure" / "c" / "1" / "2", "middle")
    with pytest.raises(FractaljaxError) as error:
        fj.open(result)["measure"]
    assert "\n" not in str(error.value) and str(result) in str(error.value)


def test_a_damaged_flag_is_a_tile_that_is_not_done(result):
    damage(result / "field" / "done" / "c" / "1" / "2", "middle")
    done = fj.open(result).done
    assert not done[4:8, 8:12].any() and done.sum() == 120 - 16


def test_a_store_that_cannot_be_joined_leaves_nothing_open(result):
    (result / "field" / "measure" / "zarr.json").unlink()
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        with pytest.raises(FractaljaxError):
            store.Store(result, SPEC, WINDOW).begin({}, NUMERIC)
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize("file", ["zarr.json", "measure/zarr.json", "done/zarr.json"])
def test_no_flipped_bit_of_the_metadata_changes_a_result(memory, result, file):
    """Every such damage is told in one line, or is none; the tiles stay either way."""
    path = result / "field" / file
    whole = path.read_bytes()
    tiles = contents(result / "field" / "measure" / "c")
    generator = np.random.default_rng(1)
    places = generator.choice(len(whole), min(60, len(whole)), replace=False)
    told = 0
    for place in [*places, None]:
        bit = 1 << int(generator.integers(8))
        damaged = whole[: len(whole) // 3] if place is None else bytearray(whole)
        if place is not None:
            damaged[place] ^= bit
        path.write_bytes(damaged)
        try:
            same(fj.open(result), memory)
            field, trained = scan(result)
            assert trained == 0
            same(field, memory)
        except FractaljaxError as error:
            told += 1
            assert "\n" not in str(error)
        assert contents(result / "field" / "measure" / "c") == tiles
    assert told > 10
    path.write_bytes(whole)
    same(scan(result)[0], memory)


# ---- what is not ours


def test_overwrite_removes_nothing_that_is_not_ours(tmp_path):
    """A folder of somebody's that happens to hold files of the same names."""
    names = ("spec.yaml", "runs.jsonl", "claims", "notes.txt")
    for name in names:
        (tmp_path / name).write_text("mine")
    (tmp_path / "field").mkdir()
    (tmp_path / "field" / "wheat.txt").write_text("mine")
    before = contents(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(FractaljaxError):
            scan(tmp_path, overwrite=overwrite)
        assert contents(tmp_path) == before
    shutil.rmtree(tmp_path / "field")
    with pytest.raises(FractaljaxError, match=r"spec\.yaml"):
        scan(tmp_path, overwrite=True)
    for name in names:
        assert (tmp_path / name).read_text() == "mine"


def test_overwrite_keeps_what_else_lies_in_the_folder(memory, result):
    (result / "notes.txt").write_text("mine")
    field, trained = scan(result, overwrite=True)
    assert trained == TILES and (result / "notes.txt").read_text() == "mine"
    same(field, memory)


def test_opening_what_is_no_result_says_so(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(FractaljaxError, match="no result here"):
            fj.open(path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(FractaljaxError):
        fj.open(tmp_path / "file")


# ---- two processes

WORKER = """
import json, sys
import fractaljax as fj
spec, window = fj.load(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
trained = []
fj.scan(spec, window, store=sys.argv[2], chunk=2, devices=1, tile=2, on_tile=trained.append)
print(json.dumps([[p.tile.top, p.tile.left] for p in trained]))
"""


def test_two_processes_share_a_store(tmp_path):
    """Both end well, each tile is trained once, and the result is that of one process."""
    spec = dataclasses.replace(SPEC, steps=500)  # a tile takes long enough for both to meet
    config = tmp_path / "config.yaml"
    config.write_text(_dump(spec))
    workers = [Command([config, tmp_path / "result"], script=WORKER) for _ in range(2)]
    for process in workers:
        assert process.line() == "ready\n"
    for process in workers:
        process.answer("go\n")
    ended = [process.ended() for process in workers]
    assert [e.code for e in ended] == [0, 0], ended
    trained = [json.loads(e.said.removeprefix("ready\n")) for e in ended]
    assert all(trained), "one process did everything: the two never met"
    everything = sorted(map(tuple, [*trained[0], *trained[1]]))
    assert everything == [(t.top, t.left) for t in WINDOW.tiles(2)]
    lines = (tmp_path / "result" / "runs.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["pixels"] for line in lines) == WINDOW.size
    same(fj.open(tmp_path / "result"), scan(spec=spec, tile=2)[0])


def _dump(spec):
    from fractaljax import config

    return config.dump(spec, WINDOW)


HOLDER = """
import sys
import fractaljax as fj
spec, window = fj.load(sys.argv[1])
def wait(progress):
    print("ready", flush=True)
    sys.stdin.readline()
fj.scan(spec, window, store=sys.argv[2], chunk=2, devices=1, tile=4, on_tile=wait)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="locks of files need POSIX")
def test_a_store_in_use_is_not_overwritten(memory, tmp_path):
    """The other process would write its tiles into the new result."""
    config, path = tmp_path / "config.yaml", tmp_path / "result"
    config.write_text(_dump(SPEC))
    process = Command([config, path], script=HOLDER)
    assert process.line() == "ready\n"
    try:
        with pytest.raises(FractaljaxError, match="another process"):
            scan(path, spec=dataclasses.replace(SPEC, steps=21), overwrite=True)
    finally:
        process.answer("go\n" * TILES)
        ended = process.ended()
    assert ended.code == 0, ended.told
    same(fj.open(path), memory)
    scan(path, spec=dataclasses.replace(SPEC, steps=21), overwrite=True)


def test_settings_on_disk_are_plain(original):
    """They are read by tools without this package."""
    attributes = json.loads((original / "field" / "zarr.json").read_text())["attributes"]
    settings = attributes["fractaljax"]["settings"]
    assert settings == yaml.safe_load((original / "spec.yaml").read_text())
