"""What a setting names on disk has a digest, which a result keeps: nothing goes on with another."""

import inspect
import json
import linecache
import logging
import os
import shutil
import sys
from pathlib import Path

import file_parts
import idx_files
import numpy as np
import pytest

import fractaljax as fj
from fractaljax import cli, config, contents
from fractaljax.config.files import named_files
from fractaljax.families import audit, autopilot, dimension, fractal
from fractaljax.store import origins, table

DATA = """
plugins: reading_parts
problem: {name: table, path: data.csv}
"""
SCAN = f"""
{DATA}
model: {{width: 3}}
steps: 5
window: {{resolution: 4}}
"""
SWEEP = f"""
{DATA}
model: {{width: 3}}
steps: 5
fold: final_loss
"""
LEARNING = f"""
{DATA}
epochs: 2
stopping: {{name: patience, interval: 1, patience: 10, schedule: []}}
"""
SEARCH = f"""
{LEARNING}
model: {{name: mlp, bias: true}}
optimizer: adamw
architectures: [[3], [4]]
space: {{lr: {{path: optimizer.lr, min: 1.0e-3, max: 0.1, scale: log}}}}
search: {{trials: 2}}
retrain: {{seeds: [1, 2]}}
transfer: {{seeds: [1, 2]}}
"""
GROW = f"""
{LEARNING}
question: Does it grow?
model: {{name: masked_mlp, widths: [4], start: [4], density: 0.5}}
optimizer: {{name: adam, lr: 0.02}}
measure: test_loss
seeds: 1
snapshots: true
arms:
  static: {{}}
  random: {{when: {{name: every, epochs: 1}}, growth: {{random: {{edges: 2}}}}}}
"""
WORD = """
@fj.register("schedule", "spoken")
def spoken(word: str = ""):
    return lambda t, steps: 1.0
"""
ONE = ["--devices", "1"]


