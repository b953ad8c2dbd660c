"""Gradient descent on a rippled parabola (Liu, arXiv:2406.13971): where its boundary roughens."""

import math

import numpy as np
import pytest

import fractaljax as fj
from fractaljax.families import dimension
from fractaljax.families.points import Trainer

ONSET = 1 / (2 * math.pi**2)  # amplitude / wavelength^2: from here on the loss is not convex
WAVELENGTH = 0.5


def line(roughness: float, samples: int) -> fj.Field:
    """Rates around the critical one of the bare parabola, which is 1."""
    amplitude = roughness * ONSET * WAVELENGTH**2
    changes = [f"problem.amplitude={amplitude!r}", f"problem.wavelength={WAVELENGTH}", "steps=300"]
    changes += ["axes.LR.min=0.95", "axes.LR.max=1.15"]
    spec, window = fj.load("configs/liu/added.yaml", changes, only="line")
    return fj.scan(spec, window.resized(samples), chunk=64)


def changes(field: fj.Field) -> int:
    bounded = field["measure"] < 0
    return int(np.count_nonzero(bounded[1:] != bounded[:-1]))


@pytest.mark.parametrize("roughness", [0.5, 0.95])
def test_below_the_onset_the_boundary_is_one_point_at_any_resolution(roughness):
    assert [changes(line(roughness, n)) for n in (256, 1024)] == [1, 1]


def test_beyond_the_onset_the_boundary_grows_with_the_resolution():
    coarse, fine = (line(2.0, n) for n in (512, 4096))
    assert math.log(changes(fine) / changes(coarse)) / math.log(8) > 0.5
    found = dimension.boxcount([fine])
    assert 0.5 < found.pooled.dimension < 1.0


@pytest.mark.parametrize("ripple", ["added", "multiplied"])
def test_a_training_is_the_recursion_written_out(ripple):
    changes = ["steps=7", "problem.amplitude=0.3", "fold=final_loss"]
    spec, _ = fj.load(f"configs/liu/{ripple}.yaml", changes, only="line")
    found = Trainer(spec, ["LR"], chunk=1, capacity=2)(np.array([[0.05], [0.11]]))["final_loss"]
    for rate, loss in zip((0.05, 0.11), found, strict=True):
        u = 1.0
        for _ in range(6):
            wave = 2 * math.pi / 0.5
            sine, cosine = math.sin(wave * u), math.cos(wave * u)
            if ripple == "added":
                u -= rate * (2 * u - 0.3 * wave * sine)
            else:
                u -= rate * (2 * u * (1 + 0.3 * cosine) - u**2 * 0.3 * wave * sine)
        cosine = math.cos(wave * u)
        expected = u**2 + 0.3 * (1 + cosine) if ripple == "added" else u**2 * (1 + 0.3 * cosine)
        assert loss == pytest.approx(expected, rel=1e-9)
