"""The tour notebook runs from its first cell to its last, in a real kernel, at half its size."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

HALF = {"window.resized(160)": "window.resized(80)", "resolution=128": "resolution=64"}
EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@pytest.mark.slow
def test_the_tour_runs_and_shows_what_it_says():
    tour = nbformat.read(EXPERIMENTS / "tour.ipynb", as_version=4)
    for size, half in HALF.items():
        (cell,) = (cell for cell in tour.cells if size in cell.source)
        cell.source = cell.source.replace(size, half)
    NotebookClient(tour, timeout=300, resources={"metadata": {"path": str(EXPERIMENTS)}}).execute()
    outputs = [o for cell in tour.cells if cell.cell_type == "code" for o in cell.outputs]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    text = "".join(o.get("text", "") for o in outputs)
    assert len(pictures) == 4
    assert "% converged" in text and "null model" in text
