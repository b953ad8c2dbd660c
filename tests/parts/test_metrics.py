"""Every metric and comparison against a plain loop in float64, and against its own definition."""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from fractaljax import registry
from fractaljax.errors import FractaljaxError
from fractaljax.parts.lanczos import extremes
from fractaljax.types import Data, Evaluation

POINTS, WIDTHS = 23, (3, 6, 5, 2)
pytestmark = pytest.mark.slow  # compiles every metric several times

DEEP = (4, 7, 7, 4)
LINEAR_ONLY = (
    "balance_diffs",
    "end_to_end_weight_norm",
    "gradient_stats",
    "partial_products",
    "relative_rank",
    "singular_values",
)
ON_TEST_DATA = (
    "grad_norm_squared",
    "gradient_stats",
    "hessian_spectrum",
    "test_loss",
    "trace_covariances",
    "trace_gradient_covariance",
)


class Targets(NamedTuple):
    """What targets are made of, as in the problem of a linear teacher."""

    matrix: jax.Array  # [I, O]: shared by all points
    inputs: jax.Array
    noise: jax.Array


def apply_linear(params, x):
    return functools.reduce(lambda h, name: h @ params[name]["kernel"], sorted(params), x)


def apply_tanh(params, x):
    *hidden, last = sorted(params)
    for name in hidden:
        x = jnp.tanh(x @ params[name]["kernel"])
    return x @ params[last]["kernel"]


def preactivations(apply, params, x):
    """What every layer makes, `[H, N]`: the network cut off after it."""
    order = sorted(params)
    cut = {name: {k: params[k] for k in order[: i + 1]} for i, name in enumerate(order)}
    return {name: apply(layers, x).T for name, layers in cut.items()}


def residuals(apply, params, data):
    return apply(params, data.x) - data.y.inputs @ data.y.matrix - data.y.noise


@functools.cache
def evaluate(widths=WIDTHS, linear=True, seed=0, dtype="float64", points=POINTS, scale=0.7):
    """A network as metrics see it, on data of its own."""
    draw = np.random.default_rng(seed).standard_normal
    apply = apply_linear if linear else apply_tanh
    params = {
        f"layer_{i:03d}": {"kernel": jnp.asarray(draw(shape) * scale, dtype)}
        for i, shape in enumerate(itertools.pairwise(widths))
    }

    def some():
        x = jnp.asarray(draw((points, widths[0])), dtype)
        matrix = jnp.asarray(draw((widths[0], widths[-1])), dtype)
        return Data(x, Targets(matrix, x, jnp.asarray(draw((points, widths[-1])), dtype)))

    return seen(params, some(), some(), apply, linear)


def seen(params, train, test, apply, linear):
    def loss(p, data):
        return jnp.mean(residuals(apply, p, data) ** 2)

    def grad(p, data):
        return jax.grad(loss)(p, data)

    losses = jax.jit(loss)  # one small program, and not ten
    return Evaluation(
        params=params,
        train=train,
        test=test,
        train_loss=losses(params, train),
        test_loss=losses(params, test),
        apply=apply,
        linear=linear,
        residuals=functools.partial(residuals, apply),
        loss=loss,
        grad=grad,
        hvp=lambda p, data, v: jax.jvp(lambda q: grad(q, data), (p,), (v,))[1],
        each=lambda function, tree: jax.vmap(function)(tree),
        loop=jax.lax.map,
        repeat=lambda step, carry, count: jax.lax.fori_loop(0, count, step, carry),
        layers=functools.partial(preactivations, apply),
    )


def read(name, *evaluations, **arguments):
    """The readings of a metric or a comparison, compiled."""
    role = "metric" if len(evaluations) == 1 else "comparison"
    function = registry.lookup(role, name)(**arguments)
    weights = [e.params for e in evaluations]
    return jax.jit(lambda *ws: function(*with_weights(evaluations, ws)))(*weights)


def with_weights(evaluations, weights):
    return [e._replace(params=w) for e, w in zip(evaluations, weights, strict=True)]


def matrices(e):
    """The seed's `W_i`, `[fan out, fan in]`."""
    return [np.asarray(e.params[name]["kernel"], np.float64).T for name in sorted(e.params)]


