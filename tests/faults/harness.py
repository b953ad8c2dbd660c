"""Commands started, disturbed, and gone on with; and what they lost, counted."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import works
from commands import Command, Ended, run
from works import Pieces, Work

SEED = int(os.environ.get("FRACTALJAX_FAULTS_SEED", "20261126"))
TALLY = "FRACTALJAX_FAULTS"  # a file that gets a line for every fault that is injected


def scan_first(verbs: Iterable[str]) -> list:
    """Parameters of a test: `scan`, which stands for all in the short form, and the others."""
    return [v if v == "scan" else pytest.param(v, marks=pytest.mark.long) for v in verbs]


VERBS = scan_first(works.READ)


class Pace(NamedTuple):
    """How long a command takes."""

    began: float  # s until its folder was there
    seconds: float  # s in all


class Calm(NamedTuple):
    """A command that nothing disturbed."""

    work: Work
    out: Path
    found: dict[str, bytes]
    pace: Pace


def calm(work: Work, out: Path) -> Calm:
    """A command undisturbed: the first that asks runs it, for all processes of tests."""
    kept = out.with_suffix(".pace")
    with open(out.with_suffix(".lock"), "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        if not kept.exists():
            clock = time.monotonic()
            command = Command(work.words(out))
            command.until(out.exists)
            began = time.monotonic() - clock
            ended = command.ended()
            assert ended.code == 0, ended.told
            kept.write_text(json.dumps((began, time.monotonic() - clock)))
    return Calm(work, out, work.found(out), Pace(*json.loads(kept.read_text())))


def lost(before: Pieces, after: Pieces) -> int:
    """How many pieces that were finished are not there any more, or were made again."""
    return sum(after.get(name) != stamp for name, stamp in before.items())


def wrong(expected: dict[str, bytes], found: dict[str, bytes]) -> int:
    """How many arrays or files are not what they are undisturbed."""
    return sum(expected.get(k) != found.get(k) for k in {*expected, *found})


def completed(undisturbed: Calm, out: Path, before: Pieces) -> tuple[int, int]:
    """Runs the same command to its end; `(lost, wrong)`."""
    work = undisturbed.work
    ended = run(work.words(out))
    assert ended.code == 0, ended.told
    assert not [*out.rglob("running.npz")], "a training that has ended is kept to go on with"
    return lost(before, work.finished(out)), wrong(undisturbed.found, work.found(out))


def one_line(ended: Ended, *names: object) -> str:
    """The one line in which a command was refused, which names all these."""
    lines = [line for line in ended.told.splitlines() if line.startswith("fractaljax: ")]
    assert ended.code == 2 and ended.said == "", ended
    assert len(lines) == 1 and "Traceback" not in ended.told, ended.told
    assert all(str(name) in lines[0] for name in names), lines[0]
    return lines[0]


def tally(fault: str, where: str, injected: int, lost: int = 0, wrong: int = 0) -> None:
    """Counts faults where the benchmark asks for it; then holds that nothing was lost."""
    if path := os.environ.get(TALLY):
        line = {"fault": fault, "where": where, "injected": injected, "lost": lost, "wrong": wrong}
        with open(path, "a") as file:
            file.write(json.dumps(line) + "\n")
    assert (lost, wrong) == (0, 0), f"{fault}, {where}: {lost} lost, {wrong} wrong"


@contextlib.contextmanager
def mounted(place: Path, size: str) -> Iterator[Path | None]:
    """A file system of its own in memory; None where this user may not mount one."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(words, capture_output=True).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def remounted(place: Path, options: str) -> None:
    """Changes a file system of `mounted`."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)
