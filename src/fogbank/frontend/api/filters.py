r"""Filters of lists, in Google's two dialects (behaviour/api.md#lists).

The older one is ``name eq ".*\bweb\b.*"`` (``ne`` too): a regular expression that must fit the whole value;
terms in parentheses beside one another must all hold.
The newer one is AIP-160: ``labels.env=prod AND (name:web* OR NOT status=READY)``. One filter is in one of
them. A filter becomes a function from an item to whether it stays.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from fogbank.errors import ApiError
from fogbank.frontend.api.patterns import BadPatternError, regular, words
from fogbank.resources.wildcards import wildcard

Predicate = Callable[[Any], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<punct>[()]|!=|>=|<=|=|>|<|:)|"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'"""
    r"""|(?P<word>[^\s()=<>:!"']+|!))""",
)
_STRING = re.compile(r""""(?:[^"\\]|\\.?)*+"?|'(?:[^'\\]|\\.?)*+'?""", re.DOTALL)
_OLD = re.compile(
    r"""(?P<field>[\w.\-]+)\s+(?P<op>eq|ne)\s+"""
    r"""(?:"(?P<double>(?:[^"\\]|\\.)*+)"|'(?P<single>(?:[^'\\]|\\.)*+)'|(?P<bare>[^\s"')]\S*))""",
    re.DOTALL,
)
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}
_OPERATORS = frozenset({"=", "!=", ":", *_ORDERED})

DEEPEST = 100
"""How deep parentheses, negations and the names of a path may go."""


def parse_filter(text: str) -> Predicate:
    """Read a filter in either dialect; Google's 400 when it is malformed."""
    if re.search(r"\s(?:eq|ne)\s", _without_strings(text)):
        return _parse_old(text)
    tokens = list(_tokens(text))
    if not tokens:
        return lambda _item: True
    parser = _Parser(tokens, text)
    predicate = parser.sequence()
    if parser.at != len(tokens):
        raise invalid_filter(text)
    return predicate


def invalid_filter(text: str) -> ApiError:
    """Refuse a filter."""
    message = f"Invalid value for field 'filter': '{text}'. Invalid list filter expression."
    return ApiError(400, message, "INVALID_ARGUMENT", "invalid")


def values_at(item: Any, path: list[str]) -> list[Any]:
    """Find the values at a path; a list on the way stands for each of its members."""
    if isinstance(item, list):
        return [v for each in item for v in values_at(each, path)]
    if not path:
        return [item]
    if not isinstance(item, dict):
        return []
    for size in range(len(path), 0, -1):  # a label's key may have dots
        key = ".".join(path[:size])
        if key in item:
            return values_at(item[key], path[size:])
    if "_" in path[0] and (name := _camel(path[0])) in item:  # a proto name
        return values_at(item[name], path[1:])
    return []


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def _without_strings(text: str) -> str:
    return _STRING.sub('""', text)


def _parse_old(text: str) -> Predicate:
    predicates: list[Predicate] = []
    at = depth = 0
    while at < len(text):
        character = text[at]
        if character in "()":
            depth += 1 if character == "(" else -1
            at += 1
        elif character.isspace():
            at += 1
        else:
            found = _OLD.match(text, at)
            if found is None or (predicates and not depth):
                raise invalid_filter(text)
            operand, at = found[found.lastgroup or ""], found.end()
            if found["bare"] and depth:
                operand = _enclosed(operand)
                at = found.start("bare") + len(operand)
            predicates.append(_old(found["field"], found["op"], operand, text))
        if depth < 0:
            raise invalid_filter(text)
    if depth:
        raise invalid_filter(text)
    return lambda item: all(p(item) for p in predicates)


def _enclosed(operand: str) -> str:
    """Cut a bare operand before the parenthesis that is not its own."""
    depth, escaped = 0, False
    for at, character in enumerate(operand):
        if escaped or character == "\\":
            escaped = not escaped
        elif character in "()":
            depth += 1 if character == "(" else -1
            if depth < 0:
                return operand[:at]
    return operand


def _old(field: str, operator: str, operand: str, text: str) -> Predicate:
    try:
        fits = regular(operand)
    except BadPatternError as error:
        raise invalid_filter(text) from error
    path, wanted = _path(field, text), operator == "eq"
    return lambda item: any(fits(_shown(v)) for v in values_at(item, path)) == wanted


def _path(name: str, text: str) -> list[str]:
    path = name.split(".")
    if len(path) > DEEPEST:
        raise invalid_filter(text)
    return path


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at, text = 0, text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise invalid_filter(text)
        at = found.end()
        kind = found.lastgroup or ""
        value = found[kind]
        if kind in {"double", "single"}:
            yield "string", re.sub(r"\\(.)", r"\1", value)
        else:
            yield kind, value


