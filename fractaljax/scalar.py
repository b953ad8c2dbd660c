"""A float that is traced: the arithmetic of a Python float, inside a compiled program.

`1 - 0.999` in Python is right to 53 bits, and is rounded once where it meets an array. The same of
a float32 tracer is rounded before, too: at 0.999 the difference is wrong by 1.3e-5 of itself. A
`Scalar` keeps all 53 bits while it meets numbers and other scalars, and becomes an array of the
array's dtype where it meets one, so that a value trains alike as a setting and as an axis.
"""

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@jax.tree_util.register_pytree_node_class
class Scalar:
    """A traced float64 in a program of float32; several side by side where it is not yet mapped.

    Arithmetic and comparisons with numbers and scalars are in float64; with an array, in the
    array's dtype. `jnp` functions, `.dtype`, `.astype` and the like take it as float32.
    `jax.lax` functions take arrays only: `jnp.asarray(value)` is one.

    Args:
        exact: float64.
        rounded: the same in float32, where it is known already.
    """

    __array_ufunc__ = None  # numpy's numbers leave arithmetic to the methods below
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, exact: Any, rounded: Any = None):
        self.exact, self._rounded = exact, rounded

    def tree_flatten(self) -> tuple[tuple[Any, Any], None]:
        return (self.exact, self._rounded), None

    @classmethod
    def tree_unflatten(cls, about: None, children: tuple[Any, Any]) -> "Scalar":
        return cls(*children)

    def __jax_array__(self) -> jax.Array:
        return self._as(jnp.result_type(float))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # protocols that a tracer has and a float has not
            raise AttributeError(name)
        return getattr(self.__jax_array__(), name)

    def __bool__(self) -> bool:
        return bool(self.exact)

    def __float__(self) -> float:
        return float(self.exact)

    def __neg__(self) -> "Scalar":
        return self._made(operator.neg)

    def __pos__(self) -> "Scalar":
        return self

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __abs__(self) -> "Scalar":
        return self._made(operator.abs)

    def sqrt(self) -> "Scalar":
        return self._made(jnp.sqrt)

    def _as(self, dtype: Any) -> jax.Array:
        if self._rounded is not None and dtype == self._rounded.dtype:
            return self._rounded
        return jax.lax.convert_element_type(self.exact, dtype)

    def _made(self, function: Callable[[Any], Any]) -> "Scalar":
        with jax.enable_x64(True):
            return Scalar(function(self.exact))


def _binary(function: Callable[[Any, Any], Any], swapped: bool) -> Callable[[Scalar, Any], Any]:
    """The method of `Scalar` that applies a function of two numbers."""

    def method(self: Scalar, other: Any) -> Any:
        if isinstance(other, Scalar) or _is_number(other):
            with jax.enable_x64(True):
                theirs = other.exact if isinstance(other, Scalar) else np.float64(other)
                found = function(theirs, self.exact) if swapped else function(self.exact, theirs)
            return found if found.dtype == bool else Scalar(found)
        mine = self._as(jnp.result_type(other, float))
        return function(other, mine) if swapped else function(mine, other)

    return method


def _is_number(value: Any) -> bool:
    """Whether a Python float and this make another float64: Python's numbers, and single ones of
    numpy but for narrower floats."""
    if isinstance(value, int | float):
        return True
    single = isinstance(value, np.ndarray | np.generic) and value.ndim == 0
    return single and (value.dtype.kind in "biu" or value.dtype == np.float64)


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    setattr(Scalar, f"__{_name}__", _binary(getattr(operator, _name), swapped=False))
    setattr(Scalar, f"__r{_name}__", _binary(getattr(operator, _name), swapped=True))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Scalar, f"__{_name}__", _binary(getattr(operator, _name), swapped=False))
