"""Messages and their fields, as the codec works with them: made from the tables when first needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from fogbank.discovery.protos import find_type

# google.protobuf.FieldDescriptorProto.Type
DOUBLE, FLOAT, INT64, UINT64, INT32, FIXED64, FIXED32, BOOL, STRING = range(1, 10)
MESSAGE, BYTES, UINT32, ENUM, SFIXED32, SFIXED64, SINT32, SINT64 = range(11, 19)

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
"""Wire types; those of groups (3, 4) are in none of these messages."""

WIRE_TYPES: Mapping[int, int] = {
    DOUBLE: EIGHT_BYTES, FIXED64: EIGHT_BYTES, SFIXED64: EIGHT_BYTES,
    FLOAT: FOUR_BYTES, FIXED32: FOUR_BYTES, SFIXED32: FOUR_BYTES,
    STRING: LENGTH, BYTES: LENGTH, MESSAGE: LENGTH,
    INT64: VARINT, UINT64: VARINT, INT32: VARINT, UINT32: VARINT, BOOL: VARINT, ENUM: VARINT,
    SINT32: VARINT, SINT64: VARINT,
}  # fmt: skip

DEEPEST = 100
"""How deep messages may be in one another, as protocol buffers' own parsers have it."""


class BadMessageError(ValueError):
    """These bytes, or this JSON, are no such message."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: ``type`` is one of the constants above, ``of`` the message's or enum's full name."""

    number: int
    json: str
    name: str
    type: int
    repeated: bool
    of: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message by its full name; ``is_map`` for the entry of a map (fields ``key`` and ``value``)."""

    name: str
    by_number: Mapping[int, Field]
    by_json: Mapping[str, Field]
    is_map: bool


@dataclass(frozen=True, slots=True)
class Enum:
    """An enum's values, both ways; the first name of a number counts."""

    numbers: Mapping[str, int]
    names: Mapping[int, str]


@cache
def message(name: str) -> Message:
    """Return a message; BadMessageError when no table has it."""
    rows = find_type(name)
    if not isinstance(rows, list):
        raise BadMessageError(f"there is no message {name[:200]}")
    fields = [Field(number, json, own, kind, bool(many), of) for number, json, own, kind, many, of in rows]
    return Message(
        name,
        {each.number: each for each in fields},
        {key: each for each in fields for key in (each.name, each.json)},
        is_map=name.endswith("Entry") and [each.name for each in fields] == ["key", "value"],
    )


@cache
def enum(name: str) -> Enum:
    """Return an enum; BadMessageError when no table has it."""
    if name == "google.protobuf.NullValue":
        return Enum({"NULL_VALUE": 0}, {0: "NULL_VALUE"})
    numbers = find_type(name)
    if not isinstance(numbers, dict):
        raise BadMessageError(f"there is no enum {name[:200]}")
    return Enum(numbers, {number: each for each, number in reversed(numbers.items())})
