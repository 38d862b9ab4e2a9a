"""What a request may carry and an answer must look like, by Google's schemas.

A compiled schema is: ``"string"`` (or another scalar, by its format), ``"#Name"``, ``[items]``,
``{"*": values}`` for a map, ``{"|": [...]}`` for an enum, ``{"=": text}`` for a string with a default (a
``kind``), else an object of fields. Requests are converted as protocol buffers convert JSON: 64-bit numbers
become strings, numbers in strings become numbers, enums may come as integers
(behaviour/clients.md#enums-as-numbers).
"""

import json
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from fogbank.discovery.overlays import extra_fields
from fogbank.discovery.tables import load_schemas
from fogbank.errors import ApiError

_STRINGS = frozenset({"string", "byte", "google-fieldmask", "date"})
_SMALL = frozenset({"int32", "uint32"})
_LARGE = frozenset({"int64", "uint64"})
_FLOATS = frozenset({"double", "float"})
_TRUTHS = {"true": True, "false": False}
_WHOLE = re.compile(r"-?[0-9]{1,100}")
_TIMESTAMP = re.compile(
    r"[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_DURATION = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?s")
_TIMES = {
    "google-datetime": (
        "(type.googleapis.com/google.protobuf.Timestamp)",
        "Illegal timestamp format; timestamps must end with 'Z' or have a valid timezone offset.",
    ),
    "google-duration": (
        "(type.googleapis.com/google.protobuf.Duration)",
        "Illegal duration format; duration must end with 's'",
    ),
}
"""Times by their formats: the message that protocol buffers have for them, and Google's refusal."""

_JSON_ERROR = "Invalid JSON payload received."
_COMPUTE_MASK = 0x1FFFFFFF
_NAMES = {"int32": "TYPE_INT32", "uint32": "TYPE_UINT32", "int64": "TYPE_INT64", "uint64": "TYPE_UINT64"}
_NAMES |= {"boolean": "TYPE_BOOL", "double": "TYPE_DOUBLE", "float": "TYPE_FLOAT", "byte": "TYPE_BYTES"}


@cache
def schema(document: str, name: str) -> Any:
    """Return a schema, parsed; KeyError when the document has none of that name."""
    described = json.loads(load_schemas(document)[name])
    extra = extra_fields(document, name)
    return {**described, **extra} if extra else described


def fields_of(document: str, name: str) -> Mapping[str, Any]:
    """Return the fields of a message; none when the document has no schemas."""
    if name not in load_schemas(document):
        return {}
    fields: Mapping[str, Any] = schema(document, name)
    return fields


def java_hash(text: str) -> int:
    """Compute the number that compute's clients give an enum value (its name's hash)."""
    number = 0
    for character in text:
        number = (31 * number + ord(character)) & 0xFFFFFFFF
    return number & _COMPUTE_MASK


_LAUNCH_STAGES = (
    *("LAUNCH_STAGE_UNSPECIFIED", "EARLY_ACCESS", "ALPHA", "BETA", "GA", "DEPRECATED"),
    *("UNIMPLEMENTED", "PRELAUNCH"),
)
"""Launch stages by their numbers: the one enum that discovery documents do not list in that order."""


def enum_number(document: str, choices: Sequence[str], value: str) -> int:
    """Return the number of one of an enum's ``choices``: outside compute, where it stands among them."""
    if document.startswith("compute."):
        return java_hash(value)
    return (_LAUNCH_STAGES if choices[0] == _LAUNCH_STAGES[0] else choices).index(value)


@dataclass(frozen=True, slots=True)
class Converted:
    """A request's body as its schema has it, and the ``unknown`` fields that were left out."""

    body: dict[str, Any]
    unknown: tuple[str, ...] = ()


