"""What was measured on this machine, kept in the user's cache folder; Fraktaler's word for it."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """Where compiled programs and wisdom are kept for this user."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fractaljax"


def recall(key: str) -> dict[str, Any] | None:
    """The entry of a key, if there is one that can be read."""
    entry = _entries().get(key)
    return entry if isinstance(entry, dict) else None


def remember(key: str, entry: dict[str, Any]) -> None:
    """Adds an entry; a cache that cannot be written only costs a new measurement."""
    path = cache_folder() / "wisdom.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump(_entries() | {key: entry}, file, indent=1)
        os.replace(file.name, path)
    except OSError:
        return


def _entries() -> dict[str, Any]:
    try:
        found = json.loads((cache_folder() / "wisdom.json").read_text())
    except (OSError, ValueError):
        return {}  # never measured here, or damaged: it is measured again
    return found if isinstance(found, dict) else {}
