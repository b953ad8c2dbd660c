"""The verbs of a study: `search`, `transfer`, `run-transfer` and `report`."""

import argparse
import datetime
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractaljax.cli import team
from fractaljax.cli.progress import Gauge, Stopper, epochs_note
from fractaljax.errors import FractaljaxError

if TYPE_CHECKING:
    from fractaljax.config.study import Study
    from fractaljax.families.search import Progress

log = logging.getLogger("fractaljax")
SEARCH = """examples:
  fractaljax search configs/transfer/digits.yaml
  fractaljax search configs/transfer/digits.yaml search.sampler=tpe search.batch=5
  fractaljax search configs/transfer/mnist.yaml problem.data_dir=~/data --out outputs/mnist

All trials of an architecture train as one batch, each until its validation loss no longer falls;
the winner is trained again with every seed of `retrain.seeds`. The same command goes on where it
stopped; several processes may share a folder."""
TRANSFER = """examples:
  fractaljax transfer outputs/digits/search --out outputs/digits/transfer
  fractaljax transfer outputs/digits/search transfer.seeds=[1,2,3,4,5,6,7,8]

Trains every architecture with the best hyperparameters of every other one, less what the search
has trained already."""
RUN = """examples:
  fractaljax run-transfer configs/transfer/digits.yaml
  fractaljax run-transfer configs/transfer/digits.yaml search.trials=5 --run-name short
  fractaljax run-transfer --resume outputs/transfer/digits_20261123_101500

Search, transfer and report in a folder of their own; an earlier run is never written into."""
REPORT = """examples:
  fractaljax report outputs/transfer/digits_20261123_101500
  fractaljax report outputs/digits/search
  fractaljax report outputs/growth/cliff_rescue

Tables and pictures from what is on disk; nothing is trained."""
SEARCHED, TRANSFERRED, MANIFEST = "search", "transfer", "run_manifest.yaml"


def add_search(parser: argparse.ArgumentParser) -> None:
    _add_study(parser)
    parser.add_argument("--out", metavar="DIR", help="folder (default: outputs/search/...)")
    add_numeric(parser)


def add_transfer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("search", metavar="DIR", help="folder of a search")
    parser.add_argument("overrides", nargs="*", metavar="path=value", default=[])
    parser.add_argument("--out", metavar="DIR", help="folder (default: beside that of the search)")
    add_numeric(parser)


def add_run(parser: argparse.ArgumentParser) -> None:
    _add_study(parser, required=False)
    add = parser.add_argument
    add("--runs-root", default="outputs/transfer", metavar="DIR", help="where runs are made")
    add("--run-name", metavar="NAME", help="of the run's folder (default: study and time)")
    add("--resume", metavar="DIR", help="go on with a run that was stopped")
    add_numeric(parser)


def add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="DIR", help="of a search, a transfer, a run of both, or an experiment"
    )


def search(arguments: argparse.Namespace) -> int:
    """Trains what is missing of a search, then tells."""
    _load_plugins(arguments)
    study = _study(arguments)
    out = Path(arguments.out or Path("outputs") / "search" / clean(study.name))
    _search(study, out, arguments)
    print(out)
    return 0


