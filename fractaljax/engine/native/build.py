"""The shared library of the native kernel: compiled once a machine, kept in the user's cache."""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import jax
import numpy as np

from fractaljax import machine
from fractaljax.errors import FractaljaxError

SOURCE = Path(__file__).with_name("shallow.cc")
COMPILERS = ("c++", "g++", "clang++")
# `native` vectors are those of the processor; a contraction to fused products changes last bits,
# so that it is said here and not left to a compiler's default
FLAGS = ("-O3", "-std=c++17", "-march=native", "-ffp-contract=fast", "-w", "-shared", "-fPIC")
PATIENCE_S = 120  # of one compilation


def missing() -> str | None:
    """Why there can be no native kernel on this machine; None where there can."""
    if compiler():
        return None
    asked = os.environ.get("CXX")
    why = f"CXX={asked} is no program" if asked else f"none of {', '.join(COMPILERS)} is found"
    return f"there is no C++ compiler here: {why}"


def compiler() -> list[str]:
    """The C++ compiler of this machine, with arguments: `CXX`, or the first of the usual names;
    empty where there is none."""
    asked = os.environ.get("CXX", "").split()
    found = next(filter(None, map(shutil.which, asked[:1] or COMPILERS)), None)
    return [found, *asked[1:]] if found else []


def lanes(dtype: str) -> int:
    """Networks in one vector; compiles and registers the kernel when it is first asked for.

    Raises:
        FractaljaxError: there is no compiler, or it does not compile the kernel.
    """
    return _library().fractaljax_vector_bytes() // np.dtype(dtype).itemsize


def target(dtype: str) -> str:
    """The name under which XLA knows the kernel."""
    return f"fractaljax_shallow_{dtype}"


@functools.cache
def _library() -> ctypes.CDLL:
    if why := missing():
        raise FractaljaxError(f"kernel=native: {why}")
    folder = machine.cache_folder()
    if folder is None:
        raise FractaljaxError("kernel=native: this user has no home folder to keep it in")
    try:
        file = folder / "native" / f"shallow-{_fingerprint()}.so"
        if not file.is_file():
            _compile(file)
        library = ctypes.CDLL(str(file))
    except (OSError, subprocess.TimeoutExpired) as error:  # no cache to write to, or no program
        raise FractaljaxError(f"kernel=native: {error}") from None
    for dtype in ("float32", "float64"):
        handler = jax.ffi.pycapsule(getattr(library, target(dtype)))
        jax.ffi.register_ffi_target(target(dtype), handler, platform="cpu")
    return library


def _compile(file: Path) -> None:
    """The library under its final name, in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made = Path(folder) / file.name
        command = [*compiler(), *FLAGS, f"-I{jax.ffi.include_dir()}", str(SOURCE)]
        done = _said([*command, "-o", str(made)])
        if done.returncode:
            why = next(filter(None, done.stderr.splitlines()), f"exit code {done.returncode}")
            raise FractaljaxError(f"kernel=native: {command[0]} does not compile it: {why}")
        os.replace(made, file)


def _fingerprint() -> str:
    """What the machine code depends on: source, flags, compiler, processor, jaxlib's headers."""
    version = _said([*compiler(), "--version"])
    about = (FLAGS, version.stdout, jax.__version__, platform.machine(), machine.processor())
    return hashlib.sha256(SOURCE.read_bytes() + repr(about).encode()).hexdigest()[:16]


def _said(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
