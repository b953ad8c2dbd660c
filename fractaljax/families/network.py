"""A network that was kept: weights, what it takes, and how its inputs were scaled."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from fractaljax.config.to_spec import to_training
from fractaljax.config.trees import canonical
from fractaljax.engine import plan
from fractaljax.errors import FractaljaxError
from fractaljax.spec import Spec, build
from fractaljax.store import study_folder as files


class Network:
    """What `load_model` gives: call it with raw inputs, as they were before scaling."""

    def __init__(self, spec: Spec, params: dict[str, Any], about: dict[str, Any]):
        self.spec, self.params, self.about = spec, params, about
        paths = about["paths"]
        values = {paths[name]: value for name, value in about["hyperparameters"].items()}
        self._apply = build(spec, "model", values).apply

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Outputs `[N, O]` of raw inputs `[N, ...]`, such as pixels; scaled as in training."""
        x = np.asarray(raw, np.float64).reshape(len(raw), -1)
        inputs = self.params[min(self.params)]["kernel"].shape[0]
        if x.shape[1] != inputs:
            raise FractaljaxError(f"inputs have {x.shape[1]} numbers each; this network: {inputs}")
        if scaling := self.about["scaling"]:
            x = (x - scaling["offset"]) / scaling["scale"]
        return np.asarray(self._apply(self.params, jnp.asarray(x, self.spec.dtype)))

    def __repr__(self) -> str:
        scores = {k: self.about[k] for k in ("test_loss", "test_accuracy")}
        return f"<Network {self.about['architecture']}, seed {self.about['seed']}, {scores}>"


def load_model(folder: str | Path) -> Network:
    """The network in a folder of a search, `.../best_trial` or `.../retrain/seed_1`, or of an arm,
    `.../arms/grown/best`.

    Raises:
        FractaljaxError: there is none, or it is damaged.
    """
    weights, about = files.read_network(Path(folder))
    spec = to_training(canonical(about["training"]))
    plan.prepare(spec.dtype)
    params = traverse_util.unflatten_dict(
        {
            name: jnp.asarray(leaf)
            for name, leaf in weights.items()
            if not name.startswith(files.MASK)
        },
        sep="/",
    )
    return Network(spec, params, about)
