"""YAML as plain data: numbers, text, true, false, null, lists and blocks, within limits.

Nothing in a file makes an object of Python, nothing is given twice, and nothing grows: aliases are
references in memory, but whatever copies, compares or prints them would meet every one of them
(ten lines of ten aliases each are ten thousand million values).

A number is what Python, JSON and YAML 1.2 take it for: `010` is ten, `1e2` a hundred. PyYAML goes
by YAML 1.1, where `010` is eight, `1:30` ninety and `no` false; what means something there only is
refused.
"""

import math
import re
from collections import Counter
from typing import Any

import yaml

from fractaljax.errors import FractaljaxError

MAX_VALUES = 100_000  # with every alias counted as what it stands for
MAX_DEPTH = 40  # blocks and lists in each other
MAX_BITS = 4096  # of a whole number
_PLAIN = ("null", "bool", "int", "float", "str", "seq", "map")
_TAG = "tag:yaml.org,2002:"
_DIGITS = "[0-9]+(?:_[0-9]+)*"
_POWER = "[eE][-+]?[0-9]+"
_POINT = rf"(?:{_DIGITS}\.(?:{_DIGITS})?|\.{_DIGITS})"
_READ = {  # kind -> how it is written without quotation marks, the first that fits
    f"{_TAG}bool": "true|True|TRUE|false|False|FALSE",
    f"{_TAG}int": rf"[-+]?(?:{_DIGITS}|0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+)",
    f"{_TAG}float": rf"[-+]?(?:{_POINT}(?:{_POWER})?|{_DIGITS}{_POWER}|\.(?:inf|Inf|INF))"
    r"|\.(?:nan|NaN|NAN)",
    "a truth": "yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF",
    "a number to base 60": r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?",
    "a number": r"[-+]?(?:\.?[0-9][0-9_]*(?:\.[0-9_]*)?|0[xb][0-9a-fA-F_]+)",
}
_INSTEAD = {  # what is refused -> what is to be written
    f"{_TAG}timestamp": "a date; text is in quotation marks",
    "a truth": "true or false in YAML 1.1; write true or false, or text in quotation marks",
    "a number to base 60": "base 60 in YAML 1.1; write the number, or text in quotation marks",
    "a number": "a number in YAML 1.1 only; write its digits, or text in quotation marks",
}


def from_yaml(text: str) -> Any:
    """What YAML text says; raises FractaljaxError for whatever PyYAML cannot make of it, for what
    is no plain data, and for what is larger than the limits of this module."""
    loader: Any = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if (found := _measured(node, {}, 0)[0]) > MAX_VALUES:
            raise FractaljaxError(f"{found:.3g} values with all aliases; at most {MAX_VALUES}")
        return loader.construct_document(node)
    except FractaljaxError:
        raise
    except RecursionError:
        raise FractaljaxError(f"nested more than {MAX_DEPTH} deep") from None
    except Exception as error:  # its constructors raise anything: a date of month 13
        raise FractaljaxError(f"not valid YAML: {' '.join(str(error).split())}") from None
    finally:
        if loader is not None:
            loader.dispose()


def to_yaml(tree: Any) -> str:
    """YAML text of plain data, of which `from_yaml` makes the same."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _measured(
    node: yaml.Node, known: dict[int, tuple[int, int] | None], depth: int
) -> tuple[int, int]:
    """Values in a node and below it, and how deep they lie in it; an alias is what it stands for.

    Args:
        known: of nodes that were measured; None of those that are being measured.
        depth: of the node.
    """
    line = node.start_mark.line + 1
    if node.tag.removeprefix(_TAG) not in _PLAIN:
        shown = f"{node.value} is " if node.tag in _INSTEAD else ""
        what = f"{shown}{_INSTEAD.get(node.tag, node.tag)}"
        raise FractaljaxError(f"not plain data at line {line}: {what}")
    if id(node) not in known:
        known[id(node)] = None
        below: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            below = node.value
        elif isinstance(node, yaml.MappingNode):
            below = [one for pair in node.value for one in pair]
        sizes = [_measured(one, known, depth + 1) for one in below]
        height = 1 + max((high for _, high in sizes), default=0)
        # no number of many digits: adding those up would take the time that is to be saved
        known[id(node)] = min(1 + sum(size for size, _ in sizes), 10**18), height
    found = known[id(node)]
    if found is None:
        raise FractaljaxError(f"an alias within what it stands for, at line {line}")
    if depth + found[1] > MAX_DEPTH:
        raise FractaljaxError(f"nested more than {MAX_DEPTH} deep at line {line}")
    return found


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice (PyYAML keeps the last one silently)."""

    def fetch_flow_collection_start(self, TokenClass):
        """Ends at once what is refused anyway: PyYAML goes through all brackets that are open at
        each further one, and a megabyte of them takes a day."""
        if self.flow_level >= MAX_DEPTH:
            raise FractaljaxError(f"nested more than {MAX_DEPTH} deep at line {self.line + 1}")
        super().fetch_flow_collection_start(TokenClass)

    def construct_mapping(self, node, deep=False):
        if not isinstance(node, yaml.MappingNode):  # `!!map [1, 2]`: refused below
            return super().construct_mapping(node, deep)
        keys = Counter(str(self.construct_object(k, deep=True)) for k, _ in node.value)
        for key, count in keys.items():
            if count > 1:
                line = node.start_mark.line + 1
                raise FractaljaxError(f"key '{key}' is given twice in the block at line {line}")
        return super().construct_mapping(node, deep)

    def construct_whole(self, node):
        """A whole number that can be printed: hexadecimal ones may have any length."""
        text = node.value
        value = int(text, 0 if re.match("[-+]?0[xob]", text) else 10)
        if value.bit_length() > MAX_BITS:
            raise FractaljaxError(f"a whole number of more than {MAX_BITS} bits")
        return value

    def construct_number(self, node):
        """A number with a point or a power of ten; `1e2` is whole, as if it were written out."""
        text, line = node.value, node.start_mark.line + 1
        value = float(re.sub(r"\.(?=[in])", "", text.lower()))
        if math.isinf(value) and "inf" not in text.lower():
            raise FractaljaxError(f"{text} at line {line} is larger than a float64 can be")
        if value == 0 and re.match("[-+]?[0._]*[1-9]", text):
            raise FractaljaxError(f"{text} at line {line} is smaller than a float64 can be")
        whole = "." not in text and value.is_integer() and abs(value) < 2**53
        return int(value) if whole else value

    def construct_text(self, node):
        """Text that a file, its name and a command can hold."""
        value = self.construct_scalar(node)
        if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
            raise FractaljaxError(f"no text at line {node.start_mark.line + 1}: {value!a}")
        return value


class _Dumper(yaml.SafeDumper):
    """Writes text that would be read as something else in quotation marks."""


_Loader.add_constructor(f"{_TAG}int", _Loader.construct_whole)
_Loader.add_constructor(f"{_TAG}float", _Loader.construct_number)
_Loader.add_constructor(f"{_TAG}str", _Loader.construct_text)
for one in (_Loader, _Dumper):
    one.yaml_implicit_resolvers = {
        first: [
            (tag, form) for tag, form in forms if tag[len(_TAG) :] not in ("bool", "int", "float")
        ]
        for first, forms in one.yaml_implicit_resolvers.items()
    }
    for tag, form in _READ.items():
        one.add_implicit_resolver(tag, re.compile(f"(?:{form})$"), [*"-+.0123456789tTfFyYnNoO"])
