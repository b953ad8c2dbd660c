"""`grow` and `queue` from the shell: what they make, and tell again; one line a mistake."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import small
import yaml
from commands import Command, World, run

import fractaljax as fj
from fractaljax import cli
from fractaljax.config.finder import read_finder
from fractaljax.families import finder, growth
from fractaljax.store import study_folder as files
from fractaljax.view import arms as view

ROOT = Path(__file__).parents[1]
RULES = str(ROOT / "configs" / "growth" / "patched_density.yaml")
CLAIMS = "claims: {helps: grown > static, place: grown > random, guess: static > chance}"
OPTIONS = small.options("grow")


def refused(capsys, *words):
    assert cli.main([*map(str, words)]) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("fractaljax: ")]
    assert len(lines) == 1 and "Traceback" not in err and not out
    return lines[0]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("grow") / "small.yaml"
    path.write_text(small.GROW + small.RANDOM + CLAIMS)
    return path


@pytest.fixture(scope="module")
def done(study):
    assert cli.main(["grow", str(study), *OPTIONS, "--out", str(study.parent / "done")]) == 0
    return study.parent / "done"


@pytest.mark.slow
def test_one_command_trains_compares_and_draws(done):
    for name in ("arms.png", "curves.png", "arms/grown/network.png", "arms/grown/ledger.png"):
        assert (done / name).stat().st_size > 5_000
    lines = files.read_table(done / "comparisons.csv")
    assert [line["claim"] for line in lines] == ["helps", "place", "guess"]
    text = (done / "summary.md").read_text()
    assert "A small one." in text and "| random |" in text
    assert fj.load_model(done / "arms" / "grown" / "best")(np.zeros((2, 16))).shape == (2, 10)


@pytest.mark.slow
def test_three_seeds_decide_nothing_and_say_how_many_would(done, caplog, monkeypatch):
    figures = []
    monkeypatch.setattr(view, "save", lambda figure, path: figures.append(figure))
    assert cli.main(["report", str(done)]) == 0
    few = "no verdict: 3 pairs, 7 are needed for 3 claims"

    assert caplog.text.count(few) == 3
    for line in files.read_table(done / "comparisons.csv"):
        assert (line["verdict"], line["alone"]) == ("too few seeds", "too few seeds")
        assert (line["needed"], line["p_holm"], line["low"], line["high"]) == ("7", *["nan"] * 3)
        assert float(line["p"]) >= 0.25
    text = (done / "summary.md").read_text()
    assert text.count(f"**{few}**") == 3 and "a 95 % interval takes 6 seeds" in text
    words = figures[0].get_supxlabel()
    assert words.count(few) == 3 and "a 95 % interval takes 6 seeds" in words


@pytest.mark.slow
def test_random_edges_are_as_many_as_grew(done):
    arms = {a: files.read_table(done / "arms" / a / "members.csv") for a in ("grown", "random")}
    for one, other in zip(arms["grown"], arms["random"], strict=True):
        assert one["seed"] == other["seed"]
        assert one["edges"] == other["edges"] and float(one["edges_grown"]) > 0


@pytest.mark.slow
def test_the_same_command_trains_nothing_again_and_another_is_refused(done, study, capsys):
    before = {path: path.stat().st_mtime_ns for path in done.rglob("members.csv")}
    assert cli.main(["grow", str(study), *OPTIONS, "margin=0.5", "--out", str(done)]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    capsys.readouterr()
    line = refused(capsys, "grow", study, "epochs=5", "--out", done)
    assert "holds another study" in line and "epochs" in line
    assert cli.main(["report", str(done)]) == 0
    kept = sorted((done / "arms" / "grown" / "snapshots" / "seed_0").glob("*.yaml"))
    assert cli.main(["grow", "resume", str(kept[0])]) == 0
    assert f"from epoch {int(kept[0].stem[-5:])}" in capsys.readouterr().out


@pytest.mark.slow
def test_the_smallest_network_that_learns(tmp_path, capsys, monkeypatch):
    config = ROOT / "configs" / "growth" / "seeds.yaml"
    words = ["architectures=[[],[6]]", "densities=[0.005,0.3]", "seeds=8", "epochs=6"]
    assert cli.main(["grow", "seeds", str(config), *words, "--out", str(tmp_path / "s")]) == 0
    told = capsys.readouterr().out
    assert "The smallest network that beats chance (0.10) by 0.1" in told
    lines = files.read_table(tmp_path / "s" / "seeds.csv")
    sizes = [float(line["edges"]) for line in lines]
    assert sizes == sorted(sizes) and len(lines) == 4
    learns = [line for line in lines if line["learns"] == "True"]
    assert learns and all(float(line["low"]) > 0.2 for line in learns)
    assert all(float(line["p_holm"]) <= 0.05 and line["verdict"] == "supported" for line in learns)
    assert {line["needed"] for line in lines} == {"8"}
    best = files.read_table(tmp_path / "s" / "best_efficiency.csv")
    scores = [float(line["efficiency"]) for line in best]
    assert len(best) == 3 and scores == sorted(scores, reverse=True)
    study = read_finder(config, words)
    rows = [row for row in growth.rows(study.experiment, tmp_path / "s") if row.seed < 4]
    few = "no verdict: 4 seeds, 8 are needed for 4 networks"
    assert {one.words for one in finder.candidates(study, rows)} == {few}
    monkeypatch.setattr(growth, "rows", lambda *_: rows)
    assert "no verdict, 8 seeds are needed" in finder.summary(study, tmp_path / "s")


@pytest.mark.slow
def test_an_agenda_runs_the_highest_first_and_survives_a_kill(tmp_path):
    scan = tmp_path / "scan.yaml"
    scan.write_text("steps: 100\nwindow: {resolution: 8}\n")
    entries = [
        {"name": "low", "run": f"scan {scan} steps=10 --out {tmp_path / 'low'}"},
        {"name": "bad", "run": "scan nowhere.yaml", "priority": 3},
        {"name": "high", "run": f"scan {scan} --out {tmp_path / 'high'}", "priority": 2},
    ]
    agenda = tmp_path / "agenda.yaml"
    agenda.write_text(yaml.safe_dump(entries))
    state = tmp_path / "agenda.yaml.state.yaml"
    command = Command(["queue", agenda], World(terminal=True))
    command.until(lambda: state.is_file() and "high" in state.read_text())
    os.killpg(command.pid, signal.SIGKILL)
    command.ended()
    told = files.read_tree(state)["entries"]
    assert told["high"]["state"] == "runs" and "low" not in told
    ended = run(["queue", agenda])
    assert ended.code == 1 and "done       2  high" in ended.said
    told = files.read_tree(state)["entries"]
    assert {name: one["state"] for name, one in told.items()} == {
        "bad": "failed",
        "high": "done",
        "low": "done",
    }
    assert told["bad"]["exit_code"] == 2
    shown = run(["queue", agenda, "--show"])
    assert shown.code == 0 and "failed     3  bad" in shown.said


def test_mistakes_cost_one_line(capsys, tmp_path):
    assert "no file" in refused(capsys, "grow", tmp_path / "nowhere.yaml")
    assert "Did you mean" in refused(capsys, "grow", RULES.replace("patched", "pached"))
    assert "when.epoch" in refused(capsys, "grow", RULES, "when.epochs=3")
    assert "no snapshot" in refused(capsys, "grow", "resume", tmp_path / "x.yaml")
    assert "takes one snapshot" in refused(capsys, "grow", "resume")
    assert "unknown focus" in refused(capsys, "grow", "focus", "all", RULES, "--out", tmp_path)
    assert "architectures=3" in refused(
        capsys, "grow", "seeds", ROOT / "configs/growth/seeds.yaml", "architectures=3"
    )
    assert "no file" in refused(capsys, "queue", tmp_path / "agenda.yaml")
    assert "chunk" in refused(capsys, "grow", RULES, "--chunk", "0")
