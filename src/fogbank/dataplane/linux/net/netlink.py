"""A small netlink codec: messages are bytes, attributes are bytes, and many go to the kernel in one call.

Netlink is how the kernel's network is changed. A general library costs 24 ms for what one instance needs;
packing the few messages that a region uses by hand costs under one. :class:`Netlink` is one socket in one
network namespace; an open socket keeps its namespace alive, so whoever lets a namespace go closes its sockets
first.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fogbank.dataplane.linux.kernel import put_high

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

REQUEST = 0x1
ACK = 0x4
DUMP = 0x300
REPLACE = 0x100
EXCL = 0x200
CREATE = 0x400

_ERROR = 2
_DONE = 3
_DUMP_INTERRUPTED = 0x10
_NESTED = 0x8000
_TYPE_MASK = 0x3FFF
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_BATCH_BYTES = 32 * 1024
_BATCH_MESSAGES = 128
"""The kernel answers each message before the call returns, and a socket's buffer holds some 270 answers."""
_BATCH_QUERIES = 32
"""Answers that describe something are larger: one about an interface takes up to 4 KiB of the buffer."""
_RECEIVE_BYTES = 256 * 1024

_SOL_NETLINK = 270
_NETLINK_EXT_ACK = 11
_NETLINK_CAP_ACK = 10


@dataclass(frozen=True, slots=True)
class Message:
    """What to ask: the type, flags beside REQUEST, and the payload after the netlink header."""

    kind: int
    flags: int
    payload: bytes


def attribute(kind: int, value: bytes) -> bytes:
    """Pack one attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """Pack an attribute that holds attributes."""
    return attribute(kind | _NESTED, b"".join(parts))


def u32(kind: int, value: int) -> bytes:
    """Pack a number in the machine's order."""
    return attribute(kind, struct.pack("=I", value))


def big32(kind: int, value: int) -> bytes:
    """Pack a number in the network's order, as netfilter wants it."""
    return attribute(kind, struct.pack(">I", value))


def text(kind: int, value: str) -> bytes:
    """Pack a zero-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Unpack attributes by kind, without their flags; a repeated kind keeps its last value."""
    found: dict[int, bytes] = {}
    end = len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            break
        found[kind & _TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Split a datagram into (type, flags, sequence, payload)."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < 16:
            break
        yield kind, flags, sequence, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def pack(message: Message, sequence: int) -> bytes:
    """Put the netlink header before the payload."""
    body = message.payload
    header = _HEADER.pack(16 + len(body), message.kind, message.flags | REQUEST, sequence, 0)
    return header + body + b"\0" * (-len(body) % 4)


class Netlink:
    """One netlink socket, made in the network namespace that the calling thread is in.

    ``groups`` is a mask of notifications to listen to; such a socket is for reading, not for asking.
    """

    def __init__(self, family: int, groups: int = 0) -> None:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self.socket = socket.socket(fileno=put_high(made.detach()))
        self.socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self.socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self.socket.bind((0, groups))
        self._sequence = 0

    def close(self) -> None:
        """Let the socket, and with it the namespace, go."""
        self.socket.close()

    def ask(self, message: Message) -> None:
        """Send one message; OSError carries the kernel's refusal."""
        (error,) = self.ask_all([message])
        if error is not None:
            raise error

    def ask_all(self, requests: Sequence[Message]) -> list[OSError | None]:
        """Send many messages in few calls; the answers keep their order, None is success."""
        answers: list[OSError | None] = [None] * len(requests)
        start = 0
        while start < len(requests):
            batch = bytearray()
            first = self._sequence + 1
            stop = start
            limit = min(len(requests), start + _BATCH_MESSAGES)
            while stop < limit and (stop == start or len(batch) < _BATCH_BYTES):
                self._sequence += 1
                request = requests[stop]
                batch += pack(Message(request.kind, request.flags | ACK, request.payload), self._sequence)
                stop += 1
            self.socket.send(batch)
            self._collect(answers, start, first, stop - start)
            start = stop
        return answers

    def _collect(self, answers: list[OSError | None], start: int, first: int, count: int) -> None:
        waiting = count
        while waiting:
            for kind, _, sequence, payload in messages(self.socket.recv(_RECEIVE_BYTES)):
                if kind == _ERROR and first <= sequence < first + count:
                    answers[start + sequence - first] = _refusal(payload)
                    waiting -= 1

    def dump(self, message: Message) -> list[tuple[int, bytes]]:
        """Read a whole table as (type, payload); a dump that a change interrupted is read again."""
        for _ in range(10):
            rows, whole = self._dump_once(message)
            if whole:
                return rows
        raise OSError(errno.EINTR, "the kernel's table changed during ten dumps in a row")

    def _dump_once(self, message: Message) -> tuple[list[tuple[int, bytes]], bool]:
        self._sequence += 1
        request = Message(message.kind, message.flags | DUMP, message.payload)
        self.socket.send(pack(request, self._sequence))
        rows: list[tuple[int, bytes]] = []
        whole = True
        while True:
            for kind, flags, sequence, payload in messages(self.socket.recv(_RECEIVE_BYTES)):
                if sequence != self._sequence:
                    continue
                whole = whole and not flags & _DUMP_INTERRUPTED
                if kind == _DONE:
                    return rows, whole
                if kind == _ERROR:
                    refusal = _refusal(payload)
                    if refusal is not None:
                        raise refusal
                    return rows, whole
                rows.append((kind, payload))

    def query(self, message: Message) -> tuple[int, bytes]:
        """Ask for one answer that is not an acknowledgement."""
        self._sequence += 1
        self.socket.send(pack(message, self._sequence))
        while True:
            for kind, _, sequence, payload in messages(self.socket.recv(_RECEIVE_BYTES)):
                if sequence != self._sequence:
                    continue
                if kind == _ERROR:
                    raise _answer(payload)
                return kind, payload

    def query_all(self, requests: Sequence[Message]) -> list[bytes | OSError]:
        """Ask for one answer to each of ``requests``, in few calls: its payload, or the kernel's refusal."""
        answers: dict[int, bytes | OSError] = {}
        first = self._sequence + 1
        for start in range(0, len(requests), _BATCH_QUERIES):
            some = requests[start : start + _BATCH_QUERIES]
            self.socket.send(b"".join(pack(each, first + start + n) for n, each in enumerate(some)))
            self._sequence += len(some)
            while len(answers) < start + len(some):
                for kind, _, sequence, payload in messages(self.socket.recv(_RECEIVE_BYTES)):
                    if sequence >= first:
                        answers[sequence] = _answer(payload) if kind == _ERROR else payload
        return [answers[first + place] for place in range(len(requests))]


def _answer(payload: bytes) -> OSError:
    return _refusal(payload) or OSError(errno.EPROTO, "an acknowledgement without an answer")


def _refusal(payload: bytes) -> OSError | None:
    """Read the error of an acknowledgement, with the kernel's own words where it has any."""
    (number,) = struct.unpack_from("=i", payload)
    if number == 0:
        return None
    words = attributes(payload, 20).get(1, b"").rstrip(b"\0").decode(errors="replace")
    why = os.strerror(-number)
    return OSError(-number, f"{why}: {words}" if words else why)
