"""Changes of the network itself during training."""

from fractaljax.registry import register
from fractaljax.types import Rule, Tree


@register("rule", "drift")
def drift(offset: float = 0.0) -> Rule:
    """Adds `offset` to the input-layer weights at every step, before its gradient.

    The published notebook does so in its initialisation-offset condition (fractal dimension
    1.98): the offset accumulates. Use `model.init_offset` for an offset that is added once.
    """

    def shifted(params: Tree) -> Tree:
        first = min(params)
        return params | {first: params[first] | {"kernel": params[first]["kernel"] + offset}}

    return Rule(
        init=lambda params: (shifted(params), ()),
        update=lambda params, opt, grads, state, t: (shifted(params), opt, state),
    )