def transfer(arguments: argparse.Namespace) -> int:
    """Trains what is missing of a transfer, then tells."""
    from fractaljax.config.study import parse_study
    from fractaljax.families import transfer as family

    _load_plugins(arguments)
    folder = Path(arguments.search)
    study = family.read_study(folder)
    if arguments.overrides:
        study = parse_study(study.tree, study.name, arguments.overrides)
    out = Path(arguments.out or folder.parent / f"{folder.name}_transfer")
    _transfer(study, folder, out, arguments)
    print(out)
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Search, then transfer, in one folder."""
    from fractaljax.families import search as searching
    from fractaljax.families import transfer as family
    from fractaljax.store import study_folder as files

    _load_plugins(arguments)
    if arguments.resume:
        if arguments.config or arguments.run_name:
            raise FractaljaxError("--resume takes the folder of a run and nothing else")
        folder = Path(arguments.resume)
        if not (folder / MANIFEST).is_file():
            raise FractaljaxError(f"{folder}: no run here (there is no {folder / MANIFEST})")
        study = family.read_study(folder / SEARCHED)
    else:
        if not arguments.config:
            raise FractaljaxError("run-transfer: give a study, or --resume with a run's folder")
        study = _study(arguments)
        searching.check(study, numeric(arguments))
        folder = _fresh(Path(arguments.runs_root), arguments.run_name, study.name)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        told = {"study": str(arguments.config), "overrides": arguments.overrides, "started": now}
        (folder / SEARCHED).mkdir()
        files.write_tree(folder / SEARCHED / files.STUDY, study.tree)
        files.write_tree(folder / MANIFEST, {**told, "search": SEARCHED, "transfer": TRANSFERRED})
    log.info("run in %s", folder)
    _search(study, folder / SEARCHED, arguments)
    _transfer(study, folder / SEARCHED, folder / TRANSFERRED, arguments)
    print(folder)
    return 0


def report(arguments: argparse.Namespace) -> int:
    """Tables and pictures anew."""
    from fractaljax.families import transfer as family
    from fractaljax.store import study_folder as files

    _load_plugins(arguments)
    folder = Path(arguments.folder)
    parts = [folder / SEARCHED, folder / TRANSFERRED] if (folder / MANIFEST).is_file() else [folder]
    for part in parts:
        if (part / family.ORIGIN).is_file():
            _tell_transfer(part)
        elif (part / files.STUDY).is_file():
            if "arms" in files.read_tree(part / files.STUDY):
                from fractaljax.cli import grow

                grow.tell(part)
            else:
                _tell_search(part)
        elif part is not folder:
            log.warning("there is no %s yet: fractaljax run-transfer --resume %s", part, folder)
        else:
            raise FractaljaxError(
                f"{folder}: neither a search, a transfer, a run of both nor an experiment"
            )
    print(folder)
    return 0


def _add_study(parser: argparse.ArgumentParser, required: bool = True) -> None:
    where = "a YAML study, as in configs/transfer"
    parser.add_argument("config", nargs=None if required else "?", metavar="STUDY", help=where)
    parser.add_argument("overrides", nargs="*", metavar="path=value", default=[])


def add_numeric(parser: argparse.ArgumentParser) -> None:
    """Flags for devices and chunk."""
    parser.add_argument("--devices", type=int, metavar="N", help="devices to use (default: all)")
    parser.add_argument("--chunk", type=int, metavar="N", help="members side by side on a device")
    team.add_cluster(parser)


def _load_plugins(arguments: argparse.Namespace) -> None:
    from fractaljax import config

    config.load_plugins(arguments.plugin)


def _study(arguments: argparse.Namespace) -> "Study":
    from fractaljax.config.study import read_study

    return read_study(arguments.config, arguments.overrides)


def _search(study: "Study", out: Path, arguments: argparse.Namespace) -> None:
    from fractaljax.families import search as family
    from fractaljax.families import units

    def work(on_look: Callable[["Progress"], None]) -> list[str]:
        return family.search(study, out, numeric=numeric(arguments), on_look=on_look)

    with team.team(arguments) as workers, team.watched("search") as on_unit:
        if workers is not None:  # what follows finds everything done
            units.search(workers, study, out, chunk=numeric(arguments).chunk, on_unit=on_unit)
    elsewhere = _watched(work, "search")
    _told_elsewhere(elsewhere, out)
    if not elsewhere:
        _tell_search(out)


def _transfer(study: "Study", searched: Path, out: Path, arguments: argparse.Namespace) -> None:
    from fractaljax.families import transfer as family
    from fractaljax.families import units

    found = family.read_search(study, searched)

    def work(on_look: Callable[["Progress"], None]) -> list[str]:
        pinned = numeric(arguments)
        return family.transfer(found, searched, out, numeric=pinned, on_look=on_look)

    with team.team(arguments) as workers, team.watched("transfer") as on_unit:
        if workers is not None:
            pinned = numeric(arguments).chunk
            units.moved(workers, found, searched.absolute(), out, chunk=pinned, on_unit=on_unit)
    elsewhere = _watched(work, "transfer")
    _told_elsewhere(elsewhere, out)
    if not elsewhere:
        _tell_transfer(out)


def _watched(work: Callable[[Callable[["Progress"], None]], list[str]], title: str) -> list[str]:
    """Does some work with a gauge, to be stopped after a look."""
    with Stopper("look at the validation data") as stopper, Gauge(title, "compiling") as gauge:

        def on_look(progress: "Progress") -> None:
            look = progress.cohort
            done = progress.number - 1 + (look.epoch / look.epochs if look.alive else 1.0)
            gauge.show(done, progress.architectures, _note(progress))
            stopper.check()

        return work(on_look)


def _note(progress: "Progress") -> str:
    where = f"{progress.architecture} ({progress.number} of {progress.architectures})"
    return f"{progress.phase} {where}: {epochs_note(progress.cohort)}"


def _told_elsewhere(names: list[str], out: Path) -> None:
    if names:
        log.warning(
            "%s: another process is still at %s; when it is done: fractaljax report %s",
            out,
            ", ".join(names),
            out,
        )


def numeric(arguments: argparse.Namespace) -> Any:
    """What the user pinned of devices and chunk, for this process."""
    from fractaljax.families.members import Numeric

    for name in ("devices", "chunk"):
        value = getattr(arguments, name)
        if value is not None and not 1 <= value <= 2**20:
            raise FractaljaxError(f"--{name} {value}: at least 1")
    return Numeric(team.own_devices(arguments), arguments.chunk)


def _fresh(root: Path, name: str | None, study: str) -> Path:
    """A new folder for a run; a name that is taken gets a number."""
    stamp = datetime.datetime.now().strftime("%Y%m%d_%H%M%S")
    plain = clean(name or f"{study}_{stamp}")
    try:
        root.mkdir(parents=True, exist_ok=True)
        for number in range(1, 10_000):
            folder = root / (plain if number == 1 else f"{plain}_{number}")
            if not os.path.lexists(folder):
                folder.mkdir()
                return folder
    except OSError as error:
        raise FractaljaxError(f"--runs-root {root}: {error.strerror}") from None
    raise FractaljaxError(f"--run-name {plain}: taken too often; choose another")


def clean(name: str) -> str:
    """A name that any folder can have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "run"


