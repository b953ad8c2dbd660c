"""The published dimensions (arXiv:2402.06184) again, beside an interval and a null model.

    python experiments/paper_dimensions.py
    python experiments/paper_dimensions.py --resolution 1024 --levels 49      as large as published

For each condition a zoom goes out from the published tile until both axes span six decades, in
`--levels` levels at equal steps (the published keyframes are a factor of 2 apart). On its levels
run the published estimator and box counting, each beside the null model. Finished tiles are kept
in outputs/. The table is written into experiments/README.md, between its two markers.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import tables

import fractaljax as fj
from fractaljax.analysis.dimension import Dimension
from fractaljax.families import dimension, zoom
from fractaljax.view.dimension import save_dimension, told

PUBLISHED = {
    "linear": 1.17,
    "relu": 1.20,
    "single": 1.41,
    "minibatch": 1.55,
    "tanh": 1.66,
    "offset": 1.98,
}
ROOT = Path(__file__).parents[1]
HEAD = (
    "| condition | published | published estimator, here | its null | box counting, 95 % interval "
    "| its null | levels pooled |\n|---|---|---|---|---|---|---|"
)


class Row(NamedTuple):
    condition: str
    published: Dimension
    boxcount: Dimension


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--resolution", type=int, default=128, help="pixels a side (default: 128)")
    parser.add_argument("--levels", type=int, default=8, help="of each zoom, 2 or more")
    parser.add_argument("--conditions", nargs="+", choices=PUBLISHED, default=list(PUBLISHED))
    asked = parser.parse_args()
    if asked.levels < 2:
        parser.error(f"--levels {asked.levels}: at least 2")
    rows = []
    for condition in asked.conditions:
        rows.append(measure(condition, asked.resolution, asked.levels))
        print(line(rows[-1]), flush=True)
    size = f"{asked.resolution} x {asked.resolution} pixels, {asked.levels} levels a condition"
    tables.write("paper_dimensions", "\n".join([f"{size}:", "", HEAD, *map(line, rows)]))


def measure(condition: str, resolution: int, levels: int) -> Row:
    """Trains the zoom of a condition, as far as it is not there yet, and measures it."""
    spec, window = fj.load(ROOT / f"configs/paper/{condition}.yaml", only="tile")
    widening = zoom.WIDE / min(axis.span for axis in window.axes)
    plan = zoom.plan(
        spec,
        window,
        levels=levels,
        factor=widening ** (1 / (levels - 1)),
        resolution=resolution,
    )
    place = ROOT / "outputs" / f"paper_dimensions_{resolution}_{levels}" / condition
    fields = zoom.run(plan, place).levels
    row = Row(condition, dimension.published(fields), dimension.boxcount(fields))
    for found in row[1:]:
        save_dimension(found, place / f"dimension_{found.method}.png")
    return row


def line(row: Row) -> str:
    """A row of the table."""
    cells = [row.condition, f"{PUBLISHED[row.condition]:.2f}"]
    for found in row[1:]:
        cells += [told(found.pooled), told(found.null.pooled if found.null else None)]
    cells.append(f"{row.boxcount.pooled_levels} of {len(row.boxcount.levels)}")
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
