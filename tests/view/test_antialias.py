import numpy as np
import pytest
from PIL import Image

from fractaljax.errors import FractaljaxError
from fractaljax.view import antialias, picture
from fractaljax.view.image import png_bytes, save_image
from fractaljax.view.painting import paint

LINEAR = np.where(
    np.arange(256) <= 0.04045 * 255,
    np.arange(256) / 255 / 12.92,
    ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4,
)


def random(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def colours(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def nearest(light):
    """The sRGB code nearest in light."""
    return np.abs(light[..., None] - LINEAR).argmin(-1)


@pytest.mark.parametrize("block", [2, 3, 5])
@pytest.mark.parametrize("shape", [(6, 10), (7, 11), (1, 1), (1, 9)])
def test_a_block_becomes_the_mean_of_its_light(shape, block):
    given = colours(shape)
    found = antialias.average(given, block)
    assert found.shape == (-(-shape[0] // block), -(-shape[1] // block), 3)
    for i, j in np.ndindex(found.shape[:2]):
        part = given[i * block : (i + 1) * block, j * block : (j + 1) * block].reshape(-1, 3)
        expected = nearest(LINEAR[part].mean(axis=0))
        assert np.abs(found[i, j].astype(int) - expected).max() <= 1
        # rounding to 16 bits moves a code only where two are nearly as near
        light = LINEAR[found[i, j]] - LINEAR[part].mean(axis=0)
        np.testing.assert_array_less(
            np.abs(light), np.abs(LINEAR[expected] - LINEAR[part].mean(axis=0)) + 2e-5
        )


def test_one_colour_stays_as_it_is_and_a_chessboard_is_grey_188():
    every = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3)
    np.testing.assert_array_equal(antialias.average(every.repeat(3, 0).repeat(3, 1), 3), every)
    board = np.zeros((2, 2, 3), np.uint8)
    board[[0, 1], [0, 1]] = 255
    np.testing.assert_array_equal(antialias.average(board, 2), [[[188, 188, 188]]])


@pytest.mark.parametrize("height", [1, 2, 7, 8])
@pytest.mark.parametrize("step", [1, 3, 8])
def test_halving_by_strips_is_halving_at_once(height, step):
    given, halving = colours((height, 5)), antialias.Halving()
    parts = [halving.add(given[t : t + step]) for t in range(0, height, step)]
    rest = halving.end()
    found = np.concatenate(parts if rest is None else [*parts, rest])
    np.testing.assert_array_equal(found, antialias.average(given, 2))


def test_a_blend_covers_nothing_something_or_all():
    given = colours((1, 3))
    found = antialias.blend(given, np.array([[0, 128, 255]], np.uint8), (255, 255, 255))
    np.testing.assert_array_equal(found[0, 0], given[0, 0])
    np.testing.assert_array_equal(found[0, 2], [255, 255, 255])
    half = nearest((LINEAR[given[0, 1]] * 127 + 128) / 255)
    assert np.abs(found[0, 1].astype(int) - half).max() <= 1


@pytest.mark.parametrize("strip", [1, 60, 10**6])
def test_a_picture_of_sub_samples_has_their_mean_colours(make_field, tmp_path, monkeypatch, strip):
    monkeypatch.setattr(picture, "STRIP", strip)
    field, fine = make_field(random((5, 4))), make_field(random((15, 12), 1))
    save_image(field, tmp_path / "a.png", fine=fine, reference=field["measure"])
    found = np.asarray(Image.open(tmp_path / "a.png"))
    scale = picture.scale(field)  # balanced for the picture, not for its sub-samples
    expected = antialias.average(scale.colours(fine["measure"], fine.done), 3)
    np.testing.assert_array_equal(found, expected[::-1])
    assert '"aa": 3' in Image.open(tmp_path / "a.png").text["fractaljax-picture"]


def test_equal_sub_samples_change_nothing(make_field):
    values = random((6, 7))
    field, fine = make_field(values), make_field(values.repeat(2, 0).repeat(2, 1))
    whole = np.concatenate(list(paint(field).downwards()))
    np.testing.assert_array_equal(np.concatenate(list(paint(field, fine=fine).downwards())), whole)
    with pytest.raises(FractaljaxError, match="do not fit"):
        paint(field, fine=make_field(random((12, 15))))


def test_a_line_plot_has_no_sub_samples(make_field, tmp_path):
    field = make_field(random(9))
    with pytest.raises(FractaljaxError, match="one axis"):
        save_image(field, tmp_path / "a.png", fine=field)
    assert png_bytes(field)
