"""Coordinates are part of a result: exact or as published, kept in it, and read from there."""

import dataclasses
import json
import logging
import shutil
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import golden_stores as golden
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fractaljax as fj
from fractaljax import config
from fractaljax.axis import Axis, Lattice
from fractaljax.engine import coordinates
from fractaljax.errors import FractaljaxError
from fractaljax.families import antialias, audit, dimension, fractal, zoom
from fractaljax.store import Store, earlier, records
from fractaljax.view.overlay import marks
from fractaljax.view.ticks import MINUS, TIMES, power, ticks
from fractaljax.window import Window

ROOT = Path(__file__).parents[1]
STORES = Path(__file__).parent / "data" / "stores"
X, Y, B2 = "optimizer.lr_in", "optimizer.lr_out", "optimizer.beta2"
SPEC = fj.Spec(problem=fj.Part("random_regression", points=8), steps=3, dtype="float64")
NEAR_ONE = fj.Spec(optimizer=fj.Part("adam"), fold=fj.Part("measure"), dtype="float64", steps=2)


@pytest.fixture(autouse=True)
def float64():
    fj.prepare("float64")


def near(axis: Axis, sample: int) -> float:
    """The float64 nearest to a sample of an axis, straight from the definition."""
    share = Fraction(sample, max(axis.n - 1, 1)) if axis.n > 1 else Fraction(1, 2)
    if axis.scale == "linear":
        low, high = Fraction(axis.min), Fraction(axis.max)
        return float(low + (high - low) * share)
    with localcontext(prec=120):
        one = 1 if axis.scale == "log1m" else 0
        read = Decimal if axis.scale == "log" else lambda end: Decimal(repr(end))
        low, high = (abs(one - read(end)) for end in (axis.min, axis.max))
        found = low * (high / low) ** (Decimal(share.numerator) / share.denominator)
        return float(abs(one - found))


CASES = [
    (0.003, 0.3, 3, "log"),
    (3e-5, 700.0, 101, "log"),
    (1e-3, 1e6, 1, "log"),
    (1e-310, 1e300, 33, "log"),
    (13.29976231, 13.29978604, 64, "log"),
    (0.0, 0.99, 512, "linear"),
    (-0.1, 0.3, 129, "linear"),
    (-1.0, 1.0, 5, "linear"),
    (5e-324, 2e-323, 4, "linear"),
    (0.0, 1.0, 1, "linear"),
    (0.9, 0.999, 64, "log1m"),
    (0.0, 1 - 1e-12, 101, "log1m"),
    (0.5, 0.9999, 1, "log1m"),
]


@pytest.mark.parametrize(("low", "high", "n", "scale"), CASES)
def test_every_sample_is_the_nearest_float64(low, high, n, scale):
    axis = Axis(X, low, high, n, scale)
    points = axis.points()
    assert points.tolist() == [near(axis, i) for i in range(n)]
    if n > 1:
        assert (points[0], points[-1]) == (low, high)


@settings(deadline=None, max_examples=60)
@given(
    st.floats(1e-300, 1e300), st.floats(1e-300, 1e300), st.integers(2, 40), st.sampled_from("gl")
)
def test_samples_are_the_nearest_and_do_not_leave_the_range(one, other, n, which):
    low, high = sorted((one, other))
    if low == high:
        return
    axis = Axis(X, low, high, n, {"g": "log", "l": "linear"}[which])
    points = axis.points()
    assert points.tolist() == [near(axis, i) for i in range(n)]
    assert (points[0], points[-1]) == (low, high) and np.all(np.diff(points) >= 0)


