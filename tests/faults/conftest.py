"""Commands that nothing disturbs, once a process of tests."""

from collections.abc import Callable

import pytest
import works
from harness import Calm, calm


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Callable[[str], Calm]:
    """Verb -> its small command, run to its end."""
    place, known = tmp_path_factory.mktemp("undisturbed"), {}

    def of(verb: str) -> Calm:
        if verb not in known:
            source = of("search").out if verb == "transfer" else place
            known[verb] = calm(works.work(verb, source), place / f"{verb}-result")
        return known[verb]

    return of
