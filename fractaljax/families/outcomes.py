"""Which networks of a Field converged."""

from fractaljax.analysis import edges
from fractaljax.errors import FractaljaxError
from fractaljax.field import Field


def reading(field: Field) -> str:
    """The reading that tells whether a network converged."""
    if name := edges.telling(field.arrays):
        return name
    raise FractaljaxError(
        f"no reading tells which networks converged: this result holds {', '.join(field.arrays)}; "
        "the folds measure and status do"
    )


def of(field: Field) -> edges.Outcomes:
    """What became of every network of a Field."""
    name = reading(field)
    return edges.outcomes(field[name], field.done, name)
