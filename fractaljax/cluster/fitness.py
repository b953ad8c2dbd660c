"""Which workers may help: those that would train the same bits by the same code."""

import functools
import hashlib
import sys
from importlib import metadata
from pathlib import Path

import fractaljax
from fractaljax import registry
from fractaljax.errors import FractaljaxError

COMPARED = ("jax", "jaxlib", "flax", "optax", "numpy", "distributed")


class Unfit(FractaljaxError):
    """What a piece raises that lies in its worker alone: another may do it."""


@functools.cache
def versions() -> dict[str, str]:
    """What decides about bits in this process: packages, Python, and the text of this one."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    ours = f"{fractaljax.__version__} (source {_source()})"
    return {"fractaljax": ours, "python": python} | {name: _version(name) for name in COMPARED}


def unfit(wanted: dict[str, str]) -> str | None:
    """Why this process may not train for one of other versions; None where it may."""
    own = versions()
    differing = [f"{k} {own[k]}, the driver {wanted[k]}" for k in wanted if own[k] != wanted[k]]
    return f"it has {'; '.join(differing)}" if differing else None


def check_backend(own: str, wanted: str) -> None:
    """Raises where this process would train by another backend than all others."""
    if own != wanted:
        raise Unfit(f"its backend is {own}; what it would help with is trained on {wanted}")


def plugins() -> list[str]:
    """Modules whose parts workers must register too.

    Raises:
        FractaljaxError: a part is registered in a script, which workers cannot import.
    """
    found = sorted(registry.homes())
    if "__main__" in found:
        raise FractaljaxError(
            "cluster: a part of yours is registered in the script itself; move it to a module that "
            "every worker can import"
        )
    return found


@functools.cache
def _source() -> str:
    """A digest of the package's own files: one version may be many commits."""
    digest, root = hashlib.sha256(), Path(fractaljax.__file__).parent
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".py", ".cc")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
