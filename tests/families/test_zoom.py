"""Zoom sequences: geometry, shared samples, the floor, resuming, finding the way, the audit."""

import dataclasses
import json
from decimal import Decimal

import numpy as np
import pytest

import fractaljax as fj
from fractaljax.errors import FractaljaxError
from fractaljax.families import audit, autopilot, zoom
from fractaljax.families.fractal import prepare
from fractaljax.store import open_levels, open_zoom
from fractaljax.store.zooms import level_folder

SPEC = fj.Spec(
    model=fj.Part("mlp", width=4, parametrisation="mean_field"),
    problem=fj.Part("random_regression", points=8, inputs=4),
    steps=20,
    dtype="float64",
)
WINDOW = fj.Window(
    fj.Axis("optimizer.lr_in", 1e-3, 1e6, 24), fj.Axis("optimizer.lr_out", 1e-3, 1e6, 24)
)
CENTER = (Decimal("1.31"), Decimal("1.77"))


@pytest.fixture(scope="module", autouse=True)
def float64():
    prepare("float64")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    plan = zoom.plan(SPEC, WINDOW, center=CENTER, levels=4)
    return zoom.run(plan, tmp_path_factory.mktemp("zoom"), chunk=4)


def test_levels_halve_around_one_sample(made):
    assert len(made) == 4
    middle = made[0].x[12], made[0].y[12]
    for level, field in enumerate(made.levels):
        assert (field.x[12], field.y[12]) == middle
        assert field.window.x.width == made[0].window.x.width / 2**level
        assert field.done.all()
    np.testing.assert_allclose(middle, [10**1.31, 10**1.77], rtol=1e-14)


def test_every_level_is_trained_again_but_for_the_samples_it_shares(made):
    for field in made.levels[1:]:
        assert field.provenance["known"] == 12 * 12
        assert field.provenance["pixels"] == 24 * 24 - 12 * 12
        chunk = field.provenance["chunk"]
        alone = fj.scan(field.spec, field.window, chunk=chunk)
        np.testing.assert_array_equal(alone["measure"], field["measure"])


def test_another_factor_is_not_shared_where_points_differ(tmp_path):
    plan = zoom.plan(SPEC, WINDOW, center=CENTER, levels=2, factor=1.5)
    field = zoom.run(plan, tmp_path, chunk=4)[1]
    alone = fj.scan(field.spec, field.window, chunk=4)
    np.testing.assert_array_equal(alone["measure"], field["measure"])


def test_a_zoom_goes_out_until_both_axes_span_six_decades():
    deep = fj.Window(
        fj.Axis("optimizer.lr_in", 13.0, 13.0001, 16), fj.Axis("optimizer.lr_out", 200.0, 200.2, 16)
    )
    plan = zoom.plan(SPEC, deep)
    spans = np.array([[a.span for a in w.axes] for w in plan.windows])
    assert spans[0].min() >= 6 > spans[1].min()
    np.testing.assert_allclose(spans[-1], [a.span for a in deep.axes], rtol=1e-9)
    np.testing.assert_allclose(plan.windows[-1].x.points(), deep.x.points(), rtol=1e-6)
    with pytest.raises(FractaljaxError, match="--center X Y, or --auto"):
        zoom.plan(SPEC, WINDOW)


def test_the_floor_is_known_before_anything_is_trained(tmp_path):
    deep = zoom.plan(SPEC, WINDOW.resized(4096), center=CENTER, levels=60)
    assert zoom.floor_level(deep) == 44
    single = zoom.plan(SPEC.updated({"dtype": "float32"}), WINDOW, center=CENTER)
    assert zoom.floor_level(single) < 25
    with pytest.raises(FractaljaxError, match="level 44 is the last at which 4096 columns differ"):
        zoom.run(deep, tmp_path / "deep")
    assert not (tmp_path / "deep").exists()


