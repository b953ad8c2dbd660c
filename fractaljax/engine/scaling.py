"""Whether an optimiser suits a network whose best rate is not to move with its width."""

import jax
import jax.numpy as jnp

from fractaljax.errors import FractaljaxError
from fractaljax.spec import Spec, build

SAID = {  # as `types.Model.updates` has them
    "proportional": "grow with the gradients",
    "same": "are the same for larger gradients",
}
LARGER = 8.0  # times, of the gradients that are tried


def check(spec: Spec) -> None:
    """Raises where the model is parametrised for updates that follow the scale of the gradients in
    another way than those of the optimiser, whoever wrote it: the best rate would move with the
    width of the network (arXiv:2203.03466, table 8 and appendix B)."""
    wanted = build(spec, "model", {}).updates
    if wanted is None:
        return
    found = updates(spec)
    if found is not None and found != wanted:
        raise FractaljaxError(
            f"optimizer '{spec.optimizer.name}': its updates {SAID[found]}; model "
            f"'{spec.model.name}' is parametrised for ones that {SAID[wanted]}, so that the best "
            "rate would move with the width. mup is for sgd, mup_adam for adam and its like"
        )


def updates(spec: Spec) -> str | None:
    """What the optimiser makes of larger gradients, as `Model.updates` names it; by its first
    update, which is tried. None where there is no update."""
    optimizer = build(spec, "optimizer", {})
    layers = {f"layer_{i:03d}": {"kernel": jnp.full((1, 1), 1.0)} for i in range(2)}
    params = jax.tree.map(lambda x: x * 1e-6, layers)  # decay of the weights is not to be seen

    def first(gradient: float) -> float:
        grads = jax.tree.map(lambda x: x * gradient, layers)
        made, _ = optimizer.update(grads, optimizer.init(params), params)
        return float(jnp.abs(jnp.stack(jax.tree.leaves(made))).max())

    small, large = first(1.0), first(LARGER)
    if not small > 0:
        return None
    return "same" if large / small < LARGER / 2 else "proportional"
