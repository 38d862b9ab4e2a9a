"""Which method a request calls: host, verb and path in, a method and its path parameters out.

A path in the tables spells out what each parameter spans: ``v1/{name=projects/*/locations/*}:wait``. A
document's paths form a tree of segments in which a literal beats ``*`` (one segment) and that beats ``**``
(the rest), so a look-up takes about as many steps as the path has segments. The tree is built when a document
is first called.

Hosts: ``run.googleapis.com``, ``asia-northeast3-run.googleapis.com`` and
``run.asia-northeast3.rep.googleapis.com`` are one API; compute also answers on ``www.googleapis.com``,
and its beta and alpha as its v1.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any
from urllib.parse import quote, unquote

from fogbank.discovery.overlays import extra_query
from fogbank.discovery.tables import Document, documents, load_methods

_PARAMETER = re.compile(r"\{(\w+)=([^}]+)\}")
_REGIONAL = re.compile(r"^((?:[a-z]+-[a-z]+\d+))-([a-z0-9]+)\.googleapis\.com$")
_REP = re.compile(r"^([a-z0-9]+)\.([a-z]+-[a-z]+\d+)\.rep\.googleapis\.com$")
_ESCAPED_SLASH = re.compile(r"(%2[Ff])")
_COMPUTE_ALIAS = re.compile(r"^/?compute/(beta|alpha|staging_v1)/")


@dataclass(frozen=True, slots=True)
class DiscoveryMethod:
    """One method of one document. ``query`` gives each query parameter's type (``int32``, ``string*``).

    ``request`` and ``response`` name schemas of ``document``, or are empty. ``checked`` is false for beta and
    alpha, whose bodies may have fields that v1 does not know.
    """

    document: str
    name: str
    verb: str
    path: str
    query: Mapping[str, str]
    request: str
    response: str
    checked: bool = True

    @property
    def id(self) -> str:
        """The method's id with its version: ``compute.v1.subnetworks.insert``."""
        return f"{self.document}.{self.name}"

    @property
    def api(self) -> str:
        """The API's short name."""
        return self.document.partition(".")[0]

    @property
    def version(self) -> str:
        """The API's version."""
        return self.document.partition(".")[2]


@dataclass(frozen=True, slots=True)
class Match:
    """A method and what its path parameters are. ``region`` comes from the host, where it has one.

    ``alias`` is the version that the caller spoke where another one answers for it: ``beta`` of compute.
    """

    method: DiscoveryMethod
    parameters: Mapping[str, str]
    region: str | None = None
    alias: str = ""


@dataclass(frozen=True, slots=True)
class _End:
    method: DiscoveryMethod
    spans: tuple[tuple[str, int, int | None], ...]
    """Each parameter's first segment and the one after its last (None: to the end)."""


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    one: "_Node | None" = None
    rest: "_Node | None" = None
    ends: dict[tuple[str, str], _End] = field(default_factory=dict)
    """By HTTP verb and custom verb (the part after a colon)."""


def split_template(path: str) -> tuple[list[str], str, tuple[tuple[str, int, int | None], ...]]:
    """Take a path of the tables apart: its segments, its custom verb, and what each parameter spans."""
    segments: list[str] = []
    spans: list[tuple[str, int, int | None]] = []
    custom = ""
    position = 0
    text = path
    for found in _PARAMETER.finditer(path):
        segments += [s for s in text[position : found.start()].split("/") if s]
        inner = found[2].split("/")
        start = len(segments)
        segments += inner
        spans.append((found[1], start, None if inner[-1] == "**" else len(segments)))
        position = found.end()
    tail = text[position:]
    before, colon, custom = tail.partition(":")
    segments += [s for s in before.split("/") if s]
    return segments, custom if colon else "", tuple(spans)


