"""From an API's JSON to the bytes of a message. A field that the message does not have is left out."""

import struct
from base64 import urlsafe_b64decode
from typing import Any

from fogbank.frontend.grpc import messages as m
from fogbank.frontend.grpc.messages import DEEPEST, BadMessageError, Field, enum, message
from fogbank.frontend.grpc.well_known import ENCODERS, WRAPPERS
from fogbank.frontend.grpc.wire import write_varint

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_FORMATS = {
    m.DOUBLE: "<d", m.FLOAT: "<f", m.FIXED64: "<Q", m.SFIXED64: "<q", m.FIXED32: "<I", m.SFIXED32: "<i",
}  # fmt: skip


def encode(name: str, value: Any, depth: int = 0) -> bytes:
    """Encode ``value`` as the message ``name``; BadMessageError when it is none."""
    if depth > DEEPEST:
        raise BadMessageError("messages are too deep in one another")
    if name in ENCODERS:
        return ENCODERS[name](value)
    if name in WRAPPERS:
        return _scalar(Field(1, "value", "value", WRAPPERS[name], repeated=False, of=""), value)
    match name:
        case "google.protobuf.Struct":
            return _struct(value, depth)
        case "google.protobuf.Value":
            return _value(value, depth)
        case "google.protobuf.ListValue":
            return b"".join(_framed(1, _value(each, depth + 1)) for each in value)
        case "google.protobuf.Any":
            return _any(value, depth)
        case _:
            return _message(name, value, depth)


def _message(name: str, value: Any, depth: int) -> bytes:
    if not isinstance(value, dict):
        raise BadMessageError(f"{name} is an object")
    known = message(name).by_json
    out = []
    for key, each in value.items():
        field = known.get(key)
        if field is not None and each is not None:
            out.append(_field(field, each, depth))
    return b"".join(out)


def _field(field: Field, value: Any, depth: int) -> bytes:
    if not field.repeated:
        return _one(field, value, depth)
    if isinstance(value, dict):
        fields = message(field.of).by_json
        key, inner = fields["key"], fields["value"]
        entries = (_one(key, k, depth) + _one(inner, v, depth) for k, v in value.items())
        return b"".join(_framed(field.number, entry) for entry in entries)
    return b"".join(_one(field, each, depth) for each in value)


def _one(field: Field, value: Any, depth: int) -> bytes:
    if field.type == m.MESSAGE:
        return _framed(field.number, encode(field.of, value, depth + 1))
    return _scalar(field, value)


def _framed(number: int, data: bytes) -> bytes:
    return write_varint(number << 3 | m.LENGTH) + write_varint(len(data)) + data


def _scalar(field: Field, value: Any) -> bytes:
    tag = write_varint(field.number << 3 | m.WIRE_TYPES[field.type])
    try:
        match field.type:
            case m.STRING:
                data = str(value).encode()
                return tag + write_varint(len(data)) + data
            case m.BYTES:
                data = _bytes(value)
                return tag + write_varint(len(data)) + data
            case m.BOOL:
                return tag + (b"\x01" if value is True or value == "true" else b"\x00")
            case m.ENUM:
                number = value if isinstance(value, int) else enum(field.of).numbers.get(value)
                return b"" if number is None else tag + write_varint(number & _MASK)
            case m.SINT32 | m.SINT64:
                number = int(value)
                return tag + write_varint((number << 1 ^ number >> 63) & _MASK)
            case m.DOUBLE | m.FLOAT:
                return tag + struct.pack(_FORMATS[field.type], float(value))
            case m.FIXED64 | m.SFIXED64 | m.FIXED32 | m.SFIXED32:
                return tag + struct.pack(_FORMATS[field.type], int(value))
            case _:
                return tag + write_varint(int(value) & _MASK)
    except (TypeError, ValueError, struct.error) as error:
        raise BadMessageError(f"the field {field.name} cannot be {str(value)[:100]}") from error


def _bytes(value: Any) -> bytes:
    text = str(value).replace("+", "-").replace("/", "_").rstrip("=")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _struct(value: Any, depth: int) -> bytes:
    if not isinstance(value, dict):
        raise BadMessageError("a structure is an object")
    out = []
    for key, each in value.items():
        name = str(key).encode()
        out.append(_framed(1, _framed(1, name) + _framed(2, _value(each, depth + 1))))
    return b"".join(out)


def _value(value: Any, depth: int) -> bytes:
    if depth > DEEPEST:
        raise BadMessageError("messages are too deep in one another")
    match value:
        case None:
            return b"\x08\x00"
        case bool():
            return b"\x20" + (b"\x01" if value else b"\x00")
        case int() | float():
            return b"\x11" + struct.pack("<d", value)
        case str():
            return _framed(3, value.encode())
        case dict():
            return _framed(5, _struct(value, depth + 1))
        case _:
            return _framed(6, b"".join(_framed(1, _value(each, depth + 1)) for each in value))


def _any(value: Any, depth: int) -> bytes:
    url = str(value.get("@type", ""))
    name = url.rpartition("/")[2]
    if name.startswith("google.protobuf.") and name != "google.protobuf.Empty":
        inner: Any = value.get("value")
    else:
        inner = {key: each for key, each in value.items() if key != "@type"}
    return _framed(1, url.encode()) + _framed(2, encode(name, inner, depth + 1))
