"""Paired differences between two treatments of the same seeds, and what they allow to say.

The test is the exact one of sign flips: where the differences lie symmetrically about `m`, every
pattern of signs of `d - m` is as likely as the one that was seen (R. A. Fisher, The Design of
Experiments, 1935). The interval holds all `m` that the test does not reject: the means of the
2^n - 1 subsets of n differences cut the line into intervals that are equally likely to hold the
centre (J. A. Hartigan, Using subsample values as typical values, JASA 64, 1969). So both agree, and
n pairs never give a p below 2 / 2^n: at a level of 0.05 fewer than six decide nothing. Of more than
16 pairs, 2^16 random patterns are taken, always the same, so that p is never below 2 / 2^16.

What several claims say side by side is corrected by S. Holm's step-down method (A simple
sequentially rejective multiple test procedure, Scand. J. Statist. 6, 1979).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.05  # of the tests; of the intervals, what they leave out
MOST = 16  # pairs up to which all subsets are taken; of more, 2^16 drawn at random
BLOCK = 2**12  # subsets that are drawn at once
SAME = 2.0**-22  # of a value: what lies closer is the same number in float32
SUPPORTED, REFUTED, UNDECIDED, TOO_FEW = "supported", "refuted", "undecided", "too few seeds"


class Difference(NamedTuple):
    """Of a measure, one side less the other, over `n` pairs."""

    mean: float
    low: float  # ends of the interval of the centre; NaN where there are too few pairs for one
    high: float
    n: int


class Tested(NamedTuple):
    """A claim tested by itself."""

    difference: Difference
    differ: int  # pairs that do not lie exactly on the margin
    p: float  # two-sided; NaN without pairs
    points_to: str  # SUPPORTED or REFUTED, whatever p is


class Verdict(NamedTuple):
    """A claim among all those that are tested side by side."""

    alone: str  # without the correction
    p_holm: float  # NaN where the pairs are too few to reach the level by themselves
    verdict: str  # SUPPORTED, REFUTED, UNDECIDED or TOO_FEW, by `p_holm`
    needed: int  # pairs that it takes to decide something about any one of the claims
    words: str  # the verdict, or how many pairs it takes


def difference(one: ArrayLike, other: ArrayLike) -> Difference:
    """Mean of the paired differences `[K]`, with its interval; non-finite pairs are left out."""
    pairs, _ = _pairs(one, other)
    mean = float(pairs.mean()) if len(pairs) else np.nan
    return Difference(mean, *interval(pairs), len(pairs))


def interval(values: ArrayLike) -> tuple[float, float]:
    """95 % interval of the centre of `[K]` values, the same for the same values.

    NaN where there are fewer than `pairs_needed()` values.
    """
    values = np.asarray(values, float)
    if len(values) < pairs_needed():
        return np.nan, np.nan
    sums = _subset_sums(np.stack([values, np.ones(len(values))], axis=1))
    means = np.sort(sums[:, 0] / sums[:, 1])
    k = int(LEVEL / 2 * (len(means) + 1))
    return float(means[k - 1]), float(means[-k])


def compared(one: ArrayLike, other: ArrayLike, relation: str, margin: float) -> Tested:
    """Tests what is said of two sides `[K]` of the same seeds.

    `one > other` is supported by differences about a centre above the margin, and refuted by those
    about one below it; `<` alike; `~` is supported by a centre within the margin on either side and
    refuted by one outside. p is that of a two-sided test: each side is tested at half the level.
    """
    pairs, rounding = _pairs(one, other)
    found = difference(one, other)
    if not len(pairs):
        return Tested(found, 0, np.nan, REFUTED)
    if relation != "~":
        above, below, differ = _tails(pairs if relation == ">" else -pairs, rounding, margin)
        inside, outside = above, below
    else:
        above, below, differ = _tails(pairs, rounding, margin)  # of the upper end
        over, under, others = _tails(pairs, rounding, -margin)  # of the lower end
        inside, outside, differ = max(below, over), min(above, under), max(differ, others)
    p = min(2 * min(inside, outside), 1.0)
    return Tested(found, differ, p, SUPPORTED if inside < outside else REFUTED)


def verdicts(tests: Sequence[Tested], *, unit: str = "pair", what: str = "claim") -> list[Verdict]:
    """What can be said of claims that are tested side by side.

    Claims whose pairs are too few to reach the level by themselves are not tested, and do not count
    in the correction.

    Args:
        unit, what: the words for a pair and for a claim.
    """
    if not tests:
        return []
    reach = [smallest_p(t.differ) <= LEVEL for t in tests]
    family = [i for i, there in enumerate(reach) if there]
    p_holm = np.full(len(tests), np.nan)
    at_best = np.full(len(tests), np.inf)
    p_holm[family] = holm([tests[i].p for i in family])
    at_best[family] = holm([smallest_p(tests[i].differ) for i in family])
    needed = pairs_needed(len(tests))
    found = []
    for i, t in enumerate(tests):
        alone = TOO_FEW if not reach[i] else t.points_to if t.p <= LEVEL else UNDECIDED
        verdict = t.points_to if p_holm[i] <= LEVEL else UNDECIDED
        words = verdict
        if at_best[i] > LEVEL:
            verdict = TOO_FEW
            words = f"no verdict: {_counted(t, unit, needed)}, {_needs(needed, len(tests), what)}"
        found.append(Verdict(alone, float(p_holm[i]), verdict, needed, words))
    return found


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's adjusted p of `[K]` tests: at most the level where the test rejects at that level."""
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def smallest_p(pairs: int) -> float:
    """The smallest two-sided p that so many pairs can give."""
    return min(2.0 / 2 ** min(pairs, MOST), 1.0)


