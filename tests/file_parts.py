"""Parts of somebody else that read files, as text of a module: written where a test works."""

MODULE = "reading_parts"
TEXT = '''
"""Problems that read what a path names."""

import gzip
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import fractaljax as fj

HELD = 8  # points at the end for validation, and as many before them for the test


def squared(outputs, targets):
    return jnp.mean((outputs - targets) ** 2)


def split(rows):
    x, y = rows[:, :-1], rows[:, -1:]
    ends = len(rows) - 2 * HELD, len(rows) - HELD
    parts = [fj.Data(a, b) for a, b in zip(np.split(x, ends), np.split(y, ends))]
    return parts[0]._replace(test=parts[1], valid=parts[2])


def problem(read):
    return fj.Problem(lambda: split(read()), lambda key, source, count: source, squared)


@fj.register("problem", "table")
def table(path: str = "data.csv") -> fj.Problem:
    """Rows of a CSV; the last column holds the targets."""
    return problem(lambda: np.loadtxt(path, delimiter=","))


@fj.register("problem", "idx_folder")
def idx_folder(root: str = "images") -> fj.Problem:
    """The idx files of a folder, side by side; the mean of a row is its target."""

    def read():
        found = []
        for file in sorted(Path(root).glob("*.gz")):
            content = gzip.open(file).read()
            count = int.from_bytes(content[4:8], "big")
            found.append(np.frombuffer(content[16:], np.uint8).reshape(count, -1) / 255)
        rows = np.concatenate(found)
        return np.column_stack([rows[:, :3], rows.mean(axis=1)])

    return problem(read)


@fj.register("model", "from_file")
def from_file(weights: str = "net.npz", scale: float = 1.0) -> fj.Model:
    """A linear network that starts from stored weights."""

    def draw(key, x, outputs):
        return {"layer_000": {"kernel": jnp.asarray(np.load(weights)["kernel"])}}

    def init(draws):
        return {"layer_000": {"kernel": scale * draws["layer_000"]["kernel"]}}

    return fj.Model(draw, init, lambda params, x: x @ params["layer_000"]["kernel"])
'''
