"""The smallest networks that learn: architectures x densities x seeds, in batches.

DIR/arms/ARCHITECTURE/...     the members (see `families.growth`)
DIR/seeds.csv                 a line an architecture and density, the smallest first
DIR/best_RANKING.csv          the best members by accuracy, efficiency, patchability
DIR/summary.md
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fractaljax.analysis.paired import interval
from fractaljax.config.finder import Finder
from fractaljax.families import growth
from fractaljax.families.growth import OnLook, Row
from fractaljax.families.members import FREE, Numeric
from fractaljax.store import study_folder as files

SEEDS, SUMMARY = "seeds.csv", "summary.md"
RANKINGS = ("accuracy", "efficiency", "patchability")


class Candidate(NamedTuple):
    """An architecture at a density, over its seeds."""

    architecture: str
    density: float
    edges: float  # mean
    accuracy: float  # mean, on the test data
    low: float  # ends of the interval of the mean
    high: float
    seeds: int
    learns: bool  # whether the lower end is above chance by the margin


def find(
    finder: Finder, folder: Path, *, numeric: Numeric = FREE, on_look: OnLook | None = None
) -> Candidate | None:
    """Trains what is missing, and names the smallest network that learns; None if none does."""
    growth.run(finder.experiment, folder, numeric=numeric, on_look=on_look)
    rows = growth.rows(finder.experiment, folder)
    found = candidates(finder, rows)
    files.write_table(folder / SEEDS, Candidate._fields, found)
    for ranking in RANKINGS:
        best = sorted(rows, key=lambda row: -score(ranking, row.readings))[: finder.best]
        lines = [
            (row.arm, row.over["model.density"], row.seed, score(ranking, row.readings),
             row.readings["test_accuracy"], int(row.readings["edges"]))
            for row in best
        ]  # fmt: skip
        columns = ("architecture", "density", "seed", ranking, "test_accuracy", "edges")
        files.write_table(folder / f"best_{ranking}.csv", columns, lines)
    files.write_text(folder / SUMMARY, summary(finder, folder))
    return next((one for one in found if one.learns), None)


def candidates(finder: Finder, rows: list[Row]) -> list[Candidate]:
    """All architectures and densities, those of fewest edges first."""
    chance = growth.baselines(finder.experiment)["chance"]
    groups: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.arm, row.over["model.density"]), []).append(row)
    found = []
    for (arm, density), own in groups.items():
        scores = np.array([row.readings["test_accuracy"] for row in own])
        low, high = interval(scores) if len(scores) > 1 else (np.nan, np.nan)
        edges = float(np.mean([row.readings["edges"] for row in own]))
        learns = bool(low > chance + finder.margin)
        found.append(
            Candidate(arm, density, edges, float(scores.mean()), low, high, len(own), learns)
        )
    return sorted(found, key=lambda one: (one.edges, one.architecture))


def score(ranking: str, readings: Mapping[str, float]) -> float:
    """Accuracy, accuracy an edge, or the share of extreme units times what is left to gain."""
    accuracy = readings["test_accuracy"]
    if ranking == "accuracy":
        return accuracy
    if ranking == "efficiency":
        return accuracy / max(readings["edges"], 1)
    return readings["extrema"] * (1 - accuracy)


def summary(finder: Finder, folder: Path) -> str:
    """The search as a section of a document."""
    found = candidates(finder, growth.rows(finder.experiment, folder))
    chance = growth.baselines(finder.experiment)["chance"]
    smallest = next((one for one in found if one.learns), None)
    text = [f"## {finder.name}", ""]
    text.append(
        f"The smallest network that beats chance ({chance:.2f}) by {finder.margin:g}, by the lower "
        "end of a 95 % bootstrap interval over its seeds: "
        + (
            f"hidden layers {smallest.architecture}, density {smallest.density:g}, "
            f"{smallest.edges:,.0f} edges, accuracy {smallest.accuracy:.3f} "
            f"({smallest.low:.3f} to {smallest.high:.3f})."
            if smallest
            else "none."
        )
    )
    text += ["", "| hidden | density | edges | accuracy (95 %) | learns |", "|---|---|---|---|---|"]
    text += [
        f"| {c.architecture} | {c.density:g} | {c.edges:,.0f} | {c.accuracy:.3f} ({c.low:.3f} to "
        f"{c.high:.3f}) | {'yes' if c.learns else 'no'} |"
        for c in found
    ]
    return "\n".join(text) + "\n"
