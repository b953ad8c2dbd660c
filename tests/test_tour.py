"""The tour notebook runs from its first cell to its last, in a real kernel."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@pytest.mark.slow
def test_the_tour_runs_and_shows_what_it_says():
    tour = nbformat.read(EXPERIMENTS / "tour.ipynb", as_version=4)
    NotebookClient(tour, timeout=300, resources={"metadata": {"path": str(EXPERIMENTS)}}).execute()
    outputs = [o for cell in tour.cells if cell.cell_type == "code" for o in cell.outputs]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    text = "".join(o.get("text", "") for o in outputs)
    assert len(pictures) == 4
    assert "% converged" in text and "null model" in text
