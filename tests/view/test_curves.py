"""Plots of runs: what is drawn, in which scale, under which name, and what is refused."""

import itertools
import os

import numpy as np
import pytest
from PIL import Image

from fractaljax.analysis.bands import band, smooth
from fractaljax.errors import FractaljaxError
from fractaljax.runs import Run, Sweep
from fractaljax.view import curves, figure, panel

pytestmark = pytest.mark.filterwarnings("error")

STEP = np.arange(0, 200, 10)


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Figures of few pixels: most of the time here would go into drawing them."""
    monkeypatch.setattr(figure, "DPI", 60)


def make(seed=0, gamma=1.0, **readings):
    """A run with noise of its own; `readings` are laid over its history."""
    rng = np.random.default_rng((seed, int(100 * gamma)))
    loss = np.exp(-STEP / (40 * gamma)) * rng.uniform(0.5, 2, len(STEP))
    history = {
        "train_loss": 0.5 * loss,
        "test_loss": loss,
        "signed": rng.standard_normal(len(STEP)),
        "values": loss[:, None] * [4.0, 2.0, 1.0],
        **readings,
    }
    return Run({}, {"model.gamma": gamma, "batch_seed": seed}, history, STEP)


def as_sweep(runs):
    columns = {path: np.array([r.overrides[path] for r in runs]) for path in runs[0].overrides}
    readings = {name: np.array([r[name] for r in runs]) for name in runs[0].history}
    return Sweep({}, columns, readings, np.array([r.step for r in runs]))


def finish(drawn):
    """Draws it, whatever it is: labels and limits are only then what they will be."""
    (getattr(drawn, "figure", None) or drawn).canvas.draw()
    return drawn


def lines(axes):
    """The curves of a panel, without entries that only stand in the legend."""
    return [line for line in axes.get_lines() if len(line.get_xdata()) == len(STEP)]


def entries(axes):
    legend = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def edges(axes, which=0):
    """Lower and upper edge of a band, `[K]` each."""
    points = axes.collections[which].get_paths()[0].vertices
    return [
        np.array([side(points[points[:, 0] == s, 1]) for s in STEP]) for side in (np.min, np.max)
    ]


def words(axes):
    return [text.get_text() for text in axes.texts]


def test_a_run_is_one_line_on_a_log_scale():
    run = make()
    axes = finish(curves.plot(run))
    (line,) = lines(axes)
    np.testing.assert_array_equal(line.get_xydata(), np.stack([STEP, run["test_loss"]], 1))
    assert axes.get_yscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "test_loss")
    assert finish(curves.plot(run, log_scale=False)).get_yscale() == "linear"


@pytest.mark.parametrize("wrap", [list, as_sweep])
def test_a_few_runs_are_told_apart_by_what_was_swept(wrap):
    axes = finish(curves.plot(wrap([make(0), make(1), make(2)])))
    assert entries(axes) == ["batch_seed=0", "batch_seed=1", "batch_seed=2"]
    assert len({line.get_color() for line in lines(axes)}) == 3
    axes = finish(curves.plot(wrap([make(0, 1.5), make(0, 0.75), make(1, 0.75)])))
    assert entries(axes)[0] == "gamma=1.5, batch_seed=0"


def test_labels_are_never_the_same():
    close = [Run({}, {"optimizer.lr": lr}, make().history, STEP) for lr in (0.1, 0.1000001)]
    assert entries(finish(curves.plot(close))) == ["lr=0.1", "lr=0.1000001"]
    alike = [Run({}, {}, make().history, STEP)] * 2
    assert entries(finish(curves.plot(alike))) == ["#0", "#1"]


@pytest.mark.parametrize("wrap", [list, as_sweep])
def test_many_runs_have_the_colour_of_their_setting(wrap):
    runs = wrap([make(seed, gamma) for gamma in (0.75, 1.5) for seed in range(6)])
    axes = finish(curves.plot(runs))
    assert entries(axes) == ["gamma=0.75 (6 runs)", "gamma=1.5 (6 runs)"]
    assert len(lines(axes)) == 12
    assert len({line.get_color() for line in lines(axes)}) == 2


def test_of_very_many_runs_some_are_drawn_and_the_legend_says_so(monkeypatch):
    monkeypatch.setattr(panel, "LINES", 10)
    runs = [make(seed) for seed in range(41)]
    axes = finish(curves.plot(runs))
    assert entries(axes) == ["10 of 41 runs"]
    np.testing.assert_array_equal(lines(axes)[0].get_ydata(), runs[0]["test_loss"])
    np.testing.assert_array_equal(lines(axes)[-1].get_ydata(), runs[-1]["test_loss"])
    assert len(lines(axes)) == 10
    axes = finish(curves.plot(runs, "values"))
    assert len(lines(axes)) == 9  # three runs of three


@pytest.mark.parametrize("wrap", [list, as_sweep])
def test_an_average_is_the_mean_with_its_band_for_each_setting(wrap):
    runs = [make(seed, gamma) for gamma in (0.75, 1.5) for seed in range(5)]
    axes = finish(curves.plot(wrap(runs), average=True, ci=0.9, smoothing=3))
    assert entries(axes) == ["gamma=0.75 (5 runs)", "gamma=1.5 (5 runs)"]
    assert axes.get_legend().get_title().get_text() == "mean, 90 % interval"
    for which, some in enumerate((runs[:5], runs[5:])):
        wanted = band(np.stack([smooth(run["test_loss"], 3) for run in some]), 0.9)
        np.testing.assert_allclose(lines(axes)[which].get_ydata(), wanted.mean)
        np.testing.assert_allclose(edges(axes, which), [wanted.low, wanted.high])


def test_an_average_with_a_label_is_one_mean_of_all():
    runs = [make(seed, gamma) for gamma in (0.75, 1.5) for seed in range(3)]
    axes = finish(curves.plot(runs, average="SGD"))
    assert entries(axes) == ["SGD (6 runs)"]
    (line,) = lines(axes)
    np.testing.assert_allclose(line.get_ydata(), np.mean([r["test_loss"] for r in runs], axis=0))


def test_labels_of_a_dict_are_averaged_all_or_one():
    result = {"GD": make(), "SGD": [make(1), make(2)], "other": [make(3), make(4)]}
    axes = finish(curves.plot(result, average=True))
    assert entries(axes) == ["GD", "SGD (2 runs)", "other (2 runs)"]
    assert (len(lines(axes)), len(axes.collections)) == (3, 2)  # one run has no band
    axes = finish(curves.plot(result, average="SGD"))
    assert (len(lines(axes)), len(axes.collections)) == (4, 1)
    with pytest.raises(FractaljaxError, match=r"label to average 'SDG'. Did you mean 'SGD'"):
        curves.plot(result, average="SDG")


def test_diverged_runs_are_counted_and_the_axis_goes_to_the_last_step():
    gone = np.where(STEP < 100, 1.0, np.nan)
    runs = [make(0), make(1), make(2, test_loss=gone)]
    axes = finish(curves.plot(runs, average=True))
    assert entries(axes) == ["3 runs, at least 2 finite"]
    axes = finish(curves.plot(runs[2]))
    assert axes.get_xlim()[1] >= STEP[-1]


def test_a_metric_with_several_values_is_a_line_for_each():
    run = make()
    axes = finish(curves.plot(run, "values"))
    assert entries(axes) == ["[0]", "[1]", "[2]"]
    for c, line in enumerate(lines(axes)):
        np.testing.assert_array_equal(line.get_ydata(), run["values"][:, c])
    assert len({tuple(line.get_color()) for line in lines(axes)}) == 3
    axes = finish(curves.plot([run, make(1)], "values", average="mean"))
    assert entries(axes) == ["mean (2 runs)", "[0]", "[1]", "[2]"]
    assert (len(lines(axes)), len(axes.collections)) == (3, 3)
    axes = finish(curves.plot({"one": run, "two": make(1)}, "values"))
    assert entries(axes) == ["one", "two"]
    assert len(lines(axes)) == 6


def test_signs_that_change_have_a_symmetric_log_scale():
    axes = finish(curves.plot(make(), "signed"))
    assert axes.get_yscale() == "symlog"
    assert finish(curves.plot(make(), "signed", log_scale=False)).get_yscale() == "linear"
    tiny = np.where(STEP < 100, 1.0, -1e-15)
    axes = finish(curves.plot(make(signed=tiny), "signed"))
    assert axes.yaxis.get_transform().linthresh == panel.NEAR
    below = finish(curves.plot(make(signed=1e-3 * tiny - 1e-2), "signed"))
    assert below.get_yscale() == "symlog"  # negative all along


def test_zeros_are_drawn_on_a_scale_that_has_a_place_for_them():
    falls = 10.0 ** -np.arange(len(STEP))
    axes = finish(curves.plot(make(test_loss=np.where(STEP < 100, falls, 0))))
    assert axes.get_yscale() == "symlog"
    assert axes.yaxis.get_transform().linthresh == pytest.approx(1e-9)
    rank = np.minimum(STEP // 30, 5)
    assert finish(curves.plot(make(test_loss=rank))).get_yscale() == "linear"
    same = finish(curves.plot(make(test_loss=np.zeros(len(STEP)))))
    assert same.get_yscale() == "linear"
    assert not words(same)


def test_ticks_of_a_symmetric_scale_have_room():
    swings = 10.0 ** np.linspace(-7, 3, len(STEP)) * np.where(STEP % 20, 1, -1)
    axes = finish(curves.plot(make(signed=swings), "signed"))
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    boxes.sort(key=lambda box: box.y0)
    assert len(boxes) > 4
    assert all(a.y1 < b.y0 for a, b in itertools.pairwise(boxes))


def test_plots_add_up_in_one_panel():
    axes = curves.plot({"GD": make()})
    assert curves.plot([make(1, signed=-1 * make()["signed"]), make(2)], average="SGD", ax=axes)
    finish(axes)
    assert entries(axes) == ["GD", "SGD (2 runs)"]
    assert len({line.get_color() for line in lines(axes)}) == 2
    curves.plot(make(), "signed", ax=axes)
    assert axes.get_yscale() == "symlog"  # of all that is there


def test_an_unknown_metric_is_refused_with_the_nearest():
    run = make(final_loss=0.5, other=None)
    with pytest.raises(FractaljaxError, match=r"'test_los'. Did you mean 'test_loss'") as refused:
        curves.plot(run, "test_los")
    assert "final_loss" not in str(refused.value)
    for name in ("final_loss", "other"):  # one number, and nothing
        with pytest.raises(FractaljaxError, match="unknown metric"):
            curves.plot([run, run], name, average=True)
    with pytest.raises(FractaljaxError, match="unknown metric"):
        curves.plot(as_sweep([make(0), make(1)]), "nothing", average=True)


def test_runs_of_other_steps_are_drawn_and_not_averaged():
    short = Run({}, {"steps": 100}, {"test_loss": np.ones(10)}, STEP[:10])
    runs = [Run({}, {"steps": 200}, make().history, STEP), short]
    assert entries(finish(curves.plot(runs))) == ["steps=200", "steps=100"]
    with pytest.raises(FractaljaxError, match="test_loss: the runs differ in their steps"):
        curves.plot(runs, average="all")
    with pytest.raises(FractaljaxError, match="test_loss: the runs differ in their steps"):
        curves.subtract_baseline(short, runs)


@pytest.mark.parametrize("average", [False, True])
def test_nothing_to_see_is_said(average):
    assert words(finish(curves.plot([], average=average))) == ["no runs"]
    gone = np.full(len(STEP), np.nan)
    runs = [make(0, test_loss=gone), make(1, test_loss=gone)]
    assert words(finish(curves.plot(runs, average=average))) == ["no finite value"]
    gone = np.where(STEP == 0, 1.0, np.inf)
    axes = finish(curves.plot(make(test_loss=gone)))
    assert lines(axes)[0].get_marker() == "."  # a line of one point cannot be seen


def sides(seed, gamma=1.0):
    run = make(seed, gamma)
    loss = run["test_loss"]
    history = {"test_loss_a": loss, "test_loss_b": 2 * loss, "distance": loss, "only_b": loss}
    return Run({}, run.overrides, history, STEP)


def test_both_sides_of_pairs_are_drawn():
    axes = finish(curves.plot_comparative(sides(0)))
    assert (axes.get_ylabel(), entries(axes)) == ("test_loss", ["a", "b"])
    a, b = lines(axes)
    np.testing.assert_array_equal(b.get_ydata(), 2 * a.get_ydata())
    assert a.get_color() != b.get_color()
    axes = finish(curves.plot_comparative({"one": sides(0), "two": [sides(1)]}))
    assert entries(axes) == ["one", "two", "a", "b"]
    assert [line.get_color() for line in lines(axes)[::2]] == list(panel.COLOURS[:2])
    assert lines(axes)[0].get_linestyle() != lines(axes)[1].get_linestyle()
    axes = finish(curves.plot_comparative([sides(0), sides(1)], average=True))
    assert entries(axes) == ["a (2 runs)", "b (2 runs)"]
    with pytest.raises(FractaljaxError, match="unknown metric 'test_loss_x'"):
        curves.plot_comparative(sides(0), suffixes=("_a", "_x"))


def titles(drawn):
    return [axes.get_title(loc="left") for axes in drawn.axes]


def test_a_run_has_a_panel_for_each_metric():
    drawn = finish(curves.plot_run(make(final_loss=0.5, other=None)))
    assert titles(drawn) == ["loss", "signed", "values"]
    assert entries(drawn.axes[0]) == ["train", "test"]
    assert titles(finish(curves.plot_run(sides(0)))) == ["test_loss", "distance", "only_b"]
    alone = finish(curves.plot_run(Run({}, {}, {"final_loss": 1.0}, STEP)))
    assert titles(alone) == ["nothing recorded"]


@pytest.mark.parametrize("wrap", [list, as_sweep])
@pytest.mark.parametrize("gammas", [(1.0,), (0.75, 1.5), tuple(np.linspace(0.5, 2, 12))])
def test_a_sheet_averages_over_seeds(wrap, gammas, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(figure, "write", lambda _, drawn, *__: seen.append(finish(drawn)))
    runs = [make(seed, gamma) for gamma in gammas for seed in range(3)]
    curves.save_plots(wrap(runs), tmp_path / "plots.png")
    loss, signed, values = seen[0].axes
    assert (len(lines(loss)), len(lines(signed)), len(lines(values))) == tuple(
        n * len(gammas) for n in (2, 1, 3)
    )
    found = lines(signed)[-1].get_ydata()
    np.testing.assert_allclose(found, np.mean([r["signed"] for r in runs[-3:]], axis=0))
    keys = [text.get_text() for legend in seen[0].legends for text in legend.get_texts()]
    ends = [f"gamma={gammas[i]:g}" for i in (0, -1)]
    assert [keys[0], keys[-1]] == ends if len(gammas) > 1 else not keys


def test_a_sheet_says_where_runs_diverged(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(figure, "write", lambda _, drawn, *__: seen.append(drawn))
    gone = np.where(STEP < 100, 1.0, np.nan)
    curves.save_plots([make(0), make(1, signed=gone), make(2)], tmp_path / "plots.png")
    notes = [axes.get_title(loc="right") for axes in seen[0].axes]
    assert notes == ["", "1 of 3 not finite", ""]


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_a_sheet_is_written_whole(kind, tmp_path):
    path = tmp_path / f"plots.{kind}"
    curves.save_plots({"one": make(), "two": [make(1), make(2)]}, path)
    assert os.listdir(tmp_path) == [path.name]
    if kind == "png":
        shades = np.asarray(Image.open(path).convert("L"))
        assert shades.shape[1] > 600
        assert 0.01 < (shades < 200).mean() < 0.5  # neither blank nor black
    with pytest.raises(FractaljaxError, match="kind of figure"):
        curves.save_plots(make(), tmp_path / "plots.jpg")
    with pytest.raises(FractaljaxError, match="cannot be written"):
        curves.save_plots(make(), tmp_path / "nowhere" / "plots.png")


def test_a_baseline_is_subtracted_from_whatever_it_is_given():
    runs = [make(0), make(1)]
    one = curves.subtract_baseline(runs[0], runs[1])
    np.testing.assert_array_equal(one["test_loss"], runs[1]["test_loss"] - runs[0]["test_loss"])
    assert (list(one.history), one.overrides) == (["test_loss"], runs[1].overrides)
    assert not curves.subtract_baseline(runs[0], runs[0], "values")["values"].any()
    both = curves.subtract_baseline(as_sweep(runs), as_sweep(runs))
    np.testing.assert_allclose(both[0]["test_loss"], -both[1]["test_loss"], atol=1e-15)
    found = curves.subtract_baseline(runs[0], {"GD": runs[0], "SGD": runs})
    assert isinstance(found["GD"], Run)
    assert finish(curves.plot(found)).get_yscale() == "symlog"
    with pytest.raises(FractaljaxError, match="baseline: has no runs"):
        curves.subtract_baseline([], runs)


def test_a_sheet_of_runs_with_other_metrics_has_the_panels_of_all(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(figure, "write", lambda _, drawn, *__: seen.append(finish(drawn)))
    curves.save_plots({"one": make(), "pair": sides(1)}, tmp_path / "plots.png")
    assert titles(seen[0]) == ["loss", "signed", "values", "test_loss", "distance", "only_b"]
    assert [lines(axes)[0].get_color() for axes in seen[0].axes] == [
        *[panel.COLOURS[0]] * 3,
        *[panel.COLOURS[1]] * 3,
    ]
    curves.save_plots([make(0, test_loss_a=STEP + 1, test_loss_b=STEP + 2)], tmp_path / "a.png")
    assert titles(seen[1])[-1] == "test_loss"
