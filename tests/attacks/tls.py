"""Malformed TLS: what is no handshake, or one that nobody should take."""

import contextlib
import socket
import ssl
import time

from tests.attacks.table import Tally, attack
from tests.attacks.target import PATIENCE, Target

RECORD = b"\x16\x03\x01"
HELLOS = {
    "noise": bytes(range(255, 0, -1)) * 8,
    "HTTP": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "SSL 2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(40),
    "a record of 65,535 bytes": RECORD + b"\xff\xff" + bytes(65535),
    "an empty record": (RECORD + b"\0\0") * 100,
    "a hello of 16 MB": RECORD + b"\x40\x00\x01\xff\xff\xff" + bytes(16380),
    "a hello of nothing": RECORD + b"\0\4\1\0\0\0",
    "a heartbeat": b"\x18\x03\x01\x00\x03\x01\x40\x00",
    "alerts": b"\x15\x03\x01\x00\x02\x01\x00" * 1000,
    "data before the handshake": b"\x17\x03\x03\x00\x10" + bytes(16),
    "a change of ciphers": b"\x14\x03\x01\x00\x01\x01" * 100,
}


def open_plain(target: Target, door: str) -> socket.socket:
    """Open the door where its TLS would begin."""
    return target.tunnel(target.host_of(door)) if door in {"API", "ingress"} else target.open(door)


def is_ended(connection: socket.socket) -> bool:
    """Read to the end; tell whether it comes in time."""
    end = time.monotonic() + PATIENCE
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < end:
            connection.settimeout(max(0.01, end - time.monotonic()))
            try:
                if not connection.recv(65536):
                    return True
            except TimeoutError:
                return False
    return time.monotonic() < end


@attack("API", "ingress", "third party TLS")
def malformed_hellos(target: Target, tally: Tally, door: str) -> None:
    for what, hello in HELLOS.items():
        with open_plain(target, door) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(hello)
                connection.shutdown(socket.SHUT_WR)
            tally.expect(is_ended(connection), f"{what} was waited for")


@attack("API", "third party TLS")
def weak_handshakes(target: Target, tally: Tally, door: str) -> None:
    """Offer only what is broken: old versions, ciphers without secrecy."""
    for what, version, ciphers in (
        ("TLS 1.0", ssl.TLSVersion.TLSv1, "ALL:@SECLEVEL=0"),
        ("TLS 1.1", ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        ("no encryption", ssl.TLSVersion.TLSv1_2, "eNULL:@SECLEVEL=0"),
        ("no certificate", ssl.TLSVersion.TLSv1_2, "aNULL:@SECLEVEL=0"),
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers(ciphers)
        context.options &= ~(ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1)
        context.maximum_version = version
        with open_plain(target, door) as connection:
            connection.settimeout(PATIENCE)
            try:
                context.wrap_socket(connection).close()
                held = False
            except OSError:
                held = True
        tally.expect(held, f"{what} was taken")


@attack("API")
def names_of_others(target: Target, tally: Tally, door: str) -> None:
    """Name another host in TLS than in the tunnel: the certificate is for the tunnel's."""
    for name in ("example.com", "a" * 63 + ".googleapis.com.evil.example", "127.0.0.1"):
        with target.tunnel(target.host_of(door)) as connection:
            try:
                target.trust("http/1.1").wrap_socket(connection, server_hostname=name).close()
                held = False
            except ssl.SSLCertVerificationError:
                held = True
        tally.expect(held, f"a certificate for {name}")
