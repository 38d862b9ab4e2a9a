"""Probes: find out when a container listens, and when one that did is alive no more.

Of a start Google asks once per period; we ask far more often within the same total time, because a start
that succeeds early is what everybody waits for. The verdict is the same.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import IPv4Address

from fogbank.errors import DriverError
from fogbank.network.topology import NetnsName
from fogbank.resources.run_containers import ContainerProbe

OpenSocket = Callable[[NetnsName, socket.SocketKind], socket.socket]

SHORTEST_PAUSE = 0.003
LONGEST_PAUSE = 0.1
PATIENCE = 0.1
"""Seconds between two attempts: this share of the time that has passed, within the two limits. So a start
seems at most so much longer than it is, and a slow one costs few attempts."""


def allowed_seconds(probe: ContainerProbe) -> float:
    """Return how long a container has to pass ``probe``."""
    return probe.initial_delay + probe.period * (probe.failure_threshold - 1) + probe.timeout


async def passes(
    probe: ContainerProbe, netns: NetnsName, address: IPv4Address, open_socket: OpenSocket
) -> bool:
    """Ask the container at ``address`` from ``netns`` until it passes ``probe`` or its time is over."""
    now = asyncio.get_running_loop().time
    started = now()
    try:
        async with asyncio.timeout(allowed_seconds(probe)):
            while not await _attempt(probe, netns, address, open_socket):
                pause = (now() - started) * PATIENCE
                await asyncio.sleep(min(max(pause, SHORTEST_PAUSE), LONGEST_PAUSE))
    except TimeoutError:
        return False
    return True


async def fails(
    probe: ContainerProbe,
    netns: NetnsName,
    address: IPv4Address,
    open_socket: OpenSocket,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Return when a container that runs has failed ``probe`` as often in a row as it may."""
    await sleep(probe.initial_delay)
    failures = 0
    while failures < probe.failure_threshold:
        await sleep(probe.period)
        failures = 0 if await _attempt(probe, netns, address, open_socket) else failures + 1


async def follow(
    probe: ContainerProbe,
    netns: NetnsName,
    address: IPv4Address,
    open_socket: OpenSocket,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[bool]:
    """Say again and again whether a container passes ``probe``: at first, and whenever that changes.

    One success is enough until it has failed as often in a row as it may; from then on it must pass as often
    in a row as ``success_threshold`` says.
    """
    await sleep(probe.initial_delay)
    said: bool | None = None
    last, times = False, 0
    while True:
        passed = await _attempt(probe, netns, address, open_socket)
        times = times + 1 if passed is last else 1
        last = passed
        successes = probe.success_threshold if said is False else 1
        enough = times >= (successes if passed else probe.failure_threshold)
        if enough and passed is not said:
            said = passed
            yield passed
        await sleep(probe.period)


async def _attempt(
    probe: ContainerProbe, netns: NetnsName, address: IPv4Address, open_socket: OpenSocket
) -> bool:
    try:
        with open_socket(netns, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            async with asyncio.timeout(max(probe.timeout, 1)):
                await asyncio.get_running_loop().sock_connect(connection, (str(address), probe.port))
                match probe.kind:
                    case "tcp":
                        return True
                    case "http":
                        return await _answers(probe, connection, address)
                    case "grpc":
                        from fogbank.control.grpc_health import is_serving

                        return await is_serving(connection, f"{address}:{probe.port}", probe.service)
    except (OSError, TimeoutError, DriverError):
        return False


def probe_request(probe: ContainerProbe, address: IPv4Address) -> bytes:
    """Write the request of an HTTP probe with its headers; a host of theirs replaces the address."""
    given = {name.lower() for name, _ in probe.headers}
    host = () if "host" in given else (("Host", f"{address}:{probe.port}"),)
    lines = (*host, *probe.headers, ("Connection", "close"))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return f"GET {probe.path} HTTP/1.1\r\n{head}\r\n".encode()


async def _answers(probe: ContainerProbe, connection: socket.socket, address: IPv4Address) -> bool:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, probe_request(probe, address))
    answer = b""
    while b"\r\n" not in answer and (more := await loop.sock_recv(connection, 512)):
        answer += more
    status = answer.partition(b"\r\n")[0].split(b" ")
    # 200 to 399 passes (behaviour/cloud-run.md#deployment)
    return len(status) > 1 and status[1].isdigit() and 200 <= int(status[1]) < 400