def fill_template(path: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Put ``parameters`` into a path of the tables, escaped; also return those that it does not name."""
    rest = dict(parameters)
    return _PARAMETER.sub(lambda found: quote(str(rest.pop(found[1])), safe="/"), path), rest


@cache
def methods(document: str) -> Mapping[str, DiscoveryMethod]:
    """Load a document's methods by name (``subnetworks.insert``)."""
    loaded = {}
    for name, verb, path, query, request, response in load_methods(document):
        more = extra_query(documents()[document], name)
        loaded[name] = DiscoveryMethod(document, name, verb, path, {**query, **more}, request, response)
    return loaded


@cache
def _tree(document: str) -> _Node:
    root = _Node()
    for method in methods(document).values():
        segments, custom, spans = split_template(method.path)
        node = root
        for segment in segments:
            if segment == "*":
                node.one = node.one or _Node()
                node = node.one
            elif segment == "**":
                node.rest = node.rest or _Node()
                node = node.rest
            else:
                node = node.literals.setdefault(segment, _Node())
        node.ends.setdefault((method.verb, custom), _End(method, spans))
    return root


def _walk(node: _Node, segments: list[str], at: int, key: tuple[str, str]) -> _End | None:
    if at == len(segments):
        return node.ends.get(key)
    child = node.literals.get(segments[at])
    if child is not None and (end := _walk(child, segments, at + 1, key)):
        return end
    if node.one is not None and (end := _walk(node.one, segments, at + 1, key)):
        return end
    return node.rest.ends.get(key) if node.rest is not None else None


def _find_in(document: str, verb: str, segments: list[str]) -> tuple[_End, list[str]] | None:
    root = _tree(document)
    head, colon, custom = segments[-1].rpartition(":")
    if colon:
        shorter = [*segments[:-1], head]
        if end := _walk(root, shorter, 0, (verb, custom)):
            return end, shorter
    end = _walk(root, segments, 0, (verb, ""))
    return (end, segments) if end else None


@lru_cache(1024)
def parse_host(host: str) -> tuple[str, str | None]:
    """Return the API's own host and the region of a host: ``("run.googleapis.com", "asia-northeast3")``."""
    if found := _REGIONAL.match(host):
        return f"{found[2]}.googleapis.com", found[1]
    if found := _REP.match(host):
        return f"{found[1]}.googleapis.com", found[2]
    return host, None


@cache
def _candidates(host: str) -> tuple[Document, ...]:
    return tuple(d for d in documents().values() if host in {d.host, "www.googleapis.com"})


def apis_of(host: str) -> frozenset[str]:
    """Return the short names of the described APIs that answer on ``host``."""
    return frozenset(document.api for document in _candidates(parse_host(host)[0]))


@cache
def versions_of(host: str) -> tuple[str, ...]:
    """Return the versions of the API that answers on ``host``: the newest first, betas last."""
    own = parse_host(host)[0]
    newest = sorted((d.version for d in documents().values() if d.host == own), reverse=True)
    return tuple(sorted(newest, key=lambda version: not version.removeprefix("v").isdigit()))


def find(host: str, verb: str, raw_path: str) -> Match | None:
    """Find the method that a request calls; None when Google has none.

    ``raw_path`` still has its escapes, and no query.
    """
    own, region = parse_host(host)
    aliased = _COMPUTE_ALIAS.match(raw_path)
    alias = aliased[1] if aliased else ""
    path = (f"compute/v1/{raw_path[aliased.end() :]}" if aliased else raw_path).strip("/")
    first, _, others = path.partition("/")
    first = first.partition(":")[0]
    two = f"{first}/{others.partition('/')[0]}"
    for document in _candidates(own):
        if first in document.prefixes or two in document.prefixes:
            found = _find_in(document.name, verb, path.split("/"))
            if found is not None:
                return _match(*found, region, alias)
    return None


def _unescaped(value: str, *, several: bool) -> str:
    """Undo escapes; an escaped slash stays in a parameter of several segments, which it would make more of
    (google.api.http: https://github.com/googleapis/googleapis/blob/master/google/api/http.proto).
    """
    if not several:
        return unquote(value)
    parts = _ESCAPED_SLASH.split(value)
    return "".join(part if at % 2 else unquote(part) for at, part in enumerate(parts))


def _match(end: _End, segments: list[str], region: str | None, alias: str) -> Match:
    parameters = {name: "/".join(segments[start:stop]) for name, start, stop in end.spans}
    for name, start, stop in end.spans:
        if "%" in parameters[name]:
            parameters[name] = _unescaped(parameters[name], several=stop is None or stop - start > 1)
    method = end.method
    if alias:
        method = replace(method, checked=False)
    return Match(method, parameters, region, alias)
