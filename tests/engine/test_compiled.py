"""Compiled programs that are kept: the same bits, a bounded size, and nothing that can go wrong."""

import json
import multiprocessing
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest
from jax._src import compilation_cache

from fractaljax import machine
from fractaljax.engine import compiled
from fractaljax.engine.compiled import PART, Store, trim

KEY, PROGRAM = "jit_step-" + "0" * 64, b"a compiled program" * 100
OPTION = "jax_compilation_cache_dir"
CHILD = """
import json, sys
import jax, numpy as np
import fractaljax as fj
from jax._src import compilation_cache

counts = {"hits": 0, "misses": 0}
def count(event, **_):
    for name in counts:
        counts[name] += event == f"/jax/compilation_cache/cache_{name}"
jax.monitoring.register_event_listener(count)
fj.prepare("float64", devices=2)
spec = fj.Spec(problem=fj.Part("random_regression", points=6, inputs=3), steps=30, dtype="float64")
field = fj.scan(spec, fj.Window(fj.Axis("LR", 0.01, 100.0, 8)), chunk=2)
store = compilation_cache._cache
kept = None if store is None else type(store).__name__
print(json.dumps([field["measure"].tobytes().hex(), counts, kept]))
"""


def trained(cache: Path, **environment: str) -> tuple[str, dict[str, int], str | None, str]:
    """A small scan in a process of its own: bits, hits and misses, JAX's store, what it said."""
    own = os.environ | {"XDG_CACHE_HOME": str(cache)} | environment
    done = subprocess.run(
        [sys.executable, "-c", CHILD], env=own, capture_output=True, text=True, check=True
    )
    return *json.loads(done.stdout), done.stderr


def entries(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("fractaljax/xla/*/*") if path.is_file()]


@pytest.fixture(scope="session")
def scanned(room: Path) -> tuple[Path, str]:
    """A cache that one scan filled, and the scan's bits."""
    cache = room / "compiled"
    bits, counts, kept, _ = trained(cache)
    assert kept == "Store", "this JAX does not take our store"
    assert counts["hits"] + counts["misses"] > 0
    return cache, bits


def test_a_second_process_compiles_nothing_and_has_the_same_bits(scanned):
    cache, bits = scanned
    again, counts, _, said = trained(cache)
    assert again == bits and counts["misses"] == 0 and counts["hits"] > 5
    assert said == ""
    assert {path.parent.name for path in entries(cache)} == {compiled.folder().name}


def test_damaged_entries_are_compiled_again_and_mended(scanned, tmp_path):
    cache, bits = scanned
    shutil.copytree(cache, tmp_path / "cache")
    for i, path in enumerate(entries(tmp_path / "cache")):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1 << i % 8
        path.write_bytes(bytes(content) if i % 2 else content[: len(content) // 3])
    again, counts, _, said = trained(tmp_path / "cache")
    assert again == bits and counts["hits"] == 0 and said == ""
    assert trained(tmp_path / "cache")[1]["misses"] == 0


@pytest.fixture
def not_kept():
    """JAX as it begins, without a folder for its programs."""
    before = jax.config.values[OPTION]
    jax.config.update(OPTION, None)
    yield
    jax.config.update(OPTION, before)


@pytest.mark.parametrize("what", ["file", "no home", "shared", "foreign", "read-only"])
def test_a_folder_that_cannot_be_used_costs_one_line_and_only_where_it_is_asked_for(
    what, not_kept, tmp_path, monkeypatch, caplog
):
    place = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    expected = {"shared": "other users", "foreign": "other users", "no home": "no home folder"}
    if what == "file":
        place.write_text("")
    elif what == "no home":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError()))
    elif what == "read-only":
        monkeypatch.setattr(Path, "mkdir", lambda *_, **__: (_ for _ in ()).throw(
            PermissionError(13, "Permission denied")))  # fmt: skip
    else:
        compiled.folder().mkdir(parents=True)
        compiled.folder().chmod(0o777 if what == "shared" else 0o700)
        if what == "foreign":
            monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    compiled._refused.cache_clear()
    with caplog.at_level("DEBUG", "fractaljax"):
        for _ in range(3):  # as often as a command prepares
            compiled.keep()
    assert jax.config.values[OPTION] is None
    (line,) = caplog.messages
    assert "compiled programs are not kept" in line and expected.get(what, "") in line
    assert all(record.levelname == "DEBUG" for record in caplog.records)


def test_a_scan_goes_on_without_a_cache(scanned, tmp_path):
    (tmp_path / "file").write_text("")
    bits, counts, kept, said = trained(tmp_path / "file")
    assert bits == scanned[1] and kept is None and said == ""
    assert counts == {"hits": 0, "misses": 0}


def test_a_folder_of_the_users_own_is_left_to_jax(scanned, tmp_path):
    bits, _, kept, _ = trained(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))
    assert bits == scanned[1] and kept == "LRUCache" and not entries(tmp_path)


def test_another_jaxlib_or_processor_has_a_folder_of_its_own(monkeypatch):
    here = compiled.folder()
    monkeypatch.setattr(compiled, "jaxlib_version", "9.9.9")
    other = compiled.folder()
    monkeypatch.setattr(machine, "processor", lambda: "flags: none")
    assert len({here, other, compiled.folder()}) == 3
    assert here.parent == other.parent == compiled.folder().parent


def test_a_jax_whose_store_cannot_be_replaced_uses_its_own(tmp_path, monkeypatch, caplog):
    monkeypatch.delattr(compilation_cache, "get_file_cache")
    with caplog.at_level("DEBUG", "fractaljax"):
        compiled._take_over(tmp_path)
    assert "using its own" in caplog.text


