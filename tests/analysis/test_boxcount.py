"""Both box counts against sets of known dimension, the smooth null model, and odd levels."""

import numpy as np
import pytest

from fractaljax.analysis import boxcount, edges, null, published
from fractaljax.analysis.dimension import boxcount as by_boxes
from fractaljax.analysis.dimension import published as by_paper


def between(converged, trained=None):
    trained = np.ones(converged.shape, bool) if trained is None else trained
    return edges.Outcomes(converged, trained)


def plane(n):
    """Coordinates from -0.5 to 0.5, off the middle of a pixel."""
    along = (np.arange(n) + 0.37) / n - 0.5
    return np.meshgrid(along, along)


def line(n):
    x, y = plane(n)
    return edges.edges(between(0.9 * y > 0.4 * x))


def circle(n):
    x, y = plane(n)
    return edges.edges(between(np.hypot(x, y) < 0.4))


def square(n):
    return np.ones((n, n), bool)


def triangle(n):
    i = np.arange(n)
    return (i[:, None] & i) == 0


def carpet(n):
    """A corner of a Sierpinski carpet whose smallest holes are pixels."""
    found, digits = np.ones((n, n), bool), np.arange(n)
    while digits.any():
        middle = digits % 3 == 1
        found &= ~(middle[:, None] & middle)
        digits = digits // 3
    return found


def koch(n):
    """The Koch curve, drawn finer than the pixels."""
    corners = np.array([0.3j, 1 + 0.3j])
    while abs(corners[1] - corners[0]) * n > 0.3:
        a, third = corners[:-1], np.diff(corners) / 3
        parts = [a, a + third, a + third * (1 + np.exp(1j * np.pi / 3)), a + 2 * third]
        corners = np.append(np.stack(parts, 1).ravel(), corners[-1])
    found = np.zeros((n, n), bool)
    found[(corners.imag * (n - 1)).astype(int), (corners.real * (n - 1)).astype(int)] = True
    return found


def weierstrass(n, dimension, seed=0):
    """Below the graph of a Weierstrass function of this dimension."""
    rng, x = np.random.default_rng(seed), (np.arange(n) + 0.5) / n
    waves = 1.5 ** np.arange(int(np.log(4 * n) / np.log(1.5)) + 1)
    phases = rng.uniform(0, 2 * np.pi, len(waves))
    graph = waves ** (dimension - 2) @ np.cos(2 * np.pi * waves[:, None] * x + phases[:, None])
    graph = 0.1 + 0.8 * (graph - graph.min()) / np.ptp(graph)
    return (np.arange(n)[:, None] + 0.5) / n < graph


def counted(image):
    """The slope of one edge image in its scaling window."""
    counts = boxcount.count(image)
    used = boxcount.window(counts)
    return -np.polyfit(np.log(counts.sizes[used]), np.log(counts.least[used]), 1)[0]


@pytest.mark.parametrize(
    ("draw", "side", "dimension", "tolerance"),
    [
        (line, 512, 1, 0.01),
        (line, 2048, 1, 0.01),
        (circle, 512, 1, 0.02),
        (circle, 2048, 1, 0.01),
        (square, 512, 2, 0.01),
        (triangle, 512, np.log(3) / np.log(2), 0.02),
        (triangle, 2048, np.log(3) / np.log(2), 0.02),
        (carpet, 729, np.log(8) / np.log(3), 0.05),
        (carpet, 2187, np.log(8) / np.log(3), 0.03),
        (koch, 512, np.log(4) / np.log(3), 0.06),  # the minimum over offsets tilts it most
        (koch, 2048, np.log(4) / np.log(3), 0.04),
        pytest.param(koch, 4096, np.log(4) / np.log(3), 0.03, marks=pytest.mark.slow),
    ],
)
def test_known_sets(draw, side, dimension, tolerance):
    assert counted(draw(side)) == pytest.approx(dimension, abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "value"),  # at 4096^2, by the package the paper used
    [(line, 1.002), (circle, 1.005)],
)
def test_the_published_estimator_reads_what_it_read(draw, value):
    assert published.median([published.slopes(draw(4096))]) == pytest.approx(value, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dimension", "value"), [(1.2, 1.206), (1.5, 1.400), (1.66, 1.520), (1.9, 1.672)]
)
def test_the_published_estimator_reads_graphs_low(dimension, value):
    image = edges.edges(between(weierstrass(4096, dimension)))
    assert published.median([published.slopes(image)]) == pytest.approx(value, abs=0.05)


