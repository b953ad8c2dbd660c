"""The page about the atlas says what its script prints."""

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scaling.md").read_text()


@pytest.fixture
def atlas(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # no package: its files import each other
    return importlib.import_module("atlas")


@pytest.fixture
def measured(atlas):
    return json.loads(atlas.MEASURED.read_text())


@pytest.mark.parametrize("table", ["print_budget", "print_sides"])
def test_tables_of_the_page_are_what_is_printed(atlas, measured, capsys, table):
    getattr(atlas, table)(measured)
    printed = capsys.readouterr().out.strip("\n")
    assert len(printed.splitlines()) >= 3 and printed in PAGE


def test_one_simulated_line_of_the_page(atlas, measured, capsys, monkeypatch):
    """The cheapest of them, in full: all seeds of 1,000 GPUs without failures."""
    monkeypatch.setattr(atlas, "GPUS", (1000,))
    every = atlas.plans
    name = "nothing fails"
    monkeypatch.setattr(atlas, "plans", lambda *a: {name: every(*a)[name]})
    atlas.print_runs(measured, 4096)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last in PAGE.split("\n1,000 GPUs, tiles of 4096")[1]


def test_measured_numbers_of_the_page(measured):
    assert f"{1e3 * measured['task_s']:.2f} ms" in PAGE
    for size in measured["bytes"].values():
        assert f"{size:.2f} bytes" in PAGE or f"{size:.2f} of 8" in PAGE
