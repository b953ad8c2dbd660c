"""Settings that were stored against those that are asked for, across versions.

A part may have got arguments since a store was begun, and a training settings. Those that the
store does not name stand at today's defaults: a new argument's default is what was done before it.
"""

import json
from collections.abc import Mapping
from typing import Any

from fractaljax.config.arms import parse_arms
from fractaljax.config.course import setting
from fractaljax.config.experiment import experiments
from fractaljax.config.study import parse_study
from fractaljax.config.to_tree import as_tree, differences
from fractaljax.errors import FractaljaxError


def compared(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """`path: stored -> asked` for every setting that is another one; both are full settings of a
    scan, a sweep, a study or an experiment."""
    found = differences(stored, asked)
    return found and differences(completed(stored), completed(asked))


def completed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Full settings with all that they would say today; as they are where they cannot be read."""
    raw = {"defaults": {}, "experiments": {"": tree}, "plugins": []}
    try:
        if "arms" in tree:
            found = parse_arms({**tree, "plugins": []}, "")
        elif "architectures" in tree:
            found = parse_study({**tree, "plugins": []}, "")
        elif "window" in tree:
            _, spec, window = experiments(raw)[0]
            return json.loads(json.dumps(as_tree(spec, window)))
        else:
            return json.loads(json.dumps(setting(raw).tree()))
    except FractaljaxError:
        return dict(tree)
    # a store names no code to import, so that its plugins are compared as text
    own = {key: tree[key] for key in ("name", "plugins") if key in tree}
    return {k: v for k, v in found.tree.items() if k not in ("name", "plugins")} | own
