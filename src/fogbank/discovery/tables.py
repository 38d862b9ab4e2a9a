"""Where the tables are, and how to read one. Nothing is read before it is asked for.

``index.json`` says for each document (``compute.v1``) its host and the first segments of its paths.
``DOCUMENT.methods`` has a method a line, ``DOCUMENT.schemas`` a schema a line; documents of which
nothing is implemented have no schemas.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "tables"


@dataclass(frozen=True, slots=True)
class Document:
    """One version of one API. ``prefixes`` are first segments of its paths: ``v1``, ``compute/v1``."""

    name: str
    host: str
    prefixes: tuple[str, ...]
    title: str
    revision: str

    @property
    def api(self) -> str:
        """The API's short name: ``compute``."""
        return self.name.partition(".")[0]

    @property
    def version(self) -> str:
        """The API's version: ``v1``."""
        return self.name.partition(".")[2]


@cache
def documents() -> dict[str, Document]:
    """Load the index."""
    index = json.loads((FOLDER / "index.json").read_text())
    return {
        name: Document(name, entry["host"], tuple(entry["prefixes"]), entry["title"], entry["revision"])
        for name, entry in index.items()
    }


def load_methods(document: str) -> list[list[Any]]:
    """Load a document's methods: ``[id, verb, path, query, request, response]`` each."""
    lines = (FOLDER / f"{document}.methods").read_text().splitlines()
    methods: list[list[Any]] = json.loads("[" + ",".join(lines) + "]")
    return methods


@cache
def load_schemas(document: str) -> dict[str, str]:
    """Load a document's schemas, each still as text; none when it has no schemas."""
    path = FOLDER / f"{document}.schemas"
    if not path.exists():
        return {}
    pairs = (line.partition("\t") for line in path.read_text().splitlines())
    return {name: text for name, _, text in pairs}
