"""`fractaljax sweep` and `merge`, from the command to the table."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fractaljax as fj
from fractaljax import cli, config
from fractaljax.config.sweeps import parse_sweep
from fractaljax.errors import FractaljaxError

ROOT = Path(__file__).parents[1]
GPH = str(ROOT / "configs/dynamics/gph.yaml")
PAIR = str(ROOT / "configs/dynamics/comparative/diagonal_teacher.yaml")
SMALL = ["model.hidden_dim=4", "steps=20", "evaluations=5", "problem.train_samples=20"]


def sweep(out: Path, *words: str, source: str = GPH, expected: int = 0) -> None:
    small = SMALL if source == GPH else []
    assert cli.main(["sweep", source, *small, *words, "--out", str(out)]) == expected


def refused(capsys, *words: str) -> str:
    capsys.readouterr()
    sweep(Path("nowhere"), *words, expected=2)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert not Path("nowhere").exists()
    return line


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# ---- the grammar


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,2,3", [1, 2, 3]),
        ("0..4", [0, 1, 2, 3]),
        ("0..10..4", [0, 4, 8]),
        ("-2..1", [-2, -1, 0]),
        ("3..0..-1", [3, 2, 1]),
        ("range(0,6,2)", [0, 2, 4]),
        ("0..2,10", [0, 1, 10]),
        ("1e-3,0.5", [1e-3, 0.5]),
        ("null,true,x", [None, True, "x"]),
        ("[1,2],[3,4]", [[1, 2], [3, 4]]),
    ],
)
def test_several_values_are_swept(text, values):
    (dim,) = parse_sweep([f"a={text}"]).dims
    assert [row[0] for row in dim.rows] == values


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("1e-3", 1e-3), ("null", None), ("none", None), ("false", False), ("[1,2]", [1, 2])],
)
def test_one_value_is_fixed(text, value):
    grid = parse_sweep([f"a={text}"])
    assert grid.fixed == (("a", value),) and grid.size == 1 and not grid.dims


def test_products_are_in_the_order_of_the_words_and_zips_at_their_first_path():
    grid = parse_sweep(["a=1,2", "b=3,4,5", "c=6,7"], ["a,c"])
    runs = [grid.settings(i) for i in range(grid.size)]
    assert runs[:2] == [{"a": 1, "c": 6, "b": 3}, {"a": 1, "c": 6, "b": 4}]
    assert grid.size == 6 and runs[-1] == {"a": 2, "c": 7, "b": 5}
    outer = list(grid.split(lambda path: path == "c"))
    assert [settings for settings, _ in outer] == [{"a": 1, "c": 6}, {"a": 2, "c": 7}]
    assert all(rest.size == 3 for _, rest in outer)


def test_a_huge_range_costs_nothing():
    grid = parse_sweep(["a=0..1000000000000", "b=1,2"])
    assert grid.size == 2 * 10**12 and grid.settings(2 * 10**12 - 1)["a"] == 10**12 - 1


@pytest.mark.parametrize(
    ("words", "zips", "said"),
    [
        (["a"], [], "path=value"),
        (["a=1", "a=2"], [], "twice"),
        (["a=1,,2"], [], "missing"),
        (["a=[1,2"], [], "open"),
        (["a=3..3"], [], "empty"),
        (["a=0..3..0"], [], "step"),
        (["a=1,2", "b=1,2,3"], ["a,b"], "b has 3"),
        (["a=1,2", "b=1"], ["a,b"], "unknown swept path"),
        (["a=1,2"], ["a"], "two paths"),
    ],
)
def test_words_that_cannot_be_read_are_told(words, zips, said):
    with pytest.raises(FractaljaxError, match=said):
        parse_sweep(words, zips)


# ---- settings in other words, and pairs


def test_the_words_of_other_code_mean_the_same():
    raw = config.read(GPH)
    there = {"training.lr": 3e-4, "training.batch_size": 5, "data.noise_std": 0.1, "max_steps": 40}
    here = {"optimizer.lr": 3e-4, "problem.batch": 5, "problem.noise_std": 0.1, "steps": 40}
    assert config.setting(raw, there.items()).course == config.setting(raw, here.items()).course


@pytest.mark.parametrize(
    "callbacks",
    [
        ["lr_decay"],
        [{"name": "lr_decay", "params": {"decay_every": 1000}}],
        [{"lr_decay": {"decay_every": 1000}}],
        [{"name": "lr_decay", "decay_every": 1000}],
    ],
)
def test_callbacks_have_several_spellings(callbacks):
    course = config.setting(config.read(GPH), [("callbacks", callbacks)]).course
    assert [(p.name, p["decay_every"]) for p in course.callback] == [("lr_decay", 1000)]


def pair(**block):
    text = {"model": {"hidden_dim": 4}, "data": {}, "metrics": ["test_loss"], **block}
    return {"plugins": [], "defaults": {}, "experiments": {"x": text}}


def test_sides_share_what_they_do_not_say():
    raw = pair(
        shared={"model": {"name": "deep_linear", "gamma": 1.5}, "training": {"lr": 0.1}},
        model_b={"gamma": 2.0},
        training_a={"batch_size": 5},
        metrics_b=[],
    )
    setting = config.setting(raw)
    a, b = setting.course.a, setting.course.b
    assert (a.model["gamma"], b.model["gamma"]) == (1.5, 2.0)
    assert (a.problem["batch"], b.problem["batch"]) == (5, None)
    assert a.optimizer["lr"] == b.optimizer["lr"] == 0.1
    assert [p.name for p in a.metric] == ["test_loss"] and b.metric == ()
    assert setting.path("shared.model.gamma") == "a.model.gamma"
    assert setting.path("shared.training.lr") == setting.path("training.lr") == "optimizer.lr"
    assert setting.path("training_b.lr") == "b.optimizer.lr"
    over = config.setting(raw, [("model.gamma", 1.0)]).course
    under = config.setting(raw, [("shared.model.gamma", 1.0)]).course
    assert (over.a.model["gamma"], over.b.model["gamma"]) == (1.0, 1.0)
    assert (under.a.model["gamma"], under.b.model["gamma"]) == (1.0, 2.0)


def test_what_both_sides_say_is_not_shared():
    raw = pair(
        shared={"model": {"name": "deep_linear"}}, model_a={"gamma": 1}, model_b={"gamma": 2}
    )
    with pytest.raises(FractaljaxError, match=r"shared\.model\.gamma is not read"):
        config.setting(raw).path("shared.model.gamma")


# ---- running


def test_a_sweep_is_trained_once_whatever_the_order_of_its_words(tmp_path, capsys):
    words = ["model.gamma=1.0,1.5", "batch_seed=0..3", "problem.batch=5"]
    sweep(tmp_path / "s", *words)
    first = [*fj.load_sweep(tmp_path / "s")]  # read now: later sweeps join the files
    assert len(first) == 6 and first[0]["test_loss"].shape == (5,)
    written = (tmp_path / "s/results.parquet").stat().st_mtime_ns
    sweep(tmp_path / "s", *reversed(words))
    assert (tmp_path / "s/results.parquet").stat().st_mtime_ns == written
    sweep(tmp_path / "s", *words[1:], "model.gamma=1.0,1.5,2.0")
    more = fj.load_sweep(tmp_path / "s")
    assert len(more) == 9
    for run in first:
        again = more.select(run.overrides)[0]
        np.testing.assert_array_equal(again["test_loss"], run["test_loss"])
    sweep(tmp_path / "s", *words, "problem.noise_std=0.5", expected=2)
    assert "noise_std: 0.0 -> 0.5" in capsys.readouterr().err


def test_rerun_and_runs_of_different_length(tmp_path):
    words = [*SMALL[:1], "evaluations=5", "model.gamma=1.0,1.5", "steps=10,20"]
    words += ["--zip", "model.gamma,steps", "--out", str(tmp_path / "s")]
    assert cli.main(["sweep", GPH, *words]) == 0
    before = {run.overrides["steps"]: run["test_loss"] for run in fj.load_sweep(tmp_path / "s")}
    assert [len(curve) for curve in before.values()] == [5, 5]
    assert cli.main(["sweep", GPH, *words, "--rerun", "steps=20", "--plots"]) == 0
    after = fj.load_sweep(tmp_path / "s")
    assert len(after) == 2 and (tmp_path / "s/plots.png").stat().st_size > 10_000
    np.testing.assert_array_equal(after.select(steps=20)[0]["test_loss"], before[20])


def test_the_same_twice_in_lockstep_is_at_distance_zero(tmp_path):
    small = ["shared.model.hidden_dim=4", "max_steps=20", "num_evaluations=5"]
    words = [*small, "shared.training.batch_size=5", "training_b.batch_seed=0,1"]
    sweep(tmp_path / "s", *words, source=PAIR)
    found = fj.load_sweep(tmp_path / "s").history
    assert (found["param_distance"][0] == 0).all() and (found["param_distance"][1, 1:] > 0).all()
    np.testing.assert_array_equal(found["test_loss_a"][0], found["test_loss_b"][0])


def test_configs_of_other_families_are_swept_too(tmp_path):
    words = ["steps=20", "optimizer.lr_in=1,100", "optimizer.lr_out=1", "model.width=4"]
    tanh = str(ROOT / "configs/paper/tanh.yaml")
    arguments = ["sweep", tanh, "--only", "overview", "--dtype", "float32", *words]
    assert cli.main([*arguments, "--out", str(tmp_path / "s")]) == 0
    assert fj.load_sweep(tmp_path / "s").history["measure"].shape == (2,)


def test_merged_sweeps(tmp_path):
    for name, seeds in (("a", "0..2"), ("b", "1..4")):
        sweep(tmp_path / name, f"batch_seed={seeds}", "problem.batch=5")
    folders = [str(tmp_path / name) for name in "ab"]
    assert cli.main(["merge", *folders, "--out", str(tmp_path / "all")]) == 0
    assert sorted(fj.load_sweep(tmp_path / "all").values("batch_seed")) == [0, 1, 2, 3]
    sweep(tmp_path / "c", "batch_seed=0..2", "problem.batch=7")
    assert cli.main(["merge", *folders, str(tmp_path / "c"), "--out", str(tmp_path / "no")]) == 2


def test_a_dry_run_tells_and_does_nothing(tmp_path, capsys):
    sweep(tmp_path / "s", "model.gamma=1.0,1.5", "problem.batch=5,7", "--dry-run")
    told = capsys.readouterr().out
    assert "4 runs in 2 programs" in told and "problem.batch=7" in told and "MiB" in told
    assert "batched in one program: model.gamma" in told and not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--workers=4", "the batch is the worker"),
        ("model.gama=1,2", "Did you mean 'model.gamma'"),
        ("metrics=[test_los]", "Did you mean 'test_loss'"),
        ("batch_seed=0.5,1", "whole numbers"),
        ("problem.noise_std=-1,0.1", "noise_std=-1"),
        ("window.resolution=8", "no window"),
        ("metric=a,b", "one value"),
        ("seed=0,1", "seed"),
        ("data.online=true", "batch"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(word, said, capsys):
    assert said in refused(capsys, word)


def test_a_rerun_of_an_unknown_path_leaves_nothing(capsys):
    assert "unknown path 'foo'" in refused(capsys, "--rerun", "foo=3")


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_ends_as_one_that_was_not(tmp_path):
    words = [SMALL[0], "steps=3000", "evaluations=5", "problem.batch=5", "batch_seed=0..400"]
    code = (
        "from fractaljax import cli; from fractaljax.families import sweep; sweep.PART_WORK = 1e7"
    )
    command = [sys.executable, "-c", f"{code}; cli.main()", "sweep", GPH, *words, "--chunk", "4"]
    command.append("--out")
    run = subprocess.Popen([*command, "killed"], start_new_session=True)
    end = time.monotonic() + 120
    while not list(Path("killed/parts").glob("*.parquet")):
        assert time.monotonic() < end and run.poll() is None
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    there = len(fj.load_sweep("killed"))
    assert 0 < there < 400
    for folder in ("killed", "whole"):
        subprocess.run([*command, folder], check=True)
    one, other = (fj.load_sweep(folder) for folder in ("killed", "whole"))
    assert len(one) == len(other) == 400
    order = [np.argsort(found.values("batch_seed")) for found in (one, other)]
    curves = [f.history["test_loss"][o] for f, o in zip((one, other), order, strict=True)]
    np.testing.assert_array_equal(*curves)
