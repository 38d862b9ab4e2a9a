"""The metadata server's values as a tree, and the forms in which it prints them, purely."""

import json
from collections.abc import Mapping
from typing import Self

Leaf = str | tuple[str, ...]
Tree = Mapping[str, "Leaf | Tree"]


class Number(str):
    """A value that is a number in JSON."""

    __slots__ = ()

    def __new__(cls, value: int | str) -> Self:
        """Write a number."""
        return super().__new__(cls, str(value))


class JsonText(tuple[str, ...]):
    """A list that is printed as JSON even where text is asked for."""

    __slots__ = ()


class Rows(dict[str, "Leaf | Tree"]):
    """A folder whose names are numbers: a list in JSON."""


class Verbatim(dict[str, "Leaf | Tree"]):
    """A folder whose names users chose: JSON keeps them."""


def find(tree: Tree, path: str) -> "Leaf | Tree | None":
    """Find what a path names; None for nothing."""
    node: Leaf | Tree | None = tree
    for part in filter(None, path.split("/")):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def value_of(node: "Leaf | Tree") -> object:
    """Turn a leaf or a folder into JSON, with names in camel case as the server prints them."""
    if isinstance(node, Rows):
        return [value_of(value) for value in node.values()]
    if isinstance(node, Mapping):
        verbatim = isinstance(node, Verbatim)
        return {name if verbatim else _camel(name): value_of(value) for name, value in node.items()}
    if isinstance(node, Number):
        return int(node)
    return list(node) if isinstance(node, tuple) else node


def _camel(name: str) -> str:
    if "@" in name:
        return name
    first, *rest = name.split("-")
    return first + "".join(word.capitalize() for word in rest)


def flat(tree: Tree, prefix: str = "") -> str:
    """Write a folder as lines of path and value."""
    lines = []
    for name, value in tree.items():
        if isinstance(value, Mapping):
            lines.append(flat(value, f"{prefix}{name}/"))
        else:
            lines += [f"{prefix}{name} {line}\n" for line in text_of(value).splitlines()]
    return "".join(lines)


def text_of(leaf: Leaf) -> str:
    """Write a leaf as text: a list has one line for each."""
    if isinstance(leaf, JsonText):
        return json.dumps(list(leaf), separators=(",", ":"))
    return leaf if isinstance(leaf, str) else "".join(f"{line}\n" for line in leaf)


def listing(tree: Tree) -> str:
    """List the names of a folder; a service account has two more than values."""
    names = [f"{name}/" if isinstance(value, Mapping) else name for name, value in tree.items()]
    if "email" in tree:
        names = sorted([*names, "identity", "token"])
    return "".join(f"{name}\n" for name in names)
