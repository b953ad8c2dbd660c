"""The verb of growing networks: `grow`, and what it says of an experiment's folder."""

import argparse
import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractaljax.cli import team
from fractaljax.cli.progress import Gauge, Stopper, epochs_note
from fractaljax.cli.study import add_numeric, clean, numeric
from fractaljax.errors import FractaljaxError

if TYPE_CHECKING:
    import numpy as np

    from fractaljax.config.arms import Experiment

log = logging.getLogger("fractaljax")
GROW = """examples:
  fractaljax grow configs/growth/cliff_rescue.yaml
  fractaljax grow configs/growth/ladder.yaml seeds=32 epochs=20 --out outputs/ladder
  fractaljax grow configs/growth/rules.yaml snapshots=true
  fractaljax grow seeds configs/growth/seeds.yaml
  fractaljax grow focus performance configs/growth/dual_rates.yaml --out outputs/focus
  fractaljax grow resume outputs/growth/rules/arms/patches/snapshots/seed_0/epoch_00010.yaml

Trains every arm of an experiment with every seed, arms as batches, compares them seed by seed and
says of every claim whether it is supported, after Holm's correction for all claims; below six seeds
there is no verdict. The same command goes on where it stopped; several processes may share one
folder. `fractaljax report DIR` draws it again."""
MOST_LINES = 12  # of curves, above which only those of whole arms are drawn


def add_grow(parser: argparse.ArgumentParser) -> None:
    what = (
        "a YAML experiment, as in configs/growth; or `seeds STUDY`, `focus WHAT EXPERIMENT`, "
        "`resume SNAPSHOT`"
    )
    parser.add_argument("words", nargs="+", metavar="EXPERIMENT", help=what)
    parser.add_argument("--out", metavar="DIR", help="folder (default: outputs/growth/NAME)")
    add_numeric(parser)


def grow(arguments: argparse.Namespace) -> int:
    """Trains what is missing of an experiment, then tells."""
    from fractaljax import config

    config.load_plugins(arguments.plugin)
    first, *rest = arguments.words
    if first == "seeds":
        return _seeds(rest, arguments)
    if first == "resume":
        return _resume(rest, arguments)
    if first == "focus":
        return _focus(rest, arguments)
    from fractaljax.config.arms import read_arms
    from fractaljax.families import growth as family

    experiment = read_arms(first, rest)
    out = Path(arguments.out or Path("outputs") / "growth" / clean(experiment.name))
    family.warn_of_few_seeds(experiment)
    _on_cluster(experiment, out, arguments)
    with _watched("grow") as on_look:
        elsewhere = family.run(experiment, out, numeric=numeric(arguments), on_look=on_look)
    if elsewhere:
        log.warning(
            "%s: another process is still at %s; when it is done: fractaljax report %s",
            out,
            ", ".join(elsewhere),
            out,
        )
    else:
        tell(out)
    print(out)
    return 0


def _on_cluster(experiment: "Experiment", out: Path, arguments: argparse.Namespace) -> None:
    """Has every batch trained by a cluster, where one is given; what follows finds it done."""
    from fractaljax.families import units

    with team.team(arguments) as workers, team.watched("grow") as on_unit:
        if workers is not None:
            units.grow(workers, experiment, out, chunk=numeric(arguments).chunk, on_unit=on_unit)


@contextlib.contextmanager
def _watched(title: str) -> Iterator[Callable[[Any], None]]:
    """A gauge for batches, to be stopped after a look."""
    with Stopper("look at the validation data") as stopper, Gauge(title, "compiling") as gauge:

        def on_look(progress: Any) -> None:
            look = progress.cohort
            done = progress.number - 1 + (look.epoch / look.epochs if look.alive else 1.0)
            where = f"{progress.task} ({progress.number} of {progress.tasks})"
            gauge.show(done, progress.tasks, f"{where}: {epochs_note(look)}")
            stopper.check()

        yield on_look


