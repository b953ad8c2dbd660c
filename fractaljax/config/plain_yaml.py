"""YAML as plain data: numbers, text, true, false, null, lists and blocks, within limits.

Nothing in a file makes an object of Python, nothing is given twice, and nothing grows: aliases are
references in memory, but whatever copies, compares or prints them would meet every one of them
(ten lines of ten aliases each are ten thousand million values).
"""

from collections import Counter
from typing import Any

import yaml

from fractaljax.errors import FractaljaxError

MAX_VALUES = 100_000  # with every alias counted as what it stands for
MAX_DEPTH = 40  # blocks and lists in each other
MAX_BITS = 4096  # of a whole number
_PLAIN = ("null", "bool", "int", "float", "str", "seq", "map")
_TAG = "tag:yaml.org,2002:"


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
        what = "a date; text is in quotation marks" if node.tag.endswith(":timestamp") else node.tag
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
        value = self.construct_yaml_int(node)
        if value.bit_length() > MAX_BITS:
            raise FractaljaxError(f"a whole number of more than {MAX_BITS} bits")
        return value

    def construct_text(self, node):
        """Text that a file, its name and a command can hold."""
        value = self.construct_scalar(node)
        if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
            raise FractaljaxError(f"no text at line {node.start_mark.line + 1}: {value!a}")
        return value


_Loader.add_constructor(f"{_TAG}int", _Loader.construct_whole)
_Loader.add_constructor(f"{_TAG}str", _Loader.construct_text)
