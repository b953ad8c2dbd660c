"""Two processes on loopback, one mesh: the documented script gives the bits of one process."""

import socket
from pathlib import Path

import numpy as np
import pytest
from commands import Command

import fractaljax as fj
from fractaljax.engine import cohort, hosts, plan
from fractaljax.errors import FractaljaxError

SCRIPT = Path(__file__).parents[2] / "experiments" / "multihost.py"
TINY = """
experiments:
  tiny:
    model: {name: mlp, width: 4, dropout: 0.1}
    problem: {name: random_regression, points: 8, inputs: 4, batch: 5, sampling: distinct}
    fold: [measure, status, history]
    steps: 20
    dtype: float64
    window: {x: LR0, y: LR1, resolution: 13}
    axes:
      LR0: {min: 1.0e-3, max: 1.0e+5, scale: log}
      LR1: {min: 1.0e-3, max: 1.0e+5, scale: log}
"""


def together(config: Path, out: Path, *more: str) -> list[tuple[int, str]]:
    """Exit code and output of both processes of one job."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    job = [f"--coordinator=127.0.0.1:{port}", "--processes=2", "--chunk=2", "--tile=5", *more]
    words = [[config, out, *job, f"--rank={rank}"] for rank in range(2)]
    running = [Command(own, script=SCRIPT.read_text()) for own in words]
    try:
        return [(done.code, done.said + done.told) for done in [c.ended() for c in running]]
    finally:
        for command in running:
            command.kill()


@pytest.mark.slow
def test_two_processes_give_the_bits_of_one_and_go_on(tmp_path):
    config, out = tmp_path / "tiny.yaml", tmp_path / "out"
    config.write_text(TINY)
    spec, window = fj.load(config)
    whole = fj.scan(spec, window, chunk=2, tile=5)
    with pytest.raises(KeyboardInterrupt):  # some tiles are there already, by one process
        fj.scan(spec, window, chunk=2, tile=5, store=out, on_tile=_stop)
    assert 0 < fj.open(out).done.sum() < window.size
    (first, said), (second, other) = together(config, out)
    assert first == second == 0, said + other
    assert "of 2 processes" in said
    assert "pixels" not in other, "only process 0 reports"
    field = fj.open(out)
    assert field.done.all() and field.provenance["runs"] == 2
    assert field.provenance["devices"] == 2 * plan.cores()
    for name in whole.arrays:
        assert np.array_equal(field[name], whole[name], equal_nan=True), name
    (first, said), (second, other) = together(config, out, "steps=21")
    assert first == second == 2, "another scan in the same folder, and nobody waits"
    assert "steps" in said and "process 0 of this job refused" in other
    assert "Traceback" not in said + other


def _stop(progress) -> None:
    if progress.left <= 100:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("size", "chunk", "words"), [(2, None, "chunk: a scan by 3"), (1, 2, "devices=1: this job has")]
)
def test_what_would_wait_for_ever_is_refused(monkeypatch, size, chunk, words):
    monkeypatch.setattr(hosts.jax, "process_count", lambda: 3)
    with pytest.raises(FractaljaxError, match=words):
        hosts.check(plan.mesh(size), chunk)


def test_what_is_no_scan_is_refused(monkeypatch):
    monkeypatch.setattr(hosts.jax, "process_count", lambda: 3)
    with pytest.raises(FractaljaxError, match="one of 3 processes"):
        cohort.train_cohort(fj.Spec(), ("optimizer.lr",), np.ones((1, 1)))