def tell(folder: Path) -> None:
    """Tables and pictures of an experiment, from disk."""
    import numpy as np

    from fractaljax.families import growth_report
    from fractaljax.view import arms as view

    told = growth_report.report(folder)
    e = told.experiment
    label = e.measure.replace("_", " ")
    if not told.values:
        raise FractaljaxError(f"{folder}: no arm is done yet")
    claims = growth_report.said(told)
    under = [growth_report.meaning(e), *claims]
    if told.over and told.rungs:
        values = [v for rungs in told.rungs.values() for v in rungs]
        wide = min(values) > 0 and max(values) > 20 * min(values)
        view.ladder(
            told.rungs,
            folder / "arms.png",
            title=e.question,
            label=label,
            over=told.over,
            logarithmic=wide,
            under=under,
        )
    else:
        marks = told.baselines if e.measure == "test_accuracy" else None
        view.dots(
            told.values,
            folder / "arms.png",
            title=e.question,
            label=label,
            marks=marks,
            under=under,
        )
    shown = dict(list(told.curves.items())[:MOST_LINES])
    view.curves(shown, told.events, folder / "curves.png", e.name.replace("_", " "))
    _networks(folder)
    for name, values in told.values.items():
        finite = values[np.isfinite(values)]
        mean = f"{finite.mean():.4f}" if len(finite) else "never finite"
        log.info("%s: %s %s (%d seeds)", name, label, mean, len(values))
    for line in claims:
        log.info("%s", line)
    for arm in told.missing:
        log.warning("%s: not done yet", arm)


def _networks(folder: Path) -> None:
    """The network of every arm that was kept at its events."""
    import numpy as np

    from fractaljax.families import snapshots
    from fractaljax.types import KINDS
    from fractaljax.view import arms, network

    for kept in sorted(folder.glob("arms/**/snapshots/seed_*")):
        found = [snapshots.load_snapshot(path) for path in sorted(kept.glob("*.yaml"))]
        if not found:
            continue
        states = [_drawn(snapshot) for snapshot in found]
        arm = kept.parent.parent
        title = f"{arm.name}, {kept.name.replace('_', ' ')}"
        network.picture(states[-6:], arm / "network.png", names=KINDS, title=title)
        network.animation(states, arm / "network.gif", names=KINDS, title=title)
        last = found[-1]
        events = np.asarray(last.state.anatomy.ledger)[: int(last.state.anatomy.events)]
        arms.table(last.columns, events.tolist(), arm / "ledger.png", f"ledger of {title}")


def _drawn(snapshot: Any) -> Any:
    import numpy as np

    from fractaljax.view.network import Drawn

    state = snapshot.state

    def kernels(tree: Any) -> "dict[str, np.ndarray]":
        return {name: np.asarray(own["kernel"]) for name, own in tree.items()}

    a = state.anatomy
    events = np.asarray(a.ledger)[: int(a.events), 0]
    return Drawn(
        snapshot.epoch,
        kernels(state.params),
        kernels(a.masks),
        kernels(a.kind),
        kernels(a.born),
        {name: np.asarray(own["bias"]) for name, own in a.masks.items()},
        int(events[-1]) if len(events) else 0,
    )


def _resume(words: list[str], arguments: argparse.Namespace) -> int:
    from fractaljax.families import snapshots

    team.refuse_cluster(arguments, "one network is trained here")
    if len(words) != 1:
        raise FractaljaxError("grow resume: takes one snapshot, the .yaml of it")
    snapshot = snapshots.load_snapshot(words[0])
    member = snapshots.resume(snapshot, chunk=numeric(arguments).chunk)
    readings = ", ".join(f"{name} {value:.6g}" for name, value in member.readings.items())
    print(f"from epoch {snapshot.epoch}: {readings}")
    return 0


def _focus(words: list[str], arguments: argparse.Namespace) -> int:
    from fractaljax.cli import queue

    team.refuse_cluster(arguments, "nothing is trained")
    if len(words) != 2:
        raise FractaljaxError("grow focus: takes growth, architecture or performance, and a config")
    out = Path(arguments.out or Path("outputs") / "growth" / f"focus_{clean(words[0])}")
    print(queue.generate(words[0], words[1], out))
    return 0


def _seeds(words: list[str], arguments: argparse.Namespace) -> int:
    from fractaljax.config.finder import read_finder
    from fractaljax.families import finder as family

    if not words:
        raise FractaljaxError("grow seeds: takes a YAML study, as configs/growth/seeds.yaml")
    study = read_finder(words[0], words[1:])
    out = Path(arguments.out or Path("outputs") / "growth" / clean(study.name))
    family.warn_of_few_seeds(study)
    _on_cluster(study.experiment, out, arguments)
    with _watched("seeds") as on_look:
        family.find(study, out, numeric=numeric(arguments), on_look=on_look)
    print(family.summary(study, out), end="")
    print(out)
    return 0
