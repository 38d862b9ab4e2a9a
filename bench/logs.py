"""Logs of the network: what an entry costs, from the kernel's report of it to the store.

Two machines open many connections from a process of their own; what is measured is the CPU time that this one
takes for them: reading reports, deciding on first packets (NAT), and writing entries.
"""

import asyncio
import os
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

from tests.logged_network import MACHINES, SITE, LoggedNetwork, logged_network
from tests.private_world import Lab

from bench.private import in_private_world
from bench.table import Aim, Row, compare
from fogbank.network.topology import NetnsName

_LIMIT = "limit"
FLOWS = Aim("flow log records a CPU second", "1/s", ">=", 1, _LIMIT)
FIREWALL = Aim("firewall log entries a CPU second", "1/s", ">=", 1, _LIMIT)
NAT = Aim("NAT log entries a CPU second", "1/s", ">=", 1, _LIMIT)
LOG_AIMS = (FLOWS, FIREWALL, NAT)
_LIMITS = {FLOWS: 10_000.0, FIREWALL: 2_000.0, NAT: 1_000.0}
"""An endpoint logs 100 entries of the firewall or of NAT a second: 20 and 10 of them keep a core busy."""

ROUNDS, CONNECTIONS = 3, 90
"""Connections of each machine in a round: an endpoint logs 100 a second. Flow logs have more."""
MANY = 2_000


def measure_logs(wanted: Sequence[Aim]) -> Iterator[Row]:
    """Measure the wanted rows."""
    figures = in_private_world(_figures)
    for aim in wanted:
        rates = figures[aim.row]
        yield compare(aim, rates, [_LIMITS[aim]] * len(rates))


def _figures() -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory(prefix="fogbank-bench-") as folder:
        return asyncio.run(_rounds(Path(folder)))


async def _rounds(folder: Path) -> dict[str, list[float]]:
    lab = Lab()
    lab.fresh()
    found: dict[str, list[float]] = {aim.row: [] for aim in LOG_AIMS}
    async with logged_network(lab, folder, ports=8192) as network:
        for number in range(ROUNDS):
            await _clear(network)
            send = partial(_to_each_other, lab, network, CONNECTIONS, number)
            found[FIREWALL.row].append(await _rate(network, "firewall", network.firewall_log.look, send))
            send = partial(_to_the_site, lab, network, CONNECTIONS, number)
            found[NAT.row].append(await _rate(network, "nat_flows", network.nat.look, send))
            await _clear(network)
            _to_each_other(lab, network, MANY, number)
            found[FLOWS.row].append(await _rate(network, "vpc_flows", network.flow_logs.look, lambda: None))
    return found


async def _clear(network: LoggedNetwork) -> None:
    """Have a new interval, and nothing of before in it."""
    network.runtime.clock.advance(timedelta(seconds=5))
    for look in (network.firewall_log.look, network.nat.look, network.flow_logs.look):
        await look()


async def _rate(
    network: LoggedNetwork,
    log: str,
    look: Callable[[], Awaitable[object]],
    send: Callable[[], None],
) -> float:
    """Return how many entries a second of CPU time makes."""
    before = len((await network.payloads()).get(log, ()))
    network.runtime.clock.advance(timedelta(seconds=5))
    began = time.process_time()
    send()
    await asyncio.sleep(0.3)  # the kernel gathers reports for a twentieth of a second
    await look()
    await network.runtime.log_entries.flush()
    took = time.process_time() - began
    return (len((await network.payloads()).get(log, ())) - before) / took


def _to_each_other(lab: Lab, network: LoggedNetwork, count: int, number: int) -> None:
    one, two = MACHINES.values()
    _send(lab, network.places[one], str(two), count, number)
    _send(lab, network.places[two], str(one), count, number)


def _to_the_site(lab: Lab, network: LoggedNetwork, count: int, number: int) -> None:
    for netns in network.places.values():
        _send(lab, netns, str(SITE.address), count, number)


def _send(lab: Lab, netns: NetnsName, address: str, count: int, number: int) -> None:
    """Send datagrams from so many ports, in a process of its own."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            for port in range(count):
                with lab.driver.open_socket(netns, socket.SOCK_DGRAM) as client:
                    client.bind(("", 20_000 + number * MANY + port))
                    client.sendto(b"?", (address, 9000))
        os._exit(0)
    os.waitpid(child, 0)