class _Converter:
    """Walks a value and its schema together, collecting what does not fit.

    A ``lenient`` one collects unknown fields apart and takes a field's name in snake case too.
    """

    def __init__(self, document: str, ignored: Container[str] = (), *, lenient: bool = False) -> None:
        self.document, self.ignored, self.lenient = document, ignored, lenient
        self.problems: list[tuple[str, str]] = []
        self.unknown: list[str] = []

    def convert(self, value: Any, node: Any, at: str) -> Any:
        """Convert ``value`` to what ``node`` says; keep it as it is where it does not fit."""
        if isinstance(node, str) and node.startswith("#"):
            node = schema(self.document, node[1:])
        if value is None or node == "any":
            return value
        if isinstance(node, list):
            return self._list(value, node[0], at)
        if isinstance(node, str):
            return self._scalar(value, node, at)
        if "|" in node:
            return self._enum(value, node["|"], at)
        if "=" in node:
            return self._scalar(value, "string", at)
        return self._object(value, node, at)

    def _list(self, value: Any, node: Any, at: str) -> Any:
        if not isinstance(value, list):
            if self.lenient and isinstance(value, dict):  # as compute takes one message for a list of them
                return [self.convert(value, node, f"{at}[0]")]
            self._value(at, value, node)
            return value
        if self.lenient and isinstance(node, str) and node.startswith("#"):
            # compute passes over an absent message: Terraform's provider writes [null] for an empty list
            value = [each for each in value if each is not None]
        for index, inner in enumerate(value):
            if inner is None and node != "any":  # absent as a field, but a list has no absent members
                self._value(f"{at}[{index}]", inner, node)
        return [self.convert(v, node, f"{at}[{i}]") for i, v in enumerate(value)]

    def _object(self, value: Any, node: Mapping[str, Any], at: str) -> Any:
        if isinstance(value, list):
            self._unknown(at, "Proto field is not repeating, cannot start list.")
            return value
        if not isinstance(value, dict):
            self._value(at, value, node)
            return value
        prefix = f"{at}." if at else ""
        if "*" in node:
            return {k: self.convert(v, node["*"], f"{prefix}{k}") for k, v in value.items()}
        converted = {}
        for key, inner in value.items():
            known = _field_name(key, node)
            if known is not None:
                if inner != "" or not _is_enum(node[known]):  # an enum may be sent empty, which says nothing
                    converted[known] = self.convert(inner, node[known], prefix + known)
            elif key != "@type" and (at or key not in self.ignored):
                self._unknown_field(prefix + key)
        return converted

    def _unknown_field(self, at: str) -> None:
        if self.lenient:
            self.unknown.append(at)
        else:
            self._unknown(at, "Cannot find field.")

    def _scalar(self, value: Any, kind: str, at: str) -> Any:
        if isinstance(value, list):
            self._unknown(at, "Proto field is not repeating, cannot start list.")
            return value
        if isinstance(value, dict):
            self._unknown(at, "Proto field is not a message, cannot start object.")
            return value
        converted = convert_scalar(value, kind)
        if converted is None:
            self._value(at, value, kind)
            return value
        return converted

    def _enum(self, value: Any, choices: Sequence[str], at: str) -> Any:
        if isinstance(value, str) and value in choices:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            for choice in choices:
                if enum_number(self.document, choices, choice) == value:
                    return choice
        if self.document.startswith("compute."):
            options = ", ".join(choices)
            why = f"Invalid value for field 'resource.{at}': '{value}'. Must be one of [{options}]."
            self.problems.append((at, why))
        else:
            self._value(at, value, {"|": choices})
        return value

    def _unknown(self, at: str, why: str) -> None:
        parent, _, name = at.rpartition(".")
        where = f" at '{parent}'" if parent else ""
        self.problems.append((parent, f'{_JSON_ERROR} Unknown name "{name}"{where}: {why}'))

    def _value(self, at: str, value: Any, node: Any) -> None:
        if isinstance(node, str) and node in _TIMES:
            message, why = _TIMES[node]
            name = at.rpartition(".")[2]
            self.problems.append((at, f"Invalid value at '{at}' {message}, Field '{name}', {why}"))
            return
        kind = _NAMES.get(node, "TYPE_STRING") if isinstance(node, str) else "TYPE_ENUM"
        kind = "TYPE_MESSAGE" if isinstance(node, dict) and "|" not in node else kind
        shown = json.dumps(value, ensure_ascii=False)
        self.problems.append((at, f"Invalid value at '{at}' ({kind}), {shown}"))


def _field_name(key: str, node: Mapping[str, Any]) -> str | None:
    """Return which field of ``node`` a client means by ``key``: its JSON name or its proto name."""
    if key in node:
        return key
    if "_" not in key:
        return None
    first, *others = key.split("_")
    camel = first + "".join(other[:1].upper() + other[1:] for other in others)
    return camel if camel in node else None


def _is_enum(node: Any) -> bool:
    return isinstance(node, dict) and "|" in node


def convert_scalar(value: Any, kind: str) -> Any:
    """Convert a JSON scalar to ``kind``; None when it does not fit."""
    if kind in _STRINGS:
        return value if isinstance(value, str) else None
    if kind in _TIMES:
        return value if isinstance(value, str) and _is_time(value, kind) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else _TRUTHS.get(str(value).lower())
    if isinstance(value, bool):
        return None
    if kind in _SMALL:
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        return int(text) if _WHOLE.fullmatch(text) and -(2**31) <= int(text) < 2**32 else None
    if kind in _LARGE:
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        return text if _WHOLE.fullmatch(text) else None
    if kind in _FLOATS:
        try:
            return float(value) if isinstance(value, str) else value
        except ValueError:
            return None
    return value


def _is_time(text: str, kind: str) -> bool:
    if kind == "google-duration":
        return _DURATION.fullmatch(text) is not None
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return _TIMESTAMP.fullmatch(text) is not None


def bad_request(problems: Sequence[tuple[str, str]]) -> ApiError:
    """Refuse a request for ``problems``: pairs of a field and a sentence."""
    violations = [{"field": at, "description": why} if at else {"description": why} for at, why in problems]
    detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}
    message = "\n".join(why for _, why in problems)
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest", (detail,))


def convert_request(document: str, name: str, body: Any, ignored: Container[str] = ()) -> Converted:
    """Check a request's body against the schema ``name`` and convert it; Google's 400 otherwise.

    ``ignored`` names top-level fields that are passed over: some clients repeat path parameters in the body.
    Compute leaves out what it does not know without a word (Terraform's provider sends ``initialNatIps`` to
    v1); the other APIs refuse it. All take proto names (``address_type``) for JSON names (``addressType``).
    """
    converter = _Converter(document, ignored, lenient=document.startswith("compute."))
    converted = converter.convert(body, "#" + name, "")
    if converter.problems:
        raise bad_request(converter.problems)
    return Converted(converted if isinstance(converted, dict) else {}, tuple(converter.unknown))


def check_response(document: str, name: str, answer: Any) -> list[str]:
    """List what in ``answer`` does not fit the schema ``name``, types of numbers included."""
    if not name:
        return []
    converter = _Converter(document)
    converted = converter.convert(answer, "#" + name, "")
    problems = [why for _, why in converter.problems]
    if not problems and converted != answer:
        problems.append("a number, a truth value or an enum has another type than the schema says")
    return problems
