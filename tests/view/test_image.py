import dataclasses
import io
import json
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fractaljax import config
from fractaljax.errors import FractaljaxError
from fractaljax.spec import Part, Spec
from fractaljax.view import colours, picture, png
from fractaljax.view.image import png_bytes, read_parameters, save_image


def random(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_file_holds_the_expected_pixels_the_last_row_on_top(make_field, tmp_path):
    field = make_field([[-2.0, -1.0], [1.0, 2.0], [np.nan, 3.0]])
    save_image(field, tmp_path / "a.png")
    found = np.asarray(Image.open(tmp_path / "a.png"))
    spectral = colours.table("Spectral")
    expected = [
        [colours.MISSING, spectral[0]],
        [spectral[95], spectral[48]],
        [spectral[255], spectral[160]],
    ]
    np.testing.assert_array_equal(found, expected)
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("strip", [1, 50, 64, 1000, 10**6])
@pytest.mark.parametrize("shape", [(37, 23), (37, 23, 4), (1, 50), (50, 1), (1, 1)])
def test_strips_of_any_size_give_the_same_file(make_field, monkeypatch, strip, shape):
    values, done = random(shape), random(shape[:2], 1) < 1
    whole = png_bytes(make_field(values, done=done))
    monkeypatch.setattr(picture, "STRIP", strip)
    np.testing.assert_array_equal(pixels(png_bytes(make_field(values, done=done))), pixels(whole))


def test_a_reading_with_more_dimensions_shows_its_last_entry(make_field):
    values = random((5, 6, 3))
    one = png_bytes(make_field(values, reading="history"))
    two = png_bytes(make_field(values[..., -1], reading="history"))
    assert one == two


def test_large_fields_are_sampled_the_same_whatever_the_strips(make_field, monkeypatch):
    values = random((40, 30))
    monkeypatch.setattr(picture, "SAMPLE", 100)
    for strip in (1, 70, 10**6):
        monkeypatch.setattr(picture, "STRIP", strip)
        found = picture.sample(make_field(values), "measure")
        np.testing.assert_array_equal(found, values[::4, ::4].ravel())


def test_untrained_pixels_do_not_move_the_stretch(make_field):
    values, done = random((8, 8)), np.ones((8, 8), bool)
    done[3] = False
    other = np.where(done, values, 1e300)
    assert png_bytes(make_field(values, done=done)) == png_bytes(make_field(other, done=done))


def test_a_reference_is_shared_by_the_tiles_of_a_map(make_field):
    values = random((10, 12))
    whole = pixels(png_bytes(make_field(values)))
    for part in (slice(0, 5), slice(5, 12)):
        tile = pixels(png_bytes(make_field(values[:, part]), reference=values))
        np.testing.assert_array_equal(tile, whole[:, part])


def test_status_has_colours_of_its_own(make_field):
    field = make_field(np.arange(5, dtype=np.int32)[None], reading="status")
    np.testing.assert_array_equal(pixels(png_bytes(field))[0], list(colours.STATUS.values()))
    with pytest.raises(FractaljaxError, match="stretch"):
        png_bytes(field, stretch="no")


@pytest.mark.parametrize("stretch", ["rank", "linear", "log"])
@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (3, 1)])
@pytest.mark.filterwarnings("error")
def test_constant_fields_have_one_colour(make_field, stretch, value, shape):
    found = pixels(png_bytes(make_field(np.full(shape, value)), stretch=stretch))
    assert found.shape == (*shape, 3) and len(np.unique(found.reshape(-1, 3), axis=0)) == 1


def test_the_settings_come_back(make_field, tmp_path):
    spec = Spec(model=Part("mlp", depth=3), steps=77, dtype="float64")
    field = make_field(random((3, 4)), spec=spec, x=(13.29976231, 13.29978604))
    save_image(field, tmp_path / "a.png", cmap="viridis", stretch="log")
    text = read_parameters(tmp_path / "a.png")
    (found,) = config.experiments(config.parse(text, "a.png", "a"))
    assert (found.spec, found.window) == (field.spec, field.window)
    shown = json.loads(Image.open(tmp_path / "a.png").text["fractaljax-picture"])
    assert shown == {"reading": "measure", "cmap": "viridis", "stretch": "log"}
    save_image(field, tmp_path / "a.png", metadata=False)
    with pytest.raises(FractaljaxError, match="holds no settings"):
        read_parameters(tmp_path / "a.png")


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_settings_that_an_editor_compressed_are_read_but_no_bomb(tmp_path):
    path = tmp_path / "a.png"
    for size, fits in ((1000, True), (png.MAX_TEXT + 1, False)):
        body = b"fractaljax\0\1\0\0\0" + zlib.compress(b"x" * size)
        path.write_bytes(png.SIGNATURE + chunk(b"iTXt", body))
        if fits:
            assert read_parameters(path) == "x" * size
        else:
            with pytest.raises(FractaljaxError, match="longer than"):
                read_parameters(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a PNG"),
        (b"GIF89a" * 9, "not a PNG"),
        (png.SIGNATURE, "cut off"),
        (png.SIGNATURE + chunk(b"iTXt", b"fractaljax"), "damaged"),
        (png.SIGNATURE + chunk(b"iTXt", b"fractaljax\0\0\0\0\0abc")[:-1] + b"!", "checksum"),
        (png.SIGNATURE + chunk(b"iTXt", b"fractaljax\0\0\0\0\0\xff"), "damaged"),
        (png.SIGNATURE + chunk(b"IEND", b""), "holds no settings"),
    ],
)
def test_files_without_settings(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(FractaljaxError, match=rf"a\.png: .*{message}"):
        read_parameters(tmp_path / "a.png")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FractaljaxError, match="No such file"):
        read_parameters(tmp_path / "a.png")


def test_a_failure_leaves_the_old_file_and_nothing_else(make_field, tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(png, "_chunk", full)
    with pytest.raises(FractaljaxError, match=r"a\.png cannot be written: No space left"):
        save_image(make_field(random((3, 3))), path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.png"]


def test_paths_that_cannot_be_written(make_field, tmp_path):
    field = make_field(random((3, 3)))
    (tmp_path / "folder.png").mkdir()
    for name in ("nowhere/a.png", "folder.png", "a.jpg", "x" * 300 + ".png"):
        with pytest.raises(FractaljaxError):
            save_image(field, tmp_path / name)
    assert os.listdir(tmp_path) == ["folder.png"]


def test_unknown_names(make_field):
    field = make_field(random((3, 3)))
    with pytest.raises(FractaljaxError, match=r"reading 'mesure'.*'measure'"):
        png_bytes(field, reading="mesure")
    with pytest.raises(FractaljaxError, match="colour map"):
        png_bytes(field, cmap="no")


def test_a_notebook_shows_the_same_picture(make_field):
    field = make_field(random((3, 3)))
    assert field._repr_png_() == png_bytes(field)


def test_tiles_on_disk_are_read_once(make_field, monkeypatch, tmp_path):
    """Whole rows of tiles at a time, though a strip is a row."""
    monkeypatch.setattr(picture, "STRIP", 5)
    values, asked = random((10, 5)), []

    class Rows:
        shape = values.shape

        def __getitem__(self, rows):
            asked.append((rows.start, rows.stop))
            return values[rows]

    field = make_field(values)
    stored = dataclasses.replace(field, arrays={"measure": Rows()}, provenance={"tile": 4})
    save_image(stored, tmp_path / "a.png")
    assert asked == [(0, 4), (4, 8), (8, 10), (8, 10), (4, 8), (0, 4)]  # for the stretch; to paint
    save_image(field, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
