import numpy as np
import pytest

from fractaljax.field import Field
from fractaljax.spec import Spec
from fractaljax.window import Axis, Window


@pytest.fixture
def make_field():
    """A function that wraps an array `[ny, nx, ...]` or `[nx]` in a Field."""

    def make(values, *, reading="measure", done=None, spec=None, x=(1e-3, 1e6)):
        values = np.asarray(values)
        shape = values.shape[: min(values.ndim, 2)]
        window = Window(
            Axis("optimizer.lr_in", *x, n=shape[-1]),
            Axis("optimizer.lr_out", 1e-3, 1e6, n=shape[0]) if len(shape) == 2 else None,
        )
        done = np.ones(shape, bool) if done is None else done
        return Field(spec or Spec(), window, {reading: values}, done, {})

    return make