@pytest.mark.parametrize("scale", ["log", "linear", "log1m"])
def test_samples_of_a_lattice_are_the_nearest(scale):
    axis = Lattice(X, 0.7, 0.75, -0.4, 40, scale, residue=1e-17)
    with localcontext(prec=120):
        origin, pitch = Decimal(axis.origin) + Decimal(axis.residue), Decimal(axis.pitch)
        exact = []
        for i in range(axis.first, axis.first + axis.n):
            if scale == "linear":
                exact.append(float(origin + i * pitch))
            elif scale == "log":
                exact.append(float(origin * 10 ** (i * pitch)))
            else:
                exact.append(float(1 - (1 - origin) * 10 ** (-i * pitch)))
    assert axis.points().tolist() == exact


def test_a_value_half_way_between_two_floats_is_the_same_in_every_lattice():
    """Ten times such an origin has up to 57 bits: a power of ten must not be almost ten."""
    for last in range(0, 64, 2):
        origin = float(2**53 - 1 - last)
        coarse = Lattice(X, origin, 16.0, 0.0, 16).points()
        fine = Lattice(X, origin, 2.0, 0.0, 16).points()
        assert coarse[1] == fine[8] == float(Fraction(origin) * 10)


def test_samples_are_made_once_and_are_not_written_into():
    axis = Axis(X, 1e-3, 1e6, 64)
    assert axis.points() is Axis(X, 1e-3, 1e6, 64).points()
    with pytest.raises(ValueError, match="read-only"):
        axis.points()[0] = 1.0


def test_both_ends_are_found_by_their_values():
    field = fj.scan(SPEC, Window(Axis("optimizer.lr", 0.003, 0.3, 3)), chunk=1)
    found = field.to_xarray()["measure"].sel({"optimizer.lr": 0.3})
    assert float(found) == field["measure"][-1]
    assert field.provenance["coordinates"] == "exact"


# values near one


