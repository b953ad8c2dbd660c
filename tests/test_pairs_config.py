"""Pairs as settings: what the sides share, who wins, and the words that mean the same."""

from pathlib import Path

import pytest
import yaml

from fractaljax import config
from fractaljax.config.trees import nested
from fractaljax.errors import FractaljaxError
from fractaljax.pair import Pair
from fractaljax.spec import Spec

ROOT = Path(__file__).parents[1]
SHARED = {
    "model": {"name": "deep_linear", "hidden_dim": 4, "gamma": 1.5},
    "training": {"lr": 1e-3, "batch_size": 5},
}
SMALL = {
    "data": {"in_dim": 3, "out_dim": 3, "train_samples": 20, "test_samples": 10},
    "metrics": ["test_loss"],
    "max_steps": 20,
    "num_evaluations": 4,
}


def setting(block, *words):
    """The setting of a block, as a file says it, and of words as a command line says them."""
    raw = config.parse(yaml.safe_dump(block, sort_keys=False), "test.yaml", "test")
    return config.setting(raw, config.parse_sweep(words).fixed)


def pair(*words, **block):
    """The Pair of a block that shares SHARED, unless it shares something else."""
    found = setting({"shared": SHARED, **SMALL, **block}, *words).course
    assert isinstance(found, Pair)
    return found


def both(made, path):
    """The value of a path on either side."""
    return tuple(side.paths()[path] for side in made.sides.values())


def names(parts):
    return [part.name for part in parts]


# ---- what a side says wins over what is shared


def test_sides_that_say_nothing_are_what_is_shared():
    made = pair(model_a={}, model_b={}, training_a=None)
    assert made.a == made.b
    assert both(made, "model.gamma") == (1.5, 1.5) and both(made, "model.hidden_dim") == (4, 4)
    assert both(made, "optimizer.lr") == (1e-3, 1e-3) and both(made, "problem.batch") == (5, 5)
    assert both(made, "problem.in_dim") == (3, 3)
    assert made.steps == 20 and made.evaluations == 4 and [*made.evaluated] == [0, 5, 10, 15]


def test_what_a_side_says_wins_and_leaves_the_rest():
    made = pair(model_b={"gamma": 1.0}, training_a={"batch_size": None}, training_b={"lr": 1e-2})
    assert both(made, "model.gamma") == (1.5, 1.0)
    assert both(made, "model.hidden_dim") == (4, 4)
    assert both(made, "problem.batch") == (None, 5)
    assert both(made, "optimizer.lr") == (1e-3, 1e-2)


def test_seeds_of_one_side():
    made = pair(
        shared={"model": {**SHARED["model"], "model_seed": 3}, "training": {"batch_seed": 7}},
        model_b={"model_seed": 4},
        training_a={"batch_seed": 8},
    )
    assert both(made, "model_seed") == (3, 4) and both(made, "batch_seed") == (8, 7)


def test_the_order_of_the_keys_does_not_matter():
    block = {"model_b": {"gamma": 1.0}, "shared": SHARED, "training_b": {"lr": 1e-2}, **SMALL}
    backwards = dict(reversed(block.items()))
    assert [*backwards] != [*block]
    assert setting(block).course == setting(backwards).course


def test_another_model_on_one_side_drops_the_arguments_of_the_shared_one():
    made = pair(model_b={"name": "mlp", "width": 8})
    assert names([made.a.model, made.b.model]) == ["deep_linear", "mlp"]
    assert made.b.model["width"] == 8


def test_what_is_shared_may_stand_without_the_word_and_in_the_words_of_this_package():
    plain = {"model": SHARED["model"], "optimizer": {"lr": 1e-3}, "problem": {"batch": 5}}
    house = {"in_dim": 3, "out_dim": 3, "train_samples": 20, "test_samples": 10}
    sides = {"a": {"model": {"gamma": 2.0}}, "b": {}}
    made = setting(
        {
            **plain,
            "problem": {"name": "teacher", "batch": 5, **house},
            "metric": ["test_loss"],
            "steps": 20,
            "evaluations": 4,
            **sides,
        }
    ).course
    assert made == pair(model_a={"gamma": 2.0})


