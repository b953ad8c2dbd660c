"""Settings as text: what is read is used, what is not understood is refused in one line."""

import contextlib
import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

import fractaljax as fj
from fractaljax import cli, config, registry, store
from fractaljax.config.plain_yaml import from_yaml, to_yaml
from fractaljax.errors import FractaljaxError
from fractaljax.spec import ALIASES, PART_ROLES, Spec
from fractaljax.store import records

ROOT = Path(__file__).parent.parent
ALL = sorted((ROOT / "configs").rglob("*.yaml"))
PAIRS = sorted((ROOT / "configs").rglob("comparative/*.yaml"))
STUDIES = [  # and parts of studies and experiments: tests/test_study.py, tests/test_arms.py
    path
    for folder in ("transfer", "growth")
    for path in (ROOT / "configs" / folder).glob("*.yaml")
    if "experiments" not in yaml.safe_load(path.read_text())
]
CONFIGS = [path for path in ALL if path not in (*PAIRS, *STUDIES)]
FUZZ = settings(deadline=None, max_examples=60)


def from_text(text, *overrides, **options):
    return config.experiments(config.parse(text, "some.yaml", "one"), overrides, **options)


def one(text, *overrides, **options):
    (experiment,) = from_text(text, *overrides, **options)
    return experiment


