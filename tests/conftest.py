"""One process for all fast tests: a cache folder of its own, two CPU devices, either precision."""

import os
import tempfile

import pytest

os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="fractaljax-tests-")
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

from fractaljax.families.fractal import prepare

prepare("float64", devices=2)


@pytest.fixture(autouse=True)
def double():
    """Every test starts in float64; one that wants float32 calls `prepare('float32')`."""
    prepare("float64")
    yield
    prepare("float64")
