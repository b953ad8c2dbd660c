"""Settings as text: YAML, overrides, named experiments, facets; and back to text again.

Text becomes *raw settings* (`text`), one *tree* an experiment (`trees`, `facets`), a Spec and a
Window (`to_spec`); `to_tree` is the way back.
"""

from fractaljax.config.continued import compared, completed
from fractaljax.config.course import Setting, holds_pairs, setting
from fractaljax.config.experiment import Experiment, experiments
from fractaljax.config.sweeps import parse_sweep
from fractaljax.config.text import load_plugins, parse, read
from fractaljax.config.to_tree import as_tree, differences, digest, dump, label, training_tree

__all__ = [
    "Experiment",
    "Setting",
    "as_tree",
    "compared",
    "completed",
    "differences",
    "digest",
    "dump",
    "experiments",
    "holds_pairs",
    "label",
    "load_plugins",
    "parse",
    "parse_sweep",
    "read",
    "setting",
    "training_tree",
]
