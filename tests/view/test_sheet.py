import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fractaljax.errors import FractaljaxError
from fractaljax.levels import Zoom
from fractaljax.view import sheet
from fractaljax.view.contour import Line
from fractaljax.view.image import read_parameters
from fractaljax.view.sheet import magnification, save_sheet


def random(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.fixture
def make_zoom(make_field):
    def make(levels, shape=(8, 8), factor=2.0):
        fields = tuple(make_field(random(shape, i)) for i in range(levels))
        return Zoom(fields, factor, Path("z"), {})

    return make


def grid(drawn):
    """Lower left corners and sizes of all pictures, inches."""
    width, height = drawn.get_size_inches()
    return [a.get_position().bounds * np.array([width, height] * 2) for a in drawn.axes]


@pytest.mark.parametrize(
    ("levels", "shape"), [(1, (8, 8)), (7, (5, 12)), (12, (12, 5)), (49, (4, 4))]
)
def test_every_level_has_its_place(make_zoom, levels, shape):
    drawn = sheet.draw(make_zoom(levels, shape))
    boxes = grid(drawn)
    assert len(boxes) == levels
    for i, (x, y, w, h) in enumerate(boxes):
        assert w / h == pytest.approx(shape[1] / shape[0])
        for u, v, p, q in boxes[:i]:  # none covers another
            assert x >= u + p or u >= x + w or y >= v + q or v >= y + h
    assert len({round(y, 3) for _, y, *_ in boxes}) <= levels
    words = [t.get_text() for t in drawn.texts]
    assert {str(i) for i in range(levels)} <= set(words)
    assert [t for t in words if t == magnification(2.0, levels - 1)]


def test_a_level_shows_its_picture_and_the_place_of_the_next(make_zoom, make_field):
    from fractaljax.view import picture

    zoom = make_zoom(3, (8, 8), factor=4.0)
    first, _, last = sheet.draw(zoom, cmap="viridis").axes
    field = zoom.levels[0]
    colours = picture.scale(field, cmap="viridis").colours(field["measure"], field.done)
    np.testing.assert_array_equal(first.images[0].get_array(), colours)
    box = first.patches[0].get_bbox()
    # the centre sample is pixel 4 of 8: the next window reaches 4.5 of its pixels to the left
    np.testing.assert_allclose(
        box.extents, [(4.5 - 4.5 / 4) / 8, (4.5 - 4.5 / 4) / 8] + [(4.5 + 3.5 / 4) / 8] * 2
    )
    assert not last.patches


def test_the_settings_of_the_widest_level_are_inside(make_zoom, tmp_path):
    save_sheet(make_zoom(5), tmp_path / "a.png", cmap="viridis", contour=Line())
    assert "optimizer.lr_in" in read_parameters(tmp_path / "a.png")
    shown = json.loads(Image.open(tmp_path / "a.png").text["fractaljax-picture"])
    assert (shown["levels"], shown["factor"], shown["cmap"]) == (5, 2.0, "viridis")


@pytest.mark.parametrize(
    ("factor", "level", "text"),
    [
        (2.0, 0, "1x"),
        (2.0, 9, "512x"),
        (2.0, 10, "2¹⁰x"),
        (2.0, 48, "2⁴⁸x"),
        (3.0, 2, "9x"),
        (10.0, 12, "10¹²x"),
        (1.5, 1, "1.5x"),
    ],
)
def test_magnifications(factor, level, text):
    assert magnification(factor, level) == text.replace("x", "\N{MULTIPLICATION SIGN}")


def test_what_cannot_be_drawn(make_zoom, make_field, tmp_path):
    with pytest.raises(FractaljaxError, match=r"jpg.*png"):
        save_sheet(make_zoom(2), tmp_path / "a.jpg")
    with pytest.raises(FractaljaxError, match="colour map"):
        save_sheet(make_zoom(2), tmp_path / "a.png", cmap="no")
    with pytest.raises(FractaljaxError, match="one axis"):
        save_sheet(Zoom((make_field(random(4)),), 2.0, Path("z"), {}), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
