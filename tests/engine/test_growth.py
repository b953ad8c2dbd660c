"""Growing networks side by side: neighbours, snapshots and devices change nothing."""

import contextlib
import dataclasses

import jax
import numpy as np
import pytest
from commands import run

import fractaljax as fj
from fractaljax.engine import cohort
from fractaljax.errors import FractaljaxError
from fractaljax.families import snapshots
from fractaljax.families.transplant import decisive, finer, transplant
from fractaljax.spec import Part

NAMES = ("seed", "where.high")


@pytest.fixture(autouse=True)
def single():
    fj.prepare("float32")


def study(epochs=8, **changes):
    spec = fj.Spec(
        model=Part("masked_mlp", widths=(12, 8, 10), start=(12, 0, 8), density=0.2),
        problem=Part("synthetic_classes", points=300, inputs=16, validation=50, test=50),
        optimizer=Part("adam", lr=0.02),
        growth=(Part("embedded", saturated=0.5), Part("prune", share=0.3)),
        when=Part("every", epochs=2),
        where=Part("extrema", high=0.5),
        rates=Part("warm_up", epochs=2.0),
        stopping=Part("patience", patience=1000, interval=1, schedule=()),
        fold=(),
        steps=epochs,
        data_seed=1,
    )
    return dataclasses.replace(spec, **changes)


def points(count):
    return np.column_stack([np.arange(count), np.linspace(-1.0, 2.0, count)])


