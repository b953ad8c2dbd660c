"""Members that end one by one: the batch never matters, the schedule does, test data wait."""

import dataclasses
import math

import jax
import numpy as np
import pytest

import fractaljax as fj
from fractaljax.engine import cohort, plan, program, streams
from fractaljax.engine.train import train
from fractaljax.errors import FractaljaxError

NAMES = ("optimizer.lr", "optimizer.weight_decay", "model.dropout", "model.slope")
MODEL = {"activation": "leaky_relu", "bias": True, "parametrisation": "torch", "slope": 0.05}
HELD = {"validation": 240, "test": 360, "scaling": "unit"}


@pytest.fixture(autouse=True)
def single():
    fj.prepare("float32")


def study(epochs=30, widths=(16, 8), **stopping):
    """Digits, 10 steps an epoch, the last batch smaller."""
    return fj.Spec(
        model=fj.Part("mlp", widths=widths, dropout=0.1, **MODEL),
        problem=fj.Part("digits", batch=128, sampling="passes", **HELD),
        optimizer=fj.Part("adamw"),
        stopping=fj.Part("patience", **stopping),
        fold=(),
        steps=10 * epochs,
        seed=1,
        data_seed=1,
    )


def ragged():
    """Its members end at many different epochs."""
    return study(40, patience=1, interval=3, schedule=((20, 2),))


def points(count=30):
    rng = np.random.default_rng(0)
    lr, decay = np.exp(rng.uniform(np.log(1e-4), np.log(1.0), (2, count)))
    return np.column_stack([lr, decay, rng.uniform(0, 0.5, count), rng.uniform(0.01, 0.1, count)])