@pytest.fixture
def place(tmp_path, monkeypatch, own_registry):
    """A folder with somebody else's parts and their data, in which a test works."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path(f"{file_parts.MODULE}.py").write_text(file_parts.TEXT)
    write_csv(1.0)
    for name in ("SCAN", "SWEEP", "SEARCH", "GROW"):
        Path(f"{name.lower()}.yaml").write_text(globals()[name])
    yield tmp_path
    sys.modules.pop(file_parts.MODULE, None)


def write_csv(factor, path="data.csv", seed=0):
    """40 points of 2 inputs; targets times a factor."""
    rows = np.random.default_rng(seed).standard_normal((40, 3))
    rows[:, -1] *= factor
    np.savetxt(path, rows, delimiter=",")


def done(*words):
    assert cli.main([*map(str, words)]) == 0


def refused(capsys, *words):
    """The one line that a command ends with."""
    capsys.readouterr()
    assert cli.main([*map(str, words)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("fractaljax: ")
    return line


def content(folder):
    """Every file of results, with its bytes."""
    ours = (".parquet", ".csv", ".npz", ".jsonl", ".yaml", ".json")
    files = [p for p in Path(folder).rglob("*") if p.is_file()]
    return {str(p): p.read_bytes() for p in files if p.suffix in ours or "c" in p.parts}


def began(setting="problem.path", value="data.csv"):
    return f"was begun with other files: {setting}: {value} had sha256 "


def test_the_case_of_the_issue(place, capsys):
    """A sweep over seeds, targets times 100, more seeds."""
    done("sweep", "sweep.yaml", "seed=0..2", "--out", "out")
    before, rows = content("out"), fj.load_sweep("out").history["final_loss"]
    write_csv(100.0)
    line = refused(capsys, "sweep", "sweep.yaml", "seed=0..3", "--out", "out")
    assert line.startswith(f"fractaljax: out {began()}") and " UTC), now sha256 " in line
    assert line.endswith("Choose another --out, --overwrite it, or put back what was there.")
    assert content("out") == before
    assert np.array_equal(fj.load_sweep("out").history["final_loss"], rows)
    rerun = ["sweep", "sweep.yaml", "seed=0..2", "--rerun", "seed=0", "--out", "out"]
    assert began() in refused(capsys, *rerun)
    assert content("out") == before
    done("sweep", "sweep.yaml", "seed=0..3", "--out", "other")
    assert fj.load_sweep("other").history["final_loss"].min() > 100 * rows.max()
    write_csv(1.0)  # as it was, at another time
    done("sweep", "sweep.yaml", "seed=0..3", "--out", "out")
    found = fj.load_sweep("out").history["final_loss"]
    assert len(found) == 3 and found.max() < 100
    write_csv(100.0)
    done("sweep", "sweep.yaml", "seed=0..3", "--out", "out", "--overwrite")
    assert np.array_equal(
        np.sort(fj.load_sweep("out").history["final_loss"]),
        np.sort(fj.load_sweep("other").history["final_loss"]),
    )


def test_a_file_that_changes_while_a_sweep_runs(place):
    """Every program reads its data anew: what the first one trained is kept, no other is begun."""
    words = ["model.width=3,4", "seed=0..2"]

    def change(progress):
        write_csv(100.0)

    with pytest.raises(fj.FractaljaxError, match=r"problem\.path: data\.csv had sha256"):
        fj.sweep("sweep.yaml", words, out="out", on_part=change)
    assert len(fj.load_sweep("out")) == 2
    write_csv(1.0)
    assert fj.sweep("sweep.yaml", words, out="out").history["final_loss"].max() < 100


def test_a_file_that_changes_between_two_architectures(place):
    def change(progress):
        write_csv(100.0)

    with pytest.raises(fj.FractaljaxError, match=r"problem\.path: data\.csv had sha256"):
        fj.search("search.yaml", out="out", devices=1, on_look=change)
    assert Path("out/3/summary.yaml").exists() and not Path("out/4/summary.yaml").exists()


def test_a_path_that_is_swept_is_kept_by_its_value(place, capsys):
    write_csv(2.0, "more.csv")
    words = ["sweep", "sweep.yaml", "--out", "out"]
    done(*words, "problem.path=data.csv,more.csv", "seed=0..2")
    write_csv(3.0, "more.csv")
    assert began(value="more.csv") in refused(capsys, *words, "problem.path=data.csv,more.csv")
    done(*words, "seed=0..3")  # it asks for the other file alone


@pytest.mark.parametrize("change", ["content", "missing"])
def test_a_scan_goes_on_with_the_same_data_alone(place, capsys, change):
    done("scan", "scan.yaml", "--out", "out", *ONE)
    marks = [p for p in Path("out/field/done").rglob("*") if p.is_file() and "c" in p.parts]
    marks[0].unlink()
    before = content("out")
    if change == "content":
        write_csv(2.0)
        assert began() in refused(capsys, "scan", "scan.yaml", "--out", "out", *ONE)
    else:
        Path("data.csv").unlink()
        assert "data.csv" in refused(capsys, "scan", "scan.yaml", "--out", "out", *ONE)
        with pytest.raises(fj.FractaljaxError, match=r"data.csv had .*, now there is none"):
            fj.scan(*fj.load("scan.yaml"), store="out")
    assert content("out") == before
    write_csv(1.0)
    done("scan", "scan.yaml", "--out", "out", *ONE)
    assert fj.open("out").done.all()


def test_overwriting_begins_anew(place):
    done("scan", "scan.yaml", "--out", "out", *ONE)
    first = fj.open("out")["measure"]
    write_csv(2.0)
    done("scan", "scan.yaml", "--out", "out", "--overwrite", *ONE)
    assert not np.array_equal(fj.open("out")["measure"], first)
    done("scan", "scan.yaml", "--out", "out", *ONE)
    assert len(Path("out/files.jsonl").read_text().splitlines()) == 2  # data and plugin
    shutil.rmtree("out/field")
    write_csv(3.0)
    done("scan", "scan.yaml", "--out", "out", *ONE)  # nothing of the old one is there


def test_what_trains_a_stored_field_again_wants_its_data(place, capsys):
    done("scan", "scan.yaml", "--out", "out", *ONE)
    field = fj.open("out")
    write_csv(2.0)
    for words in (["audit", "out"], ["dimension", "out", "--method", "uncertainty"]):
        line = refused(capsys, *words, "--plugin", file_parts.MODULE)
        assert began() in line and "Train it anew" in line
    words = ["render", "out", "--aa", "2", "--plugin", file_parts.MODULE]
    assert began() in refused(capsys, *words)
    assert not Path("out/aa2").exists()
    for function in (audit.audit, dimension.uncertainty):
        with pytest.raises(fj.FractaljaxError, match="was begun with other files"):
            function([field])
    field = fj.scan(field.spec, field.window)  # in memory
    write_csv(3.0)
    with pytest.raises(fj.FractaljaxError, match="was begun with other files"):
        audit.audit([field])


def test_a_zoom_trains_all_levels_on_the_same_data(place, capsys):
    words = ["zoom", "scan.yaml", "--center", "0", "0", "--out", "out", *ONE]
    done(*words, "--levels", "1")
    before = content("out")
    write_csv(2.0)
    assert began() in refused(capsys, *words, "--levels", "2")
    assert content("out") == before


def test_a_zoom_looks_before_every_level(place):
    spec, window = fj.load("scan.yaml")

    def change(level, field):
        write_csv(2.0)

    with pytest.raises(fj.FractaljaxError, match=r"problem\.path: data\.csv had sha256"):
        fj.zoom(spec, window, "out", center=(0, 0), levels=2, on_level=change)
    assert Path("out/level_000/field").exists() and not Path("out/level_001").exists()


def test_the_way_of_a_zoom_counts(place, capsys, monkeypatch):
    """Probes choose the centre: they see the data that the zoom is begun with, and no other."""
    words = ["zoom", "scan.yaml", "--auto", "--levels", "3", "--out", "out", *ONE]
    real = fractal.scan
    probes = []

    def scan(*args, **how):
        probes.append(how["store"])
        found = real(*args, **how)
        write_csv(2.0)
        return found

    monkeypatch.setattr(autopilot.fractal, "scan", scan)
    monkeypatch.setattr(autopilot, "richness", lambda found, factor: np.ones((32, 32)))
    monkeypatch.setattr(autopilot, "DUST", -1.0)
    line = refused(capsys, *words)
    assert "problem.path: data.csv had sha256" in line and len(probes) == 1
    assert began() in refused(capsys, *words) and len(probes) == 1  # it is kept on disk
    assert not Path("out/zoom.json").exists()


def test_a_folder_of_idx_files(place, capsys):
    Path("images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (40, 28, 28))
    idx_files.write_idx(Path("images"), "train", pixels, np.arange(40) % 10)
    for label in Path("images").glob("*labels*"):
        label.unlink()
    text = SCAN.replace("{name: table, path: data.csv}", "{name: idx_folder, root: ./images}")
    Path("folder.yaml").write_text(text)
    words = ["scan", "folder.yaml", "--out", "out", *ONE]
    done(*words)
    Path("images/.hidden").write_text("a")  # hidden and unfinished files are not data
    Path("images/next.gz.part").write_text("a")
    done(*words)
    idx_files.write_idx(Path("images"), "test", pixels, np.arange(40))
    line = refused(capsys, *words)
    assert "problem.root: ./images had 1 files of sha256" in line and "now 3 files of" in line


def test_a_plugin_is_the_text_that_was_imported(place, capsys):
    """Parts whose code is another train another thing."""
    done("scan", "scan.yaml", "--out", "out", *ONE)
    plugin = Path(f"{file_parts.MODULE}.py")
    plugin.write_text(file_parts.TEXT.replace("** 2)", "** 2) / 3"))
    done("scan", "scan.yaml", "--out", "out", *ONE)  # this process trains by what it imported
    sys.modules.pop(file_parts.MODULE)
    line = refused(capsys, "scan", "scan.yaml", "--out", "out", *ONE)
    assert began("plugins", file_parts.MODULE) in line


def test_all_modules_of_a_package_count(place, monkeypatch):
    Path("mine").mkdir()
    Path("mine/__init__.py").write_text("from mine import parts\n")
    Path("mine/parts.py").write_text(
        "import fractaljax as fj\nfrom mine.help import RATE\n\n"
        "@fj.register('schedule', 'mine')\ndef mine(rate: float = RATE):\n    return None\n"
    )
    Path("mine/help.py").write_text("RATE = 1.0\n")
    config.load_plugins(["mine"])
    spec = fj.Spec(schedule=fj.Part("mine"))
    first = named_files([spec])["plugins", "mine"]
    assert first is not None and first.files == 3
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        monkeypatch.delitem(sys.modules, name)
    Path("mine/help.py").write_text("RATE = 1.0  # still\n")
    Path("mine/notes.txt").write_text("no code")
    config.load_plugins(["mine"])
    again = named_files([spec])["plugins", "mine"]
    assert again is not None and again.sha256 != first.sha256 and again.files == 3


def test_a_network_to_start_from(place, capsys):
    text = SCAN.replace("model: {width: 3}", "model: {name: from_file, weights: net.npz}")
    Path("start.yaml").write_text(text)
    np.savez("net.npz", kernel=np.ones((2, 1)))
    words = ["scan", "start.yaml", "--axes", "LR", "--out", "out", *ONE]
    done(*words)
    np.savez("net.npz", kernel=np.full((2, 1), 2.0))
    assert began("model.weights", "net.npz") in refused(capsys, *words)


def test_a_search_its_transfer_and_a_resumed_run(place, capsys):
    done("run-transfer", "search.yaml", "--runs-root", "runs", "--run-name", "one", *ONE)
    run = Path("runs/one")
    searched, moved = run / "search", run / "transfer"
    (searched / "4/summary.yaml").unlink()  # as though it had been stopped there
    (moved / "targets/3.csv").unlink()
    before = content(run)
    write_csv(2.0)
    plugin = ["--plugin", file_parts.MODULE, *ONE]
    for words in (
        ["search", "search.yaml", "--out", searched, *ONE],
        ["run-transfer", "--resume", run, *plugin],
    ):
        assert began() in refused(capsys, *words)
        assert content(run) == before
    write_csv(1.0)
    done("search", "search.yaml", "--out", searched, *ONE)
    before = content(run)
    write_csv(2.0)
    for out in (moved, Path("fresh")):  # nor does a new one begin from another search's data
        assert began() in refused(capsys, "transfer", searched, "--out", out, *plugin)
    assert content(run) == before and not Path("fresh").exists()
    write_csv(1.0)
    done("transfer", searched, "--out", moved, *plugin)


def test_a_transfer_goes_on_with_the_search_that_it_began_with(place, capsys):
    done("search", "search.yaml", "--out", "searched", *ONE)
    plugin = ["--plugin", file_parts.MODULE, *ONE]
    done("transfer", "searched", "--out", "moved", *plugin)
    Path("moved/targets/3.csv").unlink()
    shutil.copytree("searched", "other")
    losses = Path("other/4/retrain/seed_losses.csv")
    Path("other/4/retrain/.sums").unlink()
    losses.write_text(losses.read_text() + "\n")
    line = refused(capsys, "transfer", "other", "--out", "moved", *plugin)
    assert began("search", "4/retrain/seed_losses.csv") in line
    done("transfer", "searched", "--out", "moved", *plugin)


def test_a_growth_and_its_snapshots(place, capsys):
    done("grow", "grow.yaml", "--out", "out", *ONE)
    Path("out/arms/static/members.csv").unlink()
    before = content("out")
    snapshot = next(Path("out").rglob("epoch_*.yaml"))
    resume = ["grow", "resume", snapshot, "--plugin", file_parts.MODULE]
    done(*resume)
    write_csv(2.0)
    assert began() in refused(capsys, "grow", "grow.yaml", "--out", "out", *ONE)
    assert content("out") == before
    line = refused(capsys, *resume)
    assert began() in line and "this network" in line
    Path("data.csv").unlink()
    assert "now there is none" in refused(capsys, "grow", "grow.yaml", "--out", "out", *ONE)


def test_an_explorer_trains_a_map_on_the_same_data(place):
    from fractaljax.explorer import geometry
    from fractaljax.explorer.maps import Maps
    from fractaljax.families import explore

    spec, window = fj.load("scan.yaml")
    spec = explore.explored(spec)
    maps = Maps(place / "maps", lambda name: False, lambda: None)
    shown = maps.add(spec, window, "one")
    assert shown.compiled.wait(300) and shown.curve_compiled.wait(300)
    level = geometry.MIN_LEVEL
    tile, other = shown.place(level, 0, 0), shown.place(level + 1, 0, 0)
    for _ in shown.tiles.work(tile):
        pass
    trained = shown.tiles.stored(tile)
    assert trained is not None
    write_csv(2.0)
    with pytest.raises(fj.FractaljaxError, match=r"problem\.path: data\.csv had sha256"):
        next(shown.tiles.work(other))  # while the server runs
    maps.close()
    again = Maps(place / "maps", lambda name: False, lambda: None)
    for opened in (again.add(spec, window, "one"), again.get(shown.id)):
        assert opened.compiled.wait(300)
        seen = opened.tiles.stored(tile)  # what is trained can be looked at
        assert seen is not None and np.array_equal(seen["measure"], trained["measure"])
        with pytest.raises(fj.FractaljaxError, match=r"problem\.path: data\.csv had sha256"):
            opened.usable()
        with pytest.raises(fj.FractaljaxError, match=r"problem\.path: data\.csv had sha256"):
            next(opened.tiles.work(other))
    again.close()


def test_sweeps_of_different_data_are_not_merged(place, capsys):
    done("sweep", "sweep.yaml", "seed=0..2", "--out", "a")
    done("sweep", "sweep.yaml", "seed=2..4", "--out", "b")
    done("merge", "a", "b", "--out", "ab")
    write_csv(2.0)
    assert began() in refused(capsys, "sweep", "sweep.yaml", "seed=0..2", "--out", "ab")
    done("sweep", "sweep.yaml", "seed=4..6", "--out", "c")
    line = refused(capsys, "merge", "a", "c", "--out", "ac")
    assert "a and c were begun with different files: problem.path: data.csv has sha256 " in line
    assert ") in a, sha256 " in line and line.endswith(" UTC) in c")
    assert not Path("ac/results.parquet").exists()
    assert "different files" in refused(capsys, "merge", "c", "--out", "ab")


@pytest.mark.parametrize("kind", ["scan", "sweep"])
def test_a_store_without_digests_takes_those_of_today_and_says_so_once(place, capsys, caplog, kind):
    words = [kind, f"{kind}.yaml", "--out", "out", *ONE]
    caplog.set_level(logging.INFO, logger="fractaljax")
    done(*words)
    assert "no digests" not in caplog.text
    Path("out/files.jsonl").unlink()
    done(*words)
    told = [m for m in caplog.messages if "kept no digests of these files yet" in m]
    assert len(told) == 1 and "problem.path: data.csv" in told[0]
    done(*words)
    assert len([m for m in caplog.messages if "no digests" in m]) == 1
    write_csv(2.0)
    assert began() in refused(capsys, *words)


def test_a_line_that_is_lost_is_told(place, capsys, caplog):
    """Of a value that runs have; a value that is new to the sweep is not lost."""
    words = ["sweep", "sweep.yaml", "--out", "out"]
    for name in ("more.csv", "third.csv"):
        write_csv(2.0, name)
    done(*words, "problem.path=data.csv,more.csv")
    done(*words, "problem.path=data.csv,more.csv,third.csv")
    assert "no digests" not in caplog.text
    file = Path("out/files.jsonl")
    lines = file.read_text().splitlines(True)
    file.write_text("".join(line for line in lines if "more.csv" not in line))
    done(*words, "problem.path=data.csv,more.csv")
    told = [m for m in caplog.messages if "kept no digests of these files yet" in m]
    assert len(told) == 1 and told[0].endswith("today: problem.path: more.csv")
    done("scan", "scan.yaml", "--out", "scan", *ONE)
    file = Path("scan/files.jsonl")
    lines = file.read_text().splitlines(True)
    file.write_text("".join(line for line in lines if "data.csv" not in line))
    done("scan", "scan.yaml", "--out", "scan", *ONE)
    (line,) = [m for m in caplog.messages if m.startswith("scan: kept no digests")]
    assert line.endswith("today: problem.path: data.csv")


def test_a_merge_names_the_folders_that_differ(place, capsys, caplog):
    for number, name in enumerate("abc"):
        write_csv(2.0 if name == "c" else 1.0)
        seeds = f"seed={2 * number}..{2 * number + 2}"
        done("sweep", "sweep.yaml", seeds, "--out", name)
    Path("a/files.jsonl").unlink()
    assert "b and c were begun with" in refused(capsys, "merge", "a", "b", "c", "--out", "abc")
    done("merge", "a", "b", "--out", "ab")
    assert "a: kept no digests of files, so they are not compared with those of b" in caplog.text


@pytest.mark.parametrize("kind", ["scan", "sweep", "zoom", "search", "grow"])
def test_a_file_of_the_user_is_left_alone(place, capsys, kind):
    Path("out").mkdir()
    Path("out/files.jsonl").write_text("mine\n")
    more = ["--center", "0", "0"] if kind == "zoom" else []
    words = [kind, f"{'scan' if kind == 'zoom' else kind}.yaml", *more, "--out", "out", *ONE]
    for _ in range(2):
        assert "files.jsonl" in refused(capsys, *words)
    assert Path("out/files.jsonl").read_text() == "mine\n"


def test_a_file_of_the_user_outlives_an_overwritten_sweep(place, capsys):
    words = ["sweep", "sweep.yaml", "seed=0..2", "--out", "out"]
    Path("sweep.yaml").write_text("model: {width: 3}\nsteps: 5\nfold: final_loss\n")
    done(*words)
    Path("out/files.jsonl").write_text("mine\n")
    done(*words, "--overwrite")
    assert Path("out/files.jsonl").read_text() == "mine\n"
    before = content("out")
    Path("sweep.yaml").write_text(SWEEP)
    assert "holds no digests" in refused(capsys, *words, "--overwrite")
    assert content("out") == before


def test_digests_of_a_later_version_are_read():
    listed = [["problem.path", "a", "0" * 64, "2026-11-29 10:00", None, "more"]]
    (found,) = origins.from_list(listed).values()
    assert found == contents.Content("0" * 64, "2026-11-29 10:00")


def test_a_file_that_moved_is_another_setting_as_before(place, capsys):
    done("scan", "scan.yaml", "--out", "out", *ONE)
    Path("data.csv").rename("moved.csv")
    line = refused(capsys, "scan", "scan.yaml", "problem.path=moved.csv", "--out", "out", *ONE)
    assert "problem.path: data.csv -> moved.csv" in line


def test_what_this_process_has_read_is_forgotten_when_the_file_changes(place):
    """Not only stores: a later training in the same process takes the new content."""
    spec, window = fj.load("scan.yaml")
    window = window.resized(2)
    first = fj.scan(spec, window)["measure"]
    kept = fj.scan(spec, window, store="one")["measure"]
    write_csv(2.0)
    second = fj.scan(spec, window)["measure"]
    assert np.array_equal(first, kept) and not np.array_equal(first, second)
    assert np.array_equal(fj.scan(spec, window, store="two")["measure"], second)
    write_csv(3.0)
    point = [[window.x.points()[0], window.y.points()[0]]]
    third = fj.Trainer(spec, [window.x.path, window.y.path])(np.array(point))["measure"]
    assert third[0] != second[0, 0]


@pytest.mark.parametrize("move", ["link", "chdir"])
def test_the_same_text_may_name_another_file(place, monkeypatch, move):
    """What is trained has the digest that is kept, also where a link or the folder is another."""
    write_csv(3.0, "other.csv")
    Path("data.csv").rename("first.csv")
    Path("data.csv").symlink_to("first.csv")
    spec, window = fj.load("scan.yaml")
    window = window.resized(2)
    expected = fj.scan(spec.updated({"problem.path": "other.csv"}), window)["measure"]
    first = fj.scan(spec, window, store="one")["measure"]
    if move == "link":
        Path("data.csv").unlink()
        Path("data.csv").symlink_to("other.csv")
    else:
        Path("below").mkdir()
        shutil.copy("other.csv", "below/data.csv")
        monkeypatch.chdir("below")
    second = fj.scan(spec, window, store=place / "two")["measure"]
    assert np.array_equal(second, expected) and not np.array_equal(first, second)
    kept = origins.read(place / "two")["problem.path", "data.csv"]
    assert kept.sha256 == contents.look(str(place / "other.csv")).sha256


def test_a_folder_that_is_called_by_a_word_is_read_anew(place):
    """It is not compared; but what is trained is what it holds."""
    images(place)
    spec, window = fj.load("scan.yaml", ["problem.root=images"])
    window = window.resized(2)
    first = fj.scan(spec, window)["measure"]
    pixels = np.random.default_rng(1).integers(0, 255, (40, 28, 28))
    idx_files.write_idx(Path("images"), "train", pixels, np.arange(40) % 10)
    for label in Path("images").glob("*labels*"):
        label.unlink()
    assert not np.array_equal(fj.scan(spec, window)["measure"], first)


def test_a_part_that_a_notebook_defines_again_is_trained_anew(own_registry):
    def define(name, text):
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        exec(compile(text, name, "exec"), {"fj": fj, "__name__": "__main__"})

    cell = (
        "@fj.register('schedule', 'cell')\ndef cell(at: float = 0.5):\n    return lambda t, n: {}\n"
    )
    fj.prepare("float32")
    define("<cell 1>", cell.format("1.0"))
    spec = fj.Spec(schedule=fj.Part("cell"), steps=5)
    window = fj.Window(fj.Axis("optimizer.lr", 0.1, 1, n=2))
    first = fj.scan(spec, window)
    define("<cell 2>", cell.format("0.5"))
    second = fj.scan(spec, window)
    assert not np.array_equal(first["measure"], second["measure"])
    with pytest.raises(fj.FractaljaxError, match=r"plugins: schedule 'cell' had sha256"):
        audit.audit([first])


def test_a_script_that_is_edited_while_it_runs(tmp_path, own_registry, monkeypatch):
    script = tmp_path / "script.py"
    text = (
        "import fractaljax as fj\n\n@fj.register('schedule', 'mine')\n"
        "def mine(at: float = 0.5):\n    return lambda t, steps: 1.0\n"
    )
    script.write_text(text)
    exec(compile(text, str(script), "exec"), {"__name__": "__main__"})
    spec = fj.Spec(schedule=fj.Part("mine"))
    first = named_files([spec])
    script.write_text(text.replace("1.0", "0.123"))
    assert named_files([spec]) == first != {}


def test_modules_of_a_namespace_package_count_each(tmp_path, monkeypatch, own_registry):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("one", "two"):
        (tmp_path / "spaced").mkdir(exist_ok=True)
        (tmp_path / f"spaced/{name}.py").write_text(
            f"import fractaljax as fj\n\n@fj.register('{{}}', '{name}')\n"
            "def made(at: float = 0.5):\n    return lambda *_: None\n".format(
                {"one": "schedule", "two": "rates"}[name]
            )
        )
    config.load_plugins(["spaced.one", "spaced.two"])
    masked = fj.Part("masked_mlp")
    spec = fj.Spec(model=masked, schedule=fj.Part("one"), rates=fj.Part("two"))
    found = named_files([spec])
    assert [*found] == [("plugins", "spaced.one"), ("plugins", "spaced.two")]
    assert len({one.sha256 for one in found.values()}) == 2
    for name in ("spaced", "spaced.one", "spaced.two"):
        sys.modules.pop(name, None)


def test_a_path_that_follows_another_argument(place, capsys):
    """As in `tfds`, where the folder follows the set: a sweep of it does not refuse itself."""
    text = """
