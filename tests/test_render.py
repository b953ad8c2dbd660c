"""The verb `render`: what --out, --aa, --contour and --level make, and what they refuse."""

import argparse
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fractaljax as fj
from fractaljax import config
from fractaljax.cli import render as verb
from fractaljax.cli import source
from fractaljax.errors import FractaljaxError
from fractaljax.families import fractal, zoom

TINY = """
model: {width: 4}
problem: {inputs: 4, points: 8}
steps: 20
dtype: float64
window: {resolution: 8}
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def experiment():
    return config.experiments(config.parse(TINY, "tiny", "tiny"))[0]


@pytest.fixture(scope="module")
def result(experiment, tmp_path_factory):
    place = tmp_path_factory.mktemp("render") / "result"
    fractal.scan(experiment.spec, experiment.window, store=place, chunk=4)
    return str(place)


@pytest.fixture(scope="module")
def zoomed(experiment, tmp_path_factory):
    place = tmp_path_factory.mktemp("render") / "zoom"
    center = [Decimal(1), Decimal(1)]
    plan = zoom.plan(experiment.spec, experiment.window, center=center, levels=3, factor=2.0)
    zoom.run(plan, place, chunk=4)
    return str(place)


def run(*words):
    parser = argparse.ArgumentParser()
    verb.add_render(parser)
    parser.add_argument("--plugin", action="append", default=[])
    return verb.render(parser.parse_args([str(w) for w in words]))


def shown(path):
    return json.loads(Image.open(path).text["fractaljax-picture"])


def test_the_suffix_decides_the_form(result, capsys):
    for name in ("a.png", "a.tif", "a.dzi", "a.svg", "tiles"):
        run(result, "--out", name)
    assert capsys.readouterr().out.split() == ["a.png", "a.tif", "a.dzi", "a.svg", "tiles"]
    expected = np.asarray(Image.open("a.png"))
    for name in ("a.tif", "a_files/3/0_0.png"):
        np.testing.assert_array_equal(np.asarray(Image.open(name)), expected)
    tile = np.asarray(Image.open("tiles/0/0/0.png"))
    np.testing.assert_array_equal(tile[:8, :8, :3], expected)
    assert "<path" in Path("a.svg").read_text()
    run(result, "--figure", "--out", "b.svg")
    assert "optimizer.lr_in" in Path("b.svg").read_text()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_picture_holds_what_made_it(result, name):
    run(result, "--out", name)
    raw, stem = source.settings(argparse.Namespace(config=name, plugin=[]))
    (found,) = config.experiments(raw)
    field = fj.open(result)
    assert (found.spec, found.window, stem) == (field.spec, field.window, "a")


def test_antialiasing_is_trained_once_and_kept(result, capsys):
    run(result, "--aa", 2, "--contour", "white:0.5", "--out", "a.png")
    kept = fj.open(Path(result) / "aa2")
    assert kept.window.shape == (16, 16) and kept.done.all()
    run(result, "--aa", 2, "--cmap", "navy,gold", "--out", "b.png")
    assert fj.open(Path(result) / "aa2").provenance["runs"] == 1
    assert shown("a.png")["aa"] == 2
    assert shown("a.png")["contour"] == {"colour": "white", "width": 0.5}
    assert shown("b.png")["cmap"] == "navy,gold" and Image.open("b.png").size == (8, 8)


def test_a_scan_that_overwrites_takes_the_sub_samples_along(experiment, tmp_path):
    place = tmp_path / "scan"
    fractal.scan(experiment.spec, experiment.window, store=place, chunk=4)
    run(place, "--aa", 2, "--out", "a.png")
    (place / "aa3").mkdir()
    (place / "aa3" / "notes.txt").write_text("mine")
    fewer = experiment.spec.updated({"steps": 10})
    fractal.scan(fewer, experiment.window, store=place, chunk=4, overwrite=True)
    assert not (place / "aa2").exists() and (place / "aa3" / "notes.txt").exists()
    run(place, "--aa", 2, "--out", "a.png")
    assert fj.open(place / "aa2").spec == fewer


def test_a_zoom_becomes_a_contact_sheet_or_a_level(zoomed, capsys):
    run(zoomed)
    assert shown(Path(zoomed) / "sheet.png")["levels"] == 3
    run(zoomed, "--level", 1)
    level = Path(zoomed) / "level_001"
    assert capsys.readouterr().out.split()[-1] == str(level / "image.png")
    assert Image.open(level / "image.png").size == (8, 8)


def test_without_aa_nothing_can_train(result):
    code = (
        "import sys, argparse; from fractaljax.cli import render; p = argparse.ArgumentParser(); "
        "render.add_render(p); p.set_defaults(plugin=[]); render.render(p.parse_args()); "
        "assert 'fractaljax.engine.program' not in sys.modules"
    )
    command = [sys.executable, "-c", code, result, "--out", "a.dzi", "--contour"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "a.jpg"], r"'\.jpg'.*\.dzi, \.png, \.svg, \.tif"),
        (["--figure", "--out", "a.tif"], r"'\.tif'.*\.pdf, \.png, \.svg"),
        (["--aa", 1], "allowed are 2 to 8"),
        (["--aa", 9, "--out", "a.tif"], "allowed are 2 to 8"),
        (["--contour", "blak"], "'blak' is no colour"),
        (["--contour", "red:99"], "allowed are"),
        (["--cmap", "no.ggr"], "no such file"),
        (["--cmap", "virids", "--out", "a.dzi"], "Did you mean 'viridis'"),
        (["--reading", "mesure", "--out", "a.dzi"], "Did you mean 'measure'"),
        (["--out", "no/a.tif"], "no folder no"),
        (["--out", "a.svg", "--cmap", "viridis"], "takes --contour only"),
        (["--level", 1], "holds no zoom"),
    ],
)
def test_what_cannot_be_drawn_is_told_before_anything_is_done(result, words, said):
    with pytest.raises(FractaljaxError, match=said):
        run(result, *words)
    assert not list(Path().iterdir()) and not (Path(result) / "aa9").exists()


def test_folders_of_others_are_left_alone(result, zoomed):
    Path("mine").mkdir()
    Path("mine/letter.txt").write_text("x")
    with pytest.raises(FractaljaxError, match="something else"):
        run(result, "--out", "mine", "--aa", 3)
    assert not (Path(result) / "aa3").exists()
    for words in (["--aa", 2], ["--figure"]):
        with pytest.raises(FractaljaxError, match="--level"):
            run(zoomed, *words)
    with pytest.raises(FractaljaxError, match="levels 0 to 2"):
        run(zoomed, "--level", 3)
