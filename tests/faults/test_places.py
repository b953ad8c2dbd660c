"""Folders that may not be written, and folders that vanish: one line, and nothing is lost."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import works
from commands import Command, World, run
from harness import VERBS, completed, lost, one_line, tally, wrong

pytestmark = pytest.mark.slow

NOBODY = 65534


@pytest.fixture
def open_place():
    """A folder that every user may enter."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def locked(place: Path) -> World:
    """Makes a folder one that the command may read and not write: that of another user."""
    if os.getuid() == 0:
        return World(uid=NOBODY)
    for folder in [place, *(f for f in place.rglob("*") if f.is_dir())]:
        folder.chmod(0o555)
    return World()


def unlocked(place: Path) -> None:
    for folder in [place, *place.rglob("*")]:
        if folder.is_dir():
            folder.chmod(0o755)


@pytest.mark.parametrize("verb", VERBS)
def test_a_read_only_folder_is_one_line(undisturbed, open_place, verb):
    whole = undisturbed(verb)
    source = open_place / whole.work.source.name  # where every user may read it
    (shutil.copytree if verb == "transfer" else shutil.copy)(whole.work.source, source)
    work, out = whole.work._replace(source=source), open_place / "result"
    shutil.copytree(whole.out, out)
    before, world = work.finished(out), locked(open_place)
    for there in (out, open_place / "new"):
        one_line(run(work.words(there), world), there)
    unlocked(open_place)
    gone, differing = lost(before, work.finished(out)), wrong(whole.found, work.found(out))
    tally("read-only folder", verb, 2, gone, differing)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("how", ["renamed", "removed"])
def test_a_folder_that_vanishes_is_one_line(undisturbed, tmp_path, verb, how):
    whole, out, away = undisturbed(verb), tmp_path / "result", tmp_path / "away"
    command = Command(whole.work.words(out))
    command.until(lambda: out.exists() and whole.work.finished(out))
    os.rename(out, away)
    if how == "removed":
        shutil.rmtree(away)
    one_line(command.ended(), out)
    assert not out.exists() or not any(f.is_file() for f in out.rglob("*")), list(out.rglob("*"))
    kept = {}
    if how == "renamed":
        shutil.rmtree(out, ignore_errors=True)
        os.rename(away, out)
        kept = whole.work.finished(out)
    tally(f"folder {how}", verb, 1, *completed(whole, out, kept))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a place nobody can write to")
@pytest.mark.parametrize("verb", VERBS)
def test_a_place_nobody_can_write_to_is_one_line(undisturbed, verb):
    one_line(run(undisturbed(verb).work.words(Path("/proc/nowhere"))), "/proc/nowhere")


def test_a_read_only_result_can_be_looked_at(undisturbed, open_place):
    out = open_place / "result"
    shutil.copytree(undisturbed("scan").out, out)
    world = locked(out)
    one_line(run(["render", str(out)], world), out)
    assert run(["show", str(out)], world).code == 0
    mark = next((out / "field" / "done" / "c").glob("0/0"))
    unlocked(out)
    mark.unlink()
    locked(out)
    one_line(run(works.work("scan", open_place).words(out), world), out)
    unlocked(out)
    tally("read-only folder", "render", 2, *completed(undisturbed("scan"), out, {}))
