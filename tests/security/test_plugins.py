"""Code is imported only where the user named it: never by a result, whatever it says."""

import sys
from pathlib import Path

import pytest
import yaml

import fractaljax as fj
from fractaljax import cli
from fractaljax.store import study_folder as files

STUDY = {
    "model": {"name": "mlp"},
    "problem": {"name": "random_regression", "points": 16, "validation": 4},
    "stopping": "patience",
    "epochs": 2,
    "architectures": [[2], [3]],
    "space": {"lr": {"path": "optimizer.lr", "min": 0.01, "max": 0.1}},
}
ARMS = {
    "model": {"name": "masked_mlp", "widths": [4]},
    "problem": {
        "name": "synthetic_classes",
        "points": 60,
        "batch": 20,
        "validation": 20,
        "test": 20,
    },
    "stopping": "patience",
    "arms": {"one": {}},
}


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A module in the working directory that leaves a file when it is imported."""
    name = f"trap_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text("open('sprung', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield name
    sys.modules.pop(name, None)


def stored(name, tree, plugin):
    """The folder of a study that names a plugin, as anybody may hand it on."""
    folder = Path(name)
    folder.mkdir()
    files.write_tree(folder / files.STUDY, {**tree, "plugins": [plugin], "name": "x"})
    return folder


@pytest.mark.parametrize("tree", [STUDY, ARMS], ids=["study", "experiment"])
@pytest.mark.parametrize("verb", ["transfer", "report", "run-transfer"])
def test_a_study_on_disk_never_imports_a_plugin(trap, verb, tree, capsys):
    if tree is ARMS and verb != "report":
        pytest.skip("experiments with arms are reported only")
    words = [verb, str(stored("result", tree, trap))]
    if verb == "run-transfer":
        run = Path("run")
        run.mkdir()
        Path("result").rename(run / "search")
        files.write_tree(run / "run_manifest.yaml", {"study": "x"})
        words = [verb, "--resume", "run"]
    elif verb == "report" and tree is STUDY:
        files.write_tree(Path("result/search.yaml"), {"search_dir": "result"})
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert f"names the plugin {trap}; add --plugin {trap} to allow it" in err
    assert err.count("\n") == 1
    assert trap not in sys.modules and not Path("sprung").exists()
    assert cli.main([*words, "--plugin", trap]) == 2  # there is nothing to go on with
    assert "names the plugin" not in capsys.readouterr().err
    assert Path("sprung").exists()


def test_a_config_of_the_user_does(trap):
    Path("mine.yaml").write_text(yaml.safe_dump({**STUDY, "plugins": [trap]}))
    from fractaljax.config.study import read_study

    read_study("mine.yaml")
    assert Path("sprung").exists()


@pytest.mark.parametrize("written", ["zoom.json", "spec.yaml", "map.yaml", "numeric.jsonl"])
def test_other_files_of_a_result_never_import_one(trap, written, capsys):
    spec, window = fj.load(_tiny())
    fj.scan(spec, window, store="result")
    file = Path("result") / written
    text = '{"format": 1, "factor": 2.0, "levels": 1, "center": ["0", "0"], "plugins": ["%s"]}'
    file.write_text(text % trap if written == "zoom.json" else f"plugins: [{trap}]\n")
    for verb in ("render", "show", "dimension", "report"):
        cli.main([verb, "result"])
    assert trap not in sys.modules and not Path("sprung").exists()


def _tiny():
    tree = {"model": {"width": 2}, "problem": {"inputs": 2, "points": 4}, "steps": 2}
    Path("tiny.yaml").write_text(yaml.safe_dump({**tree, "window": {"resolution": 2}}))
    return "tiny.yaml"


@pytest.mark.parametrize("verb, tree", [("search", STUDY), ("grow", ARMS), ("scan", None)])
def test_settings_that_lie_in_a_result_never_import_one_either(trap, verb, tree, capsys):
    """Not even where somebody is told to make it again from them."""
    if tree is None:
        spec, window = fj.load(_tiny())
        fj.scan(spec, window, store="result")
        file = Path("result/spec.yaml")
        file.write_text(f"plugins: [{trap}]\nmodel: {{width: 2}}\n")
    else:
        file = stored("result", tree, trap) / files.STUDY
    words = [verb, str(file), "--out", "again"]
    assert cli.main(words) == 2
    assert f"{file} names the plugin {trap}; add --plugin {trap}" in capsys.readouterr().err
    assert trap not in sys.modules and not Path("sprung").exists()
