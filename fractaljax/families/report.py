"""Tables of a search and of a transfer, from what lies on disk: nothing is trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fractaljax.analysis import regret as analysis
from fractaljax.config.study import Study
from fractaljax.errors import FractaljaxError
from fractaljax.families import search, transfer
from fractaljax.store import study_folder as files


class Curve(NamedTuple):
    """The best trial of an architecture, by epoch."""

    epoch: np.ndarray
    training_loss: np.ndarray
    validation_loss: np.ndarray  # NaN where there was no look
    best_epoch: int


class SearchReport(NamedTuple):
    """What there is to draw of a search; architectures in the order of the study."""

    losses: dict[str, np.ndarray]  # architecture -> test loss of each seed
    accuracies: dict[str, np.ndarray]
    trials: dict[str, np.ndarray]  # architecture -> validation loss of each trial
    curves: dict[str, Curve]
    ranks: np.ndarray  # [A, A] rank correlation of the trials of two architectures
    failed: list[str]


class TransferReport(NamedTuple):
    """What there is to draw of a transfer; rows are targets, columns sources."""

    targets: list[str]
    sources: list[str]
    regret: analysis.Regret
    low: np.ndarray  # of the mean regret, 95 %; NaN where seeds are too few
    high: np.ndarray
    tests: analysis.Tests
    shares: analysis.Shares


def search_report(folder: Path) -> SearchReport:
    """The tables over all architectures of a search, written and given back.

    Raises:
        FractaljaxError: there is nothing to tell yet.
    """
    study = transfer.read_study(folder)
    there = _done(study, folder)
    if not there:
        raise FractaljaxError(
            f"{folder}: no architecture is done yet; go on: fractaljax search "
            f"{folder / files.STUDY} --out {folder}"
        )
    summaries = {arch: files.read_tree(folder / arch / files.SUMMARY) for arch in there}
    failed = [arch for arch, told in summaries.items() if "failed" in told]
    names = [dimension.name for dimension in study.space]
    trials = {arch: search.read_trials(folder / arch, names) for arch in there}
    tried = {a: np.array([t.result.best_val_loss for t in some]) for a, some in trials.items()}
    lines = {
        arch: files.read_table(folder / arch / "retrain" / files.SEED_LOSSES)
        for arch in there
        if arch not in failed
    }
    losses = {a: np.array([float(line["test_loss"]) for line in some]) for a, some in lines.items()}
    report = SearchReport(
        losses,
        {a: np.array([float(line["test_accuracy"]) for line in some]) for a, some in lines.items()},
        tried,
        {arch: _curve(folder / arch) for arch in losses},
        _ranks(list(tried.values())),
        failed,
    )
    files.write_tree(folder / files.SUMMARY, {"architectures": list(summaries.values())})
    files.write_tree(folder / "search_meta.yaml", {"search_training_seed": study.search_seed})
    rows = [
        (a, line["seed"], float(line["test_loss"])) for a, some in lines.items() for line in some
    ]
    columns = ("architecture", "seed", "test_loss")
    files.write_table(folder / "search_seed_losses.csv", columns, rows)
    stats = [(arch, *analysis.statistics(some)) for arch, some in losses.items()]
    columns = ("architecture", *analysis.Stats._fields)
    files.write_table(folder / "search_test_loss_stats.csv", columns, stats)
    write_matrix(folder / "rank_correlation.csv", "architecture", there, there, report.ranks)
    return report


def transfer_report(folder: Path) -> TransferReport:
    """The tables of a transfer, written and given back.

    Raises:
        FractaljaxError: a target or an artefact of the search is missing.
    """
    study = transfer.read_study(folder)
    origin = Path(files.read_tree(folder / transfer.ORIGIN)["search_dir"])
    found = transfer.read_search(study, origin)
    targets, sources, seeds = [*study.specs], [*found.best], study.transfer_seeds
    cells = transfer.read_cells(folder, targets)
    loss = {
        (c["target_arch"], c["source_arch"], int(c["seed"])): float(c["test_loss"]) for c in cells
    }
    losses = np.array([[[loss[t, s, k] for k in seeds] for s in sources] for t in targets])
    # of the same seeds as what is transferred, whatever those of the search were
    own = np.array([[loss.get((t, t, k), np.nan) for k in seeds] for t in targets])
    regret = analysis.regret(losses, own)
    tests = analysis.tests(losses, own)
    report = TransferReport(
        targets, sources, regret, tests.low, tests.high, tests, analysis.shares(losses)
    )
    _write_transfer(folder, report, cells)
    return report


def _write_transfer(folder: Path, report: TransferReport, cells: list[dict[str, str]]) -> None:
    targets, sources, regret = report.targets, report.sources, report.regret
    names = ("mean_test", "var_test", "min_test", "max_test")
    pairs = [(i, j) for i in range(len(targets)) for j in range(len(sources))]
    rows = [
        (targets[i], sources[j], *(getattr(regret, name)[i, j] for name in names)) for i, j in pairs
    ]
    columns = ("target_arch", "source_arch", "mean", "var", "min", "max")
    files.write_table(folder / "transfer_results.csv", columns, rows)
    columns = transfer.COLUMNS
    rows = [[cell[name] for name in columns] for cell in cells]
    files.write_table(folder / "transfer_seed_losses.csv", columns, rows)
    for name, matrix in {
        "regret_matrix.csv": regret.mean_regret,
        "relative_regret_matrix.csv": regret.mean_relative_regret,
    }.items():
        write_matrix(folder / name, "target_arch", targets, sources, matrix)
    names = ("mean_regret", "min_regret", "max_regret", "var_regret")
    rows = [
        (
            targets[i],
            sources[j],
            *(getattr(regret, name)[i, j] for name in names),
            *(matrix[i, j] for matrix in report.tests),
        )
        for i, j in pairs
    ]
    columns = ("target_arch", "source_arch", *names, "low_95", "high_95", "pairs", "p", "p_holm")
    files.write_table(folder / "regret_intervals.csv", columns, rows)
    shares = zip(report.shares._fields, report.shares, strict=True)
    files.write_table(folder / "variance_shares.csv", ("explained_by", "share"), list(shares))


def write_matrix(
    path: Path, corner: str, rows: Sequence[str], columns: Sequence[str], matrix: np.ndarray
) -> None:
    """A matrix with the names of its rows and columns."""
    lines = [(name, *line) for name, line in zip(rows, matrix, strict=True)]
    files.write_table(path, (corner, *columns), lines)


def _done(study: Study, folder: Path) -> list[str]:
    """Architectures whose search is complete: those of the study, then others that lie there."""
    others = sorted(path.parent.name for path in folder.glob(f"*/{files.SUMMARY}"))
    return [a for a in dict.fromkeys([*study.specs, *others]) if search.is_done(folder / a)]


def _curve(folder: Path) -> Curve:
    lines = files.read_table(folder / "best_trial" / "metrics.csv")
    columns = ("epoch", "training_loss", "validation_loss")
    epoch, training, validation = (np.array([float(line[c]) for line in lines]) for c in columns)
    best = int(files.read_tree(folder / files.BEST)["best_epoch"])
    return Curve(epoch, training, validation, best)


def _ranks(trials: list[np.ndarray]) -> np.ndarray:
    """NaN throughout where architectures do not share their trials."""
    if len({len(some) for some in trials}) > 1:
        return np.full((len(trials), len(trials)), np.nan)
    return analysis.rank_correlation(np.array(trials))
