"""Experiments as text: every config is understood, every mistake is one line with its place."""

import math
from pathlib import Path

import numpy as np
import pytest

import fractaljax as fj
from fractaljax.config.agenda import read_agenda
from fractaljax.config.arms import parse_arms, read_arms
from fractaljax.config.finder import read_finder
from fractaljax.config.focus import FOCI, focused
from fractaljax.errors import FractaljaxError
from fractaljax.families import finder as family
from fractaljax.families import growth

GROWTH = Path(__file__).parents[1] / "configs" / "growth"
SHARED = ("synthetic", "digits", "seeds")  # not experiments themselves
EXPERIMENTS = sorted(
    p.stem
    for p in GROWTH.glob("*.yaml")
    if p.stem not in SHARED and not p.stem.startswith("fractal")
)
NET = {"name": "masked_mlp", "widths": [8]}
TREE = {
    "model": NET,
    "problem": {"name": "digits", "validation": 100, "test": 100},
    "stopping": {"name": "patience"},
    "arms": {"static": {}, "grown": {"growth": "embedded"}},
    "claims": {"helps": "grown > static"},
}


def refused(words, **changes):
    with pytest.raises(FractaljaxError) as caught:
        parse_arms({**TREE, **changes}, "x")
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_understood_and_read_again(name):
    one = read_arms(GROWTH / f"{name}.yaml")
    assert one.question and one.claims and len(one.seeds) >= 8
    assert parse_arms(one.tree, one.name) == one


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_the_seeds_that_its_claims_take(name, caplog):
    one = read_arms(GROWTH / f"{name}.yaml")
    growth.warn_of_few_seeds(one)
    assert not caplog.text
    growth.warn_of_few_seeds(one._replace(seeds=(0, 1, 2)))
    claims = growth.comparisons(one)
    needed = math.ceil(math.log2(40 * claims))
    assert f"{name}: no verdict will be given: 3 seeds, {needed} are needed" in caplog.text
    assert claims == {"lenient": 15, "rules": 13, "ladder": 3}.get(name, len(one.claims))


def test_the_finder_is_understood(caplog):
    family.warn_of_few_seeds(read_finder(GROWTH / "seeds.yaml"))
    assert not caplog.text
    finder = read_finder(GROWTH / "seeds.yaml", ["margin=0.2", "seeds=3"])
    assert finder.margin == 0.2 and finder.experiment.seeds == (0, 1, 2)
    family.warn_of_few_seeds(finder)
    assert "said to learn: 3 seeds, 11 are needed for 30 networks" in caplog.text
    assert finder.architectures["none"] == () and finder.architectures["16x8"] == (16, 8)


@pytest.mark.parametrize("what", FOCI)
def test_focused_sweeps_are_experiments(what):
    found = list(focused(what, GROWTH / "dual_rates.yaml"))
    assert len({name for name, _, _ in found}) == len(found) >= 10
    assert {priority for _, _, priority in found} == {2 if what == "performance" else 1}
    for name, tree, _ in found:
        assert parse_arms(tree, name).name == name


def test_arms_differ_in_what_they_say():
    one = parse_arms(TREE, "x")
    assert one.arms["static"].spec.growth == () and one.arms["grown"].spec.when.name == "every"
    over = {"model.density": [0.1, 0.5]}
    dense = {"model": {"density": 1.0}}
    one = parse_arms({**TREE, "over": over, "arms": {"a": {}, "dense": dense}, "claims": {}}, "x")
    assert one.arms["a"].over == {"model.density": (0.1, 0.5)} and one.arms["dense"].over == {}


def test_mistakes_say_where_they_are():
    refused("Did you mean 'seeds'", seds=3)
    refused("steps is not read", steps=100)
    refused("arms: at least one", arms={})
    refused("arms.a b: a name", arms={"a b": {}})
    refused("arms.grown: unknown growth 'embeded'", arms={"grown": {"growth": "embeded"}})
    refused("stopping: is needed", stopping=None)
    refused("claims.helps", claims={"helps": "grown beats static"})
    refused("claims.helps: arm 'growm'", claims={"helps": "growm > static"})
    refused("value of over '7'", claims={"helps": "grown@7 > static"}, over={"LR": [0.1]})
    refused("take.from: arm before this one", arms={"a": {"take": {"from": "b", "LR": "edges"}}})
    refused("start.from: arm before this one", arms={"a": {"start": {"from": "b"}}})
    refused("start.by", arms={"a": {}, "b": {"start": {"from": "a", "by": "magic"}}})
    refused("seeds=0", seeds=0)
    refused("snapshots='maybe': takes true or false", snapshots="maybe")
    refused("seeds=[1, 1]", seeds=[1, 1])
    refused("0 to 4294967295", seeds=[2**32])
    assert parse_arms({**TREE, "seeds": [20261128, 2**32 - 1]}, "x").seeds == (20261128, 2**32 - 1)
    refused("margin=-1", margin=-1)
    refused("over.LR=0.1", over={"LR": 0.1})


def test_agendas_say_where_they_are_wrong(tmp_path):
    def read(text):
        path = tmp_path / "agenda.yaml"
        path.write_text(text)
        return read_agenda(path, ("grow", "scan"))

    entries = read("- {run: scan a.yaml}\n- {name: b, run: [grow, b.yaml], priority: 2}\n")
    assert [e.name for e in entries] == ["b", "scan a.yaml"]
    assert entries[0].words == ("grow", "b.yaml")
    assert read("- {run: fractaljax grow c.yaml}\n")[0].words == ("grow", "c.yaml")
    for text, words in {
        "a: b": "takes a list",
        "- {run: rm -rf x}": "run: verb 'rm'",
        "- {priority: 1}": "takes a command",
        "- {run: grow a, priority: high}": "priority='high'",
        "- {run: grow a, prioritiy: 1}": "Did you mean 'priority'",
        "- {name: a, run: grow a}\n- {name: a, run: grow b}": "named twice",
        '- {run: "grow \'a"}': "run: ",
    }.items():
        with pytest.raises(FractaljaxError) as caught:
            read(text)
        assert words in str(caught.value), text


def test_pooling_is_the_mean_of_squares():
    from fractaljax.parts.datasets import read_digits

    fine, coarse = read_digits("unit").data.x, read_digits("unit", 2).data.x
    squares = fine.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
    np.testing.assert_allclose(coarse, squares)
    with pytest.raises(FractaljaxError, match="pool=3: does not divide"):
        read_digits("unit", 3)
    with pytest.raises(FractaljaxError, match="pool=0"):
        fj.Spec(problem=fj.Part("digits", pool=0))
