"""The tree of a parsed query."""

from dataclasses import dataclass
from typing import Literal

Operator = Literal["=", "!=", "<", "<=", ">", ">=", ":", "=~", "!~"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """``path operator value``; ``quoted`` values are never taken for the star that means presence."""

    path: tuple[str, ...]
    operator: Operator
    value: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Anywhere:
    """A word alone: some field of the entry has it."""

    value: str


@dataclass(frozen=True, slots=True)
class Function:
    """``name(arguments)`` as a test: ``log_id("x")``; a path is an argument like a text."""

    name: str
    arguments: tuple[tuple[str, ...] | str, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    inner: "Node"


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them."""

    parts: tuple["Node", ...]


Node = Comparison | Anywhere | Function | Not | And | Or
