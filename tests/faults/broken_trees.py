"""Configs that are bad by construction: one known-bad change in a real one.

A tree is emitted as JSON, which is YAML, so that what no tree can hold (a key that is given twice,
a tag, an alias, a number of 5000 digits) is put in as text.
"""

import json
from typing import Any, NamedTuple

from hypothesis import strategies as st

FREE = ("experiments", "arms", "claims", "space", "architectures")  # their keys are names
TEXTS = ("question", "name")  # any text will do
NO_NULL = ("steps", "dtype", "seed", "width", "depth", "activation", "epochs", "max_steps")
SIZES = ("width", "depth", "steps", "max_steps", "epochs", "hidden_dim", "num_hidden", "in_dim")
SIZES += ("out_dim", "train_samples", "resolution", "trials", "patience", "interval")
ABSURD = ("width", "hidden_dim", "steps", "max_steps", "resolution", "epochs", "trials", "seeds")
NO_EMPTY = ("seeds", "experiments", "arms", "architectures", "densities", "widths", "schedule")
ABSURDLY = "absurd size"  # a way that depends on what is trained
MARK = "qz"  # part of no name anywhere


class Raw(str):
    """Text that goes into the file as it is."""


class Case(NamedTuple):
    """A file that is bad, and words one of which must be in the message."""

    kind: str
    content: bytes
    said: tuple[str, ...]


def emitted(tree: Any) -> str:
    if isinstance(tree, Raw):
        return tree
    if isinstance(tree, dict):
        pairs = (
            f"{k if isinstance(k, Raw) else json.dumps(k)}: {emitted(v)}" for k, v in _items(tree)
        )
        return "{" + ", ".join(pairs) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(emitted, tree)) + "]"
    return json.dumps(tree)


def _items(tree: dict) -> Any:
    for key, value in tree.items():
        yield key, value.value if isinstance(value, Twice) else value
        if isinstance(value, Twice):
            yield key, value.value


class Twice(NamedTuple):
    """A value whose key is given twice."""

    value: Any


def places(tree: Any, below: tuple = ()) -> list[tuple]:
    """The path of every key, and of every entry of a list."""
    found = []
    pairs = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in pairs:
        found += [(*below, key), *places(value, (*below, key))]
    return found


def at(tree: Any, path: tuple) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def put(tree: Any, path: tuple, value: Any, key: Any = None) -> Any:
    """The tree with another value at a path, or under another key there."""
    if not path:
        return value
    here, *rest = path
    if isinstance(tree, list):
        return [put(v, tuple(rest), value, key) if i == here else v for i, v in enumerate(tree)]
    found = {}
    for old, inner in tree.items():
        if old == here and not rest and key is not None:
            found[key] = inner
        else:
            found[old] = put(inner, tuple(rest), value, key) if old == here else inner
    return found


def words_of(path: tuple) -> tuple[str, ...]:
    """What a message may call a place: its own key, or that of the list or block that holds it."""
    keys = [str(key) for key in path if isinstance(key, str)]
    return (*keys[-2:], MARK)


BOMB = "[&a0 [x,x,x,x,x,x,x,x,x,x]" + "".join(
    f", &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)
)
RAW = {  # never plain data within limits, wherever it stands
    "bomb": BOMB + "]",
    "merge bomb": "{a: &m0 {x: 1, y: 2}"
    + "".join(f", a{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}]}}" for i in range(1, 9))
    + "}",
    "own alias": "&own [*own]",
    "tag": "!!python/object/apply:os.system ['touch PWNED']",
    "name tag": "!!python/name:os.system ''",
    "binary tag": "!!binary aGVsbG8=",
    "date": "2020-02-30",
    "real date": "2020-01-02",
    "nesting": "[" * 2000 + "]" * 2000,
    "some nesting": "[" * 60 + "]" * 60,
    "blocks": "{a: " * 70 + "1" + "}" * 70,
    "open": "[1, 2",
    "long number": "0x" + "f" * 5000,
    "digits": "1" + "0" * 5000,
    "unknown alias": "*nobody",
}
CONTROL = ["\0", "\x07", "\x1b[31m", "\x7f", "\ud800", "\ufffe", "\x80"]


@st.composite
def broken(draw: Any, tree: dict[str, Any], idle: tuple[tuple, ...] = ()) -> Case:
    """One of the ways to break a tree, where it can be broken in that way.

    Args:
        idle: paths of the blocks that would not be trained: nobody looks how large a network is
            there.
    """
    kind = draw(st.sampled_from(sorted((*WAYS, ABSURDLY))))
    found = absurd(draw, tree, idle) if kind == ABSURDLY else WAYS[kind](draw, tree)
    if found is None:
        kind, found = "misspelt", misspelt(draw, tree)
    made, said = found
    content = made if isinstance(made, bytes) else emitted(made).encode("utf-8", "surrogatepass")
    return Case(kind, content, said)