def test_defaults_of_a_file_are_under_what_its_experiments_say():
    raw = config.parse(
        yaml.safe_dump(
            {
                "defaults": {"shared": SHARED, **SMALL, "training_b": {"batch_size": 2}},
                "experiments": {
                    "one": {"shared": {"training": {"lr": 0.5}}, "data": {"noise_std": 0.1}},
                    "two": {"model_b": {"gamma": 1.0}},
                },
            }
        ),
        "test.yaml",
        "test",
    )
    one = config.setting(raw, only="one").course
    assert both(one, "optimizer.lr") == (0.5, 0.5) and both(one, "problem.batch") == (5, 2)
    assert both(one, "problem.noise_std") == (0.1, 0.1) and both(one, "problem.in_dim") == (3, 3)
    two = config.setting(raw, only="two").course
    assert both(two, "model.gamma") == (1.5, 1.0) and both(two, "optimizer.lr") == (1e-3, 1e-3)


# ---- metrics, callbacks and comparisons


@pytest.mark.parametrize(
    "block, a, b",
    [
        ({}, ["test_loss"], ["test_loss"]),
        ({"metrics_b": []}, ["test_loss"], []),
        ({"metrics_b": None}, ["test_loss"], ["test_loss"]),
        ({"metrics_a": ["weight_norm"]}, ["weight_norm"], ["test_loss"]),
        ({"metrics_a": "weight_norm", "metrics_b": []}, ["weight_norm"], []),
        ({"metrics_a": [{"name": "weight_norm"}, "test_loss"]}, ["weight_norm", "test_loss"], None),
        ({"metrics": [], "metrics_a": ["weight_norm"]}, ["weight_norm"], []),
    ],
)
def test_metrics_of_one_side(block, a, b):
    made = pair(**block)
    assert names(made.a.metric) == a and names(made.b.metric) == (["test_loss"] if b is None else b)
    assert made.evaluations == 4


def test_a_side_without_metrics_is_trained_and_compared_all_the_same():
    made = pair(metrics=[], comparison=["param_distance", "param_cosine_sim"])
    assert made.a.metric == made.b.metric == ()
    assert names(made.comparison) == ["param_distance", "param_cosine_sim"]
    assert made.evaluations == 4 and [*made.evaluated] == [0, 5, 10, 15]


def test_metrics_of_a_command_line():
    assert names(pair("metrics_b=[]").b.metric) == []
    assert names(pair("metrics_a=[weight_norm]").a.metric) == ["weight_norm"]
    made = pair("metrics=[weight_norm]")
    assert names(made.a.metric) == names(made.b.metric) == ["weight_norm"]


