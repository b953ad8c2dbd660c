"""A worker that sees another content than the one that a result was begun with does not help."""

import sys
from pathlib import Path

import file_parts
import numpy as np
import pytest

import fractaljax as fj
from fractaljax.cluster import connected

pytestmark = pytest.mark.slow
CONFIG = """
plugins: reading_parts
problem: {name: table, path: data.csv}
model: {width: 3}
steps: 5
window: {resolution: 4}
"""
SWEEP = CONFIG.replace("window: {resolution: 4}", "fold: final_loss")


@pytest.fixture
def places(tmp_path, monkeypatch, own_registry):
    """Two folders of one name each for the driver and the workers: other data, the same parts."""
    monkeypatch.syspath_prepend(tmp_path / "driver")
    for name, factor in (("driver", 1.0), ("worker", 2.0)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{file_parts.MODULE}.py").write_text(file_parts.TEXT)
        rows = factor * np.random.default_rng(0).standard_normal((40, 3))
        np.savetxt(folder / "data.csv", rows, delimiter=",")
    (tmp_path / "driver/scan.yaml").write_text(CONFIG)
    (tmp_path / "driver/sweep.yaml").write_text(SWEEP)
    yield tmp_path / "driver", tmp_path / "worker"
    sys.modules.pop(file_parts.MODULE, None)


def test_a_worker_with_other_data_is_refused(places, monkeypatch):
    driver, worker = places
    monkeypatch.chdir(worker)
    line = r"problem\.path: data\.csv had sha256 .* now sha256"
    with connected("local:1", devices=1) as team:
        monkeypatch.chdir(driver)
        spec, window = fj.load("scan.yaml")
        with pytest.raises(fj.FractaljaxError, match=line):
            fj.scan(spec, window, store="out", chunk=4, cluster=team)
        assert not fj.open("out").done.any()
        with pytest.raises(fj.FractaljaxError, match=line):
            fj.sweep("sweep.yaml", ["seed=0..3"], out="runs", cluster=team)
        assert not len(fj.load_sweep("runs"))
        (worker / "data.csv").write_bytes((driver / "data.csv").read_bytes())
        field = fj.scan(spec, window, store="out", chunk=4, cluster=team)
        assert len(fj.sweep("sweep.yaml", ["seed=0..3"], out="runs", cluster=team)) == 3
    assert np.array_equal(field["measure"], fj.scan(spec, window, chunk=4, devices=1)["measure"])
    before = Path("out/files.jsonl").read_text()
    Path("data.csv").write_bytes(b"1,2,3\n" * 40)
    with pytest.raises(fj.FractaljaxError, match=line):
        fj.scan(spec, window, store="out", cluster="local:1")  # before a worker starts, or at once
    assert Path("out/files.jsonl").read_text() == before
