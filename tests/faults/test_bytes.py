"""Flipped bytes, cut files and empty files in stores of every kind: found, or without effect."""

import contextlib
import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import works
import yaml
from commands import World, run
from harness import SEED, completed, one_line, tally, wrong

import fractaljax as fj
from fractaljax.errors import FractaljaxError
from fractaljax.families import snapshots
from fractaljax.store import open_levels, seals
from fractaljax.store import study_folder as files

KINDS = ["scan", "zoom", "sweep", "search", "transfer", "grow"]
DAMAGED = {  # files of a study that hold what was trained
    "search": [
        "6/search_results.csv",
        "4/best_hyperparameters.yaml",
        "4/retrain/seed_2/weights.npz",
    ],
    "grow": ["arms/grown/members.csv"],
    "transfer": ["targets/6.csv"],
}
FEW, MANY = [20], [pytest.param(1000, marks=pytest.mark.long)]
AGAIN, OFTEN = [1], [pytest.param(8, marks=pytest.mark.long)]


def damaged(file: Path, chance: random.Random) -> str:
    """Flips a bit of a file, cuts it, or empties it; says which."""
    content = bytearray(file.read_bytes())
    how = chance.choice(["flipped", "flipped", "flipped", "cut", "emptied"]) if content else "empty"
    if how == "flipped":
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del content[chance.randrange(len(content)) :]
    file.write_bytes(b"" if how == "emptied" else bytes(content))
    return f"{file.name} {how}"


def store(out: Path) -> list[Path]:
    """Every file of a store but pictures and locks."""
    named = (f for f in sorted(out.rglob("*")) if f.name != "claims" and f.is_file())
    return [f for f in named if f.suffix not in works.PICTURES]


def fields(out: Path, expected: list[Any]) -> bool:
    """Whether all that the fields of a folder say is as expected."""
    for found, whole in zip(open_levels(out), expected, strict=False):
        for axis, true in zip(found.window.axes, whole.window.axes, strict=True):
            if axis.points().tobytes() != true.points().tobytes():
                return False
        for name, array in found.arrays.items():
            values, true = np.asarray(array), np.asarray(whole.arrays[name])
            if values[found.done].tobytes() != true[found.done].tobytes():
                return False
    return True


def sweeps(out: Path, expected: dict[str, bytes]) -> bool:
    """The same of a sweep: runs may be missing, and none be wrong."""
    return works.table(out).items() <= expected.items()


def studies(out: Path, expected: dict[str, Any]) -> bool:
    """The same of a study: whatever a file says is as expected."""
    for name, content in everything(out).items():
        if content is not None and repr(content) != repr(expected[name]):
            return False
    return True


def everything(out: Path) -> dict[str, Any]:
    """What readers make of every file of a study."""
    found: dict[str, Any] = {}
    for file in store(out):
        name, read = str(file.relative_to(out)), READERS.get(file.suffix)
        if read is not None:
            with contextlib.suppress(FractaljaxError):  # it is told, in one line
                found[name] = read(file)
    for file in out.glob("**/snapshots/**/*.yaml"):
        with contextlib.suppress(FractaljaxError):
            loaded = snapshots.load_snapshot(file)
            leaves = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(loaded.state)]
            found[f"{file.relative_to(out)} loaded"] = (loaded.values, loaded.epoch, leaves)
    return found


def packed(file: Path) -> Any:
    arrays = files.read_arrays(file)
    return arrays and {name: array.tobytes() for name, array in arrays.items()}


READERS: dict[str, Callable[[Path], Any]] = {
    ".yaml": files.read_tree,
    ".csv": files.read_table,
    ".npz": packed,
}


def readers(kind: str, out: Path) -> tuple[Callable[[Path, Any], bool], Any]:
    """What says whether a folder of a kind is right, and what it compares with."""
    if kind in ("scan", "zoom"):
        return fields, open_levels(out)
    return (sweeps, works.table(out)) if kind == "sweep" else (studies, everything(out))


@pytest.fixture(autouse=True)
def quiet():
    """Warnings about damage are wanted, a thousand of them are not shown."""
    logging.getLogger("fractaljax").setLevel(logging.ERROR)
    yield
    logging.getLogger("fractaljax").setLevel(logging.INFO)