def refused(text, *overrides, **options):
    with pytest.raises(FractaljaxError) as error:
        from_text(text, *overrides, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- every config of the repository


def test_there_are_configs():
    assert {"tanh", "relu", "linear", "single", "minibatch", "offset"} <= {p.stem for p in CONFIGS}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_config_loads_builds_and_survives_a_round_trip(path):
    from fractaljax.engine import program

    for experiment in config.experiments(config.read(path)):
        spec, window = experiment.spec, experiment.window
        fj.prepare(spec.dtype)
        window.check(spec.dtype)
        names = tuple(spec.traced(axis.path) for axis in window.axes)
        for reading in program.readings(spec, names).values():
            assert reading.dtype
        again = one(config.dump(spec, window))
        assert (again.spec, again.window) == (spec, window)
        assert config.digest(again.spec, again.window) == config.digest(spec, window)


@pytest.mark.parametrize("path", PAIRS, ids=lambda p: p.stem)
def test_every_pair_loads_builds_and_survives_a_round_trip(path):
    from fractaljax.engine import program

    setting = config.setting(config.read(path))
    fj.prepare(setting.course.dtype)
    assert program.readings(setting.course, ("a.model.gamma", "b.batch_seed"))
    text = yaml.safe_dump(setting.tree())
    assert config.setting(config.parse(text, "", "again")).course == setting.course


def test_load_takes_the_first_experiment_by_default():
    path = ROOT / "configs/paper/tanh.yaml"
    spec, window = fj.load(path, ["steps=100"])
    assert (spec, window) == fj.load(path, ["steps=100"], only="overview")
    assert (spec.steps, window.x.min, window.shape) == (100, 1e-3, (256, 256))
    assert fj.load(path, only="tile")[1].x.min == 1.329976231e1


# ---- round trips of anything

OVERRIDES = st.fixed_dictionaries(
    {},
    optional={
        "model.width": st.integers(1, 64),
        "model.depth": st.integers(2, 9),
        "model.bias": st.booleans(),
        "model.activation": st.sampled_from(["tanh", "relu", "gelu"]),
        "model.init_scale": st.floats(1e-300, 1e300),
        "problem.points": st.sampled_from([8, "single", "matching", "0.5x"]),
        "optimizer": st.sampled_from(["sgd", "adam", "adamw", "lion", "rmsprop"]),
        "LR": st.floats(0, 1e300),
        "rule": st.sampled_from([None, "drift"]),
        "fold": st.sampled_from(["status", ["measure", "history"], ["final_loss", "probe"]]),
        "schedule": st.sampled_from(["cosine", "constant", "step"]),
        "steps": st.integers(1, 10**9),
        "seed": st.integers(0, 2**32 - 1),
        "dtype": st.sampled_from(["float32", "float64"]),
        "redraw": st.booleans(),
        "axes.LR0.min": st.floats(1e-300, 9e5),
        "axes.LR1.max": st.floats(2e-3, 1e300),
        "window.y": st.sampled_from([None, "LR1", "INIT_SCALE"]),
        "window.resolution": st.sampled_from([7, "5x9", [3, 4]]),
    },
)


@FUZZ
@given(OVERRIDES)
def test_settings_survive_a_round_trip(values):
    words = [f"{k}={yaml.safe_dump(v, default_flow_style=True)}" for k, v in values.items()]
    made = one("{}", *words)
    again = one(config.dump(made.spec, made.window))
    assert (again.spec, again.window) == (made.spec, made.window)
    for path, value in values.items():  # and what was asked for is what there is
        if path in ("steps", "seed", "dtype", "redraw"):
            assert getattr(made.spec, path) == value
        elif path.startswith("model."):
            assert made.spec.paths()[path] == value


# ---- what may be written how


# What YAML 1.2 (10.3.2, core schema) and Python 3.11 make of it; PyYAML 6 reads `010` as 8.
NUMBERS = {
    **{"010": 10, "-007": -7, "009": 9, "00": 0, "+5": 5, "0x1F": 31, "0o17": 15, "0b11": 3},
    **{"1e2": 100, "12E+03": 12_000, "1_000": 1000, "9007199254740991": 2**53 - 1, "0e5": 0},
    **{"1e-3": 1e-3, "-.5": -0.5, "5.": 5.0, "1.0e2": 100.0, "1e16": 1e16, "1_0.5": 10.5},
    **{".inf": math.inf, "-.Inf": -math.inf, "4.9e-324": 5e-324, "0.0e-999": 0.0},
}


@pytest.mark.parametrize(("text", "number"), NUMBERS.items())
def test_a_number_is_read_as_yaml_1_2_and_python_read_it(text, number):
    found = from_yaml(text)
    assert found == number and type(found) is type(number)
    assert from_yaml(f"[{{a: {text}}}]") == [{"a": number}]
    assert from_yaml(f"'{text}'") == text == from_yaml(to_yaml(text))


@pytest.mark.parametrize(
    "text",
    [
        *("1:30", "-1:30:00", "1:30.5", "yes", "No", "on", "OFF", "1__0", "1_", "0x_1"),
        *("1e400", "-1e400", "1e-400", "2026-11-29"),
    ],
)
def test_what_only_yaml_1_1_takes_for_a_value_is_refused_with_its_line(text):
    with pytest.raises(FractaljaxError, match="at line 2"):
        from_yaml(f"a: 1\nb: {text}\n")
    assert from_yaml(f"'{text}'") == text == from_yaml(to_yaml(text))


@FUZZ
@given(st.lists(st.text("019.exbo_:-+ nyf~", max_size=5) | st.sampled_from(["off", "null", ""])))
def test_text_that_is_written_is_read_as_text(texts):
    assert from_yaml(to_yaml(texts)) == texts


@pytest.mark.parametrize("text", ["100", "0100", "1e2", "+1e+2", "1_00", "'100'"])
def test_a_count_is_one_number_in_files_and_overrides(text):
    assert one(f"steps: {text}").spec.steps == one("{}", f"steps={text}").spec.steps == 100
    assert one(f"window: {{resolution: {text}}}").window.x.n == 100


@pytest.mark.parametrize("text", ["1e-3", "1e-03", "1.0e-3", "0.001", "'1e-3'", ".001"])
def test_a_number_is_a_number_however_it_is_written(text):
    assert one(f"optimizer: {{lr: {text}}}").spec.optimizer["lr"] == 1e-3
    assert one("{}", f"optimizer.lr={text}").spec.optimizer["lr"] == 1e-3
    assert one("{}", f"LR={text}").spec.optimizer["lr"] == 1e-3
    assert one(f"axes: {{LR0: {{min: {text}}}}}").window.x.min == 1e-3


@pytest.mark.parametrize("alias", sorted(set(ALIASES) - {"GAMMA"}))  # no model has a gamma yet
def test_aliases_are_taken_wherever_a_path_is(alias):
    optimizer, path = "adam", ALIASES[alias][-1]
    if alias in ("MOMENTUM",):
        optimizer = "sgd"
    head = f"optimizer: {optimizer}\nwindow: {{y: null}}\n"
    in_block = one(f"{head}{alias}: 0.25").spec
    assert in_block.paths()[path] == 0.25
    assert one(head, f"{alias}=0.25").spec == one(head, f"{path}=0.25").spec == in_block
    assert Spec(optimizer=fj.Part(optimizer)).updated({alias: 0.25}) == in_block
    wanted = fj.Axis(path, 0.25, 0.5, 3, "linear")
    block = f"axes: {{{alias}: {{min: 0.25, max: 0.5, scale: linear}}}}\n"
    assert one(f"{head}{block}", f"window.x={alias}", "window.resolution=3").window.x == wanted
    assert one(f"{head}{block}", "window.resolution=3", axes=(alias,)).window.x == wanted
    block = block.replace(alias, path)
    assert one(f"{head}{block}", "window.resolution=3", axes=(alias,)).window.x == wanted
    assert one(f"{head}{block}", "window.resolution=3", axes=(path,)).window.x == wanted


def test_init_offset_is_of_the_rule_where_there_is_one():
    spec = one("rule: drift", "INIT_OFFSET=0.5").spec
    assert (spec.rule["offset"], spec.model["init_offset"]) == (0.5, 0.0)


def test_another_optimizer_drops_the_arguments_of_the_old_one():
    text = "optimizer: {name: sgd, momentum: 0.9, grouping: alternating}"
    assert one(text, "optimizer=adam").spec.optimizer == Spec(optimizer=fj.Part("adam")).optimizer
    kept = one(text, "optimizer.lr=0.5").spec.optimizer
    assert (kept["momentum"], kept["lr"]) == (0.9, 0.5)


@pytest.mark.parametrize(
    "text",
    ["optimizer: {name: sgd, momentum: 0.9}", "optimizer: {momentum: 0.9}"],
)
def test_the_same_optimizer_keeps_its_arguments(text):
    """Whether the name was written down or is the default."""
    assert one(text, "optimizer=sgd").spec.optimizer["momentum"] == 0.9
    assert one(text, "optimizer.name=sgd").spec.optimizer["momentum"] == 0.9


def test_an_experiment_wins_over_defaults_and_an_override_over_both():
    text = "defaults: {steps: 10, seed: 1}\nexperiments: {a: {steps: 20}, b: {}}"
    assert [(e.spec.steps, e.spec.seed) for e in from_text(text)] == [(20, 1), (10, 1)]
    assert [e.spec.steps for e in from_text(text, "steps=30")] == [30, 30]
    assert one(text, only="b").name == "b"


def test_what_was_read_is_not_changed():
    raw = config.parse("defaults: {model: {width: [4, 8]}}\nexperiments: {a: {}}", "x", "x")
    before = yaml.safe_dump(raw)
    config.experiments(raw, ["optimizer=adam", "model.depth=[2,3]"])
    assert yaml.safe_dump(raw) == before


# ---- facets


def test_lists_on_static_paths_are_facets_and_cross():
    text = "model: {depth: [2, 3], residual: [false, true]}\nseed: [5, 6, 7]"
    found = from_text(text)
    wanted = set(itertools.product([2, 3], [False, True], [5, 6, 7]))
    got = [(e.spec.model["depth"], e.spec.model["residual"], e.spec.seed) for e in found]
    assert len(got) == 12 and set(got) == wanted
    assert len({e.name for e in found}) == 12
    assert found[0].name == "one_depth=2_residual=false_seed=5"
    assert len(from_text("{}", "model.width=[4,8]")) == 2


def test_only_takes_the_name_of_a_facet_and_of_all_of_them():
    text = "experiments: {deep: {model: {depth: [2, 3]}}, wide: {model: {width: 4}}}"
    assert [e.name for e in from_text(text, only="deep")] == ["deep_depth=2", "deep_depth=3"]
    assert one(text, only="deep_depth=3").spec.model["depth"] == 3
    assert "Did you mean 'deep_depth=3'" in refused(text, only="deep_depth=4")


@pytest.mark.parametrize(
    "block",
    [
        "{name: [sgd, adam], grouping: alternating, lr: [0.1, 0.2]}",
        "{grouping: alternating, lr: [0.1, 0.2], name: [sgd, adam]}",
    ],
)
def test_a_facet_over_names_keeps_the_other_arguments(block):
    got = [e.spec.optimizer for e in from_text(f"optimizer: {block}")]
    assert {(o.name, o["lr"]) for o in got} == {
        (name, lr) for name in ("sgd", "adam") for lr in (0.1, 0.2)
    }
    assert all(o["grouping"] == "alternating" for o in got)


def test_facets_of_python_are_those_of_a_config():
    specs = fj.facets(Spec(), {"model.depth": [2, 3], "seed": [1, 2]})
    assert specs == [e.spec for e in from_text("model: {depth: [2, 3]}\nseed: [1, 2]")]


@pytest.mark.parametrize("text", ["LR0: [0.1, 0.2]", "optimizer: {lr_in: [0.1, 0.2]}"])
def test_an_alias_may_be_a_facet_as_its_path_may(text):
    assert [e.spec.optimizer["lr_in"] for e in from_text(text)] == [0.1, 0.2]


@pytest.mark.parametrize("text", ["LR0: 0.1", "optimizer: {lr_in: 0.1}", "full"])
@pytest.mark.parametrize("override", ["LR0=0.5", "optimizer.lr_in=0.5"])
def test_an_override_wins_under_either_name(text, override):
    if text == "full":  # what `show` prints sets every path
        text = config.dump(*one("LR0: 0.1")[1:])
    assert one(text, override).spec.optimizer["lr_in"] == 0.5


def test_an_override_of_one_offset_leaves_the_other():
    text = "model: {init_offset: 3}\nrule: {name: drift, offset: 1}"
    spec = one(text, "INIT_OFFSET=0.5").spec
    assert (spec.rule["offset"], spec.model["init_offset"]) == (0.5, 3)


def test_several_folds_at_once():
    spec = one("fold: [measure, {name: history, every: 5}]").spec
    assert [f.name for f in spec.fold] == ["measure", "history"] and spec.fold[1]["every"] == 5
    assert one("{}", "fold=[measure,status]", "fold.status.tail=3").spec.fold[1]["tail"] == 3
    assert [f.name for f in one("fold: [measure, status]", "fold=probe").spec.fold] == ["probe"]


# ---- what is not understood

BAD = {  # text -> words of the message
    "modle: mlp": ["unknown setting 'modle'", "Did you mean 'model'"],
    "model: {widht: 4}": ["model.widht", "Did you mean 'model.width'"],
    "model: mpl": ["unknown model 'mpl'", "Did you mean 'mlp'"],
    "model: null": ["model"],
    "problem: null": ["problem"],
    "optimizer: null": ["optimizer"],
    "model: {width: wide}": ["model.width='wide'", "int"],
    "model: {width: 4.5}": ["model.width=4.5", "int"],
    "model: {width: true}": ["model.width=True", "int"],
    "model: {width: 0}": ["width=0"],
    "model: {width: null}": ["model.width=None"],
    "model: {depth: 1}": ["depth=1"],
    "model: {bias: maybe}": ["model.bias='maybe'", "bool"],
    "model: {5: 1}": ["model.5"],
    "model: {self: 1}": ["model.self"],
    "model: {activation: tahn}": ["Did you mean 'tanh'"],
    "model: {slope: 0.2}": ["slope=0.2 is not read"],
    "optimizer: {lr: fast}": ["optimizer.lr='fast'"],
    "optimizer: {lr: .nan}": ["optimizer.lr=nan"],
    "optimizer: {lr: -1}": ["lr=-1"],
    "optimizer: {lr: .inf}": ["lr=inf"],
    "optimizer: {nesterov: true}": ["nesterov=True is not read"],
    "problem: {sampling: epochs}": ["sampling=epochs is not read"],
    "problem: {batch: -1}": ["batch=-1"],
    "schedule: {name: cosin}": ["Did you mean 'cosine'"],
    "rule: {offset: 1}": ["rule", "name"],
    "fold: measur": ["Did you mean 'measure'"],
    "fold: []": ["fold: at least one"],
    "fold: {measure: {tale: 5}}": ["fold.measure.tale", "Did you mean 'fold.measure.tail'"],
    "fold: {measure: 5}": ["fold.measure"],
    "fold: {measure: {name: x}}": ["fold.measure.name"],
    "fold: {measure: {self: 1}}": ["fold.measure.self"],
    "fold: {measure: {5: 1}}": ["fold.measure.5"],
    "fold: [{tail: 5}]": ["has no name"],
    "fold: [measure, measure]": ["measure", "once"],
    "fold: [{name: history, every: 2}, {name: history, every: 5}]": ["history", "once"],
    "steps: 0": ["steps=0", "1 to"],
    "steps: -5": ["steps=-5"],
    "steps: many": ["steps='many'"],
    "steps: .inf": ["steps=inf"],
    "steps: []": ["steps", "empty"],
    "steps: {a: 1}": ["steps"],
    "seed: -1": ["seed=-1"],
    "seed: 4294967296": ["seed=4294967296"],
    "dtype: float16": ["dtype 'float16'", "float32, float64"],
    "redraw: true\ndraws: legacy": ["redraw"],
    "axes: {LR2: {min: 1, max: 2}}": ["LR2", "Did you mean"],
    "axes: {LR0: {mim: 1}}": ["axes.LR0.mim", "Did you mean 'axes.LR0.min'"],
    "axes: {LR0: {min: low}}": ["axes.LR0.min='low'", "number"],
    "axes: {LR0: {min: 5, max: 1}}": ["min=5.0 must be below max=1.0"],
    "axes: {LR0: {min: 0}}": ["above 0"],
    "axes: {LR0: {scale: lgo}}": ["Did you mean 'log'"],
    "axes: {LR0: 5}": ["axes.LR0", "block"],
    "axes: {LR0: {min: 1}, optimizer.lr_in: {min: 2}}": ["LR0", "optimizer.lr_in"],
    "axes: 5": ["axes", "block"],
    "window: {z: LR0}": ["window.z", "Did you mean 'window."],
    "window: {x: model.depth}": ["model.depth is static"],
    "window: {x: MOMENTM}": ["Did you mean 'MOMENTUM'"],
    "window: {x: LR0, y: optimizer.lr_in}": ["both axes are optimizer.lr_in"],
    "window: {x: schedule.warmup}": ["axis schedule.warmup: no range"],
    f"axes: {{LR0: {{max: 1{'0' * 400}}}}}": ["axes.LR0.max=", "number"],
    f"optimizer: {{lr: 1{'0' * 400}}}": ["lr="],
    f"steps: 1{'0' * 5000}": ["some.yaml"],
    "window: {resolution: [.inf, 4]}": ["window.resolution="],
    "window: {resolution: [4.7, 4]}": ["window.resolution="],
    "LR0: 0.1\noptimizer: {lr_in: 0.2}": ["LR0 and optimizer.lr_in are one setting"],
    "window: {resolution: 0}": ["window.resolution=0"],
    "window: {resolution: 4x5x6}": ["window.resolution='4x5x6'"],
    "window: {resolution: [4, many]}": ["window.resolution="],
    "window: {resolution: 99999999999999}": ["allowed are 1 to"],
    "window: [LR0]": ["window", "block"],
    "BETA2: 0.9": ["unknown path 'BETA2'", "WEIGHT_DECAY"],
    "LR0: 0.1\noptimizer: {lr_in: 0.1, lr_out: 0.2, lr: 0.3}": ["lr is not read"],
    "experiments: {a: {stpes: 5}}": ["stpes", "Did you mean 'steps'"],
    "experiments: {a: 5}": ["a: must be a block"],
    "experiments: {../../away: {}}": ["../../away"],
    "experiments: {/tmp/away: {}}": ["/tmp/away"],
    "experiments: {..: {}}": [".."],
    "experimnts: {}\ndefaults: {}": ["experimnts", "Did you mean 'experiments'"],
    "defaults: 5": ["defaults: must be a block"],
    "steps: 5\nsteps: 6": ["key 'steps' is given twice", "line 1"],
    "defaults:\n  model: {width: 4, width: 5}": ["key 'width' is given twice", "line 2"],
    "plugins: [no_such_module_of_mine]": ["no_such_module_of_mine"],
    "plugins: 5": ["plugins"],
    "plugins: [5]": ["plugins"],
    "plugins: ['']": ["plugins"],
    "plugins: [.relative]": ["plugins"],
    "[1, 2]": ["some.yaml", "block"],
    "just words": ["some.yaml", "block"],
    "model: {width: [4}": ["some.yaml", "not valid YAML"],
    "steps: 2020-13-45": ["some.yaml"],
    "steps: 0x_": ["some.yaml"],
    "!!map [1, 2]": ["some.yaml"],
    "!!python/object/apply:os.system [id]": ["some.yaml"],
    "steps: &a [*a]": ["some.yaml", "an alias within what it stands for"],
    "[" * 5000: ["some.yaml"],
}


@pytest.mark.parametrize("text", BAD, ids=lambda t: t[:50])
def test_what_is_not_understood_is_refused_by_name(text):
    message = refused(text)
    for words in BAD[text]:
        assert words in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("steps", "path=value"),
        ("=5", "path=value"),
        ("stps=5", "Did you mean 'steps'"),
        ("model.widht=4", "Did you mean 'model.width'"),
        ("model.width.more=4", "model.width"),
        ("steps.more=4", "steps"),
        ("model.=4", "model."),
        (".width=4", "override '.width=4': a word"),
        ("model.width=[4", "not valid YAML"),
        ("steps=2020-13-45", "steps=2020-13-45"),
        ("fold.histroy.every=5", "Did you mean 'history'"),
        ("a\nb=5", "unknown setting"),
        ("steps=" + "[" * 5000, "steps"),
    ],
)
def test_an_override_is_read_or_refused(override, words):
    assert words in refused("{}", override)


