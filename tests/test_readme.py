"""The README's Python lines run as they stand."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_python_lines_run(tmp_path, monkeypatch):
    os.symlink(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        exec(compile(code, "README.md", "exec"), names)
    assert names["field"]["measure"].shape == (64, 64)
    assert names["runs"].history["test_loss"].shape == (16, 200)
    assert names["moved"].regret.mean_regret.shape == (2, 2)
    assert names["moved"].regret.mean_regret.diagonal().tolist() == [0, 0]
    assert names["told"].judged[0].words == "no verdict: 2 pairs, 8 are needed for 5 claims"
    assert len(list((tmp_path / "outputs").iterdir())) == 8


def test_pictures_are_there():
    text = (ROOT / "README.md").read_text()
    for picture in re.findall(r"\]\((experiments/pictures/\S+)\)", text):
        assert (ROOT / picture).is_file(), picture