def _tell_search(folder: Path) -> None:
    from fractaljax.families.report import search_report
    from fractaljax.view import heatmap, losses

    told = search_report(folder)
    for arch in told.failed:
        log.warning("%s: failed: no trial had a finite validation loss", arch)
    for arch, curve in told.curves.items():
        path = folder / arch / "best_trial" / "loss_curve.png"
        losses.loss_curve(*curve, path, title=f"{arch}: best trial")
    if told.losses:
        path = folder / "search_test_loss_over_seeds.png"
        losses.box_by_architecture(told.losses, path, title="test loss over seeds")
    losses.budget_curve(told.trials, folder / "budget_curve.png")
    names = list(told.trials)
    heatmap.heatmap(
        told.ranks,
        names,
        names,
        folder / "rank_correlation.png",
        title="do architectures agree on which trials are good?",
        label="rank correlation of validation losses",
        kind="diverging",
        center=0.0,
    )
    for arch, some in told.losses.items():
        accuracy = told.accuracies[arch]
        log.info(
            "%s: test loss %.4f, accuracy %.2f %% (%d seeds)",
            arch,
            some.mean(),
            100 * accuracy.mean(),
            len(some),
        )


def _tell_transfer(folder: Path) -> None:
    from fractaljax.analysis.paired import too_few
    from fractaljax.families.report import transfer_report
    from fractaljax.view import heatmap

    told = transfer_report(folder)
    regret, seeds = told.regret, int(told.tests.pairs.max())
    few = too_few(seeds, 1, "interval") if seeds else ""
    if few:
        few = f"no interval: {few}"
        log.info("regret: %s", few)
    pictures: list[tuple[str, Any, str, dict[str, Any]]] = [
        ("transfer_test_loss.png", regret.mean_test, "mean test loss", {"kind": "sequential"}),
        (
            "regret_matrix_mean.png",
            regret.mean_regret,
            "mean regret",
            {"kind": "diverging", "center": 0.0, "low": told.low, "high": told.high},
        ),
        (
            "relative_regret_matrix.png",
            regret.mean_relative_regret,
            "relative regret",
            {"kind": "diverging", "center": 1.0},
        ),
    ]
    for name, matrix, label, look in pictures:
        title = f"{label} ({few})" if few and "low" in look else label
        heatmap.heatmap(
            matrix, told.targets, told.sources, folder / name, title=title, label=label, **look
        )
    shares = zip(told.shares._fields, told.shares, strict=True)
    log.info(
        "variance of the test loss: %s",
        ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares),
    )
