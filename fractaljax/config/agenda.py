"""An agenda: commands of this package with priorities, for `queue`."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fractaljax.config.plain_yaml import from_yaml
from fractaljax.config.text import check_mapping, read_text
from fractaljax.errors import FractaljaxError, at, unknown

KEYS = ("name", "run", "priority")
MOST = 10_000  # entries


class Entry(NamedTuple):
    """One command."""

    name: str
    words: tuple[str, ...]  # verb and its arguments
    priority: float  # the highest runs first


def read_agenda(path: str | Path, verbs: Iterable[str]) -> list[Entry]:
    """The entries of a YAML list, the highest priority first; of equals, in the order of the file.

    Args:
        verbs: that an entry may run.

    Raises:
        FractaljaxError: with the entry that is not understood.
    """
    text = read_text(Path(path), "agenda")
    with at(str(path)):
        found = from_yaml(text) if text.strip() else []
        if not isinstance(found, list) or len(found) > MOST:
            raise FractaljaxError("takes a list of {name: ..., run: ..., priority: ...}")
        entries = [_entry(i, entry, tuple(verbs)) for i, entry in enumerate(found)]
        names = [entry.name for entry in entries]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise FractaljaxError(f"'{twice[0]}' is named twice; each name once")
    return sorted(entries, key=lambda entry: -entry.priority)


def _entry(number: int, entry: Any, verbs: tuple[str, ...]) -> Entry:
    with at(f"entry {number + 1}"):
        check_mapping("an entry", entry)
        for key in entry:
            if key not in KEYS:
                raise unknown("setting", str(key), KEYS)
        words = entry.get("run")
        try:
            words = shlex.split(words) if isinstance(words, str) else [str(w) for w in words or []]
        except ValueError as error:
            raise FractaljaxError(f"run: {error}") from None
        words = words[1:] if words[:1] == ["fractaljax"] else words
        if not words:
            raise FractaljaxError("run: takes a command, as in 'grow configs/growth/ladder.yaml'")
        if words[0] not in verbs:
            raise unknown("run: verb", words[0], verbs)
        priority = entry.get("priority", 1)
        if isinstance(priority, bool) or not isinstance(priority, int | float):
            raise FractaljaxError(f"priority={priority!r}: takes a number")
        return Entry(str(entry.get("name", shlex.join(words))), tuple(words), float(priority))
