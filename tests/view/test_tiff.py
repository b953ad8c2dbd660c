import json
import os
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from fractaljax import config
from fractaljax.errors import FractaljaxError
from fractaljax.view import picture
from fractaljax.view.antialias import average
from fractaljax.view.image import save_image
from fractaljax.view.painting import paint
from fractaljax.view.tiff import read_parameters, save_tiff


def random(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("shape", [(1, 1), (3, 600), (256, 256), (513, 1030)])
@pytest.mark.parametrize("strip", [2**12, 2**20])
def test_the_picture_and_its_halves_come_back(make_field, tmp_path, monkeypatch, shape, strip):
    monkeypatch.setattr(picture, "STRIP", strip)
    field = make_field(random(shape))
    save_tiff(paint(field), tmp_path / "a.tif")
    save_image(field, tmp_path / "a.png")
    assert sorted(os.listdir(tmp_path)) == ["a.png", "a.tif"]
    expected = np.asarray(Image.open(tmp_path / "a.png"))
    with tifffile.TiffFile(tmp_path / "a.tif") as found:
        assert found.is_bigtiff and len(found.pages) == 1 and found.pages[0].is_tiled
        levels = found.series[0].levels
        assert len(levels) == max(0, int(np.ceil(np.log2(max(shape) / 256)))) + 1
        for level in levels:
            np.testing.assert_array_equal(level.asarray().reshape(expected.shape), expected)
            expected = average(expected, 2)


def test_another_reader_sees_the_same(make_field, tmp_path):
    field = make_field(random((300, 400)))
    save_tiff(paint(field), tmp_path / "a.TIFF")
    save_image(field, tmp_path / "a.png")
    found, expected = Image.open(tmp_path / "a.TIFF"), Image.open(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_the_settings_come_back(make_field, tmp_path):
    field = make_field(random((3, 4)))
    save_tiff(paint(field, cmap="viridis"), tmp_path / "a.tif")
    (found,) = config.experiments(config.parse(read_parameters(tmp_path / "a.tif"), "a.tif", "a"))
    assert (found.spec, found.window) == (field.spec, field.window)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        told = json.loads(file.pages[0].description)
    assert json.loads(told["fractaljax-picture"])["cmap"] == "viridis"


def test_files_without_settings(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 4), np.uint8))
    (tmp_path / "b.tif").write_bytes(b"GIF89a" * 9)
    for name, said in (("a", "no settings"), ("b", "not a TIFF"), ("c", "No such file")):
        with pytest.raises(FractaljaxError, match=said):
            read_parameters(tmp_path / f"{name}.tif")


def test_what_cannot_be_written(make_field, tmp_path, monkeypatch):
    painting = paint(make_field(random((3, 4))))
    for name in ("no/a.tif", "a.png"):
        with pytest.raises(FractaljaxError, match=r"cannot be written|\.tif"):
            save_tiff(painting, tmp_path / name)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(FractaljaxError, match=r"fractaljax\[bigimage\]"):
        save_tiff(painting, tmp_path / "a.tif")
    assert os.listdir(tmp_path) == []
