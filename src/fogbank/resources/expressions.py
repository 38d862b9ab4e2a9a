"""Expressions of the Common Expression Language, as far as Google's documentation uses it.

An expression is read once, with its types, into a function of what it is about. Which names it may use, a
vocabulary says: that of IAM conditions, or of filters of flow logs.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from fogbank.errors import not_built

_DEEPEST = 24
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"[^"\\\n]*"|'[^'\\\n]*')|(?P<number>[0-9]+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"""
    r"""|(?P<sign>&&|\|\||[=!<>]=|[!<>()\[\].,+-]))"""
)
_DURATION = re.compile(r"(-?)(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,12}(?:\.[0-9]{1,6})?)s)?")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_OFFSET = re.compile(r"([+-]?)([0-9]{2}):([0-9]{2})")
_TEMPLATE = re.compile(r"([^{}]*)\{[A-Za-z_][A-Za-z0-9_]*\}([^{}]*)")


class ExpressionError(ValueError):
    """An expression is none; the message says why."""


class Node(NamedTuple):
    """A part of an expression: the type of its value, and how to compute it.

    ``literal`` is its text. ``present`` tells whether the attribute that it stands for has a value.
    """

    type: str
    value: Callable[[Any], Any]
    literal: str | None = None
    present: Callable[[Any], bool] | None = None


