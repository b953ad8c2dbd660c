"""The verb `zoom`: levels around one centre, each trained again at full resolution."""

import argparse
import hashlib
import logging
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractaljax.cli import source, team
from fractaljax.errors import FractaljaxError

if TYPE_CHECKING:
    from fractaljax.config import Experiment
    from fractaljax.families.zoom import Plan
    from fractaljax.field import Field

log = logging.getLogger("fractaljax")
ZOOM = """examples:
  fractaljax zoom configs/paper/tanh.yaml --only overview --auto --levels 12 --resolution 256
  fractaljax zoom configs/paper/tanh.yaml --only overview --center 1.1238438 2.3018072
  fractaljax zoom configs/paper/tanh.yaml --only tile        out from the published window

--center and --auto go in from the window of CONFIG; without them the zoom goes out from it until
both axes span 6 decades. A centre is in axis coordinates (log10 of the value on a log axis, of
1 - value on a log1m axis) and may have any number of digits. The same command goes on where an
earlier one stopped."""


def zoom(arguments: argparse.Namespace) -> int:
    """Trains every level of a zoom sequence, and draws it."""
    from fractaljax import config
    from fractaljax.cli.progress import Reporter
    from fractaljax.families import fractal
    from fractaljax.families import zoom as family
    from fractaljax.store.zooms import level_folder
    from fractaljax.view.image import save_image
    from fractaljax.view.sheet import save_sheet

    raw, stem = source.settings(arguments)
    axes = tuple(arguments.axes) if arguments.axes else None
    given = source.overrides(arguments)
    experiment = config.experiments(raw, given, only=arguments.only, axes=axes)[0]
    experiment = experiment._replace(window=source.narrowed(experiment.window, arguments))
    fractal.prepare(experiment.spec.dtype, team.own_devices(arguments))
    place = Path(arguments.out) if arguments.out else _place(arguments, stem, experiment)
    numeric = {"chunk": arguments.chunk, "tile": arguments.tile}
    numeric["devices"] = team.own_devices(arguments)
    merged = arguments.allow_merged
    fractal.check(experiment.spec, experiment.window, **numeric, allow_merged=merged)
    plan = _plan(arguments, experiment, place)
    family.begin(plan, place, merged)
    _say_floor(plan)

    def on_level(level: int, field: "Field") -> None:
        save_image(field, level_folder(place, level) / "image.png")
        made = field.provenance
        reused = f", {made['known']:,} taken from the level before" if made.get("known") else ""
        log.info("level %d: %s pixels trained%s", level, f"{made['pixels']:,}", reused)

    title = f"{experiment.name}, {len(plan.windows)} levels"
    with team.team(arguments) as found, Reporter(title) as reporter:
        made = family.run(
            plan,
            place,
            chunk=arguments.chunk,
            kernel=arguments.kernel,
            devices=arguments.devices,
            tile=arguments.tile,
            allow_merged=arguments.allow_merged,
            on_tile=_Whole(len(plan.windows), reporter.on_tile),
            on_level=on_level,
            cluster=found,
        )
    if made[0].window.y is not None:  # lines have no contact sheet
        save_sheet(made, place / "sheet.png")
    print(place)
    return 0


def add_zoom(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb that are its own."""
    add = parser.add_argument
    add("--center", nargs="+", metavar="X Y", help="where to, in axis coordinates")
    add("--auto", action="store_true", help="find the richest edge, level after level")
    add("--seed", type=int, metavar="N", help="of --auto: another seed, another way (default: 0)")
    add("--levels", type=int, metavar="N", help="how many (default: 12 in, all it takes out)")
    add("--factor", type=float, default=2.0, metavar="F", help="between levels (default: 2)")
    add("--allow-merged", action="store_true", help="go beyond the precision floor")


class _Whole:
    """Turns the progress of a level into that of the whole zoom."""

    def __init__(self, levels: int, on_tile: Callable[[Any], None]):
        self._levels, self._on_tile = levels, on_tile
        self._before = (0, 0.0)  # pixels and seconds of the levels that are done
        self._level, self._now = 0, (0, 0.0)

    def __call__(self, level: int, progress: Any) -> None:
        if level != self._level:
            self._level = level
            self._before = tuple(a + b for a, b in zip(self._before, self._now, strict=True))
        self._now = (progress.pixels, progress.seconds)
        self._on_tile(
            progress._replace(
                left=progress.left + (self._levels - 1 - level) * progress.total,
                total=self._levels * progress.total,
                pixels=self._before[0] + progress.pixels,
                seconds=self._before[1] + progress.seconds,
            )
        )


def _plan(arguments: argparse.Namespace, experiment: "Experiment", place: Path) -> "Plan":
    """The windows of the zoom, around a given centre, a found one, or the window's own."""
    from fractaljax.families import zoom as family

    _, spec, window = experiment
    if arguments.seed is not None and not arguments.auto:
        raise FractaljaxError("--seed chooses the way of --auto, which is not given")
    depth = {"levels": arguments.levels, "factor": arguments.factor}
    if arguments.auto and not arguments.center:  # a centre given by hand wins
        middle = [axis.center for axis in window.axes]
        # a depth that no centre allows is refused before a way is looked for
        family.check(family.plan(spec, window, center=middle, **depth), arguments.allow_merged)
        center, found = _way(arguments, experiment, place)
        return family.plan(spec, window, center=center, found=found, **depth)
    return family.plan(spec, window, center=arguments.center, **depth)


def _way(
    arguments: argparse.Namespace, experiment: "Experiment", place: Path
) -> tuple[list[Decimal], dict[str, Any]]:
    """The centre that --auto finds, and how."""
    from fractaljax.families import autopilot
    from fractaljax.families import zoom as family

    def say(level: int, step: autopilot.Step) -> None:
        log.info("way, level %d: %.0f %% of the probe is edge", level, 100 * step.edge)

    family.begin_files(experiment.spec, place)
    seed = arguments.seed or 0
    way = autopilot.find(
        experiment.spec,
        experiment.window,
        levels=arguments.levels or 12,
        factor=arguments.factor,
        seed=seed,
        store=place / "way",
        devices=team.own_devices(arguments),
        on_step=say,
    )
    return list(way[-1].center), autopilot.as_tree(way, seed)


def _place(arguments: argparse.Namespace, stem: str, experiment: "Experiment") -> Path:
    """The folder of a zoom: a name of its own for everything that was asked for."""
    from fractaljax.config import digest

    asked = (arguments.center, arguments.auto, arguments.seed, arguments.levels, arguments.factor)
    mark = hashlib.sha256(repr(asked).encode()).hexdigest()[:6]
    name = f"zoom-{digest(experiment.spec, experiment.window)}-{mark}"
    return Path("outputs") / stem / experiment.name / name


def _say_floor(plan: "Plan") -> None:
    from fractaljax.families import zoom as family

    log.info(
        "level %d is the last at which %d columns differ in %s; levels 0 to %d are trained",
        family.floor_level(plan),
        plan.windows[0].x.n,
        plan.spec.dtype,
        len(plan.windows) - 1,
    )