def chain(layers):
    """`W_j ... W_i`, multiplied one after the other."""
    return functools.reduce(lambda product, w: w @ product, layers)


def svd(matrix):
    return np.linalg.svd(matrix, compute_uv=False)


def frobenius(matrix):
    return np.sqrt(sum(v * v for v in np.asarray(matrix, np.float64).ravel()))


@functools.cache
def traces(*args, **kwargs):
    """The three of `trace_covariances` of `evaluate(...)`, a point after the other, with the
    whole Hessian."""
    e = evaluate(*args, **kwargs)
    data = e.test
    targets = np.asarray(data.y.inputs) @ np.asarray(data.y.matrix) + np.asarray(data.y.noise)
    flat, tree = ravel_pytree(e.params)

    def loss(v, x, y):
        return jnp.mean((e.apply(tree(v), x) - y) ** 2)

    hessian = np.asarray(jax.jit(jax.hessian(loss))(flat, data.x, targets), np.float64)
    slope = jax.jit(jax.grad(loss))
    rows = zip(np.asarray(data.x), targets, strict=True)
    grads = np.array([slope(flat, x[None], y[None]) for x, y in rows])
    mean = grads.mean(0)
    noise = grads - mean
    return {
        "grad_norm_squared": mean @ mean,
        "trace_gradient_covariance": np.mean([n @ n for n in noise]),
        "trace_hessian_covariance": np.mean([n @ hessian @ n for n in noise]),
        "second_moment": np.mean([g @ g for g in grads]),
        "hessian": hessian,
    }


class TestWeights:
    def test_norms(self):
        e = evaluate()
        layers = matrices(e)
        norm = np.sqrt(sum(frobenius(w) ** 2 for w in layers))
        np.testing.assert_allclose(read("weight_norm", e)["weight_norm"], norm, rtol=1e-6)
        expected = [frobenius(w) for w in layers]
        np.testing.assert_allclose(read("layer_norms", e)["layer_norms"], expected, rtol=1e-12)
        expected = [frobenius(w @ w.T) for w in layers]
        np.testing.assert_allclose(read("gram_norms", e)["gram_norms"], expected, rtol=1e-12)
        got = read("end_to_end_weight_norm", e)["end_to_end_weight_norm"]
        np.testing.assert_allclose(got, frobenius(chain(layers)), rtol=1e-12)

    def test_balance(self):
        e = evaluate()
        layers = matrices(e)
        expected = [frobenius(w @ w.T - v.T @ v) for w, v in itertools.pairwise(layers)]
        np.testing.assert_allclose(read("balance_diffs", e)["balance_diffs"], expected, rtol=1e-12)
        with pytest.raises(FractaljaxError, match="at least 2 layers"):
            read("balance_diffs", evaluate((3, 2)))

    def test_singular_values(self):
        e = evaluate()
        layers = matrices(e)
        got = read("singular_values", e)["singular_values"]
        np.testing.assert_allclose(got, svd(chain(layers)), rtol=1e-10)
        got = read("layer_singular_values", e)
        assert list(got) == [f"layer_singular_values_{i}" for i in range(len(layers))]
        for values, w in zip(got.values(), layers, strict=True):
            np.testing.assert_allclose(values, svd(w), rtol=1e-10)

    @pytest.mark.parametrize(("tol", "abs_tol"), [(0.01, 0.0), (0.3, 0.0), (0.01, 1.0)])
    def test_ranks(self, tol, abs_tol):
        """Of all products of neighbours; the outermost is the rank of the whole network."""
        e = evaluate()
        layers = matrices(e)
        got = read("partial_products", e, tol=tol, abs_tol=abs_tol)
        pairs = [(i, j) for i in range(3) for j in range(i, 3)]
        assert len(got) == 2 * len(pairs)
        for i, j in pairs:
            values = svd(chain(layers[i : j + 1]))
            found = got[f"product_singular_values_{i}_{j}"]
            np.testing.assert_allclose(found, values, rtol=1e-10, atol=1e-12)
            rank = sum(v > max(tol * values[0], abs_tol) for v in values)
            assert got[f"product_rank_{i}_{j}"] == rank
        whole = read("relative_rank", e, tol=tol, abs_tol=abs_tol)["relative_rank"]
        assert whole == got["product_rank_0_2"]

    def test_rank_counts_what_is_left_of_a_teacher(self, capfd):
        """Singular values 5, 1 and 0.01: the last is below one percent of the first."""
        e = evaluate((3, 3, 3))
        kernels = [jnp.diag(jnp.array([5.0, 1.0, 0.01])), jnp.eye(3)]
        params = {f"layer_{i:03d}": {"kernel": k} for i, k in enumerate(kernels)}
        e = e._replace(params=params)
        assert read("relative_rank", e)["relative_rank"] == 2
        assert read("relative_rank", e, tol=0.0)["relative_rank"] == 3
        assert read("relative_rank", e, abs_tol=1.0)["relative_rank"] == 1
        nothing = e._replace(params=jax.tree.map(jnp.zeros_like, params))
        assert read("relative_rank", nothing)["relative_rank"] == 0
        endless = e._replace(params=jax.tree.map(lambda k: k * 1e200, params))
        assert jnp.isnan(read("relative_rank", endless)["relative_rank"])
        infinite = e._replace(params=jax.tree.map(lambda k: jnp.full_like(k, jnp.inf), params))
        assert jnp.isnan(read("layer_singular_values", infinite)["layer_singular_values_0"]).all()
        assert capfd.readouterr() == ("", "")  # LAPACK would complain, once a network and step

    @pytest.mark.parametrize("what", ["rank", "singular_values"])
    def test_partial_products_give_what_is_asked_for(self, what):
        e = evaluate()
        both = read("partial_products", e)
        some = read("partial_products", e, what=what)
        assert set(some) == {name for name in both if name.startswith(f"product_{what}")}
        for name, values in some.items():
            np.testing.assert_array_equal(values, both[name])


