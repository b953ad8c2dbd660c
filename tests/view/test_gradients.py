import colorsys

import numpy as np
import pytest

from fractaljax.errors import FractaljaxError
from fractaljax.view import colours, gradients
from fractaljax.view.image import save_image

GGR = "GIMP Gradient\nName: test\n{n}\n{rows}\n"
BLACK, WHITE, RED, GREEN = "0 0 0 1", "1 1 1 1", "1 0 0 1", "0 1 0 1"


def ggr(*rows):
    return GGR.format(n=len(rows), rows="\n".join(rows))


@pytest.fixture
def table(tmp_path):
    """A function that writes a file and reads it as a colour map."""

    def read(name, text):
        (tmp_path / name).write_text(text)
        return colours.table(str(tmp_path / name)).astype(int)

    return read


def test_a_straight_gimp_gradient_is_a_ramp(table):
    found = table("a.ggr", ggr(f"0 0.5 1 {BLACK} {WHITE} 0 0"))
    np.testing.assert_array_equal(found, np.arange(256)[:, None].repeat(3, 1))


def test_segments_and_a_middle_that_is_not_in_the_middle(table):
    rows = f"0 0.125 0.5 {BLACK} {WHITE} 0 0", f"0.5 0.75 1 {RED} {GREEN} 0 0"
    found = table("a.ggr", ggr(*rows))
    t = np.arange(128) / 255
    grey = np.interp(t, [0, 0.125, 0.5], [0, 127.5, 255])
    assert np.abs(found[:128] - grey[:, None]).max() <= 0.5
    assert found[128, 0] > 250 and tuple(found[255]) == (0, 255, 0)


@pytest.mark.parametrize(
    ("blending", "curve"),
    [
        (1, lambda t: t),  # x^(log 0.5 / log middle), straight for a middle of 0.5
        (2, lambda t: (np.sin(np.pi * (t - 0.5)) + 1) / 2),
        (3, lambda t: np.sqrt(1 - (t - 1) ** 2)),
        (4, lambda t: 1 - np.sqrt(1 - t**2)),
        (5, lambda t: t >= 0.5),
    ],
)
def test_the_curves_of_gimp(table, blending, curve):
    found = table("a.ggr", ggr(f"0 0.5 1 {BLACK} {WHITE} {blending} 0"))
    assert np.abs(found[:, 0] - 255 * curve(np.linspace(0, 1, 256))).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(("colouring", "middle"), [(1, (255, 255, 0)), (2, (0, 0, 255))])
def test_ways_round_the_colour_circle(table, colouring, middle):
    found = table("a.ggr", ggr(f"0 0.5 1 {RED} {GREEN} 0 {colouring}"))
    assert np.abs(found[[127, 128]] - middle).max() <= 4
    np.testing.assert_array_equal(found[[0, 255]], [[255, 0, 0], [0, 255, 0]])


def test_foreground_and_background_of_gimp(table):
    found = table("a.ggr", ggr(f"0 0.5 1 {RED} {GREEN} 0 0 1 3"))
    np.testing.assert_array_equal(found[[0, 255]], [[0, 0, 0], [255, 255, 255]])


def test_a_fractint_map_of_256_colours_is_taken_as_it_is(table):
    rows = np.random.default_rng(0).integers(0, 256, (256, 3))
    text = "".join(f"{r:3} {g:3} {b:3} a remark\n" for r, g, b in rows)
    np.testing.assert_array_equal(table("a.map", text), rows)


def test_a_palette_is_spread_evenly(table):
    text = "GIMP Palette\nName: x\nColumns: 2\n# remark\n0 0 0 black\n255 255 255\twhite\n"
    np.testing.assert_array_equal(table("a.gpl", text)[:, 0], np.arange(256))


