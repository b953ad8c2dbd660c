"""The verbs and their arguments, as `--help` shows them."""

import argparse
import difflib
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from fractaljax.cli import (
    audit,
    dimension,
    explore,
    grow,
    merge,
    queue,
    render,
    study,
    sweep,
    team,
    verbs,
    video,
    zoom,
)
from fractaljax.errors import FractaljaxError

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

Window numbers are axis coordinates: log10 of the value on a log axis, the value on a linear one,
log10 of 1 - value on a log1m axis (for values near one: -1 -3 is 0.9 to 0.999).
path=value changes any setting of the file (`fractaljax show CONFIG` prints them all).
The same command goes on where an earlier one stopped."""
DTYPES = ("float32", "float64")
Verb = Callable[[argparse.Namespace], int]
LIST = """examples:
  fractaljax list
  fractaljax list optimizer                               with all arguments"""
SHOW = """examples:
  fractaljax show configs/paper/tanh.yaml --only tile
  fractaljax show image.png > again.yaml"""
BENCH = """examples:
  fractaljax bench
  fractaljax bench configs/paper/tanh.yaml --only overview --dtype float32"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest name."""

    def error(self, message: str) -> NoReturn:
        choice = re.match(r"argument (\S+): invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            flag = f"{choice[1]} " if choice[1].startswith("-") else ""
            names = [n.strip(" '") for n in choice[3].split(",")]
            near = difflib.get_close_matches(choice[2], names, n=1)
            message = f"{flag}'{choice[2]}' is not one of {', '.join(names)}" + (
                f". Did you mean '{near[0]}'?" if near else ""
            )
        message = f"{FractaljaxError(message)}. See: {self.prog} --help"
        print(f"fractaljax: {message}", file=sys.stderr)
        raise SystemExit(2)


def build() -> Parser:
    """The parser of the whole command line; the Namespace holds `verb`, to call, and `parser`."""
    top = Parser(
        prog="fractaljax",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=OVERVIEW,
        description="Train one small network a pixel over a window of hyperparameters.",
    )
    made = top.add_subparsers(title="verbs", required=True, metavar="VERB")

    def verb(name: str, run: Verb, text: str, epilog: str = "", trains: bool = True) -> Parser:
        parser = made.add_parser(
            name,
            help=text,
            description=text,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.set_defaults(verb=run, parser=parser, verbose=False)
        if trains:
            text = "also say why compiled programs are not kept for the next command"
            parser.add_argument("--verbose", action="store_true", help=text)
        return parser

    _scan(verb("scan", verbs.scan, "train a window, keep the field, draw it", SCAN))
    text = "train a sequence of ever narrower windows around one point"
    _zoom(verb("zoom", zoom.zoom, text, zoom.ZOOM))
    text = "train every combination of settings, kept in one table of curves"
    crossed = verb("sweep", sweep.sweep, text, sweep.SWEEP)
    _add_source(crossed)
    sweep.add_sweep(crossed)
    text = "join sweeps of several machines"
    merge.add_merge(verb("merge", merge.merge, text, merge.MERGE, trains=False))
    text = "the best hyperparameters of every architecture of a study"
    _result(verb("search", study.search, text, study.SEARCH), study.add_search)
    text = "every architecture with the best hyperparameters of every other"
    _result(verb("transfer", study.transfer, text, study.TRANSFER), study.add_transfer)
    text = "search, transfer and report of a study in a fresh folder"
    _result(verb("run-transfer", study.run, text, study.RUN), study.add_run)
    text = "networks that grow: arms of an experiment, compared seed by seed"
    _result(verb("grow", grow.grow, text, grow.GROW), grow.add_grow)
    text = "commands of an agenda, the highest priority first"
    queue.add_queue(verb("queue", queue.queue, text, queue.QUEUE, trains=False))
    text = "tables and pictures of a search, transfer or experiment, from disk"
    told = verb("report", study.report, text, study.REPORT, trains=False)
    _result(told, study.add_report)
    text = "draw a stored field or a whole zoom again, in any form"
    _result(verb("render", render.render, text, render.RENDER), render.add_render)
    text = "a web page on this machine: a map that trains what one looks at"
    page = verb("explore", explore.explore, text, explore.EXPLORE)
    _add_source(page, required=False)
    explore.add_explore(page)
    film = verb("video", video.video, "a zoom as a video", video.VIDEO, trains=False)
    _result(film, video.add_video)
    text = "how rough the boundary is, by three methods, beside a null model"
    measured = verb("dimension", dimension.dimension, text, dimension.DIMENSION)
    _result(measured, dimension.add_dimension)
    text = "how much of a result is decided by rounding, level by level"
    _result(verb("audit", audit.audit, text, audit.AUDIT), audit.add_audit)
    _list(verb("list", verbs.list_parts, "the registered components", LIST, trains=False))
    text = "full settings of a config, a result or a picture, for scan to take again"
    _add_source(verb("show", verbs.show, text, SHOW, trains=False))
    text = "measure the speed of this machine; the best chunk is remembered"
    _bench(verb("bench", verbs.bench, text, BENCH))
    return top


def _scan(parser: Parser) -> None:
    _add_training(parser)
    add = parser.add_argument
    add("--center", nargs="+", metavar="X Y", help="new middle, in axis coordinates")
    add("--zoom", type=float, metavar="Z", help="so many times narrower than the window")
    add("--overwrite", action="store_true", help="throw away what the folder holds")


def _zoom(parser: Parser) -> None:
    _add_training(parser)
    zoom.add_zoom(parser)


def _add_training(parser: Parser) -> None:
    """What every verb takes that trains windows."""
    _add_source(parser)
    add = parser.add_argument
    add("--axes", nargs="+", metavar="NAME", help="other axes, x first: LR0 BETA2")
    add("--resolution", metavar="N|WxH", help="pixels")
    ends = "ends of the axes, in axis coordinates"
    add("--window", nargs="+", metavar="X0 X1 Y0 Y1", help=ends)
    add("--dtype", choices=DTYPES)
    devices = "devices to use (default: all; on CPU one a core)"
    add("--devices", type=int, metavar="N", help=devices)
    add("--chunk", type=int, metavar="N", help="networks side by side on a device")
    kernel = "who takes the steps (default: the quicker; published numbers: xla or published)"
    add("--kernel", choices=("xla", "native", "published"), help=kernel)
    tile = "pixels along a tile; all: one jitted call"
    add("--tile", type=_tile, metavar="N|all", help=tile)
    add("--out", metavar="DIR", help="folder of the result (default: outputs/...)")
    team.add_cluster(parser)


def _result(parser: Parser, add_own: Callable[[argparse.ArgumentParser], None]) -> None:
    """A verb that may work on results: its own arguments, and the plugins they may need."""
    add_own(parser)
    _add_plugin(parser)


def _list(parser: Parser) -> None:
    parser.add_argument("role", nargs="?", metavar="ROLE", help="one role, with all arguments")
    _add_plugin(parser)


def _bench(parser: Parser) -> None:
    _add_source(parser, required=False)
    parser.add_argument("--dtype", choices=DTYPES)
    parser.add_argument("--devices", type=int, metavar="N")


def _add_source(parser: Parser, required: bool = True) -> None:
    add = parser.add_argument
    where = "a YAML config, a folder with a result, or a PNG made from one"
    add("config", nargs=None if required else "?", metavar="CONFIG|DIR|IMAGE", help=where)
    add("overrides", nargs="*", metavar="path=value", default=[])
    add("--only", metavar="NAME", help="one experiment of the file")
    _add_plugin(parser)


def _add_plugin(parser: Parser) -> None:
    text = "a module that registers parts of your own"
    parser.add_argument("--plugin", action="append", default=[], metavar="MODULE", help=text)


def _tile(text: str) -> int | str:
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor all") from None