def test_a_file_that_is_missing_names_the_nearest(tmp_path):
    (tmp_path / "tanh.yaml").write_text("{}")
    with pytest.raises(FractaljaxError, match="Did you mean"):
        config.read(tmp_path / "than.yaml")
    with pytest.raises(FractaljaxError, match="no file"):
        config.read(tmp_path / "none" / "than.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FractaljaxError, match="cannot be read as text"):
        config.read(tmp_path / "binary.yaml")
    with pytest.raises(FractaljaxError):
        config.read(tmp_path / ("x" * 5000))


# ---- whatever is typed

KEYS = "fold steps seed dtype axes window defaults experiments name width mlp sgd measure lr self x"
WORDS = st.sampled_from([*PART_ROLES, *ALIASES, *KEYS.split(), "resolution"])
LEAVES = WORDS | st.text(max_size=8) | st.integers() | st.floats() | st.booleans() | st.none()
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | LEAVES, inner, max_size=3),
    max_leaves=12,
)


@FUZZ
@given(st.dictionaries(WORDS, TREES, max_size=4))
def test_any_tree_is_a_config_or_one_clear_error(tree):
    with contextlib.suppress(FractaljaxError):
        for experiment in from_text(yaml.safe_dump(tree)):
            assert one(config.dump(experiment.spec, experiment.window)).spec == experiment.spec


