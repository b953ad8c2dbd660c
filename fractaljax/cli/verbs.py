"""One function a verb: arguments in, exit code out."""

import argparse
import functools
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractaljax.cli import source, team
from fractaljax.errors import FractaljaxError

if TYPE_CHECKING:
    from fractaljax.cluster import Team
    from fractaljax.config import Experiment

log = logging.getLogger("fractaljax")


def scan(arguments: argparse.Namespace) -> int:
    """Trains every experiment that is asked for, and draws it."""
    from fractaljax import config
    from fractaljax.families import fractal

    raw, stem = source.settings(arguments)
    axes = tuple(arguments.axes) if arguments.axes else None
    given = source.overrides(arguments)
    whole = config.experiments(raw, given, only=arguments.only, axes=axes)
    asked = [e._replace(window=source.aimed(e.window, arguments)) for e in whole]
    for _, spec, window in asked:  # all before any
        fractal.prepare(spec.dtype, team.own_devices(arguments))
        fractal.check(spec, window, chunk=arguments.chunk, tile=arguments.tile)
    with team.team(arguments) as found:
        for experiment in asked:
            place = source.place(arguments.out, stem, experiment, alone=len(asked) == 1)
            fractal.prepare(experiment.spec.dtype, team.own_devices(arguments))
            _scan_one(experiment, place, arguments, found)
    return 0


def list_parts(arguments: argparse.Namespace) -> int:
    """Prints the registered components, and with a role their arguments too."""
    from fractaljax import config, registry

    config.load_plugins(arguments.plugin)
    roles = registry.ROLES if arguments.role is None else (arguments.role,)
    for role, names in {role: registry.names(role) for role in roles}.items():
        print(role)
        for name in names:
            print(f"  {name:<20} {registry.describe(role, name)}")
            for argument in registry.arguments(role, name).values() if arguments.role else ():
                kind = "axis" if argument.traced else "facet"
                takes = getattr(argument.annotation, "__name__", str(argument.annotation))
                print(f"      {argument.name:<18} {kind:<6} {takes} = {argument.default!r}")
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Prints the full settings of a config, a result or a picture, in a form that `scan`, or
    `sweep` for a pair, takes again."""
    from fractaljax import config
    from fractaljax.config.plain_yaml import to_yaml

    raw, _ = source.settings(arguments)
    if config.holds_pairs(raw):
        grid = config.parse_sweep(arguments.overrides)
        if grid.dims:
            raise FractaljaxError(f"{grid.dims[0].paths[0]}: one value is shown, not several")
        trees = {(pair := config.setting(raw, grid.fixed, arguments.only)).name: pair.tree()}
    else:
        found = config.experiments(raw, arguments.overrides, only=arguments.only)
        trees = {e.name: config.as_tree(e.spec, e.window) for e in found}
    single = len(trees) == 1 and not raw["plugins"]
    plugins = {"plugins": raw["plugins"]} if raw["plugins"] else {}
    tree = next(iter(trees.values())) if single else {**plugins, "experiments": trees}
    print(to_yaml(tree), end="")
    return 0


def bench(arguments: argparse.Namespace) -> int:
    """Measures this machine's speed with each kernel and chunk and remembers the best."""
    from fractaljax import config
    from fractaljax.engine import plan, scan
    from fractaljax.families import fractal

    raw, _ = source.settings(arguments)
    found = config.experiments(raw, source.overrides(arguments), only=arguments.only)
    name, spec, window = found[0]
    fractal.prepare(spec.dtype, arguments.devices)
    names, mesh = scan.check(spec, window), plan.mesh(arguments.devices)
    choices = plan.candidates(spec, names, mesh, plan.SAMPLE_PIXELS)
    rates = plan.measure(spec, names, functools.partial(plan.sample, window), mesh, choices)
    best = max(rates, key=lambda choice: rates[choice])
    device = mesh.devices.flat[0]
    print(f"{name}, {spec.dtype}, {mesh.size} x {device.platform} ({device.device_kind})")
    print(f"{'kernel':>9} {'chunk':>6} {'network-steps/s':>16} {'pixels/s':>10}")
    for choice, rate in rates.items():
        mark = "  <- kept" if choice == best else ""
        row = f"{choice.kernel:>9} {choice.chunk:>6}"
        print(f"{row} {rate:>16,.0f} {rate / spec.steps:>10,.0f}{mark}")
    return 0


def _scan_one(
    experiment: "Experiment", place: Path, arguments: argparse.Namespace, cluster: "Team | None"
) -> None:
    from fractaljax.cli.progress import Reporter
    from fractaljax.families import fractal

    name, spec, window = experiment
    with Reporter(name) as reporter:
        field = fractal.scan(
            spec,
            window,
            store=place,
            overwrite=arguments.overwrite,
            chunk=arguments.chunk,
            kernel=arguments.kernel,
            devices=arguments.devices,
            tile=0 if arguments.tile == "all" else arguments.tile,
            on_tile=reporter.on_tile,
            cluster=cluster,
        )
    made = field.provenance
    speed = f"{made['wall_s']:.1f} s, {made['pixels_per_s']:.0f} pixels/s"
    log.info("%s: %s pixels, %s", name, f"{window.size:,}", speed)
    if spec.draws == "legacy":  # else exact, or those of an earlier version
        log.info("coordinates: %s, kept in the result", made["coordinates"])
    if cluster is not None and None in (arguments.chunk, arguments.kernel):
        log.info(
            "a worker chose chunk %d and kernel %s, on which last bits depend; pin them by --chunk "
            "and --kernel",
            made["chunk"],
            made["kernel"],
        )
    for figure, file in ((False, "image.png"), (True, "figure.png")):
        _draw(field, place / file, figure)
    print(place)


def _draw(field: Any, out: Path, figure: bool, **look: Any) -> None:
    """The picture or the labelled figure; one axis gives a line plot either way."""
    from fractaljax.view.figure import save_figure
    from fractaljax.view.image import save_image

    (save_figure if figure else save_image)(field, out, **look)