def misspelt(draw: Any, tree: Any) -> Any:
    keys = [
        p for p in places(tree) if isinstance(p[-1], str) and p[-2:-1] not in [(f,) for f in FREE]
    ]
    path = draw(st.sampled_from(keys))
    word = path[-1]
    i = draw(st.integers(0, len(word)))
    letters = draw(
        st.sampled_from([MARK, MARK * 999, "q\u00e9z", "q\u202ez", "q z", "q\nz", "q.z"])
    )
    # a part without its name is another part, which has not the arguments that are there
    block = [str(key) for key in path[-2:-1]] if word == "name" else []
    made = put(tree, path, None, word[:i] + letters + word[i:])
    return made, (word[:i] + "q", "bad.yaml", *block)


def _leaves(tree: Any, ok: Any) -> list[tuple]:
    return [p for p in places(tree) if ok(at(tree, p)) and not set(p) & set(TEXTS)]


def _value(draw: Any, tree: Any, paths: list[tuple], values: list[Any]) -> Any:
    if not paths:
        return None
    path = draw(st.sampled_from(paths))
    return put(tree, path, draw(st.sampled_from(values))), words_of(path)


def wrong_type(draw: Any, tree: Any) -> Any:
    leaves = _leaves(tree, lambda v: not isinstance(v, dict | list))
    return _value(draw, tree, leaves, [{MARK: 1}, {MARK: {MARK: [1]}}, [[[{MARK: 1}]]]])


def no_value(draw: Any, tree: Any) -> Any:
    leaves = _leaves(tree, lambda v: not isinstance(v, dict | list))
    return _value(draw, tree, [p for p in leaves if p[-1] in NO_NULL], [None, Raw("")])


def twice(draw: Any, tree: Any) -> Any:
    path = draw(st.sampled_from([p for p in places(tree) if isinstance(p[-1], str)]))
    return put(tree, path, Twice(at(tree, path))), (str(path[-1]),)


def not_plain(draw: Any, tree: Any) -> Any:
    path = draw(st.sampled_from(places(tree)))
    kind = draw(st.sampled_from(sorted(RAW)))
    return put(tree, path, Raw(RAW[kind])), ("bad.yaml",)


def not_text(draw: Any, tree: Any) -> Any:
    text = emitted(tree)
    i = draw(st.integers(0, len(text)))
    made = text[:i] + draw(st.sampled_from(CONTROL)) + text[i:]
    return made.encode("utf-8", "surrogatepass"), ("bad.yaml",)


def noise(draw: Any, tree: Any) -> Any:
    made = draw(st.binary(min_size=1, max_size=200)) + b"\xff\0"
    head = draw(st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"PAR1", b"PK\x03\x04", b"\x1f\x8b"]))
    return head + made, ("bad.yaml",)


def too_large(draw: Any, tree: Any) -> Any:
    line = draw(st.sampled_from([b"# x\n", b"x: 1\n", b"\n", b"x"]))
    return line * (2**20 // len(line) + 2), ("bad.yaml",)


def no_number(draw: Any, tree: Any) -> Any:
    numbers = _leaves(tree, lambda v: type(v) in (int, float))
    return _value(draw, tree, numbers, [Raw(".nan"), MARK, True, [], Raw("-.nan"), "x" * 10**5])


def negative(draw: Any, tree: Any) -> Any:
    sizes = [p for p in places(tree) if p[-1] in SIZES and type(at(tree, p)) is int]
    return _value(draw, tree, sizes, [-1, -(10**9), -(10**400), -0.5, Raw("-.inf"), "-7"])


def absurd(draw: Any, tree: Any, idle: tuple[tuple, ...]) -> Any:
    sizes = [p for p in places(tree) if p[-1] in ABSURD and type(at(tree, p)) is int]
    sizes = [p for p in sizes if not any(p[: len(block)] == block for block in idle)]
    sizes = [p for p in sizes if "growth" not in p]  # which takes the room that there is
    return _value(
        draw, tree, sizes, [10**9 + 1, 10**12, 10**18, 10**400, Raw("1e400"), Raw(".inf")]
    )


def empty(draw: Any, tree: Any) -> Any:
    lists = [p for p in places(tree) if p[-1] in NO_EMPTY and p[-1] != "schedule"]
    return _value(draw, tree, [p for p in lists if at(tree, p)], [MARK, 0.5, [{MARK: []}]])


WAYS = {
    "misspelt": misspelt,
    "wrong type": wrong_type,
    "no value": no_value,
    "given twice": twice,
    "not plain data": not_plain,
    "no text": not_text,
    "noise": noise,
    "too large": too_large,
    "no number": no_number,
    "negative": negative,
    "no list": empty,
}
