"""The engine: one trace, the same point the same reading, chunks and devices, memory."""

import dataclasses
import textwrap

import jax
import numpy as np
import pytest
from commands import run

import fractaljax as fj
from fractaljax import registry
from fractaljax.engine import plan, program, scan
from fractaljax.errors import FractaljaxError
from fractaljax.families.fractal import prepare
from fractaljax.types import Fold

SMALL = {"model": fj.Part("mlp", width=4), "steps": 15}
PROBLEM = fj.Part("random_regression", points=8, inputs=4)


def small(**changes) -> fj.Spec:
    return fj.Spec(**SMALL | {"problem": PROBLEM, "dtype": "float64"} | changes)


def window(n: int = 12) -> fj.Window:
    return fj.Window(
        fj.Axis("optimizer.lr_in", 1e-3, 1e5, n), fj.Axis("optimizer.lr_out", 1e-3, 1e5, n)
    )


@pytest.fixture
def traces(monkeypatch):
    """A fold that notes every time it is traced."""
    registry.names("fold")  # the parts are imported on first use
    monkeypatch.setitem(registry._PARTS, "fold", dict(registry._PARTS["fold"]))
    seen = []

    @registry.register("fold", "traced")
    def traced() -> Fold:
        """The loss of the last step."""

        def update(carry, snapshot):
            seen.append(snapshot.t)
            return snapshot.loss

        return Fold(
            lambda params, steps: 0.0 * params["layer_000"]["kernel"][0, 0],
            update,
            lambda c: c != c,
            lambda c, steps: {"traced": c},
        )

    return seen


def test_one_program_for_all_tiles_windows_and_zooms(traces):
    spec = small(fold=(fj.Part("traced"),))
    fj.scan(spec, window(), tile=4, chunk=2)
    assert traces, "the fold was never traced"
    count = len(traces)
    fj.scan(spec, window(), tile=4, chunk=2)
    fj.scan(spec, window().zoom((0.5, 0.5), 100.0), tile=4, chunk=2)
    fj.scan(spec, window(20), tile=4, chunk=2)  # another resolution, the same tile
    assert len(traces) == count


@pytest.mark.parametrize("side", [0, 1, 5, 64])
def test_tiles_do_not_change_a_bit(side):
    whole = fj.scan(small(), window(), tile=0, chunk=4)["measure"]
    assert np.array_equal(fj.scan(small(), window(), tile=side, chunk=4)["measure"], whole)


def test_same_point_in_another_window():
    """The corner pixels are shared; everything between differs."""
    full = fj.scan(small(), window(9), chunk=4)["measure"]
    corners = fj.scan(small(), window(2), chunk=4)["measure"]
    assert np.array_equal(full[:: len(full) - 1, :: len(full) - 1], corners)


def test_early_exit_changes_nothing(monkeypatch):
    """A chunk that never leaves early reads the same."""
    status = fj.Part("status", loss_limit=np.inf, norm_limit=np.inf)  # only NaN and Inf count
    folds = (*(fj.Part(n) for n in ("measure", "probe", "final_loss", "history")), status)
    spec = small(model=fj.Part("mlp", width=4, activation="linear"), fold=folds, steps=30)
    early = fj.scan(spec, window(), chunk=4)
    program._compiled.cache_clear()
    monkeypatch.setattr(
        program.train, "settled", lambda spec, hparams, state: jax.numpy.zeros((), bool)
    )
    late = fj.scan(spec, window(), chunk=4)
    program._compiled.cache_clear()
    for name in early.arrays:
        assert np.array_equal(early[name], late[name], equal_nan=True), name
    assert (early["status"] == 4).any(), "no network failed: the test shows nothing"


def test_measure_is_the_published_formula():
    """The closed form of the steps not taken, against the formula over all losses."""
    spec = small(fold=(fj.Part("measure", tail=5), fj.Part("history", every=1)), steps=40)
    field = fj.scan(spec, window(), chunk=4)
    losses = field["history"]
    assert np.isinf(losses).any() and (field["measure"] < 0).any()
    v = np.where(np.isfinite(losses), losses, 1e6)
    v = np.minimum(v / v[..., :1], 1e6)
    expected = np.where(v[..., -5:].mean(-1) < 1, -v.sum(-1), (1 / v).sum(-1))
    np.testing.assert_allclose(field["measure"], expected, rtol=1e-12)


