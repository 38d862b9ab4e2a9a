"""The host's other users: files and sockets of a region are its owner's alone."""

import ctypes
import errno
import json
import os
import socket
import stat
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tests.attacks.http1 import say
from tests.attacks.table import Tally, attack
from tests.attacks.target import Target, descendants

NOBODY = 65534
NAMESPACES = ("mnt", "net", "pid", "user")
_PTRACE_SEIZE = 0x4206
libc = ctypes.CDLL(None, use_errno=True)


@attack("operator")
def another_user(target: Target, tally: Tally, door: str) -> None:
    """Look for what another user of the host may open, who needs root to be."""
    try_as_another_user(target.folder, processes_of(target.folder), tally)


def try_as_another_user(folder: Path, pids: Sequence[int], tally: Tally) -> None:
    """Go for a region's files, its operator's socket and its processes, containers included."""
    secrets = [path for path in folder.rglob("*") if path.suffix in {".key", ".secret", ".json", ".sqlite"}]
    for path in (*folder.glob("*.sock"), *secrets):
        inner = path.stat().st_mode
        tally.expect(not inner & (stat.S_IRWXG | stat.S_IRWXO), f"{path.name} has the mode {oct(inner)}")
    if os.geteuid() == 0:
        tried, opened = _in_child(lambda: _as_nobody(folder, pids))
        assert tried >= len(pids) * 10
        tally.tried += tried - len(opened)
        for what in opened:
            tally.expect(False, f"another user may {what}")


def _in_child(work: Callable[[], tuple[int, list[str]]]) -> tuple[int, list[str]]:
    told, tell = os.pipe()
    if os.fork() == 0:
        os.close(told)
        text = "the child failed"
        try:
            text = json.dumps(work())
        finally:
            os.write(tell, text.encode())
            os._exit(0)
    os.close(tell)
    with os.fdopen(told) as pipe:
        tried, opened = json.loads(pipe.read())
    os.wait()
    return tried, opened


def _as_nobody(folder: Path, pids: Sequence[int]) -> tuple[int, list[str]]:
    """Try everything as nobody; how many ways there were, and which of them were open."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    ways: dict[str, Callable[[], object]] = {
        "connect to the operator": partial(_connect, folder / "operator.sock"),
        "connect to the docker engine": partial(_connect, folder / "docker.sock"),
        "list the folder": lambda: os.listdir(folder),  # noqa: PTH208 - what is tried is the system call
        "hold the region's lock": lambda: (folder / "lock").open("rb"),
    }
    for name in ("authority/account.key", "world.sqlite", "running.json", "fogbank.log"):
        ways[f"read {name}"] = (folder / name).read_bytes
    for pid in pids:
        ways |= {f"{what} of process {pid}": way for what, way in _ways_into(pid).items()}
    return len(ways), [what for what, way in ways.items() if _is_open(way)]


def _ways_into(pid: int) -> dict[str, Callable[[], object]]:
    process = Path("/proc", str(pid))
    return {
        "read the environment": (process / "environ").read_bytes,
        "read the memory map": (process / "maps").read_bytes,
        "open the memory": lambda: (process / "mem").open("r+b"),
        "look into the root": lambda: os.listdir(process / "root" / "run"),  # noqa: PTH208
        "look through the folder": lambda: os.listdir(process / "cwd" / "."),  # noqa: PTH208
        "list the descriptors": lambda: os.listdir(process / "fd"),  # noqa: PTH208
        "read the program": (process / "exe").read_bytes,
        **{f"enter the {name} namespace": (process / "ns" / name).read_bytes for name in NAMESPACES},
        "signal": lambda: os.kill(pid, 0),
        "trace": lambda: _trace(pid),
    }


def _connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(str(path))


def _trace(pid: int) -> None:
    if libc.ptrace(_PTRACE_SEIZE, pid, None, None):
        raise OSError(ctypes.get_errno(), "ptrace")


def _is_open(way: Callable[[], object]) -> bool:
    try:
        way()
    except OSError as error:
        return error.errno not in {errno.EACCES, errno.EPERM}
    return True


def processes_of(folder: Path) -> list[int]:
    """List the processes of the region in ``folder``: those that name it, and all below them."""
    outermost = int(json.loads((folder / "running.json").read_text())["pid"])
    return [outermost, *descendants(outermost)]


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
