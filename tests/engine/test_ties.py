"""Settings that the published experiment makes of each other: a line where one is changed alone."""

import pytest

import fractaljax as fj
from fractaljax import cli
from fractaljax.engine import program, ties
from fractaljax.families.fractal import check, prepare

PAPER = ("linear", "relu", "single", "minibatch", "tanh", "offset")
WARNED = [  # a published config, what is changed, what is named in each line
    ("tanh", ["model.width=8"], ["problem.inputs=16|model.width=8|set problem.inputs=8"]),
    ("tanh", ["problem.inputs=8"], ["problem.inputs=8|model.width=16|set problem.inputs=16"]),
    ("tanh", ["model.widths=[8, 8]"], ["problem.inputs=16|model.widths=8|set problem.inputs=8"]),
    ("tanh", ["model.widths=[16, 8]"], ["model.widths=[16, 8]|set model.width and model.depth"]),
    (
        "linear",
        ["model.width=8"],
        [
            "problem.inputs=16|model.width=8|set problem.inputs=8",
            "problem.points=16|model.width=8|set problem.points=8",
        ],
    ),
    (
        "tanh",
        ["model.activation=linear"],
        ["problem.points=matching|model.width=16|set problem.points=16"],
    ),
    ("linear", ["problem.points=0.5x"], ["problem.points=0.5x|set problem.points=8"]),
    ("linear", ["model.activation=tanh"], ["problem.points=16|272 weights|points=matching"]),
    (
        "tanh",
        ["problem.points=100"],
        ["problem.points=100|272 weights|set problem.points=matching"],
    ),
    (
        "tanh",
        ["model.depth=3", "optimizer.grouping=position"],
        ["optimizer.grouping=position|model.depth=3|set optimizer.grouping=alternating"],
    ),
    (
        "offset",
        ["optimizer.lr_in=1.0"],
        ["optimizer.lr_in=1.0|rule=drift|set optimizer.lr instead"],
    ),
    (
        "tanh",
        ["rule=drift"],
        ["optimizer.lr_in=an axis|rule=drift", "optimizer.lr_out=an axis|rule=drift"],
    ),
]
SILENT = [
    *((config, []) for config in PAPER),
    ("tanh", ["model.width=8", "problem.inputs=8"]),
    ("tanh", ["model.depth=3"]),
    ("tanh", ["problem.points=0.5x"]),  # the notebook's own choice
    ("tanh", ["problem.points=272"]),
    ("tanh", ["problem.points=1"]),
    ("tanh", ["problem.targets=2"]),
    ("tanh", ["model.widths=[16, 16]"]),
    ("linear", ["model.width=8", "problem.inputs=8", "problem.points=8"]),
    ("linear", ["problem.points=single"]),
    ("tanh", ["draws=fold_in", "model.width=8"]),
    ("linear", ["draws=fold_in", "model.width=8", "problem.points=100"]),
]


@pytest.fixture(autouse=True)
def _again():
    """Warnings are given once a process."""
    ties.warn.cache_clear()
    yield
    prepare("float64")


def lines(caplog):
    return [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]


@pytest.mark.parametrize(("config", "changes", "said"), WARNED)
def test_a_setting_that_leaves_the_paper_is_told(config, changes, said, caplog):
    spec, window = fj.load(f"configs/paper/{config}.yaml", changes, only="overview")
    check(spec, window)
    found = lines(caplog)
    assert len(found) == len(said)
    for line, words in zip(found, said, strict=True):
        assert all(word in line for word in (*words.split("|"), "draws=legacy")), line


@pytest.mark.parametrize(("config", "changes"), SILENT)
def test_nothing_is_said_of_what_stays(config, changes, caplog):
    spec, window = fj.load(f"configs/paper/{config}.yaml", changes, only="overview")
    check(spec, window)
    assert not lines(caplog)


@pytest.mark.parametrize("config", PAPER)
def test_no_published_experiment_warns(config, caplog):
    from fractaljax.config import experiments, read

    for experiment in experiments(read(f"configs/paper/{config}.yaml")):
        names = tuple(experiment.spec.traced(axis.path) for axis in experiment.window.axes)
        assert not ties.loose(experiment.spec, names), experiment.name


SMALL = fj.Spec(
    model=fj.Part("mlp", width=4),
    problem=fj.Part("random_regression", inputs=3),
    steps=2,
    dtype="float64",
    draws="legacy",
)


def test_from_python(caplog):
    line = fj.Window(fj.Axis("LR", 0.1, 1.0, 2))
    fj.scan(SMALL, line, chunk=1)
    fj.scan(SMALL, line, chunk=1)  # once is enough
    (said,) = lines(caplog)
    assert "problem.inputs=3" in said and "model.width=4" in said
    ties.warn.cache_clear()
    caplog.clear()
    program.readings.cache_clear()
    fj.Trainer(SMALL, ["LR"], chunk=1)
    assert lines(caplog) == [said]


def test_from_the_command_line(tmp_path, caplog):
    command = ["scan", "configs/paper/tanh.yaml", "steps=2", "--only", "overview"]
    command += ["--resolution", "2", "--chunk", "1"]
    assert cli.main([*command, "--out", str(tmp_path / "a"), "model.width=8"]) == 0
    (said,) = lines(caplog)
    assert "model.width=8" in said and "set problem.inputs=8" in said
    caplog.clear()
    follows = ["model.width=8", "problem.inputs=8"]
    assert cli.main([*command, "--out", str(tmp_path / "b"), *follows]) == 0
    assert cli.main([*command, "--out", str(tmp_path / "c")]) == 0
    assert not lines(caplog)


def test_a_sweep_tells_it_of_the_program_that_leaves(tmp_path, caplog):
    words = ["steps=2", "model.width=8,16", "--only", "overview", "--out", str(tmp_path / "a")]
    assert cli.main(["sweep", "configs/paper/tanh.yaml", *words]) == 0
    (said,) = lines(caplog)
    assert "model.width=8" in said
