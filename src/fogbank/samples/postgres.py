"""One statement to a PostgreSQL server, in the standard library alone: what netcheck's ``/postgres`` does.

The protocol is PostgreSQL's version 3 with SCRAM-SHA-256 (RFC 7677), as Cloud SQL asks for it.
"""

import base64
import hashlib
import hmac
import os
import socket
import struct
from dataclasses import dataclass
from typing import BinaryIO, cast

from fogbank.samples.http import connect

Json = dict[str, object]

_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_VERSION = 196608
_SCRAM = "SCRAM-SHA-256"


@dataclass(frozen=True)
class Login:
    """Where a server is, and who asks. A ``host`` that begins with a slash is the folder of a Unix socket."""

    host: str
    port: int
    user: str
    password: str
    database: str
    tls: bool = False


def ask(login: Login, sql: str, timeout: float) -> Json:
    """Connect, sign in and run one statement; the rows as text. OSError when that cannot be."""
    connection = _connect(login.host, login.port, timeout)
    try:
        if login.tls:
            connection = _secured(connection)
        with cast("BinaryIO", connection.makefile("rwb")) as stream:
            words = _texts("user", login.user, "database", login.database, "")
            _send(stream, b"", struct.pack("!I", _VERSION) + words)
            _sign_in(stream, login.password)
            _send(stream, b"Q", _texts(sql))
            return {"rows": _rows(stream)}
    finally:
        connection.close()


def _connect(host: str, port: int, timeout: float) -> socket.socket:
    if not host.startswith("/"):
        return connect(host, port, timeout)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    connection.connect(f"{host}/.s.PGSQL.{port}")
    return connection


def _secured(connection: socket.socket) -> socket.socket:
    import ssl

    connection.sendall(_SSL_REQUEST)
    if connection.recv(1) != b"S":
        raise OSError("the server offers no TLS")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection)


def _sign_in(stream: BinaryIO, password: str) -> None:
    """Answer what the server asks until it is ready for a statement."""
    nonce = base64.b64encode(os.urandom(18)).decode()
    first, proof = f"n=,r={nonce}", b""
    while True:
        kind, body = _message(stream)
        if kind == b"Z":
            return
        if kind != b"R":
            continue
        step = struct.unpack("!I", body[:4])[0]
        if step == 10:
            if _SCRAM.encode() not in body:
                raise OSError("the server does not offer SCRAM-SHA-256")
            said = f"n,,{first}".encode()
            _send(stream, b"p", _texts(_SCRAM) + struct.pack("!I", len(said)) + said)
        elif step == 11:
            final, proof = _proven(first, body[4:].decode(), password)
            _send(stream, b"p", final.encode())
        elif step == 12 and body[4:] != b"v=" + proof:
            raise OSError("the server does not know the password either")


def _proven(first: str, challenge: str, password: str) -> tuple[str, bytes]:
    """Answer a challenge; return also what the server must answer then."""
    given = dict(each.split("=", 1) for each in challenge.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(given["s"]), int(given["i"]))
    client = hmac.digest(salted, b"Client Key", "sha256")
    bare = f"c=biws,r={given['r']}"
    everything = f"{first},{challenge},{bare}".encode()
    signature = hmac.digest(hashlib.sha256(client).digest(), everything, "sha256")
    proof = bytes(a ^ b for a, b in zip(client, signature, strict=True))
    server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), everything, "sha256")
    return f"{bare},p={base64.b64encode(proof).decode()}", base64.b64encode(server)


def _rows(stream: BinaryIO) -> list[list[str | None]]:
    rows: list[list[str | None]] = []
    while True:
        kind, body = _message(stream)
        if kind == b"Z":
            return rows
        if kind == b"D":
            rows.append(_row(body))


def _row(body: bytes) -> list[str | None]:
    count, at = struct.unpack("!H", body[:2])[0], 2
    row: list[str | None] = []
    for _ in range(count):
        length = struct.unpack("!i", body[at : at + 4])[0]
        at += 4
        row.append(None if length < 0 else body[at : at + length].decode())
        at += max(0, length)
    return row


def _send(stream: BinaryIO, kind: bytes, body: bytes) -> None:
    stream.write(kind + struct.pack("!I", len(body) + 4) + body)
    stream.flush()


def _message(stream: BinaryIO) -> tuple[bytes, bytes]:
    """Read a message; ValueError with the server's words when it is an error."""
    head = stream.read(5)
    if len(head) < 5:
        raise OSError("the server closed the connection")
    body = stream.read(struct.unpack("!I", head[1:])[0] - 4)
    if head[:1] == b"E":
        fields = {each[:1]: each[1:].decode() for each in body.split(b"\0") if each}
        raise ValueError(fields.get(b"M", "an error without words"))
    return head[:1], body


def _texts(*words: str) -> bytes:
    return b"".join(word.encode() + b"\0" for word in words)
