"""Named experiments: the layers of a file and its overrides, one tree a name and facet."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from fractaljax.config.course import holds_pairs
from fractaljax.config.facets import facet_name, facets
from fractaljax.config.text import load_plugins, parse_override
from fractaljax.config.to_spec import to_spec
from fractaljax.config.trees import canonical, layered, nested, placed
from fractaljax.errors import FractaljaxError, unknown
from fractaljax.spec import Spec
from fractaljax.window import Window


class Experiment(NamedTuple):
    """One Spec over one Window, under a name that is unique in its file."""

    name: str
    spec: Spec
    window: Window


def experiments(
    raw: Mapping[str, Any],
    overrides: Iterable[str] = (),
    *,
    only: str | None = None,
    axes: tuple[str, ...] | None = None,
) -> list[Experiment]:
    """Every experiment of a file with overrides applied and facets expanded.

    Args:
        raw: what `read` returned.
        overrides: `path=value` texts; win over the file.
        only: the name of one experiment, or of one of its facets.
        axes: names of the axes instead of the experiment's own, x first.

    Raises:
        FractaljaxError: for any key, value or name that is not understood.
    """
    load_plugins(raw["plugins"])
    if holds_pairs(raw):
        raise FractaljaxError("these are pairs of networks: fractaljax sweep trains those")
    patches = [parse_override(text) for text in overrides]
    found, known = [], []
    for name, block in raw["experiments"].items():
        tree = layered(canonical(raw["defaults"]), canonical(block))
        for path, value in patches:
            tree = layered(tree, canonical(nested(path, value)))
        if axes:
            tree["window"] = {**tree.get("window", {}), "x": axes[0], "y": (*axes, None)[1]}
        variants = facets(tree)
        known += [name, *(facet_name(name, v) for v in variants if v)]
        for variant in variants:
            full = facet_name(name, variant)
            if only in (None, name, full):
                flat = tree
                for path, value in variant.items():
                    flat = placed(flat, path, value)
                found.append(Experiment(full, *to_spec(flat)))
    if not found:
        raise unknown("experiment", str(only), known)
    return found
