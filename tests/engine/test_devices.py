"""One, two and four devices read the same bits: scan, sweep, search, growth."""

from pathlib import Path

import numpy as np
import pytest
from commands import run

CONFIG = Path(__file__).parents[2] / "configs" / "dynamics" / "gph.yaml"
SCRIPT = """
import dataclasses, sys
import jax, numpy as np
import fractaljax as fj
from fractaljax.engine import cohort
from fractaljax.spec import Part

devices, config, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
fj.prepare("float64", devices=devices)
found = {}

spec = fj.Spec(model=Part("mlp", width=4), steps=15, dtype="float64",
               problem=Part("random_regression", points=8, inputs=4))
window = fj.Window(fj.Axis("optimizer.lr_in", 1e-3, 1e5, 13),
                   fj.Axis("optimizer.lr_out", 1e-3, 1e5, 7))
for name in ("sgd", "adam", "adamw", "rmsprop", "lion")[: 1 if devices == 2 else None]:
    optimised = dataclasses.replace(spec, optimizer=Part(name))
    found[name] = fj.scan(optimised, window, chunk=2)["measure"]
redrawn = dataclasses.replace(spec, optimizer=Part("lion"), redraw=True)
found["tiles"] = fj.scan(redrawn, window, chunk=2, tile=5)["measure"]

fj.prepare("float32")
words = ["model.hidden_dim=6", "problem.batch=5", "steps=40", "evaluations=8",
         "model.gamma=0.75,1.0", "batch_seed=0..5"]
runs = fj.sweep(config, words, out=f"{folder}/sweep{devices}", chunk=2)
found["sweep"] = runs.history["test_loss"]

study = fj.Spec(
    model=Part("masked_mlp", widths=(12, 8, 10), start=(12, 0, 8), density=0.2),
    problem=Part("synthetic_classes", points=300, inputs=16, validation=50, test=50, batch=64),
    optimizer=Part("adam", lr=0.02), fold=(), steps=24, data_seed=1,
    stopping=Part("patience", patience=2, interval=1, schedule=()))
growth = dataclasses.replace(
    study, growth=(Part("embedded", saturated=0.5), Part("prune", share=0.3)),
    when=Part("every", epochs=2), where=Part("extrema", high=0.5),
    rates=Part("warm_up", epochs=2.0))
points = np.column_stack([np.arange(7), np.geomspace(1e-3, 3.0, 7)])
for name, spec in (("growth", growth), ("search", study))[: 1 if devices == 2 else None]:
    members = cohort.train_cohort(spec, ("seed", "optimizer.lr"), points, chunk=2)
    for i, leaf in enumerate(jax.tree.leaves(members)):
        found[f"{name}{i}"] = np.asarray(leaf)

assert len(jax.devices()) == devices
np.savez(f"{folder}/{devices}.npz", **found)
"""


@pytest.mark.slow
def test_one_two_and_four_devices_read_the_same_bits(tmp_path):
    """Each in a process of its own: the number of CPU devices is fixed at the start of JAX. On two,
    which all other tests have, one of each kind."""
    found = {}
    for devices in (1, 2, 4):
        ended = run([devices, CONFIG, tmp_path], script=SCRIPT)
        assert ended.code == 0, ended.told[-2000:]
        found[devices] = dict(np.load(tmp_path / f"{devices}.npz"))
    assert len(np.unique(found[1]["sweep"])) > 10 and np.ptp(found[1]["sgd"]) > 0
    assert any(name.startswith("growth") for name in found[1])
    for devices in (2, 4):
        assert {"sgd", "tiles", "sweep", "growth0"} <= found[devices].keys() <= found[1].keys()
        for name, values in found[devices].items():
            assert np.array_equal(found[1][name], values, equal_nan=True), (devices, name)
    assert found[4].keys() == found[1].keys()
