"""NAT logs, the mapping API, flow logs and captures at both ends tell the same, connection by connection."""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests import worlds
from tests.dataplane.test_connector_growth import OnlyNetwork
from tests.no_data import NO_DATA
from tests.private_world import Lab
from tests.waiting import wait_until

from fogbank.clock import Clock
from fogbank.control.controller import Runtime
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.lowering.netns_names import instance_netns, site_netns, vpc_netns
from fogbank.network.topology import NetnsName
from fogbank.resources.decisions import Decision
from fogbank.resources.instances import machine_id
from fogbank.resources.log_entries import Search
from fogbank.resources.sites import BUILTIN_SITES
from fogbank.resources.world import Put, World
from fogbank.services.compute.controller.flow_log import FlowLogs
from fogbank.services.compute.controller.nat import CloudNat
from fogbank.services.compute.nat_status import mapping_info
from fogbank.services.contract import Call
from fogbank.store.journal import Journal
from fogbank.store.log_entries import LogEntries
from fogbank.store.store import Store

SITE = BUILTIN_SITES["ifconfig.me"]
VPC = vpc_netns(worlds.network_name())
TCP_CONNECTIONS, UDP_CONNECTIONS = 60, 20
"""Of each machine."""
PORT = 9000
MACHINES = {"one": IPv4Address("10.8.0.5"), "two": IPv4Address("10.9.0.6")}
FLOW_LOGS = {
    "enable": True,
    "aggregationInterval": "INTERVAL_5_SEC",
    "flowSampling": 1.0,
    "metadata": "EXCLUDE_ALL_METADATA",
}

Socket = tuple[str, int]
FiveTuple = tuple[int, Socket, Socket]
"""Protocol, source, destination."""


class Packet(NamedTuple):
    """An IP packet as a capture has it; ``token`` is what a translation leaves as it is."""

    tuple: FiveTuple
    size: int
    token: bytes
    is_first: bool


class Capture:
    """Captures every packet of TCP and UDP that passes the devices of a namespace."""

    def __init__(self, lab: Lab, netns: NetnsName) -> None:
        with lab.driver.namespaces.inside(netns):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 64 * 1024 * 1024)  # SO_RCVBUFFORCE

    def packets(self) -> list[Packet]:
        """Return what was captured, and end."""
        found: list[Packet] = []
        with self._socket, contextlib.suppress(BlockingIOError):
            while True:
                packet = parse(self._socket.recv(65536))
                found += [packet] if packet else []
        return found


def parse(data: bytes) -> Packet | None:
    protocol, head = data[9], (data[0] & 15) * 4
    if data[0] >> 4 != 4 or protocol not in {6, 17}:
        return None
    source_port, destination_port = struct.unpack_from(">HH", data, head)
    source, destination = (socket.inet_ntoa(data[at : at + 4]) for at in (12, 16))
    syn = protocol == 6 and data[head + 13] & 0x12 == 0x02
    token = data[head + 4 : head + 8] if protocol == 6 else data[head + 8 :]
    size = int.from_bytes(data[2:4], "big")
    flow = (protocol, (source, source_port), (destination, destination_port))
    return Packet(flow, size, token, syn or protocol == 17)


def world() -> World:
    return worlds.world(
        worlds.network(),
        worlds.default_route(),
        worlds.subnetwork("front", "10.8.0.0/24", logs=FLOW_LOGS),
        worlds.subnetwork("back", "10.9.0.0/24", logs=FLOW_LOGS),
        worlds.address("origin", "203.0.113.7"),
        worlds.router(
            "router",
            [
                worlds.nat(
                    addresses=["origin"], minPortsPerVm=128, logConfig={"enable": True, "filter": "ALL"}
                )
            ],
        ),
        worlds.machine("one", "10.8.0.5", "front", gateway="10.8.0.1"),
        worlds.machine("two", "10.9.0.6", "back", gateway="10.9.0.1"),
    )


@pytest.mark.netns
def test_what_is_logged_is_what_was_sent_connection_by_connection(lab: Lab, tmp_path: Path) -> None:
    asyncio.run(compare(lab, tmp_path))


