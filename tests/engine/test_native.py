"""The native kernel against the engine's own JAX path, which is its reference."""

import dataclasses
import json
import subprocess

import numpy as np
import pytest

import fractaljax as fj
from fractaljax import cli, registry
from fractaljax.engine import plan
from fractaljax.engine.native import build, lanes
from fractaljax.errors import FractaljaxError
from fractaljax.families.fractal import prepare

pytestmark = pytest.mark.needs("compiler")
LR = ("optimizer.lr_in", "optimizer.lr_out")
FOLDS = (fj.Part("measure", tail=4), fj.Part("final_loss"), fj.Part("history", every=5))


def small(steps=12, **changes):
    settings = {
        "model": fj.Part("mlp", width=5),
        "problem": fj.Part("random_regression", inputs=3, points=11),
        "fold": FOLDS,
        "steps": steps,
        "dtype": "float64",
    }
    return fj.Spec(**settings | changes)


def window(n=6, low=0.01, high=1e4):
    return fj.Window(fj.Axis("LR0", low, high, n), fj.Axis("LR1", low, high, n))


def both(spec, where, **options):
    return [fj.scan(spec, where, kernel=k, **options) for k in ("xla", "native")]


@pytest.mark.parametrize("dtype, close", [("float64", 1e-9), ("float32", 2e-3)])
@pytest.mark.parametrize("activation", lanes.ACTIVATIONS)
@pytest.mark.parametrize("parametrisation", ["mean_field", "standard"])
def test_it_trains_the_same_networks(activation, parametrisation, dtype, close):
    prepare(dtype)
    model = fj.Part("mlp", width=5, activation=activation, parametrisation=parametrisation)
    xla, native = both(small(model=model, dtype=dtype), window(high=0.5), chunk=4)
    for name in ("measure", "final_loss", "history"):
        assert native[name].dtype == dtype and native[name].shape == xla[name].shape
        np.testing.assert_allclose(native[name], xla[name], rtol=close, err_msg=name)


@pytest.mark.parametrize(
    "inputs, width, points", [(16, 16, 272), (1, 1, 1), (4, 9, 16), (7, 4, 33)]
)
def test_sizes_that_fill_no_tile_are_padded(inputs, width, points):
    spec = small(
        model=fj.Part("mlp", width=width),
        problem=fj.Part("random_regression", inputs=inputs, points=points),
    )
    xla, native = both(spec, window(3, high=2.0), chunk=2)
    np.testing.assert_allclose(native["measure"], xla["measure"], rtol=1e-9)


def test_networks_that_fail_read_the_same():
    """Losses that leave the range of the numbers, and the closed form of the steps not taken."""
    status = fj.Part("status", rule="loss", loss_limit=float("inf"))
    model = fj.Part("mlp", width=5, activation="relu")
    xla, native = both(small(120, model=model, fold=(*FOLDS, status)), window(8, high=1e6))
    assert set(np.unique(xla["status"])) >= {0, 4}
    for name in ("status", "diverged_at"):
        np.testing.assert_array_equal(native[name], xla[name])
    np.testing.assert_array_equal(native["measure"] < 0, xla["measure"] < 0)


def test_bits_do_not_depend_on_chunk_tile_devices_or_neighbours():
    """Law 3, and more: in the kernel a network is alone in its lane whatever the chunk is."""
    spec, where = small(60), window(7)
    first = fj.scan(spec, where, kernel="native", chunk=4)
    for options in (
        {"chunk": 1},
        {"chunk": 32},
        {"chunk": 4, "tile": 3},
        {"chunk": 4, "devices": 1},
    ):
        again = fj.scan(spec, where, kernel="native", **options)
        for name in ("measure", "history"):
            np.testing.assert_array_equal(again[name], first[name], err_msg=str(options))
    corners = fj.scan(spec, window(3), kernel="native", chunk=4)
    np.testing.assert_array_equal(corners["measure"], first["measure"][::3, ::3])


def test_weights_of_their_own_and_other_axes():
    """Seeds of the weights, offset and scale are the model's business, before the kernel's."""
    for axis in (fj.Axis("model_seed", 0, 5, 6, "linear"), fj.Axis("INIT_OFFSET", 0.1, 2.0, 6)):
        where = fj.Window(axis, fj.Axis("LR", 0.01, 1.0, 2))
        xla, native = both(small(), where, chunk=4)
        np.testing.assert_allclose(native["measure"], xla["measure"], rtol=1e-9)
        assert len(np.unique(native["measure"])) == 12