def test_pixels_of_another_chunk_are_not_shared(made):
    whole = made[1].window.tiles(0)[0]

    def taken(chunk, **provenance):
        before = dataclasses.replace(made[0], provenance={**made[0].provenance, **provenance})
        return zoom.shared(before, made[1].window, chunk)(whole)[0].sum()

    assert (taken(4), taken(8), taken(4, first_chunk=8)) == (144, 0, 0)


def test_a_way_out_that_has_no_end_is_refused(tmp_path):
    deep = fj.Window(fj.Axis("optimizer.lr_in", 13.0, 13.0001, 16))
    with pytest.raises(FractaljaxError, match="more than 1100 levels"):
        zoom.plan(SPEC, deep, factor=1.001)
    with pytest.raises(FractaljaxError, match="widest level leaves the range"):
        zoom.plan(SPEC, deep, levels=1100, factor=1024)
    with pytest.raises(FractaljaxError, match="leave the range of float64"):
        zoom.run(zoom.plan(SPEC, WINDOW, levels=200), tmp_path / "wide")
    assert not (tmp_path / "wide").exists()
    with pytest.raises(FractaljaxError, match="takes a number for each axis"):
        zoom.zoom(SPEC, WINDOW, tmp_path / "wide", center=("1.3", "east"))


def test_beyond_the_floor_when_that_is_allowed(tmp_path):
    plan = zoom.plan(SPEC, WINDOW.resized(8), center=CENTER, levels=2, factor=1024.0)
    wide = zoom.around(plan.windows[0], CENTER, 2.0**-46)
    plan = plan._replace(windows=(wide, zoom.around(wide, CENTER, 1 / 1024)))
    assert zoom.floor_level(plan) == 0
    field = zoom.run(plan, tmp_path, allow_merged=True)[1]
    assert field.window.merged("float64") > 0
    assert field.done.all()


def test_another_zoom_in_the_folder_is_refused(made):
    other = zoom.plan(SPEC, WINDOW, center=CENTER, levels=4, factor=3.0)
    with pytest.raises(FractaljaxError, match=r"factor: 2\.0 -> 3\.0"):
        zoom.run(other, made.path)
    assert len(open_zoom(made.path)) == 4


def test_a_zoom_goes_on_deeper_where_it_ended(tmp_path):
    for levels, total in ((1, 1), (3, 3), (2, 3)):
        plan = zoom.plan(SPEC, WINDOW.resized(8), center=CENTER, levels=levels)
        assert len(zoom.run(plan, tmp_path)) == total
    assert [f.provenance["runs"] for f in open_zoom(tmp_path).levels] == [1, 1, 1]


def test_a_damaged_plan_and_a_missing_level_are_told(made, tmp_path):
    with pytest.raises(FractaljaxError, match="no zoom here"):
        open_zoom(tmp_path)
    (tmp_path / "zoom.json").write_text("{")
    with pytest.raises(FractaljaxError, match="damaged"):
        open_zoom(tmp_path)
    plan = json.loads((made.path / "zoom.json").read_text())
    for wrong in ({"levels": 2.5}, {"levels": 0}, {"factor": float("inf")}, {"center": "1 2"}):
        (tmp_path / "zoom.json").write_text(json.dumps(plan | wrong))
        with pytest.raises(FractaljaxError, match="damaged"):
            open_zoom(tmp_path)
    (tmp_path / "zoom.json").write_text(json.dumps(plan))
    with pytest.raises(FractaljaxError, match="no level of this zoom is complete"):
        open_zoom(tmp_path)
    assert [f.window for f in open_levels(level_folder(made.path, 2))] == [made[2].window]


def test_the_way_holds_an_edge_at_every_level_and_can_be_taken_again(tmp_path):
    way = autopilot.find(SPEC, WINDOW, levels=6, seed=3, store=tmp_path)
    assert len(way) == 6 and all(step.edge > 0 for step in way)
    again = autopilot.find(SPEC, WINDOW, levels=6, seed=3, store=tmp_path)
    assert [s.center for s in again] == [s.center for s in way]
    other = autopilot.find(SPEC, WINDOW, levels=6, seed=4)
    assert other[-1].center != way[-1].center
    assert json.loads(json.dumps(autopilot.as_tree(way, 3)))["way"][0]["center"]


