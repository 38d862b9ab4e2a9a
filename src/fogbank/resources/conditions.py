"""IAM conditions: the part of the Common Expression Language that Google documents for them.

An expression is read once, with its types, into a function of what a call is about; so nothing can go wrong
when permissions are asked but a date beyond the calendar, and that grants nothing. What Google documents and
this region cannot know (tags, access levels, destinations) is refused by name (behaviour/iam.md#conditions).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from fogbank.errors import not_built

MOST_CHARACTERS = 4096
MOST_OPERATORS = 12
"""Logical operators in an expression (IAM's documentation, "Quotas and limits")."""

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
_ELSEWHERE = (
    "api.",
    "destination.",
    "principal.",
    "request.auth.",
    "request.host",
    "request.path",
    "resource.match",
)


class ConditionError(ValueError):
    """An expression is none; the message says why."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a permission is asked for: a resource in Google's words, and when.

    ``type`` is as ``secretmanager.googleapis.com/Secret``, ``service`` as ``secretmanager.googleapis.com``.
    """

    name: str
    type: str
    service: str
    time: datetime


class _Node(NamedTuple):
    """A part of an expression: the type of its value, and how to compute it; ``literal`` is its text."""

    type: str
    value: Callable[[Attributes], Any]
    literal: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression that was read."""

    _value: Callable[[Attributes], Any]

    def holds(self, about: Attributes) -> bool:
        """Return whether the condition is met; one that cannot be computed is not."""
        try:
            return bool(self._value(about))
        except OverflowError:
            return False


def parse_condition(expression: str) -> Condition:
    """Read an expression; ConditionError when it is none, ApiError (UNIMPLEMENTED) for what is not built."""
    if len(expression) > MOST_CHARACTERS:
        raise ConditionError(f"the expression has more than {MOST_CHARACTERS} characters")
    tokens = list(_tokens(expression))
    if sum(kind == "sign" and text in {"&&", "||", "!"} for kind, text in tokens) > MOST_OPERATORS:
        raise ConditionError(f"the expression has more than {MOST_OPERATORS} logical operators")
    parser = _Parser(tokens)
    whole = parser.either()
    parser.end()
    if whole.type != "bool":
        raise ConditionError(f"the expression is of type '{whole.type}', not 'bool'")
    return Condition(whole.value)


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise ConditionError(f"syntax error at character {at + 1}: '{text[at : at + 20].strip()}'")
        found.append((match.lastgroup or "", match[match.lastgroup or 0]))
        at = match.end()
    return found


class _Parser:
    """Reads an expression by recursive descent, weakest operators first."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens, self._at, self._depth = [*tokens, ("end", "")], 0, 0

    def either(self) -> _Node:
        """Read ``a || b``."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ConditionError("the expression is nested too deeply")
        node = self._both()
        while self._take("||"):
            node = _logical(node, self._both(), any)
        self._depth -= 1
        return node

    def end(self) -> None:
        """Refuse anything further."""
        if self._tokens[self._at][0] != "end":
            raise self._wrong()

    def _both(self) -> _Node:
        node = self._relation()
        while self._take("&&"):
            node = _logical(node, self._relation(), all)
        return node

    def _relation(self) -> _Node:
        node = self._sum()
        while (text := self._tokens[self._at][1]) in _COMPARE and self._tokens[self._at][0] != "string":
            self._at += 1
            node = _compared(node, self._sum(), text)
        return node

    def _sum(self) -> _Node:
        node = self._unary()
        while self._sign() in {"+", "-"}:
            operator = self._next()[1]
            node = _added(node, self._unary(), operator)
        return node

    def _unary(self) -> _Node:
        if not self._take("!"):
            return self._member()
        self._depth += 1
        node = self._unary()
        self._depth -= 1
        _expect("!", (node,), ("bool",))
        return _Node("bool", lambda about: not node.value(about))

    def _member(self) -> _Node:
        node = self._primary()
        while self._take("."):
            name = self._name()
            if not self._take("("):
                raise self._wrong(f"undefined field '{name}'")
            node = _called(name, (node, *self._arguments()))
        return node

    def _primary(self) -> _Node:
        kind, text = self._next()
        match kind, text:
            case "string", _:
                return _constant("string", text[1:-1], text[1:-1])
            case "number", _:
                return _constant("int", int(text))
            case "name", "true" | "false":
                return _constant("bool", text == "true")
            case "name", _ if self._take("("):
                return _function(text, self._arguments())
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

    def _attribute(self, path: str) -> _Node:
        while self._sign() == "." and self._tokens[self._at + 1][0] == "name":
            longer = f"{path}.{self._tokens[self._at + 1][1]}"
            if longer.startswith(_ELSEWHERE):
                raise not_built(f"{longer} in conditions of IAM policies")
            if self._tokens[self._at + 2][1] == "(":
                break
            path, self._at = longer, self._at + 2
        if path not in _ATTRIBUTES:
            raise self._wrong(f"undeclared reference to '{path}'")
        return _ATTRIBUTES[path]

    def _arguments(self) -> tuple[_Node, ...]:
        return self._items(")")

    def _items(self, closing: str) -> tuple[_Node, ...]:
        items: list[_Node] = []
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

    def _wrong(self, why: str = "") -> ConditionError:
        kind, text = self._tokens[self._at]
        return ConditionError(why or ("unexpected end" if kind == "end" else f"syntax error at '{text}'"))


def _constant(kind: str, value: object, literal: str | None = None) -> _Node:
    return _Node(kind, lambda _about: value, literal)


def _expect(what: str, given: tuple[_Node, ...], wanted: tuple[str, ...]) -> None:
    types = tuple(node.type for node in given)
    if types != wanted:
        raise ConditionError(f"found no matching overload for '{what}' applied to '({', '.join(types)})'")


def _logical(left: _Node, right: _Node, decide: Callable[[Any], bool]) -> _Node:
    _expect("&&" if decide is all else "||", (left, right), ("bool", "bool"))
    return _Node("bool", lambda about: decide(node.value(about) for node in (left, right)))


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
}


def _compared(left: _Node, right: _Node, operator: str) -> _Node:
    wanted = f"list({left.type})" if operator == "in" else left.type
    _expect(operator, (left, right), (left.type, wanted))
    compare = _COMPARE[operator]
    return _Node("bool", lambda about: compare(left.value(about), right.value(about)))


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


def _added(left: _Node, right: _Node, operator: str) -> _Node:
    kind = _SUMS.get((left.type, operator, right.type))
    if kind is None:
        _expect(operator, (left, right), ())
    if operator == "+":
        return _Node(kind or "", lambda about: left.value(about) + right.value(about))
    return _Node(kind or "", lambda about: left.value(about) - right.value(about))


def _list(items: tuple[_Node, ...]) -> _Node:
    if not items or any(each.type != items[0].type for each in items):
        raise ConditionError("a list must have values, all of one type")
    return _Node(f"list({items[0].type})", lambda about: [each.value(about) for each in items])


_ATTRIBUTES = {
    "request.time": _Node("timestamp", lambda about: about.time),
    "resource.name": _Node("string", lambda about: about.name),
    "resource.type": _Node("string", lambda about: about.type),
    "resource.service": _Node("string", lambda about: about.service),
}


def _function(name: str, arguments: tuple[_Node, ...]) -> _Node:
    """Read ``timestamp('…')`` and ``duration('…')`` of literals."""
    if name not in {"timestamp", "duration"}:
        raise ConditionError(f"undeclared reference to '{name}'")
    _expect(name, arguments, ("string",))
    literal = arguments[0].literal
    if literal is None:
        raise not_built(f"{name} of a value that is computed, in conditions of IAM policies")
    return _constant(name, _timestamp(literal) if name == "timestamp" else _duration(literal))


def _timestamp(text: str) -> datetime:
    try:
        if _TIMESTAMP.fullmatch(text):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ConditionError(f"invalid timestamp '{text}'")


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()[1:]):
        raise ConditionError(f"invalid duration '{text}'")
    sign, hours, minutes, seconds = found.groups()
    try:
        length = timedelta(hours=int(hours or 0), minutes=int(minutes or 0), seconds=float(seconds or 0))
    except OverflowError:
        raise ConditionError(f"invalid duration '{text}'") from None
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


def _called(name: str, nodes: tuple[_Node, ...]) -> _Node:
    """Read the call of a method: its receiver is the first of ``nodes``."""
    receiver, *arguments = nodes
    if receiver.type == "string" and name in _TESTS:
        _expect(name, nodes, ("string", "string"))
        test, wanted = _TESTS[name], arguments[0]
        return _Node("bool", lambda about: test(receiver.value(about), wanted.value(about)))
    if receiver.type == "string" and name == "extract":
        _expect(name, nodes, ("string", "string"))
        return _extracted(receiver, arguments[0].literal)
    if receiver.type == "timestamp" and name in _PARTS:
        part, zone = _PARTS[name], _zone(name, nodes)
        return _Node("int", lambda about: part(zone(receiver.value(about))))
    _expect(name, nodes, ())
    raise AssertionError(name)


def _extracted(receiver: _Node, template: str | None) -> _Node:
    """Read ``extract('/secrets/{name}/')``: what stands between the first such prefix and the suffix."""
    found = _TEMPLATE.fullmatch(template) if template is not None else None
    if found is None:
        raise ConditionError("extract needs a literal with one {name}")
    prefix, suffix = found.groups()

    def value(about: Attributes) -> str:
        _, present, rest = (
            receiver.value(about).partition(prefix) if prefix else ("", "x", receiver.value(about))
        )
        if not present or (suffix and suffix not in rest):
            return ""
        return str(rest.partition(suffix)[0]) if suffix else str(rest)

    return _Node("string", value)


def _zone(name: str, nodes: tuple[_Node, ...]) -> Callable[[datetime], datetime]:
    """Return how to see a time in the zone that a method names: UTC without one."""
    if len(nodes) == 1:
        return lambda time: time
    _expect(name, nodes, ("timestamp", "string"))
    text = nodes[1].literal or ""
    if offset := _OFFSET.fullmatch(text):
        hours, minutes = int(offset[2]), int(offset[3])
        apart = timedelta(hours=hours, minutes=minutes) * (-1 if offset[1] == "-" else 1)
        return lambda time: time + apart
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        zone = ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConditionError(f"unknown time zone '{text}'") from None
    return lambda time: time.astimezone(zone)
