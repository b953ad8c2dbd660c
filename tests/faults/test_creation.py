"""Killed at any operation of beginning a store, and stopped by Ctrl-C."""

import pytest
import works
from commands import Command, run
from harness import completed, tally

import fractaljax as fj

CREATION = """
import os, signal, sys
from pathlib import Path
import numpy as np
import fractaljax as fj
from fractaljax import config, store
from fractaljax.ledger import Reading

_, spec, window = config.experiments(config.read(sys.argv[1]), ["window.resolution=4"])[0]
numeric = {"chunk": 1, "tile": 2, "backend": "cpu"}

def scan(path, die_at, overwrite):
    # kills this process at its n-th operation on a file below the path
    seen = iter(range(die_at))
    def hook(event, arguments):
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
            if str(path) in str(arguments[0]) and next(seen, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    ledger = store.Store(path, spec, window, overwrite=overwrite)
    ledger.begun()
    ledger.begin({"measure": Reading((), "float64")}, numeric)
    for index, tile in ledger.pending():
        ledger.write(index, tile, {"measure": np.full(tile.shape, float(index))})
    return ledger.finish({"wall_s": 1.0, "pixels": 16})

def child(*arguments):
    pid = os.fork()
    if pid == 0:
        try:
            field = scan(*arguments)
            assert field.done.all() and field["measure"][-1, -1] == 3
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    return os.waitpid(pid, 0)[1]

for overwrite in (False, True):
    for die_at in range(200):
        path = Path(sys.argv[2]) / f"{overwrite}-{die_at}"
        if overwrite:
            assert child(path, 10**9, False) == 0
        status = child(path, die_at, overwrite)
        assert status in (0, signal.SIGKILL), status
        # without --overwrite: whatever was thrown away stays so, whatever was not is complete
        assert child(path, 10**9, False) == 0, (overwrite, die_at)
        if status == 0:
            break
    print(die_at)
"""


def test_killed_at_any_operation_of_beginning_a_store(tmp_path):
    """Every moment in turn at which a folder is made, filled, moved or thrown away."""
    config = works.work("scan", tmp_path).source
    ended = run([config, tmp_path], script=CREATION)
    assert ended.code == 0, ended.told
    fresh, overwritten = map(int, ended.said.split())
    assert 5 < fresh < 100 and fresh < overwritten < 199
    tally("kill -9", "every operation that begins a store", fresh + overwritten)


@pytest.mark.slow
def test_ctrl_c_ends_after_the_running_tile_and_the_same_command_goes_on(undisturbed, tmp_path):
    whole, out = undisturbed("scan"), tmp_path / "result"
    command = Command(whole.work.words(out))
    command.until(lambda: whole.work.finished(out))
    command.interrupt()
    ended = command.ended()
    assert ended.code == 130 and ended.said == ""
    lines = ended.told.splitlines()
    assert len(lines) == 2 and "after this tile" in lines[0] and "goes on" in lines[1], ended.told
    kept = whole.work.finished(out)
    done = fj.open(out).provenance["pixels"] // 4
    assert 2 * done == len(kept)  # its last tile is whole, and told in its record
    tally("Ctrl-C", "scan", 1, *completed(whole, out, kept))
    made = fj.open(out).provenance
    assert (made["runs"], made["pixels"]) == (2, 144)
