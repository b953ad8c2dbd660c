"""Parts of somebody else: proved by the laws, trained by a config; broken ones are refused."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

import fractaljax as fj
from fractaljax import cli, laws, registry
from fractaljax.registry import ROLES

HERE = Path(__file__).parent
PARTS = [
    ("model", "wavelet"),
    ("optimizer", "softsign"),
    ("fold", "halving"),
    pytest.param("growth", "steepest", marks=pytest.mark.slow),
]
BROKEN = [
    ("optimizer", "fixed_rate", "law 1: optimizer.lr says it may be an axis, but does not trace"),
    ("fold", "counting_calls", "law 3: counting_calls at rate"),
    ("problem", "restless", "law 4: data that are drawn twice with one seed differ"),
    ("fold", "widening", r"law 7: a step turns .*int32.* into .*float64"),
]


@pytest.fixture
def registered(monkeypatch):
    """Imports a module of this folder, whose parts are known until the test ends."""
    own = {role: {n: registry.lookup(role, n) for n in registry.names(role)} for role in ROLES}
    monkeypatch.setattr(registry, "_PARTS", own)
    monkeypatch.syspath_prepend(HERE)
    names = ("my_parts", "broken_parts")
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("role", "name"), PARTS)
def test_parts_of_ones_own_keep_the_laws(registered, role, name):
    registered("my_parts")
    fj.laws.check(role, name)


@pytest.mark.parametrize(("role", "name", "law"), BROKEN)
def test_a_part_that_breaks_a_law_is_refused_with_its_number(registered, role, name, law):
    registered("broken_parts")
    with pytest.raises(AssertionError, match=law):
        fj.laws.check(role, name)


def test_law_two_is_broken_by_a_part_that_swallows_arguments(registered, monkeypatch):
    """No decorated function can, as registering refuses `**more`; a registry that checks nothing
    would let everything pass."""
    with pytest.raises(
        fj.FractaljaxError, match="fold 'greedy': 'more' needs a type and a default"
    ):

        @fj.register("fold", "greedy")
        def greedy(**more: float) -> fj.Fold:
            raise NotImplementedError(more)

    registered("my_parts")
    monkeypatch.setattr("fractaljax.spec.unknown", lambda *_: fj.FractaljaxError("no"))
    with pytest.raises(AssertionError, match="law 1: no path in: no"):
        laws.refuses_unknown(laws.with_part("fold", "halving"))


def test_a_config_names_the_module(registered, tmp_path, monkeypatch):
    monkeypatch.chdir(HERE)
    spec, window = fj.load("wavelets.yaml", ["window.resolution=6"])
    assert (spec.model.name, spec.optimizer.name) == ("wavelet", "softsign")
    field = fj.scan(spec, window)
    halved = np.asarray(field["halving"])
    assert halved.shape == (6, 6) and halved.dtype == np.int32
    assert (halved >= 0).any() and (halved < 0).any()  # some rates learn, some do not
    assert (halved[halved >= 0] < spec.steps).all()
    for row, column in ((0, 0), (4, 3)):  # law 3: the pixel alone is the pixel of the window
        point = {"optimizer.lr": field.x[column], "model.spread": field.y[row]}
        alone = fj.Trainer(spec, list(point), capacity=1)(np.array([list(point.values())]))
        assert int(alone["halving"][0]) == halved[row, column]


def test_the_command_line_lists_them(registered, monkeypatch, capsys):
    monkeypatch.chdir(HERE)
    assert cli.main(["list", "model", "--plugin", "my_parts"]) == 0
    shown = capsys.readouterr().out
    assert "wavelet" in shown and "spread" in shown and "axis   float = 1.0" in shown
    assert cli.main(["show", "wavelets.yaml", "model.unist=3"]) == 2
    assert "model.units" in capsys.readouterr().err
