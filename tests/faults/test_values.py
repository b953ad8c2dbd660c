"""Data that hold NaN or infinity: told as what it is, in every family; no hang, no traceback."""

import sys

import numpy as np
import pytest
import works
import yaml
from commands import run
from harness import one_line, tally

import fractaljax as fj
from fractaljax.config import load_plugins
from fractaljax.store import study_folder as files

pytestmark = pytest.mark.slow

VALUES = ("nan", "inf")
NOT_FINITE = 4  # as the fold `status` tells it


@pytest.fixture(params=VALUES)
def spoiled(request, tmp_path, own_registry, monkeypatch):
    """A function: verb -> its small config on data that hold the value; known here too."""
    monkeypatch.delitem(sys.modules, "broken_data", raising=False)
    load_plugins(["broken_data"])

    def of(verb: str, **changes: object):
        tree = yaml.safe_load(works.CONFIGS[verb]) | changes
        name = "regression" if verb in ("scan", "zoom") else "classes"
        tree |= {"problem": {"name": f"spoiled_{name}", "value": request.param}}
        path = tmp_path / f"{verb}.yaml"
        path.write_text(yaml.safe_dump({"plugins": ["broken_data"], **tree}, sort_keys=False))
        return path

    return of


def test_every_pixel_of_a_scan_reads_nonfinite(spoiled, tmp_path):
    path, out = spoiled("scan", steps=20, fold=["measure", "status"]), tmp_path / "result"
    ended = run(["scan", str(path), *works.OPTIONS["scan"], "--out", str(out)])
    assert ended.code == 0 and "Traceback" not in ended.told, ended.told
    made = fj.open(out)
    assert made.done.all() and (np.asarray(made["measure"]) > 0).all()  # none converged
    assert (np.asarray(made["status"]) == NOT_FINITE).all()
    tally("NaN and infinite data", "scan", 1)


def test_a_zoom_finds_no_edge(spoiled, tmp_path):
    path, out = spoiled("zoom", steps=20), tmp_path / "result"
    words = ["zoom", str(path), "--devices", "1", "--chunk", "2", "--levels", "2", "--out", out]
    ended = run([*map(str, words), "--auto"])
    assert "no edge between converged and diverged" in one_line(ended)
    assert run([*map(str, words), "--center", "1", "2", "--resolution", "8"]).code == 0
    tally("NaN and infinite data", "zoom", 2)


def test_the_curves_of_a_sweep_are_not_finite(spoiled, tmp_path):
    plain = yaml.safe_load(works.SCAN)
    path, out = spoiled("scan", steps=20), tmp_path / "result"
    assert plain["model"]  # the same network as that of a scan
    words = ["sweep", str(path), "seed=0..4", "fold=[status]", "--devices", "1", "--chunk", "2"]
    ended = run([*words, "--out", str(out)])
    assert ended.code == 0 and "Traceback" not in ended.told, ended.told
    runs = fj.load_sweep(out)
    assert len(runs) == 4 and (np.array(runs.history["status"]) == NOT_FINITE).all()
    tally("NaN and infinite data", "sweep", 1)


@pytest.mark.long
def test_a_search_says_that_every_trial_failed(spoiled, tmp_path):
    path, out = spoiled("search"), tmp_path / "result"
    ended = run(["search", str(path), *works.OPTIONS["search"], "--out", str(out)])
    assert ended.code == 0 and "Traceback" not in ended.told, ended.told
    assert "failed: no trial had a finite validation loss" in ended.told
    assert "failed" in files.read_tree(out / "6" / "summary.yaml")
    words = ["transfer", str(out), "--plugin", "broken_data", *works.OPTIONS["transfer"]]
    moved = run([*words, "--out", str(tmp_path / "m")])
    assert "no trial of any architecture had a finite loss" in one_line(moved)
    tally("NaN and infinite data", "search", 2)


@pytest.mark.long
def test_the_members_of_a_population_read_nonfinite(spoiled, tmp_path):
    path, out = spoiled("grow"), tmp_path / "result"
    ended = run(["grow", str(path), *works.OPTIONS["grow"], "--out", str(out)])
    assert ended.code == 0 and "Traceback" not in ended.told, ended.told
    lines = files.read_table(out / "arms" / "grown" / "members.csv")
    assert [line["validation_loss"] for line in lines] == ["nan"] * 3
    tally("NaN and infinite data", "grow", 1)
