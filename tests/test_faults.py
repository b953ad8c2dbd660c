"""Real faults on real processes: killed, interrupted, out of space, not allowed.

After each of them the same command goes on, trains no finished tile again, and ends with the
very bits of a scan that nothing disturbed.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fractaljax as fj
from fractaljax import cli

CONFIG = """
model: {width: 4}
problem: {inputs: 4, points: 8}
steps: 1000
dtype: float64
window: {resolution: 16}
"""
OPTIONS = ["--devices", "1", "--chunk", "2", "--tile", "2"]
TILES = 64
SEED = 20261122
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("faults") / "small.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def undisturbed(config):
    spec, window = fj.load(config)
    return fj.scan(spec, window, chunk=2, tile=2)["measure"].tobytes()


def command(config, out):
    return [sys.executable, "-m", "fractaljax.cli", "scan", config, *OPTIONS, "--out", out]


def start(config, out, **options):
    return subprocess.Popen(
        command(config, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def finished(out):
    """The files of every tile that is marked done, with their times."""
    marks = [p for p in (out / "field" / "done" / "c").glob("*/*") if p.name.isdigit()]
    files = [*marks, *(out / "field" / "measure" / "c" / p.parent.name / p.name for p in marks)]
    return {p: p.stat().st_mtime_ns for p in files}


def wait_for(out, tiles, process):
    """Until so many tiles are done, or the process ended."""
    until = time.monotonic() + 60
    while len(finished(out)) < 2 * tiles and process.poll() is None:
        assert time.monotonic() < until, "no tile within a minute"
        time.sleep(0.002)


def completed(config, out, undisturbed):
    """Runs the same command to its end; every tile that was done stays as it was."""
    before = finished(out)
    assert cli.main([str(word) for word in command(config, out)[3:]]) == 0
    after = finished(out)
    assert {p: after[p] for p in before} == before, "a finished tile was written again"
    field = fj.open(out)
    assert field.done.all() and field["measure"].tobytes() == undisturbed
    assert (out / "image.png").exists() and (out / "figure.png").exists()
    return field, len(before) // 2


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_goes_on(config, undisturbed, tmp_path):
    out, chance = tmp_path / "result", random.Random(SEED)
    print(f"seed {SEED}")
    kept = {}
    for _ in range(2):
        process = start(config, out)
        done = len(finished(out)) // 2
        wait_for(out, done + chance.randrange(1, 12), process)
        time.sleep(chance.random() * 0.03)
        process.kill()
        process.communicate()
        now = finished(out)
        assert len(now) > len(kept), "a run did nothing"
        assert {p: now[p] for p in kept} == kept, "a finished tile was written again"
        kept = now
        partial = fj.open(out)  # and what there is can be looked at meanwhile
        assert partial.done.any() and partial["measure"].shape == (16, 16)
    assert process.returncode == -signal.SIGKILL, "the last run ended before it was killed"
    field, before = completed(config, out, undisturbed)
    assert 2 <= before < TILES
    assert field.provenance["pixels"] == (TILES - before) * 4
    assert set(field.provenance) >= {"versions", "devices", "git", "chunk", "wall_s"}


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


def test_killed_at_any_operation_of_beginning_a_store(config, tmp_path):
    """Every moment in turn at which a folder is made, filled, moved or thrown away."""
    words = [sys.executable, "-W", "ignore", "-c", CREATION, config, tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    fresh, overwritten = map(int, done.stdout.split())
    assert 5 < fresh < 100 and fresh < overwritten < 199


@pytest.mark.slow
def test_ctrl_c_ends_after_the_running_tile_and_the_same_command_goes_on(
    config, undisturbed, tmp_path
):
    out = tmp_path / "result"
    process = start(config, out)
    wait_for(out, 2, process)
    process.send_signal(signal.SIGINT)
    printed, err = process.communicate(timeout=60)
    assert process.returncode == 130 and printed == ""
    lines = err.splitlines()
    assert len(lines) == 2 and "after this tile" in lines[0] and "goes on" in lines[1], err
    done = fj.open(out).provenance["pixels"] // 4
    assert done == len(finished(out)) // 2  # its last tile is whole, and told in its record
    field, before = completed(config, out, undisturbed)
    assert 2 <= before < TILES
    assert (field.provenance["runs"], field.provenance["pixels"]) == (2, 256)


@contextlib.contextmanager
def mounted(place, *options):
    """A file system of its own in memory, where this user may mount one."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def remounted(place, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(config, undisturbed, tmp_path):
    with mounted(tmp_path / "small", "size=256k") as place:
        out = place / "result"
        done = subprocess.run(command(config, out), capture_output=True, text=True, timeout=120)
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("\n") == 1 and str(out) in done.stderr, done.stderr
        assert "space" in done.stderr
        kept = len(finished(out)) // 2
        assert 3 < kept < TILES
        partial = fj.open(out)
        assert partial.done.sum() == kept * 4
        remounted(place, "size=16m")
        _, before = completed(config, out, undisturbed)
        assert before == kept


LIMITED = """
import resource, sys
from fractaljax import cli
cli.main(["show", sys.argv[1]])  # everything is imported, and nothing compiled
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
sys.exit(cli.main(["scan", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_a_tile_that_cannot_be_written_is_one_line(config, tmp_path):
    """A limit on the size of files: for users who may not mount anything."""
    out = tmp_path / "result"
    words = [config, "--tile", "all", "--out", out, "window.resolution=48", "steps=10"]
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    limited = [sys.executable, "-c", LIMITED, *words]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and str(out) in done.stderr, done.stderr
    assert not fj.open(out).done.any()
    assert cli.main(["scan", *map(str, words)]) == 0
    assert fj.open(out).done.all()


def refused(capfd, *words):
    assert cli.main([str(w) for w in words]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("fractaljax: "), (out, err)
    return err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a place nobody can write to")
def test_a_place_nobody_can_write_to_is_one_line(config, capfd):
    assert "/proc/nowhere" in refused(capfd, "scan", config, "steps=10", "--out", "/proc/nowhere")


def test_a_read_only_folder_can_be_read_and_not_written(config, tmp_path, capfd):
    words = ("steps=10", "--tile", "8", "--chunk", "2")
    with mounted(tmp_path / "locked", "size=16m") as place:
        out = place / "result"
        assert cli.main(["scan", str(config), *words, "--out", str(out)]) == 0
        mark = next((out / "field" / "done" / "c").glob("0/0"))
        capfd.readouterr()
        remounted(place, "ro")
        values = fj.open(out)["measure"].tobytes()
        assert str(out) in refused(capfd, "scan", config, *words, "--out", out)
        assert str(place / "new") in refused(capfd, "scan", config, *words, "--out", place / "new")
        assert str(out) in refused(capfd, "render", out)
        assert cli.main(["render", str(out), "--out", str(tmp_path / "picture.png")]) == 0
        capfd.readouterr()
        assert cli.main(["show", str(out)]) == 0
        remounted(place, "rw")
        mark.unlink()
        remounted(place, "ro")
        capfd.readouterr()
        assert str(out) in refused(capfd, "scan", config, *words, "--out", out)
        remounted(place, "rw")
        assert cli.main(["scan", str(config), *words, "--out", str(out)]) == 0
        assert fj.open(out)["measure"].tobytes() == values