def pairs_needed(claims: int = 1) -> int:
    """Pairs that it takes to decide something about any one of so many claims."""
    return int(np.ceil(np.log2(2 * claims / LEVEL)))


def too_few(seeds: int, count: int, what: str) -> str:
    """In words: so many seeds decide nothing about so many claims; empty where they may.

    Args:
        what: the word for a claim.
    """
    needed = pairs_needed(count) if count else 0
    if seeds >= needed and needed <= MOST:
        return ""
    return f"{seeds} seed{'' if seeds == 1 else 's'}, {_needs(needed, count, what)}"


def written(p: float) -> str:
    """A p in a table or a line."""
    if np.isnan(p):
        return "-"
    return f"{p:.2g}" if p >= 1e-4 else f"{p:.0e}"


def _pairs(one: ArrayLike, other: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Differences that are finite, and how far rounding may have moved each."""
    one, other = np.broadcast_arrays(np.asarray(one, float), np.asarray(other, float))
    there = np.isfinite(one) & np.isfinite(other)
    one, other = one[there], other[there]
    return one - other, SAME * np.maximum(np.abs(one), np.abs(other))


def _tails(pairs: np.ndarray, rounding: np.ndarray, margin: float) -> tuple[float, float, int]:
    """One-sided p of a centre above the margin and of one below it; pairs not exactly on it."""
    shifted = pairs - margin
    shifted[np.abs(shifted) <= rounding] = 0
    sums = _subset_sums(shifted[:, None])[:, 0]  # of the differences whose signs are flipped
    above, below = np.sum(sums <= rounding.sum()), np.sum(sums >= -rounding.sum())
    patterns = len(sums) + 1  # with the one that was seen
    return (1 + above) / patterns, (1 + below) / patterns, int(np.count_nonzero(shifted))


def _subset_sums(columns: np.ndarray) -> np.ndarray:
    """Sums of `[n, C]` over subsets of rows, `[S, C]`: all but the empty one, or random ones."""
    n = len(columns)
    if n <= MOST:
        sums = np.zeros((1, columns.shape[1]))
        for row in columns:
            sums = np.concatenate([sums, sums + row])
        return sums[1:]
    rng = np.random.default_rng(0)
    blocks = []
    for _ in range(2**MOST // BLOCK):
        members = rng.integers(0, 2, (BLOCK, n), np.int8)
        blocks.append(members[members.any(axis=1)] @ columns)
    return np.concatenate(blocks)


def _counted(test: Tested, unit: str, needed: int) -> str:
    n = test.difference.n
    if test.differ < needed <= n:
        return f"{test.differ} of {n} {unit}s differ from the margin"
    return f"{n} {unit}{'' if n == 1 else 's'}"


def _needs(needed: int, count: int, what: str) -> str:
    if needed > MOST:  # a p of random patterns of signs is never small enough
        return f"and at most {int(LEVEL * 2**MOST / 2):,} {what}s can be tested, not {count:,}"
    return f"{needed} are needed" + (f" for {count} {what}s" if count > 1 else "")
