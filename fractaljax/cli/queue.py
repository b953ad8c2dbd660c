"""The verb `queue`: commands of an agenda, the highest priority first, each in its own process.

AGENDA.state.yaml says of every entry whether it waits, runs, is done or failed; it is written whole
after every change. What a killed queue left running is begun again: commands go on where they
stopped.
"""

import argparse
import contextlib
import logging
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fractaljax.cli.progress import duration
from fractaljax.errors import FractaljaxError

log = logging.getLogger("fractaljax")
QUEUE = """examples:
  fractaljax queue agenda.yaml
  fractaljax queue agenda.yaml --show
  fractaljax queue agenda.yaml --retry

agenda.yaml is a list:
  - {name: ladder, run: grow configs/growth/ladder.yaml seeds=32, priority: 2}
  - {run: scan configs/growth/fractal_density_lr.yaml}
The list is read again before every command, so that more may be added while it runs."""
VERBS = ("scan", "zoom", "sweep", "search", "run-transfer", "grow", "dimension", "report", "render")
WAITS, RUNS, DONE, FAILED = "waits", "runs", "done", "failed"


def add_queue(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("agenda", metavar="AGENDA", help="a YAML list of commands")
    parser.add_argument("--show", action="store_true", help="print the state and run nothing")
    parser.add_argument("--retry", action="store_true", help="run what failed again")


def queue(arguments: argparse.Namespace) -> int:
    """Runs what waits; exit code 1 if something failed."""
    from fractaljax.config.agenda import read_agenda
    from fractaljax.store.claims import Claims

    agenda = Path(arguments.agenda)
    entries = read_agenda(agenda, VERBS)
    state = agenda.with_name(f"{agenda.name}.state.yaml")
    if arguments.show:
        _show(entries, _read(state))
        return 0
    with contextlib.closing(Claims(agenda.parent)) as claims:
        claims.be_alone()
        return _run(agenda, state, arguments.retry)


def _run(agenda: Path, state: Path, retry: bool) -> int:
    from fractaljax.config.agenda import read_agenda

    failed_before = {n for n, told in _read(state).items() if told["state"] == FAILED}
    again = failed_before if retry else set()
    while True:
        entries, told = read_agenda(agenda, VERBS), _read(state)
        over = {n for n, one in told.items() if one["state"] in (DONE, FAILED)} - again
        waiting = [entry for entry in entries if entry.name not in over]
        if not waiting:
            break
        entry = waiting[0]
        again.discard(entry.name)
        log.info("%s (%d wait): fractaljax %s", entry.name, len(waiting), shlex.join(entry.words))
        began = time.time()
        command = [sys.executable, "-m", "fractaljax.cli", *entry.words]
        process = subprocess.Popen(command)
        _note(state, entry.name, RUNS, pid=process.pid)
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            _note(state, entry.name, WAITS)
            raise
        wall = round(time.time() - began, 1)
        _note(state, entry.name, FAILED if code else DONE, exit_code=code, wall_s=wall)
        if code:
            log.warning("%s failed with exit code %d; --retry runs it again", entry.name, code)
    _show(entries, _read(state))
    return 1 if any(one["state"] == FAILED for one in _read(state).values()) else 0


def _read(state: Path) -> dict[str, Any]:
    from fractaljax.store import study_folder as files

    return files.read_tree(state)["entries"] if state.is_file() else {}


def _note(state: Path, name: str, what: str, **more: Any) -> None:
    from fractaljax.store import study_folder as files

    files.write_tree(state, {"entries": {**_read(state), name: {"state": what, **more}}})


def _show(entries: Any, told: dict[str, Any]) -> None:
    for entry in entries:
        one = told.get(entry.name, {"state": WAITS})
        wall = f"  {duration(one['wall_s'])}" if "wall_s" in one else ""
        print(f"{one['state']:<7} {entry.priority:>4g}  {entry.name}{wall}")


def generate(what: str, base: str, folder: Path) -> Path:
    """Writes the configs of a focused sweep and an agenda of them; returns the agenda.

    Raises:
        FractaljaxError: the focus is unknown.
    """
    from fractaljax.config.focus import focused
    from fractaljax.store import study_folder as files

    found = list(focused(what, base))  # all before any is written
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for name, tree, priority in found:
        path = folder / f"{name}.yaml"
        files.write_tree(path, tree)
        run = shlex.join(["grow", str(path), "--out", str(folder / name)])
        entries.append({"name": name, "run": run, "priority": priority})
    if not entries:
        raise FractaljaxError(f"focus {what}: nothing to run")
    agenda = folder / "agenda.yaml"
    files.write_list(agenda, entries)
    return agenda
