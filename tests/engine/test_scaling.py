"""Optimisers beside the parametrisations that they suit."""

import optax
import pytest

import fractaljax as fj
from fractaljax import registry
from fractaljax.engine import scaling
from fractaljax.families import fractal

# What is known of each: Adam and its like divide the scale of gradients away (arXiv:1412.6980),
# Lion takes their signs, LARS divides by their norm; gradient descent multiplies by a rate.
KINDS = {
    "sgd": "proportional",
    **dict.fromkeys(("adam", "adamw", "rmsprop", "lion", "lars"), "same"),
}


@pytest.mark.parametrize("decay", [0.0, 10.0])
@pytest.mark.parametrize("name", registry.names("optimizer"))
def test_what_an_optimiser_makes_of_larger_gradients(name, decay):
    decays = "weight_decay" in registry.arguments("optimizer", name)
    part = fj.Part(name, weight_decay=decay) if decays else fj.Part(name)
    assert scaling.updates(fj.Spec(optimizer=part)) == KINDS[name]


def test_no_update_says_nothing():
    assert scaling.updates(fj.Spec(optimizer=fj.Part("sgd", lr=0.0))) is None


@pytest.mark.parametrize("parametrisation", ["mup", "mup_adam"])
@pytest.mark.parametrize("name", ["sgd", "adam", "signs"])
def test_a_rate_that_would_move_with_the_width_is_refused(name, parametrisation, own_registry):
    @registry.register("optimizer", "signs")
    def signs(lr: float = 0.1):
        """Of somebody else."""
        return optax.sign_sgd(lr)

    model = fj.Part("mlp", parametrisation=parametrisation)
    spec = fj.Spec(model=model, optimizer=fj.Part(name), dtype="float64")
    window = fj.Window(fj.Axis("optimizer.lr", 0.1, 1.0, 2))
    if (name == "sgd") == (parametrisation == "mup"):
        fractal.check(spec, window)
    else:
        with pytest.raises(fj.FractaljaxError, match="would move with the width"):
            fractal.check(spec, window)
