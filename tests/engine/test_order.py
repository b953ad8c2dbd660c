"""The kernel that takes sums in the published order: when it is taken, and what keeps it."""

import dataclasses

import numpy as np
import pytest

import fractaljax as fj
from fractaljax import cli, config
from fractaljax.config import parse_sweep
from fractaljax.engine import order, plan
from fractaljax.engine.order import PUBLISHED, XLA
from fractaljax.errors import FractaljaxError
from fractaljax.families import sweep
from fractaljax.families.antialias import supersample
from fractaljax.families.explore import Training
from fractaljax.families.fractal import prepare
from fractaljax.store.table import Table

CASES = [  # a published config, what is changed, the kernel
    ("tanh", [], XLA),
    ("relu", [], XLA),
    ("linear", [], PUBLISHED),  # few points: the order depends on the layout of the first product
    ("offset", [], XLA),
    ("minibatch", [], PUBLISHED),
    ("single", [], PUBLISHED),
    ("tanh", ["model.depth=3"], PUBLISHED),
    ("tanh", ["model.width=8", "problem.inputs=8"], PUBLISHED),
    ("tanh", ["model.width=64", "problem.inputs=64"], XLA),  # a root that is a power of two
    ("minibatch", ["problem.batch=64"], XLA),
    ("tanh", ["model.depth=3", "dtype=float32"], XLA),
    ("tanh", ["model.depth=3", "draws=fold_in"], XLA),
    ("tanh", ["model.depth=3", "model.activation=gelu"], XLA),  # the notebook has none
    ("tanh", ["model.depth=3", "model.bias=true"], XLA),
    ("tanh", ["model.depth=4", "model.residual=true"], XLA),
    ("tanh", ["model.widths=[16, 8]"], XLA),
]


@pytest.mark.parametrize(("config", "changes", "kernel"), CASES)
def test_it_is_taken_where_the_order_differs(config, changes, kernel):
    spec, where = fj.load(f"configs/paper/{config}.yaml", changes, only="overview")
    try:
        assert order.automatic(spec) == kernel
        names = tuple(spec.traced(axis.path) for axis in where.axes)
        assert kernel in {c.kernel for c in plan.candidates(spec, names, plan.mesh(), 64)}
        pinned = plan.candidates(spec, names, plan.mesh(), 64, XLA)
        assert {c.kernel for c in pinned} == {XLA}
    finally:
        prepare("float64")


def deep(**changes):
    settings = {
        "model": fj.Part("mlp", width=4, depth=3),
        "problem": fj.Part("random_regression", inputs=4),
        "optimizer": fj.Part("sgd", grouping="alternating"),
        "fold": fj.Part("history", every=1),
        "steps": 9,
        "dtype": "float64",
        "draws": "legacy",
    }
    return fj.Spec(**settings | changes)


WINDOW = fj.Window(fj.Axis("LR0", 1.0, 50.0, 4), fj.Axis("LR1", 1.0, 50.0, 4))


def test_a_result_keeps_the_order_it_was_begun_with(tmp_path):
    """One of a time when there was one order alone is gone on with in that."""
    spec = deep()
    new = fj.scan(spec, WINDOW, chunk=4, tile=2)
    old = fj.scan(spec, WINDOW, chunk=4, tile=2, kernel=XLA)
    assert new.provenance["kernel"] == PUBLISHED and old.provenance["kernel"] == XLA
    assert not np.array_equal(new["history"], old["history"])
    np.testing.assert_allclose(new["history"][..., :3], old["history"][..., :3], rtol=1e-12)

    class Enough(Exception):
        pass

    def stop(_):
        raise Enough

    with pytest.raises(Enough):
        fj.scan(spec, WINDOW, chunk=4, tile=2, kernel=XLA, store=tmp_path / "a", on_tile=stop)
    with pytest.raises(FractaljaxError, match="begun with kernel=xla"):
        fj.scan(spec, WINDOW, kernel=PUBLISHED, store=tmp_path / "a")
    continued = fj.scan(spec, WINDOW, store=tmp_path / "a")
    np.testing.assert_array_equal(continued["history"], old["history"])


