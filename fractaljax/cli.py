"""The command line: one verb a question. Nothing heavy is imported before it is needed."""

import argparse
import difflib
import logging
import os
import re
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from fractaljax.errors import FractaljaxError, unknown

log = logging.getLogger("fractaljax")
OVERVIEW = """examples:
  fractaljax scan configs/paper/tanh.yaml --only overview --resolution 256
  fractaljax scan configs/paper/tanh.yaml steps=100 model.width=8 --axes LR0 MOMENTUM
  fractaljax render outputs/... --cmap viridis --stretch log
  fractaljax show image.png > again.yaml
  fractaljax list optimizer
"""
SCAN = """examples:
  fractaljax scan configs/paper/tanh.yaml --only overview
  fractaljax scan configs/paper/tanh.yaml --only overview --window -1 3 0 4 --resolution 512x256
  fractaljax scan configs/paper/tanh.yaml --only overview --center 1.12 2.3 --zoom 64
  fractaljax scan configs/paper/tanh.yaml --axes LR0 BETA2 optimizer=adam steps=200
  fractaljax scan configs/depth/sgd.yaml                  every experiment and every facet
  fractaljax scan image.png --resolution 1024             what made this picture, larger

Window numbers are axis coordinates: log10 of the value on a log axis, the value on a linear one.
path=value changes any setting of the file (`fractaljax show CONFIG` prints them all).
The same command goes on where an earlier one stopped."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code: 0, 2 for what the user can mend, 130 for Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("jax", "absl", "orbax"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        arguments = _parse(list(sys.argv[1:] if argv is None else argv))
        return arguments.verb(arguments) or 0
    except FractaljaxError as error:
        print(f"fractaljax: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fractaljax: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def scan(arguments: argparse.Namespace) -> int:
    """Trains every experiment that is asked for, and draws it."""
    from fractaljax import config
    from fractaljax.families import fractal

    raw, stem = _settings(arguments)
    overrides = [*arguments.overrides]
    if arguments.resolution is not None:
        overrides.append(f"window.resolution={arguments.resolution}")
    if arguments.dtype:
        overrides.append(f"dtype={arguments.dtype}")
    axes = tuple(arguments.axes) if arguments.axes else None
    found = config.experiments(raw, overrides, only=arguments.only, axes=axes)
    asked = [e._replace(window=_aimed(e.window, arguments)) for e in found]
    for experiment in asked:
        experiment.window.check(experiment.spec.dtype)
    for experiment in asked:
        place = _place(arguments.out, stem, experiment, alone=len(asked) == 1)
        fractal.prepare(experiment.spec.dtype, arguments.devices)
        _scan_one(experiment, place, arguments)
    return 0


def render(arguments: argparse.Namespace) -> int:
    """Draws a stored field again, without training."""
    from fractaljax import config, store

    config.load_plugins(arguments.plugin)
    field = store.open_field(arguments.dir)
    name = "figure.png" if arguments.figure else "image.png"
    out = Path(arguments.out) if arguments.out else Path(arguments.dir) / name
    _draw(
        field,
        out,
        arguments.figure,
        reading=arguments.reading,
        cmap=arguments.cmap,
        stretch=arguments.stretch,
    )
    print(out)
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
    """Prints the full settings of a config, a result or a picture, in a form `scan` takes."""
    import yaml

    from fractaljax import config

    raw, _ = _settings(arguments)
    found = config.experiments(raw, arguments.overrides, only=arguments.only)
    trees = {e.name: config.as_tree(e.spec, e.window) for e in found}
    single = len(trees) == 1 and not raw["plugins"]
    plugins = {"plugins": raw["plugins"]} if raw["plugins"] else {}
    tree = next(iter(trees.values())) if single else {**plugins, "experiments": trees}
    print(yaml.safe_dump(tree, sort_keys=False), end="")
    return 0


def bench(arguments: argparse.Namespace) -> int:
    """Measures this machine's speed at each chunk and remembers the best one."""
    from fractaljax import config
    from fractaljax.engine import plan, scan
    from fractaljax.families import fractal

    raw, _ = _settings(arguments)
    overrides = [*arguments.overrides, *([f"dtype={arguments.dtype}"] if arguments.dtype else [])]
    experiment = config.experiments(raw, overrides, only=arguments.only)[0]
    spec, window = experiment.spec, experiment.window
    fractal.prepare(spec.dtype, arguments.devices)
    names, mesh = scan.check(spec, window), plan.mesh(arguments.devices)
    chunks = plan.candidates(spec, names, mesh, plan.SAMPLE_PIXELS)
    rates = plan.measure(spec, window, names, mesh, chunks)
    best = max(rates, key=lambda chunk: rates[chunk])
    device = mesh.devices.flat[0]
    print(
        f"{experiment.name}, {spec.dtype}, {mesh.size} x {device.platform} ({device.device_kind})"
    )
    print(f"{'chunk':>6} {'network-steps/s':>16} {'pixels/s':>10}")
    for chunk, rate in rates.items():
        mark = "  <- kept" if chunk == best else ""
        print(f"{chunk:>6} {rate:>16,.0f} {rate / spec.steps:>10,.0f}{mark}")
    return 0


