"""Single points and known pixels: the same networks as in a scan."""

import numpy as np
import pytest

import fractaljax as fj
from fractaljax.errors import FractaljaxError
from fractaljax.families.fractal import prepare
from fractaljax.families.points import Trainer

PATHS = ("optimizer.lr_in", "optimizer.lr_out")
SPEC = fj.Spec(
    model=fj.Part("mlp", width=4),
    problem=fj.Part("random_regression", points=8, inputs=4),
    fold=(fj.Part("measure"), fj.Part("history", every=5)),
    steps=15,
    dtype="float64",
)
WINDOW = fj.Window(fj.Axis(PATHS[0], 1e-3, 1e5, 10), fj.Axis(PATHS[1], 1e-3, 1e5, 7))


@pytest.fixture(scope="module")
def field():
    prepare("float64")
    return fj.scan(SPEC, WINDOW, chunk=4)


def test_points_in_any_order_read_what_a_scan_reads(field):
    points = WINDOW.points(WINDOW.tiles(0)[0])
    order = np.random.default_rng(0).permutation(len(points))
    out = Trainer(SPEC, ["LR0", "LR1"], chunk=4, capacity=16)(points[order])
    for name in ("measure", "history"):
        flat = field[name].reshape(len(points), *field[name].shape[2:])
        np.testing.assert_array_equal(out[name], flat[order])


def test_no_points_are_no_readings(field):
    out = Trainer(SPEC, PATHS, chunk=4, capacity=16)(np.empty((0, 2)))
    assert out["measure"].shape == (0,) and out["history"].shape == (0, 3)


def test_wrong_points_and_paths_are_refused(field):
    with pytest.raises(FractaljaxError, match="expected \\[P, 2\\]"):
        Trainer(SPEC, PATHS, chunk=4, capacity=16)(np.ones((3, 1)))
    with pytest.raises(FractaljaxError, match="static"):
        Trainer(SPEC, ["model.width"])


def test_a_chunk_below_one_is_refused(field):
    with pytest.raises(FractaljaxError, match="chunk=0: at least 1"):
        Trainer(field.spec, ["optimizer.lr_in"], chunk=0)


@pytest.mark.parametrize("tile", [0, 3])
def test_known_pixels_are_taken_and_the_others_trained(field, tile):
    def known(part):
        mask = np.zeros(part.shape, bool)
        mask[:, ::2] = True
        fill = {n: np.full((*part.shape, *field[n].shape[2:]), 7.0) for n in field.arrays}
        return mask, fill

    mixed = fj.scan(SPEC, WINDOW, chunk=4, tile=tile, known=known)
    columns = [x for t in WINDOW.tiles(tile) for x in range(t.left, t.right, 2) if t.top == 0]
    rest = np.setdiff1d(np.arange(10), columns)
    assert np.all(mixed["history"][:, columns] == 7.0)
    np.testing.assert_array_equal(mixed["measure"][:, rest], field["measure"][:, rest])
    assert mixed.provenance["known"] == 7 * len(columns)
    assert mixed.provenance["pixels"] == 7 * len(rest)


def test_a_scan_of_known_pixels_trains_nothing(field):
    all_known = fj.scan(
        SPEC, WINDOW, chunk=4, known=lambda t: (np.ones(t.shape, bool), dict(field.arrays))
    )
    np.testing.assert_array_equal(all_known["measure"], field["measure"])
    assert all_known.provenance["pixels"] == 0
