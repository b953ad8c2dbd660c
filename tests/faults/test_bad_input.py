"""Ten thousand bad configs and command lines: one line, exit code 2, nothing trained or written.

Every one is bad by construction: a known-bad change in a real config of every family, or a word
that a verb cannot take. `pytest -m long tests/faults/test_bad_input.py` runs all of them.
"""

import contextlib
import io
import json
import logging
import os
import shutil
import stat
import types
import warnings
from collections import Counter
from pathlib import Path

import broken_commands
import broken_trees
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import fractaljax as fj
from fractaljax import cli

CONFIGS = Path(__file__).parents[2] / "configs"
LONG, SHORT = 10_000, 100
# config -> verbs that take it
STUDY = ("defaults", "search_space", "digits_architectures", "digits")  # as one extends the other
FAMILIES = {
    "paper/tanh.yaml": ("scan", "zoom --auto", "show", "bench", "explore --no-open"),
    "paper/minibatch.yaml": ("scan", "zoom --center 0 0"),
    "liu/added.yaml": ("scan", "show"),
    "depth/sgd.yaml": ("scan", "show"),
    "growth/fractal_density_lr.yaml": ("scan", "show"),
    "transfer/landscape.yaml": ("scan", "show"),
    "dynamics/gph.yaml": ("sweep", "scan"),
    "dynamics/power_law.yaml": ("sweep", "scan"),
    "dynamics/comparative/diagonal_teacher.yaml": ("sweep", "show"),
    "transfer/digits.yaml": ("search", "run-transfer"),
    "growth/cliff_rescue.yaml": ("grow",),
    "growth/rules.yaml": ("grow",),
    "growth/ladder.yaml": ("grow",),
    "growth/seeds.yaml": ("grow seeds",),
}
AGENDA = [
    {"name": "one", "run": "scan tiny.yaml", "priority": 2},
    {"run": ["grow", "x.yaml"]},
    {"name": "three", "run": "report x", "priority": 0.5},
]
TINY = {"model": {"width": 2}, "problem": {"inputs": 2, "points": 4}, "steps": 2}
TINY |= {"window": {"resolution": 4}, "dtype": "float64"}