class _Parser:
    """AIP-160 by recursive descent: sequence > AND > OR > NOT > comparison or parentheses."""

    def __init__(self, tokens: list[tuple[str, str]], text: str) -> None:
        self.tokens, self.text, self.at, self.depth = tokens, text, 0, 0

    def peek(self) -> tuple[str, str] | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> tuple[str, str]:
        token = self.peek()
        if token is None:
            raise invalid_filter(self.text)
        self.at += 1
        return token

    def deeper(self, part: Callable[[], Predicate]) -> Predicate:
        self.depth += 1
        if self.depth > DEEPEST:
            raise invalid_filter(self.text)
        inner = part()
        self.depth -= 1
        return inner

    def sequence(self) -> Predicate:
        terms = [self.alternatives()]
        while (token := self.peek()) is not None and token != ("punct", ")"):
            if token == ("word", "AND"):
                self.take()
            terms.append(self.alternatives())
        return terms[0] if len(terms) == 1 else lambda item: all(t(item) for t in terms)

    def alternatives(self) -> Predicate:
        terms = [self.term()]
        while self.peek() == ("word", "OR"):
            self.take()
            terms.append(self.term())
        return terms[0] if len(terms) == 1 else lambda item: any(t(item) for t in terms)

    def term(self) -> Predicate:
        kind, value = self.take()
        if kind == "word" and value in {"NOT", "!"}:
            return _negated(self.deeper(self.term))
        if kind == "word" and value.startswith("-") and len(value) > 1:
            self.at -= 1
            self.tokens[self.at] = (kind, value[1:])
            return _negated(self.deeper(self.term))
        if (kind, value) == ("punct", "("):
            inner = self.deeper(self.sequence)
            if self.take() != ("punct", ")"):
                raise invalid_filter(self.text)
            return inner
        if kind == "punct" or (kind == "word" and value in {"AND", "OR"}):
            raise invalid_filter(self.text)
        following = self.peek()
        if following is not None and following[0] == "punct" and following[1] in _OPERATORS:
            self.take()
            return self.comparison(_path(value, self.text), following[1])
        wanted = value.lower()
        return lambda item: any(wanted in _shown(v).lower() for v in _leaves(item))

    def comparison(self, path: list[str], operator: str) -> Predicate:
        kind, operand = self.take()
        if (kind, operand) == ("punct", "("):
            choices = self.choices()
            tests = [_compare(path, operator, c) for c in choices]
            return lambda item: any(t(item) for t in tests)
        if kind == "punct":
            raise invalid_filter(self.text)
        return _compare(path, operator, operand)

    def choices(self) -> list[str]:
        found = []
        while (token := self.take()) != ("punct", ")"):
            if token[0] == "punct":
                raise invalid_filter(self.text)
            if token != ("word", "OR"):
                found.append(token[1])
        return found


def _negated(inner: Predicate) -> Predicate:
    return lambda item: not inner(item)


def _compare(path: list[str], operator: str, operand: str) -> Predicate:
    if operator == ":":
        return _has(path, operand)
    if operator in _ORDERED:
        order = _ORDERED[operator]
        return lambda item: any(_ordered(order, v, operand) for v in values_at(item, path))
    fits = wildcard(operand) if "*" in operand else None

    def equal(item: Any) -> bool:
        values = values_at(item, path)
        return any(_equal(v, operand) if fits is None else fits(_shown(v)) for v in values)

    return equal if operator == "=" else lambda item: not equal(item)


def _has(path: list[str], operand: str) -> Predicate:
    if operand == "*":
        return lambda item: bool(values_at(item, path))
    # without a star, whole words anywhere in the value; with one, the whole value
    whole = wildcard(operand.lower()) if "*" in operand else None
    some = words(operand)

    def has(item: Any) -> bool:
        return any(
            (isinstance(v, dict) and operand in v) or (whole(_shown(v).lower()) if whole else some(_shown(v)))
            for v in values_at(item, path)
        )

    return has


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _equal(value: Any, operand: str) -> bool:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return value == float(operand)
        except ValueError:
            return False
    shown = _shown(value)
    if isinstance(value, bool):
        return shown == operand.lower()
    # a reference may be compared by its last segment (gcloud does so for regions)
    return shown == operand or (
        shown.startswith("https://") and "/" not in operand and shown.endswith("/" + operand)
    )


def _ordered(order: Callable[[Any, Any], bool], value: Any, operand: str) -> bool:
    for read in (float, datetime.fromisoformat, str):
        try:
            return bool(order(read(_shown(value)), read(operand)))
        except (ValueError, TypeError):
            continue
    return False


def _leaves(item: Any) -> Iterator[Any]:
    if isinstance(item, dict):
        for value in item.values():
            yield from _leaves(value)
    elif isinstance(item, list):
        for value in item:
            yield from _leaves(value)
    else:
        yield item