def test_a_system_that_does_not_list_what_its_processor_can(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda _: (_ for _ in ()).throw(FileNotFoundError()))
    assert machine.processor() == platform.processor()


@pytest.fixture
def folder(tmp_path):
    """Of one version, beside those of others: what is too much is removed from all of them."""
    found = tmp_path / "xla" / "this version"
    found.mkdir(parents=True)
    return found


def test_what_is_kept_is_found_whole_or_not_at_all(folder):
    store = Store(folder)
    assert store.get(KEY) is None
    store.put(KEY, PROGRAM)
    assert store.get(KEY) == PROGRAM
    (file,) = folder.iterdir()
    for damaged in (b"", file.read_bytes()[:-1], PROGRAM, file.read_bytes() + b"x"):
        file.write_bytes(damaged)
        assert store.get(KEY) is None and not file.exists()
        store.put(KEY, PROGRAM)
    assert store.get(KEY) == PROGRAM
    store.put("k" * 5000, b"")  # longer than the name of a file may be
    assert store.get("k" * 5000) == b""


def test_a_program_under_the_name_of_another_is_damaged(folder):
    store = Store(folder)
    store.put(KEY, PROGRAM)
    os.replace(store._file(KEY), store._file("another"))
    assert store.get("another") is None and not list(folder.iterdir())


def test_processes_of_one_pid_do_not_meet(folder, monkeypatch):
    """Containers that share a home: each has its first process and its first program."""
    real, parts = os.replace, []

    def late(part, file):  # the second is there before the first is whole
        parts.append(part)
        if len(parts) == 1:
            Store(folder).put("another", PROGRAM[::-1])
        real(part, file)

    monkeypatch.setattr(os, "replace", late)
    store = Store(folder)
    store.put(KEY, PROGRAM)
    assert len({*parts}) == 2
    assert store.get(KEY) == PROGRAM and store.get("another") == PROGRAM[::-1]


def test_a_cache_that_can_only_be_read_is_read(folder, monkeypatch):
    store = Store(folder)
    store.put(KEY, PROGRAM)
    os.utime(store._file(KEY), (0, 0))
    monkeypatch.setattr(os, "utime", lambda *_: (_ for _ in ()).throw(OSError(30, "read-only")))
    assert store.get(KEY) == PROGRAM


def test_a_folder_that_vanishes_while_it_is_looked_at_is_no_error(folder, monkeypatch):
    def vanishes(_, pattern):
        yield folder / ("0" * 64)
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "glob", vanishes)
    store = Store(folder)
    store.put(KEY, PROGRAM)
    assert store.get(KEY) == PROGRAM


def test_a_disk_that_takes_nothing_is_asked_once(folder, monkeypatch, caplog):
    tries = []

    def full(path, content):
        tries.append(path)
        raise OSError(28, "No space left on device")

    store = Store(folder)
    monkeypatch.setattr(Path, "write_bytes", full)
    with caplog.at_level("DEBUG", "fractaljax"):
        for i in range(3):
            store.put(f"{KEY}{i}", PROGRAM)
    assert len(tries) == 1 and "No space left" in caplog.text and not list(folder.iterdir())


def test_the_size_has_a_limit_and_the_longest_unused_go_first(tmp_path):
    here, other = tmp_path / "this version", tmp_path / "another"
    size = len(PROGRAM) + compiled.DIGEST
    for folder in (here, other):
        folder.mkdir()
        store = Store(folder)
        for i in range(10):
            store.put(str(i), PROGRAM)
    now = time.time()
    not_ours = [tmp_path / "notes", here / "picture.png", here / "deeper" / ("0" * 64)]
    for path in not_ours:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(PROGRAM * 100)
        os.utime(path, (0, 0))
    for age, folder in ((1000, other), (10, here)):
        for i in range(10):
            os.utime(Store(folder)._file(str(i)), (now - age, now - age - i))
    Store(here, limit=12 * size).put("new", PROGRAM)
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert left > {*not_ours} and len(left) - 3 == int(12 * compiled.TRIMMED_TO)
    assert not list(other.iterdir()) and Store(here).get("new") == PROGRAM
    assert Store(here).get("0") == PROGRAM and Store(here).get("9") is None


def test_a_use_is_noted_to_the_day(folder):
    store = Store(folder)
    store.put(KEY, PROGRAM)
    long_ago = time.time() - 3 * compiled.DAY_S
    os.utime(store._file(KEY), (long_ago, long_ago))
    store.get(KEY)
    assert store._file(KEY).stat().st_mtime > time.time() - 60


def test_what_a_killed_process_left_is_removed_after_an_hour(tmp_path):
    fresh, old = tmp_path / f"{PART}1-0", tmp_path / f"{PART}2-0"
    for path in (fresh, old):
        path.write_bytes(b"half")
    before = time.time() - 2 * compiled.HOUR_S
    os.utime(old, (before, before))
    trim(tmp_path)
    assert fresh.exists() and not old.exists()


def _hammer(folder: Path, seed: int) -> None:
    """Writes and reads what others write, read and remove."""
    chance, store = random.Random(seed), Store(folder, limit=40 * len(PROGRAM))
    for _ in range(400):
        key = str(chance.randrange(60))
        if chance.random() < 0.5:
            store.put(key, key.encode() * 700)
            trim(folder, 40 * len(PROGRAM))
        found = store.get(key)
        assert found in (None, key.encode() * 700), "another program"
    assert store._writes


def test_processes_share_a_folder(folder):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_hammer, args=(folder, i)) for i in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 3
    assert not list(folder.glob(f"{PART}*"))
