"""What an experiment found, from what is on disk: a table in Markdown, a verdict a claim."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fractaljax.analysis.paired import LEVEL, interval, pairs_needed, written
from fractaljax.config.arms import Experiment
from fractaljax.engine import plan
from fractaljax.families import growth
from fractaljax.families.growth import Judged, Row
from fractaljax.store import study_folder as files

COMPARISONS, SUMMARY = "comparisons.csv", "summary.md"
COLUMNS = (
    "claim", "text", "over", "difference", "low", "high", "pairs", "p", "alone", "p_holm",
    "verdict", "needed",
)  # fmt: skip


class Told(NamedTuple):
    """Everything that is drawn and said."""

    experiment: Experiment
    values: dict[str, np.ndarray]  # arm, and rung where there are several -> measure of members
    rungs: dict[str, dict[float, np.ndarray]]  # arm -> value of the one number in `over` -> measure
    over: str  # its path; "" where there is none, or several
    curves: dict[str, dict[str, np.ndarray]]  # arm (and rung) -> curves
    events: dict[str, np.ndarray]  # the same -> epochs of events
    judged: list[Judged]
    baselines: dict[str, float]
    missing: list[str]  # arms that are not done


def report(folder: Path) -> Told:
    """Reads a folder, writes its comparisons and its summary, and tells what to draw.

    Raises:
        FractaljaxError: there is no experiment.
    """
    experiment = growth.read(folder)
    plan.prepare(next(iter(experiment.arms.values())).spec.dtype)
    rows = growth.rows(experiment, folder)
    done = {row.arm for row in rows}
    missing = [arm for arm in experiment.arms if arm not in done]
    judged = [j for j in growth.judge(experiment, rows) if j.difference.n or not missing]
    lines = [
        (j.claim, j.text, j.at, *j.difference, j.p, j.alone, j.p_holm, j.verdict, j.needed)
        for j in judged
    ]
    files.write_table(folder / COMPARISONS, COLUMNS, lines)
    baselines = growth.baselines(experiment)
    over, rungs = _rungs(experiment, rows)
    told = Told(
        experiment, _values(experiment, rows), rungs, over, *_curves(folder), judged, baselines,
        missing,
    )  # fmt: skip
    files.write_text(folder / SUMMARY, markdown(told, rows))
    return told


def markdown(told: Told, rows: list[Row]) -> str:
    """The experiment as a section of a document."""
    e = told.experiment
    text = [f"## {e.name}", "", e.question, ""]
    measure = e.measure.replace("_", " ")
    text += [
        f"{len(e.seeds)} seeds, {e.epochs} epochs at most; {meaning(e)}.",
        "",
        f"| arm | {measure} | edges | grown | events | best epoch |",
        "|---|---|---|---|---|---|",
    ]
    for name, values in told.values.items():
        own = [row for row in rows if _label(row, e) == name]
        text.append(
            f"| {name} | {_spread(values)} | {_mean(own, 'kept_edges')} | "
            f"{_mean(own, 'edges_grown')} | {_mean(own, 'events')} | {_mean(own, 'best_epoch')} |"
        )
    known = ", ".join(f"{name} {value:.3f}" for name, value in told.baselines.items())
    text += ["", f"Without a network: {known}.", ""]
    if told.judged:
        text += [
            "| claim | says | difference (95 %) | pairs | p | by itself | p (Holm) | verdict |",
            "|---|---|---|---|---|---|---|---|",
        ]
    for j in told.judged:
        where = f" ({j.at})" if j.at else ""
        text.append(
            f"| {j.claim.replace('_', ' ')} | {j.text}{where} | {apart(j, 3)} | {j.difference.n} | "
            f"{written(j.p)} | {j.alone} | {written(j.p_holm)} | **{j.words}** |"
        )
    if told.judged:
        text += ["", *_rules(told)]
    if e.margin:
        text += ["", f"Differences below {e.margin:g} are taken for none."]
    return "\n".join(text) + "\n"


def meaning(experiment: Experiment) -> str:
    """What is shown of an arm."""
    if len(experiment.seeds) < pairs_needed():
        return f"means (a 95 % interval takes {pairs_needed()} seeds)"
    return "mean and 95 % interval"


def said(told: Told) -> list[str]:
    """A line a claim, without a table."""
    found = []
    for j in told.judged:
        where = f" ({j.at})" if j.at else ""
        values = f"{apart(j, 4)}, p {written(j.p)}"
        if not math.isnan(j.p_holm):
            values += f", Holm's p {written(j.p_holm)}"
        if j.alone != j.verdict:
            values += f"; by itself {j.alone}"
        found.append(f"{j.text}{where}: {j.words}: {values}")
    return found


def apart(judged: Judged, decimals: int) -> str:
    """A difference with its interval, where there are enough pairs for one."""
    d = judged.difference
    if not d.n:
        return "no pair"
    mean, low, high = (f"{value:+.{decimals}f}" for value in (d.mean, d.low, d.high))
    return f"{mean} ({low} to {high})" if np.isfinite(d.low) else mean


def _rules(told: Told) -> list[str]:
    """How the verdicts of a table came to be."""
    some = told.judged
    tested = sum(not math.isnan(j.p_holm) for j in some)
    text = ["p is that of a two-sided sign-flip test of the paired differences."]
    if tested:
        count = f"{tested} claim{'s' if tested > 1 else ''}"
        text += [f"The verdict is by p after Holm's correction for {count}, at {LEVEL:g}."]
    if tested < len(some):
        text += [f"Claims with fewer than {pairs_needed()} pairs that differ are not tested."]
    left = max(len(told.experiment.seeds) - j.difference.n for j in some)
    if left:
        text += [f"Pairs with a value that is not finite are left out, {left} at most."]
    return [" ".join(text)]


def _label(row: Row, experiment: Experiment) -> str:
    place = growth.place(row.over)
    several = sum(len(v) for v in experiment.arms[row.arm].over.values()) > 1
    return f"{row.arm}, {place}" if several and place else row.arm


def _values(experiment: Experiment, rows: list[Row]) -> dict[str, np.ndarray]:
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(_label(row, experiment), []).append(row.readings[experiment.measure])
    return {name: np.array(values) for name, values in found.items()}


def _rungs(experiment: Experiment, rows: list[Row]) -> tuple[str, dict]:
    paths = {path for arm in experiment.arms.values() for path in arm.over}
    if len(paths) != 1:
        return "", {}
    path, found = next(iter(paths)), {}
    for row in rows:
        if isinstance(row.over.get(path), float | int):
            arm = found.setdefault(row.arm, {})
            arm.setdefault(float(row.over[path]), []).append(row.readings[experiment.measure])
    return path, {
        arm: {v: np.array(values) for v, values in rungs.items()} for arm, rungs in found.items()
    }


def _curves(folder: Path) -> tuple[dict, dict]:
    """Curves and epochs of events, by arm and rung."""
    curves, events = {}, {}
    lines = growth.ledger(folder)
    for batch, arrays in growth.curves(folder).items():
        places = [str(p) for p in arrays["over"]]
        arm = batch.split("/")[0]
        for place in dict.fromkeys(places):
            mine = np.array([p == place for p in places])
            name = f"{arm}, {place}" if len(set(places)) > 1 or "/" in batch else arm
            curves[name] = {k: arrays[k][mine] for k in ("accuracy", "training", "edges")}
            seeds = {int(s) for s in arrays["seed"][mine]}
            own = [
                int(line["epoch"])
                for line in lines
                if line["arm"] == batch and int(line["seed"]) in seeds
            ]
            events[name] = np.array(own, int)
    return curves, events


def _spread(values: np.ndarray) -> str:
    some = values[np.isfinite(values)]
    if not len(some):
        return "never finite"
    low, high = interval(some)
    return f"{some.mean():.3f}" + (f" ({low:.3f} to {high:.3f})" if np.isfinite(low) else "")


def _mean(rows: list[Row], reading: str) -> str:
    values = np.array([row.readings.get(reading, np.nan) for row in rows])
    values = values[np.isfinite(values)]
    return f"{values.mean():,.0f}" if len(values) else ""