@FUZZ
@example("0x_: 1")
@example("? - a")
@given(st.text(alphabet="ab01: {}[],-\n&*!|>'\"#?%@`x._=<", max_size=40))
def test_any_text_is_a_config_or_one_clear_error(text):
    with contextlib.suppress(FractaljaxError):
        from_text(text)


@FUZZ
@given(WORDS | st.text(max_size=6), st.lists(WORDS | st.text(max_size=6), max_size=3), TREES)
def test_any_override_is_taken_or_refused(first, rest, value):
    text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True)
    with contextlib.suppress(FractaljaxError):
        from_text("{}", f"{'.'.join([first, *rest])}={text}")


# ---- plugins

PLUGIN = """
import fractaljax as fj
from fractaljax.parts.models import mlp

@fj.register("model", "{name}")
def mine(width: int = 3, gain: float = 1.0) -> fj.Model:
    '''A model of mine.'''
    return mlp(width=width, init_scale=gain)
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A module in the working directory that registers a model, gone again afterwards."""
    name = f"plugin_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(PLUGIN.format(name=name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield name
    sys.modules.pop(name, None)
    registry._PARTS["model"].pop(name, None)


@pytest.mark.parametrize("written", ["plugins: {0}", "plugins: [{0}]"])
def test_a_plugin_registers_parts(plugin, written):
    text = f"{written.format(plugin)}\ndefaults: {{model: {{name: {plugin}, width: 5}}}}"
    made = one(text)
    assert made.spec.model["width"] == 5
    assert made.spec.traced("model.gain") == "model.gain"


