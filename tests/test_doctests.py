"""The examples in the docstrings of the public names run and print what they say."""

import doctest
import os
from pathlib import Path

import numpy as np
import pytest

import fractaljax as fj
from fractaljax import registry

ROOT = Path(__file__).parents[1]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples():
    """Every docstring of a public name, or of what `laws` offers, that has an example."""
    finder = doctest.DocTestFinder(recurse=False)
    shown = {name: getattr(fj, name) for name in fj.__all__ if name not in ("__version__", "laws")}
    shown["laws.check"] = fj.laws.check
    for name, value in shown.items():
        for found in finder.find(value, name, globs={"fj": fj, "np": np}):
            if found.examples:
                yield pytest.param(found, id=name)


EXAMPLES = [*examples()]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_prints_what_it_says(example, tmp_path, monkeypatch, capsys):
    os.symlink(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    known = {role: dict(parts) for role, parts in registry._PARTS.items()}
    monkeypatch.setattr(registry, "_PARTS", known)  # what an example registers goes with it
    failed = doctest.DocTestRunner(optionflags=FLAGS).run(example).failed
    assert not failed, capsys.readouterr().out


def test_the_main_names_have_examples():
    main = {"Part", "Spec", "facets", "Axis", "Lattice", "Window", "load", "scan", "zoom", "train"}
    main |= {"Trainer", "Field", "register", "laws.check"}
    assert main <= {row.id for row in EXAMPLES}
