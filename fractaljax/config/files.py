"""Which files the settings of a training name: its data, whatever else its parts read, and the code
of parts that are not ours.

A text argument of somebody else's part counts where it names a file or a folder, so that such a
part need not say anything. A plain word such as `tanh` names no folder: `./tanh` does. A problem
that says what it `reads` is believed instead, and parts of this package are known to read nothing
else.
"""

import functools
import inspect
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fractaljax import contents, registry
from fractaljax.contents import Content
from fractaljax.pair import Course, Pair, trainings
from fractaljax.spec import Part

log = logging.getLogger("fractaljax")
Key = tuple[str, str]  # the setting, and the text or the path that names the file
Found = dict[Key, Content | None]
PLUGINS = "plugins"
SCRIPT = "__main__"  # a script or a notebook, of which only the part itself counts


def named_files(courses: Iterable[Course]) -> Found:
    """What the settings of some trainings name on disk, read now; None: no file is there, as for
    texts that are words. What cannot be compared here is left out: a folder that holds the working
    directory. What this process has made of other contents is forgotten.

    Raises:
        FractaljaxError: a file cannot be read.
    """
    look = functools.cache(contents.look)  # once a place, however many parts name it
    found: Found = {}
    for prefix, part in dict.fromkeys(pair for course in courses for pair in _parts(course)):
        role = prefix.partition(".")[0]
        seen: list[str | None] = []
        for key, (place, is_word) in _read_by(role, prefix, part).items():
            if contents.holds_cwd(place):
                seen.append(os.path.realpath(place))
                continue
            content = look(place)
            seen.append(content and content.sha256)
            if not is_word:
                found[key] = content
        code = _code_of(role, part)
        seen += [content and content.sha256 for content in code.values()]
        contents.follow((role, part), tuple(seen))
        found |= code
    return found


def _parts(course: Course) -> Iterator[tuple[str, Part]]:
    """All parts; of a pair both sides under the same paths, since they share their data."""
    for spec in trainings(course):
        yield from spec.parts()
    if isinstance(course, Pair):
        yield from ((f"comparison.{part.name}", part) for part in course.comparison)


def _read_by(role: str, prefix: str, part: Part) -> dict[Key, tuple[str, bool]]:
    """Where the files lie that a part reads, and whether that is rather a word."""
    factory, given = registry.lookup(role, part.name), dict(part.args)
    reads = getattr(factory(**given), "reads", None) if role == "problem" else None
    if reads is not None:  # by their paths: several arguments may decide what an argument names
        paths = (
            (f"{prefix}.{name}", path) for name, one in reads().items() for path in _texts(one)
        )
        return {(where, _without_home(path)): (path, False) for where, path in paths}
    if _is_ours(factory.__module__):
        return {}
    texts = ((f"{prefix}.{name}", text) for name, value in given.items() for text in _texts(value))
    places = {(where, text): os.path.expanduser(text) for where, text in texts}
    return {key: (place, _is_word(key, place)) for key, place in places.items()}


def _is_word(key: Key, place: str) -> bool:
    """Whether a text is taken as a word although a folder has that name."""
    word = not {os.sep, "."} & {*place} and os.path.isdir(place)
    if word:
        _tell_word(*key)
    return word


@functools.cache  # once a process
def _tell_word(setting: str, word: str) -> None:
    log.warning(
        "%s: '%s' is taken as a word, and the folder of this name is not compared; if it is meant, "
        "write ./%s",
        setting,
        word,
        word,
    )


def _without_home(path: str) -> str:
    """The path as it is called by users whose homes lie elsewhere."""
    home = os.path.expanduser("~") + os.sep
    return f"~{os.sep}{path.removeprefix(home)}" if path.startswith(home) else path


def _code_of(role: str, part: Part) -> Found:
    """The code of a part that is not ours."""
    factory = registry.lookup(role, part.name)
    module = factory.__module__
    if _is_ours(module):
        return {}
    if module != SCRIPT:
        home = contents.home_of(module)
        return {(PLUGINS, home): contents.of_module(home)}
    found = _in_script(factory)
    return {} if found is None else {(PLUGINS, f"{role} '{part.name}'"): found}


@functools.cache  # what runs counts, whatever becomes of the script meanwhile
def _in_script(factory: Callable) -> Content | None:
    try:
        return contents.of_text(inspect.getsource(factory))
    except (OSError, TypeError):  # typed into an interpreter
        return None


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "fractaljax"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _texts(one)
