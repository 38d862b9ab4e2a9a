"""Google's protocol buffers as tables: the methods of gRPC, the messages that they carry, the paths of HTTP.

``proto_tables/PACKAGE.rpcs`` has a method a line, ``[path, request, response, streams, bindings]``:
``streams`` has ``c`` and ``s`` for those of client and server, each binding is ``[verb, template, body]``.
``PACKAGE.messages`` has a message or an enum a line: its full name, a tab, then the fields ``[number,
jsonName, name, type, repeated, typeName]`` or the numbers of the values by name. ``make protos`` writes them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "proto_tables"


@dataclass(frozen=True, slots=True)
class Binding:
    """How a method is called over HTTP: ``body`` names the field that is the body, ``*`` all, or is empty."""

    verb: str
    template: str
    body: str


@dataclass(frozen=True, slots=True)
class Rpc:
    """One method: ``path`` is ``PACKAGE.SERVICE/METHOD``, the others full names of messages."""

    path: str
    request: str
    response: str
    client_streams: bool
    server_streams: bool
    bindings: tuple[Binding, ...]


@cache
def packages() -> frozenset[str]:
    """Return the names of all packages."""
    return frozenset(path.name.removesuffix(".messages") for path in FOLDER.glob("*.messages"))


@cache
def rpcs(package: str) -> Mapping[str, Rpc]:
    """Load a package's methods by path; none when it has none."""
    path = FOLDER / f"{package}.rpcs"
    if package not in packages() or not path.exists():
        return {}
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return {row[0]: _rpc(*row) for row in rows}


def _rpc(name: str, request: str, response: str, streams: str, bindings: list[list[str]]) -> Rpc:
    ways = tuple(Binding(*each) for each in bindings)
    return Rpc(name, request, response, "c" in streams, "s" in streams, ways)


def find_rpc(path: str) -> Rpc | None:
    """Find a method by its path (``google.logging.v2.LoggingServiceV2/ListLogEntries``)."""
    package = path.partition("/")[0].rpartition(".")[0]
    return rpcs(package).get(path)


@cache
def _lines(package: str) -> Mapping[str, str]:
    text = (FOLDER / f"{package}.messages").read_text()
    pairs = (line.partition("\t") for line in text.splitlines())
    return {name: row for name, _, row in pairs}


def find_type(name: str) -> list[list[Any]] | dict[str, int] | None:
    """Return the fields of a message or the values of an enum by its full name; None when it is unknown."""
    package = name
    while package:
        package = package.rpartition(".")[0]
        if package in packages():
            row = _lines(package).get(name)
            return None if row is None else json.loads(row)
    return None
