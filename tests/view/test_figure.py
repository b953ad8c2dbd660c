import os

import numpy as np
import pytest
from PIL import Image

from fractaljax.errors import FractaljaxError
from fractaljax.spec import Part, Spec
from fractaljax.view import caption, colourbar, figure, picture
from fractaljax.view.antialias import average
from fractaljax.view.figure import save_figure
from fractaljax.view.image import read_parameters, save_image
from fractaljax.view.painting import paint
from fractaljax.view.ticks import number, ticks
from fractaljax.window import Axis


def values(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) * 10 ** rng.uniform(-3, 6, shape)


@pytest.mark.parametrize("name", ["a.png", "a.pdf", "a.svg"])
def test_a_figure_is_written_with_its_settings(make_field, tmp_path, name):
    save_figure(make_field(values((6, 9))), tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    if name == "a.png":
        assert "random_regression" in read_parameters(tmp_path / name)
        Image.open(tmp_path / name).verify()
    with pytest.raises(FractaljaxError, match="kind of figure"):
        save_figure(make_field(values((6, 9))), tmp_path / "a.bmp")


@pytest.mark.parametrize("reading", ["measure", "status", "final_loss", "history"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (7,), (1,)])
@pytest.mark.filterwarnings("error")
def test_every_reading_and_shape_can_be_drawn(make_field, reading, shape):
    data = values(shape)
    if reading == "status":
        data = np.arange(data.size).reshape(shape) % 5
    if reading == "final_loss":
        data = np.where(data > 1e3, np.inf, np.abs(data))
    drawn = figure.draw(make_field(data, reading=reading))
    drawn.canvas.draw()


@pytest.mark.parametrize("value", [np.nan, np.inf, -2.0, 0.0])
@pytest.mark.parametrize("shape", [(3, 4), (5,)])
@pytest.mark.filterwarnings("error")
def test_fields_with_nothing_to_see_can_be_drawn(make_field, value, shape):
    figure.draw(make_field(np.full(shape, value))).canvas.draw()
    figure.draw(make_field(values(shape), done=np.zeros(shape, bool))).canvas.draw()


def test_an_image_of_one_axis_is_a_line_plot(make_field, tmp_path):
    field = make_field(values(30))
    save_image(field, tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").width > 1000
    assert read_parameters(tmp_path / "a.png")
    assert field._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("strip", [1, 30, 10**6])
def test_a_thumbnail_averages_colours(make_field, monkeypatch, strip):
    monkeypatch.setattr(picture, "STRIP", strip)
    field = make_field(values((7, 10)))
    scale = picture.scale(field)
    colours = scale.colours(field["measure"], field.done)
    found = paint(field).shrunk(4)
    assert found.shape == (3, 4, 3)
    np.testing.assert_array_equal(found, average(colours, 3))


def test_ticks_of_an_overview_are_decades():
    found = ticks(Axis("a", 1e-3, 1e6))
    assert found.labels[::3] == ["10⁻³", "10⁰", "10³", "10⁶"]
    np.testing.assert_allclose(found.at, np.arange(10) / 9, atol=1e-12)
    assert found.note == ""


@pytest.mark.parametrize(
    ("low", "high", "labels", "note"),
    [
        (13.29976231, 13.29978604, ["6.5", "7.0", "7.5", "8.0", "8.5"], "13.2997 + … x 10⁻⁵"),
        (
            1.960618282403e-1,
            1.960618285243e-1,
            ["2.5", "3.0", "3.5", "4.0", "4.5", "5.0"],
            "0.196061828 + … x 10⁻¹⁰",
        ),
        (0.5, 3, ["0.5", "1.0", "1.5", "2.0", "2.5", "3.0"], ""),
        (0.0123, 0.04, ["0.015", "0.020", "0.025", "0.030", "0.035", "0.040"], ""),
        (2.5e-9, 8e-9, ["3", "4", "5", "6", "7", "8"], "x 10⁻⁹"),
    ],
)
@pytest.mark.parametrize("scale", ["log", "linear"])
def test_ticks_of_a_narrow_window_tell_its_ends_apart(low, high, labels, note, scale):
    found = ticks(Axis("a", low, high, scale=scale))
    assert found.labels == labels
    assert found.note == note.replace("x", "\N{MULTIPLICATION SIGN}")
    assert np.all(np.diff(found.at) > 0) and found.at[0] >= 0 and found.at[-1] <= 1 + 1e-12


def test_ticks_are_exact_where_float64_ends():
    high = np.nextafter(np.nextafter(13.0, 14), 14)
    found = ticks(Axis("a", 13.0, float(high), scale="linear"))
    assert len(set(found.labels)) == len(found.labels) >= 3
    assert found.at[0] == 0


@pytest.mark.parametrize(("low", "high"), [(-3, 7), (-1e-9, 2e-9), (0, 0.99), (-1e300, 1e300)])
def test_ticks_of_linear_axes_that_reach_below_zero(low, high):
    found = ticks(Axis("a", low, high, scale="linear"))
    assert 3 <= len(set(found.labels)) == len(found.labels) <= 8


def test_numbers_for_people():
    texts = [number(v) for v in (0, 1, -0.01234, 2559.4, 93090322, -np.inf, 1.0)]
    assert texts == [
        "0",
        "1",
        "\N{MINUS SIGN}0.0123",
        "2559",
        "9.31\N{MULTIPLICATION SIGN}10⁷",
        "\N{MINUS SIGN}∞",
        "1",
    ]


def test_bar_labels_are_quantiles_and_differ(make_field):
    field = make_field(np.concatenate([-np.arange(1.0, 98), 1 + np.arange(97) / 1e5])[None])
    found = colourbar.blocks(picture.scale(field), "measure", field["measure"].ravel())
    assert [b.name for b in found] == ["converged", "diverged"]
    assert [t for _, t in found[0].marks] == [f"\N{MINUS SIGN}{v}" for v in (97, 72, 48, 24, 1)]
    assert len({t for _, t in found[1].marks}) == 5


def test_the_words_around_a_figure(make_field):
    spec = Spec(
        model=Part("mlp", depth=3, bias=True), optimizer=Part("adam", lr_in=0.5), dtype="float64"
    )
    field = make_field([[-1.0, -2.0, 3.0, np.nan]], spec=spec, done=np.array([[1, 1, 1, 0]], bool))
    assert caption.title(spec) == ["mlp", "random_regression", "adam", "500 steps", "float64"]
    assert caption.subtitle(field) == ["bias true", "depth 3"]
    found = caption.statistics(field, "measure", picture.sample(field, "measure"))
    assert found[1:3] == ["75 % trained", "66.7 % converged"] and "seed 0" in found
