"""What the roofline counts in a compiled program."""

import jax
import jax.numpy as jnp
import operations
from operations import BATCHED, PRODUCTS, TANH, Dot


def found(function, *shapes):
    shaped = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    text = jax.jit(function).lower(*shaped).compile().as_text()
    return list(operations.operations(text).values())


def test_products_and_tanh_are_counted():
    every = found(lambda a, b: jnp.tanh(a @ b), (64, 32), (32, 16))
    ran = [op for op in every if op.kind in (PRODUCTS, TANH)]
    assert max(op.flop for op in ran) == 2 * 64 * 32 * 16
    assert max(op.tanh for op in ran) == 64 * 16
    (dot,) = {op.dot for op in ran if op.dot}
    assert dot == Dot((64, 32), (32, 16), ((1,), (0,)), ((), ()))


def test_products_a_network_have_a_kind_of_their_own():
    every = found(lambda a, b: jnp.einsum("cij,cjk->cik", a, b), (8, 6, 32), (8, 32, 4))
    flop = {op.flop for op in every if op.kind == BATCHED}
    assert flop == {2 * 8 * 6 * 32 * 4}


def test_bytes_are_what_is_read_and_written():
    every = found(lambda a, b: a * 2 + b, (1000,), (1000,))
    assert 3 * 4000 in [op.bytes for op in every]