def _no_function(name: str, arguments: tuple["Node", ...]) -> "Node":
    del arguments
    raise ExpressionError(f"undeclared reference to '{name}'")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that expressions ``where`` (``conditions of IAM policies``) may use.

    Names that begin with one of ``unbuilt`` are refused as that. ``function`` reads the call of a function
    that is not of the language itself; ExpressionError when there is none of the name.
    """

    where: str
    attributes: Mapping[str, Node]
    unbuilt: tuple[str, ...] = ()
    function: Callable[[str, tuple[Node, ...]], Node] = _no_function


def read_expression(
    text: str, vocabulary: Vocabulary, *, most_operators: int | None = None
) -> Callable[[Any], Any]:
    """Read an expression of type bool.

    ExpressionError when it is none, ApiError (UNIMPLEMENTED) for what is not built.
    """
    tokens = list(_tokens(text))
    operators = sum(kind == "sign" and sign in {"&&", "||", "!"} for kind, sign in tokens)
    if most_operators is not None and operators > most_operators:
        raise ExpressionError(f"the expression has more than {most_operators} logical operators")
    parser = _Parser(tokens, vocabulary)
    whole = parser.either()
    parser.end()
    if whole.type != "bool":
        raise ExpressionError(f"the expression is of type '{whole.type}', not 'bool'")
    return whole.value


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(f"syntax error at character {at + 1}: '{text[at : at + 20].strip()}'")
        found.append((match.lastgroup or "", match[match.lastgroup or 0]))
        at = match.end()
    return found


class _Parser:
    """Reads an expression by recursive descent, weakest operators first."""

    def __init__(self, tokens: list[tuple[str, str]], vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._tokens, self._at, self._depth = [*tokens, ("end", "")], 0, 0

    def either(self) -> Node:
        """Read ``a || b``."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ExpressionError("the expression is nested too deeply")
        node = self._both()
        while self._take("||"):
            node = _logical(node, self._both(), any)
        self._depth -= 1
        return node

    def end(self) -> None:
        """Refuse anything further."""
        if self._tokens[self._at][0] != "end":
            raise self._wrong()

    def _both(self) -> Node:
        node = self._relation()
        while self._take("&&"):
            node = _logical(node, self._relation(), all)
        return node

    def _relation(self) -> Node:
        node = self._sum()
        while (text := self._tokens[self._at][1]) in _COMPARE and self._tokens[self._at][0] != "string":
            self._at += 1
            node = _compared(node, self._sum(), text)
        return node

    def _sum(self) -> Node:
        node = self._unary()
        while self._sign() in {"+", "-"}:
            operator = self._next()[1]
            node = _added(node, self._unary(), operator)
        return node

    def _unary(self) -> Node:
        if not self._take("!"):
            return self._member()
        self._depth += 1
        node = self._unary()
        self._depth -= 1
        expect("!", (node,), ("bool",))
        return Node("bool", lambda about: not node.value(about))

    def _member(self) -> Node:
        node = self._primary()
        while self._take("."):
            name = self._name()
            if not self._take("("):
                raise self._wrong(f"undefined field '{name}'")
            node = _called(name, (node, *self._arguments()))
        return node

    def _primary(self) -> Node:
        kind, text = self._next()
        match kind, text:
            case "string", _:
                return _constant("string", text[1:-1], text[1:-1])
            case "number", _:
                return _constant("int", int(text))
            case "name", "true" | "false":
                return _constant("bool", text == "true")
            case "name", _ if self._take("("):
                return _function(text, self._arguments(), self._vocabulary)
            case "name", _:
                return self._attribute(text)
            case _, "(":
                node = self.either()
                self._expect(")")
                return node
            case _, "[":
                return _list(self._items("]"))
            case _:
                self._at -= 1
                raise self._wrong()

    def _attribute(self, path: str) -> Node:
        while self._sign() == "." and self._tokens[self._at + 1][0] == "name":
            longer = f"{path}.{self._tokens[self._at + 1][1]}"
            if longer.startswith(self._vocabulary.unbuilt):
                raise not_built(f"{longer} in {self._vocabulary.where}")
            if self._tokens[self._at + 2][1] == "(":
                break
            path, self._at = longer, self._at + 2
        found = self._vocabulary.attributes.get(path)
        if found is None:
            raise self._wrong(f"undeclared reference to '{path}'")
        return found

    def _arguments(self) -> tuple[Node, ...]:
        return self._items(")")

    def _items(self, closing: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._take(closing):
            if items:
                self._expect(",")
            items.append(self.either())
        return tuple(items)

    def _sign(self) -> str:
        kind, text = self._tokens[self._at]
        return text if kind == "sign" else ""

    def _take(self, sign: str) -> bool:
        taken = self._sign() == sign
        self._at += taken
        return taken

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise self._wrong()

    def _name(self) -> str:
        kind, text = self._next()
        if kind != "name":
            self._at -= 1
            raise self._wrong()
        return text

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        self._at += token[0] != "end"
        return token

    def _wrong(self, why: str = "") -> ExpressionError:
        kind, text = self._tokens[self._at]
        return ExpressionError(why or ("unexpected end" if kind == "end" else f"syntax error at '{text}'"))


def _constant(kind: str, value: object, literal: str | None = None) -> Node:
    return Node(kind, lambda _about: value, literal)


def expect(what: str, given: tuple[Node, ...], wanted: tuple[str, ...]) -> None:
    """Refuse operands or arguments of other types than ``wanted``."""
    types = tuple(node.type for node in given)
    if types != wanted:
        raise ExpressionError(f"found no matching overload for '{what}' applied to '({', '.join(types)})'")


def _logical(left: Node, right: Node, decide: Callable[[Any], bool]) -> Node:
    expect("&&" if decide is all else "||", (left, right), ("bool", "bool"))
    return Node("bool", lambda about: decide(node.value(about) for node in (left, right)))


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
}


def _compared(left: Node, right: Node, operator: str) -> Node:
    wanted = f"list({left.type})" if operator == "in" else left.type
    expect(operator, (left, right), (left.type, wanted))
    compare = _COMPARE[operator]
    return Node("bool", lambda about: compare(left.value(about), right.value(about)))


_SUMS = {
    ("string", "+", "string"): "string",
    ("int", "+", "int"): "int",
    ("int", "-", "int"): "int",
    ("duration", "+", "duration"): "duration",
    ("duration", "-", "duration"): "duration",
    ("duration", "+", "timestamp"): "timestamp",
    ("timestamp", "+", "duration"): "timestamp",
    ("timestamp", "-", "duration"): "timestamp",
    ("timestamp", "-", "timestamp"): "duration",
}


def _added(left: Node, right: Node, operator: str) -> Node:
    kind = _SUMS.get((left.type, operator, right.type))
    if kind is None:
        expect(operator, (left, right), ())
    if operator == "+":
        return Node(kind or "", lambda about: left.value(about) + right.value(about))
    return Node(kind or "", lambda about: left.value(about) - right.value(about))


def _list(items: tuple[Node, ...]) -> Node:
    if not items or any(each.type != items[0].type for each in items):
        raise ExpressionError("a list must have values, all of one type")
    return Node(f"list({items[0].type})", lambda about: [each.value(about) for each in items])


