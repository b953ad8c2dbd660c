import itertools
import re

import numpy as np
import pytest
from PIL import Image

from fractaljax import config
from fractaljax.errors import FractaljaxError
from fractaljax.view import contour, figure, picture
from fractaljax.view.contour import Line, coverage, save_outline
from fractaljax.view.image import save_image
from fractaljax.view.painting import paint


def random(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def whole(field, width=1.0):
    return coverage(field, 0, field.window.grid[0], width)


def test_a_straight_boundary_lies_half_in_the_pixels_of_either_side(make_field):
    field = make_field(np.repeat([[-1.0, -1, 1, 1]], 3, 0))
    np.testing.assert_array_equal(whole(field), np.repeat([[0, 128, 128, 0]], 3, 0))
    np.testing.assert_array_equal(whole(field, 2.0), np.repeat([[0, 255, 255, 0]], 3, 0))
    np.testing.assert_array_equal(whole(field, 3.0), np.repeat([[128, 255, 255, 128]], 3, 0))
    np.testing.assert_array_equal(whole(field, 0.5)[:, 1], [64] * 3)


@pytest.mark.parametrize("width", [0.25, 1.0, 2.5])
@pytest.mark.parametrize("seed", range(4))
def test_a_pixel_is_covered_just_where_a_block_near_it_holds_both_outcomes(make_field, width, seed):
    values = random((9, 11), seed) + np.linspace(-2, 2, 11)
    found = whole(make_field(values), width)
    mixed = np.zeros((9, 11), bool)  # pixels of a block that holds both
    for i, j in np.ndindex(8, 10):
        block = values[i : i + 2, j : j + 2] < 0
        if block.any() and not block.all():
            mixed[i : i + 2, j : j + 2] = True
    if width <= 1:  # reaches no further than the corners that it separates
        assert not found[~mixed].any()
    differing = np.zeros((9, 11), bool)  # pixels beside one of the other outcome
    for first, second in (
        ((slice(8), ...), (slice(1, 9), ...)),
        ((..., slice(10)), (..., slice(1, 11))),
    ):
        apart = (values[first] < 0) != (values[second] < 0)
        differing[first] |= apart
        differing[second] |= apart
    assert found[differing].min() >= round(255 * min(width / 2, 1)) - 1


@pytest.mark.parametrize("width", [1.0, 3.5])
@pytest.mark.parametrize("strip", [1, 3, 7])
def test_strips_cover_the_same(make_field, width, strip):
    field = make_field(random((13, 8)))
    parts = [coverage(field, t, min(t + strip, 13), width) for t in range(0, 13, strip)]
    np.testing.assert_array_equal(np.concatenate(parts), whole(field, width))


def test_coverage_is_the_area_of_the_line(make_field):
    """Of a diagonal of 40 pixels, sqrt(2) each; to the accuracy of one sample a pixel."""
    y, x = np.mgrid[:41, :41]
    found = whole(make_field(np.where(x > y, 1.0, -1.0)), 1.0)[5:-5].sum() / 255
    assert found == pytest.approx(31 * np.sqrt(2), rel=0.1)


def test_no_line_passes_what_is_not_trained(make_field):
    values = np.repeat([[-1.0, -1, 1, 1]], 4, 0)
    values[0, 1] = np.nan
    done = np.ones(values.shape, bool)
    done[3, 2] = False
    found = whole(make_field(values, done=done))
    assert not found[0].any() and not found[3].any() and found[1, 1] and found[2, 2]
    codes = np.repeat([[0, 0, 3, 3]], 4, 0).astype(np.int32)
    np.testing.assert_array_equal(whole(make_field(codes, reading="status"))[1], [0, 128, 128, 0])


def test_a_picture_shows_the_line_in_its_colour(make_field, tmp_path):
    field = make_field(np.repeat([[-1.0, -2, 1, 2]], 3, 0))
    save_image(field, tmp_path / "a.png", contour=Line("lime", 2.0))
    save_image(field, tmp_path / "b.png")
    found, plain = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in "ab")
    assert np.all(found[:, 1:3] == [0, 255, 0])
    np.testing.assert_array_equal(found[:, [0, 3]], plain[:, [0, 3]])
    assert (
        '"contour": {"colour": "lime", "width": 2.0}'
        in Image.open(tmp_path / "a.png").text["fractaljax-picture"]
    )


def test_a_contour_alone_on_white(make_field):
    field = make_field(np.repeat([[-1.0, -2, 1, 2]], 3, 0))
    found = np.concatenate(list(paint(field, cmap="white", contour=Line("black", 2)).downwards()))
    np.testing.assert_array_equal(found[0, :, 0], [255, 0, 0, 255])


def test_a_line_keeps_its_width_where_a_picture_is_made_smaller(make_field):
    values = np.where(np.arange(64) < 30, -1.0, 1.0)[None].repeat(64, 0)
    field = make_field(values)
    found = paint(field, cmap="white", contour=Line()).shrunk(16)
    black = paint(field, cmap="white", contour=Line("white")).shrunk(16) - found.astype(int)
    assert np.count_nonzero(black[8, :, 0]) == 1 and found[8, 7, 0] == 0