class TestLosses:
    def test_are_those_of_the_network(self):
        e = evaluate()
        for name, data in (("train_loss", e.train), ("test_loss", e.test)):
            target = data.x @ data.y.matrix + data.y.noise
            expected = np.mean((np.asarray(data.x) @ chain(matrices(e)).T - target) ** 2)
            np.testing.assert_allclose(read(name, e)[name], expected, rtol=1e-12)


class TestTraces:
    @pytest.mark.parametrize("linear", [True, False])
    def test_against_the_loop(self, linear):
        e = evaluate(linear=linear)
        got, expected = read("trace_covariances", e), traces(linear=linear)
        tolerances = {"grad_norm_squared": 1e-5, "trace_gradient_covariance": 1e-4}
        assert set(got) == {*tolerances, "trace_hessian_covariance"}
        for name, value in got.items():
            np.testing.assert_allclose(value, expected[name], rtol=tolerances.get(name, 1e-4))
        # Tr(S) = E |g_i|^2 - |g|^2
        noise = expected["second_moment"] - got["grad_norm_squared"]
        np.testing.assert_allclose(got["trace_gradient_covariance"], noise, rtol=1e-10)

    @pytest.mark.parametrize("widths", [(3, 2), (7, 2, 3, 4, 3)])
    def test_closed_forms_are_those_of_any_model(self, widths):
        """A linear network, once known as one and once as any network."""
        e = evaluate(widths)
        closed = read("trace_covariances", e)
        general = read("trace_covariances", e._replace(linear=False))
        assert set(closed) == set(general)
        for name, value in general.items():
            np.testing.assert_allclose(closed[name], value, rtol=1e-9)
        assert read("gradient_stats", e) == {
            name: closed[name] for name in ("grad_norm_squared", "trace_gradient_covariance")
        }

    def test_the_closed_form_needs_no_saddle_to_be_far(self):
        """Small weights in float32, where a square of what is small would be lost."""
        e = evaluate(DEEP, scale=1e-2, points=200)
        single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (e.params, e.train, e.test))
        rounded = seen(*single, apply_linear, True)
        got, expected = read("trace_covariances", rounded), read("trace_covariances", e)
        for name, value in got.items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-4)

    def test_chunks_change_nothing(self):
        """Also where they do not divide the points, and where they are more than there are."""
        e = evaluate((3, 4, 2), linear=False)
        whole = read("trace_covariances", e)
        for chunks in (5, 100):
            parts = read("trace_covariances", e, chunks=chunks)
            assert set(whole) == set(parts)
            for name, value in whole.items():
                np.testing.assert_allclose(parts[name], value, rtol=1e-5)
        name = "trace_gradient_covariance"
        np.testing.assert_allclose(read(name, e, chunks=4)[name], whole[name], rtol=1e-5)

    @pytest.mark.parametrize("linear", [True, False])
    def test_each_alone_is_that_of_all(self, linear):
        e = evaluate(linear=linear)
        together = read("trace_covariances", e)
        for name in ("grad_norm_squared", "trace_gradient_covariance"):
            alone = read(name, e)
            assert set(alone) == {name}
            np.testing.assert_allclose(alone[name], together[name], rtol=1e-10)

    @pytest.mark.parametrize("linear", [True, False])
    def test_one_point_has_no_noise(self, linear):
        got = read("trace_covariances", evaluate((3, 4, 2), linear, points=1))
        assert got["grad_norm_squared"] > 1e-3
        assert 0 <= got["trace_gradient_covariance"] < 1e-12 * got["grad_norm_squared"]

    def test_another_loss_is_not_taken_for_a_mean_square(self):
        """A linear model with a loss of its own: the general way, and no closed form."""

        def loss(p, data):
            return jnp.mean(jnp.abs(residuals(apply_linear, p, data)) ** 3)

        e = evaluate()
        other = e._replace(residuals=None, loss=loss, grad=lambda p, data: jax.grad(loss)(p, data))
        slope = jax.jit(lambda data: ravel_pytree(other.grad(e.params, data))[0])
        squares = [np.sum(slope(one(e.test, i)) ** 2) for i in range(POINTS)]
        mean = np.asarray(slope(e.test))
        got = read("trace_gradient_covariance", other)["trace_gradient_covariance"]
        np.testing.assert_allclose(got, np.mean(squares) - mean @ mean, rtol=1e-10)
        with pytest.raises(FractaljaxError, match="mean square"):
            read("gradient_stats", other)


