"""The verbs `sweep` and `merge`: what they train, keep, tell and refuse."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from commands import Command, World

import fractaljax as fj
from fractaljax import cli, config
from fractaljax.engine import program
from fractaljax.families import sweep as family
from fractaljax.store.table import Table

ROOT = Path(__file__).parents[1]
GPH = str(ROOT / "configs/dynamics/gph.yaml")
TANH = str(ROOT / "configs/paper/tanh.yaml")
CHUNK = ["--chunk", "4"]  # of two devices: eight runs or fewer are one program
SMALL = """
model: {name: deep_linear, num_hidden: 2, hidden_dim: 4}
data: {in_dim: 3, out_dim: 3, train_samples: 20, test_samples: 10, scale: 2.0}
training: {lr: 1.0e-2, batch_size: 5}
metrics: [test_loss, weight_norm]
max_steps: 40
num_evaluations: 8
dtype: float32
"""
PAIR = """
shared: {model: {name: deep_linear, num_hidden: 1, hidden_dim: 4}, training: {lr: 1.0e-2}}
data: {in_dim: 3, out_dim: 3, train_samples: 20, test_samples: 10, scale: 2.0}
training_b: {batch_size: 5}
metrics_a: []
metrics_b: [test_loss]
comparison: [param_distance]
max_steps: 20
num_evaluations: 5
"""
GAMMAS, SEEDS = "model.gamma=0.75,1.0", "training.batch_seed=0..4"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working directory of one's own, with small configs."""
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SMALL)
    Path("pair.yaml").write_text(PAIR)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Two gammas and four seeds, trained once; take a copy to change it."""
    place = tmp_path_factory.mktemp("base")
    (place / "small.yaml").write_text(SMALL)
    words = [str(place / "small.yaml"), GAMMAS, SEEDS, *CHUNK]
    assert cli.main(["sweep", *words, "--out", str(place / "out")]) == 0
    return place / "out"


@pytest.fixture
def copy(base):
    """The base sweep in `out`."""
    shutil.copytree(base, "out")
    return Path("out")


@pytest.fixture
def written(monkeypatch):
    """The settings of every run that is written from here on."""
    found = []
    write = Table.write

    def noted(self, settings, readings, step):
        found.extend(settings)
        write(self, settings, readings, step)

    monkeypatch.setattr(Table, "write", noted)
    return found


def run(*words):
    """Exit code of a command."""
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as left:
        return left.code


def sweep(*words, source="small.yaml", out="out"):
    """Exit code of a sweep."""
    return run("sweep", source, *words, *CHUNK, "--out", out)


def curves(folder, name="test_loss"):
    """Values of all swept paths -> a curve."""
    found = {}
    for one in fj.load_sweep(folder):
        key = tuple(sorted(one.overrides.items()))
        assert key not in found
        found[key] = one[name]
    return found


def same(one, other):
    """Whether curves are those of the same runs, bit for bit."""
    assert one.keys() == other.keys()
    for key, curve in one.items():
        np.testing.assert_array_equal(curve, other[key], err_msg=str(key))


def files(folder):
    return {str(p): p.stat().st_mtime_ns for p in Path(folder).rglob("*") if p.is_file()}


# ---- trained once, kept in one table


def test_one_command_trains_the_product_and_keeps_one_table(base):
    found = fj.load_sweep(base)
    assert found.swept == ("model.gamma", "batch_seed") and len(found) == 8
    np.testing.assert_array_equal(found.steps, range(0, 40, 5))
    assert set(found.history) == {"test_loss", "weight_norm"}
    assert found.history["test_loss"].shape == (8, 8)
    assert found.history["test_loss"].dtype == np.float32
    assert [p.name for p in base.iterdir() if p.suffix == ".parquet"] == ["results.parquet"]
    assert not [*(base / "parts").iterdir()]
    one, other = (found.select(batch_seed=s, gamma=1.0)[0]["test_loss"] for s in (0, 1))
    assert one[0] == other[0] and (one[1:] != other[1:]).all()  # before the first batch: the same


def test_the_table_holds_what_the_trainer_says(base):
    found = fj.load_sweep(base)
    raw = config.read("small.yaml")
    fj.prepare("float32")
    with_gamma = config.setting(raw, [("model.gamma", 0.75)]).course
    trainer = fj.Trainer(with_gamma, ("batch_seed",))
    readings = trainer(np.arange(4.0)[:, None])
    for name in ("test_loss", "weight_norm"):
        meant = found.select(gamma=0.75).history[name]
        np.testing.assert_allclose(readings[name], meant, rtol=2e-5)


@pytest.mark.parametrize(
    "words",
    [
        [GAMMAS, SEEDS],
        [SEEDS, GAMMAS],
        ["batch_seed=3..-1..-1", "GAMMA=1.0,0.75"],
        ["training.batch_seed=2..3", GAMMAS],
        ["training.batch_seed=1,3,1", "model.gamma=1.0"],  # of the base setting, so not swept
    ],
)
def test_what_is_there_is_not_trained_again(copy, words, monkeypatch, capsys):
    before = files(copy)

    def refuse(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(program, "compile_tile", refuse)
    assert sweep(*words) == 0
    assert capsys.readouterr().out == "out\n"
    assert files(copy) == before


def test_more_values_train_the_new_runs_alone(copy, written):
    before = curves(copy)
    assert sweep(GAMMAS, "training.batch_seed=2..6") == 0
    assert sorted((s["model.gamma"], s["batch_seed"]) for s in written) == [
        (0.75, 4),
        (0.75, 5),
        (1.0, 4),
        (1.0, 5),
    ]
    after = curves(copy)
    assert len(after) == 12
    same({key: after[key] for key in before}, before)


def test_another_path_is_another_column_and_the_base_value_is_known(copy, written):
    assert sweep(GAMMAS, "batch_seed=0,1", "data.data_seed=null,5") == 0
    assert [s["data_seed"] for s in written] == [5] * 4
    found = fj.load_sweep(copy)
    assert len(found) == 12 and len(found.select(data_seed=5)) == 4


def test_values_that_are_given_twice_are_one_run_and_told(caplog):
    assert sweep(GAMMAS, "training.batch_seed=0,1,0,1") == 0
    assert len(fj.load_sweep("out")) == 4
    assert "batch_seed: 2 values are given twice; each is one run" in caplog.text
    assert "gamma" not in caplog.text


def test_dates_are_seeds_in_single_precision_too():
    assert sweep("training.batch_seed=20261128,20261129,4294967295", "dtype=float32") == 0
    runs = fj.load_sweep("out")
    assert [run.overrides["batch_seed"] for run in runs] == [20261128, 20261129, 2**32 - 1]
    assert len({run.history["test_loss"].tobytes() for run in runs}) == 3


def test_rerun_trains_what_matches_and_only_that(copy, written, caplog):
    caplog.set_level("INFO")
    before = curves(copy)
    assert sweep(GAMMAS, SEEDS, "--rerun", "training.batch_seed=1,2", "--rerun", "GAMMA=0.75") == 0
    assert [(s["model.gamma"], s["batch_seed"]) for s in written] == [(0.75, 1), (0.75, 2)]
    assert "2 runs are trained again" in caplog.text
    same(curves(copy), before)
    assert sweep(GAMMAS, SEEDS) == 0 and len(written) == 2


def test_overwrite_begins_anew(copy, written):
    (copy / "notes.txt").write_text("mine")
    assert sweep(GAMMAS, "batch_seed=0,1", "--overwrite") == 0
    assert len(written) == len(fj.load_sweep(copy)) == 4
    assert (copy / "notes.txt").read_text() == "mine"


def test_the_default_place_is_of_the_base_setting(capsys):
    places = []
    for words in (["batch_seed=0,1"], ["batch_seed=1,2"], ["batch_seed=0,1", "data.noise_std=0.5"]):
        assert run("sweep", "small.yaml", GAMMAS, *words, *CHUNK) == 0
        places.append(Path(capsys.readouterr().out.strip()))
    assert places[0] == places[1] != places[2]
    assert places[0].parts[:3] == ("outputs", "small", "small")
    assert [len(fj.load_sweep(place)) for place in places] == [6, 6, 4]


@pytest.mark.slow
def test_plots(copy, capsys):
    from PIL import Image

    assert sweep(GAMMAS, SEEDS, "--plots") == 0
    with Image.open("out/plots.png") as picture:
        assert min(picture.size) > 200
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 20


# ---- other kinds of sweeps


@pytest.mark.slow
def test_runs_of_different_length_stand_in_one_table():
    words = ["model.gamma=0.75,1.0", "max_steps=12,20", "--zip", "model.gamma,max_steps"]
    assert sweep(*words, "batch_seed=0..2", "num_evaluations=4") == 0
    found = fj.load_sweep("out")
    assert len(found) == 4 and set(found.swept) == {"model.gamma", "steps", "batch_seed"}
    short, long = found.select(steps=12), found.select(steps=20)
    assert set(short.values("model.gamma")) == {0.75} and set(long.values("model.gamma")) == {1.0}
    np.testing.assert_array_equal(short.steps, [0, 3, 6, 9])
    np.testing.assert_array_equal(long.steps, [0, 5, 10, 15])
    assert short.history["test_loss"].shape == long.history["test_loss"].shape == (2, 4)
    with pytest.raises(fj.FractaljaxError, match="select one value of"):
        _ = found.steps


def test_pairs_of_equal_sides_stay_at_distance_zero_and_others_part():
    fixed = ["training_a.batch_size=5", "training_a.batch_seed=1"]
    swept = ["training_b.batch_seed=0..3", "shared.model.gamma=1.0,1.5"]
    assert sweep(*fixed, *swept, source="pair.yaml") == 0
    found = fj.load_sweep("out")
    assert set(found.history) == {"test_loss_b", "param_distance"}
    assert found.swept == ("b.batch_seed", "model.gamma") and len(found) == 6
    distance, equal = found.history["param_distance"], found.values("b.batch_seed") == 1
    assert distance.shape == (6, 5) and equal.sum() == 2
    assert (distance[equal] == 0).all() and (distance[~equal, 0] == 0).all()
    assert (distance[~equal, 1:] > 0).all() and len(np.unique(distance[~equal, -1])) == 4


def test_a_config_of_another_family():
    words = ["--only", "overview", "--dtype", "float32", "steps=20", "model.width=4"]
    lrs = ["optimizer.lr_in=0.01,1,1e4", "LR1=0.01,1.0"]
    assert sweep(*words, *lrs, source=TANH) == 0
    found = fj.load_sweep("out")
    spec, _ = fj.load(TANH, ["steps=20", "model.width=4", "dtype=float32"], only="overview")
    trainer = fj.Trainer(spec, ("optimizer.lr_in", "optimizer.lr_out"))
    points = np.stack([found.values("optimizer.lr_in"), found.values("optimizer.lr_out")], 1)
    meant = trainer(points.astype(float))
    assert set(found.history) == set(meant) and len(found) == 6
    for name, values in meant.items():
        assert found.history[name].shape == (6,)
        np.testing.assert_allclose(found.history[name], values, rtol=1e-4, err_msg=name)


# ---- several machines


def test_merge_joins_what_several_machines_trained(base, capsys):
    for name, seeds in (("one", "0..2"), ("two", "1..4")):
        assert sweep(GAMMAS, f"training.batch_seed={seeds}", out=name) == 0
    capsys.readouterr()
    assert run("merge", "one", "two", "--out", "all") == 0
    assert capsys.readouterr().out == "all\n"
    same(curves("all"), curves(base))
    assert len(curves("one")) == 4 and len(curves("two")) == 6
    before = files("all")["all/results.parquet"]
    assert sweep(GAMMAS, SEEDS, out="all") == 0  # goes on from there: nothing is missing
    assert files("all")["all/results.parquet"] == before


def test_merge_refuses_another_setting(base, capsys):
    assert sweep(GAMMAS, "batch_seed=0,1", "data.noise_std=0.5", out="noisy") == 0
    assert "noise_std" in refused(capsys, "merge", base, "noisy", "--out", "all")
    assert "no sweep here" in refused(capsys, "merge", base, "nowhere", "--out", "all")
    assert not Path("all").exists()


# ---- what is told


def test_a_dry_run_tells_what_it_would_cost_and_writes_nothing(capsys):
    before = files(".")
    assert sweep(GAMMAS, "training.batch_seed=0..4", "steps=40,80", "--dry-run") == 0
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert lines[0] == "small: 16 runs in 2 programs, 40 to 80 steps"
    assert lines[1] == "batched in one program: batch_seed, model.gamma"
    assert lines[2].split() == ["a", "program", "each:", "steps"]
    head, one, other = lines[4:7]
    assert head.split() == ["runs", "chunk", "memory", "time", "settings"]
    assert one.split()[:2] == ["8", "4"] and one.endswith("steps=40") and " s " in one
    assert other.endswith("steps=80")
    assert lines[-1].startswith("in all ") and "on this machine" in lines[-1]
    assert files(".") == before and not Path("out").exists() and not Path("outputs").exists()


def refused(capsys, *words):
    """The one line with which a command is refused."""
    capsys.readouterr()
    assert run(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line.removeprefix("fractaljax: ")


@pytest.mark.parametrize(
    "words, says",
    [
        (["--workers", "4"], "--workers: there are no workers: the batch is the worker; --devices"),
        (["--workers=4"], "the batch is the worker"),
        (["model.gama=1.0,2.0"], "unknown path 'model.gama'"),
        (["model.gama=1.0"], "Did you mean 'model.gamma'?"),
        (["training.lrr=1.0,2.0"], "Did you mean 'optimizer.lr'?"),
        (["metrics=[test_los]"], "Did you mean 'test_loss'?"),
        (["callbacks=[lr_decai]"], "Did you mean 'lr_decay'?"),
        (["metrics=test_loss,weight_norm"], "several are one value: metrics=[a,b]"),
        (["model.gamma=0.5,high"], "takes float"),
        (["model.gamma=0.5..1.5"], "takes float"),
        (["training.batch_seed=0.5,1"], "takes whole numbers from 0"),
        (["training.batch_seed=-1..2"], "takes whole numbers from 0"),
        (["training.batch_seed=1000000000000..1000000000002"], "takes whole numbers from 0"),
        (["batch_seed=0..1000000000000"], "batch_seed: 1,000,000,000,000 runs in all; at most"),
        (["steps=0,10"], "steps=0: allowed are 1 to"),
        (["steps=1..100000"], "more than 10,000 programs: too many static values"),
        (["model.gamma=0..100000000"], "100,000,000 values; only seeds may be so many"),
        (["data.noise_std=0.1,-0.1"], "noise_std=-0.1"),
        (["GAMMA=0,1", "model.gamma=2,3"], "model.gamma is swept twice"),
        (["batch_seed=0,1", "training.batch_seed=2"], "training.batch_seed is given twice"),
        (["dtype=float32,float64"], "dtype: one a sweep; give --dtype float32 or float64"),
        (["seed=0..3", "data_seed=0", "model_seed=0", "batch_seed=0"], "seed is not read"),
        (["data.online=true", "training.batch_size=null"], "batch"),
        (["window.resolution=8"], "window.resolution is not read: a sweep has no window"),
        (["model.gamma=1,2", "--zip", "model.gamma,steps"], "unknown swept path in --zip 'steps'"),
        (["model.gamma=1,,2"], "a value is missing"),
        (["--only", "smal"], "Did you mean 'small'?"),
        (["--rerun", "model.gama=1"], "Did you mean 'model.gamma'?"),
        (["--rerun", "batch_seed"], "'batch_seed': expected path=value"),
        (["--devices", "99"], "devices=99"),
        (["--out-dir", "x"], "--out-dir"),
        (["shared.model.gamma=1,2"], "shared.model.gamma"),
    ],
)
def test_what_is_not_understood_is_one_line_and_leaves_nothing(words, says, capsys):
    assert says in refused(capsys, "sweep", "small.yaml", *words, "--out", "out")
    assert not Path("out").exists() and not Path("outputs").exists()


def test_one_experiment_a_sweep(capsys):
    assert "give --only" in refused(capsys, "sweep", TANH, "steps=10", "--out", "out")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "words, says",
    [
        (["data.noise_std=0.5"], "noise_std: 0.0 -> 0.5"),
        (["max_steps=30"], "steps: 40 -> 30"),
        (["metrics=[test_loss]"], "weight_norm"),
        (["--dtype", "float64"], "dtype: float32 -> float64"),
    ],
)
def test_another_setting_in_the_folder_is_told_apart(copy, words, says, capsys):
    before = files(copy)
    line = refused(capsys, "sweep", "small.yaml", GAMMAS, SEEDS, *words, "--out", "out")
    assert says in line and "out" in line
    assert files(copy) == before


@contextlib.contextmanager
def as_nobody():
    """Without the rights of the superuser."""
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(os.getuid())


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_a_folder_that_cannot_be_written_is_one_line(base, capsys):
    folder = Path(tempfile.mkdtemp())  # pytest's own is closed to others
    shutil.copy("small.yaml", folder)
    words = ["sweep", folder / "small.yaml", GAMMAS, SEEDS, *CHUNK, "--out"]
    try:
        folder.chmod(0o555)
        with as_nobody():
            assert "ermission denied" in refused(capsys, *words, folder / "new")
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    Path("file").write_text("mine")
    for out in ("file", "file/out"):
        assert "file" in refused(capsys, *words[:1], "small.yaml", *words[2:], out)
    assert Path("file").read_text() == "mine"


# ---- stopped, two at once


def begin(*words):
    """A sweep in a process of its own, with two devices, and a part every eight runs."""
    words = ["sweep", "small.yaml", *words, *CHUNK, "--devices", "2"]
    return Command(words, World(careful=True))


def parts():
    return [*Path("out/parts").glob("[!.]*.parquet")]


@pytest.mark.slow
def test_stopped_it_goes_on_and_ends_as_if_nothing_had_been(monkeypatch, written):
    endless = (GAMMAS, "training.batch_seed=0..10000000", "--out", "out")
    process = begin(*endless)
    process.until(parts)
    process.interrupt()
    code, _, said = process.ended()
    assert code == 130
    assert "stopping after this part; Ctrl-C again stops at once" in said
    assert "fractaljax: stopped; the same command goes on from here" in said
    assert "Traceback" not in said
    stopped = curves("out")
    assert len(stopped) >= 8

    monkeypatch.setattr(family, "PART_WORK", 1)
    seeds = 1 + max(dict(key)["batch_seed"] for key in stopped)
    all_of_them = (GAMMAS, f"training.batch_seed=0..{seeds + 5}")
    assert sweep(*all_of_them) == 0
    assert len(written) == 2 * (seeds + 5) - len(stopped) > 0
    assert sweep(*all_of_them, out="whole") == 0
    for name in ("test_loss", "weight_norm"):
        same(curves("out", name), curves("whole", name))
    assert not [*Path("out/parts").iterdir()]


@pytest.mark.slow
def test_two_processes_share_one_table(monkeypatch):
    both = [
        begin(GAMMAS, f"training.batch_seed={seeds}", "--out", "out")
        for seeds in ("0..60", "89..29..-1")
    ]
    for process in both:
        code, _, said = process.ended()
        assert code == 0, said
    found = curves("out")
    assert {dict(key)["batch_seed"] for key in found} == {*range(90)} and len(found) == 180
    monkeypatch.setattr(family, "PART_WORK", 1)
    assert sweep(GAMMAS, "training.batch_seed=0..90", out="whole") == 0
    same(found, curves("whole"))