@fj.register("problem", "chosen")
def chosen(dataset: str = "one", data_dir: str = "") -> fj.Problem:
    path = f"{dataset}.csv"
    made = problem(lambda: np.loadtxt(path, delimiter=","))
    return made._replace(reads=lambda: {"data_dir": path})
"""
    Path(f"{file_parts.MODULE}.py").write_text(file_parts.TEXT + text)
    Path("sets.yaml").write_text(SWEEP.replace("{name: table, path: data.csv}", "chosen"))
    write_csv(1.0, "one.csv")
    write_csv(2.0, "two.csv")
    words = ["sweep", "sets.yaml", "problem.dataset=one,two", "--out", "out"]
    done(*words)
    done(*words)
    for name in ("one.csv", "two.csv"):
        write_csv(3.0, name)
        assert began("problem.data_dir", name) in refused(capsys, *words)
        write_csv({"one.csv": 1.0, "two.csv": 2.0}[name], name)


def test_tfds_reads_one_set_of_its_folder(tmp_path, monkeypatch):
    """Another set beside it changes nothing, and a default folder counts too."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    (tmp_path / "mnist/3.0.1").mkdir(parents=True)
    (tmp_path / "mnist/3.0.1/train").write_text("a")
    spec = fj.Spec(problem=fj.Part("tfds"))
    first = named_files([spec])
    assert [*first] == [("problem.data_dir", str(tmp_path / "mnist"))]
    (tmp_path / "kmnist").mkdir()
    (tmp_path / "mnist/3.0.2.incomplete.AB").mkdir()
    (tmp_path / "mnist/3.0.2.incomplete.AB/train").write_text("b")
    assert named_files([spec]) == first
    (tmp_path / "mnist/3.0.1/train").write_text("b")
    assert named_files([spec]) != first
    (tmp_path / "notes.txt").write_text("a")
    images = tmp_path / "train-images-idx3-ubyte.gz"
    images.write_text("a")
    assert [*named_files([spec.updated({"problem.manual_dir": str(tmp_path)})])] == [
        ("problem.data_dir", str(tmp_path / "mnist")),
        ("problem.manual_dir", str(images)),  # alone is prepared from
    ]
    both = [spec.updated({"problem.dataset": name}) for name in ("mnist", "kmnist")]
    (tmp_path / "kmnist/train").write_text("a")
    assert [value for _, value in named_files(both)] == [
        str(tmp_path / name) for name in ("mnist", "kmnist")
    ]


