"""What in a folder is ours: nothing else is ever replaced or removed."""

import contextlib
import os
import shutil
from pathlib import Path

from fractaljax.errors import FractaljaxError
from fractaljax.store import records
from fractaljax.store.origins import FILES

BESIDE = ("spec.yaml", "runs.jsonl", FILES, "image.png", "figure.png")  # what else a scan writes


def check_free(path: Path, settings: str) -> None:
    """Raises where a folder without a field holds files that a scan of `settings` would replace."""
    found = [name for name in BESIDE if os.path.lexists(path / name)]
    spec = path / "spec.yaml"
    if found and not (spec.is_file() and spec.read_bytes() == settings.encode()):
        raise FractaljaxError(
            f"{path} holds no result, but {', '.join(found)}, which a scan would replace. "
            "Choose another --out."
        )


def discard(path: Path) -> None:
    """Removes an earlier result, and nothing that fractaljax did not write."""
    if not (path / "field").exists():
        return
    records.read(path)  # raises unless it is a field of ours
    for finer in path.glob("aa[0-9]"):  # sub-samples of what goes
        discard(finer)
        with contextlib.suppress(OSError):  # what is not ours stays
            (finer / "claims").unlink(missing_ok=True)
            finer.rmdir()
    for name in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            (path / name).unlink()
    old = path / f".field-{os.getpid()}-old"
    os.rename(path / "field", old)  # gone in one step: half a field would be nobody's
    shutil.rmtree(old)