@pytest.mark.parametrize("strip", [10, 10**6])
def test_sub_samples_draw_the_boundary_they_see(make_field, monkeypatch, strip):
    monkeypatch.setattr(picture, "STRIP", strip)
    field = make_field(np.ones((4, 4)))
    fine = np.ones((12, 12))
    fine[:, :5] = -1.0  # the boundary lies inside the second pixel
    painting = paint(field, fine=make_field(fine), cmap="white", contour=Line())
    found = np.concatenate(list(painting.downwards()))
    np.testing.assert_array_equal(found[:, :, 0], [[255, 0, 255, 255]] * 4)


def test_a_figure_of_few_pixels_draws_lines_finer_than_them(make_field):
    from matplotlib.collections import LineCollection

    field = make_field(np.repeat([[-1.0, -1, 1, 1]], 3, 0))
    drawn = figure.draw(field, contour=Line("red"))
    (lines,) = [c for c in drawn.axes[0].collections if isinstance(c, LineCollection)]
    (points,) = lines.get_segments()
    np.testing.assert_allclose(points, [[1.5, 0], [1.5, 2]])
    fine = make_field(np.repeat([[-1.0] * 5 + [1] * 3], 6, 0))
    drawn = figure.draw(field, fine=fine, contour=Line("red"))
    (points,) = drawn.axes[0].collections[0].get_segments()
    np.testing.assert_allclose(points[:, 0], 2.0)  # between sub-samples 4 and 5 of 0 to 7


def segments(path):
    """The unit segments of all paths of a file, as sorted pairs of corners in half pixels."""
    found = []
    for start, moves in re.findall(r'd="M(\d+ \d+)l([^"]*)"', path.read_text()):
        numbers = [int(v) for v in re.findall(r"-?\d+", moves)]
        at = np.array(start.split(), int)
        places = [at, *(at + np.cumsum(np.reshape(numbers, (-1, 2)), axis=0))]
        if moves.endswith("z"):
            places.append(places[0])
        for a, b in itertools.pairwise(places):
            count = np.abs(b - a).max()
            count //= 2 if 0 in (b - a) else 1
            steps = [a + (b - a) * i // count for i in range(count + 1)]
            found += [tuple(sorted((tuple(p), tuple(q)))) for p, q in itertools.pairwise(steps)]
    return sorted(found)


@pytest.mark.parametrize("cells", [20, 10**6])
def test_the_outline_is_the_boundary_between_the_pixels(make_field, tmp_path, monkeypatch, cells):
    values = random((9, 7)) + np.linspace(-2, 2, 7)
    field = make_field(values)
    monkeypatch.setattr(contour, "CELLS", cells)
    save_outline(field, tmp_path / "a.svg", Line("red", 0.5))
    ends = {p for pair in segments(tmp_path / "a.svg") for p in pair}
    expected = set()  # the middle of every two neighbours that differ, in half pixels from the top
    for i, j in np.ndindex(9, 7):
        x, y = 2 * j + 1, 2 * (8 - i) + 1
        if j < 6 and (values[i, j] < 0) != (values[i, j + 1] < 0):
            expected.add((x + 1, y))
        if i < 8 and (values[i, j] < 0) != (values[i + 1, j] < 0):
            expected.add((x, y - 1))
    assert ends == expected
    text = (tmp_path / "a.svg").read_text()
    settings = re.search("<desc>(.*)</desc>", text, re.DOTALL)[1]
    (found,) = config.experiments(config.parse(settings, "a.svg", "a"))
    assert found.spec == field.spec and found.window == field.window
    assert 'stroke="#ff0000"' in text and 'stroke-width="1"' in text


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_a_field_without_blocks_has_an_empty_outline(make_field, tmp_path, shape):
    save_outline(make_field(random(shape)), tmp_path / "a.svg")
    assert "<path" not in (tmp_path / "a.svg").read_text()
    assert not whole(make_field(random(shape))).any()


def test_what_cannot_be_drawn(make_field):
    field = make_field(random((4, 4)))
    for words, said in (("blak", "no colour"), ("red:9", "allowed are"), ("red:x", "COLOUR:WIDTH")):
        with pytest.raises(FractaljaxError, match=said):
            contour.line(words)
    assert contour.line("red") == Line("red") and contour.line("#123456:2") == Line("#123456", 2.0)
    with pytest.raises(FractaljaxError, match="measure or status"):
        paint(make_field(random((4, 4)), reading="history"), contour=Line())
    with pytest.raises(FractaljaxError, match="allowed are"):
        paint(field, contour=Line("red", 0.0))
    with pytest.raises(FractaljaxError, match="one axis"):
        save_outline(make_field(random(4)), "never.svg")
