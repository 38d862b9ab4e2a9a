"""The bytes of protocol buffers: variable-length numbers and the fields that they begin."""

import struct
from collections.abc import Iterator

from fogbank.frontend.grpc.messages import EIGHT_BYTES, FOUR_BYTES, LENGTH, VARINT, BadMessageError

_LONGEST_VARINT = 10
_FIXED = {EIGHT_BYTES: 8, FOUR_BYTES: 4}


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned number of at most 64 bits; return it and where it ends."""
    value = shift = 0
    for end in range(at, min(at + _LONGEST_VARINT, len(data))):
        byte = data[end]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, end + 1
        shift += 7
    raise BadMessageError("a number is cut short or too long")


def write_varint(value: int) -> bytes:
    """Write an unsigned number of at most 64 bits."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Take a message apart: number, wire type and value of each field, in order.

    Values are numbers of varints, else the bytes.
    """
    at, size = 0, len(data)
    while at < size:
        tag, at = read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not number:
            raise BadMessageError("a field has no number")
        if wire == VARINT:
            value, at = read_varint(data, at)
            yield number, wire, value
            continue
        if wire == LENGTH:
            length, at = read_varint(data, at)
        elif wire in _FIXED:
            length = _FIXED[wire]
        else:
            raise BadMessageError(f"wire type {wire} is not used here")
        if length > size - at:
            raise BadMessageError("a field is cut short")
        yield number, wire, data[at : at + length]
        at += length


def signed(value: int, bits: int) -> int:
    """Read an unsigned number as one in two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def zigzag(value: int) -> int:
    """Read a number that was written with its sign in the last bit."""
    return (value >> 1) ^ -(value & 1)


_FORMATS = {
    8: {"double": "<d", "signed": "<q", "unsigned": "<Q"},
    4: {"double": "<f", "signed": "<i", "unsigned": "<I"},
}


def unpack(data: bytes, kind: str) -> float:
    """Read a number of fixed size."""
    value: float = struct.unpack(_FORMATS[len(data)][kind], data)[0]
    return value
