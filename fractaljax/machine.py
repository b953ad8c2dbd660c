"""What this machine is, and where this user keeps what other processes may use again."""

import os
import platform
from pathlib import Path


def cache_folder() -> Path | None:
    """Where compiled programs, wisdom and data sets are kept for this user; None without a home."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "fractaljax"
    try:
        return Path.home() / ".cache" / "fractaljax"
    except RuntimeError:
        return None


def processor() -> str:
    """What this processor can do, as far as the system says; a cache may be on a shared disk."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
