"""The netcheck image: a service that tells what the network looks like from inside a container, as JSON.

It shows what a packet looks like from the inside; the third party's access log shows the outside.
"""

import json
import os
import socket
import time
from collections.abc import Callable

from fogbank.samples import probes
from fogbank.samples.web import SampleRequest, SampleResponse, Server, say

_HELP = """netcheck: what the network looks like from inside this container.

  /info                                    addresses, routes, environment
  /egress?url=http://ifconfig.me           fetch a page; timeout=5 id_token=1
  /tcp?host=H&port=80&count=10             open connections at once; hold=0 timeout=5
  /udp?host=H&port=53&payload=hello        send datagrams, wait for replies; count=1 timeout=2
  /dns?name=ifconfig.me                    resolve a name
  /redis?host=H&command=INCR%20counter     one Redis command; port=6379 timeout=5
  /postgres?host=H&sql=SELECT%201          one statement; user= password= database= port=5432 tls=0 timeout=5
  /sleep?seconds=1                         answer later

"""

_LONGEST_SLEEP = 3600.0


def help_page(request: SampleRequest) -> SampleResponse:
    """Return what there is to ask, and who asks."""
    caller = request.headers.get("x-forwarded-for", "").partition(",")[0].strip() or "unknown"
    service, revision = os.environ.get("K_SERVICE", "unknown"), os.environ.get("K_REVISION", "unknown")
    return SampleResponse(f"{_HELP}service {service}, revision {revision}, asked by {caller}\n")


def info() -> probes.Json:
    """Return this container's host name, addresses, routes, resolver and environment."""
    return {
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "addresses": addresses(),
        "routes": routes(_lines("/proc/net/route")),
        "resolver": [line.split()[1] for line in _lines("/etc/resolv.conf") if line.startswith("nameserver")],
        "environment": dict(sorted(os.environ.items())),
    }


def addresses() -> dict[str, str]:
    """Return the IPv4 address of each interface that has one."""
    from fcntl import ioctl

    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        for _, device in socket.if_nameindex():
            question = device.encode()[:15].ljust(256, b"\0")
            try:
                answer = ioctl(asker.fileno(), 0x8915, question)  # SIOCGIFADDR
            except OSError:
                continue  # an interface without an address is not listed
            found[device] = socket.inet_ntoa(answer[20:24])
    return found


def routes(lines: list[str]) -> list[dict[str, str]]:
    """Read the kernel's IPv4 routing table as /proc/net/route shows it."""
    table = []
    for line in lines[1:]:
        device, destination, gateway, _, _, _, _, mask, *_ = line.split()
        length = int(mask, 16).bit_count()
        via = _address(gateway)
        entry = {"destination": f"{_address(destination)}/{length}", "device": device}
        table.append(entry if via == "0.0.0.0" else entry | {"via": via})  # noqa: S104 - it means none here
    return table


def _address(text: str) -> str:
    """Read an address that the kernel printed as a little-endian hexadecimal number."""
    return socket.inet_ntoa(int(text, 16).to_bytes(4, "little"))


def _lines(path: str) -> list[str]:
    with open(path) as file:  # noqa: PTH123 - pathlib is slow to import
        return file.read().splitlines()


def egress(query: dict[str, str]) -> probes.Json:
    """Fetch ``url`` (``timeout``; with ``id_token`` as the service account)."""
    timeout, id_token = _seconds(query, "timeout", 5), bool(query.get("id_token"))
    return probes.egress(_text(query, "url"), timeout, id_token=id_token)


def tcp(query: dict[str, str]) -> probes.Json:
    """Open ``count`` connections to ``host``:``port`` (``hold``, ``timeout``)."""
    host, port = _text(query, "host"), _number(query, "port", 80)
    hold, timeout = _seconds(query, "hold", 0), _seconds(query, "timeout", 5)
    return probes.tcp(host, port, _number(query, "count", 1), hold, timeout)


def udp(query: dict[str, str]) -> probes.Json:
    """Send ``count`` datagrams to ``host``:``port`` (``payload``, ``timeout``)."""
    host, port, count = _text(query, "host"), _number(query, "port", 53), _number(query, "count", 1)
    return probes.udp(host, port, count, query.get("payload", "netcheck"), _seconds(query, "timeout", 2))


def dns(query: dict[str, str]) -> probes.Json:
    """Resolve ``name``."""
    return probes.dns(_text(query, "name"))


def redis(query: dict[str, str]) -> probes.Json:
    """Send ``command`` to the Redis server at ``host``:``port`` (``timeout``)."""
    host, port = _text(query, "host"), _number(query, "port", 6379)
    return probes.redis(host, port, query.get("command", "PING"), _seconds(query, "timeout", 5))


def postgres(query: dict[str, str]) -> probes.Json:
    """Run ``sql`` on the PostgreSQL server at ``host``, an address or the folder of a Unix socket."""
    from fogbank.samples.postgres import Login, ask

    login = Login(
        _text(query, "host"),
        _number(query, "port", 5432),
        query.get("user", "postgres"),
        query.get("password", ""),
        query.get("database", "postgres"),
        tls=query.get("tls") == "1",
    )
    sql, timeout = query.get("sql", "SELECT 1"), _seconds(query, "timeout", 5)
    return probes.measured(lambda: ask(login, sql, timeout))


def sleep(query: dict[str, str]) -> probes.Json:
    """Answer after ``seconds``."""
    seconds = min(_seconds(query, "seconds", 1), _LONGEST_SLEEP)
    time.sleep(seconds)
    return {"ok": True, "slept": seconds}


_PROBES: dict[str, Callable[[dict[str, str]], probes.Json]] = {
    "/info": lambda _query: info(),
    "/egress": egress,
    "/tcp": tcp,
    "/udp": udp,
    "/dns": dns,
    "/redis": redis,
    "/postgres": postgres,
    "/sleep": sleep,
}


def answer(request: SampleRequest) -> SampleResponse:
    """Answer one request; ValueError when a parameter is wrong."""
    if request.path == "/":
        return help_page(request)
    probe = _PROBES.get(request.path)
    if probe is None:
        return SampleResponse(f"There is no {request.path}.\n\n{_HELP}", status=404)
    return SampleResponse(json.dumps(probe(request.query), indent=2) + "\n", "application/json")


def _text(query: dict[str, str], name: str) -> str:
    if not query.get(name):
        raise ValueError(f"the parameter {name} is missing")
    return query[name]


def _number(query: dict[str, str], name: str, default: int) -> int:
    text = query.get(name) or str(default)
    if not text.isdigit() or int(text) > 65535:
        raise ValueError(f"{name} is a number from 0 to 65535")
    return int(text)


def _seconds(query: dict[str, str], name: str, default: float) -> float:
    try:
        seconds = float(query.get(name) or default)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise ValueError(f"{name} is a number of seconds")
    return seconds


def main() -> None:
    """Run the server at ``$PORT``."""
    port = int(os.environ.get("PORT", "8080"))
    server = Server(answer, port)
    say(f"netcheck listens on port {port}")
    server.run()
