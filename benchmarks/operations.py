"""Every operation of a compiled program: of which kind it is, what it works, how long it took.

What an operation works follows from the text of the compiled program, how often it ran and how
long from XLA's own profile.
"""

import math
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax

TANH, PRODUCTS, BATCHED = "tanh", "products of all networks at once", "products a network"
ELEMENTWISE, DRAWS = "elementwise", "draws and batches"
KINDS = {  # mark in the compiled program -> kind; the first mark that is found counts
    " tanh(": TANH,
    "lhs_batch_dims": BATCHED,
    " dot(": PRODUCTS,
    " gather(": DRAWS,
    " sort(": DRAWS,
    " xor(": DRAWS,  # of a random generator
    "": ELEMENTWISE,
}
OUTER = ("while", "call", "conditional")  # these contain others
BYTES = {"pred": 1, "s8": 1, "u8": 1, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8}


class Dot(NamedTuple):
    """A matrix product as `jax.lax.dot_general` takes it."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    contracted: tuple
    batched: tuple


class Operation(NamedTuple):
    """What one run of an operation works."""

    kind: str
    dot: Dot | None
    flop: int  # of products
    tanh: int
    bytes: int  # read and written


class Spent(NamedTuple):
    """All runs of an operation."""

    operation: Operation
    runs: int
    seconds: float


def profiled(compiled: str, run: Callable[[], object]) -> list[Spent]:
    """What `run` spends in each operation of a compiled program, by XLA's profile."""
    known = operations(compiled)
    runs: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run()
        (trace,) = Path(folder).rglob("*.xplane.pb")
        for plane in jax.profiler.ProfileData.from_file(str(trace)).planes:
            for line in plane.lines:
                for event in line.events:
                    if event.name in known:
                        runs.setdefault(event.name, []).append(event.duration_ns / 1e9)
    return [Spent(known[name], len(times), sum(times)) for name, times in runs.items()]


def operations(compiled: str) -> dict[str, Operation]:
    """Name of every operation of the compiled program that contains no others -> what it is."""
    bodies = {}  # computation -> its lines
    for found in re.finditer(r"^(?:ENTRY )?%?(\S+) \(.*?^}", compiled, re.MULTILINE | re.DOTALL):
        bodies[found[1]] = found[0].splitlines()
    parsed = {name: line for line in compiled.splitlines() for name, line in _line(line)}
    shapes = {name: line.shapes for name, line in parsed.items()}
    filed = {}
    for name, line in parsed.items():
        if line.opcode in OUTER:
            continue
        called = bodies.get(line.called, [])
        inside = [inner for text in called for _, inner in _line(text)]
        dots = [_dot(part, shapes) for part in (line, *inside) if part.opcode == "dot"]
        tanh = sum(_count(p.shapes[0]) for p in (line, *inside) if p.opcode == "tanh")
        moved = [*line.shapes, *(s for operand in line.operands for s in shapes.get(operand, []))]
        filed[name] = Operation(
            next(kind for mark, kind in KINDS.items() if mark in "\n".join([line.text, *called])),
            dots[0] if dots else None,
            sum(_flop(dot) for dot in dots),
            tanh,
            sum(BYTES.get(shape[0], 4) * _count(shape) for shape in moved),
        )
    return filed


class _Line(NamedTuple):
    text: str
    shapes: list[tuple[str, tuple[int, ...]]]  # dtype and extents of what it makes
    opcode: str
    operands: list[str]
    called: str


def _line(text: str) -> list[tuple[str, _Line]]:
    """Name and content, if this is an operation."""
    text = text.partition(", metadata=")[0]
    found = re.match(r"\s+(?:ROOT )?%(\S+) = (.*?) ([a-z][\w-]*)\((.*)", text)
    if not found:
        return []
    shapes = [
        (dtype, tuple(int(n) for n in extents.split(",") if n))
        for dtype, extents in re.findall(r"([a-z]+\d*)\[([\d,]*)\]", found[2])
    ]
    called = re.search(r"calls=%([\w.-]+)", text)
    operands = re.findall(r"%([\w.-]+)", found[4].partition(")")[0])
    return [(found[1], _Line(text, shapes, found[3], operands, called[1] if called else ""))]


def _dot(line: _Line, shapes: dict) -> Dot:
    left, right = (shapes[operand][0][1] for operand in line.operands[:2])

    def axes(name: str) -> tuple[int, ...]:
        found = re.search(name + r"=\{([\d,]*)\}", line.text)
        return tuple(int(n) for n in found[1].split(",") if n) if found else ()

    sides = ("lhs", "rhs")
    return Dot(
        left,
        right,
        tuple(axes(f"{side}_contracting_dims") for side in sides),
        tuple(axes(f"{side}_batch_dims") for side in sides),
    )


def _flop(dot: Dot) -> int:
    left, right = math.prod(dot.left), math.prod(dot.right)
    depth = math.prod(dot.left[axis] for axis in dot.contracted[0])
    shared = math.prod(dot.left[axis] for axis in dot.batched[0])
    return 2 * left * right // (depth * shared)


def _count(shape: tuple[str, tuple[int, ...]]) -> int:
    return math.prod(shape[1])
