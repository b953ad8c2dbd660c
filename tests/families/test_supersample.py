"""Antialiasing trains the right networks, and no more of them than it must."""

import dataclasses
import math
from decimal import Decimal

import numpy as np
import pytest

from fractaljax import scan
from fractaljax.axis import Axis, Lattice
from fractaljax.errors import FractaljaxError
from fractaljax.families.antialias import check, differing, finer, supersample
from fractaljax.field import Field
from fractaljax.spec import Part, Spec
from fractaljax.window import Window

SPEC = Spec(
    model=Part("mlp", width=4),
    problem=Part("random_regression", inputs=4, points=8),
    fold=(Part("measure"), Part("status")),
    steps=30,
    dtype="float64",
)
WINDOW = Window(Axis("optimizer.lr_in", 1e-2, 1e4, 9), Axis("optimizer.lr_out", 1e-2, 1e4, 7))


@pytest.fixture(scope="module")
def field():
    return scan(SPEC, WINDOW, chunk=4, tile=4)


def coordinates(axis):
    points = axis.points()
    return np.log10(points) if axis.scale == "log" else points


AXES = [
    Axis("optimizer.lr", 1e-3, 1e6, 64),
    Axis("optimizer.lr", 1e-3, 1e6, 2),
    Axis("optimizer.lr", -1.0, 3.0, 5, "linear"),
    Lattice.around("optimizer.lr", Decimal("1.25"), 3.0, 8, "log"),
    Lattice("optimizer.lr", 0.5, 0.25, 0.0, 5, "linear"),
    Lattice("optimizer.lr", 0.5, 0.25, 3.0, 5, "linear"),
    Lattice("optimizer.lr", 0.5, 0.25, -3.0, 5, "linear"),
]


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("axis", AXES, ids=repr)
def test_sub_samples_are_spread_evenly_over_their_pixel(axis, n):
    fine = finer(axis, n)
    at, coarse = coordinates(fine).reshape(axis.n, n), coordinates(axis)
    pitch = axis.span / (axis.n - 1)
    expected = coarse[:, None] + pitch * (np.arange(n) - (n - 1) / 2) / n
    np.testing.assert_allclose(at, expected, atol=1e-12)
    assert type(fine) is type(axis)


def test_a_single_sample_stands_for_its_whole_axis():
    fine = finer(Axis("optimizer.lr", 1.0, 10.0, 1), 4)
    np.testing.assert_allclose(coordinates(fine), [0.125, 0.375, 0.625, 0.875])


@pytest.mark.parametrize("n", [2, 3])
def test_a_deep_lattice_loses_nothing(n):
    """At a pitch of some spacings of float64 the places are right to half a spacing."""
    axis = Lattice.around("optimizer.lr", Decimal("1.1238438230180721117"), 1e-13, 16, "log")
    fine = finer(axis, n)
    exact = axis._exact(Decimal(axis.origin) + Decimal(axis.residue))
    for i, value in enumerate(fine.points()):
        k = Decimal(2 * ((axis.first * n) + i) - (n - 1)) / 2
        place = exact + k * Decimal(axis.width) / (16 * n)
        true = Decimal(10) ** (place - exact) * (Decimal(axis.origin) + Decimal(axis.residue))
        assert abs(Decimal(value) - true) <= Decimal(math.ulp(value)) * Decimal("0.76")


def test_every_sub_sample_is_the_network_at_its_place(field):
    fine = supersample(field, 2, store=None, adaptive=False)
    assert fine.window.shape == (14, 18) and fine.done.all()
    plain = scan(SPEC, fine.window, chunk=4, tile=4)
    for name in ("measure", "status"):
        assert fine[name].tobytes() == plain[name].tobytes()


def test_adaptive_trains_rough_pixels_only(field, tmp_path, monkeypatch):
    n = 3
    # few pixels are far apart in rank wherever they lie: here the outcome alone counts
    monkeypatch.setattr("fractaljax.families.antialias.STEP", 0.99)
    fine = supersample(field, n, store=tmp_path / "aa")
    rough = differing(field).repeat(n, 0).repeat(n, 1)
    assert 0 < rough.sum() < rough.size
    full = supersample(field, n, store=None, adaptive=False)
    for name in ("measure", "status"):
        flat = field[name].repeat(n, 0).repeat(n, 1)
        np.testing.assert_array_equal(fine[name], np.where(rough, full[name], flat))
    made = fine.provenance
    assert made["known"] + made["pixels"] == rough.size and made["known"] >= (~rough).sum()
    again = supersample(field, n, store=tmp_path / "aa")
    assert again.provenance["runs"] == 1  # nothing was left to train
    assert again["measure"].tobytes() == fine["measure"].tobytes()
    other = dataclasses.replace(field, spec=dataclasses.replace(field.spec, steps=31))
    with pytest.raises(FractaljaxError, match=r"steps: 30 -> 31.*Remove .*aa to begin anew"):
        supersample(other, n, store=tmp_path / "aa")


def fake(values, reading="measure"):
    window = Window(
        Axis("optimizer.lr_in", 1e-3, 1, values.shape[1]),
        Axis("optimizer.lr_out", 1e-3, 1, values.shape[0]),
    )
    return Field(SPEC, window, {reading: values}, np.ones(values.shape, bool), {})


@pytest.mark.parametrize("strip", [1, 50, 10**6])
def test_pixels_that_differ_from_a_neighbour(monkeypatch, strip):
    monkeypatch.setattr("fractaljax.families.antialias.STRIP", strip)
    values = np.tile(np.linspace(1, 2, 100), (9, 1))  # smooth: a hundredth of the ranks a step
    assert not differing(fake(values)).any()
    values[4, 50] = -1.5  # one pixel of the other outcome: it and its eight neighbours
    expected = np.zeros(values.shape, bool)
    expected[3:6, 49:52] = True
    np.testing.assert_array_equal(differing(fake(values)), expected)
    values[4, 50] = 1.9  # the same outcome, but far away in rank
    np.testing.assert_array_equal(differing(fake(values)), expected)
    codes = np.zeros((9, 100), np.int32)
    codes[4, 50] = 3
    np.testing.assert_array_equal(differing(fake(codes, "status")), expected)


def test_what_cannot_be_antialiased(field):
    for n in (1, 9, -2):
        with pytest.raises(FractaljaxError, match="allowed are 2 to 8"):
            check(field, n)
    line = Field(SPEC, Window(WINDOW.x), {"measure": np.ones(9)}, np.ones(9, bool), {})
    with pytest.raises(FractaljaxError, match="one axis"):
        supersample(line, 2, store=None)
    done = field.done.copy()
    done[0] = False
    half = Field(field.spec, field.window, field.arrays, done, field.provenance)
    with pytest.raises(FractaljaxError, match=r"only 85\.7 %"):
        supersample(half, 2, store=None)


def test_sub_samples_that_leave_the_range_of_an_axis_are_one_line():
    window = Window(WINDOW.x, Axis("seed", 0, 2, 3, "linear"))
    seeds = Field(SPEC, window, {"measure": np.ones((3, 9))}, np.ones((3, 9), bool), {})
    with pytest.raises(FractaljaxError, match=r"antialiasing with 2 x 2.*seed"):
        supersample(seeds, 2, store=None)
