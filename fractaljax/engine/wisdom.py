"""What was measured on this machine, kept in the user's cache folder; Fraktaler's word for it."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from fractaljax import machine


def recall(key: str) -> dict[str, Any] | None:
    """The entry of a key, if there is one that can be read."""
    entry = _entries().get(key)
    return entry if isinstance(entry, dict) else None


def remember(key: str, entry: dict[str, Any]) -> None:
    """Adds an entry; a cache that cannot be written only costs a new measurement."""
    path = _file()
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump(_entries() | {key: entry}, file, indent=1)
        os.replace(file.name, path)
    except OSError:
        return


def _file() -> Path | None:
    """None for a user without a home."""
    folder = machine.cache_folder()
    return folder and folder / "wisdom.json"


def _entries() -> dict[str, Any]:
    path = _file()
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}  # never measured here, or damaged: it is measured again
    return found if isinstance(found, dict) else {}
