"""The space of a search: what is drawn, in which order, and what is refused."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fractaljax.config.space import Dimension, draw_trials, parse_space
from fractaljax.errors import FractaljaxError
from fractaljax.spec import Part, Spec

MLP = Part("mlp", widths=(4,), activation="leaky_relu", slope=0.05)
SPEC = Spec(model=MLP, problem=Part("digits"), optimizer=Part("adamw"))
PUBLISHED = {
    "lr": {"path": "optimizer.lr", "min": 1e-5, "max": 3e-2, "scale": "log"},
    "beta1": {"path": "optimizer.beta1", "min": 0.85, "max": 0.99, "scale": "uniform"},
    "beta2": {"path": "optimizer.beta2", "min": 0.9, "max": 0.9999, "scale": "uniform"},
    "eps": {"path": "optimizer.eps", "min": 1e-9, "max": 1e-6, "scale": "log"},
    "weight_decay": {"path": "optimizer.weight_decay", "min": 1e-6, "max": 1e-2, "scale": "log"},
    "dropout": {"path": "model.dropout", "min": 0.01, "max": 0.5, "scale": "uniform"},
    "leaky_relu_alpha": {"path": "model.slope", "min": 0.01, "max": 0.1, "scale": "uniform"},
}


def one(name="lr", **entry):
    (dimension,) = parse_space({name: entry}, SPEC)
    return dimension


# Trials 0 and 29 of search_results.csv of the published run, in the order of the space.
FIRST = (
    2.932248474919265e-05,
    0.9686407231712125,
    0.9763010844357638,
    5.823808382847424e-09,
    9.588272061157046e-05,
    0.2302506217464817,
    0.06864336754504867,
)
LAST = (
    1.1558766696689236e-05,
    0.8781194216017063,
    0.9327412964391172,
    9.144272377797877e-07,
    0.0013514547309475438,
    0.17615686744695752,
    0.02917268167427324,
)


def test_trials_are_the_published_ones_to_the_last_digit():
    trials = draw_trials(parse_space(PUBLISHED, SPEC), 30, seed=1)
    assert len(trials) == 30 and list(trials[0]) == list(PUBLISHED)
    assert tuple(trials[0].values()) == FIRST and tuple(trials[29].values()) == LAST


def test_the_order_of_the_file_is_that_of_the_draws():
    turned = dict(reversed(PUBLISHED.items()))
    (trial,) = draw_trials(parse_space(turned, SPEC), 1, seed=1)
    assert list(trial) == list(turned)
    low, high = 0.01, 0.1
    assert trial["leaky_relu_alpha"] == random.Random(1).uniform(low, high)


def test_more_trials_begin_with_the_fewer():
    space = parse_space(PUBLISHED, SPEC)
    assert draw_trials(space, 3, 5) == draw_trials(space, 9, 5)[:3]
    assert draw_trials(space, 3, 5) != draw_trials(space, 3, 6)


RANGES = st.tuples(
    st.floats(1e-12, 1e6), st.floats(1e-12, 1e6), st.sampled_from(["log", "uniform"])
).filter(lambda drawn: drawn[0] < drawn[1])


@settings(deadline=None, max_examples=60)
@given(RANGES, st.lists(st.floats(0, 1), min_size=1, max_size=5, unique=True), st.integers(0, 99))
def test_draws_lie_in_the_space(drawn, choices, seed):
    low, high, scale = drawn
    space = (
        Dimension("a", "optimizer.lr", low, high, scale),
        Dimension("b", "model.slope", choices=tuple(choices)),
    )
    for trial in draw_trials(space, 20, seed):
        assert low * (1 - 1e-12) <= trial["a"] <= high * (1 + 1e-12)
        assert trial["b"] in choices


def test_choices_are_equally_likely():
    space = (one("model.dropout", choices=[0.1, 0.2, 0.4]),)
    drawn = [trial["model.dropout"] for trial in draw_trials(space, 3000, 0)]
    for value in (0.1, 0.2, 0.4):
        assert abs(drawn.count(value) - 1000) < 4 * math.sqrt(3000 * 2 / 9)


@pytest.mark.parametrize("word", ["log", "log_uniform", "loguniform"])
def test_words_for_a_log_scale(word):
    assert one(min="1e-5", max=1, scale=word) == Dimension("lr", "optimizer.lr", 1e-5, 1, "log")


@pytest.mark.parametrize("entry", [{}, {"scale": "uniform"}, {"scale": "linear"}])
def test_words_for_an_even_scale(entry):
    assert one(min=0, max=1, **entry) == Dimension("lr", "optimizer.lr", 0, 1, "uniform")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("LR", "optimizer.lr"),
        ("beta1", "optimizer.beta1"),
        ("model.dropout", "model.dropout"),
        ("optimizer.lr", "optimizer.lr"),
    ],
)
def test_a_name_that_is_a_path_needs_none(name, path):
    assert one(name, min=0.1, max=0.2)[:2] == (name, path)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({}, "space: at least one value must be searched"),
        ([1], "space: must be a block of 'key: value'"),
        ({"lr": 0.1}, "space.lr: must be a block"),
        ({"lr": {"min": 0.1}}, "space.lr: needs min and max, or choices"),
        ({"lr": {"max": 0.1, "scale": "log"}}, "space.lr: needs min and max"),
        ({"lr": {"min": 0.2, "max": 0.2}}, "space.lr: min=0.2 must be below max=0.2"),
        ({"lr": {"min": 0, "max": 1, "scale": "log"}}, "space.lr.min=0: must be above 0"),
        ({"lr": {"min": 1, "max": 2, "scale": "lg"}}, "Did you mean 'log'?"),
        ({"lr": {"min": 1, "max": 2, "scale": None}}, "unknown scale (space.lr.scale) 'None'"),
        ({"lr": {"min": True, "max": 2}}, "space.lr.min=True: takes a finite number"),
        ({"lr": {"min": 1, "max": math.inf}}, "space.lr.max=inf: takes a finite number"),
        ({"lr": {"min": 1, "max": 2, "step": 1}}, "unknown key 'space.lr.step'"),
        ({"lr": {"choices": []}}, "space.lr.choices=[]: takes a list of numbers"),
        ({"lr": {"choices": 0.1}}, "space.lr.choices=0.1: takes a list of numbers"),
        ({"lr": {"choices": ["a"]}}, "space.lr.choices='a': takes a finite number"),
        ({"lr": {"choices": [1, 1.0]}}, "space.lr.choices: a number is given twice"),
        ({"lr": {"choices": [1], "min": 0}}, "space.lr.min is not read: choices are given"),
        ({"lr": {"choices": [1], "scale": "log"}}, "space.lr.scale is not read"),
        (
            {"lr": {"min": 1, "max": 2}, "b": {"path": "optimizer.lr", "choices": [1]}},
            "optimizer.lr is searched twice",
        ),
        ({"rate": {"min": 1, "max": 2}}, "space.rate: unknown path 'rate'"),
        ({"d": {"path": "model.drop", "min": 0, "max": 1}}, "Did you mean 'model.dropout'?"),
        ({"w": {"path": "model.depth", "min": 1, "max": 2}}, "space.w: model.depth is static"),
        ({"seed": {"min": 1, "max": 2}}, "space.seed: seed is a seed"),
        ({"model.dropout": {"min": 0, "max": 1.5}}, "space.model.dropout: model: dropout=1.5"),
        ({"d": {"path": "model.dropout", "choices": [0.5, -1]}}, "space.d: model: dropout=-1"),
    ],
)
def test_what_is_refused(block, said):
    with pytest.raises(FractaljaxError) as error:
        parse_space(block, SPEC)
    assert said in str(error.value) and "\n" not in str(error.value)
