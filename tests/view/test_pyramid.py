import itertools
import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fractaljax import config
from fractaljax.errors import FractaljaxError
from fractaljax.view import picture, pyramid
from fractaljax.view.antialias import average
from fractaljax.view.image import save_image
from fractaljax.view.painting import paint
from fractaljax.view.pyramid import save_dzi, save_xyz

SHAPES = [(1, 1), (3, 600), (254, 254), (255, 509), (300, 200)]


def random(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def deep_zoom(path):
    """Every level of a Deep Zoom image, `[h, w, 3]`, put together from its tiles."""
    root = ET.parse(path).getroot()
    assert root.tag == "{http://schemas.microsoft.com/deepzoom/2008}Image"
    size, overlap = int(root.get("TileSize")), int(root.get("Overlap"))
    assert root.get("Format") == "png"
    width, height = (int(root[0].get(name)) for name in ("Width", "Height"))
    last = int(np.ceil(np.log2(max(width, height))))
    folder, levels = path.with_name(path.stem + "_files"), []
    for level in range(last + 1):
        w, h = (-(-n // 2 ** (last - level)) for n in (width, height))
        found = np.zeros((h, w, 3), np.uint8)
        tiles = list((folder / str(level)).iterdir())
        assert len(tiles) == -(-w // size) * -(-h // size)
        for tile in tiles:
            x, y = (int(n) for n in tile.stem.split("_"))
            left, top = max(x * size - overlap, 0), max(y * size - overlap, 0)
            pixels = np.asarray(Image.open(tile))
            assert pixels.shape[1] == min((x + 1) * size + overlap, w) - left
            assert pixels.shape[0] == min((y + 1) * size + overlap, h) - top
            found[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        levels.append(found)
    return levels


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("strip", [2**12, 2**20])
def test_deep_zoom_holds_the_picture_and_its_halves(
    make_field, tmp_path, monkeypatch, shape, strip
):
    monkeypatch.setattr(picture, "STRIP", strip)
    field = make_field(random(shape))
    save_dzi(paint(field, cmap="viridis"), tmp_path / "a.dzi")
    save_image(field, tmp_path / "a.png", cmap="viridis")
    levels = deep_zoom(tmp_path / "a.dzi")
    np.testing.assert_array_equal(levels[-1], np.asarray(Image.open(tmp_path / "a.png")))
    assert levels[0].shape == (1, 1, 3)
    for smaller, larger in itertools.pairwise(levels):
        np.testing.assert_array_equal(smaller, average(larger, 2))


@pytest.mark.parametrize("shape", SHAPES)
def test_tiles_by_z_x_and_y(make_field, tmp_path, shape):
    field, place = make_field(random(shape)), tmp_path / "tiles"
    save_xyz(paint(field), place)
    save_image(field, tmp_path / "a.png")
    about = json.loads((place / "tiles.json").read_text())
    expected = np.asarray(Image.open(tmp_path / "a.png"))
    assert (about["height"], about["width"]) == shape and about["tileSize"] == 256
    for z in range(about["maxzoom"], -1, -1):
        h, w = expected.shape[:2]
        assert sorted(p.name for p in (place / str(z)).iterdir()) == sorted(
            str(x) for x in range(-(-w // 256))
        )
        for x, y in np.ndindex(-(-w // 256), -(-h // 256)):
            tile = np.asarray(Image.open(place / str(z) / str(x) / f"{y}.png").convert("RGBA"))
            part = expected[y * 256 : (y + 1) * 256, x * 256 : (x + 1) * 256]
            assert tile.shape == (256, 256, 4)
            inside = tile[: part.shape[0], : part.shape[1]]
            np.testing.assert_array_equal(inside[..., :3], part)
            assert np.count_nonzero(tile[..., 3]) == part.shape[0] * part.shape[1]
        expected = average(expected, 2)
    assert max(h, w) <= 256  # z = 0 is one tile


@pytest.mark.parametrize("save", [save_dzi, save_xyz])
def test_the_settings_lie_beside_the_tiles(make_field, tmp_path, save):
    field = make_field(random((3, 4)))
    save(paint(field), tmp_path / "a.dzi")
    (note,) = tmp_path.rglob("parameters.yaml")
    (found,) = config.experiments(config.read(note))
    assert (found.spec, found.window) == (field.spec, field.window)


def listing(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(("save", "name"), [(save_dzi, "a.dzi"), (save_xyz, "a")])
def test_only_a_pyramid_of_ours_is_replaced(make_field, tmp_path, save, name):
    first, second = paint(make_field(random((300, 9)))), paint(make_field(random((4, 5))))
    for folder in ("new", "old"):
        (tmp_path / folder).mkdir()
    save(second, tmp_path / "new" / name)
    fresh = listing(tmp_path / "new")
    save(first, tmp_path / "old" / name)
    save(second, tmp_path / "old" / name)
    assert listing(tmp_path / "old") == fresh  # nothing of the first is left
    theirs = tmp_path / "theirs" / ("a_files" if save is save_dzi else "a")
    theirs.mkdir(parents=True)
    (theirs / "photo.png").write_bytes(b"mine")
    with pytest.raises(FractaljaxError, match="something else"):
        save(first, tmp_path / "theirs" / name)
    assert listing(theirs) == {"photo.png": b"mine"}


def test_a_link_to_a_folder_stays_a_link(make_field, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "disk")
    for _ in range(2):
        save_xyz(paint(make_field(random((4, 5)))), tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == ["a", "disk"] and (tmp_path / "a").is_symlink()
    assert (tmp_path / "disk" / "tiles.json").is_file()


def test_a_dzi_file_of_others_stays(make_field, tmp_path):
    (tmp_path / "a.dzi").write_text("<Image/>")
    with pytest.raises(FractaljaxError, match="not replaced"):
        save_dzi(paint(make_field(random((3, 4)))), tmp_path / "a.dzi")
    with pytest.raises(FractaljaxError, match=r"ends in \.dzi"):
        save_dzi(paint(make_field(random((3, 4)))), tmp_path / "a.png")
    assert (tmp_path / "a.dzi").read_text() == "<Image/>" and os.listdir(tmp_path) == ["a.dzi"]


@pytest.mark.parametrize(("save", "name"), [(save_dzi, "a.dzi"), (save_xyz, "a")])
def test_a_failure_leaves_nothing(make_field, tmp_path, monkeypatch, save, name):
    def full(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pyramid.png, "write", full)
    with pytest.raises(FractaljaxError, match="No space left"):
        save(paint(make_field(random((3, 4)))), tmp_path / name)
    assert os.listdir(tmp_path) == []
    with pytest.raises(FractaljaxError, match="No such file"):
        save(paint(make_field(random((3, 4)))), tmp_path / "no" / name)


def test_antialiasing_and_contour_reach_the_tiles(make_field, tmp_path):
    from fractaljax.view.contour import Line

    field, fine = make_field(random((20, 30))), make_field(random((40, 60), 1))
    look = {"fine": fine, "contour": Line("black", 1.0)}
    save_dzi(paint(field, **look), tmp_path / "a.dzi")
    save_image(field, tmp_path / "a.png", **look)
    found = deep_zoom(Path(tmp_path / "a.dzi"))[-1]
    np.testing.assert_array_equal(found, np.asarray(Image.open(tmp_path / "a.png")))
