"""Where a scan puts its tiles: the contract, and the one that keeps them in memory."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from fractaljax.field import Field
from fractaljax.spec import Spec
from fractaljax.window import Tile, Window


class Reading(NamedTuple):
    """One named array of a Field: shape of one pixel's value, and its dtype."""

    shape: tuple[int, ...]
    dtype: str

    def empty(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array of pixels that are not trained yet."""
        return np.full((*shape, *self.shape), fill_value(self.dtype), self.dtype)


class Ledger(Protocol):
    """Keeps tiles and the coordinates of their pixels, and knows which are pending."""

    @property
    def window(self) -> Window:
        """The window with the coordinates that are kept from the beginning on."""
        ...

    def begun(self) -> dict[str, Any] | None:
        """The numeric setting (chunk, tile, backend) this ledger was begun with, if it was."""
        ...

    def begin(self, readings: Mapping[str, Reading], numeric: dict[str, Any]) -> dict[str, Any]:
        """Prepares for these readings; answers with the numeric setting that holds."""
        ...

    def pending(self) -> Iterator[tuple[int, Tile]]:
        """Tiles to train, each claimed until it is written."""
        ...

    def write(self, index: int, tile: Tile, readings: Mapping[str, np.ndarray]) -> None:
        """Keeps a finished tile, `[rows, columns, ...]` a reading."""
        ...

    def renew(self, numeric: dict[str, Any]) -> None:
        """From here on tiles are trained in another numeric setting: the chunk had to shrink."""
        ...

    def left(self) -> int:
        """Pixels that are not trained yet."""
        ...

    def finish(self, run: dict[str, Any]) -> Field:
        """The Field as it stands, with the record of this run in its provenance."""
        ...


class Memory:
    """A ledger in host memory.

    Args:
        spec, window: what is scanned, with the coordinates that the result is to have.
    """

    def __init__(self, spec: Spec, window: Window):
        self.window, self._spec = window, spec
        self._numeric: dict[str, Any] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._done = np.zeros(window.grid, bool)

    def begun(self) -> None:
        return None

    def begin(self, readings: Mapping[str, Reading], numeric: dict[str, Any]) -> dict[str, Any]:
        self._numeric = numeric
        self._arrays = {name: r.empty(self.window.grid) for name, r in readings.items()}
        return numeric

    def pending(self) -> Iterator[tuple[int, Tile]]:
        yield from enumerate(self.window.tiles(self._numeric["tile"]))

    def write(self, index: int, tile: Tile, readings: Mapping[str, np.ndarray]) -> None:
        for name, values in readings.items():
            self._arrays[name][tile.rows, tile.columns] = values
        self._done[tile.rows, tile.columns] = True

    def renew(self, numeric: dict[str, Any]) -> None:
        self._numeric = numeric

    def left(self) -> int:
        return int(self._done.size - self._done.sum())

    def finish(self, run: dict[str, Any]) -> Field:
        arrays = {k: v.reshape(*self.window.shape, *v.shape[2:]) for k, v in self._arrays.items()}
        done = self._done.reshape(self.window.shape)
        made = provenance(self._spec, self.window, self._numeric, [run])
        return Field(self._spec, self.window, arrays, done, made)


def fill_value(dtype: str) -> Any:
    """What an untrained pixel holds: NaN, the largest integer, or False."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return False
    return np.nan if kind.kind == "f" else np.iinfo(kind).max


def provenance(
    spec: Spec, window: Window, numeric: Mapping[str, Any], runs: list[dict[str, Any]]
) -> dict[str, Any]:
    """How a Field was made: numeric setting, rule of the coordinates, the last run, and totals
    over all runs."""
    seconds, pixels = sum(r["wall_s"] for r in runs), sum(r["pixels"] for r in runs)
    totals = {
        "wall_s": seconds,
        "pixels": pixels,
        "pixels_per_s": pixels / seconds if seconds else 0.0,
    }
    if any("known" in r for r in runs):  # pixels that were taken from elsewhere, not trained
        totals["known"] = sum(r.get("known", 0) for r in runs)
    last = runs[-1] if runs else {}
    how = {"dtype": spec.dtype, **numeric, "coordinates": window.rule}
    return {**how, **last, **totals, "runs": len(runs)}
