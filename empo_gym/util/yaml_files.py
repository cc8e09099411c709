"""Reading YAML that somebody else wrote: plain values only, and never more of them than a file could write out.

The limits hold while the text is composed into nodes, before any value is built or hashed: an alias (``*a``) counts as often
as what it stands for, so a file of ten lines cannot mean 10^10 values, and nothing may contain itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 1 << 20
MAX_VALUES = 50_000
MAX_DEPTH = 50
# Longer numbers take long to read and mean nothing.
_LONGEST_NUMBER = 400
_TEXT = "tag:yaml.org,2002:str"


class YamlError(ValueError):
    """A YAML text that is not well-formed, too large, or not of plain values; one sentence that names the place."""


class _Loader(yaml.SafeLoader):
    """Safe YAML in which writing a key twice is an error, and sizes are limited."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth, self._n_written = 0, 0
        self._extent: dict[int, tuple[int, int]] = {}  # node's id -> number of values that it means, number of levels

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node; what an alias stands for is counted again."""
        event = self.peek_event()
        self._depth, self._n_written = self._depth + 1, self._n_written + 1
        self._require(event.start_mark, self._n_written, self._depth)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent) and id(node) not in self._extent:
            raise _Refused(event.start_mark, f"'*{event.anchor}' contains itself; write each part once")
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """Return a scalar."""
        node = super().compose_scalar_node(anchor)
        if node.tag != _TEXT and len(node.value) > _LONGEST_NUMBER:
            raise _Refused(node.start_mark, f"a number of {len(node.value)} characters; write at most {_LONGEST_NUMBER}")
        self._extent[id(node)] = 1, 1
        return node

    def compose_sequence_node(self, anchor: Any) -> yaml.SequenceNode:
        """Return a sequence, its size noted."""
        node = super().compose_sequence_node(anchor)
        self._note(node, node.value)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Return a mapping, its size noted, whose keys all differ."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise _Refused(key.start_mark, f"the key {_cut(key.value)} occurs twice; keep one")
                seen.add((key.tag, key.value))
        self._note(node, [part for pair in node.value for part in pair])
        return node

    def _note(self, node: yaml.Node, parts: list[yaml.Node]) -> None:
        extents = [self._extent[id(part)] for part in parts]
        n_values, n_levels = 1 + sum(n for n, _ in extents), 1 + max((n for _, n in extents), default=0)
        self._require(node.start_mark, n_values, n_levels)
        self._extent[id(node)] = n_values, n_levels

    def _require(self, mark: Any, n_values: int, n_levels: int) -> None:
        if n_values > MAX_VALUES:
            raise _Refused(mark, f"more than {MAX_VALUES:,} values, aliases written out")
        if n_levels > MAX_DEPTH:
            raise _Refused(mark, f"values are nested more than {MAX_DEPTH} deep")


def read_yaml(path: Path) -> Any:
    """Return the plain values of a YAML file.

    :raises YamlError: naming the file and the line, if it cannot be read, is not YAML, writes a key twice, or is larger than
        ``MAX_BYTES``, ``MAX_VALUES`` or ``MAX_DEPTH`` allow
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError(f"{path}: the file is no UTF-8 text ({error}); save it as UTF-8.") from error
    except (OSError, ValueError) as error:
        raise YamlError(f"{path}: the file cannot be read ({error}).") from error
    if len(content) > MAX_BYTES:
        raise YamlError(f"{path}: the file is larger than {MAX_BYTES >> 20} MB; is it YAML?")
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> Any:
    """Return the plain values of a YAML text.

    :param name: how errors call it
    :raises YamlError: as :func:`read_yaml`
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except _Refused as error:
        raise YamlError(f"{name}, line {error.line}: {error.problem}.") from error
    except yaml.constructor.ConstructorError as error:
        raise YamlError(f"{name}{_place(error)}: {_problem(error)}; write plain values only, no tags.") from error
    except yaml.YAMLError as error:
        raise YamlError(
            f"{name}{_place(error)}: this is not complete YAML ({_problem(error)}); is the file cut off?"
        ) from error
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:  # of a date or a number
        raise YamlError(f"{name}: a value cannot be read ({_problem(error)}).") from error


def check_size(value: Any, name: str) -> None:
    """Check nested mappings and lists of Python as :func:`read_yaml` checks those of a file.

    :param name: how errors call the whole
    :raises YamlError: if a part contains itself, or there are too many values or levels
    """
    _extent(value, name, (), {})


def _extent(value: Any, name: str, within: tuple[int, ...], known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Return the numbers of values and of levels of a value, each part of which is looked at once."""
    if not isinstance(value, Mapping | list | tuple):
        if isinstance(value, str) and len(value) > MAX_BYTES:
            raise YamlError(f"{name} has a text of {len(value):,} characters, more than {MAX_BYTES:,}.")
        if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER * math.log2(10):
            raise YamlError(f"{name} has a number of more than {_LONGEST_NUMBER} digits.")
        return 1, 1
    if id(value) in within:
        raise YamlError(f"{name} contains itself; write each part once.")
    if id(value) not in known:
        if len(within) < MAX_DEPTH and len(value) <= MAX_VALUES:
            parts = [*value, *value.values()] if isinstance(value, Mapping) else value
            extents = [_extent(part, name, (*within, id(value)), known) for part in parts]
            known[id(value)] = 1 + sum(n for n, _ in extents), 1 + max((n for _, n in extents), default=0)
        else:
            known[id(value)] = len(value), len(within) + 1
    n_values, n_levels = known[id(value)]
    if n_values > MAX_VALUES:
        raise YamlError(f"{name} has more than {MAX_VALUES:,} values.")
    if n_levels > MAX_DEPTH:
        raise YamlError(f"{name} is nested more than {MAX_DEPTH} deep; write it flatter.")
    return n_values, n_levels


class _Refused(yaml.YAMLError):
    """Well-formed YAML that is refused."""

    def __init__(self, mark: Any, problem: str) -> None:
        super().__init__(problem)
        self.line, self.problem = mark.line + 1, problem


def _place(error: Exception) -> str:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"


def _problem(error: Exception) -> str:
    problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else None
    return _cut(" ".join(str(problem or error).split()), quoted=False)


def _cut(text: str, quoted: bool = True) -> str:
    text = text if len(text) <= 120 else text[:120] + "..."
    return repr(text) if quoted else text
