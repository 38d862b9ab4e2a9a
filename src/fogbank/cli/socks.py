"""A SOCKS 5 server on 127.0.0.1 whose connections begin somewhere in a region; for one command (RFC 1928).

It is a process of its own, a child of the command, and ends when that has ended. Addresses only: nobody on
premises resolves names of Google's.
"""

import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address

from fogbank.errors import OperatorError

Connect = Callable[[str, int], socket.socket]
"""Opens a connection to a host and a port; OperatorError when that cannot be."""

_CHUNK = 64 * 1024
_LOOK_SECONDS = 0.5
_SUCCEEDED, _REFUSED, _UNSUPPORTED = 0, 5, 7
_IPV4, _NAME = 1, 3


def serve_beside(connect: Connect) -> int:
    """Start the server in a child process; return its port. This process may then become the command."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = int(listener.getsockname()[1])
    parent = os.getpid()
    if os.fork() == 0:
        try:
            _serve(listener, connect, parent)
        finally:
            os._exit(0)
    listener.close()
    return port


def _serve(listener: socket.socket, connect: Connect, parent: int) -> None:
    while os.getppid() == parent:
        ready, _, _ = select.select([listener], [], [], _LOOK_SECONDS)
        if ready:
            client, _ = listener.accept()
            threading.Thread(target=_take, args=(client, connect), daemon=True).start()


def _take(client: socket.socket, connect: Connect) -> None:
    with client, suppress(OSError, EOFError):
        target = _greet(client)
        if target is None:
            _answer(client, _UNSUPPORTED)
            return
        try:
            opened = connect(*target)
        except OperatorError:
            _answer(client, _REFUSED)
            return
        with opened:
            _answer(client, _SUCCEEDED)
            _pass_both(client, opened)


def _greet(client: socket.socket) -> tuple[str, int] | None:
    """Read the greeting and the request; return where to connect, None when it asks for anything else."""
    _, methods = _exactly(client, 2)
    _exactly(client, methods)
    client.sendall(b"\x05\x00")
    _, command, _, kind = _exactly(client, 4)
    if kind == _IPV4:
        host = str(IPv4Address(_exactly(client, 4)))
    elif kind == _NAME:
        host = _exactly(client, _exactly(client, 1)[0]).decode(errors="replace")
    else:
        return None
    (port,) = struct.unpack("!H", _exactly(client, 2))
    return (host, port) if command == 1 else None


def _answer(client: socket.socket, status: int) -> None:
    client.sendall(struct.pack("!BBBB4sH", 5, status, 0, _IPV4, bytes(4), 0))


def _exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = client.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _pass_both(one: socket.socket, other: socket.socket) -> None:
    back = threading.Thread(target=_pass, args=(other, one), daemon=True)
    back.start()
    _pass(one, other)
    back.join()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