async def compare(lab: Lab, folder: Path) -> None:
    made, clock, store = world(), Clock(), Store(Journal(folder / "world.sqlite"))
    logbook = Logbook(folder / "log.jsonl", clock)
    loop = ControlLoop(store, lab.driver, OnlyNetwork(), (), clock)
    logs = LogEntries(None, clock.now)
    runtime = Runtime(
        store, loop, lab.driver, clock, logbook, lambda image, _project: image, NO_DATA, log_entries=logs
    )
    nat, flow_logs = CloudNat(runtime), FlowLogs(runtime)
    changes = tuple(Put(each) for members in made.collections.values() for each in members.values())
    await store.commit(lambda _world: Decision(changes))
    await loop.turn()
    assert loop.explain() == []
    await flow_logs.look()
    places = {
        address: instance_netns(machine_id(made.get(name).id))
        for address, name in ((MACHINES[each.name.id], each.name) for each in made.all("compute.instances"))
    }
    inside = [Capture(lab, netns) for netns in places.values()]
    outside = Capture(lab, site_netns(SITE.host))
    await asyncio.to_thread(send, lab, places)
    clock.advance(timedelta(seconds=5))
    await nat.look()
    await flow_logs.look()
    entries = await read(logs)
    sent = [packet for capture in inside for packet in capture.packets()]
    translated = joined(sent, outside.packets())
    assert len(translated) == len(places) * (TCP_CONNECTIONS + UDP_CONNECTIONS)

    assert nat_log(entries["nat_flows"]) == translated
    logged, captured = flow_log(entries["vpc_flows"]), counted(sent)
    assert {
        key: (logged[key], captured[key])
        for key in logged.keys() | captured.keys()
        if logged[key] != captured[key]
    } == {}
    call = Call(
        "compute.v1.routers.getNatMappingInfo",
        {"project": worlds.P, "region": worlds.R, "router": "router"},
        {},
        "",
        clock.now(),
        lambda: 1,
        loop.observed,
    )
    held = ports(mapping_info(store.world, call))
    assert all((*outer, inner[1][0]) in held for inner, outer in translated.items())
    await logs.close()
    logbook.close()
    await store.close()


def send(lab: Lab, places: dict[IPv4Address, NetnsName]) -> None:
    """Open many connections from each machine, each of which says something and hears it again."""
    site = site_netns(SITE.host)
    with lab.listen(site, SITE.address, PORT), lab.driver.open_socket(site, socket.SOCK_DGRAM) as server:
        server.bind((str(SITE.address), PORT))
        server.settimeout(60)
        for netns in places.values():
            clients = [lab.connect(netns, SITE.address, PORT, timeout=60) for _ in range(TCP_CONNECTIONS)]
            for number, client in enumerate(clients):
                client.sendall(b"x" * (1 + number))
                assert client.recv(1000)
                client.close()
            for number in range(UDP_CONNECTIONS):
                with lab.driver.open_socket(netns, socket.SOCK_DGRAM) as client:
                    client.bind(("", 20_000 + number))  # the kernel might choose one of before
                    client.settimeout(60)
                    client.sendto(f"{netns} {number}".encode(), (str(SITE.address), PORT))
                    server.sendto(b"answer", server.recvfrom(100)[1])
                    assert client.recv(100)
        wait_until(
            lambda: {each.state for each in lab.driver.flows(VPC) if each.protocol == 6} == {"TIME_WAIT"}, 60
        )


def joined(inside: Iterable[Packet], outside: Iterable[Packet]) -> dict[FiveTuple, Socket]:
    """Say which socket the third party saw for each connection, by what no translation changes."""
    seen = {packet.token: packet for packet in outside if packet.is_first and to_site(packet)}
    return {each.tuple: seen[each.token].tuple[1] for each in inside if each.is_first and to_site(each)}


def to_site(packet: Packet) -> bool:
    return packet.tuple[2] == (str(SITE.address), PORT)


def counted(packets: Iterable[Packet]) -> Counter[tuple[str, FiveTuple, str]]:
    found: Counter[tuple[str, FiveTuple, str]] = Counter()
    for packet in packets:
        reporter = "SRC" if to_site(packet) else "DEST"
        found[reporter, packet.tuple, "packets"] += 1
        found[reporter, packet.tuple, "bytes"] += packet.size
    return found


async def read(logs: LogEntries) -> dict[str, list[dict[str, Any]]]:
    """Read the payloads of all entries, by log."""
    found = await logs.search(Search((worlds.P,), lambda _entry: True, 10_000))
    payloads: dict[str, list[dict[str, Any]]] = {}
    for entry in found.entries:
        payloads.setdefault(entry["logName"].rpartition("%2F")[2], []).append(entry["jsonPayload"])
    return payloads


def five(connection: dict[str, Any]) -> FiveTuple:
    source = connection["src_ip"], connection["src_port"]
    return connection["protocol"], source, (connection["dest_ip"], connection["dest_port"])


def nat_log(payloads: Iterable[dict[str, Any]]) -> dict[FiveTuple, Socket]:
    found = {}
    for payload in payloads:
        connection = payload["connection"]
        assert payload["allocation_status"] == "OK"
        assert five(connection) not in found, "one entry for a connection"
        found[five(connection)] = connection["nat_ip"], connection["nat_port"]
    return found


def flow_log(payloads: Iterable[dict[str, Any]]) -> Counter[tuple[str, FiveTuple, str]]:
    found: Counter[tuple[str, FiveTuple, str]] = Counter()
    for payload in payloads:
        for what in ("packets", "bytes"):
            found[payload["reporter"], five(payload["connection"]), what] += int(payload[f"{what}_sent"])
    return found


def ports(clients: Iterable[dict[str, Any]]) -> set[tuple[str, int, str]]:
    """List the external sockets of the mapping API, each with its client's address."""
    found = set()
    for client in clients:
        for mapping in client["interfaceNatMappings"]:
            for text in mapping["natIpPortRanges"]:
                address, _, ends = text.partition(":")
                first, _, last = ends.partition("-")
                found |= {
                    (address, port, mapping["sourceVirtualIp"]) for port in range(int(first), int(last) + 1)
                }
    return found
