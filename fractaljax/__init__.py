"""fractaljax: train millions of small networks, one a pixel, in one compiled call.

    import fractaljax as fj
    spec, window = fj.load("configs/paper/tanh.yaml", ["steps=100"], only="overview")
    field = fj.scan(spec, window.resized(64))
    field["measure"]                     # [ny, nx], row 0 and column 0 the lowest values

Names are imported when they are first used, so that `import fractaljax` costs nothing.
"""

# Names are imported for type checkers and listed in `_HOMES`, where ruff cannot see them used:
# ruff: noqa: F401

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractaljax.axis import Axis, Lattice
    from fractaljax.config import Experiment
    from fractaljax.engine.train import train
    from fractaljax.errors import FractaljaxError
    from fractaljax.families.fractal import load, prepare, scan
    from fractaljax.families.large import train_large
    from fractaljax.families.network import load_model
    from fractaljax.families.points import Trainer
    from fractaljax.families.snapshots import load_snapshot, resume
    from fractaljax.families.studies import grow, search, transfer
    from fractaljax.families.sweep import sweep
    from fractaljax.families.transplant import transplant
    from fractaljax.families.zoom import zoom
    from fractaljax.field import Field
    from fractaljax.levels import Zoom
    from fractaljax.pair import Pair
    from fractaljax.registry import register
    from fractaljax.runs import Run, Sweep
    from fractaljax.spec import Part, Spec, facets
    from fractaljax.store import open_result as open
    from fractaljax.store.sweeps import load_run, load_sweep
    from fractaljax.types import (
        Callback,
        Comparison,
        Data,
        Evaluation,
        Fold,
        Growth,
        Metric,
        Model,
        Moment,
        Network,
        Problem,
        Rule,
        Sites,
        Snapshot,
        Stopping,
        When,
    )
    from fractaljax.view.curves import plot, plot_comparative, plot_run, subtract_baseline
    from fractaljax.window import Window

__version__ = "0.2.0"

_HOMES = {
    "Spec": "spec",  # what one training is
    "Part": "spec",
    "facets": "spec",
    "Pair": "pair",  # two of them in lockstep
    "Axis": "axis",  # where to look
    "Lattice": "axis",
    "Window": "window",
    "load": "families.fractal",  # a config -> Spec, Window
    "prepare": "families.fractal",  # JAX's precision and devices, for scripts without a config
    "scan": "families.fractal",  # Spec, Window -> Field
    "zoom": "families.zoom",  # Spec, Window -> Zoom
    "sweep": "families.sweep",  # a config and its words -> Sweep
    "search": "families.studies",  # a study and its words -> what was found
    "transfer": "families.studies",
    "grow": "families.studies",  # an experiment and its words -> what was found
    "load_snapshot": "families.snapshots",  # a network as it was when it grew
    "resume": "families.snapshots",
    "transplant": "families.transplant",  # a network into another capacity
    "train_large": "families.large",  # one network on all devices
    "Trainer": "families.points",  # Spec -> readings of any points
    "train": "engine.train",  # one network
    "Field": "field",  # the results
    "Zoom": "levels",
    "open": "store",  # a folder -> Field or Zoom
    "Sweep": "runs",
    "Run": "runs",
    "load_sweep": "store.sweeps",
    "load_run": "store.sweeps",
    "load_model": "families.network",  # a folder of a search -> Network
    "plot": "view.curves",  # Runs and Sweeps as curves
    "plot_run": "view.curves",
    "plot_comparative": "view.curves",
    "subtract_baseline": "view.curves",
    "Experiment": "config",
    "FractaljaxError": "errors",
    "register": "registry",  # parts of your own, and the contracts they fulfil
    "Data": "types",
    "Model": "types",
    "Problem": "types",
    "Fold": "types",
    "Rule": "types",
    "Growth": "types",
    "When": "types",
    "Sites": "types",
    "Network": "types",
    "Moment": "types",
    "Snapshot": "types",
    "Stopping": "types",
    "Metric": "types",
    "Comparison": "types",
    "Evaluation": "types",
    "Callback": "types",
    "laws": "laws",
}
__all__ = [*_HOMES, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll] (said once)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'fractaljax' has no attribute '{name}'")
    module = importlib.import_module(f"fractaljax.{_HOMES[name]}")
    if name == "laws":
        return module
    return module.open_result if name == "open" else getattr(module, name)
