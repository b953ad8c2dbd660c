"""Two CPU devices, either precision, and compiled programs that are kept from run to run."""

import atexit
import functools
import gc
import inspect
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

if not os.environ.get("PYTEST_XDIST_WORKER"):  # workers and other children inherit it
    try:
        kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fractaljax-tests"
        kept.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=kept).close()
        # what a run measures is not kept; nor what it trains: see `room`
        (kept / "fractaljax" / "wisdom.json").unlink(missing_ok=True)
    except (OSError, RuntimeError):  # no home, or none to write to: kept as long as the run takes
        kept = Path(tempfile.mkdtemp(prefix="fractaljax-tests-"))
        atexit.register(shutil.rmtree, kept, ignore_errors=True)
    os.environ["XDG_CACHE_HOME"] = str(kept)

from fractaljax import registry
from fractaljax.cli import COLLECT_EVERY
from fractaljax.engine.native import build
from fractaljax.families.fractal import prepare
from fractaljax.registry import ROLES

prepare("float64", devices=2)
gc.set_threshold(COLLECT_EVERY)  # as the command line does

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
LACKING = {  # why this machine has no such thing, or None
    "chromium": None if CHROMIUM else "no Chromium on this machine",
    "compiler": build.missing(),
}
STARTERS = {  # modules whose functions start processes
    *("commands", "multiprocessing", "subprocess"),
    *("fractaljax.cluster.connect", "playwright.sync_api"),
}
TESTS = f"{Path(__file__).parent}{os.sep}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that start processes; modules that take long come first, so that no worker
    has a long test left when the others are done."""
    for item in items:
        if isinstance(item, pytest.Function) and _starts_processes(item):
            item.add_marker(pytest.mark.child)
    marks = {(item.path, mark.name) for item in items for mark in item.iter_markers()}
    items.sort(key=lambda item: -sum((item.path, name) in marks for name in ("slow", "child")))


def _starts_processes(test: pytest.Function) -> bool:
    """Whether a test names a starter, or a fixture of it does, or what they name of the tests."""
    fixtures = test._fixtureinfo.name2fixturedefs.values()
    waiting = [test.function, *(fixture.func for several in fixtures for fixture in several)]
    seen = {*waiting}
    while waiting:
        named = _named(waiting.pop())
        if any(
            {getattr(v, "__module__", ""), getattr(v, "__name__", "")} & STARTERS for v in named
        ):
            return True
        waiting += [v for v in named if inspect.isroutine(v) and v not in seen]
        seen.update(waiting)
    return False


@functools.cache
def _named(function: Callable[..., object]) -> list[Any]:
    """What a function of the tests names, and what that holds; nothing of other functions."""
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    if code is None or not code.co_filename.startswith(TESTS):
        return []
    codes, names = [code], set()
    for code in codes:
        names |= {*code.co_names}
        codes += [constant for constant in code.co_consts if inspect.iscode(constant)]
    values = [*map(function.__globals__.get, names)]
    modules = [v for v in values if f"{getattr(v, '__file__', '')}".startswith(TESTS)]
    values += [getattr(module, name, None) for module in modules for name in names]
    values += [member for v in values if inspect.isclass(v) for member in vars(v).values()]
    return values


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what this machine cannot run; all from one line of code, which pytest tells as one."""
    needs = item.get_closest_marker("needs")
    for what in needs.args if needs else ():
        if why := LACKING[what]:
            pytest.skip(why)


def pytest_sessionfinish() -> None:
    """What is left has no need to be looked through, which pytest does five times now."""
    gc.freeze()


@pytest.fixture(scope="session")
def chromium() -> str | None:
    """A browser's program."""
    return CHROMIUM


@pytest.fixture(scope="session")
def room(tmp_path_factory) -> Path:
    """A folder for what all processes of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own


@pytest.fixture(autouse=True)
def double():
    """Every test starts in float64; one that wants float32 calls `prepare('float32')`."""
    prepare("float64")
    yield
    prepare("float64")


@pytest.fixture
def own_registry(monkeypatch):
    """What a test registers is forgotten after it; all parts of ours are known before."""
    known = {role: {n: registry.lookup(role, n) for n in registry.names(role)} for role in ROLES}
    monkeypatch.setattr(registry, "_PARTS", known)
