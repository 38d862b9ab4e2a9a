"""From a query's tree to a function of entries, and to what the store can look up by itself."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import unquote

from fogbank.errors import ApiError
from fogbank.resources.log_entries import SEVERITIES, Entry, nanoseconds
from fogbank.services.logging.query.compare import value_test
from fogbank.services.logging.query.fields import kind_of, known_path, leaves, shown, values_at
from fogbank.services.logging.query.parse import parse
from fogbank.services.logging.query.tree import And, Anywhere, Comparison, Function, Node, Not, Or

Keep = Callable[[Entry], bool]

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What must be true of every entry that a query keeps, so that the store need not read the others.

    Times are nanoseconds, both included; ``types`` are resource types, ``logs`` whole log names, both in
    lower case; None does not limit.
    """

    since: int | None = None
    until: int | None = None
    logs: frozenset[str] | None = None
    types: frozenset[str] | None = None
    severity: int = 0


@dataclass(frozen=True, slots=True)
class Query:
    """A compiled query."""

    keep: Keep
    bounds: Bounds = Bounds()


def compile_query(text: str) -> Query:
    """Compile a query; Google's 400 when it is malformed."""
    node = parse(text)
    if node is None:
        return Query(lambda _entry: True)
    keep = _test(node)
    return Query(keep, _bounds(node))


def _test(node: Node) -> Keep:
    match node:
        case And(parts):
            every = tuple(map(_test, parts))
            return lambda entry: all(test(entry) for test in every)
        case Or(parts):
            some = tuple(map(_test, parts))
            return lambda entry: any(test(entry) for test in some)
        case Not(inner):
            negated = _test(inner)
            return lambda entry: not negated(entry)
        case Comparison():
            return _comparison(node)
        case Anywhere(value):
            wanted = value.lower()
            return lambda entry: any(wanted in shown(leaf).lower() for leaf in leaves(entry))
        case Function():
            return _function(node)


def _comparison(node: Comparison) -> Keep:
    path = known_path(node.path)
    test = value_test(replace(node, path=path))
    return lambda entry: any(test(value) for value in values_at(entry, path))


def _function(node: Function) -> Keep:
    match node.name, node.arguments:
        case "log_id", (str(wanted),):
            return lambda entry: log_id(entry) == unquote(wanted)
        case "source", (str(wanted),):
            return lambda entry: str(entry.get("logName", "")).startswith(f"{wanted}/logs/")
        case "ip_in_net", (tuple() as path, str(net)):
            return _ip_in_net(known_path(path), net)
        case "sample", (tuple() as path, (str(), *_) as share):
            return _sample(known_path(path), ".".join(share))
        case "search", (str(words),):
            return _search((), words)
        case "search", (tuple() as path, str(words)):
            return _search(known_path(path), words)
        case _:
            why = f"Unparseable filter: wrong arguments of {node.name}"
            raise ApiError(400, why, "INVALID_ARGUMENT", "badRequest")


def log_id(entry: Entry) -> str:
    """Return the last segment of an entry's log name, unescaped: ``run.googleapis.com/stdout``."""
    return unquote(str(entry.get("logName", "")).rpartition("/logs/")[2])


def _ip_in_net(path: tuple[str, ...], net: str) -> Keep:
    try:
        network = ip_network(net, strict=False)
    except ValueError as error:
        raise ApiError(400, f"Unparseable filter: {error}", "INVALID_ARGUMENT", "badRequest") from error

    def inside(value: Any) -> bool:
        try:
            return ip_address(str(value)) in network
        except ValueError:
            return False

    return lambda entry: any(map(inside, values_at(entry, path)))


def _sample(path: tuple[str, ...], share: str) -> Keep:
    try:
        wanted = float(share)
    except ValueError as error:
        why = f"Unparseable filter: '{share}' is not a fraction"
        raise ApiError(400, why, "INVALID_ARGUMENT", "badRequest") from error

    def chosen(value: Any) -> bool:
        drawn = int.from_bytes(blake2b(shown(value).encode(), digest_size=8).digest(), "big") / 2**64
        return drawn < wanted

    return lambda entry: any(map(chosen, values_at(entry, path)))


def _search(path: tuple[str, ...], words: str) -> Keep:
    """Make the test of SEARCH: all words are there as whole words, in any case."""
    wanted = set(_WORD.findall(words.lower()))

    def found(entry: Entry) -> bool:
        values = values_at(entry, path) if path else [entry]
        there = {word for leaf in leaves(values) for word in _WORD.findall(shown(leaf).lower())}
        return wanted <= there

    return found


def _bounds(node: Node) -> Bounds:
    """Find what a conjunction demands of every entry."""
    found = Bounds()
    for part in node.parts if isinstance(node, And) else (node,):
        found = _narrowed(found, part)
    return found


def _narrowed(bounds: Bounds, part: Node) -> Bounds:
    if isinstance(part, And):
        for inner in part.parts:
            bounds = _narrowed(bounds, inner)
        return bounds
    choices = part.parts if isinstance(part, Or) else (part,)
    if all(isinstance(each, Comparison) and each.operator == "=" for each in choices):
        paths = {known_path(each.path) for each in choices if isinstance(each, Comparison)}
        values = frozenset(each.value.lower() for each in choices if isinstance(each, Comparison))
        if paths == {("resource", "type")}:
            return replace(bounds, types=values if bounds.types is None else bounds.types & values)
        if paths == {("logName",)}:
            return replace(bounds, logs=values if bounds.logs is None else bounds.logs & values)
    if isinstance(part, Comparison):
        return _limited(bounds, part)
    return bounds


def _limited(bounds: Bounds, part: Comparison) -> Bounds:
    path = known_path(part.path)
    if kind_of(path) == "severity" and part.operator in {"=", ">=", ">"}:
        wanted = SEVERITIES.get(part.value.upper())
        return bounds if wanted is None else replace(bounds, severity=max(bounds.severity, wanted))
    if path != ("timestamp",) or part.operator not in {"=", "<", "<=", ">", ">="}:
        return bounds
    moment = nanoseconds(part.value)
    since, until = bounds.since, bounds.until
    if part.operator in {"=", ">", ">="}:
        since = moment if since is None else max(since, moment)
    if part.operator in {"=", "<", "<="}:
        until = moment if until is None else min(until, moment)
    return replace(bounds, since=since, until=until)
