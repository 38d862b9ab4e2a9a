"""From the bytes of a message to JSON, by the rules of protocol buffers' JSON mapping.

64-bit numbers become strings, enums their names, bytes base64; what is not set is left out.
"""

import math
from base64 import b64encode
from typing import Any

from fogbank.frontend.grpc import messages as m
from fogbank.frontend.grpc.messages import DEEPEST, BadMessageError, Field, Message, enum, message
from fogbank.frontend.grpc.well_known import DECODERS, WRAPPERS
from fogbank.frontend.grpc.wire import fields, read_varint, signed, unpack, zigzag

Json = dict[str, Any]


def decode(name: str, data: bytes, depth: int = 0) -> Any:
    """Decode a message by its full name; BadMessageError when the bytes are none."""
    if depth > DEEPEST:
        raise BadMessageError("messages are too deep in one another")
    if name in DECODERS:
        return DECODERS[name](data)
    if name in WRAPPERS:
        return _wrapped(WRAPPERS[name], data)
    if name == "google.protobuf.Any":
        return _any(data, depth)
    if name in {"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"}:
        return _structured(name, data, depth)
    return _message(message(name), data, depth)


def _message(kind: Message, data: bytes, depth: int) -> Json:
    found: Json = {}
    for number, wire, value in fields(data):
        field = kind.by_number.get(number)
        if field is None:
            continue  # of a newer version
        if field.type == m.MESSAGE and isinstance(value, bytes):
            _take_message(found, field, value, depth)
        elif field.repeated:
            found.setdefault(field.json, []).extend(_scalars(field, wire, value))
        else:
            found[field.json] = _scalar(field, wire, value)
    return found


def _take_message(found: Json, field: Field, value: bytes, depth: int) -> None:
    if field.repeated:
        kind = message(field.of) if not field.of.startswith("google.protobuf.") else None
        if kind is not None and kind.is_map:
            entry = _message(kind, value, depth + 1)
            key = entry.get("key", _zero(kind.by_json["key"]))
            key = ("true" if key else "false") if isinstance(key, bool) else str(key)
            found.setdefault(field.json, {})[key] = entry.get("value", _zero(kind.by_json["value"]))
        else:
            found.setdefault(field.json, []).append(decode(field.of, value, depth + 1))
        return
    decoded = decode(field.of, value, depth + 1)
    before = found.get(field.json)
    merges = isinstance(before, dict) and isinstance(decoded, dict)
    found[field.json] = {**before, **decoded} if merges and before is not None else decoded


def _zero(field: Field) -> Any:
    """Return the default of a field: maps have entries whose value is not written."""
    match field.type:
        case m.MESSAGE:
            return decode(field.of, b"")
        case m.STRING | m.BYTES:
            return ""
        case m.BOOL:
            return False
        case m.ENUM:
            return enum(field.of).names.get(0, 0)
        case m.INT64 | m.UINT64 | m.FIXED64 | m.SFIXED64 | m.SINT64:
            return "0"
        case _:
            return 0


def _scalars(field: Field, wire: int, value: int | bytes) -> list[Any]:
    """Read a value of a repeated field: one, or many that are packed together."""
    own = m.WIRE_TYPES[field.type]
    if wire != m.LENGTH or own == m.LENGTH or not isinstance(value, bytes):
        return [_scalar(field, wire, value)]
    many: list[Any] = []
    if own == m.VARINT:
        at = 0
        while at < len(value):
            number, at = read_varint(value, at)
            many.append(_scalar(field, own, number))
        return many
    size = 8 if own == m.EIGHT_BYTES else 4
    if len(value) % size:
        raise BadMessageError(f"the field {field.name} is cut short")
    return [_scalar(field, own, value[at : at + size]) for at in range(0, len(value), size)]


def _scalar(field: Field, wire: int, value: int | bytes) -> Any:
    if wire != m.WIRE_TYPES[field.type]:
        raise BadMessageError(f"the field {field.name} has another type")
    if isinstance(value, int):
        return _number(field, value)
    match field.type:
        case m.STRING:
            return text(value)
        case m.BYTES:
            return b64encode(value).decode()
        case m.DOUBLE | m.FLOAT:
            return floating(unpack(value, "double"))
        case m.FIXED64:
            return str(unpack(value, "unsigned"))
        case m.SFIXED64:
            return str(unpack(value, "signed"))
        case m.FIXED32:
            return unpack(value, "unsigned")
        case _:
            return unpack(value, "signed")


def _number(field: Field, value: int) -> Any:
    match field.type:
        case m.BOOL:
            return bool(value)
        case m.ENUM:
            number = signed(value, 32)
            return enum(field.of).names.get(number, number)
        case m.INT32:
            return signed(value, 32)
        case m.UINT32:
            return value & 0xFFFF_FFFF
        case m.INT64:
            return str(signed(value, 64))
        case m.UINT64:
            return str(value)
        case m.SINT32:
            return zigzag(value & 0xFFFF_FFFF)
        case _:
            return str(zigzag(value))


def text(value: bytes) -> str:
    """Read a string; BadMessageError when it is not UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadMessageError("a string is not UTF-8") from error


def floating(value: float) -> Any:
    """Write a number as JSON can: the three that are none are strings."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _wrapped(kind: int, data: bytes) -> Any:
    field = Field(1, "value", "value", kind, repeated=False, of="")
    value = _zero(field)
    for number, wire, each in fields(data):
        if number == 1:
            value = _scalar(field, wire, each)
    return value


def _any(data: bytes, depth: int) -> Json:
    url, value = "", b""
    for number, _, each in fields(data):
        if isinstance(each, bytes):
            if number == 1:
                url = text(each)
            elif number == 2:
                value = each
    if not url:
        return {}
    name = url.rpartition("/")[2]
    inner = decode(name, value, depth + 1)
    if isinstance(inner, dict) and not name.startswith("google.protobuf."):
        return {"@type": url, **inner}
    return {"@type": url, "value": inner}


def _structured(name: str, data: bytes, depth: int) -> Any:
    """Decode the messages that are JSON themselves."""
    if depth > DEEPEST:
        raise BadMessageError("messages are too deep in one another")
    if name == "google.protobuf.ListValue":
        return [_structured("google.protobuf.Value", each, depth + 1) for _, each in _inner(data)]
    if name == "google.protobuf.Struct":
        found: Json = {}
        for _, entry in _inner(data):
            parts = dict(_inner(entry))
            found[text(parts.get(1, b""))] = _structured(
                "google.protobuf.Value", parts.get(2, b""), depth + 1
            )
        return found
    value: Any = None
    for number, wire, each in fields(data):
        match number, wire:
            case 1, m.VARINT:
                value = None
            case 2, m.EIGHT_BYTES:
                value = floating(unpack(each, "double")) if isinstance(each, bytes) else None
            case 3, m.LENGTH:
                value = text(each) if isinstance(each, bytes) else None
            case 4, m.VARINT:
                value = bool(each)
            case 5 | 6, m.LENGTH:
                kind = "google.protobuf.Struct" if number == 5 else "google.protobuf.ListValue"
                value = _structured(kind, each, depth + 1) if isinstance(each, bytes) else None
            case _:
                raise BadMessageError("no value of JSON")
    return _whole(value)


def _whole(value: Any) -> Any:
    """Write a whole number without its point, as protocol buffers' JSON has it."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _inner(data: bytes) -> list[tuple[int, bytes]]:
    return [(number, each) for number, _, each in fields(data) if isinstance(each, bytes)]
