"""A client of grpc.health.v1, as small as its one question: whether a service is serving.

It speaks HTTP/2 without TLS over a connection that is there. The protocol is in
https://github.com/grpc/grpc/blob/master/doc/health-checking.md; a status other than SERVING fails.
"""

import asyncio
import socket

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

_PATH = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"
"""A HealthCheckResponse whose field 1, status, is 1."""
_MOST_BYTES = 4096
_READ_BYTES = 65536


def request_message(service: str) -> bytes:
    """Write a HealthCheckRequest as gRPC frames it: field 1 is the name of the service, absent when empty."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def text(value: bytes | str) -> str:
    """Return a header field as text."""
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))


async def is_serving(connection: socket.socket, authority: str, service: str) -> bool:
    """Ask over ``connection``, which is connected and does not block; OSError when it breaks."""
    http2, loop = H2Connection(H2Configuration(header_encoding="utf-8")), asyncio.get_running_loop()
    http2.initiate_connection()
    stream = http2.get_next_available_stream_id()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", authority),
        (":path", _PATH),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    http2.send_headers(stream, headers)
    http2.send_data(stream, request_message(service), end_stream=True)
    answer, status = b"", ""
    try:
        while True:
            await loop.sock_sendall(connection, http2.data_to_send())
            chunk = await loop.sock_recv(connection, _READ_BYTES)
            if not chunk:
                return False
            for event in http2.receive_data(chunk):
                match event:
                    case ResponseReceived(headers=received) | TrailersReceived(headers=received):
                        status = next(
                            (text(v) for n, v in received or () if text(n) == "grpc-status"), status
                        )
                    case DataReceived(data=data, flow_controlled_length=length):
                        answer += data or b""
                        http2.acknowledge_received_data(length or 0, stream)
                    case StreamEnded():
                        return status == "0" and answer[5:] == _SERVING
                    case StreamReset() | ConnectionTerminated():
                        return False
                    case _:
                        continue
            if len(answer) > _MOST_BYTES:
                return False
    except ProtocolError:
        return False
