"""Format numbers: every store says the number of its layout, and a newer one is refused.

Fields and zooms have it in their JSON, files of runs in their metadata, and YAML files in a comment
below their first line; one without that line is of format 1. A number is raised when an older
version could not read what is written now, or would go on with it wrongly; the reader of the older
number stays, and so do its stores in `tests/data/stores`.
"""

import re
from pathlib import Path
from typing import Any

from fractaljax.errors import FractaljaxError

FIRST = 1
TREES = 1  # of YAML files: sweeps, studies, networks, snapshots, agendas
_LINE = re.compile(r"# format (\d+)\n")


def check(file: Path, number: Any, latest: int) -> None:
    """Raises unless a file of this format number can be read.

    Args:
        number: as the file says it.
        latest: the largest one that this version knows.
    """
    if type(number) is not int or number < FIRST:
        raise FractaljaxError(f"{file} is damaged or was not written by fractaljax")
    if number > latest:
        known = f"{FIRST}" if latest == FIRST else f"{FIRST} to {latest}"
        raise FractaljaxError(
            f"{file} was written by a newer fractaljax (format {number}; this one reads {known})"
        )


def marked(header: str) -> str:
    """The beginning of a YAML file of ours: its first line, and the number."""
    return f"{header}# format {TREES}\n"


def is_ours(file: Path, text: str, header: str) -> bool:
    """Whether a text begins as ours do; raises where its format is newer."""
    if not text.startswith(header):
        return False
    found = _LINE.match(text, len(header))
    check(file, int(found[1]) if found else FIRST, TREES)
    return True
