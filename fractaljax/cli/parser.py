"""The verbs and their arguments, as `--help` shows them."""

import argparse
import difflib
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from fractaljax.cli import verbs

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
DTYPES = ("float32", "float64")
Verb = Callable[[argparse.Namespace], int]
RENDER = """examples:
  fractaljax render outputs/tanh/overview/... --cmap viridis
  fractaljax render outputs/tanh/overview/... --reading status --figure --out status.png"""
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


def build() -> Parser:
    """The parser of the whole command line; the Namespace holds `verb`, to call, and `parser`."""
    top = Parser(
        prog="fractaljax",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=OVERVIEW,
        description="Train one small network a pixel over a window of hyperparameters.",
    )
    made = top.add_subparsers(title="verbs", required=True, metavar="VERB")

    def verb(name: str, run: Verb, text: str, epilog: str = "") -> Parser:
        parser = made.add_parser(
            name,
            help=text,
            description=text,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.set_defaults(verb=run, parser=parser)
        return parser

    _scan(verb("scan", verbs.scan, "train a window, keep the field, draw it", SCAN))
    _render(verb("render", verbs.render, "draw a stored field again, without training", RENDER))
    _list(verb("list", verbs.list_parts, "the registered components", LIST))
    text = "full settings of a config, a result or a picture, for scan to take again"
    _add_source(verb("show", verbs.show, text, SHOW))
    text = "measure the speed of this machine; the best chunk is remembered"
    _bench(verb("bench", verbs.bench, text, BENCH))
    return top


def _scan(parser: Parser) -> None:
    _add_source(parser)
    add = parser.add_argument
    add("--axes", nargs="+", metavar="NAME", help="other axes, x first: LR0 BETA2")
    add("--resolution", metavar="N|WxH", help="pixels")
    ends = "ends of the axes, in axis coordinates"
    add("--window", nargs="+", metavar="X0 X1 Y0 Y1", help=ends)
    add("--center", nargs="+", metavar="X Y", help="new middle, in axis coordinates")
    add("--zoom", type=float, metavar="Z", help="so many times narrower than the window")
    add("--dtype", choices=DTYPES)
    devices = "devices to use (default: all; on CPU one a core)"
    add("--devices", type=int, metavar="N", help=devices)
    add("--chunk", type=int, metavar="N", help="networks side by side on a device")
    tile = "pixels along a tile; all: one jitted call"
    add("--tile", type=_tile, metavar="N|all", help=tile)
    add("--out", metavar="DIR", help="folder of the result (default: outputs/...)")
    add("--overwrite", action="store_true", help="throw away what the folder holds")


def _render(parser: Parser) -> None:
    add = parser.add_argument
    add("dir", metavar="DIR")
    add("--reading", metavar="NAME", help="which array (default: the first)")
    add("--cmap", metavar="NAME", help="colour map (default: Spectral)")
    add("--stretch", choices=("rank", "linear", "log"))
    add("--figure", action="store_true", help="with axes, title, colour bar and statistics")
    add("--out", metavar="FILE", help="default: image.png or figure.png in DIR")
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