def test_a_plugin_is_named_on_the_command_line_too(plugin, capsys):
    Path("c.yaml").write_text(f"plugins: {plugin}\ndefaults: {{model: {plugin}}}\n")
    assert cli.main(["show", "c.yaml"]) == 0
    shown = capsys.readouterr().out
    assert yaml.safe_load(shown)["plugins"] == [plugin]
    Path("d.yaml").write_text(f"model: {plugin}\n")
    assert cli.main(["show", "d.yaml", "--plugin", plugin]) == 0
    assert cli.main(["list", "model", "--plugin", plugin]) == 0
    assert "A model of mine." in capsys.readouterr().out


def test_a_plugin_that_breaks_is_named(plugin):
    Path("broken_plugin_of_mine.py").write_text("def f(:\n")
    assert "broken_plugin_of_mine" in refused("plugins: broken_plugin_of_mine")
    Path("raising_plugin_of_mine.py").write_text("1 / 0\n")
    assert "division by zero" in refused("plugins: raising_plugin_of_mine")


def made_with(plugin, tmp_path):
    """A result on disk whose Spec needs the plugin, as another process finds it."""
    from fractaljax.ledger import Reading

    made = one(f"plugins: [{plugin}]\ndefaults: {{model: {plugin}, window: {{resolution: 4}}}}")
    ledger = store.Store(tmp_path / "result", made.spec, made.window)
    ledger.begin({"measure": Reading((), "float32")}, {"chunk": 1, "tile": 4, "backend": "cpu"})
    for index, tile in ledger.pending():
        ledger.write(index, tile, {"measure": -np.ones(tile.shape, np.float32)})
    ledger.finish({"wall_s": 1.0, "pixels": 16})
    sys.modules.pop(plugin)
    registry._PARTS["model"].pop(plugin)
    return tmp_path / "result"


