"""Compile Google's discovery documents into the tables that ship with Fogbank.

``make generate`` writes them (``tools/generate_discovery.py``). Descriptions stay behind: what is left is a
method per line and a schema per line, so that loading is fast, a schema nobody asks for is never parsed, and
a difference between two revisions can be read.
``routes.py`` and ``schemas.py`` read the tables; their docstrings tell the format.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_SCALARS = {"integer": "int32", "number": "double", "string": "string", "boolean": "boolean", "any": "any"}


def compile_schema(schema: Mapping[str, Any]) -> Any:
    """Shorten one schema; the format is told in ``schemas.py``."""
    if "$ref" in schema:
        return "#" + schema["$ref"]
    if "enum" in schema:
        return {"|": schema["enum"]}
    match schema.get("type", "any"):
        case "array":
            return [compile_schema(schema["items"])]
        case "object" if "properties" in schema:
            return {key: compile_schema(value) for key, value in sorted(schema["properties"].items())}
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return {"*": compile_schema(schema["additionalProperties"])}
        case "object":
            return {"*": "any"}
        case "string" if "default" in schema:
            return {"=": schema["default"]}
        case kind:
            return schema.get("format", _SCALARS[kind])


def _methods(resource: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from resource.get("methods", {}).values()
    for child in resource.get("resources", {}).values():
        yield from _methods(child)


def _segments(pattern: str) -> str:
    """Turn the pattern of a ``{+name}`` into segments: ``^projects/[^/]+$`` into ``projects/*``."""
    text = pattern.removeprefix("^").removesuffix("$").replace("[^/]+", "*").replace(".*", "**")
    while (shorter := re.sub(r"\([^()]*\)[?*+]?", "*", text)) != text:
        text = shorter
    segments = (s if re.fullmatch(r"[\w*.@:-]+", s) else "*" for s in text.replace("\\", "").split("/"))
    return "/".join(segments)


def expand_path(path: str, parameters: Mapping[str, Any]) -> str:
    """Write a path template so that each parameter carries the segments it spans: ``{name=projects/*}``."""

    def replace(found: re.Match[str]) -> str:
        plus, name = found.groups()
        segments = _segments(parameters[name].get("pattern", "^.*$")) if plus else "*"
        return f"{{{name}={segments}}}"

    return re.sub(r"\{(\+?)(\w+)\}", replace, path)


def compile_method(method: Mapping[str, Any], api: str, service_path: str) -> list[Any]:
    """Shorten one method to ``[id, verb, path, query, request, response]``."""
    parameters = method.get("parameters", {})
    query = {}
    for name, parameter in sorted(parameters.items()):
        if parameter["location"] == "query":
            kind = parameter.get("format") or _SCALARS[parameter["type"]]
            repeated = "*" if parameter.get("repeated") else ""
            required = "!" if parameter.get("required") else ""
            query[name] = kind + repeated + required
    return [
        method["id"].removeprefix(api + "."),
        method["httpMethod"],
        service_path + expand_path(method["path"], parameters),
        query,
        method.get("request", {}).get("$ref", ""),
        method.get("response", {}).get("$ref", ""),
    ]


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def compile_document(document: Mapping[str, Any]) -> tuple[str, str]:
    """Compile one document to the texts of its methods' table and its schemas' table."""
    compiled = [
        compile_method(m, document["name"], document.get("servicePath", "")) for m in _methods(document)
    ]
    methods = "".join(_dump(row) + "\n" for row in sorted(compiled, key=lambda row: row[0]))
    schemas = "".join(
        f"{name}\t{_dump(compile_schema(schema))}\n" for name, schema in sorted(document["schemas"].items())
    )
    return methods, schemas


def index_entry(document: Mapping[str, Any], methods: str) -> dict[str, Any]:
    """Say on which host and under which first segments of the path a document's methods are."""
    host = document["rootUrl"].removeprefix("https://").rstrip("/")
    depth = 2 if document.get("servicePath") else 1
    paths = (json.loads(line)[2] for line in methods.splitlines())
    prefixes = sorted({"/".join(path.split("/")[:depth]) for path in paths})
    return {"host": host, "prefixes": prefixes, "title": document["title"], "revision": document["revision"]}
