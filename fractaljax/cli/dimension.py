"""The verb `dimension`: how rough the boundary is, by three methods, beside a null model."""

import argparse
import collections
import csv
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractaljax.errors import FractaljaxError

if TYPE_CHECKING:
    from fractaljax.analysis.dimension import Dimension, Estimate, Level
    from fractaljax.field import Field

METHODS = ("published", "boxcount", "uncertainty")
DIMENSION = """examples:
  fractaljax dimension outputs/tanh-zoom
  fractaljax dimension outputs/tanh-zoom --method published --csv
  fractaljax dimension outputs/tanh-zoom --method uncertainty --level 0 4 8 --pairs 4096

published:    the paper's estimator: the median of all local slopes, without an interval.
boxcount:     box counting with the best grid offset, a scaling window, and a 95 % interval.
uncertainty:  pairs of points are trained at distances over many decades; no grid is involved.

edges: pixels of the boundary (pairs: how many differ at the largest distance); alike: correlation
of neighbouring outcomes near it; zoom: against the overview of 9 decades.
The null model is a smooth boundary through the same pipeline; with two axes it should read 1.00.
A boundary is called unresolved where it reads as noise of its size does and neighbours are as good
as independent: the pixels, or the distances, are too coarse for it. Box counting pools without
it."""
NULL_TOLERANCE = 0.02  # of the null model's reading
_UNCERTAINTY = {"level": None, "pairs": 1024, "seed": 0, "devices": None}


def dimension(arguments: argparse.Namespace) -> int:
    """Prints the dimension of each level and of all together, and draws what it is read off."""
    from fractaljax import config, store
    from fractaljax.families import dimension as family
    from fractaljax.families import fractal
    from fractaljax.view.dimension import save_dimension
    from fractaljax.view.files import replacing

    given = {k: getattr(arguments, k) for k in _UNCERTAINTY if getattr(arguments, k) is not None}
    if given and arguments.method != "uncertainty":
        raise FractaljaxError(f"--{next(iter(given))} is read by --method uncertainty only")
    config.load_plugins(arguments.plugin)
    levels = store.open_levels(arguments.dir)
    if arguments.method == "uncertainty":
        asked = _UNCERTAINTY | given
        fractal.prepare(levels[0].spec.dtype, asked["devices"])
        found = family.uncertainty(
            levels,
            count=asked["pairs"],
            seed=asked["seed"],
            only=asked["level"],
            devices=asked["devices"],
        )
    else:
        found = getattr(family, arguments.method)(levels)
    print(_table(found, levels))
    place = Path(arguments.dir)
    if arguments.csv:
        file = place / f"dimension_{found.method}.csv"
        with replacing(file) as stream:
            stream.write(_csv(found, levels).encode())
        print(file)
    file = place / f"dimension_{found.method}.png"
    save_dimension(found, file)
    print(file)
    return 0


def add_dimension(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    add = parser.add_argument
    add("dir", metavar="DIR", help="a zoom, or the result of a scan")
    add("--method", choices=METHODS, default="boxcount", help="default: boxcount")
    add("--csv", action="store_true", help="write dimension_METHOD.csv into DIR too")
    only = "of uncertainty"
    four = "levels to train in (default: four, from the widest to the deepest)"
    add("--level", type=int, nargs="+", metavar="N", help=f"{only}: {four}")
    add("--pairs", type=int, metavar="N", help=f"{only}: at each distance (default: 1024)")
    add("--seed", type=int, metavar="N", help=f"{only}: of the points")
    add("--devices", type=int, metavar="N", help=f"{only}: devices to use (default: all)")


def _table(found: "Dimension", levels: "tuple[Field, ...]") -> str:
    """Level by level, then pooled."""
    from fractaljax.view.dimension import told

    unit = "window (widths)" if found.method == "uncertainty" else "window (pixels)"
    seen = "pairs" if found.method == "uncertainty" else "edges"
    head = ("level", "zoom", seen, "alike", "dimension", "R2", unit, "null", "")
    rows: list[tuple[str, ...]] = [head]
    nulls = found.null.levels if found.null else ()
    for level, null in zip(found.levels, nulls, strict=True):
        rows.append(
            (
                str(level.number),
                f"2^{_depth(level, levels):z.1f}",
                f"{level.edges:,}",
                _number(level.correlation, 2),
                told(level.estimate),
                _number(level.estimate.r_squared, 4) if level.estimate else "",
                " to ".join(f"{x:.3g}" for x in _window(level)),
                _brief(null.estimate),
                _remark(level),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(word.rjust(width) for word, width in zip(row[:-1], widths, strict=False))
        + f"  {row[-1]}"
        for row in rows
    ]
    return "\n".join([*(line.rstrip() for line in lines), *_pooled(found)])


def _pooled(found: "Dimension") -> list[str]:
    from fractaljax.view.dimension import told

    notes = collections.Counter(level.note for level in found.levels if level.note)
    said = [f"{found.pooled_levels} of {len(found.levels)} levels"]
    said += [f"{count} {note}" for note, count in notes.items()]
    lines = [f"pooled  {told(found.pooled)}  ({', '.join(said)})"]
    if found.null:
        lines.append(f"null    {told(found.null.pooled)}{_warning(found)}")
    return lines


def _warning(found: "Dimension") -> str:
    """What a null model that misses its dimension says of everything beside it."""
    null = found.null and found.null.pooled
    if not null or abs(null.dimension - (found.axes - 1)) <= NULL_TOLERANCE:
        return ""
    return f"  (should be {found.axes - 1:.2f}: read the rest with care)"


def _csv(found: "Dimension", levels: "tuple[Field, ...]") -> str:
    text = io.StringIO()
    write = csv.writer(text).writerow
    estimate = ("dimension", "low", "high", "r_squared")
    window = ("window_first", "window_last")
    seen = ("edges", "correlation", "trained", "note")
    beside = ("null_dimension", "null_low", "null_high")
    write(("level", "zoom_log2", *estimate, *window, *seen, *beside))
    nulls = found.null.levels if found.null else ()
    for level, null in zip(found.levels, nulls, strict=True):
        first = (level.number, _depth(level, levels), *_values(level.estimate))
        seen = (level.edges, _cell(level.correlation), level.trained, level.note)
        write((*first, *(_window(level) or ("", "")), *seen, *_values(null.estimate)[:3]))
    null = found.null.pooled if found.null else None
    note = f"{found.pooled_levels} of {len(found.levels)} levels"
    write(("pooled", "", *_values(found.pooled), *[""] * 5, note, *_values(null)[:3]))
    return text.getvalue()


def _values(estimate: "Estimate | None") -> tuple[Any, ...]:
    return ("",) * 4 if estimate is None else tuple(map(_cell, estimate))


def _cell(value: float) -> float | str:
    """Nothing where there is no number."""
    return "" if math.isnan(value) else value


def _window(level: "Level") -> tuple[float, ...]:
    """The smallest and the largest size or distance that was used."""
    used = level.curve.x[level.curve.used]
    return (float(used.min()), float(used.max())) if used.size else ()


def _depth(level: "Level", levels: "tuple[Field, ...]") -> float:
    return levels[level.number].window.x.depth()


def _remark(level: "Level") -> str:
    """What is to be said of a level."""
    share = "" if level.trained > 0.999 else f"{100 * level.trained:.3g} % known"
    return ", ".join(word for word in (level.note, share) if word)


def _number(value: float, places: int) -> str:
    return "" if math.isnan(value) else f"{value:.{places}f}"


def _brief(estimate: "Estimate | None") -> str:
    return "" if estimate is None else f"{estimate.dimension:z.3f}"