FORMS = {
    "name and params": [{"name": "switch_batch_size", "params": {"step": 7, "batch_size": 2}}],
    "the name as key": [{"switch_batch_size": {"step": 7, "batch_size": 2}}],
    "name and arguments": [{"name": "switch_batch_size", "step": 7, "batch_size": 2}],
    "a block": {"switch_batch_size": {"step": 7, "batch_size": 2}},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_callbacks_in_every_form(form):
    made = pair(callbacks=form)
    assert both(made, "callback.switch_batch_size.step") == (7, 7)
    assert both(made, "callback.switch_batch_size.batch_size") == (2, 2)
    one = pair(callbacks_a=form)
    assert one.a == made.a and one.b.callback == ()


def test_a_callback_may_be_a_bare_name():
    made = pair(callbacks_b="lr_decay", callbacks=["multi_switch_batch_size"])
    assert names(made.a.callback) == ["multi_switch_batch_size"]
    assert names(made.b.callback) == ["lr_decay"]
    assert made == pair(callbacks_b=["lr_decay"], callbacks_a=[{"multi_switch_batch_size": None}])


# ---- words of a command line


def test_a_short_path_reaches_both_sides_even_over_what_they_say():
    made = pair("model.gamma=0.75", "training.batch_size=2", model_a={"gamma": 1.0})
    assert both(made, "model.gamma") == (0.75, 0.75) and both(made, "problem.batch") == (2, 2)


def test_a_shared_path_stays_under_what_a_side_says():
    made = pair("shared.model.gamma=0.75", model_a={"gamma": 1.0})
    assert both(made, "model.gamma") == (1.0, 0.75)
    assert both(pair("shared.model.gamma=0.75"), "model.gamma") == (0.75, 0.75)


def test_a_path_of_one_side_is_of_that_side():
    assert both(pair("model_a.gamma=0.75"), "model.gamma") == (0.75, 1.5)
    assert both(pair("training_b.batch_size=2"), "problem.batch") == (5, 2)
    assert both(pair("training_b.batch_size=null"), "problem.batch") == (5, None)
    assert both(pair("b.optimizer.lr=0.5"), "optimizer.lr") == (1e-3, 0.5)
    assert both(pair("a.training.lr=0.5"), "optimizer.lr") == (0.5, 1e-3)


def test_the_order_of_the_words_does_not_matter():
    words = ["model_a.gamma=0.5", "shared.model.gamma=0.75", "training.lr=0.1", "max_steps=40"]
    assert pair(*words) == pair(*reversed(words))


SWEPT = [  # what the sides say, the path as it is swept, the path of the Pair
    ({}, "shared.model.gamma", "model.gamma"),
    ({"model_a": {"gamma": 1.0}}, "shared.model.gamma", "b.model.gamma"),
    ({"b": {"model": {"gamma": 1.0}}}, "shared.model.gamma", "a.model.gamma"),
    ({"model_a": {"hidden_dim": 5}}, "shared.model.gamma", "model.gamma"),
    ({"training_b": {"batch_size": 2}}, "shared.training.batch_size", "a.problem.batch"),
    ({"training_b": {"batch_size": 2}}, "shared.problem.batch", "a.problem.batch"),
    ({"model_b": {"model_seed": 2}}, "shared.model.model_seed", "a.model_seed"),
    ({}, "shared.training.batch_seed", "batch_seed"),
    ({"model_a": {"gamma": 1.0}}, "model.gamma", "model.gamma"),
    ({}, "model_a.gamma", "a.model.gamma"),
    ({}, "training_a.batch_size", "a.problem.batch"),
    ({}, "training_b.batch_seed", "b.batch_seed"),
    ({}, "a.training.lr", "a.optimizer.lr"),
    ({}, "b.optimizer.lr", "b.optimizer.lr"),
    ({}, "training.batch_seed", "batch_seed"),
    ({}, "data.noise_std", "problem.noise_std"),
    ({}, "max_steps", "steps"),
    ({}, "GAMMA", "model.gamma"),
]


@pytest.mark.parametrize("block, path, meant", SWEPT)
def test_the_place_of_a_swept_path(block, path, meant):
    assert setting({"shared": SHARED, **SMALL, **block}).path(path) == meant


@pytest.mark.parametrize("block, path, meant", SWEPT)
def test_a_swept_value_gives_the_pair_that_a_fixed_one_gives(block, path, meant):
    base = setting({"shared": SHARED, **SMALL, **block})
    fixed = setting({"shared": SHARED, **SMALL, **block}, f"{path}=1").course
    assert base.course.updated({meant: 1}) == fixed


def test_a_shared_path_that_both_sides_say_is_not_read():
    made = setting(
        {"shared": SHARED, **SMALL, "model_a": {"gamma": 1.0}, "model_b": {"gamma": 2.0}}
    )
    with pytest.raises(
        FractaljaxError, match=r"shared\.model\.gamma is not read: both sides say it"
    ):
        made.path("shared.model.gamma")


def test_what_a_word_fixes_on_one_side_a_shared_path_does_not_sweep():
    made = setting({"shared": SHARED, **SMALL}, "model_a.gamma=1.0")
    assert made.path("shared.model.gamma") == "b.model.gamma"
    both_fixed = setting({"shared": SHARED, **SMALL}, "model.gamma=1.0")
    with pytest.raises(FractaljaxError, match=r"shared\.model\.gamma is not read"):
        both_fixed.path("shared.model.gamma")


# ---- there and back


@pytest.mark.parametrize(
    "block, words",
    [
        ({}, []),
        ({"model_a": {"gamma": 1.0}, "metrics_b": [], "comparison": ["param_distance"]}, []),
        ({"metrics": [], "comparison": ["param_distance"]}, []),
        ({"callbacks_a": [{"lr_decay": {"decay_every": 3}}]}, ["training_b.batch_size=null"]),
        ({"callbacks": [{"multi_switch_batch_size": {"schedule": {5: 2, 9: None}}}]}, []),
        ({"model_b": {"name": "mlp"}, "data": {**SMALL["data"], "noise_std": 0.1}}, []),
    ],
)
def test_a_setting_is_read_again_from_its_tree(block, words):
    made = setting({"shared": SHARED, **SMALL, **block}, *words)
    again = setting(made.tree())
    assert again.course == made.course and again.tree() == made.tree()


@pytest.mark.parametrize("path", sorted((ROOT / "configs/dynamics").rglob("*.yaml")))
def test_settings_of_the_configs_are_read_again_from_their_trees(path):
    raw = config.read(path)
    for name in raw["experiments"]:
        made = config.setting(raw, only=name)
        assert setting(made.tree()).course == made.course


def test_a_pair_may_be_one_of_several_experiments():
    raw = {"experiments": {"one": {"shared": SHARED, **SMALL}, "two": {"shared": SHARED, **SMALL}}}
    raw = config.parse(yaml.safe_dump(raw), "test.yaml", "test")
    assert config.setting(raw, only="two").name == "two"
    with pytest.raises(FractaljaxError, match="a sweep is of one experiment; give --only one or"):
        config.setting(raw)


# ---- words of other code for the same settings

WORDS = [
    ("training.lr=3e-4", "optimizer.lr=3e-4"),
    ("training.batch_size=5", "problem.batch=5"),
    ("training.batch_size=null", "problem.batch=null"),
    ("training.batch_seed=3", "batch_seed=3"),
    ("training.optimizer=adam", "optimizer.name=adam"),
    ("training.optimizer=adam", "optimizer=adam"),
    ("training.optimizer_params.momentum=0.9", "optimizer.momentum=0.9"),
    ("data.noise_std=0.1", "problem.noise_std=0.1"),
    ("data.matrix=identity", "problem.matrix=identity"),
    ("data.params.scale=2.0", "problem.scale=2.0"),
    ("data.scale=2.0", "problem.scale=2.0"),
    ("data.data_seed=4", "data_seed=4"),
    ("model.model_seed=5", "model_seed=5"),
    ("model.in_dim=7", "problem.in_dim=7"),
    ("model.out_dim=2", "problem.out_dim=2"),
    ("max_steps=60", "steps=60"),
    ("num_evaluations=6", "evaluations=6"),
    ("metrics=[weight_norm,test_loss]", "metric=[weight_norm,test_loss]"),
    ("metrics=weight_norm", "metric=[weight_norm]"),
    ("callbacks=[lr_decay]", "callback=[lr_decay]"),
]
HOUSE = {
    "model": {"name": "deep_linear", "num_hidden": 2, "hidden_dim": 4},
    "problem": {"name": "teacher", "matrix": "power_law", "in_dim": 3, "out_dim": 3},
    "optimizer": {"name": "sgd", "lr": 1e-3},
    "metric": ["test_loss"],
    "steps": 20,
    "evaluations": 4,
}


@pytest.mark.parametrize("theirs, ours", WORDS)
def test_words_mean_the_same_on_a_command_line_and_in_a_file(theirs, ours):
    meant = setting(HOUSE, ours).course
    assert isinstance(meant, Spec) and (meant != setting(HOUSE).course or "null" in ours)
    assert setting(HOUSE, theirs).course == meant
    ((path, value),) = config.parse_sweep([theirs]).fixed
    file = {"defaults": HOUSE, "experiments": {"x": nested(path.split("."), value)}}
    assert setting(file).course == meant


@pytest.mark.parametrize("theirs, ours", [w for w in WORDS if "." in w[0] and "adam" not in w[0]])
def test_words_mean_the_same_when_they_are_swept(theirs, ours):
    made = setting(HOUSE)
    theirs, ours = theirs.partition("=")[0], ours.partition("=")[0]
    assert made.path(theirs) == made.path(ours) == ours


def test_a_whole_file_in_other_words():
    theirs = {
        "model": {
            "name": "deep_linear",
            "num_hidden": 2,
            "hidden_dim": 4,
            "in_dim": 6,
            "out_dim": 3,
            "gamma": 1.25,
            "model_seed": 5,
        },
        "data": {
            "matrix": "power_law",
            "params": {"scale": 3.0, "alpha": 0.5},
            "noise_std": 0.1,
            "train_samples": 30,
            "data_seed": 6,
        },
        "training": {
            "optimizer": "sgd",
            "optimizer_params": {"momentum": 0.5},
            "lr": "1e-4",
            "batch_size": 5,
            "batch_seed": 7,
        },
        "metrics": ["test_loss", {"relative_rank": {"tol": 0.1}}],
        "callbacks": [{"name": "lr_decay", "params": {"decay_every": 9, "factor": 0.5}}],
        "max_steps": 30,
        "num_evaluations": 3,
    }
    ours = {
        "model": {"name": "deep_linear", "num_hidden": 2, "hidden_dim": 4, "gamma": 1.25},
        "problem": {
            "name": "teacher",
            "matrix": "power_law",
            "in_dim": 6,
            "out_dim": 3,
            "scale": 3.0,
            "alpha": 0.5,
            "noise_std": 0.1,
            "train_samples": 30,
            "batch": 5,
        },
        "optimizer": {"name": "sgd", "momentum": 0.5, "lr": 1e-4},
        "metric": {"test_loss": {}, "relative_rank": {"tol": 0.1}},
        "callback": {"lr_decay": {"decay_every": 9, "factor": 0.5}},
        "steps": 30,
        "evaluations": 3,
        "data_seed": 6,
        "model_seed": 5,
        "batch_seed": 7,
    }
    assert setting(theirs).course == setting(ours).course


# ---- what is refused


@pytest.mark.parametrize(
    "block, words, says",
    [
        ({"model_a": {"gama": 1.0}}, [], "Did you mean 'model.gamma'"),
        ({"modell_a": {"gamma": 1.0}}, [], "Did you mean 'model'"),
        ({"model_c": {}}, [], "unknown setting 'model_c'"),
        ({"shared": {"modle": {}}}, [], "Did you mean 'model'"),
        ({"shared": 5}, [], "shared: must be a block of 'key: value', not 5"),
        ({"a": [1]}, [], "a: must be a block of 'key: value', not [1]"),
        ({"training_a": 5}, [], "training: must be a block"),
        ({"comparison": ["param_distanse"]}, [], "Did you mean 'param_distance'"),
        ({"metrics_a": ["test_los"]}, [], "Did you mean 'test_loss'"),
        ({"callbacks_b": ["lr_decai"]}, [], "Did you mean 'lr_decay'"),
        ({"training_a": {"lr": "fast"}}, [], "takes float"),
        ({"data_a": {"noise_std": 0.1}}, [], "problem.noise_std: must be the same for a and b"),
        ({"data_b": {"data_seed": 3}}, [], "data_seed: None for a, 3 for b; a pair has one"),
        ({"a": {"steps": 3}}, [], "steps: 3 for a, 20 for b; a pair has one"),
        ({"a": {"evaluations": 3}}, [], "evaluations: a pair has one number of them"),
        ({"num_evaluations": 0}, [], "evaluations=0: must be above 0"),
        ({}, ["model.gama=1"], "Did you mean 'model.gamma'"),
        ({}, ["shared.model.gama=1"], "Did you mean 'model.gamma'"),
        ({}, ["training_a.lrr=1"], "Did you mean 'optimizer.lr'"),
        ({}, ["window.resolution=8"], "window.resolution is not read: a sweep has no window"),
        ({"window": {"resolution": 8}}, [], "window"),
    ],
)
def test_what_is_not_understood_is_one_line(block, words, says):
    with pytest.raises(FractaljaxError) as error:
        setting({"shared": SHARED, **SMALL, **block}, *words)
    assert says in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "path, says",
    [
        ("model.gama", "Did you mean 'model.gamma'"),
        ("training.lrr", "Did you mean 'optimizer.lr'"),
        ("training_a.lrr", "Did you mean 'optimizer.lr'"),
        ("shared.model.gama", "Did you mean 'model.gamma'"),
        ("c.model.gamma", "unknown path 'c.model.gamma'"),
        ("model_c.gamma", "unknown path 'model_c.gamma'"),
        ("shared", "unknown path"),
        ("a", "unknown path"),
        ("model_a", "unknown path"),
        ("comparison", "unknown path"),
    ],
)
def test_a_swept_path_that_is_not_there_is_named(path, says):
    with pytest.raises(FractaljaxError) as error:
        setting({"shared": SHARED, **SMALL}).path(path)
    assert says in str(error.value)


@pytest.mark.parametrize("path", ["model_a.gamma", "shared.model.gamma", "comparison"])
def test_words_of_pairs_are_not_of_one_network(path):
    with pytest.raises(FractaljaxError):
        setting(HOUSE, f"{path}=1")
    with pytest.raises(FractaljaxError):
        setting(HOUSE).path(path)
