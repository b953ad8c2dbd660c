"""Figures of an experiment: intervals where seeds are enough for one, and the verdicts below."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from fractaljax.view import arms

RED = "#c0392b"
UNDER = ["means", "a > b: no verdict: 3 pairs, 6 are needed: +0.1, p 0.25", "word " * 60]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are written, to be looked into."""
    made, save = [], arms.save
    monkeypatch.setattr(
        arms, "save", lambda figure, path: (made.append(figure), save(figure, path))
    )
    return made


def intervals(axes):
    return [
        line
        for line in axes.lines
        if to_hex(line.get_color()) == RED and len(line.get_xdata()) == 2
    ]


@pytest.mark.parametrize(("seeds", "shown"), [(1, 0), (3, 0), (5, 0), (6, 2), (16, 2)])
def test_few_members_have_a_mean_and_no_interval(tmp_path, drawn, seeds, shown):
    rng = np.random.default_rng(seeds)
    values = {"a": rng.random(seeds), "b": rng.random(seeds)}
    arms.dots(values, tmp_path / "a.png", title="a or b", label="accuracy")
    (axes,) = drawn[0].axes
    assert len(intervals(axes)) == shown
    rungs = {"a": {1.0: values["a"], 2.0: values["b"]}}
    arms.ladder(rungs, tmp_path / "b.png", title="", label="", over="x", logarithmic=False)
    band = drawn[1].axes[0].collections[0]
    assert bool(band.get_paths()) == bool(shown)


def test_what_is_said_stands_below_the_picture(tmp_path, drawn):
    values = {"a": np.ones(3), "b": np.zeros(3)}
    arms.dots(values, tmp_path / "a.png", title="", label="accuracy", under=UNDER)
    arms.ladder(
        {"a": {1.0: np.ones(3)}}, tmp_path / "b.png", title="", label="", over="x",
        logarithmic=False, under=UNDER,
    )  # fmt: skip
    for figure in drawn:
        assert "no verdict: 3 pairs, 6 are needed" in figure.get_supxlabel()
        renderer = figure.canvas.get_renderer()
        text, (axes,) = figure._supxlabel.get_window_extent(renderer), figure.axes
        assert text.y1 <= axes.get_tightbbox(renderer).y0 and text.y0 >= 0
        assert text.x0 >= 0 and text.x1 <= figure.bbox.x1
        assert axes.get_window_extent(renderer).height > 60  # points of the page are left for it
    for name in ("a.png", "b.png"):
        assert Image.open(tmp_path / name).size[1] > 300
