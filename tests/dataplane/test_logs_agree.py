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
from tests.logged_network import SITE, SITE_NETNS, VPC, LoggedNetwork, logged_network
from tests.private_world import Lab
from tests.waiting import wait_until

from fogbank.network.topology import NetnsName
from fogbank.services.compute.nat_status import mapping_info
from fogbank.services.contract import Call

TCP_CONNECTIONS, UDP_CONNECTIONS = 60, 20
"""Of each machine."""
PORT = 9000

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


@pytest.mark.netns
def test_what_is_logged_is_what_was_sent_connection_by_connection(lab: Lab, tmp_path: Path) -> None:
    asyncio.run(compare(lab, tmp_path))


async def compare(lab: Lab, folder: Path) -> None:
    async with logged_network(lab, folder) as network:
        await compare_in(lab, network)


async def compare_in(lab: Lab, network: LoggedNetwork) -> None:
    runtime, places = network.runtime, network.places
    inside = [Capture(lab, netns) for netns in places.values()]
    outside = Capture(lab, SITE_NETNS)
    await asyncio.to_thread(send, lab, places)
    runtime.clock.advance(timedelta(seconds=5))
    await network.nat.look()
    await network.flow_logs.look()
    entries = await network.payloads()
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
        runtime.clock.now(),
        lambda: 1,
        runtime.loop.observed,
    )
    held = ports(mapping_info(runtime.store.world, call))
    assert all((*outer, inner[1][0]) in held for inner, outer in translated.items())


def send(lab: Lab, places: dict[IPv4Address, NetnsName]) -> None:
    """Open many connections from each machine, each of which says something and hears it again."""
    with (
        lab.listen(SITE_NETNS, SITE.address, PORT),
        lab.driver.open_socket(SITE_NETNS, socket.SOCK_DGRAM) as server,
    ):
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