def test_a_problem_says_what_it_reads_beside_its_arguments(place, capsys):
    """A path in the code, which no argument names; and a text argument that is no path."""
    text = (
        file_parts.TEXT
        + """
@fj.register("problem", "fixed")
def fixed(label: str = "data.csv") -> fj.Problem:
    reads = lambda: {"rows": "more.csv"}
    return problem(lambda: np.loadtxt("more.csv", delimiter=","))._replace(reads=reads)
"""
    )
    Path(f"{file_parts.MODULE}.py").write_text(text)
    Path("fixed.yaml").write_text(SCAN.replace("{name: table, path: data.csv}", "fixed"))
    write_csv(1.0, "more.csv")
    words = ["scan", "fixed.yaml", "--out", "out", *ONE]
    done(*words)
    write_csv(2.0)
    done(*words)
    write_csv(2.0, "more.csv")
    assert began("problem.rows", "more.csv") in refused(capsys, *words)


def test_of_a_script_the_part_alone_counts(own_registry):
    """A script changes from run to run; what it registers is what is trained."""

    def halved(at: float = 0.5):
        return lambda t, steps: 1 - 0.5 * (t >= at * steps)

    halved.__module__ = "__main__"
    fj.register("schedule", "halved")(halved)
    ((key, found),) = named_files([fj.Spec(schedule=fj.Part("halved"))]).items()
    assert key == ("plugins", "schedule 'halved'") and found is not None
    assert found.sha256 == contents.of_text(inspect.getsource(halved)).sha256


