"""Zoom: Fields around one centre, each some times narrower than the one before."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fractaljax.field import Field


@dataclasses.dataclass(frozen=True, eq=False)
class Zoom:
    """The result of a zoom sequence.

    Args:
        levels: Fields of one shape, the widest first; their middle samples (`n // 2` along each
            axis) are the same point.
        factor: how many times narrower each level is than the one before.
        path: the folder it is kept in.
        plan: what was asked for: centre, how it was found, settings.
    """

    levels: tuple[Field, ...]
    factor: float
    path: Path
    plan: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.levels)

    def plot(self, **look: Any) -> Any:
        """All levels on one sheet, as a `matplotlib.figure.Figure`.

        Args:
            look: `reading`, `cmap`, `stretch`, `contour`: see `fractaljax.view.sheet.save_sheet`.
        """
        from fractaljax.view.sheet import draw

        return draw(self, **look)

    def __getitem__(self, level: int) -> Field:
        return self.levels[level]