def test_the_published_estimator_on_a_carpet():
    image = carpet(4096)
    assert published.median([published.slopes(image)]) == pytest.approx(1.875, abs=0.001)


def test_published_counts_by_hand():
    """Ten sizes from 10 pixels to the side; cut boxes count, empty and full ones do not."""
    image = np.zeros((25, 25), bool)
    image[:10, :10] = True  # a full box of size 10
    image[24, 24] = True  # alone in a box that the border cuts
    found = published.slopes(image)
    assert found.sizes.tolist() == np.unique(np.logspace(1, np.log10(25), 10).astype(int)).tolist()
    assert found.counts[0] == 1  # of size 10: the corner
    assert found.counts[-1] == 1  # of size 25: the whole image
    slow = [
        sum(
            0 < box.sum() < box.size
            for top in range(0, 25, size)
            for box in (image[top : top + size, left : left + size] for left in range(0, 25, size))
        )
        for size in found.sizes
    ]
    assert found.counts.tolist() == slow
    slopes = -np.gradient(np.log(found.counts), np.log(found.sizes))
    np.testing.assert_array_equal(found.slopes, slopes)


def test_box_counts_by_hand():
    rng = np.random.default_rng(0)
    image = rng.random((47, 63)) < 0.02
    counts = boxcount.count(image)
    assert counts.sizes[0] == 2 and counts.sizes[-1] <= 48 / 4
    for size, least in zip(counts.sizes, counts.least, strict=True):
        steps = sorted({size * i // 4 for i in range(4)})
        slow = min(
            len({((y + top) // size, (x + left) // size) for y, x in np.argwhere(image)})
            for top in steps
            for left in steps
        )
        assert least == slow


@pytest.mark.parametrize("side", [64, 128, 200, 512])
def test_a_smooth_boundary_reads_one(side):
    levels = [between(null.pixels((side, side), (2.0**-k,) * 2)) for k in range(6)]
    found = by_boxes(levels)
    assert found.pooled.dimension == pytest.approx(1, abs=0.02)
    for level in found.levels:
        assert level.estimate.dimension == pytest.approx(1, abs=0.03)
        assert level.estimate.low <= level.estimate.dimension <= level.estimate.high
        assert level.correlation > 0.8 and not level.note


def test_intervals_are_as_wide_as_the_scatter():
    """Of graphs of one kind, most single intervals hold the mean; pooling narrows them."""
    levels = [between(weierstrass(256, 1.5, seed)) for seed in range(20)]
    found = by_boxes(levels)
    values = np.array([level.estimate.dimension for level in found.levels])
    inside = [level.estimate.low <= values.mean() <= level.estimate.high for level in found.levels]
    assert np.mean(inside) >= 0.8
    width = np.mean([level.estimate.high - level.estimate.low for level in found.levels])
    assert 2 * values.std() < width < 12 * values.std()
    pooled = found.pooled
    assert pooled.low < values.mean() < pooled.high
    assert pooled.high - pooled.low < width / 2
    assert pooled.r_squared > 0.99


def test_intervals_repeat():
    level = between(weierstrass(128, 1.5))
    assert by_boxes([level]).pooled == by_boxes([level]).pooled
    assert by_boxes([level]).pooled == by_boxes([level]).levels[0].estimate


def test_noise_is_unresolved_and_left_out():
    noise = between(np.random.default_rng(0).random((256, 256)) < 0.4)
    graph = between(weierstrass(256, 1.5))
    half = noise.converged.copy()
    half[:, 100:] = True
    found = by_boxes([graph, noise, between(half)])
    assert [level.note for level in found.levels] == ["", "unresolved", "unresolved"]
    assert found.pooled_levels == 1
    assert found.pooled == found.levels[0].estimate
    assert by_boxes([noise]).pooled is None
    assert by_paper([noise]).levels[0].note == "unresolved"


@pytest.mark.parametrize("shape", [(64,), (128,), (256,), (512,), (33, 33), (32, 32), (64, 48)])
def test_noise_of_any_size_is_unresolved(shape):
    """Independent outcomes have the dimension of the window; few of them read less."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        noise = between(rng.random(shape) < rng.uniform(0.3, 0.7))
        assert by_boxes([noise]).levels[0].note == "unresolved", seed
        assert by_boxes([noise]).pooled is None


@pytest.mark.parametrize("count", [by_boxes, by_paper])
def test_levels_without_a_boundary(count):
    flat, dot = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    dot[20, 30] = True
    nothing = np.zeros_like(flat)
    levels = [between(flat), between(~flat), between(dot, nothing), between(dot[:1, :1])]
    found = count(levels)
    assert {level.note for level in found.levels} == {"no boundary"}
    assert found.pooled is None and found.pooled_levels == 0
    assert np.isfinite([level.trained for level in found.levels]).all()
    assert count([between(line(9))]).pooled is None  # too few pixels
    count([between(dot)])


def test_a_single_pixel_is_too_few():
    dot = np.zeros((64, 64), bool)
    dot[20, 30] = True
    assert by_boxes([between(dot)]).levels[0].note == "too few edge pixels"


def test_edges_need_both_outcomes_and_all_pixels():
    converged = np.zeros((4, 5), bool)
    converged[1, 1] = True
    expected = np.zeros((3, 4), bool)
    expected[:2, :2] = True
    np.testing.assert_array_equal(edges.edges(between(converged)), expected)
    trained = np.ones((4, 5), bool)
    trained[0, 0] = False
    expected[0, 0] = False
    np.testing.assert_array_equal(edges.edges(between(converged, trained)), expected)
    assert edges.edges(between(np.array([True, True, False]))).tolist() == [False, True]


def test_outcomes_of_readings():
    measure, done = np.array([-2.0, 3.0, np.nan, -1.0]), np.array([True, True, True, False])
    found = edges.outcomes(measure, done, "measure")
    assert found.converged.tolist() == [True, False, False, True]
    assert found.trained.tolist() == [True, True, False, False]
    status = np.array([0, 3, 1, 0], np.uint8)
    assert edges.outcomes(status, done, "status").converged.tolist() == [True, False, False, True]


def test_neighbour_correlation():
    rng = np.random.default_rng(0)

    def correlation(found):
        return edges.neighbours(found).correlation

    assert abs(correlation(between(rng.random((256, 256)) < 0.3))) < 0.02
    board = np.indices((64, 64)).sum(0) % 2 == 0
    assert correlation(between(board)) == pytest.approx(-1)
    assert np.isnan(correlation(between(np.ones((64, 64), bool))))
    coarse = np.kron(rng.random((64, 64)) < 0.5, np.ones((4, 4), bool)) > 0
    assert correlation(between(coarse)) == pytest.approx(0.8, abs=0.03)  # 12 of 15 pairs agree


def test_one_axis():
    """Dust on a line: a Cantor set without its middle halves, and a single crossing."""
    digits = np.arange(4**10)
    inside = np.ones(len(digits), bool)
    while digits.any():
        inside &= digits % 4 % 3 == 0
        digits = digits // 4
    assert counted(inside) == pytest.approx(1 / 2, abs=0.05)
    found = by_boxes([between(np.arange(100) < 50)])
    assert found.pooled.dimension == pytest.approx(0, abs=1e-9)
    assert by_boxes([between(null.pixels((200,), (1.0,)))]).pooled.dimension == pytest.approx(0)