@pytest.mark.slow
@pytest.mark.parametrize("times", FEW + MANY)
@pytest.mark.parametrize("kind", KINDS)
def test_no_damage_makes_a_wrong_number(undisturbed, tmp_path, kind, times):
    whole, chance = undisturbed(kind), random.Random(SEED + times)
    right, expected = readers(kind, whole.out)
    copy, false, told = tmp_path / "copy", 0, 0
    shutil.copytree(whole.out, copy)
    there = store(copy)
    for number in range(times):
        file = there[number % len(there)] if times > len(there) else chance.choice(there)
        content = file.read_bytes()
        how = damaged(file, chance)
        try:
            good = right(copy, expected)
        except FractaljaxError:
            good, told = True, told + 1
        if not good:
            print(f"wrong: {how}")
        false += not good
        file.write_bytes(content)
    assert kind not in ("scan", "zoom", "sweep") or told > 0
    tally("damaged files, read", kind, times, 0, false)


@pytest.mark.slow
@pytest.mark.parametrize("times", AGAIN + OFTEN)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_command_mends_or_tells_damage(undisturbed, tmp_path, kind, times):
    """One line, or what was damaged is trained again; never another result."""
    whole, chance, false = undisturbed(kind), random.Random(SEED + 7 * times), 0
    for number in range(times):
        out = tmp_path / f"result-{number}"
        shutil.copytree(whole.out, out)
        how = damaged(chance.choice(store(out)), chance)
        ended = run(whole.work.words(out))
        print(how, ended.code, ended.told[-300:])
        if ended.code:
            one_line(ended)
            continue
        with contextlib.suppress(FractaljaxError):  # told where a curve is read
            false += wrong(whole.found, whole.work.found(out))
    tally("damaged files, same command", kind, times, 0, false)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DAMAGED)
def test_what_a_study_finds_damaged_is_trained_again(undisturbed, tmp_path, kind):
    whole, out = undisturbed(kind), tmp_path / "result"
    shutil.copytree(whole.out, out)
    for name in DAMAGED[kind]:
        content = bytearray((out / name).read_bytes())
        content[len(content) // 2] ^= 1
        (out / name).write_bytes(content)
    assert {*seals.damaged(out)} == {out / name for name in DAMAGED[kind]}
    injected = len(DAMAGED[kind])
    tally("damaged files, same command", kind, injected, *completed(whole, out, {}))


@pytest.mark.slow
def test_a_sum_whose_file_never_came_costs_nothing(undisturbed, tmp_path):
    """As a process leaves it that is killed between the two."""
    whole, out = undisturbed("search"), tmp_path / "result"
    shutil.copytree(whole.out, out)
    for name in ("summary.yaml", "best_hyperparameters.yaml"):
        (out / "6" / name).unlink()
    ended = run(whole.work.words(out), World(counted=tmp_path / "trained"))
    assert ended.code == 0 and "trained again" not in ended.told, ended.told
    told = tmp_path / "trained"
    trained = sum(map(int, told.read_text().split())) if told.exists() else 0
    assert trained <= 2, "trials that were there were trained again, and not the two seeds alone"
    tally("a sum without its file", "search", 1, 0, wrong(whole.found, whole.work.found(out)))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("sweep", "config.yaml"), ("search", "study.yaml")])
def test_what_only_tells_is_made_again_once_it_is_removed(undisturbed, tmp_path, kind, name):
    whole, out = undisturbed(kind), tmp_path / "result"
    shutil.copytree(whole.out, out)
    content, before = (out / name).read_bytes(), whole.work.finished(out)
    (out / name).write_bytes(content[:-2])
    line = one_line(run(whole.work.words(out)), out / name)
    assert "remove it" in line
    (out / name).unlink()
    tally("damaged files, same command", kind, 1, *completed(whole, out, before))


def test_a_tree_and_a_table_without_sums_are_read(tmp_path):
    """As an earlier version wrote them."""
    files.write_tree(tmp_path / "a.yaml", {"one": 1})
    files.write_table(tmp_path / "a.csv", ("one",), [(1.5,)])
    (tmp_path / seals.SUMS).unlink()
    assert files.read_tree(tmp_path / "a.yaml") == yaml.safe_load("one: 1")
    assert files.read_table(tmp_path / "a.csv") == [{"one": "1.5"}]
    assert not seals.damaged(tmp_path)


def test_of_a_store_a_record_of_a_run_is_believed_only_whole(undisturbed, tmp_path):
    out = tmp_path / "result"
    shutil.copytree(undisturbed("scan").out, out)
    text = (out / "runs.jsonl").read_text()
    pixels = fj.open(out).provenance["pixels"]
    (out / "runs.jsonl").write_text(text.replace(f'"pixels": {pixels}', f'"pixels": {pixels + 1}'))
    assert fj.open(out).provenance.get("pixels", 0) == 0