REFUSED = {
    "momentum": {"optimizer": fj.Part("sgd", momentum=0.9)},
    "adam": {"optimizer": fj.Part("adam")},
    "one hidden layer": {"model": fj.Part("mlp", width=5, depth=3)},
    "biases": {"model": fj.Part("mlp", width=5, bias=True)},
    "units": {"model": fj.Part("mlp", width=5, activation="gelu")},
    "schedule": {"schedule": fj.Part("cosine")},
    "all data": {"problem": fj.Part("random_regression", points=8, inputs=3, batch=4)},
    "one output": {"problem": fj.Part("random_regression", points=8, inputs=3, targets=2)},
    "rule": {"rule": fj.Part("drift")},
    "fold probe": {"fold": (fj.Part("probe"),)},
    "fold status": {"fold": (fj.Part("status"),)},  # looks at the norm of the weights
    "all networks": {"redraw": True},
    "more than": {"model": fj.Part("mlp", width=2000)},
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_it_does_not_take_is_said(why):
    assert lanes.fits(small(), LR) is None
    spec = small(**REFUSED[why])
    with pytest.raises(FractaljaxError) as caught:
        fj.scan(spec, window(2), kernel="native")
    said = str(caught.value)
    assert "kernel=native does not take this training" in said
    assert why.split()[-1] in said or why == "adam", said


def test_an_axis_is_a_value_among_others():
    where = fj.Window(fj.Axis("MOMENTUM", 0.0, 0.9, 2, "linear"), fj.Axis("LR", 0.1, 1.0, 2))
    with pytest.raises(FractaljaxError, match="momentum"):
        fj.scan(small(), where, kernel="native")


@pytest.mark.parametrize("name", registry.names("fold"))
def test_every_fold_that_reads_losses_alone_reads_the_same(name):
    spec = small(fold=(fj.Part(name),))
    if lanes.fits(spec, LR) is None:
        xla, native = both(spec, window(3, high=2.0), chunk=2)
        for reading in xla.arrays:
            np.testing.assert_allclose(native[reading], xla[reading], rtol=1e-9)
    else:
        assert name in ("probe", "status")


def test_plan_measures_both_and_keeps_the_quicker(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spec, mesh = small(), plan.mesh()
    choices = plan.candidates(spec, LR, mesh, 4096)
    assert {c.kernel for c in choices} == {"xla", "native"}
    assert all(c.kernel == "xla" for c in plan.candidates(spec, LR, mesh, 64, "xla"))
    monkeypatch.setattr(plan, "WORTH_MEASURING", 1)
    monkeypatch.setattr(plan, "SAMPLE_ROUNDS", 1)
    made = fj.scan(spec, window()).provenance
    (entry,) = json.loads((tmp_path / "fractaljax" / "wisdom.json").read_text()).values()
    assert (made["kernel"], made["chunk"]) == (entry["kernel"], entry["chunk"])


def test_published_numbers_come_from_the_published_order_of_sums(monkeypatch):
    spec, where = fj.load("configs/paper/tanh.yaml", only="overview")
    paths = tuple(axis.path for axis in where.axes)
    assert lanes.fits(spec, tuple(map(spec.traced, paths))) is None
    assert {c.kernel for c in plan.candidates(spec, LR, plan.mesh(), 64)} == {"xla"}
    single = dataclasses.replace(spec, dtype="float32")
    assert "native" in {c.kernel for c in plan.candidates(single, LR, plan.mesh(), 4096)}


def test_a_store_keeps_its_kernel(tmp_path, capsys, monkeypatch):
    config = tmp_path / "small.yaml"
    config.write_text(
        "model: {width: 4}\nproblem: {inputs: 4, points: 8}\nsteps: 20\nwindow: {resolution: 4}\n"
    )
    command = ["scan", str(config), "--out", str(tmp_path / "a"), "--tile", "2"]
    assert cli.main([*command, "--kernel", "native"]) == 0
    assert fj.open(tmp_path / "a").provenance["kernel"] == "native"
    capsys.readouterr()
    assert cli.main([*command, "--kernel", "xla"]) == 2
    assert "begun with kernel=native" in capsys.readouterr().err
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    assert cli.main(command) == 2  # it would go on in another order of sums
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "no C++ compiler" in said


@pytest.mark.slow
def test_every_axis_reads_the_same_or_is_refused():
    """What looks like its default while it is an axis must not slip through."""
    spec = small(4, schedule=fj.Part("constant"))
    taken = set()
    for path in spec.paths():
        try:
            where = fj.Window(fj.Axis(spec.traced(path), 0.1, 0.7, 2))
            xla = fj.scan(spec, where, chunk=2)
        except FractaljaxError:
            continue  # no axis at all, or not with these values
        try:
            native = fj.scan(spec, where, chunk=2, kernel="native")
        except FractaljaxError:
            continue
        taken.add(path)
        np.testing.assert_allclose(native["measure"], xla["measure"], rtol=1e-9, err_msg=path)
    assert "optimizer.lr" in taken or "optimizer.lr_in" in taken
    for path in ("model.dropout", "schedule.warmup", "optimizer.momentum"):
        assert path in lanes.fits(spec, (spec.traced(path),))


def test_what_was_measured_of_one_training_is_not_taken_for_another(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spec, mesh = small(), plan.mesh()
    native = [plan.Choice("native", build.lanes(spec.dtype))]
    plan.measure(spec, LR, lambda n: np.full((n, 2), 0.1), mesh, native)
    assert plan.remembered(spec, LR, mesh).kernel == "native"
    heavy = small(optimizer=fj.Part("sgd", momentum=0.9))
    assert plan.remembered(heavy, LR, mesh) is None
    monkeypatch.setattr(build, "lanes", lambda _: build._library.__wrapped__())
    monkeypatch.setenv("CXX", "no-such-compiler -v")
    assert plan.remembered(spec, LR, mesh) is None
    assert "CXX=no-such-compiler -v is no program" in build.missing()


@pytest.mark.parametrize("broken", [pytest.param("compiler", marks=pytest.mark.needs()), "cache"])
def test_a_scan_goes_on_without_what_cannot_be_compiled(monkeypatch, tmp_path, broken):
    if broken == "compiler":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setenv("CXX", "/bin/false")
    else:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(build, "lanes", lambda _: build._library.__wrapped__())
    monkeypatch.setattr(plan, "WORTH_MEASURING", 1)
    assert fj.scan(small(), window(2)).provenance["kernel"] == "xla"
    with pytest.raises(FractaljaxError, match="kernel=native: "):
        fj.scan(small(), window(2), kernel="native")


@pytest.mark.needs()
def test_a_compiler_that_fails_costs_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "compiler", lambda: ["/bin/false"])
    with pytest.raises(FractaljaxError, match="does not compile it"):
        build._compile(tmp_path / "native" / "shallow.so")
    assert not list(tmp_path.rglob("*.so"))


def test_the_kernel_compiles_without_warnings_under_strict_flags(tmp_path):
    """`-w` in the product hides what the headers of jaxlib say; our own code says nothing."""
    import jax

    flags = [f for f in build.FLAGS if f != "-w"]
    command = [*build.compiler(), *flags, "-Wall", "-Wextra", "-Wno-psabi", "-Wno-unused-parameter"]
    command += ["-isystem", jax.ffi.include_dir(), str(build.SOURCE), "-o", str(tmp_path / "k.so")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "shallow.cc" not in done.stderr, done.stderr


def test_tanh_is_good_to_three_units_in_the_last_place():
    """One step of a network of one unit whose rates are zero: its loss is tanh squared."""
    for dtype, most in (("float64", 25), ("float32", 12)):
        prepare(dtype)
        model = fj.Part("mlp", width=1, parametrisation="standard", init_scale=1.0)
        problem = fj.Part("random_regression", inputs=1, points=1)
        spec = small(1, model=model, problem=problem, dtype=dtype, fold=(fj.Part("final_loss"),))
        where = fj.Window(
            fj.Axis("INIT_OFFSET", -most, most, 101, "linear"), fj.Axis("LR", 1e-30, 1e-29, 2)
        )
        xla, native = both(spec, where)
        spacing = np.finfo(dtype).eps
        np.testing.assert_allclose(native["final_loss"], xla["final_loss"], rtol=20 * spacing)
