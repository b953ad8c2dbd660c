"""Commands started, disturbed, and gone on with; and what they lost, counted."""

import contextlib
import fcntl
import functools
import json
import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import NamedTuple

import child
import pytest
import works
from child import World
from works import Pieces, Work

SEED = int(os.environ.get("FRACTALJAX_FAULTS_SEED", "20261126"))
TALLY = "FRACTALJAX_FAULTS"  # a file that gets a line for every fault that is injected
WAIT_S = 500.0  # less than a test may take
FORKED = multiprocessing.get_context("forkserver")


def scan_first(verbs: Iterable[str]) -> list:
    """Parameters of a test: `scan`, which stands for all in the short form, and the others."""
    return [v if v == "scan" else pytest.param(v, marks=pytest.mark.long) for v in verbs]


VERBS = scan_first(works.READ)


class Ended(NamedTuple):
    """A command that ended."""

    code: int  # negative: by this signal
    said: str  # standard output
    told: str  # standard error


class Command:
    """A command that runs in a process of its own."""

    def __init__(self, words: list[str], world: World | None = None):
        self._place = Path(tempfile.mkdtemp())
        self._place.chmod(0o777)  # the process may be another user's
        self._said, self._told = self._place / "said", self._place / "told"
        arguments = (words, self._said, self._told, world or World())
        _serve()
        self._process = FORKED.Process(target=child.run, args=arguments, daemon=True)
        self._process.start()

    def running(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()

    def ended(self) -> Ended:
        """Waits for its end."""
        self._process.join(WAIT_S)
        assert not self.running(), "a command hangs"
        streams = [f.read_text() if f.exists() else "" for f in (self._said, self._told)]
        shutil.rmtree(self._place)
        return Ended(self._process.exitcode or 0, *streams)


@functools.cache
def _serve() -> None:
    """Starts the server that commands are forked from, with everything imported."""
    FORKED.set_forkserver_preload(["child"])
    before = os.environ.get("PYTHONPATH", "")
    try:  # it finds modules by this alone
        os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), before])
        forkserver.ensure_running()
    finally:
        os.environ["PYTHONPATH"] = before


class Calm(NamedTuple):
    """A command that nothing disturbed."""

    work: Work
    out: Path
    found: dict[str, bytes]
    began: float  # s until its folder was there
    seconds: float  # s in all


def run(words: list[str], world: World | None = None) -> Ended:
    """A command from its beginning to its end."""
    return Command(words, world).ended()


def calm(work: Work, out: Path) -> Calm:
    """A command undisturbed: the first that asks runs it, for all processes of tests."""
    pace = out.with_suffix(".pace")
    with open(out.with_suffix(".lock"), "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        if not pace.exists():
            ended = run(work.words(out))
            assert ended.code == 0, ended.told
            pace.write_text(json.dumps(_paced(work, out.with_suffix(".again"))))
    began, seconds = json.loads(pace.read_text())
    return Calm(work, out, work.found(out), began, seconds)


def _paced(work: Work, out: Path) -> tuple[float, float]:
    """How long a command takes that finds everything compiled: `(began, seconds)` of `Calm`."""
    clock = time.monotonic()
    command = Command(work.words(out))
    while not out.exists() and command.running():
        time.sleep(0.001)
    began = time.monotonic() - clock
    command.ended()
    return began, time.monotonic() - clock


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
