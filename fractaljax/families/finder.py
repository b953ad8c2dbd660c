"""The smallest networks that learn: architectures x densities x seeds, in batches.

DIR/arms/ARCHITECTURE/...     the members (see `families.growth`)
DIR/seeds.csv                 a line an architecture and density, the smallest first
DIR/best_RANKING.csv          the best members by accuracy, efficiency, patchability
DIR/summary.md
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fractaljax.analysis import paired
from fractaljax.analysis.paired import LEVEL, SUPPORTED, TOO_FEW
from fractaljax.config.finder import Finder
from fractaljax.families import growth
from fractaljax.families.growth import OnLook, Row
from fractaljax.families.members import FREE, Numeric
from fractaljax.store import study_folder as files

log = logging.getLogger("fractaljax")
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
    learns: bool  # whether it is supported that the accuracy is above chance by the margin
    p: float  # of a test of that by itself
    alone: str  # the verdict by it
    p_holm: float  # adjusted for all candidates
    verdict: str
    needed: int  # seeds that it takes to decide something about any one of the candidates
    words: str  # the verdict, or how many seeds it takes


def find(
    finder: Finder, folder: Path, *, numeric: Numeric = FREE, on_look: OnLook | None = None
) -> Candidate | None:
    """Trains what is missing, and names the smallest network that learns; None if none does."""
    growth.run(finder.experiment, folder, numeric=numeric, on_look=on_look)
    rows = growth.rows(finder.experiment, folder)
    found = candidates(finder, rows)
    files.write_table(folder / SEEDS, Candidate._fields[:-1], [one[:-1] for one in found])
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


def warn_of_few_seeds(finder: Finder) -> None:
    """Says before anything is trained that there will be no verdict."""
    arms = finder.experiment.arms.values()
    networks = sum(len(arm.over["model.density"]) for arm in arms)
    few = paired.too_few(len(finder.experiment.seeds), networks, "network")
    if few:
        log.warning("%s: no network will be said to learn: %s", finder.name, few)


def candidates(finder: Finder, rows: list[Row]) -> list[Candidate]:
    """All architectures and densities, those of fewest edges first."""
    chance = growth.baselines(finder.experiment)["chance"]
    groups: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.arm, row.over["model.density"]), []).append(row)
    tests = []
    for own in groups.values():
        scores = np.array([row.readings["test_accuracy"] for row in own])
        tests.append(paired.compared(scores, np.full(len(own), chance), ">", finder.margin))
    verdicts = paired.verdicts(tests, unit="seed", what="network")
    found = []
    for (name, own), tested, verdict in zip(groups.items(), tests, verdicts, strict=True):
        scores = np.array([row.readings["test_accuracy"] for row in own])
        scores = scores[np.isfinite(scores)]
        mean = float(scores.mean()) if len(scores) else np.nan
        edges = float(np.mean([row.readings["edges"] for row in own]))
        found.append(
            Candidate(
                *name, edges, mean, *paired.interval(scores), len(scores),
                verdict.verdict == SUPPORTED, tested.p, *verdict,
            )
        )  # fmt: skip
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
    undecided = sum(one.verdict == TOO_FEW for one in found)
    text = [f"## {finder.name}", ""]
    text.append(
        f"The smallest network that beats chance ({chance:.2f}) by {finder.margin:g}, by a "
        f"sign-flip test over its seeds at {LEVEL:g}, Holm's correction for {len(found)} networks: "
        + (
            f"hidden layers {smallest.architecture}, density {smallest.density:g}, "
            f"{smallest.edges:,.0f} edges, accuracy {_accuracy(smallest)}."
            if smallest
            else f"no verdict, {found[0].needed} seeds are needed."
            if undecided == len(found)
            else "none."
        )
    )
    if 0 < undecided < len(found):
        text += ["", f"Of {undecided} networks nothing can be said: too few of their seeds count."]
    text += [
        "",
        "| hidden | density | edges | accuracy (95 %) | p | by itself | p (Holm) | learns |",
        "|---|---|---|---|---|---|---|---|",
    ]
    text += [
        f"| {c.architecture} | {c.density:g} | {c.edges:,.0f} | {_accuracy(c)} | "
        f"{paired.written(c.p)} | {c.alone} | {paired.written(c.p_holm)} | {_learns(c)} |"
        for c in found
    ]
    return "\n".join(text) + "\n"


def _accuracy(one: Candidate) -> str:
    interval = f" ({one.low:.3f} to {one.high:.3f})" if np.isfinite(one.low) else ""
    return f"{one.accuracy:.3f}{interval}"


def _learns(one: Candidate) -> str:
    return one.words if one.verdict == TOO_FEW else "yes" if one.learns else "no"
