"""Talks to strongSwan's charon over its VICI socket: connections, secrets, associations. It blocks.

The protocol is strongSwan's own (its src/libcharon/plugins/vici/README.md): packets with their length before
them, messages of nested sections, lists and values.
"""

import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from fogbank.errors import DriverError
from fogbank.unix_sockets import address_of

SECONDS = 10.0
"""How long one command may take."""

Message = Mapping[str, "str | Sequence[str] | Message"]
Parsed = dict[str, "str | list[str] | Parsed"]

_REQUEST, _RESPONSE, _UNKNOWN, _REGISTER, _EVENT_CONFIRM, _EVENT = 0, 1, 2, 3, 5, 7
_SECTION_START, _SECTION_END, _KEY_VALUE, _LIST_START, _LIST_ITEM, _LIST_END = range(1, 7)


def encode(message: Message) -> bytes:
    """Write a message."""
    return b"".join(_elements(message))


def _elements(message: Message) -> Iterator[bytes]:
    for key, value in message.items():
        if isinstance(value, str):
            yield bytes([_KEY_VALUE]) + _name(key) + _text(value)
        elif isinstance(value, Mapping):
            yield bytes([_SECTION_START]) + _name(key)
            yield from _elements(value)
            yield bytes([_SECTION_END])
        else:
            yield bytes([_LIST_START]) + _name(key)
            yield from (bytes([_LIST_ITEM]) + _text(each) for each in value)
            yield bytes([_LIST_END])


def _name(text: str) -> bytes:
    return struct.pack("!B", len(text.encode())) + text.encode()


def _text(text: str) -> bytes:
    return struct.pack("!H", len(text.encode())) + text.encode()


def decode(data: bytes) -> Parsed:
    """Read a message; ValueError when it is none."""
    found, end = _section(data, 0)
    if end != len(data):
        raise ValueError("a VICI message goes on after its end")
    return found


def _section(data: bytes, at: int) -> tuple[Parsed, int]:
    found: Parsed = {}
    while at < len(data) and data[at] != _SECTION_END:
        kind = data[at]
        key, at = _read(data, at + 1, "!B")
        if kind == _SECTION_START:
            found[key], at = _section(data, at)
            at += 1
        elif kind == _KEY_VALUE:
            found[key], at = _read(data, at, "!H")
        elif kind == _LIST_START:
            items: list[str] = []
            while data[at] == _LIST_ITEM:
                item, at = _read(data, at + 1, "!H")
                items.append(item)
            found[key], at = items, at + 1
        else:
            raise ValueError(f"a VICI message has an element of kind {kind}")
    return found, at


def _read(data: bytes, at: int, length: str) -> tuple[str, int]:
    (size,) = struct.unpack_from(length, data, at)
    start = at + struct.calcsize(length)
    return data[start : start + size].decode(errors="replace"), start + size


class Refused(DriverError):
    """charon has answered that a command failed."""


class Charon:
    """A connection to the charon whose socket is at ``path``; DriverError when it does not answer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(SECONDS)

    def __enter__(self) -> Self:
        try:
            with address_of(self._path) as address:
                self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise self._gone(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def command(self, name: str, message: Message) -> Parsed:
        """Give one command; Refused when charon says that it failed."""
        answer, _ = self._ask(name, message)
        if answer.get("success", "yes") != "yes":
            raise Refused(f"charon refuses {name}: {answer.get('errmsg', 'no reason given')}")
        return answer

    def stream(self, name: str, event: str) -> list[Parsed]:
        """Give a command whose answers come as events."""
        self._send(bytes([_REGISTER]) + _name(event))
        kind, _ = self._receive()
        if kind != _EVENT_CONFIRM:
            raise Refused(f"charon knows no event {event}")
        return self._ask(name, {})[1]

    def _ask(self, name: str, message: Message) -> tuple[Parsed, list[Parsed]]:
        self._send(bytes([_REQUEST]) + _name(name) + encode(message))
        events: list[Parsed] = []
        while True:
            kind, rest = self._receive()
            if kind == _EVENT:
                events.append(decode(rest[1 + rest[0] :]))
            elif kind == _RESPONSE:
                return decode(rest), events
            else:
                raise Refused(f"charon knows no command {name}")

    def _send(self, packet: bytes) -> None:
        try:
            self._socket.sendall(struct.pack("!I", len(packet)) + packet)
        except OSError as error:
            raise self._gone(error) from error

    def _receive(self) -> tuple[int, bytes]:
        (length,) = struct.unpack("!I", self._exactly(4))
        packet = self._exactly(length)
        return packet[0], packet[1:]

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                part = self._socket.recv(size - len(data))
            except OSError as error:
                raise self._gone(error) from error
            if not part:
                raise self._gone("it closed the connection")
            data += part
        return data

    def _gone(self, why: object) -> DriverError:
        return DriverError(f"the charon at {self._path} does not answer: {why}")
