"""The protocol inside IAP's WebSockets: data with counted bytes, so that a lost connection can be resumed.

Frames are big-endian: a tag of 16 bits, then a number of 64 bits (acknowledgements), or a length of 32 bits
and that many bytes (behaviour/iap-tcp-forwarding.md#protocol).
"""

import asyncio
import contextlib
import secrets
import struct
from dataclasses import dataclass, field

from fogbank.frontend.tunnels.websocket import Closed, Misused, WebSocket

SUBPROTOCOL = "relay.tunnel.cloudproxy.app"
CONNECT_SUCCESS, RECONNECT_SUCCESS, DATA, ACK = 1, 2, 4, 7
MOST_DATA = 16_384
"""Bytes in one data frame."""
ACK_AFTER = 2 * MOST_DATA
"""How many bytes of the client's are taken before it is told."""
MOST_UNCONFIRMED = 4 * 1024 * 1024
"""How many bytes wait for the client's acknowledgement before the machine is not read any more."""
BAD_ACK, BAD_DATA, WRITE_FAILED = 4005, 4013, 4009


@dataclass(slots=True, eq=False)
class Session:
    """A connection to a machine; ``received`` counts the client's bytes, ``sent`` those that it was sent.

    ``unconfirmed`` are the last of them, which it may yet want again. ``owner`` may resume it.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    owner: str
    sid: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    received: int = 0
    acknowledged: int = 0
    sent: int = 0
    unconfirmed: bytearray = field(default_factory=bytearray)
    confirmed: asyncio.Event = field(default_factory=asyncio.Event)
    attached: bool = False
    over: bool = False

    def close(self) -> None:
        """End the connection to the machine."""
        self.over = True
        self.writer.close()

    def confirm(self, total: int) -> None:
        """Take note that the client has the first ``total`` bytes; Misused when that cannot be."""
        first = self.sent - len(self.unconfirmed)
        if not first <= total <= self.sent:
            raise Misused(f"acknowledged {total} of {first} to {self.sent} bytes", BAD_ACK)
        del self.unconfirmed[: total - first]
        self.confirmed.set()


def render_connected(sid: str) -> bytes:
    """Write the first frame of a new session."""
    return struct.pack("!HI", CONNECT_SUCCESS, len(sid)) + sid.encode()


def render_reconnected(received: int) -> bytes:
    """Write the first frame of a session that is resumed."""
    return struct.pack("!HQ", RECONNECT_SUCCESS, received)


def render_data(content: bytes) -> bytes:
    """Write a data frame; of at most :data:`MOST_DATA` bytes."""
    return struct.pack("!HI", DATA, len(content)) + content


async def relay(session: Session, socket: WebSocket) -> tuple[int, str] | None:
    """Pass bytes between client and machine.

    Return the code and the reason to close with when the machine has ended; None when the client has gone,
    which may come back. Misused when it does not keep to the protocol.
    """
    from_client = asyncio.create_task(_to_machine(session, socket))
    from_machine = asyncio.create_task(_to_client(session, socket))
    both = (from_client, from_machine)
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        first = next(each for each in both if each.done())
        return first.result()
    except Closed as closed:
        if closed.code is not None:
            session.close()  # it said goodbye
        return None
    finally:
        for each in both:
            each.cancel()
            with contextlib.suppress(asyncio.CancelledError, Closed, Misused):
                await each


async def _to_machine(session: Session, socket: WebSocket) -> tuple[int, str]:
    while True:
        frame = await socket.receive()
        if len(frame) < 2:
            raise Misused("a frame without a tag", BAD_DATA)
        (tag,) = struct.unpack_from("!H", frame)
        if tag == DATA:
            try:
                await _deliver(session, socket, frame)
            except OSError:
                return WRITE_FAILED, "Write failed"
        elif tag == ACK:
            if len(frame) != 10:
                raise Misused("an acknowledgement without a number", BAD_DATA)
            session.confirm(struct.unpack_from("!Q", frame, 2)[0])


async def _deliver(session: Session, socket: WebSocket, frame: bytes) -> None:
    length = struct.unpack_from("!I", frame, 2)[0] if len(frame) >= 6 else -1
    if length != len(frame) - 6 or length > MOST_DATA:
        raise Misused("a data frame of another length than it says", BAD_DATA)
    session.received += length
    session.writer.write(frame[6:])
    await session.writer.drain()
    if session.received - session.acknowledged > ACK_AFTER:
        session.acknowledged = session.received
        await socket.send(struct.pack("!HQ", ACK, session.received))


async def _to_client(session: Session, socket: WebSocket) -> tuple[int, str]:
    for start in range(0, len(session.unconfirmed), MOST_DATA):  # what was lost with the last connection
        await socket.send(render_data(bytes(session.unconfirmed[start : start + MOST_DATA])))
    while True:
        while len(session.unconfirmed) > MOST_UNCONFIRMED:
            session.confirmed.clear()
            await session.confirmed.wait()
        try:
            content = await session.reader.read(MOST_DATA)
        except OSError:
            return 4010, "Read failed"
        if not content:
            return 1000, ""
        session.sent += len(content)
        session.unconfirmed += content
        await socket.send(render_data(content))