SMALL = {"extends": ["configs/transfer/digits.yaml"], "architectures": [[8]]}
GROWTH = {
    "model": {"name": "masked_mlp", "widths": [4], "density": 0.5},
    "problem": {
        "name": "synthetic_classes",
        "points": 60,
        "batch": 20,
        "validation": 20,
        "test": 20,
    },
    "stopping": "patience",
    "epochs": 2,
    "seeds": 2,
    "over": {"model.density": [0.5, 0.6]},
    "arms": {"static": {}, "grown": {"growth": "patches"}},
    "claims": {"one": "grown > static"},
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """A folder with real configs and results of every kind, and things that are none."""
    place = tmp_path_factory.mktemp("sandbox")
    shutil.copytree(CONFIGS, place / "configs")
    (place / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    (place / "agenda.yaml").write_text(yaml.safe_dump(AGENDA))
    (place / "growth.yaml").write_text(yaml.safe_dump(GROWTH))
    (place / "study.yaml").write_text(yaml.safe_dump(SMALL))
    (place / "text.txt").write_text("text\n")
    (place / "folder").mkdir()
    for name in ("noise.png", "noise.tif", "noise.yaml"):
        (place / name).write_bytes(bytes(range(256)))
    os.mkfifo(place / "pipe")
    (place / "loop").symlink_to("loop")
    spec, window = fj.load(place / "tiny.yaml")
    fj.scan(spec, window, store=place / "result")
    fj.zoom(spec, window, center=("0", "0"), levels=2, store=place / "zoomed")
    few = [
        "steps=4",
        "evaluations=2",
        "model.hidden_dim=2",
        "problem.train_samples=8",
        "batch_seed=0,1",
    ]
    fj.sweep(place / "configs/dynamics/gph.yaml", few, out=place / "swept")
    with contextlib.chdir(place):
        yield place


@pytest.fixture(scope="module")
def nothing_trains(sandbox):
    """Whatever reaches a compiler, a server or a process of its own was understood."""

    def reached(*_, **__):
        raise AssertionError("understood, and would have been run")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fractaljax.engine.program.lowered", reached)
        patch.setattr("uvicorn.Server.run", reached)
        patch.setattr("fractaljax.cli.queue.subprocess", types.SimpleNamespace(Popen=reached))
        patch.setattr("fractaljax.view.encode.subprocess", types.SimpleNamespace(Popen=reached))
        yield


@pytest.fixture(scope="module")
def tally():
    """How many of each kind; for the table of benchmarks/faults.py where it asks for them."""
    counts = Counter()
    yield counts
    rows = [f"{v:14} {k:20} {n}" for (v, k), n in sorted(counts.items())]
    print("\n".join(rows), "\nin all", sum(counts.values()))
    if path := os.environ.get("FRACTALJAX_FAULTS"):
        with open(path, "a") as stream:
            for (verb, kind), n in sorted(counts.items()):
                row = {"fault": f"bad input, {kind}", "where": verb, "injected": n}
                stream.write(json.dumps(row | {"lost": 0, "wrong": 0}) + "\n")


def run(words):
    """Exit code, standard output and standard error of a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(err)
    logger = logging.getLogger("fractaljax")
    logger.addHandler(handler)
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("error", UserWarning)
            try:
                code = cli.main(words)
            except SystemExit as left:
                code = left.code
    finally:
        logger.removeHandler(handler)
    return code, out.getvalue(), err.getvalue()


def everything():
    found = {}
    for folder, _, files in os.walk("."):
        for name in [folder, *(os.path.join(folder, f) for f in files)]:
            told = os.lstat(name)
            found[name] = (told.st_mtime_ns, told.st_size, stat.S_IFMT(told.st_mode))
    return found


# what is said in the place of a word: of other code ours, of a resolution its axis
OTHERWISE = {"max_steps": "steps", "num_evaluations": "evaluations", "resolution": "samples"}


def refused(words, said):
    before = everything()
    code, out, err = run(words)
    after = everything()
    shutil.rmtree("outputs", ignore_errors=True)  # else a later command meets what is not its own
    what = f"{[w[:200] for w in words]}: exit {code}\nstdout {out[:500]!r}\nstderr {err[:3000]!r}"
    assert code == 2, what
    assert out == "", what
    assert err.startswith("fractaljax: ") and err.endswith("\n") and err.count("\n") == 1, what
    assert err[:-1].isprintable() and len(err) < 5000 and "Traceback" not in err, what
    said = {form for word in said for form in (word, ascii(word)[1:-1], OTHERWISE.get(word, word))}
    assert any(word in err for word in said), f"none of {said} in {err!r}"
    assert after == before, f"{what}\n{set(after.items()) ^ set(before.items())}"


@st.composite
def configs(draw):
    """A verb, the place of a bad config for it, and the config."""
    if draw(st.integers(0, 15)) == 0:
        return "queue", Path("."), draw(broken_agendas())
    name = draw(st.sampled_from(sorted(FAMILIES)))
    verb = draw(st.sampled_from(FAMILIES[name]))
    tree = yaml.safe_load((CONFIGS / name).read_text())
    if verb in ("search", "run-transfer"):
        tree = whole_study()
    if verb == "sweep":  # which has no window, and does not read that of the file
        tree = {key: value for key, value in tree.items() if key not in ("axes", "window")}
    place = Path("configs") / Path(name).parent
    return verb, place, draw(broken_trees.broken(tree, idle(verb, tree)))


def idle(verb, tree):
    """Paths of the blocks of a config that a verb does not train."""
    if verb == "show":
        return ((),)
    _, *others = tree.get("experiments", [None])
    alone = verb.split()[0] in ("zoom", "bench", "explore")
    return tuple(("experiments", name) for name in others if alone)


def whole_study():
    """A study and all that it extends as one file."""
    tree = {}
    for name in STUDY:
        layer = yaml.safe_load((CONFIGS / f"transfer/{name}.yaml").read_text())
        layer.pop("extends", None)
        for key, value in layer.items():
            old = tree.get(key)
            tree[key] = (
                {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
            )
    tree["space"]["lr"] = {"path": "optimizer.lr", "min": 1e-4, "max": 3e-2, "scale": "log"}
    return tree


@st.composite
def broken_agendas(draw):
    agenda = {"agenda": AGENDA}
    kind = draw(st.sampled_from(["misspelt", "given twice", "not plain data", "no text", "noise"]))
    made, said = broken_trees.WAYS[kind](draw, agenda)
    if not isinstance(made, bytes):
        key = next(iter(made))
        inner = made[key]
        if key != "agenda" or isinstance(inner, broken_trees.Twice):
            inner = made  # a block, where a list belongs
        made = broken_trees.emitted(inner).encode("utf-8", "surrogatepass")
    return broken_trees.Case(kind, made, (*said, "bad.yaml"))


def check_config(case, tally):
    verb, place, broken = case
    file = place / "bad.yaml"
    file.write_bytes(broken.content)
    try:
        head, *rest = verb.split()
        words = [head, *[w for w in rest if head == "grow"], str(file)]
        refused([*words, *[w for w in rest if head != "grow"]], broken.said)
    finally:
        file.unlink()
    tally[head, broken.kind] += 1


PLACES = {
    "{c}": "tiny.yaml",
    "{r}": "result",
    "{z}": "zoomed",
    "{m}": "swept",
    "{a}": "agenda.yaml",
}
PLACES |= {"{s}": "configs/dynamics/gph.yaml", "{t}": "study.yaml"}
PLACES |= {"{p}": "configs/dynamics/comparative/diagonal_teacher.yaml"}
PLACES |= {"{g}": "growth.yaml", "{f}": "configs/growth/seeds.yaml"}


def check_command(case, tally):
    words = [PLACES.get(word, word) for word in case.words]
    refused(words, case.said)
    tally[case.verb, case.kind] += 1


def fuzz(examples):
    quick = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(
        deadline=None,
        max_examples=examples,
        suppress_health_check=quick,
        database=None,
        derandomize=examples == SHORT,  # the same in every run of CI; the long form looks further
        phases=[Phase.generate, Phase.shrink],
    )


@fuzz(SHORT)
@given(case=configs())
def test_a_bad_config_is_refused_in_one_line(sandbox, nothing_trains, tally, case):
    check_config(case, tally)


@fuzz(SHORT)
@given(case=broken_commands.commands())
def test_a_bad_command_is_refused_in_one_line(sandbox, nothing_trains, tally, case):
    check_command(case, tally)


@pytest.mark.long
@fuzz(LONG * 6 // 10)
@given(case=configs())
def test_thousands_of_bad_configs_are_refused(sandbox, nothing_trains, tally, case):
    check_config(case, tally)


@pytest.mark.long
@fuzz(LONG * 4 // 10)
@given(case=broken_commands.commands())
def test_thousands_of_bad_commands_are_refused(sandbox, nothing_trains, tally, case):
    check_command(case, tally)
