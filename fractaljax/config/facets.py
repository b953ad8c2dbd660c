"""Facets: lists where a single value belongs, one experiment a combination."""

import math
from collections.abc import Mapping
from typing import Any

import yaml

from fractaljax import registry
from fractaljax.config.trees import DEFAULTS
from fractaljax.errors import FractaljaxError
from fractaljax.spec import ALIASES, FIELDS, MANY_ROLES, PART_ROLES, crossed

MAX_FACETS = 10_000


def facets(tree: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lists where a single value belongs, crossed: one dictionary of paths a combination."""
    lists: dict[str, list] = {}
    for key in (*PART_ROLES, *MANY_ROLES, *FIELDS, *ALIASES):
        value = tree.get(key)
        if isinstance(value, list) and key in (*FIELDS, *ALIASES):
            lists[key] = value
        elif isinstance(value, Mapping):
            blocks = value.items() if key in MANY_ROLES else [("", value)]
            for name, block in blocks:
                if not isinstance(name, str) or "." in name:
                    continue  # no name of a part: refused where it is looked up
                prefix = f"{key}.{name}" if key in MANY_ROLES else key
                lists |= {
                    f"{prefix}.{k}": v for k, v in block.items() if _is_facet(key, name, block, k)
                }
    if any(not v for v in lists.values()):
        raise FractaljaxError(f"{next(k for k, v in lists.items() if not v)}: the list is empty")
    if (count := math.prod(len(v) for v in lists.values())) > MAX_FACETS:
        raise FractaljaxError(f"{count} facets; at most {MAX_FACETS} in one config")
    return crossed(lists)


def facet_name(name: str, variant: Mapping[str, Any]) -> str:
    """The name of one facet of an experiment: `depth_sweep_depth=3_residual=true`."""
    parts = [name]
    for path, value in variant.items():
        prefix, _, argument = path.rpartition(".")
        text = yaml.safe_dump(value, default_flow_style=True).split("\n")[0]
        short = prefix if argument == "name" else argument
        parts.append(f"{short}={''.join(c if c.isalnum() or c in '.-+' else '-' for c in text)}")
    return "_".join(parts)


def _is_facet(role: str, part: str, block: Mapping[str, Any], key: str) -> bool:
    """Whether a list stands where a single value belongs (not where a tuple does)."""
    value = block[key]
    if not (isinstance(value, list) and isinstance(key, str) and key.isidentifier()):
        return False  # what is no name of an argument is refused with the others
    if key == "name":
        return True
    names = block.get("name", part) if role in PART_ROLES else part
    for name in names if isinstance(names, list) else [names or DEFAULTS.get(role)]:
        schema = registry.arguments(role, str(name))
        if key in schema and (depth := str(schema[key].annotation).count("tuple")):
            return _depth(value) > depth
    return True


def _depth(value: Any) -> int:
    """How many lists lie in each other."""
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
