"""The verbs `zoom` and `audit`: what they say, keep, refuse, and draw."""

import csv
import json
from pathlib import Path

import pytest

from fractaljax import cli
from fractaljax.store import open_zoom

TINY = """
model: {width: 4}
problem: {inputs: 4, points: 8}
steps: 20
dtype: float64
window: {resolution: 12}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory of one's own, with a small config."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)


def run(*words):
    """Exit code of a command."""
    try:
        return cli.main([str(w) for w in words])
    except SystemExit as left:
        return left.code


@pytest.mark.slow
def test_auto_finds_its_way_draws_every_level_and_goes_on(capsys, caplog):
    caplog.set_level("INFO")
    words = ("zoom", "tiny.yaml", "--auto", "--seed", 3, "--levels", 3, "--out", "deep")
    assert run(*words) == 0
    assert capsys.readouterr().out == "deep\n"
    said = caplog.text
    assert "is the last at which 12 columns differ in float64" in said
    assert "36 taken from the level before" in said
    zoom = open_zoom("deep")
    assert len(zoom) == 3 and zoom.plan["found"]["seed"] == 3
    assert zoom.plan["found"]["way"][-1]["center"] == zoom.plan["center"]
    assert all((zoom.path / f"level_{k:03d}" / "image.png").is_file() for k in range(3))
    assert (zoom.path / "sheet.png").is_file()
    before = (zoom.path / "zoom.json").read_text()
    assert run(*words) == 0  # nothing is trained again, and the way is the same
    assert (zoom.path / "zoom.json").read_text() == before
    assert open_zoom("deep")[2].provenance["runs"] == 1


def test_a_centre_by_hand_wins_and_keeps_its_digits(capsys):
    digits = "1.123456789012345678901234"
    words = ("--center", digits, "-1e-1", "--auto", "--levels", 2)
    assert run("zoom", "tiny.yaml", *words, "--resolution", 6) == 0
    place = Path(capsys.readouterr().out.strip())
    assert place.parts[:3] == ("outputs", "tiny", "tiny")
    plan = json.loads((place / "zoom.json").read_text())
    assert plan["center"] == [digits, "-0.1"] and plan["found"] == {}


def test_audit_of_a_zoom_and_of_a_scan(capsys):
    assert run("zoom", "tiny.yaml", "--center", 1.3, 1.8, "--levels", 2, "--out", "deep") == 0
    capsys.readouterr()
    assert run("audit", "deep", "--pixels", 30, "--csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[-1] == "deep/audit.csv"
    rows = list(csv.DictReader(Path("deep/audit.csv").read_text().splitlines()))
    assert [r["level"] for r in rows] == ["0", "1"]
    assert all(0 <= float(r["other"]) <= 1 and r["pixels"] == "30" for r in rows)
    assert run("audit", "deep/level_001", "--pixels", 5) == 0


@pytest.mark.parametrize(
    "flags, says",
    [
        (["--devices", 99], "devices=99: this process has"),
        (["--seed", -1], "seed=-1: at least 0"),
        (["--pixels", 0], "pixels=0: at least 1"),
        (["--plugin", "nowhere"], "cannot import 'nowhere'"),
    ],
)
def test_the_audit_reads_its_flags(flags, says, capfd):
    assert run("scan", "tiny.yaml", "--resolution", 4, "--out", "one") == 0
    assert run("audit", "one", *flags) == 2
    assert says in capfd.readouterr().err.splitlines()[-1]


def test_a_zoom_along_one_axis_ends_well(capsys):
    words = ("zoom", "tiny.yaml", "window.y=null", "--center", 1.3, "--levels", 2, "--out", "line")
    assert run(*words) == 0
    assert capsys.readouterr().out == "line\n"
    assert [field.window.shape for field in open_zoom("line").levels] == [(12,), (12,)]
    assert run("audit", "line", "--pixels", 5) == 0
    assert run("dimension", "line") == 0


@pytest.mark.parametrize(
    "words, says",
    [
        (["zoom", "tiny.yaml"], "overview already: give --center X Y, or --auto"),
        (["zoom", "tiny.yaml", "--center", "1"], "center has 1 numbers, the window 2 axes"),
        (["zoom", "tiny.yaml", "--center", "1", "nan"], "center NaN: must be a finite number"),
        (["zoom", "tiny.yaml", "--center", "1", "no"], "--center no: takes a number"),
        (["zoom", "tiny.yaml", "--center", "1", "1", "--factor", "1"], "factor=1.0: a number abov"),
        (["zoom", "tiny.yaml", "--center", "1", "1", "--levels", "0"], "levels=0: allowed are 1"),
        (["zoom", "tiny.yaml", "--center", "1", "1", "--levels", "80"], "is the last at which 12"),
        (["zoom", "tiny.yaml", "--center", "1", "1", "--seed", "2"], "--seed chooses the way"),
        (["zoom", "tiny.yaml", "--center", "400", "1"], "origin=inf"),
        (["zoom", "tiny.yaml", "--auto", "--window", "-3", "-2.9", "-3", "-2.9"], "no edge"),
        (["zoom", "tiny.yaml", "--auto", "--seed", "-1"], "seed=-1: at least 0"),
        (["zoom", "tiny.yaml", "--auto", "--factor", "64", "--levels", "3"], "above 1, up to 16"),
        (["zoom", "tiny.yaml", "--levels", "200"], "leave the range of float64"),
        (["zoom", "tiny.yaml", "--levels", "1100", "--factor", "1024"], "leaves the range of flo"),
        (["audit", "nowhere"], "nowhere: no result here"),
        (["audit", "tiny.yaml"], "no result here"),
    ],
)
def test_what_cannot_be_zoomed_or_audited_costs_one_line(words, says, capfd):
    assert run(*words) == 2
    said = capfd.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("fractaljax: ") and says in said
    assert not list(Path("outputs").glob("*/*/*/level_*")) if Path("outputs").exists() else True
