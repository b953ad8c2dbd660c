"""A cache folder for all processes of one run, two CPU devices, either precision."""

import os
import tempfile

import pytest

# what one process compiled needs no compiling in the others
os.environ["XDG_CACHE_HOME"] = os.path.join(
    tempfile.gettempdir(),
    f"fractaljax-tests-{os.environ.get('PYTEST_XDIST_TESTRUNUID') or os.getpid()}",
)
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

from fractaljax import registry
from fractaljax.families.fractal import prepare
from fractaljax.registry import ROLES

prepare("float64", devices=2)


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