def test_tables_of_gmt(table):
    numbers = "# COLOR_MODEL = RGB\n-3 0 0 0 1 255 0 0\n1 255 0 0 5 255 255 255\nB 0 0 0\nN 9 9 9\n"
    names = "-3 black 1 255/0/0 L\n1 #ff0000 5 white ;end\nF 255\n"
    found = table("a.cpt", numbers)
    np.testing.assert_array_equal(table("b.cpt", names), found)
    np.testing.assert_array_equal(found[[0, 255]], [[0, 0, 0], [255, 255, 255]])
    assert np.abs(found[[127, 128]] - [255, 0, 0]).max() <= 2
    hues = table("c.cpt", "# COLOR_MODEL = HSV\n0 0 1 1 1 240 1 1\n")
    expected = [colorsys.hsv_to_rgb(h, 1, 1) for h in np.linspace(0, 240 / 360, 256)]
    assert np.abs(hues - 255 * np.array(expected)).max() <= 0.5 + 1e-9
    np.testing.assert_array_equal(hues, table("d.cpt", "#COLOR_MODEL=hsv\n0 0-1-1 1 240-1-1\n"))
    steps = table("e.cpt", "0 red 1 red\n1 navy 2 navy\n")
    assert {tuple(c) for c in steps} == {(255, 0, 0), (0, 0, 128)}


@pytest.mark.parametrize("text", ["#000000\n#fff\n", "000000, ffffff", "black white // remark"])
def test_plain_lists(table, text):
    np.testing.assert_array_equal(table("a.txt", text)[:, 1], np.arange(256))


def test_lists_without_a_file():
    np.testing.assert_array_equal(colours.table("black,#ffffff")[:, 2], np.arange(256))
    np.testing.assert_array_equal(colours.table("white,black_r")[0], [0, 0, 0])
    assert np.all(colours.table("navy") == [0, 0, 128])
    ours = colours.table("Spectral")
    np.testing.assert_array_equal(gradients.from_list(gradients.listed(ours), 256), ours)


def test_a_file_is_turned_round_by_its_end(tmp_path):
    (tmp_path / "a.txt").write_text("navy gold")
    name = str(tmp_path / "a.txt")
    np.testing.assert_array_equal(colours.table(name + "_r"), colours.table(name)[::-1])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.ggr", "GIMP Palette\n", "begins with the line 'GIMP Gradient'"),
        ("a.ggr", ggr("0 0.5 1 0 0 0"), "line 4: expected"),
        ("a.ggr", ggr(f"0 0.9 0.5 {BLACK} {WHITE} 0 0"), "line 4: expected"),
        ("a.map", "1 2\n", "line 1: expected red"),
        ("a.map", "0 0 256\n", "line 1: expected red"),
        ("a.map", "0 0 nan\n", "line 1: expected red"),
        ("a.map", "\n", "holds no colour"),
        ("a.gpl", "1 2 3\n", "GIMP Palette"),
        ("a.cpt", "0 black\n1 white\n", "line 1: expected value, colour"),
        ("a.cpt", "0 black 1 blakc\n", "line 1: 'blakc' is no colour"),
        ("a.cpt", "1 black 0 white\n", "do not ascend"),
        ("a.txt", "red\n#12345\n", "line 2: '#12345' is no colour"),
        ("a.txt", "x" * (gradients.MAX_BYTES + 1), "larger than"),
    ],
)
def test_files_that_cannot_be_read_are_one_line(table, name, text, said):
    with pytest.raises(FractaljaxError, match=rf"gradient .*{name}.*{said}") as caught:
        table(name, text)
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["no.ggr", "folder.ggr"])
def test_files_that_are_not_there(tmp_path, name):
    (tmp_path / "folder.ggr").mkdir()
    with pytest.raises(FractaljaxError, match="no such file"):
        colours.table(str(tmp_path / name))


def test_a_picture_remembers_the_colours_and_not_the_place_of_a_file(make_field, tmp_path):
    import json

    from PIL import Image

    (tmp_path / "a.txt").write_text("navy gold")
    field = make_field(np.random.default_rng(0).standard_normal((3, 4)))
    save_image(field, tmp_path / "a.png", cmap=str(tmp_path / "a.txt"))
    text = Image.open(tmp_path / "a.png").text["fractaljax-picture"]
    assert json.loads(text)["gradient"] == "a.txt" and str(tmp_path) not in text
    save_image(field, tmp_path / "b.png", cmap=json.loads(text)["cmap"])
    first, second = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in "ab")
    np.testing.assert_array_equal(first, second)