def test_a_flat_window_has_no_way():
    flat = fj.Window(
        fj.Axis("optimizer.lr_in", 1e-3, 2e-3, 8), fj.Axis("optimizer.lr_out", 1e-3, 2e-3, 8)
    )
    with pytest.raises(FractaljaxError, match="no edge"):
        autopilot.find(SPEC, flat, levels=2)


def test_the_way_turns_back_from_dust(monkeypatch):
    """To the left the two outcomes fade into each other pixel by pixel, to the right they wind."""

    def scan(spec, window, **_):
        x, y = (np.log10(v) - 1.5 for v in np.meshgrid(window.x.points(), window.y.points()))
        noise = np.random.default_rng(0).random(x.shape) < 0.5 - 2 * y
        winding = y < 0.05 * np.sin(9 * x) + 0.01 * np.sin(70 * x) + 0.003 * np.sin(400 * x)
        good = np.where(x < -0.5, noise, winding)
        probes.append(window)
        return fj.Field(spec, window, {"measure": np.where(good, -1.0, 1.0)}, good | True, {})

    monkeypatch.setattr(autopilot.fractal, "scan", scan)
    probes, turned = [], 0
    for seed in range(6):
        probes.clear()
        way = autopilot.find(SPEC, WINDOW, levels=9, seed=seed)
        assert len(way) == 9 and way[-1].center[0] > Decimal("0.99")
        assert all(step.alike >= autopilot.DUST for step in way[1:])
        turned += len(probes) - 9
    assert turned > 0


def test_a_window_of_dust_is_gone_through_all_the_same(monkeypatch):
    def scan(spec, window, **_):
        noise = np.random.default_rng(0).choice([-1.0, 1.0], window.shape)
        return fj.Field(spec, window, {"measure": noise}, noise != 0, {})

    monkeypatch.setattr(autopilot.fractal, "scan", scan)
    assert len(autopilot.find(SPEC, WINDOW, levels=5)) == 5


def test_richness_prefers_a_mixed_edge_to_a_smooth_one_and_to_noise():
    from fractaljax.analysis.edges import outcomes

    rng = np.random.default_rng(0)
    values = np.where(np.arange(96)[:, None] < 48, -1.0, 1.0) * np.ones((96, 96))
    values[:, 32:64] = np.where(rng.random((96, 32)) < 0.08, -values[:, 32:64], values[:, 32:64])
    values[:, 64:] = rng.choice([-1.0, 1.0], (96, 32))
    rich = autopilot.richness(outcomes(values, np.ones_like(values, bool), "measure"), 4.0)
    smooth, mixed, noise = rich[:, :20].max(), rich[:, 40:56].max(), rich[:, 80:].max()
    assert mixed > smooth and mixed > noise
    assert rich[10, 5] == 0


def test_the_audit_counts_what_the_other_precision_and_an_ulp_change(made):
    calls = []
    rows = audit.audit(made.levels, pixels=200, on_level=lambda *a: calls.append(a))
    assert [r.level for r in rows] == [0, 1, 2, 3] and all(r.pixels == 200 for r in rows)
    assert calls[-1] == (8, 8)
    assert all(0 <= r.other <= 0.2 and 0 <= r.ulp <= 0.05 for r in rows)
    deep = zoom.plan(SPEC, WINDOW.resized(8).zoom((1.31, 1.77), 2.0**30), levels=1)
    field = fj.scan(SPEC, deep.windows[0], chunk=4)
    assert audit.audit([field], pixels=64)[0].distinct < 0.1


def test_the_audit_sees_a_picture_that_is_wrong(made):
    field = made[0]
    wrong = dataclasses.replace(field, arrays={"measure": -field["measure"]})
    row = audit.audit([wrong], pixels=100)[0]
    assert row.other > 0.9 and row.ulp > 0.9
