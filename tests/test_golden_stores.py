"""Stores that earlier versions wrote are opened and gone on with; newer formats are refused."""

import json
import re
import shutil
from pathlib import Path

import golden_stores as golden
import numpy as np
import pytest
import yaml

import fractaljax as fj
from fractaljax import config
from fractaljax.errors import FractaljaxError
from fractaljax.families import growth_report
from fractaljax.store import records, seals, study_folder, sweep_folder

STORES = Path(__file__).parent / "data" / "stores"
ALL = [
    (version.name, kind)
    for version in sorted(STORES.iterdir())
    for kind in json.loads((version / "expected.json").read_text())
]


@pytest.fixture
def store(tmp_path, request):
    """A copy of one store, under a path of the same length as any other."""
    version, kind = request.param
    return kind, shutil.copytree(STORES / version / kind, tmp_path / "store"), version


def trained(folder):
    """What would change where something was trained: every file of arrays, runs and tables.

    Not what claims are said to be, which is by the rule of this version.
    """
    ours = (".npz", ".csv", ".parquet", ".jsonl")
    files = [p for p in folder.rglob("*") if p.is_file() and (p.suffix in ours or "c" in p.parts)]
    files = [p for p in files if p.name != "comparisons.csv"]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def same(found, expected):
    """Bit for bit but for a network's outputs, which this machine computes again."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        mine, theirs = np.asarray(found[name]), np.asarray(value)
        assert mine.shape == theirs.shape, name
        tolerance = 1e-5 if name == "outputs" else 0
        close = np.isclose(mine, theirs, rtol=tolerance, atol=tolerance, equal_nan=True)
        assert close.all(), f"{name}: {mine} is not {theirs}"


def test_every_kind_has_a_store_and_the_last_version_wrote_all():
    versions = sorted({version for version, _ in ALL})
    assert len(versions) >= 3
    assert {kind for version, kind in ALL if version == versions[-1]} == set(golden.KINDS)


@pytest.mark.parametrize("store", ALL, indirect=True, ids="/".join)
def test_what_a_version_wrote_is_read_as_it_read_it(store):
    kind, folder, version = store
    expected = json.loads((STORES / version / "expected.json").read_text())[kind]
    before = trained(folder)
    same(golden.KINDS[kind][1](folder), expected)
    after = trained(folder)
    kept = {name: after[name] for name in before if "transfer" not in name}
    assert kept == {name: before[name] for name in kept}


@pytest.mark.parametrize("store", ALL, indirect=True, ids="/".join)
def test_the_same_command_goes_on_with_it_and_trains_nothing(store):
    kind, folder, _ = store
    if kind == "study":  # `transfer` alone: a search is asked for beside it
        folder = folder / "search"
        with golden.configured(golden.STUDY) as path:
            before = trained(folder)
            fj.search(path, out=folder, devices=1)
    else:
        before = trained(folder)
        golden.KINDS[kind][0](folder)
    assert {name: trained(folder)[name] for name in before} == before


@pytest.mark.parametrize("version", sorted({version for version, _ in ALL}))
def test_a_scan_that_an_earlier_version_left_half_is_finished(tmp_path, version):
    folder = shutil.copytree(STORES / version / "scan", tmp_path / "store")
    marks = sorted(path for path in (folder / "field" / "done" / "c").rglob("*") if path.is_file())
    marks[-1].unlink()
    before = fj.open(folder)
    assert not before.done.all()
    kept, done = np.asarray(before["measure"])[before.done], before.done
    golden.scan(folder)
    after = fj.open(folder)
    assert after.done.all() and np.isfinite(np.asarray(after["measure"])).all()
    assert np.array_equal(np.asarray(after["measure"])[done], kept)


def test_a_setting_that_the_store_lacks_is_what_was_done_before(tmp_path):
    """`pool` came later: stores without it were trained with none."""
    spec = fj.Spec(model=fj.Part("mlp"), problem=fj.Part("digits"), steps=4)
    window = fj.Window(fj.Axis("optimizer.lr", 0.1, 1.0, 3))
    asked = json.loads(json.dumps(config.as_tree(spec, window)))
    old = json.loads(json.dumps(asked))
    del old["problem"]["pool"], old["metric"], old["evaluations"]
    assert config.differences(old, asked) and not config.compared(old, asked)
    other = spec.updated({"problem.pool": 2})
    found = config.compared(old, json.loads(json.dumps(config.as_tree(other, window))))
    assert found == ["problem.pool: 1 -> 2"]


def test_a_sweep_begun_before_an_argument_is_swept_over_it(tmp_path):
    folder = shutil.copytree(STORES / "2026-11-23" / "sweep", tmp_path / "store")
    told = yaml.safe_load((folder / "config.yaml").read_text())
    del told["optimizer"]["momentum"]  # as though it had come later
    (folder / "config.yaml").write_text(
        (folder / "config.yaml").read_text().splitlines()[0] + "\n" + yaml.safe_dump(told)
    )
    words = ["model.gamma=0.75,1.0", "batch_seed=0..2", "optimizer.momentum=0.0,0.5"]
    before = fj.load_sweep(folder).history["test_loss"]
    with golden.configured(golden.SWEEP) as path:
        found = fj.sweep(path, words, out=folder, chunk=2, devices=1)
    assert len(found) == 8  # four of them were there
    assert np.isfinite(found.history["test_loss"]).all()
    still = found.select({"optimizer.momentum": 0.0})
    assert {*map(bytes, still.history["test_loss"])} == {*map(bytes, before)}
    assert sorted(found.values("optimizer.momentum")) == [0.0] * 4 + [0.5] * 4


UNTESTED = [pair for pair in ALL if pair[1] == "growth" and pair[0] < "2026-11-29"]


@pytest.mark.parametrize("store", UNTESTED, indirect=True, ids="/".join)
def test_verdicts_that_were_said_of_too_few_seeds_are_taken_back(store):
    """Two seeds: earlier versions said `refuted` where both arms have the same accuracies."""
    _, folder, _ = store
    before = study_folder.read_table(folder / "comparisons.csv")
    assert [line["verdict"] for line in before] == ["refuted"]
    told = growth_report.report(folder)
    assert [judged.verdict for judged in told.judged] == ["too few seeds"]
    (after,) = study_folder.read_table(folder / "comparisons.csv")
    assert (after["verdict"], after["needed"], after["low"]) == ("too few seeds", "6", "nan")
    assert {k: after[k] for k in ("claim", "text", "over", "difference", "pairs")} == {
        k: before[0][k] for k in ("claim", "text", "over", "difference", "pairs")
    }
    text = (folder / "summary.md").read_text()
    assert "**no verdict: 2 pairs, 6 are needed**" in text and "refuted" not in text


def renumber(folder, kind, number):
    """Writes another format number into a store, as a newer version would, with its own sums."""
    for sums in folder.rglob(seals.SUMS):
        sums.unlink()
    if kind in ("scan", "line"):
        about = json.loads((folder / "field" / "zarr.json").read_text())["attributes"]["fractaljax"]
        about["format"], about["unheard"] = number, True
        records.write(folder / "field", about)
    elif kind == "zoom":
        file = folder / "zoom.json"
        file.write_text(re.sub(r'"format": \d+', f'"format": {number}', file.read_text()))
    else:
        trees = [*folder.rglob("*.yaml")]
        for file in trees:
            first, _, rest = file.read_text().partition("\n")
            rest = re.sub(r"^# format \d+\n", "", rest)
            file.write_text(f"{first}\n# format {number}\n{rest}")


LAST = [row for row in ALL if row[0] == ALL[-1][0]]


@pytest.mark.parametrize("store", LAST, indirect=True, ids="/".join)
def test_a_newer_format_is_refused_in_one_line_and_left_alone(store):
    kind, folder, _ = store
    renumber(folder, kind, 7)
    before = trained(folder)
    line = r"was written by a newer fractaljax \(format 7; this one reads 1(?: to \d)?\)$"
    with pytest.raises(FractaljaxError, match=line):
        golden.KINDS[kind][1](folder)
    asked = folder / "search" if kind == "study" else folder
    write = golden.KINDS[kind][0]
    with pytest.raises(FractaljaxError, match=line):
        write(asked.parent if kind == "study" else asked)
    assert trained(folder) == before


@pytest.mark.parametrize("kind", ["scan", "zoom"])
def test_what_is_written_today_says_its_format(tmp_path, kind):
    """The number stands where `renumber` finds it."""
    golden.KINDS[kind][0](tmp_path / "store")
    assert not [path for path in tmp_path.rglob("*.yaml") if path.name != "spec.yaml"]
    renumber(tmp_path / "store", kind, 7)
    with pytest.raises(FractaljaxError, match="newer fractaljax"):
        fj.open(tmp_path / "store")


def test_yaml_files_and_tables_of_today_say_their_format(tmp_path):
    setting = {"model": {"name": "m"}}
    sweep_folder.begin(tmp_path, setting)
    study_folder.write_tree(tmp_path / "summary.yaml", setting)
    study_folder.write_network(tmp_path / "best", {"kernel": np.zeros(2)}, setting)
    for file in tmp_path.rglob("*.yaml"):
        assert re.search(r"\A# .*written by fractaljax\n# format 1\n", file.read_text()), file
    assert sweep_folder.read_config(tmp_path) == setting
    assert study_folder.read_tree(tmp_path / "summary.yaml") == setting
    for wrong in ("0", "x"):
        file = tmp_path / "summary.yaml"
        file.write_text(f"# written by fractaljax\n# format {wrong}\na: 1\n")
        (tmp_path / seals.SUMS).unlink(missing_ok=True)
        if wrong == "x":  # a comment of somebody's, and no number: as before there was one
            assert study_folder.read_tree(file) == {"a": 1}
        else:
            with pytest.raises(FractaljaxError, match="damaged or was not written by fractaljax"):
                study_folder.read_tree(file)
