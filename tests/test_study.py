"""The text of a study: what its files say together, and what is refused."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import fractaljax as fj
from fractaljax.config.study import Study, parse_study, read_study
from fractaljax.engine import cohort
from fractaljax.errors import FractaljaxError
from fractaljax.spec import build

CONFIGS = Path(__file__).parent.parent / "configs" / "transfer"
STUDIES = ("digits", "mnist")
SMALL = {
    "problem": {
        "name": "digits",
        "batch": 64,
        "sampling": "passes",
        "scaling": "unit",
        "validation": 100,
        "test": 200,
    },
    "model": {"name": "mlp", "bias": True},
    "optimizer": "adamw",
    "stopping": "patience",
    "epochs": 10,
    "architectures": [[8], [12, 6]],
    "space": {"lr": {"min": 1e-3, "max": 0.1, "scale": "log"}},
}


def small(*overrides, **changes):
    tree = {key: value for key, value in {**SMALL, **changes}.items() if value is not ...}
    return parse_study(tree, "small", overrides)


def refused(*overrides, **changes):
    with pytest.raises(FractaljaxError) as error:
        small(*overrides, **changes)
    assert "\n" not in str(error.value)
    return str(error.value)


def written(folder, **files):
    for name, tree in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    return folder


# ---- the studies of the repository


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_is_read_and_survives_a_round_trip(name):
    study = read_study(CONFIGS / f"{name}.yaml")
    assert parse_study(json.loads(json.dumps(study.tree)), "another") == study
    assert (
        parse_study(yaml.safe_load(yaml.safe_dump(study.tree, sort_keys=False)), "another") == study
    )
    assert len(study.specs) == 8 and len(study.space) == 7 and study.search_seed == 1


def test_the_others_of_the_folder_are_parts_of_studies_or_scans():
    parts = {"defaults", "search_space", "architectures", "digits_architectures"}
    names = {path.stem for path in CONFIGS.glob("*.yaml")}
    scans = {p.stem for p in CONFIGS.glob("*.yaml") if "experiments" in yaml.safe_load(p.open())}
    assert names == {*STUDIES, *parts, *scans}
    extended = {
        Path(one).stem
        for name in STUDIES
        for one in yaml.safe_load((CONFIGS / f"{name}.yaml").open())["extends"]
    }
    assert extended == parts


def test_the_published_study_is_the_published_one():
    study = read_study(CONFIGS / "mnist.yaml")
    assert (study.trials, study.epochs, study.sampler) == (30, 1000, "random")
    assert study.retrain_seeds == study.transfer_seeds == (1, 2, 3, 4, 5)
    spec = study.specs["252x32x16"]
    paths = spec.paths()
    told = {
        "model.activation": "leaky_relu",
        "model.parametrisation": "torch",
        "model.bias": True,
        "problem.dataset": "mnist",
        "problem.batch": 4096,
        "problem.sampling": "passes",
        "problem.scaling": "unit",
        "problem.validation": 10000,
        "problem.test_split": "test",
        "problem.loss": "cross_entropy",
        "stopping.patience": 4,
        "stopping.min_delta": 0.0,
        "stopping.interval": 4,
        "stopping.schedule": ((100, 5),),
        "schedule.warmup": 0.0,
        "data_seed": 1,
        "seed": 1,
    }
    assert {path: paths[path] for path in told} == told
    assert (spec.optimizer.name, spec.fold) == ("adamw", ())


@pytest.mark.parametrize(
    ("name", "inputs", "count"), [("mnist", 784, 206_614), ("digits", 64, 6398)]
)
def test_all_architectures_of_a_study_have_as_many_parameters(name, inputs, count):
    for spec in read_study(CONFIGS / f"{name}.yaml").specs.values():
        model = build(spec, "model", {})
        params = jax.eval_shape(
            lambda key, model=model: model.init(model.draw(key, jnp.zeros((1, inputs)), 10)),
            jax.random.key(0),
        )
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


def test_the_small_study_can_be_trained():
    study = read_study(CONFIGS / "digits.yaml")
    fj.prepare("float32")
    names = tuple(dimension.path for dimension in study.space)
    point = np.array([[dimension.low for dimension in study.space]])
    for spec in list(study.specs.values())[::7]:  # the narrowest and the widest end
        assert cohort.check(spec, (*names, "seed"), np.column_stack([point, [1]]))


# ---- files that extend one another


def test_files_are_laid_in_order_and_the_file_itself_last(tmp_path):
    folder = written(
        tmp_path,
        a={"epochs": 5, "problem": {"batch": 16, "validation": 50}, "search": {"trials": 3}},
        b={"problem": {"name": "digits", "batch": 32}, "search": {"seed": 7}},
        mine={
            **{key: SMALL[key] for key in ("model", "optimizer", "stopping", "space")},
            "extends": ["a.yaml", "b.yaml"],
            "architectures": [[4]],
            "problem": {"test": 60},
            "search": {"trials": 9},
        },
    )
    study = read_study(folder / "mine.yaml")
    problem = dict(study.specs["4"].problem.args)
    assert (problem["batch"], problem["validation"], problem["test"]) == (32, 50, 60)
    assert (study.epochs, study.trials, study.search_seed, study.name) == (5, 9, 7, "mine")


def test_a_file_below_may_extend_others(tmp_path):
    (tmp_path / "deep").mkdir()
    written(tmp_path / "deep", low={"epochs": 5}, high={"extends": ["low.yaml"], "name": "high"})
    written(tmp_path, mine={**SMALL, "extends": ["deep/high.yaml"], "epochs": 6})
    study = read_study(tmp_path / "mine.yaml")
    assert (study.name, study.epochs) == ("high", 6)


def test_the_space_is_laid_value_by_value(tmp_path):
    base = {
        "lr": {"path": "optimizer.lr", "min": 1e-5, "max": 3e-2, "scale": "log"},
        "beta1": {"min": 0.8, "max": 0.9},
        "beta2": {"choices": [0.9, 0.99]},
        "eps": {"min": 1e-9, "max": 1e-6, "scale": "log"},
    }
    mine = {
        "lr": {"max": 0.5},
        "beta1": {"choices": [0.9]},
        "beta2": {"min": 0.9, "max": 0.95},
        "eps": None,
        "model.dropout": {"min": 0.0, "max": 0.5},
    }
    folder = written(
        tmp_path,
        base={**SMALL, "space": base, "architectures": {"deep": [4, 4], "wide": [9]}},
        mine={"extends": ["base.yaml"], "space": mine, "architectures": [[5]]},
    )
    study = read_study(folder / "mine.yaml", ["space.lr.min=1e-4"])
    shown = [tuple(dimension)[1:] for dimension in study.space]
    assert shown[0] == ("optimizer.lr", 1e-4, 0.5, "log", ())
    assert shown[1][0] == "optimizer.beta1" and shown[1][4] == (0.9,)
    assert shown[2] == ("optimizer.beta2", 0.9, 0.95, "uniform", ())
    assert shown[3] == ("model.dropout", 0.0, 0.5, "uniform", ())
    assert list(study.specs) == ["5"]  # those of the file, and no others


def test_files_that_extend_in_a_circle_are_refused(tmp_path):
    written(
        tmp_path, a={"extends": ["b.yaml"]}, b={"extends": ["a.yaml"]}, c={"extends": ["c.yaml"]}
    )
    for name in "abc":
        with pytest.raises(FractaljaxError, match="extends itself"):
            read_study(tmp_path / f"{name}.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: [defaults.yml]", "Did you mean"),
        ("extends: defaults.yaml", "extends: takes a list of files"),
        ("extends: [1]", "extends: takes a list of files"),
        ("[1, 2]", "a study: must be a block"),
        ("", "a study: must be a block"),
        ("epochs: 3\nepochs: 4", "given twice"),
        ("a: b: c", "not valid YAML"),
        ("problem.batch: 3", "'problem.batch': a path is for overrides"),
        ("\x00", "not valid YAML"),
    ],
)
def test_a_bad_file_is_one_line_with_its_name(tmp_path, text, said):
    written(tmp_path, defaults=SMALL)
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(FractaljaxError) as error:
        read_study(tmp_path / "mine.yaml")
    assert said in str(error.value) and str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["none.yaml", "x" * 300 + ".yaml", "."])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(FractaljaxError, match=r"no file|Did you mean|unknown study"):
        read_study(tmp_path / name)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FractaljaxError, match="cannot be read as text"):
        read_study(tmp_path / "mine.yaml")


# ---- overrides


def test_overrides_win():
    study = small(
        "search.trials=5",
        "search.seed=9",
        "search.draw_seed=11",
        "epochs=50",
        "problem.batch=32",
        "retrain.seeds=[1, 2]",
        "transfer.seeds=[3]",
        "space.lr.max=0.2",
        "name=other",
        "stopping.patience=2",
        "LR=0.5",
        "training.min_delta=0.25",
        "architectures=[[3], [4]]",
    )
    assert (study.trials, study.search_seed, study.draw_seed) == (5, 9, 11)
    assert (study.epochs, study.retrain_seeds, study.transfer_seeds) == (50, (1, 2), (3,))
    assert (study.space[0].high, study.name, list(study.specs)) == (0.2, "other", ["3", "4"])
    paths = study.specs["3"].paths()
    assert (paths["problem.batch"], paths["stopping.patience"], paths["seed"]) == (32, 2, 9)
    assert (paths["optimizer.lr"], paths["stopping.min_delta"]) == (0.5, 0.25)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.trials", "must be path=value"),
        ("search.trails=5", "Did you mean 'search.trials'?"),
        ("serch.trials=5", "Did you mean 'search'?"),
        ("problem.btch=3", "Did you mean 'problem.batch'?"),
        ("space.lr.mx=3", "Did you mean 'space.lr.max'?"),
        ("space.lr=3", "space.lr: must be a block"),
        ("space=3", "space: must be a block"),
        ("extends=[a.yaml]", "unknown setting 'extends'"),
        ("steps=5", "steps is not read: epochs says"),
    ],
)
def test_bad_overrides(override, said):
    assert said in refused(override)


# ---- seeds and phases


def test_defaults():
    study = small()
    assert (study.name, study.trials, study.sampler, study.batch) == ("small", 30, "random", 0)
    assert (study.search_seed, study.draw_seed) == (1, 1)
    assert study.retrain_seeds == study.transfer_seeds == (1, 2, 3, 4, 5)
    assert small(epochs=...).epochs == 1000


def test_the_held_out_points_do_not_depend_on_the_seeds_of_retraining():
    spec = small("search.seed=3").specs["8"]
    assert (spec.seed, spec.data_seed, spec.model_seed, spec.batch_seed) == (3, 3, None, None)
    assert small("search.seed=3", data_seed=8).specs["8"].data_seed == 8
    assert spec.traced("seed") == "seed"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.trials=0", "search.trials=0: takes a whole number from 1"),
        ("search.trials=2.5", "search.trials=2.5: takes a whole number"),
        ("search.trials=true", "search.trials=True: takes a whole number"),
        ("search.seed=-1", "search.seed=-1"),
        ("search.seed=4294967296", "from 0 to 4294967295"),
        ("search.draw_seed=4294967296", "search.draw_seed=4294967296"),
        ("search.batch=-1", "search.batch=-1"),
        ("epochs=0", "epochs=0: takes a whole number from 1"),
        ("epochs=many", "epochs='many'"),
        ("retrain.seeds=[]", "retrain.seeds=[]: takes a list"),
        ("retrain.seeds=3", "retrain.seeds=3: takes a list"),
        ("retrain.seeds=[1, 1]", "a seed is given twice"),
        ("transfer.seeds=[4294967296]", "transfer.seeds=4294967296"),
        ("transfer.seeds=[1.5]", "transfer.seeds=1.5"),
        ("retrain.seed=1", "Did you mean 'retrain.seeds'?"),
        ("retrain=3", "retrain: must be a block"),
        ("search=3", "search: must be a block"),
        ("name=a/b", "name='a/b': must be a text that can name a folder"),
        ("name=..", "name='..'"),
        ("name=5", "name=5"),
        ("search.sampler=tp", "Did you mean 'tpe'?"),
        ("search.sampler=tpe", "search.batch=0: tpe learns between batches; give one from 1 to 29"),
    ],
)
def test_bad_values(override, said):
    assert said in refused(override)


@pytest.mark.parametrize("batch", [0, 30, 31])
def test_a_sampler_that_learns_needs_several_batches(batch):
    assert "learns between batches" in refused(search={"sampler": "cmaes", "batch": batch})
    assert small(search={"sampler": "cmaes", "batch": 29}).batch == 29


# ---- what a study needs


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stopping": ...}, "stopping: a study needs it"),
        ({"stopping": None}, "stopping: a study needs it"),
        ({"problem": {**SMALL["problem"], "validation": 0}}, "needs points of digits held out"),
        ({"problem": {**SMALL["problem"], "test": 0}}, "problem.test: a study needs test data"),
        (
            {"problem": {"name": "tfds", "validation": 9, "batch": 8, "sampling": "passes"}},
            "problem.test_split: a study needs test data of tfds",
        ),
        ({"architectures": ...}, "architectures: at least one is needed"),
        ({"space": ...}, "space: at least one value must be searched"),
        ({"space": {"lr": None}}, "space: at least one value must be searched"),
        ({"seed": 0}, "seed is not read: search.seed"),
        ({"steps": 500}, "steps is not read: epochs"),
        ({"fold": "measure"}, "fold is not read"),
        ({"axes": {}}, "axes is not read: a study has no window"),
        ({"model_seed": 1, "batch_seed": 1}, "retrain.seeds: seed is static"),
        ({"plugins": ["no_such_module"]}, "plugins: cannot import 'no_such_module'"),
        ({"modle": "mlp"}, "Did you mean 'model'?"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
    ],
)
def test_what_a_study_needs(changes, said):
    assert said in refused(**changes)


# ---- architectures


def test_architectures_have_names_and_settings():
    study = small(
        architectures={
            "narrow": [8],
            "smooth": {"model.widths": [8], "model.activation": "relu"},
            "square": {"model": {"width": 6, "depth": 3}},
            "shared": {},
            "slow": {"schedule": {"name": "cosine"}, "model.widths": [8]},
        }
    )
    base = small(architectures={"shared": {}}).specs["shared"]
    args = {name: dict(spec.model.args) for name, spec in study.specs.items()}
    assert args["narrow"] == dict(base.model.args) | {"widths": (8,)}
    assert args["smooth"] == dict(base.model.args) | {"widths": (8,), "activation": "relu"}
    assert args["square"] == dict(base.model.args) | {"width": 6, "depth": 3}
    assert study.specs["shared"] == base
    assert study.specs["slow"].schedule.name == "cosine"
    assert study.specs["slow"].problem == base.problem
    assert parse_study(study.tree, "again") == study


def test_architectures_may_be_other_models():
    study = small(
        architectures={"mlp": [8], "linear": {"model": "linear"}, "mlp2": {"model.width": 4}}
    )
    assert [spec.model.name for spec in study.specs.values()] == ["mlp", "linear", "mlp"]
    assert parse_study(study.tree, "again") == study


def test_the_published_form_of_architectures():
    study = small(architectures=..., mlp_layer_widths=[[8], [5, 6]], two_layer_widths=[[7, 7]])
    assert list(study.specs) == ["8", "5x6", "7x7"]
    assert study.specs["5x6"].model["widths"] == (5, 6)
    inside = small(architectures={"mlp_layer_widths": [[8], [5, 6]], "two_layer_widths": [[7, 7]]})
    assert inside == study


@pytest.mark.parametrize(
    ("architectures", "said"),
    [
        ([], "at least one is needed"),
        ([[8], [8]], "architectures.8: is given twice"),
        ({"a": [8], "b": [8]}, "architectures.b: is the same as a"),
        ({"a": [8], "b": {"model.widths": [8]}}, "architectures.b: is the same as a"),
        ([8], "architectures: 8: takes widths"),
        ([[]], "architectures: []: takes widths"),
        ([[8.5]], "architectures: [8.5]: takes widths"),
        ([[True]], "architectures: [True]: takes widths"),
        ({"a": 8}, "architectures.a: 8: takes widths"),
        ([[0]], "architectures.0: model: widths"),
        ({"a/b": [8]}, "architectures.a/b: cannot be the name of a folder"),
        ({"targets": [8]}, "architectures.targets: cannot be the name of a folder"),
        ({"..": [8]}, "cannot be the name of a folder"),
        ("8x8", "architectures: must be a block"),
        ({"a": {"model.wdths": [8]}}, "Did you mean 'model.widths'?"),
        ({"a": {"problem.batch": 3}}, "problem.batch: an architecture may differ in model"),
        ({"a": {"epochs": 3}}, "epochs: an architecture may differ in model"),
        ({"a": {"model": "mpl"}}, "Did you mean 'mlp'?"),
        ({"x_layer_widths": [[8], 8]}, "architectures.x_layer_widths: 8: takes widths"),
    ],
)
def test_bad_architectures(architectures, said):
    assert said in refused(architectures=architectures)


def test_every_architecture_must_have_the_space():
    space = {"model.dropout": {"min": 0.0, "max": 0.5}}
    said = refused(space=space, architectures={"mlp": [8], "linear": {"model": "linear"}})
    assert said.startswith(
        "architectures.linear: space.model.dropout: unknown path 'model.dropout'"
    )


def test_what_an_architecture_says_is_not_searched():
    space = {"model.dropout": {"min": 0.0, "max": 0.5}}
    some = {"a": {"model.widths": [8], "model.dropout": 0.1}, "b": [9]}
    assert "space.model.dropout: model.dropout is that of an" in refused(
        space=space, architectures=some
    )
    assert dict(small(architectures=some).specs["a"].model.args)["dropout"] == 0.1


# ---- the published words


def test_the_published_words_are_understood():
    theirs = {
        "project_name": "mnist-mlp-hyperparam",
        "training": {
            "batch_size": 128,
            "max_epochs": 77,
            "patience": 7,
            "min_delta": 0.5,
            "val_interval": 3,
            "val_schedule": [
                {"until_epoch": 10, "interval": 2},
                {"until_epoch": 50, "interval": 5},
            ],
            "optimizer": "adamw",
            "loss": "cross_entropy",
        },
        "data": {"val_size": 111},
        "search": {"num_trials": 6},
        "problem": {"name": "digits", "sampling": "passes", "test": 10},
    }
    study = parse_study(
        {**theirs, **{key: SMALL[key] for key in ("architectures", "space")}}, "small"
    )
    assert (study.name, study.epochs, study.trials) == ("mnist-mlp-hyperparam", 77, 6)
    paths = study.specs["8"].paths()
    told = {
        "problem.batch": 128,
        "problem.validation": 111,
        "problem.test": 10,
        "stopping.patience": 7,
        "stopping.min_delta": 0.5,
        "stopping.interval": 3,
        "stopping.schedule": ((10, 2), (50, 5)),
    }
    assert {path: paths[path] for path in told} == told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"device": "cuda"}, "device is not read: JAX takes"),
        ({"deterministic": False}, "deterministic is not read"),
        ({"output_dir": "runs"}, "output_dir is not read: --out"),
        ({"phase": "search"}, "phase is not read"),
        ({"dropouts": [0.1]}, "dropouts is not read: values of one architecture"),
        ({"adamw": {}}, "adamw is not read: what is searched"),
        ({"artifacts": {"save_plots": True}}, "artifacts is not read"),
        ({"training": {"log_interval": 1}}, "training.log_interval is not read: progress"),
        ({"training": {"lr": 0.1}}, "training.lr is not read: the search draws it"),
        ({"data": {"preload": "cuda"}}, "data.preload is not read"),
        ({"data": {"train_size": 5}}, "data.train_size is not read"),
        ({"transfer": {"search_dir": "a"}}, "transfer.search_dir is not read"),
        ({"training": {"patiense": 3}}, "Did you mean 'training.patience'?"),
        ({"training": 3}, "training: must be a block"),
        ({"training": {"max_epochs": 3}}, "training.max_epochs and epochs are one setting"),
        ({"training": {"batch_size": 3}}, "training.batch_size and problem.batch are one setting"),
        ({"training": {"val_schedule": 3}}, "training.val_schedule=3: takes"),
        ({"num_trials": 3, "search": {"trials": 3}}, "num_trials and search.trials are one"),
        (
            {"stopping": ..., "training": {"val_schedule": [{"interval": 4}, {"until_epoch": 1}]}},
            "what holds after the last is training.val_interval",
        ),
    ],
)
def test_published_words_that_nobody_reads(changes, said):
    assert said in refused(**changes)


# ---- anything at all

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 2**33), st.floats(), st.text(max_size=4), st.just([])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = st.sampled_from(
    [
        *SMALL,
        "name",
        "search",
        "retrain",
        "transfer",
        "training",
        "data",
        "x_layer_widths",
        "LR",
        "é",
    ]
)


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=2))
def test_anything_is_a_study_or_one_line(changes):
    try:
        study = small(**changes)
    except FractaljaxError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(study, Study) and parse_study(study.tree, "again") == study


def test_a_study_is_not_changed_by_reading_it():
    tree = json.loads(json.dumps(SMALL))
    study = parse_study(tree, "small", ["search.trials=3", "problem.batch=9", "space.lr.max=0.9"])
    assert tree == json.loads(json.dumps(SMALL))
    assert dataclasses.is_dataclass(study.specs["8"]) and study.tree["search"]["trials"] == 3
