"""Regret of transferred hyperparameters: formulas, intervals, agreement, what explains the loss.

Arrays are `[T, S, K]`: target, source and seed; own losses `[T, K]` are those of a target with its
own best hyperparameters, of the same seeds.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from fractaljax.analysis import paired
from fractaljax.errors import FractaljaxError


class Stats(NamedTuple):
    """Of some losses; the variance is that of the population."""

    mean: float
    var: float
    min: float
    max: float


class Regret(NamedTuple):
    """`[T, S]` each."""

    mean_test: np.ndarray
    var_test: np.ndarray
    min_test: np.ndarray
    max_test: np.ndarray
    mean_regret: np.ndarray  # mean test loss less the baseline
    min_regret: np.ndarray
    max_regret: np.ndarray
    var_regret: np.ndarray  # of the test losses
    mean_relative_regret: np.ndarray  # mean test loss over the baseline; 1 is none


class Tests(NamedTuple):
    """Of the regret, `[T, S]` each."""

    low: np.ndarray  # 95 % interval of the mean; NaN where seeds are too few for one
    high: np.ndarray
    pairs: np.ndarray  # seeds; 0 where a loss is not finite
    p: np.ndarray  # of a two-sided test that there is no regret
    p_holm: np.ndarray  # adjusted for all pairs of target and source; NaN where seeds are too few


class Shares(NamedTuple):
    """Of the sum of squares of all losses about their mean; they sum to 1."""

    target: float
    source: float
    interaction: float
    seed: float


def statistics(losses: np.ndarray) -> Stats:
    """Mean, population variance, least and largest of `[K]` losses; NaN where one is."""
    return Stats(*(float(f(losses)) for f in (np.mean, np.var, np.min, np.max)))


def regret(losses: np.ndarray, own: np.ndarray) -> Regret:
    """Regret against the mean own loss of a target, the baseline; a ratio to 0 is NaN."""
    baseline = own.mean(axis=1)[:, None]
    mean, var, low, high = (f(losses, axis=2) for f in (np.mean, np.var, np.min, np.max))
    ratio = np.divide(mean, baseline, out=np.full_like(mean, np.nan), where=baseline != 0)
    least, most = low - baseline, high - baseline
    return Regret(mean, var, low, high, mean - baseline, least, most, var, ratio)


def tests(losses: np.ndarray, own: np.ndarray) -> Tests:
    """Intervals of the mean regret over seeds, and p that there is none (see `analysis.paired`).

    Both sides are of the same seeds, as a seed decides draws and batches of both. Holm's correction
    is for all pairs of target and source that can be tested: not for those with a loss that is not
    finite, whose mean regret is not either.
    """
    finite = (np.isfinite(losses) & np.isfinite(own)[:, None]).all(axis=2)
    seeds = np.where(finite, losses.shape[2], 0)
    found = [
        [paired.compared(losses[i, j, :n], own[i, :n], ">", 0.0) for j, n in enumerate(row)]
        for i, row in enumerate(seeds)
    ]
    verdicts = paired.verdicts([test for row in found for test in row])
    shape = losses.shape[:2]
    by_itself = [[(*test.difference[1:], test.p) for test in row] for row in found]
    low, high, n, p = np.moveaxis(np.array(by_itself, float), -1, 0)
    p_holm = np.array([verdict.p_holm for verdict in verdicts]).reshape(shape)
    return Tests(low, high, n.astype(int), p, p_holm)


def rank_correlation(losses: np.ndarray) -> np.ndarray:
    """Spearman's correlation of the trials of architectures, `[A, n] -> [A, A]`.

    A loss that is not finite ranks last, together with others of its kind; NaN where an
    architecture does not tell its trials apart.
    """
    ranks = stats.rankdata(np.where(np.isfinite(losses), losses, np.inf), axis=1)
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1))
    product = np.outer(length, length)
    full = np.full_like(product, np.nan)
    return np.clip(np.divide(centred @ centred.T, product, out=full, where=product > 0), -1, 1)


def shares(losses: np.ndarray) -> Shares:
    """What explains the test loss: two-way analysis of variance with the seeds as replicates.

    Targets or sources with a loss that is not finite are left out, the fewest first.

    Raises:
        FractaljaxError: no loss is left.
    """
    whole = _finite(losses)
    mean = whole.mean()
    total = ((whole - mean) ** 2).sum()
    if total == 0:
        return Shares(*[float("nan")] * 4)
    targets, sources, _ = whole.shape
    seeds = whole.shape[2]
    by_target = seeds * sources * ((whole.mean(axis=(1, 2)) - mean) ** 2).sum()
    by_source = seeds * targets * ((whole.mean(axis=(0, 2)) - mean) ** 2).sum()
    by_cell = seeds * ((whole.mean(axis=2) - mean) ** 2).sum()
    within = ((whole - whole.mean(axis=2, keepdims=True)) ** 2).sum()
    parts = (by_target, by_source, by_cell - by_target - by_source, within)
    return Shares(*(float(part / total) for part in parts))


def _finite(losses: np.ndarray) -> np.ndarray:
    bad = ~np.isfinite(losses).all(axis=2)
    while bad.any():
        rows, columns = bad.mean(axis=1), bad.mean(axis=0)
        axis = int(columns.max() > rows.max())
        worst = int((rows, columns)[axis].argmax())
        losses, bad = np.delete(losses, worst, axis), np.delete(bad, worst, axis)
    if losses.size == 0:
        raise FractaljaxError("no finite test loss is left to explain")
    return losses
