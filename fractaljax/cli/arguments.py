"""How the words of a command are read: `path=value` may stand anywhere after the verb."""

import argparse
import re
from decimal import Decimal
from typing import Any

from fractaljax.cli.parser import build
from fractaljax.errors import FractaljaxError, unknown

LISTS = {"window": float, "center": Decimal, "axes": str}  # these take as many words as follow them


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments of a command, its verb among them.

    Raises:
        FractaljaxError: an argument that the verb does not take.
    """
    arguments, rest = build().parse_known_args([_plain_number(word) for word in argv])
    flags = [word for word in rest if word.startswith("-") or "=" not in word]
    if flags:
        text = arguments.parser.format_help()
        known = sorted({f for f in re.findall(r"--[a-z]+(?:-[a-z]+)*", text) if f != flags[0]})
        raise unknown("argument", flags[0], known)
    if hasattr(arguments, "overrides"):
        arguments.overrides += rest
        _split_lists(arguments)
    elif hasattr(arguments, "words"):  # of grow: an experiment and its overrides
        arguments.words += rest
    elif rest:
        raise FractaljaxError(f"{rest[0]}: this verb takes no path=value")
    return arguments


def _split_lists(arguments: argparse.Namespace) -> None:
    """Sorts the overrides out of the lists that swallowed them, and makes numbers of the rest."""
    for name, kind in LISTS.items():
        values = getattr(arguments, name, None)
        if values:
            arguments.overrides += [v for v in values if "=" in v]
            values = [_as(kind, f"--{name}", v) for v in values if "=" not in v]
            if not values:
                raise FractaljaxError(f"--{name}: no value is given")
            setattr(arguments, name, values)
    axes = getattr(arguments, "axes", None) or []
    if len(axes) > 2:
        raise FractaljaxError(f"--axes takes one or two names, not {' '.join(axes)}")
    for word in arguments.overrides:
        if "=" not in word:
            raise FractaljaxError(f"'{word}': expected path=value, as in model.depth=3")


def _plain_number(word: str) -> str:
    """`-1e-3` as `-0.001`: argparse takes the first for a flag."""
    number = re.fullmatch(r"-(\d+\.?\d*|\.\d+)[eE][-+]?\d{1,3}", word)
    return format(Decimal(word), "f") if number else word


def _as(kind: type, flag: str, text: str) -> Any:
    try:
        return kind(text)
    except (ValueError, ArithmeticError):
        raise FractaljaxError(f"{flag} {text}: takes a number") from None
