"""The host's other users: files and sockets of a region are its owner's alone."""

import os
import socket
import stat
from pathlib import Path

from tests.attacks.http1 import say
from tests.attacks.table import Tally, attack
from tests.attacks.target import Target

NOBODY = 65534


@attack("operator")
def another_user(target: Target, tally: Tally, door: str) -> None:
    """Open the operator's socket and the files of keys as another user, who needs root to be."""
    secrets = [
        path for path in target.folder.rglob("*") if path.suffix in {".key", ".secret", ".json", ".sqlite"}
    ]
    for path in (target.folder / "operator.sock", *secrets):
        inner = path.stat().st_mode
        tally.expect(not inner & (stat.S_IRWXG | stat.S_IRWXO), f"{path.name} has the mode {oct(inner)}")
    if os.geteuid() == 0:
        child = os.fork()
        if child == 0:
            os._exit(_as_nobody(target.folder))
        _, status = os.waitpid(child, 0)
        tally.expect(os.waitstatus_to_exitcode(status) == 0, "another user could open something")


def _as_nobody(folder: Path) -> int:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    opened = 0
    for path in (folder / "operator.sock", folder / "authority" / "account.key", folder / "world.sqlite"):
        try:
            if path.suffix == ".sock":
                socket.socket(socket.AF_UNIX).connect(str(path))
            else:
                path.read_bytes()
            opened += 1
        except OSError:
            continue
    return opened


@attack("operator")
def malformed_orders(target: Target, tally: Tally, door: str) -> None:
    for what, line, body in (
        ("deep JSON", b"POST /trace", b"[" * 500_000),
        ("no object", b"POST /clock", b"[]"),
        ("no JSON", b"POST /internet/sites", b"\xff"),
        ("a body of 20 MB", b"POST /trace", b" " * 20_000_000),
        ("a huge number", b"POST /clock", b'{"seconds":1' + b"0" * 400 + b"}"),
        ("a host that is a path", b"DELETE /internet/sites/..%2f..%2fetc", b""),
        ("a query that is no text", b"GET /logs?resource=%ff%00", b""),
        ("nowhere", b"GET /%00", b""),
    ):
        with target.open(door) as connection:
            head = b"%b HTTP/1.1\r\nHost: fogbank\r\nContent-Length: %d\r\n\r\n" % (line, len(body))
            answer = say(connection, head + body)
        tally.expect(answer.startswith(b"HTTP/1.1 4"), f"{what}: {answer[:150]!r}")
