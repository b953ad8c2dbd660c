"""Which cluster: what a user writes for it, and what that means."""

import difflib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fractaljax.errors import FractaljaxError

ALLOWED = (
    "local:N (N workers on this machine), slurm:N (N jobs), tcp://HOST:PORT or tls://HOST:PORT "
    "(a running scheduler), or its scheduler file"
)
WORDS = ("local", "slurm", "tcp", "tls")
MAX_WORKERS = 4096
ADDRESS = r"(tcp|tls)://(\[[0-9a-fA-F:]+\]|[^\s/:]+):[0-9]{1,5}"


class Cluster(NamedTuple):
    """A cluster as it is asked for."""

    where: str
    resources: Mapping[str, float] = {}  # that a worker must have, as in {"GPU": 1}


class Place(NamedTuple):
    """What `Cluster.where` means."""

    kind: str  # local, slurm or address
    value: Any  # workers, jobs, or the address


def place(where: str) -> Place:
    """Reads the text of `--cluster`.

    Raises:
        FractaljaxError: it is none of what is allowed; with the nearest word.
    """
    word, colon, rest = where.partition(":")
    if word in ("local", "slurm"):
        if not colon and word == "slurm":
            return Place(word, 1)
        if not re.fullmatch(r"[0-9]{1,6}", rest) or not 1 <= int(rest) <= MAX_WORKERS:
            raise FractaljaxError(
                f"cluster '{where}': {word}:N takes a number of 1 to {MAX_WORKERS}"
            )
        return Place(word, int(rest))
    if re.fullmatch(ADDRESS, where):
        return Place("address", where)
    if os.path.isfile(where):
        return Place("address", _written(where))
    if re.fullmatch(r"[\w.-]+:[0-9]{1,5}", where) and not _nearest(word):
        raise FractaljaxError(f"cluster '{where}': did you mean 'tcp://{where}'? {_allowed()}")
    near = _nearest(word)
    hint = f" Did you mean '{near}'?" if near else ""
    raise FractaljaxError(f"unknown cluster '{where}'.{hint} {_allowed()}")


def resources(words: str | None) -> dict[str, float]:
    """Reads `--cluster-resources`: `GPU=1,MEMORY=8e9`.

    Raises:
        FractaljaxError: it is not NAME=NUMBER.
    """
    found: dict[str, float] = {}
    for word in filter(None, (words or "").split(",")):
        name, _, value = word.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not re.fullmatch(r"\w+", name) or not 0 < number < float("inf"):
            raise FractaljaxError(
                f"--cluster-resources {words}: takes NAME=NUMBER,... as in GPU=1, with numbers "
                "above 0"
            )
        found[name] = number
    return found


def _written(file: str) -> str:
    """The address in a scheduler file."""
    try:
        found = json.loads(Path(file).read_bytes())["address"]
        if not re.fullmatch(ADDRESS, found):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        raise FractaljaxError(
            f"cluster '{file}': not a file that `dask scheduler --scheduler-file` has written"
        ) from None
    return found


def _nearest(word: str) -> str | None:
    return next(iter(difflib.get_close_matches(word.lower(), WORDS, n=1, cutoff=0.5)), None)


def _allowed() -> str:
    return f"Allowed are {ALLOWED}."
