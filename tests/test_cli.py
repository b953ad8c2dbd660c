"""The command line: one verb a question, one line for whatever cannot be done."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import commands
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import fractaljax as fj
from fractaljax import cli, config
from fractaljax.cli.arguments import parse
from fractaljax.errors import FractaljaxError

TINY = """
model: {width: 4}
problem: {inputs: 4, points: 8}
steps: 20
dtype: float64
window: {resolution: 6}
"""
ADAM = """
defaults:
  model: {width: 4}
  problem: {inputs: 4, points: 8}
  steps: 20
  optimizer: adam
  window: {resolution: 5}
experiments:
  one: {}
  two: {steps: 30}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory of one's own, with two small configs."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    Path("adam.yaml").write_text(ADAM)
    return tmp_path


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A finished scan of the small config."""
    place = tmp_path_factory.mktemp("cli")
    (place / "tiny.yaml").write_text(TINY)
    assert cli.main(["scan", str(place / "tiny.yaml"), "--out", str(place / "result")]) == 0
    return place / "result"


def run(*words):
    """Exit code of a command."""
    try:
        return cli.main([str(w) for w in words])
    except SystemExit as error:
        return error.code


def printed(capsys, *words):
    assert run(*words) == 0, capsys.readouterr().err
    return capsys.readouterr().out


# ---- what cannot be done

BAD = {
    "": "VERB",
    "scna tiny.yaml": "Did you mean 'scan'",
    "scan": "CONFIG|DIR|IMAGE",
    "scan than.yaml": "unknown config file 'than.yaml'",
    "scan tinny.yaml": "Did you mean 'tiny.yaml'",
    "scan .": "no result here",
    "scan tiny.yaml stps=5": "Did you mean 'steps'",
    "scan tiny.yaml steps": "path=value",
    "scan tiny.yaml steps=0": "steps=0",
    "scan tiny.yaml model.widht=5": "Did you mean 'model.width'",
    "scan tiny.yaml --onyl tiny": "Did you mean '--only'",
    "scan tiny.yaml --only tinny": "Did you mean 'tiny'",
    "scan tiny.yaml --only": "--only",
    "scan tiny.yaml --resolution 0": "window.resolution=0",
    "scan tiny.yaml --resolution 4y4": "window.resolution='4y4'",
    "scan tiny.yaml --resolution=": "window.resolution",
    "scan tiny.yaml --resolution 99999999": "allowed are 1 to",
    "scan tiny.yaml --window 1 2": "--window takes 4 numbers",
    "scan tiny.yaml --window 1 2 3": "--window takes 4 numbers",
    "scan tiny.yaml --window 2 1 0 1": "must be below",
    "scan tiny.yaml --window nan 1 0 1": "finite",
    "scan tiny.yaml --window 1 400 0 1": "leaves the range of float64",
    "scan tiny.yaml --window 30 60 0 1 --dtype float32": "leave the range of float32",
    "scan tiny.yaml --window a b c d": "--window a: takes a number",
    "scan tiny.yaml --window steps=5": "--window: no value",
    "scan tiny.yaml --center 1 --zoom 2": "center has 1 numbers",
    "scan tiny.yaml --zoom 0": "zoom factor 0",
    "scan tiny.yaml --zoom -2": "zoom factor -2",
    "scan tiny.yaml --zoom nan": "zoom factor nan",
    "scan tiny.yaml --zoom deep": "--zoom",
    "scan tiny.yaml --center 0 0 --zoom 1e20": "zoom 2^",
    "scan tiny.yaml --center 1 1 --zoom 3e16": "merge from zoom 2^",
    "scan tiny.yaml --axes LR0 BETA2": "unknown path 'BETA2'",
    "scan tiny.yaml --axes LR0 LR1 LR": "--axes takes one or two names",
    "scan tiny.yaml --axes LR0 LR0": "two different ones",
    "scan tiny.yaml --axes model.depth": "static",
    "scan tiny.yaml --axes steps=5": "--axes: no value",
    "scan tiny.yaml --dtype float16": "float16",
    "scan tiny.yaml --devices 0": "devices=0",
    "scan tiny.yaml --devices 999": "devices=999",
    "scan tiny.yaml --devices many": "--devices",
    "scan tiny.yaml --chunk 0": "chunk=0",
    "scan tiny.yaml --chunk -4": "chunk=-4",
    "scan tiny.yaml --chunk 1.5": "--chunk",
    "scan tiny.yaml --tile -1": "tile=-1",
    "scan tiny.yaml --tile many": "neither a number nor all",
    "scan tiny.yaml --plugin no_such_module": "no_such_module",
    "scan tiny.yaml --out tiny.yaml": "tiny.yaml",
    "scan tiny.yaml --out tiny.yaml/below": "tiny.yaml/below",
    f"scan tiny.yaml --out {'x' * 5000}": "name too long",
    f"scan {'x' * 5000}": "unknown config file",
    "scan tiny.yaml -1.2.3e5": "-1.2.3e5",
    "scan tiny.yaml -- --weird": "--weird",
    "scan deep": "deep holds a zoom: take a level",
    "render": "DIR",
    "render none": "no result here",
    "render . steps=5": "takes no path=value",
    "render . --stretch sqrt": "sqrt",
    "show": "CONFIG|DIR|IMAGE",
    "show tiny.yaml --only tinny": "Did you mean 'tiny'",
    "show none.png": "none.png",
    "show tiny.png": "tiny.png",
    "list optimiser": "Did you mean 'optimizer'",
    "list model steps=5": "steps=5",
    "bench tinny.yaml": "Did you mean 'tiny.yaml'",
    "bench tiny.yaml --plugin no_such_module": "no_such_module",
}


@pytest.mark.parametrize("line", BAD, ids=lambda line: line[:60] or "nothing")
def test_a_bad_command_says_so_in_one_line(line, capfd):
    Path("tiny.png").write_text("no picture")
    Path("deep").mkdir()
    plan = {"format": 1, "factor": 2.0, "levels": 1, "center": ["1", "1"]}
    Path("deep/zoom.json").write_text(json.dumps(plan))
    before = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}
    assert run(*line.split()) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("fractaljax: "), (out, err)
    assert "Traceback" not in err
    assert BAD[line] in err
    after = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}
    assert after == before  # and nothing was made


def test_words_with_line_breaks_still_give_one_line(capfd):
    for words in (
        ["scan", "tiny.yaml", "a\nb=5"],
        ["sc\nan"],
        ["scan", "tiny.yaml", "--chunk", "\n"],
    ):
        assert run(*words) == 2
        assert capfd.readouterr().err.count("\n") == 1


VERBS = ["scan", "zoom", "render", "explore", "video", "dimension", "audit"]
VERBS += ["list", "show", "bench", "sweep", "merge", "search", "transfer", "run-transfer", "report"]
VERBS += ["grow", "queue"]
FLAGS = "--window --axes --only --zoom --center --out --tile --chunk --dtype --overwrite"
WORDS = st.sampled_from(f"{FLAGS} scan tiny.yaml steps=5 all LR0 -1e-3 -1 nan -- - = -x 1".split())
WORDS |= st.text(max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(VERBS), st.lists(WORDS, max_size=7))
def test_any_words_are_understood_or_refused(verb, words):
    """Parsing only: a command that is understood would run."""
    try:
        with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
            parse([verb, *words])
    except FractaljaxError:
        pass
    except SystemExit as error:
        assert error.code == 2 or any(w in ("-h", "--help") for w in words)


# ---- help and start-up


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    text = printed(capsys, verb, "--help")
    assert "usage: fractaljax" in text and "--" in text
    if verb == "scan":
        assert "examples:" in text and "--axes LR0 BETA2" in text
        for flag in ("only", "axes", "resolution", "window", "center", "zoom", "dtype", "devices"):
            assert f"--{flag}" in text
        for flag in ("chunk", "tile", "out", "overwrite", "plugin"):
            assert f"--{flag}" in text


def test_help_imports_nothing_heavy():
    """0.5 s are allowed; JAX alone takes more."""
    code = (
        "import sys\nfrom fractaljax import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'jax', 'numpy', 'flax', 'optax', 'yaml', 'pydantic', 'tensorstore'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout


def test_list_names_every_part_and_with_a_role_its_arguments(capsys):
    everything = printed(capsys, "list")
    for name in ("mlp", "random_regression", "adamw", "cosine", "drift", "measure", "Spectral"):
        assert name in everything
    optimizers = printed(capsys, "list", "optimizer")
    assert "lr_in" in optimizers and "axis" in optimizers and "facet" in optimizers
    assert "mlp" not in optimizers


# ---- what a scan leaves


def test_the_default_place(capsys):
    assert run("scan", "tiny.yaml", "steps=10") == 0
    (experiment,) = config.experiments(config.read("tiny.yaml"), ["steps=10"])
    place = Path("outputs/tiny/tiny") / config.digest(experiment.spec, experiment.window)
    assert capsys.readouterr().out == f"{place}\n"
    wanted = {"field", "spec.yaml", "image.png", "figure.png"}
    assert {p.name for p in place.iterdir()} >= wanted
    field = fj.open(place)
    assert field.spec.steps == 10 and field["measure"].shape == (6, 6) and field.done.all()
    assert {p.name for p in Path().iterdir()} == {"tiny.yaml", "adam.yaml", "outputs"}


@pytest.mark.slow
def test_several_experiments_take_a_folder_each(capsys):
    assert run("scan", "adam.yaml", "--out", "all", "--resolution", "3x2") == 0
    assert sorted(p.name for p in Path("all").iterdir()) == ["one", "two"]
    assert fj.open("all/two").spec.steps == 30
    assert fj.open("all/two")["measure"].shape == (2, 3)
    assert run("scan", "adam.yaml", "--only", "two", "--out", "alone", "--resolution", "3x2") == 0
    np.testing.assert_array_equal(fj.open("alone")["measure"], fj.open("all/two")["measure"])


def test_a_window_in_axis_coordinates(capsys):
    words = ("--window", "-1e-1", "2", "-1.5e0", "1", "steps=10", "--resolution", "4x3")
    assert run("scan", "tiny.yaml", *words, "--out", "o") == 0
    window = fj.open("o").window
    ends = (window.x.low, window.x.high, window.y.low, window.y.high)
    np.testing.assert_allclose(ends, (-0.1, 2, -1.5, 1), atol=1e-12)
    assert fj.open("o").spec.steps == 10 and window.shape == (3, 4)
    zoomed = ("--window", "0", "2", "0", "4", "--center", "1", "-1e-3", "--zoom", "4")
    assert run("scan", "tiny.yaml", *zoomed, "--out", "z") == 0
    window = fj.open("z").window
    np.testing.assert_allclose((window.x.low, window.x.high), (0.75, 1.25))
    np.testing.assert_allclose((window.y.low, window.y.high), (-0.501, 0.499))


def test_other_axes_and_overrides_anywhere(capsys):
    for words in (
        ("adam.yaml", "steps=15", "--axes", "LR0", "BETA2", "--only", "one"),
        ("--only", "one", "adam.yaml", "--axes", "LR0", "BETA2", "--resolution", "5", "steps=15"),
    ):
        assert run("scan", *words, "--out", "o") == 0, capsys.readouterr().err
    field = fj.open("o")  # the two commands are one
    assert [a.path for a in field.window.axes] == ["optimizer.lr_in", "optimizer.beta2"]
    assert (field.window.y.scale, field.spec.steps, field.provenance["runs"]) == ("linear", 15, 1)


def test_one_axis_gives_a_line(capsys):
    assert run("scan", "tiny.yaml", "--axes", "LR", "--out", "line") == 0
    field = fj.open("line")
    assert field["measure"].shape == (6,) and field.window.axes[0].path == "optimizer.lr"
    assert Path("line/image.png").exists() and Path("line/figure.png").exists()


@pytest.mark.slow
def test_tile_all_is_one_tile(capsys, result):
    assert run("scan", "tiny.yaml", "--tile", "all", "--chunk", "2", "--out", "whole") == 0
    assert run("scan", "tiny.yaml", "--tile", "4", "--chunk", "2", "--out", "cut") == 0
    assert fj.open("whole").provenance["tile"] == 0
    assert len([*Path("whole/field/measure/c").rglob("*/*")]) == 1
    assert len([*Path("cut/field/measure/c").rglob("*/*")]) == 4
    whole, cut = fj.open("whole")["measure"], fj.open("cut")["measure"]
    assert whole.tobytes() == cut.tobytes()


def test_dtype_is_of_the_spec(capsys, result):
    assert run("scan", "tiny.yaml", "--dtype", "float32", "--out", "single") == 0
    assert fj.open("single")["measure"].dtype == np.float32
    assert fj.open(result)["measure"].dtype == np.float64


def test_another_scan_in_the_folder_is_refused(capfd, result):
    assert run("scan", "tiny.yaml", "steps=21", "--out", result) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "steps: 20 -> 21" in err and "--overwrite" in err
    assert fj.open(result).spec.steps == 20


# ---- show and render


@pytest.mark.parametrize("source", ["config", "folder", "image.png", "figure.png"])
@pytest.mark.slow
def test_show_prints_what_scan_takes_again(source, capsys, result):
    source = {"config": "tiny.yaml", "folder": result}.get(source, result / source)
    Path("again.yaml").write_text(printed(capsys, "show", source))
    assert run("scan", "again.yaml", "--out", result) == 0  # the very same scan: nothing to train
    assert fj.open(result).provenance["runs"] == 1
    assert run("scan", source, "--out", "direct") == 0
    assert fj.open("direct")["measure"].tobytes() == fj.open(result)["measure"].tobytes()


def test_show_prints_every_experiment_and_its_overrides(capsys):
    tree = yaml.safe_load(printed(capsys, "show", "adam.yaml", "model.width=5"))
    assert list(tree["experiments"]) == ["one", "two"]
    assert {t["model"]["width"] for t in tree["experiments"].values()} == {5}
    tree = yaml.safe_load(printed(capsys, "show", "adam.yaml", "--only", "two"))
    assert tree["steps"] == 30 and tree["optimizer"]["name"] == "adam"


def test_render_draws_again_without_training(capsys, result):
    before = (result / "runs.jsonl").read_bytes()
    code = (
        "import sys; from fractaljax import cli; code = cli.main(sys.argv[1:]); "
        "assert 'fractaljax.engine.program' not in sys.modules, 'the engine'; sys.exit(code)"
    )
    words = ["render", result, "--cmap", "viridis", "--stretch", "log", "--out", "other.png"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "other.png\n"), done.stderr
    assert Path("other.png").read_bytes() != (result / "image.png").read_bytes()
    assert (result / "runs.jsonl").read_bytes() == before
    assert run("render", result, "--figure", "--out", "figure.png") == 0
    assert Path("figure.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cmap", "virids"], "Did you mean 'viridis'"),
        (["--reading", "mesure"], "Did you mean 'measure'"),
        (["--out", "no/such/folder.png"], "no/such/folder.png"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_one_line(words, said, capfd, result):
    assert run("render", result, *words) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and said in err


# ---- bench


@pytest.mark.slow
def test_bench_measures_and_the_best_chunk_is_remembered(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lines = printed(capsys, "bench", "tiny.yaml", "steps=10", "--devices", "1").splitlines()
    (kept,) = [line for line in lines if "kept" in line]
    (entry,) = json.loads((tmp_path / "cache/fractaljax/wisdom.json").read_text()).values()
    kernel, chunk, *_ = kept.split()
    assert (entry["kernel"], entry["chunk"]) == (kernel, int(chunk))


def test_a_wrong_number_of_devices_in_a_fresh_process():
    """Unlike in this one, JAX's backend is not running yet and believes any number."""
    ended = commands.run(["scan", "tiny.yaml", "--devices", "-1"])
    assert ended.code == 2 and ended.told.count("\n") == 1, ended.told
    assert "devices=-1" in ended.told


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "a smaller --chunk needs less"),
        (RuntimeError("RESOURCE_EXHAUSTED: 8 bytes\nmore"), "RESOURCE_EXHAUSTED: 8 bytes"),
    ],
)
def test_memory_that_runs_out_is_one_line(monkeypatch, capsys, error, says):
    def exhausted(_):
        raise error

    monkeypatch.setattr("fractaljax.cli.verbs.scan", exhausted)
    assert cli.main(["scan", "tiny.yaml"]) == 2
    assert capsys.readouterr().err == f"fractaljax: out of memory: {says}\n"