def test_a_result_never_imports_a_plugin_by_itself(plugin, tmp_path):
    """A folder or picture may come from anywhere; only the user's own config names code."""
    result = made_with(plugin, tmp_path)
    with pytest.raises(FractaljaxError, match=plugin):
        store.open_field(result)
    assert plugin not in sys.modules
    file = result / "field" / "zarr.json"
    attributes = yaml.safe_load(file.read_text())["attributes"]["fractaljax"]
    hostile = {"plugins": [plugin], "experiments": {"stored": attributes["settings"]}}
    records.write(file.parent, {**attributes, "settings": hostile})
    with pytest.raises(FractaljaxError):
        store.open_field(result)
    assert plugin not in sys.modules


def test_a_picture_never_imports_a_plugin_by_itself(plugin, tmp_path):
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text("fractaljax", f"plugins: [{plugin}]\nexperiments: {{a: {{model: {plugin}}}}}")
    Image.new("L", (2, 2)).save(tmp_path / "picture.png", pnginfo=info)
    assert cli.main(["show", str(tmp_path / "picture.png")]) == 2
    assert plugin not in sys.modules


def test_a_result_of_a_plugin_is_shown_and_drawn_when_the_user_names_it(plugin, tmp_path, capsys):
    result = made_with(plugin, tmp_path)
    assert cli.main(["show", str(result)]) == 2
    assert plugin in capsys.readouterr().err
    assert cli.main(["show", str(result), "--plugin", plugin]) == 0
    assert cli.main(["render", str(result), "--plugin", plugin]) == 0
    assert (result / "image.png").exists()


@pytest.mark.parametrize(
    "text",
    ["model: {0.0: [1]}", "model: {a.b: [1]}", "fold: {0: {tail: [1]}}", "fold: {a.b: {c: [1]}}"],
)
def test_a_list_under_an_odd_key_is_one_clear_error(text):
    with pytest.raises(FractaljaxError):
        from_text(text)


def test_a_nameless_part_with_an_odd_key_is_one_clear_error():
    with pytest.raises(FractaljaxError, match="rule: a name is needed beside 0"):
        from_text("rule: {0: null}")