def test_both_sides_of_a_pair_name_their_data_once(place):
    config.load_plugins([file_parts.MODULE])
    side = fj.Spec(problem=fj.Part("table"), fold=())
    pair = fj.Pair(side, side.updated({"seed": 0}), (fj.Part("param_distance"),))
    assert [*named_files([pair])] == [("problem.path", "data.csv"), ("plugins", file_parts.MODULE)]


def test_words_and_the_working_folder_are_no_files(place, caplog):
    config.load_plugins([file_parts.MODULE])
    plugin = ("plugins", file_parts.MODULE)

    def named(path):
        return named_files([fj.Spec(problem=fj.Part("table", path=path))])

    assert named(".").keys() == {plugin} == named(str(place)).keys()
    Path("tanh").mkdir()
    Path("tanh/notes").write_text("a folder called as an activation is")
    assert named("tanh").keys() == {plugin} and "write ./tanh" in caplog.text
    assert named("./tanh")["problem.path", "./tanh"].files == 1
    Path("relu").write_text("a file is one")
    assert named("relu")["problem.path", "relu"] is not None
    Path("digits").mkdir()
    Path("digits/notes").write_text("no part of ours reads what its words name")
    assert named_files([fj.Spec(problem=fj.Part("digits"))]) == {}


@pytest.mark.parametrize("word", ["tanh", "./tanh"])
def test_a_word_that_the_result_is_called_by(place, own_registry, word):
    Path(f"{file_parts.MODULE}.py").write_text(file_parts.TEXT + WORD)
    Path("word.yaml").write_text(
        SCAN.replace(
            "model: {width: 3}", f"model: {{width: 3}}\nschedule: {{name: spoken, word: {word}}}"
        )
    )
    for _ in range(2):
        done("scan", "word.yaml", "--out", "tanh", *ONE)


