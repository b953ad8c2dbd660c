"""The verbs of a study, from the shell: one line a mistake, nothing overwritten, nothing lost."""

import os
from pathlib import Path

import commands
import numpy as np
import pytest
import yaml
from commands import Command, World

from fractaljax import cli
from fractaljax.store import study_folder as files
from fractaljax.view import heatmap

DIGITS = str(Path(__file__).parents[1] / "configs" / "transfer" / "digits.yaml")
SMALL = ["architectures=[[8],[6,6]]", "epochs=8", "search.trials=3"]
SMALL += ["retrain.seeds=[1,2]", "transfer.seeds=[1,2]"]
PICTURES = {
    "search": ["search_test_loss_over_seeds", "budget_curve", "rank_correlation"],
    "transfer": ["transfer_test_loss", "regret_matrix_mean", "relative_regret_matrix"],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    words = ["run-transfer", DIGITS, *SMALL, "--runs-root", str(root), "--run-name", "my run/1"]
    assert cli.main(words) == 0
    return root / "my-run-1"


def refused(capsys, *words):
    """The one line that a mistake costs."""
    assert cli.main([*map(str, words)]) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("fractaljax: ")]
    assert len(lines) == 1 and "Traceback" not in err and not out
    return lines[0]


@pytest.mark.slow
def test_one_command_makes_every_table_and_picture(run):
    manifest = yaml.safe_load((run / "run_manifest.yaml").read_text())
    assert manifest["search"] == "search" and manifest["overrides"] == SMALL
    for part, names in PICTURES.items():
        for name in names:
            assert (run / part / f"{name}.png").stat().st_size > 10_000
    for arch in ("8", "6x6"):
        assert (run / "search" / arch / "best_trial" / "loss_curve.png").is_file()
    assert len(files.read_table(run / "transfer" / "transfer_results.csv")) == 4


@pytest.mark.slow
def test_two_seeds_have_no_interval_and_say_how_many_would(run, caplog, monkeypatch):
    figures = []
    monkeypatch.setattr(heatmap, "save", lambda figure, path: figures.append(figure))
    assert cli.main(["report", str(run / "transfer")]) == 0
    few = "no interval: 2 seeds, 6 are needed"
    assert f"regret: {few}" in caplog.text
    titles = [figure.axes[0].get_title(loc="left") for figure in figures]
    assert [few in title for title in titles] == [
        "regret" in t and "relative" not in t for t in titles
    ]
    for line in files.read_table(run / "transfer" / "regret_intervals.csv"):
        assert [line[name] for name in ("pairs", "low_95", "high_95", "p_holm")] == [
            "2",
            *["nan"] * 3,
        ]
        assert float(line["p"]) >= 0.5


@pytest.mark.slow
def test_a_run_is_never_written_into_again(run, capsys):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.csv")}
    words = ["run-transfer", DIGITS, *SMALL, "--runs-root", str(run.parent), "--run-name"]
    assert cli.main([*words, "my run/1"]) == 0
    assert capsys.readouterr().out.strip() == str(run.parent / "my-run-1_2")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.csv")} == before
    one, two = (files.read_table(r / "transfer" / "regret_matrix.csv") for r in (run, twin(run)))
    assert one == two  # the same study, the same bits


def twin(run):
    return run.with_name(f"{run.name}_2")


@pytest.mark.slow
def test_resumed_and_reported_it_trains_nothing_again(run, capsys, monkeypatch):
    from fractaljax.families import members

    monkeypatch.setattr(members, "train", None)
    (run / "transfer" / "regret_matrix_mean.png").unlink()
    assert cli.main(["run-transfer", "--resume", str(run)]) == 0
    assert (run / "transfer" / "regret_matrix_mean.png").is_file()
    (run / "search" / "budget_curve.png").unlink()
    assert cli.main(["report", str(run)]) == 0
    assert (run / "search" / "budget_curve.png").is_file()


@pytest.mark.slow
def test_more_seeds_of_a_transfer_go_elsewhere(run, tmp_path, capsys):
    out = tmp_path / "more"
    words = ["transfer", str(run / "search"), "transfer.seeds=[1,2,3]", "--out"]
    assert "holds another study" in refused(capsys, *words, run / "transfer")
    assert "holds another study" in refused(
        capsys, "transfer", run / "search", "epochs=9", "--out", run / "search"
    )
    assert cli.main([*words, str(out)]) == 0
    assert len(files.read_table(out / "transfer_seed_losses.csv")) == 12


@pytest.mark.slow
def test_killed_in_the_middle_a_run_is_resumed_with_the_same_bits(run, tmp_path):
    words = [DIGITS, *SMALL, "--runs-root", tmp_path, "--run-name", "killed"]
    command, other = Command(["run-transfer", *words]), tmp_path / "killed"
    command.until(lambda: list(other.glob("search/*/search_results.csv")))
    command.kill()
    command.ended()
    assert not (other / "transfer").exists()
    assert commands.run(["run-transfer", "--resume", other]).code == 0
    for name in ("search/search_seed_losses.csv", "transfer/regret_intervals.csv"):
        assert (other / name).read_text() == (run / name).read_text()


@pytest.mark.slow
def test_interrupted_it_ends_after_a_look_and_goes_on(tmp_path):
    endless = ["epochs=100000", "stopping.patience=100000", "--out", tmp_path / "out"]
    command = Command(["search", DIGITS, *SMALL, *endless], World(careful=True))
    command.until(lambda: list(tmp_path.glob("out/*/running.npz")))
    command.interrupt()
    code, _, err = command.ended()
    assert code == 130
    assert "stopping after this look" in err and "goes on from here" in err
    (kept,) = tmp_path.glob("out/*/running.npz")
    arrays = files.read_arrays(kept)
    assert arrays is not None and arrays["epoch"] > 0 and len(arrays["alive"]) == 3


@pytest.mark.slow
def test_tuned_on_digits_more_than_97_percent_of_the_test_are_right(tmp_path):
    import fractaljax as fj

    words = ["architectures=[[64,64]]", "search.trials=10", "retrain.seeds=[1,2]"]
    found = fj.search(DIGITS, words, out=tmp_path / "out")
    assert np.mean(found.accuracies["64x64"]) >= 0.97


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search", DIGITS, "serach.trials=3"], "search"),
        (["search", DIGITS, "search.trials=0"], "search.trials"),
        (["search", DIGITS, "epochs=many"], "epochs"),
        (["search", DIGITS, "space.lr.max=1e-9"], "space.lr"),
        (["search", DIGITS, "problem.validation=0"], "problem.validation"),
        (["search", DIGITS, "stopping=null"], "stopping"),
        (["search", DIGITS, "architectures=[]"], "architectures"),
        (["search", DIGITS, "problem.validation=99999"], "the set has 1797"),
        (["search", "nowhere.yaml"], "nowhere.yaml"),
        (["search", DIGITS, "--chunk", "0"], "--chunk 0"),
        (["search", DIGITS, "--devices", "99"], "devices=99"),
        (["transfer", "nowhere"], "fractaljax search STUDY.yaml --out nowhere"),
        (["report", "nowhere"], "neither a search, a transfer, a run of both nor an experiment"),
        (["run-transfer"], "give a study, or --resume"),
        (["run-transfer", "--resume", "nowhere"], "no run here"),
    ],
)
def test_a_mistake_costs_one_line(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, *words)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_costs_one_line(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    assert "file" in refused(capsys, "search", DIGITS, *SMALL, "--out", blocked / "out")
    assert "--runs-root" in refused(capsys, "run-transfer", DIGITS, "--runs-root", blocked)
    assert os.listdir(tmp_path) == ["file"]
