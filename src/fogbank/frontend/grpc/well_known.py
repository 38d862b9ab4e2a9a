"""The messages that JSON writes in a form of their own: times, durations, masks, wrappers."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from fogbank.frontend.grpc import messages as m
from fogbank.frontend.grpc.messages import BadMessageError
from fogbank.frontend.grpc.wire import fields, signed, write_varint
from fogbank.resources.log_entries import nanoseconds, time_text

_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799
_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)
_MASK = 0xFFFF_FFFF_FFFF_FFFF

WRAPPERS: Mapping[str, int] = {
    "google.protobuf.DoubleValue": m.DOUBLE,
    "google.protobuf.FloatValue": m.FLOAT,
    "google.protobuf.Int64Value": m.INT64,
    "google.protobuf.UInt64Value": m.UINT64,
    "google.protobuf.Int32Value": m.INT32,
    "google.protobuf.UInt32Value": m.UINT32,
    "google.protobuf.BoolValue": m.BOOL,
    "google.protobuf.StringValue": m.STRING,
    "google.protobuf.BytesValue": m.BYTES,
}


def _seconds(data: bytes) -> tuple[int, int]:
    seconds = nanos = 0
    for number, _, value in fields(data):
        if isinstance(value, int):
            if number == 1:
                seconds = signed(value, 64)
            elif number == 2:
                nanos = signed(value, 32)
    return seconds, nanos


def _write_seconds(seconds: int, nanos: int) -> bytes:
    out = b""
    if seconds:
        out += b"\x08" + write_varint(seconds & _MASK)
    if nanos:
        out += b"\x10" + write_varint(nanos & _MASK)
    return out


def _read_timestamp(data: bytes) -> str:
    seconds, nanos = _seconds(data)
    if not _EARLIEST <= seconds <= _LATEST or not 0 <= nanos < 1_000_000_000:
        raise BadMessageError("a time is out of range")
    return time_text(seconds * 1_000_000_000 + nanos)


def _write_timestamp(value: Any) -> bytes:
    try:
        return _write_seconds(*divmod(nanoseconds(str(value)), 1_000_000_000))
    except (ValueError, OverflowError) as error:
        raise BadMessageError(f"not a time: {str(value)[:100]}") from error


def _read_duration(data: bytes) -> str:
    seconds, nanos = _seconds(data)
    if abs(seconds) > 315_576_000_000 or abs(nanos) >= 1_000_000_000 or seconds * nanos < 0:
        raise BadMessageError("a duration is out of range")
    sign = "-" if seconds < 0 or nanos < 0 else ""
    digits = f"{abs(nanos):09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{sign}{abs(seconds)}.{digits}s" if digits else f"{sign}{abs(seconds)}s"


def _write_duration(value: Any) -> bytes:
    found = _DURATION.fullmatch(str(value))
    if found is None:
        raise BadMessageError(f"not a duration: {str(value)[:100]}")
    sign = -1 if found[1] else 1
    return _write_seconds(sign * int(found[2]), sign * int((found[3] or "").ljust(9, "0")))


def _read_mask(data: bytes) -> str:
    try:
        paths = [value.decode() for _, _, value in fields(data) if isinstance(value, bytes)]
    except UnicodeDecodeError as error:
        raise BadMessageError("a path is not UTF-8") from error
    return ",".join(re.sub(r"_([a-z])", lambda found: found[1].upper(), path) for path in paths)


def _write_mask(value: Any) -> bytes:
    names = (re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), each) for each in str(value).split(","))
    paths = [name.encode() for name in names if name]
    return b"".join(b"\x0a" + write_varint(len(path)) + path for path in paths)


DECODERS: Mapping[str, Callable[[bytes], Any]] = {
    "google.protobuf.Timestamp": _read_timestamp,
    "google.protobuf.Duration": _read_duration,
    "google.protobuf.FieldMask": _read_mask,
    "google.protobuf.Empty": lambda _data: {},
}
ENCODERS: Mapping[str, Callable[[Any], bytes]] = {
    "google.protobuf.Timestamp": _write_timestamp,
    "google.protobuf.Duration": _write_duration,
    "google.protobuf.FieldMask": _write_mask,
    "google.protobuf.Empty": lambda _value: b"",
}
