"""The words of a sweep: `path=value` fixes a setting, `path=a,b` and `path=0..100` sweep it."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from fractaljax.config.plain_yaml import from_yaml
from fractaljax.config.trees import spelled
from fractaljax.errors import FractaljaxError, unknown

_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?")
_CALLED = re.compile(r"range\(\s*(-?\d+)\s*,\s*(-?\d+)\s*(?:,\s*(-?\d+)\s*)?\)")

MAX_DIGITS = 18  # of a number in a range: Python's ranges have no more than 2^63 numbers
MAX_LISTED = 10**7  # numbers of ranges that are held, as other values stand beside them


class Dim(NamedTuple):
    """Paths that vary together, and their values: a row a combination."""

    paths: tuple[str, ...]
    rows: Sequence[tuple]


class Grid(NamedTuple):
    """The product of all dimensions, the first slowest; nothing of its size is ever held."""

    dims: tuple[Dim, ...] = ()
    fixed: tuple[tuple[str, Any], ...] = ()  # (path, value)

    @property
    def size(self) -> int:
        """Runs; 1 where nothing is swept."""
        return math.prod(len(dim.rows) for dim in self.dims)

    def settings(self, index: int) -> dict[str, Any]:
        """Swept path -> value of one run, in the order of the dimensions."""
        found: list[dict[str, Any]] = []
        for dim in reversed(self.dims):
            index, place = divmod(index, len(dim.rows))
            found.append(dict(zip(dim.paths, dim.rows[place], strict=True)))
        return {path: value for part in reversed(found) for path, value in part.items()}

    def split(self, static: Callable[[str], bool]) -> Iterator[tuple[dict[str, Any], "Grid"]]:
        """Every combination of the dimensions in which any path is static, and the grid of the
        others, which is the same for all."""
        outer = Grid(tuple(d for d in self.dims if any(map(static, d.paths))))
        inner = Grid(tuple(d for d in self.dims if not any(map(static, d.paths))))
        for index in range(outer.size):
            yield outer.settings(index), inner


class _Rows(Sequence):
    """Columns of equal length, row by row."""

    def __init__(self, columns: Sequence[Sequence[Any]]):
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, index: Any) -> Any:
        return tuple(column[index] for column in self._columns)


def parse_sweep(words: Sequence[str], zips: Sequence[str] = ()) -> Grid:
    """The grid of `path=value` words.

    A value is null, true, false, a number, text, or `[a,b]`, a list that is one value. Several
    with commas between them are swept, and so are ranges, whose end is excluded: `0..100`,
    `0..100..10`, `5..-5..-1`, `range(0,100,10)`.

    Args:
        words: as on the command line.
        zips: `a,b`: swept paths that vary together, at the place of the first of them.

    Raises:
        FractaljaxError: a word that cannot be read, with the word.
    """
    fixed: dict[str, Any] = {}
    swept: dict[str, Sequence[Any]] = {}
    given: dict[str, str] = {}  # in this package's words -> as written
    for word in words:
        path, equals, text = word.partition("=")
        path = path.strip()
        if not equals or not path:
            raise FractaljaxError(f"'{word}': expected path=value, as in model.gamma=0.75,1.0")
        if not all(path.split(".")):
            raise FractaljaxError(f"'{word}': a word of its path is missing")
        first = given.setdefault(spelled(path), path)
        if path in fixed or path in swept or first != path:
            other = f", the first time as {first}" if first != path else ""
            raise FractaljaxError(f"{path} is given twice{other}")
        several, values = _values(word, text)
        if several:
            swept[path] = values
        else:
            fixed[path] = values[0]
    groups = [_group(text, swept) for text in zips]
    together = [path for group in groups for path in group]
    for path in together:
        if together.count(path) > 1:
            raise FractaljaxError(f"--zip: {path} is in two groups")
    dims = []
    for path in swept:
        group = next((g for g in groups if path in g), (path,))
        if path != next(p for p in swept if p in group):
            continue  # its group stands at its first path
        dims.append(Dim(group, _Rows([swept[p] for p in group])))
    return Grid(tuple(dims), tuple(fixed.items()))


def _group(text: str, swept: dict[str, Sequence[Any]]) -> tuple[str, ...]:
    """The paths of one --zip, checked."""
    paths = tuple(path.strip() for path in text.split(","))
    if len(paths) < 2:
        raise FractaljaxError(f"--zip {text}: takes two paths or more, as in --zip a,b")
    for path in paths:
        if path not in swept:
            raise unknown("swept path in --zip", path, swept)
    sizes = {path: len(swept[path]) for path in paths}
    if len({*sizes.values()}) > 1:
        told = ", ".join(f"{path} has {size}" for path, size in sizes.items())
        raise FractaljaxError(f"--zip {text}: as many values of each are needed; {told}")
    return paths


def _values(word: str, text: str) -> tuple[bool, Sequence[Any]]:
    """Whether a text is swept, and its values; one range alone stays a range."""
    parts = _parts(word, text)
    ranges = [_range(word, part) for part in parts]
    if len(parts) == 1:
        return (False, [_value(word, parts[0])]) if ranges[0] is None else (True, ranges[0])
    if sum(len(span) for span in ranges if span) > MAX_LISTED:
        raise FractaljaxError(f"'{word}': the range is too long to stand beside other values")
    found: list[Any] = []
    for part, span in zip(parts, ranges, strict=True):
        found += [_value(word, part)] if span is None else span
    return True, found


def _parts(word: str, text: str) -> list[str]:
    """The text between commas that stand in no bracket and no quotation marks."""
    cuts, depth, quote = [-1], 0, ""
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and not text[cuts[-1] + 1 : place].strip():
            quote = letter
        elif letter in "[({":
            depth += 1
        elif letter in "])}":
            depth -= 1
        if letter == "," and not depth and not quote:
            cuts.append(place)
        if depth < 0:
            break
    if depth or quote:
        raise FractaljaxError(f"'{word}': a bracket or a quotation mark is left open")
    parts = [text[a + 1 : b].strip() for a, b in pairwise([*cuts, len(text)])]
    if not all(parts):
        raise FractaljaxError(f"'{word}': a value is missing; nothing at all is null")
    return parts


def _range(word: str, text: str) -> range | None:
    """The range that a text is, if it is one."""
    match = _RANGE.fullmatch(text) or _CALLED.fullmatch(text)
    if not match:
        return None
    if max(len(digits or "") for digits in match.groups()) > MAX_DIGITS:
        raise FractaljaxError(f"'{word}': the range is too long")
    start, stop, step = (int(n) if n else 1 for n in match.groups())
    if step == 0:
        raise FractaljaxError(f"'{word}': the step of a range must not be 0")
    if not (span := range(start, stop, step)):
        raise FractaljaxError(f"'{word}': the range is empty; its end is excluded")
    return span


def _value(word: str, text: str) -> Any:
    if text.lower() == "none":
        return None
    try:
        value = from_yaml(text)
    except FractaljaxError as error:
        raise FractaljaxError(f"'{word}': {error}") from None
    if value and isinstance(value, list) and text.startswith("["):
        return [_value(word, part) for part in _parts(word, text[1:-1])]  # none is null there
    return value
