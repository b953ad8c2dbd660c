"""What a command works on: settings of a config, a result or a picture; where to look and put."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractaljax.errors import FractaljaxError

if TYPE_CHECKING:
    from fractaljax.config import Experiment
    from fractaljax.window import Window


def settings(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Raw settings of a config file, of a result or of a picture, and a name for its results.

    A result or a picture may come from anywhere: it never names a plugin.
    """
    from fractaljax import config

    config.load_plugins(arguments.plugin)
    source = arguments.config
    path = Path(source or "default")
    if source is None:
        raw = config.parse("", "", path.stem)
    elif os.path.isdir(path):
        from fractaljax.store import open_field
        from fractaljax.store.zooms import read_plan

        if read_plan(path) is not None:
            raise FractaljaxError(f"{source} holds a zoom: take a level, as in {source}/level_000")
        field = open_field(path)
        name = path.resolve().name
        raw = config.parse(config.dump(field.spec, field.window), source, name)
        return raw | {"plugins": arguments.plugin}, name
    elif path.suffix.lower() in (".png", ".tif", ".tiff"):
        from fractaljax.view import image, tiff

        if not os.path.isfile(path):  # nothing waits for a pipe
            raise FractaljaxError(f"no file {source}")
        reader = image if path.suffix.lower() == ".png" else tiff
        raw = config.parse(reader.read_parameters(path), source, path.stem) | {"plugins": []}
    else:
        raw = config.read(path)
    return raw | {"plugins": [*raw["plugins"], *arguments.plugin]}, path.stem


def overrides(arguments: argparse.Namespace) -> list[str]:
    """The overrides of a command, and those of its flags that are nothing else."""
    flags = {
        "window.resolution": getattr(arguments, "resolution", None),
        "dtype": arguments.dtype,
    }
    given = [f"{path}={value}" for path, value in flags.items() if value is not None]
    return [*arguments.overrides, *given]


def aimed(window: "Window", arguments: argparse.Namespace) -> "Window":
    """The window after --window, or --center and --zoom."""
    window = narrowed(window, arguments)
    if arguments.center or arguments.zoom is not None:
        center = [float(c) for c in arguments.center or (a.center for a in window.axes)]
        window = window.zoom(tuple(center), 1.0 if arguments.zoom is None else arguments.zoom)
    return window


def narrowed(window: "Window", arguments: argparse.Namespace) -> "Window":
    """The window after --window."""
    from fractaljax.window import Window

    axes = window.axes
    if not arguments.window:
        return window
    if len(arguments.window) != 2 * len(axes):
        raise FractaljaxError(
            f"--window takes {2 * len(axes)} numbers here: two for each of {len(axes)} axes"
        )
    ends = zip(arguments.window[::2], arguments.window[1::2], strict=True)
    return Window(*(a.between(*e) for a, e in zip(axes, ends, strict=True)))


def place(out: str | None, stem: str, experiment: "Experiment", alone: bool) -> Path:
    """The folder of a result."""
    from fractaljax.config import digest

    if out:
        return Path(out) if alone else Path(out) / experiment.name
    return Path("outputs") / stem / experiment.name / digest(experiment.spec, experiment.window)
