"""Figures of a study: what they say is what the arrays say, at eight rows and at thirty."""

import numpy as np
import pytest
from PIL import Image

from fractaljax.errors import FractaljaxError
from fractaljax.view import figure, heatmap, losses, widths

NAMES = [f"{160 + i}x264x{i}" for i in range(30)]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are written, to be looked into."""
    made = []
    blank = figure.blank

    def kept(width, height):
        made.append(blank(width, height))
        return made[-1]

    for module in (heatmap, losses, widths):
        monkeypatch.setattr(module, "blank", kept)
    return made


def words(axes):
    return [text.get_text() for text in axes.texts]


def overlaps(figure, texts):
    """Pairs of texts whose boxes overlap."""
    boxes = [text.get_window_extent(figure.canvas.get_renderer()) for text in texts]
    return sum(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


@pytest.mark.parametrize(("size", "decimals"), [(8, 4), (16, 2), (30, 0)])
def test_every_cell_says_as_much_as_there_is_room_for(tmp_path, drawn, size, decimals):
    matrix = np.random.default_rng(0).normal(0, 0.02, (size, size))
    heatmap.heatmap(
        matrix,
        NAMES[:size],
        NAMES[:size],
        tmp_path / "a.png",
        title="t",
        label="l",
        kind="diverging",
    )
    axes = drawn[0].axes[0]
    expected = [f"{v:.{decimals}f}" for v in matrix.ravel()] if decimals else []
    assert words(axes) == expected
    assert overlaps(drawn[0], axes.texts) == 0
    assert [t.get_text() for t in axes.get_yticklabels()] == NAMES[:size]
    assert overlaps(drawn[0], axes.get_yticklabels()) == 0
    low, high = axes.images[0].get_clim()
    assert low == pytest.approx(-high) and high == pytest.approx(abs(matrix).max())
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width < 5000


def test_intervals_and_cells_without_a_number(tmp_path, drawn):
    matrix = np.array([[0.0, 0.5], [np.nan, -0.25]])
    heatmap.heatmap(
        matrix,
        ["a", "b"],
        ["c", "d"],
        tmp_path / "a.png",
        title="regret",
        label="l",
        kind="diverging",
        low=matrix - 0.1,
        high=matrix + 0.1,
    )
    axes = drawn[0].axes[0]
    pairs = [("0.0000", "[-0.100, 0.100]"), ("0.5000", "[0.400, 0.600]")]
    pairs.append(("-0.2500", "[-0.350, -0.150]"))
    assert words(axes) == [word for pair in pairs for word in pair]
    assert overlaps(drawn[0], axes.texts) == 0
    assert "no finite value" in axes.get_title(loc="left")


def test_a_relative_regret_is_symmetric_about_one(tmp_path, drawn):
    matrix = np.array([[1.0, 1.5], [0.9, 1.0]])
    path = tmp_path / "a.png"
    more = {"title": "t", "label": "l", "kind": "diverging", "center": 1.0}
    heatmap.heatmap(matrix, "ab", "ab", path, **more)
    assert drawn[0].axes[0].images[0].get_clim() == pytest.approx((0.5, 1.5))
    assert drawn[0].axes[0].images[0].cmap.name == "coolwarm"
    with pytest.raises(FractaljaxError, match="kind of heatmap 'round'"):
        heatmap.heatmap(matrix, "ab", "ab", path, title="t", label="l", kind="round")


def test_words_are_dark_on_bright_cells_and_bright_on_dark_ones(tmp_path, drawn):
    matrix = np.array([[0.0, 1.0]])
    heatmap.heatmap(matrix, "a", "bc", tmp_path / "a.png", title="t", label="l", kind="sequential")
    dark, bright = drawn[0].axes[0].texts
    assert dark.get_color() == "white" and bright.get_color() == figure.INK


def test_boxes_and_points(tmp_path, drawn):
    some = {name: np.random.default_rng(i).random(5) for i, name in enumerate(NAMES)}
    some[NAMES[3]] = np.array([np.nan, 0.5])
    losses.box_by_architecture(some, tmp_path / "a.png", "over seeds")
    axes = drawn[0].axes[0]
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in points] == [5, 5, 5, 1, *[5] * 26]
    np.testing.assert_array_equal(points[0].get_ydata(), some[NAMES[0]])
    assert overlaps(drawn[0], axes.get_xticklabels()) >= 0 and len(axes.get_xticklabels()) == 30


def test_a_loss_curve_shows_looks_alone_and_the_best_epoch(tmp_path, drawn):
    epoch = np.arange(1, 11.0)
    validation = np.where(epoch % 5 == 0, 1 / epoch, np.nan)
    losses.loss_curve(epoch, 2 / epoch, validation, 10, tmp_path / "a.png", "one")
    training, looks, best = drawn[0].axes[0].lines
    assert len(training.get_xdata()) == 10 and looks.get_xdata().tolist() == [5, 10]
    assert list(best.get_xdata()) == [10, 10]


def test_a_budget_curve_never_rises_and_passes_over_what_diverged(tmp_path, drawn):
    trials = {"a": np.array([np.nan, 0.5, 0.7, np.inf, 0.2])}
    losses.budget_curve(trials, tmp_path / "a.png")
    (line,) = drawn[0].axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), [np.nan, 0.5, 0.5, 0.5, 0.2])


def test_rates_by_width(tmp_path, drawn):
    rates = np.logspace(-4, 0, 9)
    curves = np.array([1 + np.log(rates / 1e-2) ** 2, 1 + np.log(rates / 1e-3) ** 2])
    curves[1, -2:] = np.inf
    best = np.array([1e-2, 1e-3])
    path = tmp_path / "a.png"
    widths.rate_by_width(rates, curves, [16, 64], path, optima=best, title="t")
    axes = drawn[0].axes[0]
    assert np.isnan(axes.lines[1].get_ydata()[-2:]).all()
    assert [line.get_xdata()[0] for line in axes.lines[2:]] == best.tolist()
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_a_coordinate_check_has_a_panel_a_layer_and_a_line_a_step(tmp_path, drawn):
    sizes = np.random.default_rng(0).random((3, 4, 2)) + 0.1
    layers = ["layer 1", "layer 2"]
    widths.coordinate_check([16, 32, 64], sizes, layers, tmp_path / "a.png", "standard")
    assert len(drawn[0].axes) == 2
    for layer, axes in enumerate(drawn[0].axes):
        assert len(axes.lines) == 4
        np.testing.assert_array_equal(axes.lines[1].get_ydata(), sizes[:, 1, layer])
