"""One probe of a health check: a connection from Google's range to an endpoint, and what is asked there.

What counts as success: behaviour/load-balancing.md#health-checks.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable

from fogbank.errors import DriverError
from fogbank.lowering.edge import EDGE, PROBE_SOURCE, edge_device
from fogbank.network.topology import NetnsName
from fogbank.resources.load_balancing import Endpoint, HealthCheck

OpenSocket = Callable[[NetnsName, socket.SocketKind], socket.socket]

_READ = 1024
"""How much of an answer is looked at."""
_TLS_KINDS = frozenset({"HTTPS", "HTTP2", "SSL"})


async def probe(check: HealthCheck, endpoint: Endpoint, open_socket: OpenSocket) -> str:
    """Probe an endpoint; return why it failed, empty when it did not."""
    port = check.port or endpoint.port
    try:
        async with asyncio.timeout(check.timeout):
            connection = open_socket(EDGE, socket.SOCK_STREAM)
            try:
                await _connect(connection, endpoint, port)
                return await _ask(check, endpoint, port, connection)
            finally:
                connection.close()
    except TimeoutError:
        return "timed out; is there a firewall rule for 35.191.0.0/16 and 130.211.0.0/22?"
    except (OSError, DriverError, ssl.SSLError, EOFError) as error:
        return str(error) or type(error).__name__


async def _connect(connection: socket.socket, endpoint: Endpoint, port: int) -> None:
    connection.setblocking(False)
    device = edge_device(endpoint.network).encode() + b"\0"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
    connection.bind((str(PROBE_SOURCE), 0))
    await asyncio.get_running_loop().sock_connect(connection, (str(endpoint.address), port))


async def _ask(check: HealthCheck, endpoint: Endpoint, port: int, connection: socket.socket) -> str:
    if check.proxy_header:
        await asyncio.get_running_loop().sock_sendall(connection, b"PROXY UNKNOWN\r\n")
    if check.kind == "GRPC":
        from fogbank.control.grpc_health import is_serving

        serving = await is_serving(connection, f"{endpoint.address}:{port}", check.service)
        return "" if serving else "the gRPC service is not SERVING"
    context = _context(check.kind)
    reader, writer = await asyncio.open_connection(
        sock=connection.dup(), ssl=context, server_hostname="" if context else None
    )
    try:
        match check.kind:
            case "HTTP" | "HTTPS":
                return await _http(check, f"{endpoint.address}", reader, writer)
            case "HTTP2":
                return await _http2(check, f"{endpoint.address}", reader, writer)
            case _:
                return await _stream(check, reader, writer)
    finally:
        writer.transport.abort()


def _context(kind: str) -> ssl.SSLContext | None:
    if kind not in _TLS_KINDS:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # as Google's: who answers is not checked
    if kind == "HTTP2":
        context.set_alpn_protocols(["h2"])
    return context


async def _stream(check: HealthCheck, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    writer.write(check.request.encode())
    if not check.response:
        return ""
    wanted = check.response.encode()
    try:
        answer = await reader.readexactly(len(wanted))
    except asyncio.IncompleteReadError as error:
        answer = error.partial
    return "" if answer == wanted else f"answered {answer!r}"


async def _http(
    check: HealthCheck, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> str:
    host = check.host or address
    head = (
        f"GET {check.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: GoogleHC/1.0\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode())
    status = (await reader.readline()).split(b" ")
    if len(status) < 2 or status[1] != b"200":
        return f"answered {b' '.join(status[1:]).decode(errors='replace').strip() or 'nothing'}"
    if not check.response:
        return ""
    while (await reader.readline()).strip():
        pass
    body = await _some(reader)
    return "" if check.response.encode() in body else "the body does not have the expected response"


async def _some(reader: asyncio.StreamReader) -> bytes:
    found = b""
    while len(found) < _READ and (more := await reader.read(_READ - len(found))):
        found += more
    return found


async def _http2(
    check: HealthCheck, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> str:
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import ConnectionTerminated, ResponseReceived, StreamReset

    from fogbank.control.grpc_health import text

    connection = H2Connection(H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    names = (
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", check.host or address),
        (":path", check.path),
    )
    connection.send_headers(1, [*names, ("user-agent", "GoogleHC/1.0")], end_stream=True)
    writer.write(connection.data_to_send())
    while more := await reader.read(65536):
        for event in connection.receive_data(more):
            if isinstance(event, ResponseReceived):
                status = next(
                    (text(value) for key, value in event.headers or () if text(key) == ":status"), ""
                )
                return "" if status == "200" else f"answered {status}"
            if isinstance(event, (StreamReset, ConnectionTerminated)):
                return "the connection was reset"
        writer.write(connection.data_to_send())
    return "the connection was closed"
