"""The words around a figure: what was trained, and what came out."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from fractaljax import config, registry
from fractaljax.field import Field
from fractaljax.spec import FIELDS, PART_ROLES, Spec
from fractaljax.view.ticks import TIMES, number

_DEFAULTS = {f.name: f.default for f in dataclasses.fields(Spec)}


def title(spec: Spec) -> list[str]:
    """The names of the parts, the steps and the dtype."""
    names = []
    for role in PART_ROLES:
        part, usual = getattr(spec, role), _DEFAULTS[role]
        always = role in ("model", "problem", "optimizer")
        if part is not None and (always or usual is None or part.name != usual.name):
            names.append(part.name)
    return [*names, f"{spec.steps} steps", spec.dtype]


def subtitle(field: Field) -> list[str]:
    """Every setting that is neither at its default, nor an axis, nor said elsewhere."""
    spec, said = field.spec, {"steps", "dtype", "seed", *(a.path for a in field.window.axes)}
    usual: dict[str, Any] = {name: _DEFAULTS[name] for name in FIELDS}
    for prefix, part in spec.parts():
        schema = registry.arguments(prefix.split(".")[0], part.name)
        usual |= {f"{prefix}.{name}": argument.default for name, argument in schema.items()}
    return [
        f"{path.rpartition('.')[2]} {str(value).lower() if isinstance(value, bool) else value}"
        for path, value in spec.paths().items()
        if path not in said and value != usual[path]
    ]


def axis_label(spec: Spec, path: str) -> str:
    """The short name of an axis, and its path where that is something else."""
    short = config.label(spec, path)
    return path if short == path else f"{short}  ({path})"


def statistics(field: Field, reading: str, values: np.ndarray) -> list[str]:
    """Figures on the pixels and on the run, most important first.

    Args:
        field, reading: what is shown.
        values: its trained values `[n]` (`picture.sample`).
    """
    found = [f" {TIMES} ".join(str(a.n) for a in field.window.axes) + " pixels"]
    trained = np.count_nonzero(field.done) / field.window.size
    if trained < 1:
        found.append(f"{100 * trained:.3g} % trained")
    if reading == "measure" and values.size:
        found.append(f"{100 * np.mean(values < 0):.3g} % converged")
    if reading != "status" and values.size:
        middle = np.partition(values, values.size // 2)[values.size // 2]
        marks = {"min": values.min(), "median": middle, "max": values.max()}
        found += [f"{name} {number(float(value))}" for name, value in marks.items()]
    return [*found, *_run(field.spec, field.provenance)]


def _run(spec: Spec, provenance: Mapping[str, Any]) -> list[str]:
    """How the pixels were made, as far as the provenance tells."""
    found = []
    if speed := provenance.get("pixels_per_s"):
        found.append(f"{number(speed)} pixels/s")
    found.append(f"seed {spec.seed}")
    if chunk := provenance.get("chunk"):
        found.append(f"chunk {chunk}")
    if version := provenance.get("versions", {}).get("jax"):
        found.append(f"jax {version}")
    return found