def one(data, i):
    y = data.y
    return Data(data.x[i : i + 1], y._replace(inputs=y.inputs[i : i + 1], noise=y.noise[i : i + 1]))


class TestHessian:
    @pytest.mark.parametrize("linear", [True, False])
    def test_exact(self, linear):
        e = evaluate(linear=linear)
        expected = np.linalg.eigvalsh(traces(linear=linear)["hessian"])
        got = read("hessian_spectrum", e, k=4)
        np.testing.assert_allclose(got["hessian_spectrum"], expected, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(got["hessian_largest"], expected[::-1][:4], rtol=1e-8)
        np.testing.assert_allclose(got["hessian_smallest"], expected[:4], rtol=1e-8)
        np.testing.assert_allclose(got["hessian_trace"], expected.sum(), rtol=1e-8)

    @pytest.mark.parametrize(("linear", "dtype"), [(True, "float32"), (False, "float64")])
    def test_lanczos(self, linear, dtype):
        """Both ends within the error that is given, which is small; the trace in closed form."""
        spectrum = np.linalg.eigvalsh(traces((4, 9, 9, 4), linear, points=50)["hessian"])
        e = evaluate((4, 9, 9, 4), linear, dtype=dtype, points=50)
        got = read("hessian_spectrum", e, k=3, exact_below=0, iterations=70)
        slack = 100 * np.finfo(dtype).eps * np.abs(spectrum).max()
        assert got["hessian_error"] < 1e-3 * np.abs(spectrum).max()
        ends = {"hessian_largest": spectrum[::-1][:3], "hessian_smallest": spectrum[:3]}
        for name, expected in ends.items():
            np.testing.assert_allclose(got[name], expected, atol=got["hessian_error"] + slack)
        if linear:
            np.testing.assert_allclose(got["hessian_trace"], spectrum.sum(), rtol=1e-4)
        else:
            assert "hessian_trace" not in got

    def test_a_network_smaller_than_what_is_asked_for(self):
        e = evaluate((2, 2))
        expected = np.linalg.eigvalsh(traces((2, 2))["hessian"])
        for exact_below in (0, 1000):
            got = read("hessian_spectrum", e, exact_below=exact_below)
            np.testing.assert_allclose(got["hessian_smallest"], expected, rtol=1e-8)
            np.testing.assert_allclose(got["hessian_largest"], expected[::-1], rtol=1e-8)

    @pytest.mark.parametrize(
        "spectrum",
        [
            np.r_[np.linspace(-1, 1, 40), 7, 8, -5],
            np.r_[np.zeros(40), 3, 3, 2, -1],  # eigenvalues of some multiplicity
            np.zeros(44),
        ],
        ids=["plain", "multiple", "zero"],
    )
    def test_lanczos_on_a_known_spectrum(self, spectrum):
        draw = np.random.default_rng(1).standard_normal((spectrum.size, spectrum.size))
        q, _ = np.linalg.qr(draw)
        matrix, ordered = (q * spectrum) @ q.T, np.sort(spectrum)
        e = evaluate((2, 2))
        got = jax.jit(
            lambda: extremes(lambda v: matrix @ v, jnp.zeros(spectrum.size), 4, 30, e.repeat)
        )()
        np.testing.assert_allclose(got.largest[:2], ordered[::-1][:2], atol=1e-8)
        np.testing.assert_allclose(got.smallest[:1], ordered[:1], atol=1e-8)
        for value in (*got.largest, *got.smallest):
            assert np.abs(ordered - value).min() <= got.error + 1e-12


def test_coordinates_are_mean_sizes_of_what_layers_make():
    e = evaluate((3, 4, 2), linear=False)
    first = np.asarray(e.test.x @ e.params["layer_000"]["kernel"])
    last = np.tanh(first) @ np.asarray(e.params["layer_001"]["kernel"])
    expected = [np.abs(first).mean(), np.abs(last).mean()]
    np.testing.assert_allclose(read("coordinates", e)["coordinates"], expected, rtol=1e-12)


def test_the_models_show_what_their_layers_make():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((5, 3)))
    for name in registry.names("model"):
        model = registry.lookup("model", name)()
        params = model.init(model.draw(jax.random.key(0), x, 2))
        made = model.layers(params, x)
        assert sorted(made) == sorted(params)
        np.testing.assert_allclose(made[max(made)].T, model.apply(params, x), rtol=1e-12)