def _scan_one(experiment: Any, place: Path, arguments: argparse.Namespace) -> None:
    from fractaljax.families import fractal
    from fractaljax.progress import Reporter

    tile = {None: None, "all": 0}.get(arguments.tile, arguments.tile)
    with Reporter(experiment.name) as reporter:
        field = fractal.scan(
            experiment.spec,
            experiment.window,
            store=place,
            overwrite=arguments.overwrite,
            chunk=arguments.chunk,
            devices=arguments.devices,
            tile=tile,
            on_tile=reporter.on_tile,
        )
    made = field.provenance
    log.info(
        "%s: %s pixels, %.1f s, %.0f pixels/s",
        experiment.name,
        f"{experiment.window.size:,}",
        made["wall_s"],
        made["pixels_per_s"],
    )
    for figure, name in ((False, "image.png"), (True, "figure.png")):
        _draw(field, place / name, figure)
    print(place)


def _draw(field: Any, out: Path, figure: bool, **look: Any) -> None:
    """The picture or the labelled figure; one axis gives a line plot either way."""
    from fractaljax.view.figure import save_figure
    from fractaljax.view.image import save_image

    look = {k: v for k, v in look.items() if v is not None}
    (save_figure if figure else save_image)(field, out, **look)


def _settings(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Raw settings of a config file, of a result or of a picture, and a name for its results.

    A result or a picture may come from anywhere: it never names a plugin.
    """
    from fractaljax import config

    config.load_plugins(arguments.plugin)
    source = arguments.config
    path = Path(source or "default")
    if source is None:
        raw = config.parse("", "", path.stem)
    elif os.path.isdir(path):
        from fractaljax.store import open_field

        path = path.resolve()
        field = open_field(path)
        raw = config.parse(config.dump(field.spec, field.window), source, path.name)
        return raw | {"plugins": arguments.plugin}, path.name
    elif path.suffix.lower() == ".png":
        from fractaljax.view.image import read_parameters

        raw = config.parse(read_parameters(path), source, path.stem) | {"plugins": []}
    else:
        raw = config.read(path)
    return raw | {"plugins": [*raw["plugins"], *arguments.plugin]}, path.stem


def _aimed(window: Any, arguments: argparse.Namespace) -> Any:
    """The window after --window, or --center and --zoom."""
    from fractaljax.window import Window

    if arguments.window:
        if len(arguments.window) != 2 * len(window.axes):
            raise FractaljaxError(
                f"--window takes {2 * len(window.axes)} numbers here: two for each of {len(window.axes)} axes"
            )
        ends = zip(arguments.window[::2], arguments.window[1::2], strict=True)
        window = Window(*(a.between(*e) for a, e in zip(window.axes, ends, strict=True)))
    if arguments.center or arguments.zoom is not None:
        center = arguments.center or [(a.low + a.high) / 2 for a in window.axes]
        window = window.zoom(tuple(center), 1.0 if arguments.zoom is None else arguments.zoom)
    return window


def _place(out: str | None, stem: str, experiment: Any, alone: bool) -> Path:
    from fractaljax.config import digest

    if out:
        return Path(out) if alone else Path(out) / experiment.name
    return Path("outputs") / stem / experiment.name / digest(experiment.spec, experiment.window)


def _parse(argv: list[str]) -> argparse.Namespace:
    """Arguments, with `path=value` allowed anywhere after the verb."""
    argv = [_plain_number(a) for a in argv]
    arguments, rest = _parser().parse_known_args(argv)
    flags = [a for a in rest if a.startswith("-") or "=" not in a]
    if flags:
        known = sorted({f for f in re.findall(r"--[a-z]+", _help_of(arguments)) if f != flags[0]})
        raise (
            unknown("argument", flags[0], known)
            if known
            else FractaljaxError(f"unknown argument {flags[0]}")
        )
    if rest and not hasattr(arguments, "overrides"):
        raise FractaljaxError(f"{rest[0]}: this verb takes no path=value")
    if hasattr(arguments, "overrides"):
        arguments.overrides += rest
        for name, kind in (("window", float), ("center", float), ("axes", str)):
            values = getattr(arguments, name, None)
            if values:  # these take as many words as follow them, overrides among them
                arguments.overrides += [v for v in values if "=" in v]
                values = [_as(kind, f"--{name}", v) for v in values if "=" not in v]
                if not values:
                    raise FractaljaxError(f"--{name}: no value is given")
                setattr(arguments, name, values)
        if getattr(arguments, "axes", None) and len(arguments.axes) > 2:
            raise FractaljaxError(f"--axes takes one or two names, not {' '.join(arguments.axes)}")
        bad = [o for o in arguments.overrides if "=" not in o]
        if bad:
            raise FractaljaxError(f"'{bad[0]}': expected path=value, as in model.depth=3")
    return arguments


def _plain_number(word: str) -> str:
    """`-1e-3` as `-0.001`: argparse takes the first for a flag."""
    number = re.fullmatch(r"-(\d+\.?\d*|\.\d+)[eE][-+]?\d{1,3}", word)
    return format(Decimal(word), "f") if number else word


def _as(kind: type, flag: str, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise FractaljaxError(f"{flag} {text}: takes a number") from None


def _help_of(arguments: argparse.Namespace) -> str:
    return arguments.parser.format_help() if hasattr(arguments, "parser") else ""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest name."""

    def error(self, message: str) -> NoReturn:
        choice = re.match(r"argument \S+: invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            names = [n.strip(" '") for n in choice[2].split(",")]
            near = difflib.get_close_matches(choice[1], names, n=1)
            message = f"'{choice[1]}' is not one of {', '.join(names)}" + (
                f". Did you mean '{near[0]}'?" if near else ""
            )
        message = " ".join(f"{message}. See: {self.prog} --help".splitlines())
        print(f"fractaljax: {message}", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    top = _Parser(
        prog="fractaljax",
        formatter_class=raw,
        epilog=OVERVIEW,
        description="Train one small network a pixel over a window of hyperparameters.",
    )
    verbs = top.add_subparsers(title="verbs", required=True, metavar="VERB")

    def verb(name: str, run: Any, text: str, epilog: str = "") -> argparse.ArgumentParser:
        parser = verbs.add_parser(
            name,
            help=text,
            description=text,
            epilog=epilog,
            formatter_class=raw,
            allow_abbrev=False,
        )
        parser.set_defaults(verb=run, parser=parser)
        return parser

    s = verb("scan", scan, "train a window, keep the field, draw it", SCAN)
    _add_source(s, "config")
    s.add_argument("--axes", nargs="+", metavar="NAME", help="other axes, x first: LR0 BETA2")
    s.add_argument("--resolution", metavar="N|WxH", help="pixels")
    s.add_argument(
        "--window", nargs="+", metavar="X0 X1 Y0 Y1", help="ends of the axes, in axis coordinates"
    )
    s.add_argument("--center", nargs="+", metavar="X Y", help="new middle, in axis coordinates")
    s.add_argument("--zoom", type=float, metavar="Z", help="so many times narrower than the window")
    s.add_argument("--dtype", choices=("float32", "float64"))
    s.add_argument(
        "--devices", type=int, metavar="N", help="devices to use (default: all; on CPU one a core)"
    )
    s.add_argument("--chunk", type=int, metavar="N", help="networks side by side on a device")
    s.add_argument(
        "--tile", type=_tile, metavar="N|all", help="pixels along a tile; all: one jitted call"
    )
    s.add_argument("--out", metavar="DIR", help="folder of the result (default: outputs/...)")
    s.add_argument("--overwrite", action="store_true", help="throw away what the folder holds")
    r = verb("render", render, "draw a stored field again, without training")
    r.add_argument("dir", metavar="DIR")
    r.add_argument("--reading", metavar="NAME", help="which array (default: the first)")
    r.add_argument("--cmap", metavar="NAME", help="colour map (default: Spectral)")
    r.add_argument("--stretch", choices=("rank", "linear", "log"))
    r.add_argument(
        "--figure", action="store_true", help="with axes, title, colour bar and statistics"
    )
    r.add_argument("--out", metavar="FILE", help="default: image.png or figure.png in DIR")
    _add_plugin(r)
    n = verb("list", list_parts, "the registered components")
    n.add_argument("role", nargs="?", metavar="ROLE", help="one role, with all arguments")
    _add_plugin(n)
    w = verb(
        "show", show, "full settings of a config, a result or a picture, for scan to take again"
    )
    _add_source(w, "config")
    b = verb("bench", bench, "measure the speed of this machine; the best chunk is remembered")
    _add_source(b, "config", required=False)
    b.add_argument("--dtype", choices=("float32", "float64"))
    b.add_argument("--devices", type=int, metavar="N")
    return top


def _add_source(parser: argparse.ArgumentParser, name: str, required: bool = True) -> None:
    parser.add_argument(
        name,
        nargs=None if required else "?",
        metavar="CONFIG|DIR|IMAGE",
        help="a YAML config, a folder with a result, or a PNG made from one",
    )
    parser.add_argument("overrides", nargs="*", metavar="path=value", default=[])
    parser.add_argument("--only", metavar="NAME", help="one experiment of the file")
    _add_plugin(parser)


def _add_plugin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module that registers parts of your own",
    )


def _tile(text: str) -> int | str:
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor all") from None


if __name__ == "__main__":
    sys.exit(main())