def _function(name: str, arguments: tuple[Node, ...], vocabulary: Vocabulary) -> Node:
    """Read ``has(…)``, ``timestamp('…')`` and ``duration('…')`` of literals, and what a vocabulary adds."""
    if name == "has" and len(arguments) == 1 and arguments[0].present is not None:
        return Node("bool", arguments[0].present)
    if name not in {"timestamp", "duration"}:
        return vocabulary.function(name, arguments)
    expect(name, arguments, ("string",))
    literal = arguments[0].literal
    if literal is None:
        raise not_built(f"{name} of a value that is computed, in {vocabulary.where}")
    return _constant(name, _timestamp(literal) if name == "timestamp" else _duration(literal))


def _timestamp(text: str) -> datetime:
    try:
        if _TIMESTAMP.fullmatch(text):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ExpressionError(f"invalid timestamp '{text}'")


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()[1:]):
        raise ExpressionError(f"invalid duration '{text}'")
    sign, hours, minutes, seconds = found.groups()
    try:
        length = timedelta(hours=int(hours or 0), minutes=int(minutes or 0), seconds=float(seconds or 0))
    except OverflowError:
        raise ExpressionError(f"invalid duration '{text}'") from None
    return -length if sign else length


_PARTS: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda time: time.year,
    "getMonth": lambda time: time.month - 1,
    "getDate": lambda time: time.day,
    "getDayOfMonth": lambda time: time.day - 1,
    "getDayOfWeek": lambda time: time.isoweekday() % 7,
    "getDayOfYear": lambda time: time.timetuple().tm_yday - 1,
    "getHours": lambda time: time.hour,
    "getMinutes": lambda time: time.minute,
    "getSeconds": lambda time: time.second,
    "getMilliseconds": lambda time: time.microsecond // 1000,
}
"""Parts of a time as the language counts them: months and days of a year from 0, Sunday is 0."""

_TESTS: dict[str, Callable[[str, str], bool]] = {"startsWith": str.startswith, "endsWith": str.endswith}


def _called(name: str, nodes: tuple[Node, ...]) -> Node:
    """Read the call of a method: its receiver is the first of ``nodes``."""
    receiver, *arguments = nodes
    if receiver.type == "string" and name in _TESTS:
        expect(name, nodes, ("string", "string"))
        test, wanted = _TESTS[name], arguments[0]
        return Node("bool", lambda about: test(receiver.value(about), wanted.value(about)))
    if receiver.type == "string" and name == "extract":
        expect(name, nodes, ("string", "string"))
        return _extracted(receiver, arguments[0].literal)
    if receiver.type == "timestamp" and name in _PARTS:
        part, zone = _PARTS[name], _zone(name, nodes)
        return Node("int", lambda about: part(zone(receiver.value(about))))
    expect(name, nodes, ())
    raise AssertionError(name)


def _extracted(receiver: Node, template: str | None) -> Node:
    """Read ``extract('/secrets/{name}/')``: what stands between the first such prefix and the suffix."""
    found = _TEMPLATE.fullmatch(template) if template is not None else None
    if found is None:
        raise ExpressionError("extract needs a literal with one {name}")
    prefix, suffix = found.groups()

    def value(about: Any) -> str:
        _, present, rest = (
            receiver.value(about).partition(prefix) if prefix else ("", "x", receiver.value(about))
        )
        if not present or (suffix and suffix not in rest):
            return ""
        return str(rest.partition(suffix)[0]) if suffix else str(rest)

    return Node("string", value)


def _zone(name: str, nodes: tuple[Node, ...]) -> Callable[[datetime], datetime]:
    """Return how to see a time in the zone that a method names: UTC without one."""
    if len(nodes) == 1:
        return lambda time: time
    expect(name, nodes, ("timestamp", "string"))
    text = nodes[1].literal or ""
    if offset := _OFFSET.fullmatch(text):
        hours, minutes = int(offset[2]), int(offset[3])
        apart = timedelta(hours=hours, minutes=minutes) * (-1 if offset[1] == "-" else 1)
        return lambda time: time + apart
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        zone = ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ExpressionError(f"unknown time zone '{text}'") from None
    return lambda time: time.astimezone(zone)