class TestRefusals:
    def test_a_model_that_is_no_product(self):
        e = evaluate(linear=False)
        for name in LINEAR_ONLY:
            with pytest.raises(FractaljaxError, match="product of matrices"):
                read(name, e)
        with pytest.raises(FractaljaxError, match="product of matrices"):
            read("frobenius_distance", e, evaluate())

    def test_a_model_that_does_not_show_its_layers(self):
        with pytest.raises(FractaljaxError, match="does not show what its layers make"):
            read("coordinates", evaluate()._replace(layers=None))

    def test_every_other_metric_takes_any_model(self):
        e = evaluate((3, 4, 2), linear=False)
        for name in set(registry.names("metric")) - set(LINEAR_ONLY):
            if registry.lookup("metric", name).__module__.endswith("parts.metrics"):
                assert all(jnp.all(jnp.isfinite(v)) for v in read(name, e).values()), name

    @pytest.mark.parametrize("name", ON_TEST_DATA)
    def test_a_problem_without_test_data(self, name):
        with pytest.raises(FractaljaxError, match="test data"):
            read(name, evaluate()._replace(test=()))

    def test_a_problem_without_a_training_set(self):
        with pytest.raises(FractaljaxError, match="no fixed training set"):
            read("train_loss", evaluate()._replace(train=()))

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("trace_covariances", {"chunks": 0}),
            ("trace_gradient_covariance", {"chunks": -1}),
            ("relative_rank", {"tol": -0.1}),
            ("relative_rank", {"abs_tol": float("nan")}),
            ("partial_products", {"what": "ranks"}),
            ("partial_products", {"what": "singular_values", "tol": 0.1}),
            ("partial_products", {"what": "singular_values", "abs_tol": 1.0}),
            ("hessian_spectrum", {"k": 0}),
            ("hessian_spectrum", {"k": 10, "iterations": 19}),
            ("hessian_spectrum", {"exact_below": -1}),
        ],
    )
    def test_arguments(self, name, arguments):
        with pytest.raises(FractaljaxError, match=list(arguments)[-1]):
            registry.lookup("metric", name)(**arguments)

    def test_an_unknown_name_lists_the_known_ones(self):
        with pytest.raises(FractaljaxError, match=r"'weight_norm'.*trace_covariances"):
            registry.lookup("metric", "weight_norms")


