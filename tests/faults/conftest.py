"""Commands that nothing disturbs, once for all processes of tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
import works
from harness import Calm, calm


@pytest.fixture(scope="session")
def undisturbed(room: Path) -> Callable[[str], Calm]:
    """Verb -> its small command, run to its end."""
    place, known = room / "undisturbed", {}
    place.mkdir(exist_ok=True)

    def of(verb: str) -> Calm:
        if verb not in known:
            source = of("search").out if verb == "transfer" else place
            known[verb] = calm(works.work(verb, source), place / verb)
        return known[verb]

    return of