def same(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


@pytest.mark.slow
def test_a_member_grows_alike_alone_and_among_others():
    """Bit for bit at equal chunk, although others grow at other times."""
    spec = study()
    many = cohort.train_cohort(spec, NAMES, points(6), chunk=2)
    assert len({member.readings["edges"] for member in many}) > 2
    for i in (0, 5):
        alone = cohort.train_cohort(spec, NAMES, points(6)[i : i + 1], chunk=2)[0]
        assert same(many[i], alone)


@pytest.mark.slow
def test_a_threshold_that_is_never_reached_is_no_growth_at_all():
    """A rule that never fires is the static run, bit for bit."""
    static = study(growth=(), when=None, where=None, rates=None)
    quiet = study(rates=None).updated({"where.high": 1e9, "where.low": -1.0})
    one, other = (
        cohort.train_cohort(s, ("seed",), points(3)[:, :1], chunk=2) for s in (static, quiet)
    )
    for a, b in zip(one, other, strict=True):
        assert same(a.params, b.params) and same(a.masks, b.masks)
        assert b.readings["events"] == 0 and a.readings["edges"] == b.readings["edges"]
        assert a.readings["validation_loss"] == b.readings["validation_loss"]


@pytest.mark.slow
def test_ledger_and_curves_tell_the_same_story():
    for member in cohort.train_cohort(study(), NAMES, points(4), chunk=2):
        events, edges = len(member.ledger), member.curves["edges"]
        assert events == member.readings["events"]
        if events:
            steps, before, after = member.ledger[:, :3].T
            assert (np.diff(steps) > 0).all() and (before[1:] == after[:-1]).all()
            for step, number in zip(steps, after, strict=True):
                assert edges[int(step) - 1] == number  # an epoch is a step: the batch is full
            assert after[-1] == member.readings["edges"]


@pytest.mark.slow
def test_training_goes_on_from_a_snapshot_as_it_went(tmp_path):
    spec, one = study(), points(1)
    kept = []

    def keep(member, epoch, state):
        kept.append(epoch)
        snapshots.keep(spec, NAMES, one, tmp_path, member, epoch, state)

    whole = cohort.train_cohort(spec, NAMES, one, chunk=2, on_event=keep)[0]
    assert len(kept) == whole.readings["events"] >= 2
    for epoch in kept[:-1]:
        path = tmp_path / "snapshots" / "seed_0" / f"epoch_{epoch:05d}.yaml"
        snapshot = fj.load_snapshot(path)
        assert snapshot.epoch == epoch and snapshot.values["where.high"] == -1.0
        rest = fj.resume(snapshot, chunk=2)
        assert same(rest.params, whole.params) and same(rest.ledger, whole.ledger)
        assert rest.readings == whole.readings
    path.with_suffix(".npz").write_bytes(b"no")
    with pytest.raises(FractaljaxError, match="missing or damaged"):
        fj.load_snapshot(path)


@pytest.mark.slow
def test_stopped_at_every_look_each_growth_is_told_once(kept):
    """What grew before a stop was told before it: no snapshot is of an event that never was."""
    spec, told = study(epochs=10, when=Part("every", epochs=4)), []

    def hears(member, epoch, state):
        told.append((member, epoch, int(state.anatomy.events)))

    cohort.train_cohort(spec, NAMES, points(2), chunk=2, on_event=hears)
    whole, told = sorted(told), []

    def stop(progress):
        raise KeyboardInterrupt

    for _ in range(20):
        with contextlib.suppress(KeyboardInterrupt):
            cohort.train_cohort(
                spec, NAMES, points(2), chunk=2, on_event=hears, checkpoint=kept, on_look=stop
            )
    assert sorted(set(told)) == whole and {epoch for _, epoch, _ in whole} == {4, 8}
    assert len(told) == len(whole)


def drawn(**model):
    spec = study(growth=(), when=None, where=None, rates=None)
    spec = spec.updated({f"model.{k}": v for k, v in model.items()})
    return spec, cohort.drawn(spec, ("seed",), np.array([[3.0]]))[0]


def applied(spec, params, x):
    return np.asarray(fj.spec.build(spec, "model", {}).apply(params, x))


@pytest.mark.slow
def test_a_network_moves_into_a_larger_capacity():
    small, (params, masks) = drawn(widths=(12, 10), start=(12, 8))
    large, (others, _) = drawn(widths=(14, 6, 12, 5), start=(14, 0, 12, 0))
    mapping = {"layer_001": "layer_002"}
    moved, there = transplant(params, masks, others, mapping)
    x = np.random.default_rng(0).normal(size=(7, 16)).astype(np.float32)
    np.testing.assert_allclose(
        applied(large, moved, x), applied(small, params, x), rtol=1e-5, atol=1e-5
    )
    count = sum(own["kernel"].sum() for own in masks.values())
    assert sum(own["kernel"].sum() for own in there.values()) == count
    starts = [(moved, there)]
    member = cohort.train_cohort(large, ("seed",), np.array([[3.0]]), chunk=2, starts=starts)[0]
    assert member.readings["edges"] == count


def test_what_does_not_fit_is_listed():
    _, (params, masks) = drawn(widths=(12, 10), start=(12, 8))
    _, (others, _) = drawn(widths=(4, 10), start=(4, 8))
    with pytest.raises(FractaljaxError, match="layer_000: 12 units into 4"):
        transplant(params, masks, others)
    with pytest.raises(FractaljaxError, match="no layer layer_009"):
        transplant(params, masks, others, {"layer_001": "layer_009"})
    with pytest.raises(FractaljaxError, match="change their order"):
        transplant(params, masks, params, {"layer_000": "layer_001", "layer_001": "layer_000"})


def test_finer_pixels_see_the_same_in_even_squares():
    coarse, (params, masks) = drawn(widths=(12, 10), start=(12, 8))
    weights, exist = finer(params, masks, 4, 8)
    x = np.random.default_rng(0).normal(size=(5, 4, 4)).astype(np.float32)
    fine = x.repeat(2, axis=1).repeat(2, axis=2).reshape(5, 64)
    np.testing.assert_allclose(
        applied(coarse, weights, fine),
        applied(coarse, params, x.reshape(5, 16)),
        rtol=1e-4,
        atol=1e-5,
    )
    first = [tree["layer_000"]["kernel"] for tree in (masks, exist)]
    assert first[1].sum() == 4 * first[0].sum()


def test_decisive_features_are_those_of_the_largest_weights():
    _, (params, masks) = drawn(widths=(6,), start=(6,), density=1e-6)
    coarse = {"layer_000": {"kernel": np.zeros((16, 10)), "bias": np.zeros(10)}}
    for label in range(10):
        coarse["layer_000"]["kernel"][[label, label + 3], label] = 2.0, -3.0
    settings = {"top": 2, "second": 1, "strong": 0.7, "weak": 0.3}
    weights, exist = decisive(coarse, params, masks, np.ones(16), **settings)
    kernel = weights["layer_000"]["kernel"]
    for unit in range(6):
        assert kernel[unit, unit] == np.float32(1.4)
        other = (unit + 3) % 10
        assert kernel[other + 3, unit] == np.float32(-0.9)
        assert exist["layer_000"]["kernel"][[unit, unit + 3, other + 3], unit].all()
        assert exist["layer_001"]["kernel"][16 + unit, [unit, other]].all()


@pytest.mark.slow
def test_one_large_network_on_four_devices_is_the_one_on_one():
    script = """
import sys, numpy as np, jax
import fractaljax as fj
spec = fj.Spec(
    model=fj.Part("masked_mlp", widths=(32, 8, 16), start=(32, 0, 16), density=0.3),
    problem=fj.Part("synthetic_classes", points=400, inputs=64, batch=40, sampling="epochs",
                    validation=80, test=80),
    optimizer=fj.Part("adam", lr=0.01),
    growth=(fj.Part("embedded", saturated=0.5),), when=fj.Part("every", epochs=2),
    where=fj.Part("extrema", high=0.5),
    stopping=fj.Part("patience", patience=99, interval=1, schedule=()),
    fold=(), steps=48, dtype="float64",
)
found = [fj.train_large(spec, {"LR": 0.02}, devices=n) for n in (4, 1)]
four, one = found
assert set(one.readings) == set(four.readings)
for name, value in one.readings.items():
    np.testing.assert_allclose(four.readings[name], value, rtol=1e-9, err_msg=name)
for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(four.params)):
    np.testing.assert_allclose(b, a, rtol=1e-8, atol=1e-12)
assert one.readings["events"] > 0
try:
    fj.train_large(spec.updated({"problem.batch": 42}), devices=4)
except fj.FractaljaxError as error:
    assert "not a multiple" in str(error)
else:
    raise AssertionError
print("alike")
"""
    ended = run([], script=script)
    assert ended.code == 0 and "alike" in ended.said, ended.told[-2000:]