def same(one, other):
    """Bit for bit, every curve, reading and weight."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


@pytest.fixture(scope="module")
def thirty():
    fj.prepare("float32")
    return cohort.train_cohort(ragged(), NAMES, points(), chunk=4)


@pytest.mark.slow
def test_members_end_at_different_times(thirty):
    ends = {len(member.curves["training"]) for member in thirty}
    assert len(ends) > 5 and max(ends) == 40


@pytest.mark.parametrize("which", [0, 7, 29])
def test_a_member_of_thirty_is_the_member_alone(thirty, which):
    (alone,) = cohort.train_cohort(ragged(), NAMES, points()[which : which + 1], chunk=4)
    assert same(alone, thirty[which])


@pytest.mark.slow
def test_neither_compaction_nor_order_nor_devices_matter(thirty):
    every = cohort.train_cohort(ragged(), NAMES, points(), chunk=4, compact=False)
    assert same(every, thirty)
    backwards = cohort.train_cohort(ragged(), NAMES, points()[::-1], chunk=4)
    assert same(backwards[::-1], thirty)
    one = cohort.train_cohort(ragged(), NAMES, points(), chunk=4, mesh=plan.mesh(1))
    assert same(one, thirty)


def test_compaction_saves_waves(thirty, monkeypatch):
    waves = []
    advance = cohort._Cohort.advance

    def counted(self):
        waves.append(len(self._waves))
        advance(self)

    monkeypatch.setattr(cohort._Cohort, "advance", counted)
    cohort.train_cohort(ragged(), NAMES, points(), chunk=4)
    assert waves[0] == 4 and waves[-1] < 4 and waves == sorted(waves, reverse=True)


def stopped(curve, patience, epochs, due, min_delta=0.0):
    """The published loop, on a curve: `(best epoch, best loss, last epoch)`."""
    best, best_epoch, waited = math.inf, 0, 0
    for epoch in range(1, epochs + 1):
        if not due(epoch):
            assert math.isnan(curve[epoch - 1])
            continue
        if curve[epoch - 1] < best - min_delta:
            best, best_epoch, waited = curve[epoch - 1], epoch, 0
        else:
            waited += 1
        if waited >= patience:
            return best_epoch, best, epoch
    return best_epoch, best, epochs


@pytest.mark.parametrize(
    ("stopping", "due"),
    [
        ({}, lambda e: e % 5 == 0 or e == 30),
        ({"interval": 3, "schedule": ((12, 4), (20, 2))}, None),
        ({"interval": 7, "schedule": (), "min_delta": 0.01}, lambda e: e % 7 == 0 or e == 30),
        ({"patience": 1, "schedule": (), "interval": 1}, lambda e: True),
    ],
)
@pytest.mark.slow
def test_stop_epochs_follow_the_schedule(stopping, due):
    def ladder(epoch):
        apart = 4 if epoch <= 12 else 2 if epoch <= 20 else 3
        return epoch % apart == 0 or epoch == 30

    spec, due = study(**stopping), due or ladder
    for member in cohort.train_cohort(spec, NAMES, points(12), chunk=4):
        patience = stopping.get("patience", 4)
        ends = len(member.curves["validation"])
        curve = np.concatenate([member.curves["validation"], np.full(30 - ends, np.nan)])
        rule = {"min_delta": stopping.get("min_delta", 0.0)}
        best_epoch, best, last = stopped(curve, patience, 30, due, **rule)
        found = member.readings
        assert (found["best_epoch"], found["stopped_epoch"], ends) == (best_epoch, last, last)
        assert found["validation_loss"] == best
        assert np.isfinite(member.curves["training"]).all()


def test_the_published_schedule():
    looks = cohort.looks(study(epochs=1000))
    assert looks[:3].tolist() == [5, 10, 15] and looks[19:22].tolist() == [100, 104, 108]
    assert looks[-1] == 1000


def test_a_loss_that_is_not_finite_is_never_the_best():
    values = np.array([[1e30, 0.0, 0.1, 0.05], [1e-3, 0.0, 0.1, 0.05]])
    lost, fine = cohort.train_cohort(study(), NAMES, values)
    assert math.isnan(lost.readings["validation_loss"]) and lost.readings["best_epoch"] == 0
    assert lost.readings["stopped_epoch"] == 20  # four looks without a better one
    assert fine.readings["best_epoch"] > 0


def test_the_weights_of_the_best_look_are_kept(thirty):
    data = streams.shared_draws(ragged()).data
    weights = [member.params for member in thirty]
    scores = cohort.evaluate(ragged(), NAMES, points(), weights, data.valid)
    best = [member.readings["validation_loss"] for member in thirty]
    np.testing.assert_allclose(scores["loss"], best, rtol=1e-5)
    assert ((scores["accuracy"] >= 0) & (scores["accuracy"] <= 1)).all()


@pytest.mark.slow
def test_no_training_sees_the_test_data(thirty, monkeypatch):
    spec = ragged()
    draws = streams.shared_draws(spec)
    assert draws.data.test.x.shape == (360, 64)
    common = program.common_of(spec, NAMES)
    assert common.draws.data.test == ()  # what the program is given
    poisoned = jax.tree.map(lambda leaf: leaf * np.nan, draws.data.test)
    draws = draws._replace(data=draws.data._replace(test=poisoned))
    monkeypatch.setattr("fractaljax.engine.train.shared_draws", lambda _: draws)
    cohort._compiled.cache_clear()
    assert same(cohort.train_cohort(spec, NAMES, points(), chunk=4), thirty)
    cohort._compiled.cache_clear()


@pytest.mark.slow
def test_stopped_at_any_look_it_goes_on(thirty, kept, monkeypatch):
    monkeypatch.setattr(cohort, "SAVE_EVERY_S", 1e9)  # only the interruption saves

    class Stop(Exception):
        pass

    def stop(progress):
        raise Stop

    looks = cohort.looks(ragged())
    for look in range(1, 6):
        with pytest.raises(Stop):
            cohort.train_cohort(ragged(), NAMES, points(), chunk=4, checkpoint=kept, on_look=stop)
        assert kept.saved == look and kept.arrays["epoch"] == looks[look - 1]
    assert same(cohort.train_cohort(ragged(), NAMES, points(), chunk=4, checkpoint=kept), thirty)


def test_what_was_kept_of_others_is_not_taken(thirty, kept):
    kept.arrays = {"epoch": np.array(5), "alive": np.arange(3)}
    assert same(cohort.train_cohort(ragged(), NAMES, points(), chunk=4, checkpoint=kept), thirty)


def test_progress_counts_epochs_of_members(thirty):
    heard = []
    cohort.train_cohort(ragged(), NAMES, points(), chunk=4, on_look=heard.append)
    assert heard[-1].trained == sum(len(member.curves["training"]) for member in thirty)
    assert [p.epoch for p in heard] == cohort.looks(ragged()).tolist()[: len(heard)]
    assert heard[-1].alive == 0 and heard[0].members == 30


@pytest.mark.slow
def test_seeds_are_networks_of_their_own_on_the_same_data():
    values = np.array([[0.01, 0.0, 0.1, 0.05, seed] for seed in (1, 2, 3, 2)])
    found = cohort.train_cohort(study(), (*NAMES, "seed"), values)
    losses = [member.readings["validation_loss"] for member in found]
    assert len(set(losses)) == 3 and same(found[1], found[3])


@pytest.mark.slow
def test_a_scan_and_a_training_alone_read_the_same():
    spec = study(epochs=20)
    rates = fj.Axis("optimizer.lr", 1e-3, 1.0, 3)
    window = fj.Window(rates, fj.Axis("model.dropout", 0.1, 0.5, 2, "linear"))
    field = fj.scan(spec, window, chunk=2)
    grid = window.points(window.tiles(0)[0])
    found = cohort.train_cohort(spec, ("optimizer.lr", "model.dropout"), grid, chunk=2)
    data, key = streams.shared_draws(spec).data, jax.random.key(1)
    for name in ("validation_loss", "best_epoch", "stopped_epoch"):
        told = [member.readings[name] for member in found]
        np.testing.assert_allclose(field[name].ravel(), told, rtol=1e-5)
    alone = train(
        spec, dict(zip(("optimizer.lr", "model.dropout"), grid[0], strict=True)), key, data
    )
    assert np.isclose(alone["validation_loss"], field["validation_loss"].ravel()[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stopping": None}, "stopping: members need it"),
        ({"fold": (fj.Part("measure"),)}, "and no fold"),
        ({"problem.validation": 0}, "give problem.validation"),
        ({"steps": 9}, "an epoch has 10"),
        ({"problem.validation": 1500}, "the set has 1797"),
    ],
)
def test_refusals(changes, words):
    spec = study()
    fields = {k: v for k, v in changes.items() if "." not in k}
    spec = dataclasses.replace(spec, **fields)
    spec = spec.updated({k: v for k, v in changes.items() if "." in k})
    with pytest.raises(FractaljaxError, match=words.replace(".", r"\.")):
        cohort.train_cohort(spec, NAMES, points(2))


def test_values_must_be_finite():
    with pytest.raises(FractaljaxError, match="finite"):
        cohort.train_cohort(study(), NAMES, np.full((1, 4), np.nan))


def test_metrics_and_early_stopping_exclude_each_other():
    with pytest.raises(FractaljaxError, match="stopping"):
        dataclasses.replace(study(), metric=(fj.Part("train_loss"),), evaluations=3)