def test_status_tells_how_training_ended():
    spec = small(
        fold=(fj.Part("status", loss_limit=50.0, norm_limit=1e9), fj.Part("history", every=1))
    )
    field = fj.scan(spec, window(), chunk=4)
    losses, at = field["history"], field["diverged_at"]
    failed = at >= 0
    assert set(np.unique(field["status"][failed])) <= {3, 4}
    assert set(np.unique(field["status"][~failed])) <= {0, 1, 2}
    crossed = ~(losses <= 50.0)
    first = np.where(crossed.any(-1), crossed.argmax(-1), -1)
    assert np.array_equal(first, at)
    fallen = losses[~failed][:, -15:].mean(-1) < losses[~failed][:, 0]
    assert np.array_equal(field["status"][~failed] == 0, fallen)


def test_norm_rule():
    field = fj.scan(
        small(fold=(fj.Part("status", rule="norm", norm_limit=20.0),)), window(), chunk=4
    )
    assert (field["status"] == 3).any() and (field["status"] == 0).any()


def test_redraw_is_a_function_of_the_point():
    loss = (fj.Part("final_loss"),)
    spec = small(redraw=True, fold=loss)

    def window(n: int) -> fj.Window:
        return fj.Window(*(fj.Axis(f"optimizer.{p}", 1e-9, 1e-8, n) for p in ("lr_in", "lr_out")))

    full = fj.scan(spec, window(9), chunk=2)["final_loss"]
    corners = fj.scan(spec, window(2), chunk=2, tile=1)["final_loss"]
    assert np.array_equal(full[::8, ::8], corners)
    shared = fj.scan(small(fold=loss), window(9), chunk=2)["final_loss"]
    # hardly trained at such rates: pixels differ by their draws alone
    assert np.ptp(full) > 100 * np.ptp(shared)


def test_seed_is_an_axis():
    seeds = fj.Window(fj.Axis("seed", 0, 5, 6, scale="linear"))
    field = fj.scan(small(), seeds, chunk=2)
    assert len(np.unique(field["measure"])) == 6
    with pytest.raises(FractaljaxError, match="whole numbers"):
        fj.scan(small(), seeds.resized(5))


@pytest.mark.parametrize("sampling", ["replacement", "distinct", "epochs"])
def test_both_precisions_see_the_same_batches(sampling):
    problem = fj.Part("random_regression", points=8, inputs=4, batch=3, sampling=sampling)
    found = {}
    for dtype in ("float64", "float32"):
        prepare(dtype)
        spec = small(dtype=dtype, problem=problem, fold=(fj.Part("history", every=1),), steps=6)
        found[dtype] = fj.scan(spec, fj.Window(fj.Axis("optimizer.lr", 0.1, 1.0, 3)))["history"]
    np.testing.assert_allclose(found["float32"], found["float64"], rtol=1e-4)


def test_nesterov_goes_with_a_momentum_axis_from_zero():
    spec = small(optimizer=fj.Part("sgd", momentum=0.5, nesterov=True))
    axis = fj.Axis("optimizer.momentum", 0.0, 0.9, 3, scale="linear")
    assert fj.scan(spec, fj.Window(axis)).done.all()


def test_one_path_under_two_names_is_refused():
    both = fj.Window(fj.Axis("LR0", 0.1, 1.0, 2), fj.Axis("optimizer.lr_in", 0.1, 1.0, 2))
    with pytest.raises(FractaljaxError, match="two different"):
        fj.scan(small(), both)


def test_knobs_nobody_reads():
    with pytest.raises(FractaljaxError, match="lr_mid is not read"):
        fj.scan(small(), fj.Window(fj.Axis("LR_MID", 0.1, 1.0, 2)))
    with pytest.raises(FractaljaxError, match=r"norm_limit=3\.0 is not read"):
        small(fold=(fj.Part("status", rule="loss", norm_limit=3.0),))
    with pytest.raises(FractaljaxError, match="problem: batch=50"):
        batch = fj.Part("random_regression", points=8, inputs=4, batch=50, sampling="distinct")
        fj.scan(small(problem=batch), window())


def test_zero_is_allowed_on_a_linear_axis():
    axes = fj.Window(fj.Axis("optimizer.momentum", 0.0, 0.9, 4, scale="linear"), window(4).y)
    with_axis = fj.scan(small(), axes, chunk=2)["measure"]
    without = fj.scan(small(), fj.Window(window(4).y), chunk=2)["measure"]
    np.testing.assert_allclose(with_axis[:, 0], without, rtol=1e-9)