class TestComparisons:
    def test_against_the_loop(self):
        a, b = evaluate(seed=1), evaluate(seed=2)
        pairs = list(zip(matrices(a), matrices(b), strict=True))
        distances = [frobenius(w - v) for w, v in pairs]
        whole = frobenius(chain(matrices(a)) - chain(matrices(b)))
        inner = sum(np.sum(w * v) for w, v in pairs)
        norms = [np.sqrt(sum(frobenius(w) ** 2 for w in matrices(e))) for e in (a, b)]
        expected = {
            "layer_distances": distances,
            "param_distance": np.sqrt(np.sum(np.square(distances))),
            "param_cosine_sim": inner / norms[0] / norms[1],
            "frobenius_distance": whole,
        }
        for name, value in expected.items():
            np.testing.assert_allclose(read(name, a, b)[name], value, rtol=1e-10)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_equal_weights_are_at_distance_zero(self, dtype):
        a = evaluate(DEEP, dtype=dtype)
        b = a._replace(params=jax.tree.map(jnp.array, a.params))
        for name in ("param_distance", "layer_distances", "frobenius_distance"):
            np.testing.assert_array_equal(read(name, a, b)[name], 0)
        np.testing.assert_allclose(read("param_cosine_sim", a, b)["param_cosine_sim"], 1, rtol=1e-6)

    def test_maps_that_hardly_differ_keep_their_digits(self):
        """In float32, where the two products would share their first seven digits."""
        a = evaluate(DEEP, dtype="float32")
        step = jax.tree.map(lambda k: jnp.round(k * 1e3) * 2**-33, evaluate(DEEP, seed=5).params)
        b = a._replace(params=jax.tree.map(lambda k, s: (k + s).astype("float32"), a.params, step))
        expected = frobenius(chain(matrices(a)) - chain(matrices(b)))
        assert 0 < expected < 1e-4 * frobenius(chain(matrices(a)))
        got = read("frobenius_distance", a, b)["frobenius_distance"]
        np.testing.assert_allclose(got, expected, rtol=1e-5)

    def test_networks_of_other_shapes(self):
        """Their maps can be compared, their weights cannot."""
        a, b = evaluate((3, 5, 2)), evaluate((3, 4, 4, 2), seed=1)
        expected = frobenius(chain(matrices(a)) - chain(matrices(b)))
        got = read("frobenius_distance", a, b)["frobenius_distance"]
        np.testing.assert_allclose(got, expected, rtol=1e-10)
        for name in ("param_distance", "param_cosine_sim", "layer_distances"):
            with pytest.raises(FractaljaxError, match="same layers and widths"):
                read(name, a, b)


OURS = [
    (role, name)
    for role in ("metric", "comparison")
    for name in registry.names(role)
    if registry.lookup(role, name).__module__.startswith("fractaljax.parts.")
]


@pytest.mark.parametrize(("role", "name"), OURS)
def test_side_by_side_is_one_by_one(role, name):
    """Compiled and over networks, in the dtype of the weights."""
    widths, dtype = (4, 5, 3), "float32"
    first = evaluate(widths, seed=1, dtype=dtype)
    others = [evaluate(widths, seed=seed, dtype=dtype) for seed in (2, 3)]
    networks = [first, *others]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[e.params for e in networks])

    def one(params):
        e = seen(params, first.train, first.test, apply_linear, True)
        return read(name, e) if role == "metric" else read(name, e, others[0])

    alone, together = jax.jit(one), jax.jit(jax.vmap(one))(stacked)
    for i, e in enumerate(networks):
        for reading, value in alone(e.params).items():
            assert value.dtype == dtype, reading
            slack = 1e-5 * float(jnp.max(jnp.abs(value)))
            np.testing.assert_allclose(together[reading][i], value, rtol=1e-5, atol=slack)
