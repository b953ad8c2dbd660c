"""benchmarks/gpu.py from end to end on the CPU, at small size: no machine with CUDA is needed."""

import json
import subprocess
import sys
from pathlib import Path

import gpu
import gpu_parts
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
SMALL = ("--platform=cpu", "--resolution=16", "--steps=20", "--dtype=float32")


def call(folder: Path, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPT), f"--out={folder}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_all_parts_on_the_cpu_and_again_from_what_is_kept(tmp_path):
    done = call(tmp_path, *SMALL)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert list(figures) == ["device", *(f"{part} float32" for part in gpu_parts.PARTS[1:])]
    agreed = figures["correctness float32"]
    assert len(agreed) == 8  # first steps and all steps, signs and values, two precisions
    assert all(share > 0.98 for name, share in agreed.items() if "signs" in name)
    assert agreed[f"cpu, first steps, values within {gpu_parts.CLOSE}"] > 0.5
    step = figures["roofline float32"]["network_step"]
    assert step["flop by formula, products"] == 295_936
    assert step["flop by XLA"] > 295_936 and step["bytes by XLA"] > 4 * 272 * 16
    scan = figures["scan float32"]
    assert scan["networks"] == 256 and 0 < scan["converged"] < 1
    assert "| scan float32 | networks | 256 |" in (tmp_path / "figures.md").read_text()

    whole = json.loads((tmp_path / "figures.json").read_text())
    del whole["figures"]["device"]  # as if it had been stopped before this part
    (tmp_path / "figures.json").write_text(json.dumps(whole))
    again = call(tmp_path, *SMALL)
    assert again.stdout.count("kept from an earlier run") == 4
    fresh = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert fresh == figures

    other = call(tmp_path, *SMALL[:2], "--steps=21")
    assert other.returncode == 2 and "give another --out" in other.stderr
    (tmp_path / "figures.json").write_text("{")
    damaged = call(tmp_path, *SMALL)
    assert damaged.returncode == 2 and damaged.stderr.count("\n") == 1


@pytest.mark.slow
def test_without_the_platform_one_line_and_exit_code_2(tmp_path):
    done = call(tmp_path)
    if (tmp_path / "figures.json").exists():
        pytest.skip("there is a CUDA device here")
    assert done.returncode == 2
    assert (
        done.stderr.startswith("device: failed: no device of platform cuda")
        and done.stderr.count("\n") == 1
    )


def test_what_does_not_end_in_time_is_left_out(tmp_path):
    done = call(tmp_path, *SMALL, "--minutes=0.5")
    assert done.returncode == 0
    assert done.stdout.count("left out, 60 s are foreseen and") == 5
    assert not (tmp_path / "figures.json").exists()


def test_the_scan_is_foreseen_from_the_measured_rate(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["gpu.py", f"--out={tmp_path}", "--resolution=100"])
    asked = gpu.arguments()
    figures = {"throughput float32": {"network_steps_per_s": {"256": 1e4, "1024": 5e4}}}
    expected = gpu.START_S + gpu.MARGIN * 100
    assert gpu.foreseen("scan", "float32", asked, figures) == pytest.approx(expected)
    assert gpu.foreseen("scan", "float64", asked, figures) == gpu.START_S
    assert gpu.best_chunk(figures, "float32") == 1024


def test_the_verdict_follows_from_the_figures():
    assert gpu_parts.verdict(1.0, 6.0, 10.0).startswith("bound by memory traffic")
    assert "x 10 as fast" in gpu_parts.verdict(1.0, 6.0, 10.0)
    assert gpu_parts.verdict(6.0, 1.0, 10.0).startswith("bound by products")
    assert gpu_parts.verdict(1.0, 2.0, 10.0).startswith("bound by neither")
