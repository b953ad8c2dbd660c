"""Two CPU devices, either precision, and compiled programs that are kept from run to run."""

import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Children inherit it. What a test run measures or trains is not kept: see `room`.
try:
    KEPT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fractaljax-tests"
    KEPT.mkdir(parents=True, exist_ok=True)
except (OSError, RuntimeError):  # no home, or none to write to: kept as long as the run takes
    KEPT = Path(tempfile.gettempdir()) / f"fractaljax-tests-{os.getuid()}"
if not os.environ.get("PYTEST_XDIST_WORKER"):
    (KEPT / "fractaljax" / "wisdom.json").unlink(missing_ok=True)
    os.environ["XDG_CACHE_HOME"] = str(KEPT)

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
STARTERS = ("commands", "multiprocessing", "subprocess")  # modules
ROOMS_OF_PROCESSES = {"benchmarks", "cluster", "explorer", "faults"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of modules that start processes; modules that take long come first, so that
    no worker has a long test left when the others are done."""
    for item in items:
        names = vars(getattr(item, "module", None) or pytest).values()
        homes = {getattr(v, "__module__", getattr(v, "__name__", "")) for v in names}
        if homes & {*STARTERS} or ROOMS_OF_PROCESSES & {*item.path.parts}:
            item.add_marker(pytest.mark.child)
    marks = {(item.path, mark.name) for item in items for mark in item.iter_markers()}
    items.sort(key=lambda item: -sum((item.path, name) in marks for name in ("slow", "child")))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what this machine cannot run; all from one line of code, which pytest tells as one."""
    needs = item.get_closest_marker("needs")
    for what in needs.args if needs else ():
        if why := LACKING[what]:
            pytest.skip(why)


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
