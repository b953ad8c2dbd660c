"""How long does it take to count a large edge image?

    python benchmarks/boxcount.py

The boundary below the graph of a Weierstrass function of dimension 1.66, at 4096 x 4096 pixels:
its edges, then both estimators, each once in one process. The box count is over 19 sizes and up to
16 grid offsets each; the bootstrap takes 1000 repeats.

RESULT (two cores of an Intel Xeon with AVX-512, 22 November 2026):

      0.25 s  edges
      0.77 s  published, reads 1.513
      0.86 s  box count, 19 sizes
      0.00 s  fit and interval, 1.516 [1.454, 1.553]
"""

import time

import numpy as np

from fractaljax.analysis import boxcount, edges, fits, published

SIDE, DIMENSION = 4096, 1.66


def outcomes() -> edges.Outcomes:
    """Converged below the graph."""
    rng, x = np.random.default_rng(0), np.arange(SIDE) / SIDE
    waves = 1.5 ** np.arange(25)
    phases = rng.uniform(0, 2 * np.pi, len(waves))
    graph = waves ** (DIMENSION - 2) @ np.cos(2 * np.pi * waves[:, None] * x + phases[:, None])
    graph = 0.1 + 0.8 * (graph - graph.min()) / np.ptp(graph)
    converged = x[:, None] < graph
    return edges.Outcomes(converged, np.ones_like(converged))


def main() -> None:
    found = outcomes()
    clock = time.perf_counter()
    image = edges.edges(found)
    marks = [("edges", time.perf_counter() - clock)]
    clock = time.perf_counter()
    paper = published.median([published.slopes(image)])
    marks.append((f"published, reads {paper:.3f}", time.perf_counter() - clock))
    clock = time.perf_counter()
    counts = boxcount.count(image)
    marks.append((f"box count, {len(counts.sizes)} sizes", time.perf_counter() - clock))
    clock = time.perf_counter()
    rng = np.random.default_rng(0)
    line = fits.fit([boxcount.points(counts, boxcount.window(counts), rng)], rng)
    interval = f"{line.slope:.3f} [{line.low:.3f}, {line.high:.3f}]"
    marks.append((f"fit and interval, {interval}", time.perf_counter() - clock))
    for what, seconds in marks:
        print(f"{seconds:6.2f} s  {what}")


if __name__ == "__main__":
    main()