def test_float32_trains_the_same_networks():
    """The draws are made in float64 and rounded, so only rounding separates the two."""
    double = fj.scan(small(), window(), chunk=4)["measure"]
    prepare("float32")
    single = fj.scan(small(dtype="float32"), window(), chunk=4)["measure"]
    assert single.dtype == np.float32
    assert np.mean(np.sign(single) == np.sign(double)) > 0.95
    calm = np.abs(double) < 14  # far from the boundary
    np.testing.assert_allclose(single[calm & (double < 0)], double[calm & (double < 0)], rtol=1e-3)


def test_precision_must_agree():
    with pytest.raises(FractaljaxError, match="prepare"):
        fj.scan(small(dtype="float32"), window())


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        (("model.width", "optimizer.lr"), "static"),
        (("optimizer.lr_inn", "optimizer.lr"), "lr_in"),
        (("optimizer.beta2", "optimizer.lr"), "beta2"),
    ],
)
def test_axes_are_checked_before_anything_compiles(axes, words):
    with pytest.raises(FractaljaxError, match=words):
        fj.scan(small(), fj.Window(*(fj.Axis(a, 0.1, 1.0, 2) for a in axes)))


def test_a_knob_that_an_axis_makes_unread_is_refused():
    spec = small(optimizer=fj.Part("sgd", lr_in=0.1, lr_out=0.1))
    with pytest.raises(FractaljaxError, match="lr is not read"):
        fj.scan(spec, fj.Window(fj.Axis("optimizer.lr", 0.1, 1.0, 2)))


def test_out_of_memory_halves_the_chunk(monkeypatch, caplog):
    real = program.compile_tile
    asked = []

    def scarce(spec, names, pixels, chunk, mesh, kernel):
        asked.append(chunk)
        if chunk > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")
        return real(spec, names, pixels, chunk, mesh)

    monkeypatch.setattr(scan.program, "compile_tile", scarce)
    field = fj.scan(small(), window(), chunk=8)
    assert asked[:3] == [8, 4, 2] and field.provenance["chunk"] == 2
    assert "out of memory" in caplog.text and field.done.all()


def test_real_out_of_memory_is_one_clear_error():
    """A network that cannot fit at all: the allocator's own refusal, not a crash."""
    script = """
        import resource, fractaljax as fj
        from fractaljax.errors import FractaljaxError
        fj.prepare("float32", devices=1)
        spec = fj.Spec(steps=2, problem=fj.Part("random_regression", points=400000, inputs=64),
                       model=fj.Part("mlp", width=512))
        window = fj.Window(fj.Axis("optimizer.lr", 1e-3, 1.0, 4))
        fj.scan(spec.updated({"problem.points": 4}), window, chunk=1)  # what a start takes
        import os
        used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
        try:
            fj.scan(spec, window, chunk=4)
        except FractaljaxError as error:
            print("REFUSED", error)
    """
    ended = run([], script=textwrap.dedent(script))
    assert "REFUSED out of memory" in ended.said, ended.told[-2000:]


def test_largest_chunk_fits_the_memory():

    def used(chunk: int) -> int:
        return 1_000_000 + 3_000 * chunk

    for free in (2**24, 2**30, 2**36):
        chunk = plan.largest_chunk(used, free)
        assert used(chunk) <= free * plan.MEMORY_SHARE < used(4 * chunk)


def test_measured_chunk_is_remembered(monkeypatch):
    monkeypatch.setattr(plan, "WORTH_MEASURING", 0)
    spec, w = small(steps=5, seed=77), window(4)
    first = fj.scan(spec, w).provenance["chunk"]
    monkeypatch.setattr(plan, "measure", lambda *_: pytest.fail("measured twice"))
    assert fj.scan(dataclasses.replace(spec, seed=78), w).provenance["chunk"] == first


def test_provenance_is_complete():
    made = fj.scan(small(), window(4), chunk=2).provenance
    for key in (
        "dtype",
        "chunk",
        "tile",
        "backend",
        "devices",
        "device_kind",
        "versions",
        "git",
        "wall_s",
        "pixels",
        "pixels_per_s",
        "started",
    ):
        assert key in made
    assert made["versions"]["jax"] == jax.__version__ and made["pixels"] == 16