def test_a_result_from_before_there_was_another_order_keeps_its_own(tmp_path):
    """Where pixels are added to it: between others, and one by one in the explorer."""
    spec = deep()
    old = fj.scan(spec, WINDOW, chunk=4, kernel=XLA)
    provenance = {k: v for k, v in old.provenance.items() if k != "kernel"}
    old = dataclasses.replace(old, provenance=provenance)
    fine = supersample(old, 3, store=tmp_path / "fine", adaptive=False)
    assert fine.provenance["kernel"] == XLA
    training = Training(spec, WINDOW, {"chunk": 4, "kernel": XLA, "backend": "cpu"})
    training.compile()
    training.compile_curve()
    assert training._curve.kernel == XLA


def test_scans_trainers_and_train_take_it(tmp_path):
    import jax

    from fractaljax.engine.streams import generator, shared_draws

    spec = deep()
    field = fj.scan(spec, WINDOW, chunk=16, devices=1)
    expected = field["history"].reshape(16, -1)
    points = field.window.points(WINDOW.tiles(0)[0])  # of jnp.logspace, as in the notebook
    trainer = fj.Trainer(spec, ["LR0", "LR1"], chunk=16, devices=1, capacity=16)
    assert trainer.kernel == PUBLISHED
    np.testing.assert_array_equal(trainer(points)["history"], expected)

    def one(point):
        rates = {"LR0": point[0], "LR1": point[1]}
        return fj.train(spec, rates, jax.random.key(0), data)["history"]

    with generator(spec):
        data = shared_draws(spec).data
        np.testing.assert_array_equal(jax.jit(jax.vmap(one))(points), expected)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"draws": "fold_in"}, "draws=legacy"),
        ({"model": fj.Part("mlp"), "problem": fj.Part("random_regression")}, "kernel=xla has"),
    ],
)
def test_it_is_refused_where_there_is_none(changes, why):
    with pytest.raises(FractaljaxError, match=f"kernel=published does not take.*{why}"):
        fj.scan(deep(**changes), WINDOW, kernel=PUBLISHED)


def test_a_sweep_takes_it_and_keeps_it(tmp_path):
    rates = ["optimizer.lr_in=1.0,20.0", "optimizer.lr_out=1.0,20.0"]
    words = ["model.depth=3", "model.width=4", "problem.inputs=4", "steps=40", *rates]
    how = {"only": "overview", "chunk": 4, "devices": 1}
    found = fj.sweep("configs/paper/tanh.yaml", words, out=tmp_path / "a", **how)
    spec, _ = fj.load("configs/paper/tanh.yaml", words[:4], only="overview")
    paths = ["optimizer.lr_in", "optimizer.lr_out"]
    points = np.stack([found.values(path) for path in paths], axis=1).astype(float)

    def trained(kernel):
        return fj.Trainer(spec, paths, chunk=4, devices=1, kernel=kernel)(points)["measure"]

    np.testing.assert_array_equal(found.history["measure"], trained(PUBLISHED))
    # a table of a time when there was one order alone
    (tmp_path / "b").mkdir()
    lines = (tmp_path / "a" / "numeric.jsonl").read_text()
    assert '"kernel": "published"' in lines
    begun = sweep.prepare(config.read("configs/paper/tanh.yaml"), parse_sweep(words, []), **how)
    table = Table(tmp_path / "b", begun.setting.tree())
    table.numeric(begun.batches[0].settings, {"chunk": 4})
    old = fj.sweep("configs/paper/tanh.yaml", words, out=tmp_path / "b", **how)
    np.testing.assert_array_equal(old.history["measure"], trained(XLA))


def test_from_the_command_line(tmp_path, capsys):
    command = ["scan", "configs/paper/tanh.yaml", "steps=2", "--only", "overview"]
    command += ["--resolution", "2", "--out", str(tmp_path / "a"), "model.depth=3"]
    assert cli.main([*command, "--kernel", "published"]) == 0
    assert fj.open(tmp_path / "a").provenance["kernel"] == PUBLISHED
    assert cli.main([*command[:-1], "--kernel", "published", "--overwrite"]) == 2
    assert "kernel=xla has the published order here" in capsys.readouterr().err