def test_a_log1m_axis_runs_in_log10_of_one_minus_the_value():
    axis = Axis(B2, 0.9, 0.999, 3, "log1m")
    assert axis.points().tolist() == [0.9, 0.99, 0.999]
    assert (axis.low, axis.high, axis.span) == (-1, -3, 2)
    decades = Axis(B2, 0.9, 1 - 1e-12, 12, "log1m").points()
    assert decades.tolist() == [float(1 - Decimal(10) ** -k) for k in range(1, 13)]
    for ends in ((-2, -4), (-4, -2)):
        assert axis.between(*ends).points().tolist() == [0.99, 0.999, 0.9999]
    middle = Window(axis).zoom((-2.0,), 2.0).x
    np.testing.assert_allclose([middle.low, middle.high], [-1.5, -2.5], rtol=1e-13)
    assert (axis.depth(), axis.depth(1.0)) == (pytest.approx(np.log2(4.5)), np.log2(9))
    assert float(axis.center) == pytest.approx(-2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_log1m_axis_merges_where_one_minus_the_value_does(dtype):
    window = Window(Axis(B2, 0.0, 1 - 1e-12, 257, "log1m"))
    window.check(dtype)
    rounded = (1 - window.x.points()).astype(dtype)
    assert len(np.unique(rounded)) == 257
    exact = [float(1 - Decimal(v)) for v in window.x.points()]
    np.testing.assert_array_equal(rounded, np.array(exact).astype(dtype))
    with pytest.raises(FractaljaxError, match=r"only .* of 4096 samples differ"):
        Window(Axis(B2, 1 - 2e-13, 1 - 1e-13, 4096, "log1m")).check(dtype)
    narrow = Axis(B2, 0.9, 0.9001, 64, "log1m")
    floor = narrow.floor_depth(dtype)
    Window(narrow).zoom((-1.0,), 2.0 ** (floor - narrow.depth() - 1)).check(dtype)


@pytest.mark.parametrize(
    ("axis", "says"),
    [
        (lambda: Axis(B2, 0.9, 1.0, 8, "log1m"), "max=1.0 on a log1m axis must be below 1"),
        (lambda: Axis(B2, 0.9, 2.0, 8, "log1m"), "scale: linear allows 1"),
        (lambda: Lattice(B2, 1.0, 1.0, scale="log1m"), "origin=1.0 on a log1m axis must be below"),
        (lambda: Axis(B2, 0.9, 0.99).between(400, 401), "leaves the range of float64"),
        (lambda: Axis(B2, 0.9, 0.99, 8, "log1m").between(1, 400), "log10.1 - value."),
        (lambda: Axis(B2, 0.9, 0.99, 8, "log1m").between(-3, -99), "max=1.0"),
        (lambda: Axis(B2, 0.9, 0.99, 8, "log1p"), "Did you mean 'log1m'"),
    ],
)
def test_what_is_no_log1m_axis_is_refused(axis, says):
    with pytest.raises(FractaljaxError, match=says):
        axis()


@pytest.mark.parametrize("n", [16, 17])
@pytest.mark.parametrize("level", [0, 3, 20, 30])
def test_levels_of_a_log1m_zoom_share_samples_and_ascend(level, n):
    center = Decimal("-2.3456789012345678901234")
    coarse = Lattice.around(B2, center, 2.0 / 2**level, n, "log1m")
    fine = Lattice.around(B2, center, 1.0 / 2**level, n, "log1m")
    assert len(np.intersect1d(coarse.points(), fine.points())) >= n // 2
    assert np.all(np.diff(coarse.points()) > 0)
    assert abs(coarse.center - center) < Decimal("1e-30")
    places = [coarse.coordinate(i) for i in range(n)]
    assert places == sorted(places, reverse=True)
    exact = [float(1 - Decimal(10) ** p) for p in places]
    np.testing.assert_array_almost_equal_nulp(coarse.points(), np.array(exact), 1)


def test_a_log1m_axis_goes_to_text_and_back_and_is_zoomed_and_antialiased(tmp_path):
    tree = ["axes.BETA2={min: 0.9, max: 0.999, scale: log1m}", "window.resolution=4"]
    raw = config.parse("optimizer: adam\nwindow: {x: LR, y: BETA2}\n", "text", "text")
    _, spec, window = config.experiments(raw, tree)[0]
    assert (window.y.path, window.y.scale) == (B2, "log1m")
    again = config.experiments(config.parse(config.dump(spec, window), "text", "text"))[0].window
    assert again == window
    spec = dataclasses.replace(spec, steps=2, dtype="float64")
    made = fj.zoom(spec, window, tmp_path / "zoom", center=("0", "-2.5"), levels=2, chunk=4)
    assert made[1].window.y.scale == "log1m"
    np.testing.assert_allclose(1 - made[1].y[2], 10**-2.5, rtol=1e-12)
    fine = antialias.supersample(made[0], 3, store=None, adaptive=False)
    assert np.all(np.diff(fine.y) > 0) and fine.y[1::3].tolist() == made[0].y.tolist()
    pixels = fj.scan(spec, window, chunk=4)
    even = antialias.finer(pixels.window.y, 2)
    ratio = np.diff(np.log10(1 - even.points()))
    np.testing.assert_allclose(ratio, pixels.window.y.span / -6, rtol=1e-9)
    deep = antialias.finer(made[1].window.y, 2)
    places = np.log10(1 - deep.points()).reshape(-1, 2).mean(1)
    np.testing.assert_allclose(places, np.log10(1 - made[1].y), rtol=1e-9)


def test_ticks_of_a_log1m_axis():
    wide = ticks(Axis(B2, 0.0, 0.9999, 8, "log1m"))
    assert wide.labels == [f"1 {MINUS} {power(-k)}" for k in range(5)]
    np.testing.assert_allclose(wide.at, [0, 0.25, 0.5, 0.75, 1], atol=1e-9)
    fine = ticks(Axis(B2, 0.9, 0.995, 8, "log1m"))
    measures = ["10⁻¹", f"5{TIMES}10⁻²", f"2{TIMES}10⁻²", "10⁻²", f"5{TIMES}10⁻³"]
    assert fine.labels == [f"1 {MINUS} {measure}" for measure in measures]
    assert fine.at == sorted(fine.at) and fine.at[-1] == pytest.approx(1)
    near = ticks(Axis(B2, 0.99, 0.995, 8, "log1m"))
    assert near.labels[:2] == ["0.990", "0.991"]
    np.testing.assert_allclose(near.at[1], np.log(0.009 / 0.01) / np.log(0.5), rtol=1e-9)
    drawn = {m.text: m.at for m in marks(Decimal("0.99"), 1.0, "log1m")}
    for measure, at in (("0.01", 0.0), ("0.05", -np.log10(5)), ("0.002", np.log10(5))):
        assert drawn[f"1 {MINUS} {measure}"] == pytest.approx(at, abs=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_points_near_one_are_moved_by_one_minus_them(dtype):
    axis = Axis(B2, 0.9, 1 - 1e-6, 64, "log1m")
    places = dimension._values(axis, np.array([-0.5, 0.0, 0.5]), dtype)
    np.testing.assert_allclose(1 - places, [0.1, 10**-3.5, 1e-6], rtol=1e-6)
    step = np.full(3, 2.0**-12)
    moved = dimension._moved(axis, places, step, dtype)
    np.testing.assert_allclose((1 - moved) / (1 - places), 10 ** (-5 * 2.0**-12), rtol=1e-6)
    points = axis.points()[:, None]
    beyond = audit._next(points, Window(axis), dtype)
    assert np.all(beyond > points) and np.all(beyond < 1)
    apart = (1 - points).astype(dtype) != (1 - beyond).astype(dtype)
    assert apart.all() and audit._distinct(points, Window(axis)) == 1


# what a result keeps


def test_published_coordinates_are_those_of_the_installed_jax():
    import jax
    import jax.numpy as jnp

    spec, window = fj.load(ROOT / "configs/paper/tanh.yaml", only="tile")
    placed = coordinates.begun(spec, window.resized(24))
    ends = (1.1238438794349186, 1.1238446543208616)  # of the reference arrays
    np.testing.assert_array_equal(placed.x.points(), jnp.logspace(*ends, 24))
    assert placed.rule == f"jax.numpy.logspace of jax {jax.__version__}"
    assert placed == window.resized(24) and hash(placed) == hash(window.resized(24))
    assert config.dump(spec, placed) == config.dump(spec, window.resized(24))
    assert placed.resized(8).rule == "exact"  # another window is another result
    line = coordinates.begun(spec, Window(Axis("optimizer.momentum", 0.0, 0.9, 7, "linear")))
    np.testing.assert_array_equal(line.x.points(), jnp.linspace(0.0, 0.9, 7))
    around = Window(Lattice(X, 1.0, 1.0, n=8), Axis(Y, 1.0, 2.0, 1))
    assert coordinates.begun(spec, around).rule == "exact"
    assert coordinates.begun(SPEC, window).rule == "exact"


def test_a_published_window_too_deep_is_refused_with_the_depth_of_its_own_floor():
    spec, window = fj.load(ROOT / "configs/paper/tanh.yaml", only="overview")
    deep = coordinates.begun(spec, window.resized(64).zoom((5.0, 5.0), 2.0**45))
    deep.check("float64", allow_merged=True)
    floor = deep.x.floor_depth("float64")
    assert floor < deep.resized(64).x.floor_depth("float64")
    with pytest.raises(FractaljaxError, match=rf"merge from zoom 2\^{floor:.1f} on"):
        fj.scan(spec, window.resized(64).zoom((5.0, 5.0), 2.0**47))


def other(window: Window) -> Window:
    """The window with coordinates of a rule that nobody has."""
    return Window(*(a.keeping(a.points() * (1 + 1e-15), "another") for a in window.axes))


@pytest.fixture
def begun(tmp_path):
    """A scan of a rule of its own, one of whose tiles is not trained."""
    window = Window(Axis(X, 0.1, 10.0, 4), Axis(Y, 0.1, 10.0, 3))
    made = fj.scan(SPEC, other(window), store=tmp_path / "store", chunk=4, tile=2)
    marks = sorted((tmp_path / "store/field/done/c").rglob("[0-9]"))
    [path for path in marks if path.is_file()][-1].unlink()
    return tmp_path / "store", window, np.asarray(made["measure"])


def test_a_scan_goes_on_with_the_coordinates_it_was_begun_with(begun):
    folder, window, expected = begun
    assert not fj.open(folder).done.all()
    field = fj.scan(SPEC, window, store=folder)
    np.testing.assert_array_equal(field["measure"], expected)
    for found in (field, fj.open(folder)):
        np.testing.assert_array_equal(found.x, window.x.points() * (1 + 1e-15))
        assert found.provenance["coordinates"] == found.window.rule == "another"
        assert found.to_xarray().coords[X].values.tolist() == found.x.tolist()
    assert fractal.placed(SPEC, window, folder).rule == "another"
    fresh = fj.scan(SPEC, window, store=folder, overwrite=True, chunk=4)
    assert fresh.x.tolist() == window.x.points().tolist()


@pytest.mark.parametrize("how", ["missing", "flipped", "other"])
def test_damaged_coordinates_are_told_and_made_again_where_that_gives_the_same(
    tmp_path, caplog, how
):
    window = Window(Axis(X, 0.1, 10.0, 4))
    made = fj.scan(SPEC, window, store=tmp_path, chunk=4)
    damage(tmp_path / "field/x/c/0", how)
    with caplog.at_level(logging.WARNING):
        assert fj.open(tmp_path).x.tolist() == made.x.tolist()
        assert fj.scan(SPEC, window, store=tmp_path).x.tolist() == made.x.tolist()
        told = [r.getMessage() for r in caplog.records]
        assert len(told) == 2 and all("is damaged and was computed again" in t for t in told)
        caplog.clear()
        assert fj.open(tmp_path).x.tolist() == made.x.tolist()
    assert not caplog.records  # the scan wrote it anew


def damage(file: Path, how: str) -> None:
    if how == "missing":
        file.unlink()
        return
    whole = bytearray(file.read_bytes())
    whole[-1 if how == "flipped" else 0] ^= 255
    file.write_bytes(whole)


def test_damaged_coordinates_of_a_rule_that_is_not_here_are_refused(begun):
    folder, window, _ = begun
    damage(folder / "field/y/c/0", "flipped")
    for attempt in (lambda: fj.open(folder), lambda: fj.scan(SPEC, window, store=folder)):
        with pytest.raises(FractaljaxError, match=r"coordinates of optimizer.lr_out are damaged.*"):
            attempt()
    assert fj.scan(SPEC, other(window), store=folder).window.rule == "another"
    assert fj.open(folder).done.all()


def test_a_reading_cannot_have_the_name_of_the_coordinates(tmp_path):
    from fractaljax.ledger import Reading

    store = Store(tmp_path / "store", SPEC, Window(Axis(X, 0.1, 10.0, 4)))
    store.begun()
    with pytest.raises(FractaljaxError, match="reading 'x'"):
        store.begin({"x": Reading((), "float32")}, {"chunk": 4, "tile": 2, "backend": "cpu"})


# results of earlier versions


EARLIER = sorted(p.name for p in STORES.iterdir() if p.name < "2026-11-29")


@pytest.mark.parametrize("version", EARLIER)
@pytest.mark.parametrize("kind", ["scan", "line"])
def test_a_store_without_coordinates_has_those_it_was_begun_with(version, kind):
    if not (STORES / version / kind).exists():
        pytest.skip("not of that version")
    field = fj.open(STORES / version / kind)
    expected = json.loads((STORES / version / "expected.json").read_text())[kind]["x"]
    assert field.x.tolist() == expected and field.window.rule == earlier.RULE
    axis = dataclasses.replace(field.window.x)
    assert kind == "line" or axis.points().tolist() != expected


def test_a_zoom_of_an_earlier_version_goes_deeper_by_its_rule(tmp_path):
    folder = shutil.copytree(STORES / "2026-11-24" / "zoom", tmp_path / "zoom")
    with golden.configured(golden.SCAN) as path:
        spec, window = fj.load(path)
    deeper = fj.zoom(spec, window, folder, center=("0.1", "0.2"), levels=3, chunk=4, devices=1)
    assert [field.window.rule for field in deeper.levels] == [earlier.RULE] * 3
    assert "coordinates" not in json.loads((folder / "zoom.json").read_text())
    last, before = deeper[2].window, deeper[1].window
    assert len(np.intersect1d(last.x.points(), before.x.points())) >= 2
    np.testing.assert_array_equal(
        last.x.points(), earlier.kept(dataclasses.replace(last.x)).points()
    )
    again = fj.zoom(spec, window, tmp_path / "new", center=("0.1", "0.2"), levels=2, chunk=4)
    assert [field.window.rule for field in again.levels] == ["exact"] * 2
    assert json.loads((tmp_path / "new/zoom.json").read_text())["coordinates"] == "exact"
    assert zoom.placed(window, tmp_path / "new") is window


def test_a_map_of_an_earlier_version_goes_on_by_its_rule(tmp_path):
    pytest.importorskip("starlette")
    from fractaljax.explorer import geometry, maps
    from fractaljax.families import explore

    spec, place = explore.explored(SPEC), geometry.Place(8, 1, 2)
    window = Window(Axis(X, 0.1, 10.0, 64), Axis(Y, 0.1, 10.0, 64))
    found = {}
    for name in ("new", "old"):
        if name == "old":
            pinned = {"chunk": 4, "kernel": "xla", "backend": "cpu"}
            (tmp_path / name).mkdir()
            (tmp_path / name / "numeric.json").write_text(json.dumps(pinned))
        (tmp_path / name).mkdir(exist_ok=True)
        shown = maps.Map(tmp_path / name, spec, window, name)
        shown.training.numeric.setdefault("chunk", 4)
        shown.compile()
        shown.usable()
        for _ in shown.tiles.work(place):
            pass
        shown.tiles.close()
        found[name] = geometry.window(shown.roots, place)
        block = fj.open(tmp_path / name / "l8" / "0_0").window
        assert block.rule == found[name].rule
        assert block.x.points()[64:128].tolist() == found[name].x.points().tolist()
    assert (found["new"].rule, found["old"].rule) == ("exact", earlier.RULE)
    assert json.loads((tmp_path / "new/numeric.json").read_text())["coordinates"] == "exact"
    assert found["new"].x.points().tolist() != found["old"].x.points().tolist()
    (tmp_path / "new" / "numeric.json").write_text((tmp_path / "old/numeric.json").read_text())
    mixed = maps.Map(tmp_path / "new", spec, window, "mixed")
    mixed.compile()
    with pytest.raises(FractaljaxError, match="its coordinates are 'exact', those of this map"):
        next(mixed.tiles.work(geometry.Place(8, 2, 2)))


def test_sub_samples_of_an_earlier_result_follow_its_rule(tmp_path):
    folder = shutil.copytree(STORES / "2026-11-24" / "zoom", tmp_path / "zoom")
    level = fj.open(folder)[1]
    fine = antialias.finer(level.window.x, 3)
    assert fine.rule == earlier.RULE
    assert fine.points()[1::3].tolist() == level.x.tolist()


def test_the_attributes_of_an_older_store_are_left_as_they_are(tmp_path):
    folder = shutil.copytree(STORES / "2026-11-24" / "scan", tmp_path / "scan")
    golden.scan(folder)
    assert "coordinates" not in records.read(folder)
    assert not (folder / "field" / "x").exists()
