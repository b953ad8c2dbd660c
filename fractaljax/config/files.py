"""Which files the settings of a training name: its data, whatever else its parts read, and the code
of parts that are not ours.

A text argument of somebody else's part counts where it names a file or a folder, so that such a
part need not say anything. A problem that says what it `reads` is believed instead, and parts of
this package are known to read nothing else.
"""

import inspect
import os
from collections.abc import Iterable, Iterator
from typing import Any

from fractaljax import contents, registry
from fractaljax.contents import Content
from fractaljax.pair import Course, Pair, trainings
from fractaljax.spec import Part

Key = tuple[str, str]  # the setting, and what it says
PLUGINS = "plugins"
SCRIPT = "__main__"  # a script or a notebook, of which only the part itself counts


def named_files(courses: Iterable[Course]) -> dict[Key, Content | None]:
    """What the settings of some trainings name on disk, read now; None: no file is there, as for
    texts that are words.

    Raises:
        FractaljaxError: a file cannot be read.
    """
    places: dict[Key, str] = {}
    found: dict[Key, Content | None] = {}
    for prefix, part in dict.fromkeys(pair for course in courses for pair in _parts(course)):
        role = prefix.partition(".")[0]
        places |= _read_by(role, prefix, part)
        found |= _code_of(role, part)
    return found | {key: contents.look(place) for key, place in places.items()}


def _parts(course: Course) -> Iterator[tuple[str, Part]]:
    """All parts; of a pair both sides under the same paths, since they share their data."""
    for spec in trainings(course):
        yield from spec.parts()
    if isinstance(course, Pair):
        yield from ((f"comparison.{part.name}", part) for part in course.comparison)


def _read_by(role: str, prefix: str, part: Part) -> dict[Key, str]:
    """Where the files lie that a part reads."""
    factory, given = registry.lookup(role, part.name), dict(part.args)
    reads = getattr(factory(**given), "reads", None) if role == "problem" else None
    if reads is not None:
        return {(f"{prefix}.{n}", str(given.get(n, ""))): path for n, path in reads().items()}
    if _is_ours(factory.__module__):
        return {}
    texts = ((f"{prefix}.{name}", text) for name, value in given.items() for text in _texts(value))
    return {(where, text): os.path.expanduser(text) for where, text in texts}


def _code_of(role: str, part: Part) -> dict[Key, Content | None]:
    """The code of a part that is not ours."""
    factory = registry.lookup(role, part.name)
    module = factory.__module__
    if _is_ours(module):
        return {}
    if module != SCRIPT:
        return {(PLUGINS, module.partition(".")[0]): contents.of_module(module)}
    try:
        text = inspect.getsource(factory)
    except (OSError, TypeError):  # typed into an interpreter
        return {}
    return {(PLUGINS, f"{role} '{part.name}'"): contents.of_text(text)}


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "fractaljax"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _texts(one)