def images(place):
    """A folder of data, and settings that name it."""
    Path("images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (40, 28, 28))
    idx_files.write_idx(Path("images"), "train", pixels, np.arange(40) % 10)
    for label in Path("images").glob("*labels*"):
        label.unlink()
    table, folder = "{name: table, path: data.csv}", "{name: idx_folder, root: ./images}"
    for name in ("SCAN", "SEARCH", "SWEEP"):
        Path(f"{name.lower()}.yaml").write_text(globals()[name].replace(table, folder))


def test_results_below_the_data_are_no_data(place):
    """Of every kind, from the first file that is written of them on."""
    images(place)
    plugin = ["--plugin", file_parts.MODULE, *ONE]
    zoom = ["zoom", "scan.yaml", "--center", "0", "0", "--levels", "2", "--out", "images/z", *ONE]
    ways = (
        ["scan", "scan.yaml", "--out", "images/s", *ONE],
        zoom,
        ["sweep", "sweep.yaml", "seed=0..2", "--out", "images/w"],
        ["run-transfer", "search.yaml", "--runs-root", "images/runs", "--run-name", "r", *ONE],
    )
    for words in ways:
        done(*words)
    for words in ways[:3]:
        done(*words)
    done("run-transfer", "--resume", "images/runs/r", *plugin)
    assert contents.look("images").files == 1


def test_a_folder_called_as_a_result_has_it_is_data(tmp_path):
    for name in ("claims", "files.jsonl", "zoom.json", "config.yaml"):
        (tmp_path / f"of_{name}").mkdir()
        (tmp_path / f"of_{name}" / name).write_text("a user's own")
    assert contents.look(str(tmp_path)).files == 4


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one").write_text("1")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(fj.FractaljaxError, match=r"/a cannot be read: Permission denied$"):
        contents.look(str(tmp_path))


def test_what_cannot_be_compared_here_is_not_gone(place, monkeypatch):
    """A result that was begun elsewhere goes on in the folder of its own data."""
    images(place)
    text = Path("scan.yaml").read_text().replace("./images", str(place / "images"))
    Path("scan.yaml").write_text(text)
    words = ["scan", place / "scan.yaml", "--out", place / "out", *ONE]
    done(*words)
    before = Path("out/files.jsonl").read_text()
    monkeypatch.chdir("images")
    done(*words)
    assert Path("../out/files.jsonl").read_text() == before


def test_a_folder_counts_by_names_and_contents(tmp_path):
    (tmp_path / "a/below").mkdir(parents=True)
    (tmp_path / "a/one").write_text("1")
    (tmp_path / "a/below/two").write_text("2")
    first = contents.look(str(tmp_path / "a"))
    assert first is not None and first.files == 2
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert contents.look(str(tmp_path / "b")) == first._replace(
        modified=contents.look(str(tmp_path / "b")).modified
    )
    (tmp_path / "a/loop").symlink_to(tmp_path / "a")  # ends
    (tmp_path / "a/result").mkdir()
    (tmp_path / "a/result/claims").write_text("")  # what is trained is no data
    (tmp_path / "a/result/config.yaml").write_text("")
    assert contents.look(str(tmp_path / "a")).sha256 == first.sha256
    (tmp_path / "a/one").rename(tmp_path / "a/other")
    assert contents.look(str(tmp_path / "a")).sha256 != first.sha256
    assert contents.look(str(tmp_path / "none")) is None and contents.look("a\0b") is None


def test_no_file_is_read_twice_while_it_stays(tmp_path, monkeypatch):
    file = tmp_path / "data"
    file.write_bytes(b"a" * 1000)
    first = contents.look(str(file))
    reads = []
    real = contents.hashlib.file_digest
    monkeypatch.setattr(contents.hashlib, "file_digest", lambda *a: reads.append(1) or real(*a))
    assert contents.look(str(file)) == first and not reads
    file.write_bytes(b"b" * 1000)
    assert contents.look(str(file)).sha256 != first.sha256 and len(reads) == 1


def test_a_damaged_line_is_told_and_passed_over(place, caplog):
    done("scan", "scan.yaml", "--out", "out", *ONE)
    file = Path("out/files.jsonl")
    assert {json.loads(line)["setting"] for line in file.read_text().splitlines()} == {
        "plugins",
        "problem.path",
    }
    file.write_text(file.read_text().replace("data.csv", "date.csv") + '{"cut')
    assert [*origins.read(Path("out"))] == [("plugins", file_parts.MODULE)]
    assert "a line is damaged" in caplog.text
    done("scan", "scan.yaml", "--out", "out", *ONE)
    assert ("problem.path", "data.csv") in origins.read(Path("out"))


def test_a_table_refuses_before_it_writes(tmp_path):
    named = {("problem.path", "a"): contents.of_text("one")}
    table.Table(tmp_path, {"seed": 0}, files=named)
    before = content(tmp_path)
    with pytest.raises(fj.FractaljaxError, match=r"problem\.path: a had sha256"):
        table.Table(tmp_path, {"seed": 0}, files={("problem.path", "a"): contents.of_text("two")})
    assert content(tmp_path) == before
