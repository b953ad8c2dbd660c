"""Dimensions of fields and zooms, and the verb, on a landscape whose boundary is known."""

import csv

import numpy as np
import pytest

import fractaljax as fj
from fractaljax.errors import FractaljaxError
from fractaljax.families import dimension
from fractaljax.window import Lattice

SPEC = fj.Spec(
    model=fj.Part("mlp", width=3, depth=2, activation="linear"),
    problem=fj.Part("random_regression", inputs=3, points=6),
    steps=40,
    dtype="float64",
)


def field(converged, *, scale=1.0, reading="measure", done=None, spec=SPEC, origin=1.0):
    """A Field of given outcomes around `origin`, `scale` decades wide."""
    names = ("optimizer.lr_in", "optimizer.lr_out")
    sides = list(reversed(converged.shape))
    axes = [
        Lattice(name, origin, scale, -0.5, n)
        for name, n in zip(names[: len(sides)], sides, strict=True)
    ]
    values = np.where(converged, -1.0, 1.0) if reading == "measure" else 3 * ~converged
    done = np.ones(converged.shape, bool) if done is None else done
    return fj.Field(spec, fj.Window(*axes), {reading: values}, done, {})


def noise(n, seed=0):
    return np.random.default_rng(seed).random((n, n)) < 0.5


def halves(n):
    y, x = np.indices((n, n))
    return 0.83 * y > 0.4 * x + 0.17 * n


@pytest.mark.parametrize("method", [dimension.published, dimension.boxcount])
def test_levels_null_and_pooled(method):
    levels = [field(halves(512), scale=2.0**-k, reading=("measure", "status")[k]) for k in (0, 1)]
    found = method(levels)
    assert found.pooled.dimension == pytest.approx(1, abs=0.05)
    assert found.null.pooled.dimension == pytest.approx(1, abs=0.02)
    assert len(found.levels) == len(found.null.levels) == found.pooled_levels == 2
    first, second = (level.estimate.dimension for level in found.levels)
    assert first == second  # either reading


def test_pixels_that_are_not_trained_are_left_out():
    done = np.ones((128, 128), bool)
    done[:, 40:] = False
    found = dimension.boxcount([field(halves(128), done=done)]).levels[0]
    whole = dimension.boxcount([field(halves(128))]).levels[0]
    assert 0 < found.edges < whole.edges and found.trained == pytest.approx(40 / 128)


def test_what_cannot_be_measured_is_said():
    other = fj.Field(SPEC, field(halves(64)).window, {"final_loss": np.ones((64, 64))}, None, {})
    with pytest.raises(FractaljaxError, match="holds final_loss; the folds measure and status"):
        dimension.boxcount([other])
    with pytest.raises(FractaljaxError, match="no level"):
        dimension.published([])
    with pytest.raises(FractaljaxError, match="level 1 has other axes"):
        dimension.boxcount([field(halves(64)), field(np.arange(64) < 9)])
    with pytest.raises(FractaljaxError, match="levels 0 to 0"):
        dimension.uncertainty([field(halves(64))], only=[1])
    with pytest.raises(FractaljaxError, match="pairs=1: at least 2"):
        dimension.uncertainty([field(halves(64))], count=1)
    with pytest.raises(FractaljaxError, match="at most 16777216"):
        dimension.uncertainty([field(halves(64))], count=10**12)
    with pytest.raises(FractaljaxError, match="seed=-1: at least 0"):
        dimension.uncertainty([field(halves(64))], seed=-1)


def test_few_pixels_are_said_to_be_too_few():
    level = dimension.published([field(halves(13))]).levels[0]
    assert level.estimate is not None and level.note == "too few pixels"


def test_the_published_estimator_says_where_it_has_too_few_pixels():
    """Its boxes are of 10 pixels and more: of 16 it reads 3, of 48 1.3, where 1 is right."""

    def note(converged):
        return dimension.published([field(converged)]).levels[0].note

    assert [note(halves(n)) for n in (16, 32, 48, 64)] == 3 * ["too few pixels"] + [""]
    assert [note(noise(n)) for n in (16, 32, 48)] == ["too few pixels", "unresolved", "unresolved"]


