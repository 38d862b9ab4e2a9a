"""What netcheck does on the network: one function per probe; a network that fails is a result, not an error.

Everything is done with plain sockets, so that what is measured is the network and nothing above it.
"""

import errno
import select
import socket
import time
from collections import Counter
from collections.abc import Callable

from fogbank.samples.http import connect, fetch, split_url

Json = dict[str, object]

IDENTITY = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/identity"

_MANY = 20_000


def explain(error: BaseException) -> str:
    """Name what went wrong, in one word where there is one (timeout, refused, unreachable, reset)."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, socket.gaierror):
        return (
            "not-found" if error.errno in {socket.EAI_NONAME, socket.EAI_NODATA} else f"dns: {error.strerror}"
        )
    if type(error).__module__ == "ssl":  # by its name, because the module is slow to import
        return f"tls: {getattr(error, 'reason', None) or error}"
    return explain_number(error.errno) if isinstance(error, OSError) and error.errno else str(error)


def explain_number(number: int) -> str:
    """Name an errno in one word where there is one."""
    match number:
        case errno.ETIMEDOUT | errno.EINPROGRESS | errno.EAGAIN:
            return "timeout"
        case errno.ECONNREFUSED:
            return "refused"
        case errno.EHOSTUNREACH | errno.ENETUNREACH:
            return "unreachable"
        case errno.ECONNRESET | errno.EPIPE:
            return "reset"
        case _:
            return errno.errorcode.get(number, str(number))


def measured(probe: Callable[[], Json]) -> Json:
    """Run ``probe``; add ``ok``, the seconds it took, and what went wrong."""
    started = time.monotonic()
    try:
        result = {"ok": True} | probe()
    except (OSError, ValueError) as error:
        result = {"ok": False, "error": explain(error)}
    return result | {"elapsed": round(time.monotonic() - started, 6)}


def lookup(host: str) -> list[str]:
    """Resolve ``host`` to IPv4 addresses, in the resolver's order."""
    # As bytes, because text would go through the idna codec, which is slow to import.
    found = socket.getaddrinfo(host.encode("ascii"), None, socket.AF_INET, socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def egress(url: str, timeout: float, *, id_token: bool = False) -> Json:
    """Fetch ``url``: status, body, and both ends of the connection as this side sees them.

    With ``id_token`` the request carries the service account's ID token for the URL's host.
    """
    return measured(lambda: fetch(url, timeout, lookup, _bearer(url, timeout) if id_token else ""))


def _bearer(url: str, timeout: float) -> str:
    """Write the header with the ID token that the metadata server gives for the host of ``url``."""
    scheme, host, _, _ = split_url(url)
    asked = f"{IDENTITY}?audience={scheme}://{host}"
    token = fetch(asked, timeout, lookup, "Metadata-Flavor: Google")["body"]
    return f"Authorization: Bearer {token}"


def dns(name: str) -> Json:
    """Resolve ``name``."""
    return measured(lambda: {"name": name, "addresses": lookup(name)})


def tcp(host: str, port: int, count: int, hold: float, timeout: float) -> Json:
    """Open ``count`` connections at once, hold those that opened for ``hold`` seconds, close all."""
    if not 1 <= count <= _MANY:
        raise ValueError(f"count is a number from 1 to {_MANY}")
    started = time.monotonic()
    sockets: list[socket.socket] = []
    try:
        address = lookup(host)[0]
        errors = Counter[str]()
        waiting: dict[int, socket.socket] = {}
        for _ in range(count):
            connection = socket.socket()
            sockets.append(connection)
            connection.setblocking(False)
            result = connection.connect_ex((address, port))
            if result in {0, errno.EINPROGRESS}:
                waiting[connection.fileno()] = connection
            else:
                errors[explain_number(result)] += 1
        opened = _settle(waiting, errors, started + timeout)
        ports = sorted(connection.getsockname()[1] for connection in opened)
        elapsed = round(time.monotonic() - started, 6)
        time.sleep(hold if opened else 0)
    except OSError as error:
        return {"ok": 0, "failed": count, "errors": {explain(error): count}, "localPorts": []}
    finally:
        for connection in sockets:
            connection.close()
    return {
        "ok": len(opened),
        "failed": count - len(opened),
        "errors": dict(errors),
        "peer": f"{address}:{port}",
        "localPorts": ports,
        "elapsed": elapsed,
    }


def _settle(
    waiting: dict[int, socket.socket], errors: "Counter[str]", deadline: float
) -> list[socket.socket]:
    """Wait until each of ``waiting`` is connected, has failed, or the time is over; count the failures."""
    opened: list[socket.socket] = []
    poll = select.poll()
    for number in waiting:
        poll.register(number, select.POLLOUT)
    while waiting and (left := deadline - time.monotonic()) > 0:
        for number, _ in poll.poll(left * 1000):
            poll.unregister(number)
            connection = waiting.pop(number)
            failure = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failure:
                errors[explain_number(failure)] += 1
            else:
                opened.append(connection)
    if waiting:
        errors["timeout"] += len(waiting)
    return opened


def udp(host: str, port: int, count: int, payload: str, timeout: float) -> Json:
    """Send ``count`` datagrams, each from its own port, and collect what comes back within ``timeout``."""
    if not 1 <= count <= _MANY:
        raise ValueError(f"count is a number from 1 to {_MANY}")

    def probe() -> Json:
        address = lookup(host)[0]
        sockets = {}
        try:
            for _ in range(count):
                sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                sockets[sender.fileno()] = sender
                sender.connect((address, port))
                sender.send(payload.encode())
            replies, errors = _replies(sockets, time.monotonic() + timeout)
            ports = sorted(sender.getsockname()[1] for sender in sockets.values())
        finally:
            for sender in sockets.values():
                sender.close()
        return {
            "ok": len(replies) == count,
            "sent": count,
            "received": len(replies),
            "errors": errors,
            "peer": f"{address}:{port}",
            "localPorts": ports,
            "replies": replies[:100],
        }

    return measured(probe)


def _replies(sockets: dict[int, socket.socket], deadline: float) -> tuple[list[str], dict[str, int]]:
    replies: list[str] = []
    errors = Counter[str]()
    waiting = set(sockets)
    poll = select.poll()
    for number in waiting:
        poll.register(number, select.POLLIN)
    while waiting and (left := deadline - time.monotonic()) > 0:
        for number, _ in poll.poll(left * 1000):
            poll.unregister(number)
            waiting.discard(number)
            try:
                replies.append(sockets[number].recv(65536).decode(errors="replace"))
            except OSError as error:
                errors[explain(error)] += 1
    if waiting:
        errors["timeout"] += len(waiting)
    return replies, dict(errors)


def redis(host: str, port: int, command: str, timeout: float) -> Json:
    """Send one command to a Redis server and give its reply."""

    def probe() -> Json:
        words = [word.encode() for word in command.split()]
        if not words:
            raise ValueError("command is empty; try command=INCR%20counter")
        with connect(lookup(host)[0], port, timeout) as connection:
            request = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)
            connection.sendall(request)
            reader = connection.makefile("rb")
            reply = _redis_reply(reader.readline, reader.read)
            local, peer = connection.getsockname(), connection.getpeername()
        return {"reply": reply, "localAddress": f"{local[0]}:{local[1]}", "peer": f"{peer[0]}:{peer[1]}"}

    return measured(probe)


def _redis_reply(readline: Callable[[], bytes], read: Callable[[int], bytes]) -> object:
    """Read one RESP value."""
    line = readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionResetError(errno.ECONNRESET, "the server closed the connection")
    kind, rest = line[:1], line[1:-2].decode(errors="replace")
    match kind:
        case b"+":
            return rest
        case b":":
            return int(rest)
        case b"-":
            raise ValueError(f"redis: {rest}")
        case b"$":
            return None if rest == "-1" else read(int(rest) + 2)[:-2].decode(errors="replace")
        case b"*":
            return [_redis_reply(readline, read) for _ in range(int(rest))] if rest != "-1" else None
        case _:
            raise ValueError("the server does not speak Redis")