@pytest.mark.parametrize("shape", [(1, 33), (33, 1)])
def test_a_window_one_sample_wide_is_a_line(shape):
    converged = np.random.default_rng(0).random(33) < 0.5
    for method in (dimension.boxcount, dimension.published):
        found, line = (method([field(converged.reshape(s))]) for s in (shape, (33,)))
        assert found.axes == 1 and found.levels[0].edges == line.levels[0].edges > 0
        assert found.levels[0].note == line.levels[0].note
        assert found.null.levels[0].edges == line.null.levels[0].edges == 1


def test_points_of_an_axis_of_one_sample_lie_in_its_window():
    axis = fj.Axis("optimizer.lr_in", 1.0, 100.0, 1)
    found = dimension._values(axis, np.array([-0.5, 0.0, 0.5]), "float64")
    np.testing.assert_allclose(found, [1, 10, 100], rtol=1e-12)


def test_trained_pairs_find_a_smooth_boundary():
    """A linear network converges below one rate and not above: a point, of dimension 0."""
    window = fj.Window(fj.Axis("optimizer.lr", 0.1, 1e3, 256))
    scanned = fj.scan(SPEC, window, chunk=16)
    assert 0.1 < (scanned["measure"] < 0).mean() < 0.9
    found = dimension.uncertainty([scanned], count=2048, seed=1)
    assert found.axes == 1
    assert found.pooled.low < 0.1 and found.pooled.dimension == pytest.approx(0, abs=0.25)
    assert found.null.pooled.dimension == pytest.approx(0, abs=0.02)
    assert found.levels[0].trained == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pairs_keep_their_distance_down_to_the_floor(dtype):
    """Also in a window some hundreds of floats wide, where coordinates would merge."""
    spec = SPEC.updated({"dtype": dtype})
    width = 2000 * np.finfo(dtype).eps
    level = field(noise(4), scale=width, origin=13.3, spec=spec)
    asked = []

    class Recorder:
        def __call__(self, points):
            asked.append(points)
            return {"measure": np.where(np.arange(len(points)) % 2 == len(asked) % 2, -1.0, 1.0)}

    judge = dimension._trained(level, Recorder())
    floor = dimension._floor(level)
    assert 0.005 < floor < 0.1
    base = np.random.default_rng(0).random((500, 2)) - 0.5
    steps = np.full((500, 2), floor / np.sqrt(2))
    _, known = judge(base, None)
    _, apart = judge(base, steps)
    assert known.all() and apart.all()
    first, second = asked
    assert (first == first.astype(dtype)).all() and (second == second.astype(dtype)).all()
    distance = np.hypot(*np.log10(second / first).T) / level.window.x.span
    np.testing.assert_allclose(distance, floor, rtol=0.1)
    _, apart = judge(base, np.full((500, 2), 1e-6))
    assert not apart.any()  # merged, and said so


@pytest.mark.slow
def test_the_verb(tmp_path, capsys):
    from fractaljax.cli import main

    spec = SPEC.updated({"steps": 20})
    axes = fj.Axis("optimizer.lr_in", 0.1, 1e3, 48), fj.Axis("optimizer.lr_out", 0.1, 1e3, 48)
    fj.scan(spec, fj.Window(*axes), chunk=16, store=tmp_path / "one")
    for method, extra in (("boxcount", []), ("published", []), ("uncertainty", ["--pairs", "256"])):
        place = tmp_path / "one" / f"dimension_{method}"
        argv = ["dimension", str(tmp_path / "one"), "--method", method, "--csv", *extra]
        assert main(argv) == 0
        told = capsys.readouterr().out
        assert "pooled" in told and "null" in told and str(place.with_suffix(".png")) in told
        with place.with_suffix(".csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["level"] for row in rows] == ["0", "pooled"]
        assert place.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        off = abs(float(rows[-1]["null_dimension"]) - 1) > 0.02
        assert ("should be 1.00: read the rest with care" in told) == off
        assert off == (method == "published")  # few box sizes fit into 48 pixels
    assert main(["dimension", str(tmp_path / "one"), "--pairs", "9"]) == 2
    assert "--pairs is read by --method uncertainty only" in capsys.readouterr().err
