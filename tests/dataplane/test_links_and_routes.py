"""Links, routes, shapers and listeners with real packets."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from tests.private_world import Lab

from fogbank.dataplane.driver import Drifted
from fogbank.dataplane.linux.firewall.libnft import Nft
from fogbank.dataplane.linux.net import rtnetlink
from fogbank.dataplane.linux.net.capture import probe
from fogbank.network.topology import (
    Address,
    DeviceName,
    Element,
    Hop,
    Link,
    Listener,
    NetnsName,
    NetworkNamespace,
    Port,
    Route,
    Shaper,
    SourceNat,
    Topology,
    namespaces_of,
)
from fogbank.planning.plan import plan

pytestmark = pytest.mark.netns

A, HUB, SITE = NetnsName("a"), NetnsName("hub"), NetnsName("site")
A_IP, SITE_IP = IPv4Address("10.0.0.1"), IPv4Address("10.0.9.1")
ETH0, LO = DeviceName("eth0"), DeviceName("lo")
GATEWAY, MACHINE = IPv4Address("169.254.1.1"), IPv4Address("169.254.1.2")
ANY = IPv4Network("0.0.0.0/0")


def line(ways: int = 1) -> list[Element]:
    """A and a site, with a hub and as many forwarding machines between them as there are ways."""
    elements = [
        NetworkNamespace(A),
        NetworkNamespace(HUB, forwards=True),
        NetworkNamespace(SITE),
        Link(Port(A, ETH0), Port(HUB, DeviceName("a"))),
        Address(Port(A, ETH0), IPv4Interface(A_IP)),
        Address(Port(SITE, LO), IPv4Interface(SITE_IP)),
        Address(Port(HUB, LO), IPv4Interface(GATEWAY)),
        Route(A, ANY, (Hop(ETH0, GATEWAY),), A_IP),
        Route(HUB, IPv4Network(A_IP), (Hop(DeviceName("a")),)),
        Route(HUB, IPv4Network(SITE_IP), tuple(Hop(DeviceName(f"m{n}"), MACHINE) for n in range(ways))),
    ]
    for n in range(ways):
        netns, inner = NetnsName(f"machine/{n}"), IPv4Address(f"10.0.5.{n + 1}")
        west, east = Port(netns, DeviceName("west")), Port(netns, DeviceName("east"))
        at_site = DeviceName(f"m{n}")
        elements += [
            NetworkNamespace(netns, forwards=True),
            Link(Port(HUB, DeviceName(f"m{n}")), west),
            Link(Port(SITE, at_site), east),
            Address(Port(netns, LO), IPv4Interface(MACHINE)),
            Address(Port(netns, LO), IPv4Interface(inner)),
            Route(netns, IPv4Network(SITE_IP), (Hop(DeviceName("east")),)),
            Route(netns, IPv4Network(A_IP), (Hop(DeviceName("west"), GATEWAY),)),
            SourceNat(netns, DeviceName("east"), IPv4Network("10.0.0.0/24"), inner),
            Route(SITE, IPv4Network(inner), (Hop(at_site),)),
        ]
    return elements


def test_flows_spread_over_equal_ways_and_each_keeps_its_own(lab: Lab) -> None:
    lab.build(*line(ways=3))
    with lab.listen(SITE, SITE_IP, 80) as site:
        connections = [lab.connect(A, SITE_IP, 80) for _ in range(30)]
        for connection in connections:
            connection.sendall(b"hello")
            assert connection.recv(10) == b"hello"
    counts = [sum(address == f"10.0.5.{n + 1}" for address, _ in site.peers) for n in range(3)]
    assert sum(counts) == 30
    assert min(counts) >= 1


def test_what_is_sent_again_takes_the_same_way(lab: Lab) -> None:
    machines = [NetnsName(f"machine/{n}") for n in range(4)]
    onward = [element for element in line(ways=4) if element.key[:2] not in {("route", m) for m in machines}]
    lab.build(*onward, *(Route(machine, ANY, ()) for machine in machines))

    def ways_taken(_number: int) -> set[NetnsName]:
        # Requests are sent again after one second, and after three.
        sent = probe(lab.driver.namespaces, A, SITE_IP, 80, watch=machines, seconds=3.3)
        assert sent.verdict == "timeout"
        return {packet.netns for packet in sent.captured_packets if packet.netns in machines}

    with ThreadPoolExecutor(8) as several:
        taken = list(several.map(ways_taken, range(8)))
    assert [len(each) for each in taken] == [1] * 8
    assert len(set.union(*taken)) > 1


def test_a_route_without_hops_swallows_silently(lab: Lab) -> None:
    lab.build(*line(), Route(HUB, IPv4Network("10.0.9.0/24"), ()))
    started = time.monotonic()
    assert not lab.reaches(A, "10.0.9.77", 80, timeout=0.4)
    assert time.monotonic() - started >= 0.4, "a timeout, not a refusal"
    with lab.listen(SITE, SITE_IP, 80):
        assert lab.reaches(A, SITE_IP, 80)


def test_a_shaper_holds_its_rate(lab: Lab) -> None:
    lab.build(*line(), Shaper(Port(HUB, DeviceName("m0")), 100_000_000))
    megabits = upload(lab, seconds=1.0)
    assert 85 <= megabits <= 115, f"{megabits:.0f} Mbit/s"
    lab.build(*line(), Shaper(Port(HUB, DeviceName("m0")), 20_000_000))
    megabits = upload(lab, seconds=1.0)
    assert 5 <= megabits <= 28, f"{megabits:.0f} Mbit/s"


def test_changes_are_made_in_place(lab: Lab) -> None:
    lab.build(*line(ways=2))
    with lab.listen(SITE, SITE_IP, 80):
        connection = lab.connect(A, SITE_IP, 80)
        larger = [replace(e, mtu=9000) if isinstance(e, Link) else e for e in line(ways=2)]
        lab.build(*larger, Shaper(Port(A, ETH0), 1_000_000_000))
        connection.sendall(b"hello")
        assert connection.recv(10) == b"hello"
        lab.build(*line(ways=1))
        assert lab.reaches(A, SITE_IP, 80)


def test_a_link_may_lead_elsewhere(lab: Lab) -> None:
    lab.build(*line())
    other = NetnsName("other")
    moved = [e for e in line() if not (isinstance(e, Link) and e.left == Port(A, ETH0))]
    moved = [e for e in moved if e != Route(HUB, IPv4Network(A_IP), (Hop(DeviceName("a")),))]
    far = [
        NetworkNamespace(other, forwards=True),
        Link(Port(A, ETH0), Port(other, DeviceName("a"))),
        Address(Port(other, LO), IPv4Interface(GATEWAY)),
        Address(Port(other, LO), IPv4Interface("10.0.7.1/32")),
        Route(other, IPv4Network(A_IP), (Hop(DeviceName("a")),)),
    ]
    lab.build(*moved, *far)
    with lab.listen(other, "10.0.7.1", 80):
        assert lab.reaches(A, "10.0.7.1", 80)
    lab.build(*line())
    with lab.listen(SITE, SITE_IP, 80):
        assert lab.reaches(A, SITE_IP, 80)


def test_a_namespace_that_goes_frees_its_names_at_once(lab: Lab) -> None:
    for _ in range(5):
        lab.build(*line())
        with lab.listen(SITE, SITE_IP, 80):
            assert lab.reaches(A, SITE_IP, 80)
        rest = {A}
        lab.build(*(e for e in line() if not touches(e, rest)))


def test_what_others_take_away_is_built_again(lab: Lab) -> None:
    lab.build(*line())
    wanted = Topology.of(line())
    routes = lab.driver.namespaces.routes(HUB)
    routes.ask(rtnetlink.delete_route(IPv4Network(SITE_IP)))
    (lost,) = plan(lab.driver.observe(), wanted)
    assert lost.element.key == ("route", HUB, f"{SITE_IP}/32")
    index = lab.driver._links_and_routes._indexes[Port(A, ETH0)]
    lab.driver.namespaces.routes(A).ask(rtnetlink.delete_link(index))
    with lab.driver.namespaces.inside(NetnsName("machine/0")):
        Nft().run(["flush ruleset"])
    lab.build(*line())
    with lab.listen(SITE, SITE_IP, 80) as site:
        assert lab.reaches(A, SITE_IP, 80)
        time.sleep(0.05)
        assert site.peers[0][0] == "10.0.5.1"


def test_changes_by_others_are_reported_and_our_own_are_not(lab: Lab) -> None:
    lab.watches_drift = True
    lab.build(*line(ways=2))
    lab.build(*line(ways=1))
    time.sleep(0.3)
    assert lab.events == []
    lab.driver.namespaces.routes(HUB).ask(rtnetlink.delete_route(IPv4Network(SITE_IP)))
    time.sleep(0.3)
    assert [type(event) for event in lab.events] == [Drifted]
    lab.build(*line(ways=1))
    time.sleep(0.3)
    assert len(lab.events) == 1


def test_a_listener_is_a_socket_in_its_namespace(lab: Lab) -> None:
    listener = Listener(SITE, SITE_IP, 53, "udp", "resolver")
    lab.build(*line(), listener)
    server = lab.served[listener.key]
    client = lab.driver.open_socket(A, socket.SOCK_DGRAM)
    client.settimeout(1)
    client.connect((str(SITE_IP), 53))
    client.send(b"question")
    server.settimeout(1)
    question, peer = server.recvfrom(100)
    server.sendto(b"answer", peer)
    assert (question, client.recv(100)) == (b"question", b"answer")
    lab.build(*line())
    assert lab.served == {}


def touches(element: Element, namespaces: set[NetnsName]) -> bool:
    return not namespaces.isdisjoint(namespaces_of(element)) or (
        isinstance(element, Route) and Hop(DeviceName("a")) in element.hops
    )


def upload(lab: Lab, seconds: float) -> float:
    """Send as fast as it goes and give the rate at which the other side received, in Mbit/s."""
    received = 0

    def drain(connection: socket.socket) -> None:
        nonlocal received
        while data := connection.recv(1 << 20):
            received += len(data)

    server = lab.driver.open_socket(SITE, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((str(SITE_IP), 5001))
    server.listen()
    client = lab.connect(A, SITE_IP, 5001)
    accepted, _ = server.accept()
    thread = threading.Thread(target=drain, args=(accepted,), daemon=True)
    thread.start()
    client.settimeout(None)
    block = b"x" * 65536
    send_until(client, block, time.monotonic() + 0.3)  # past the bucket's first burst
    before, started = received, time.monotonic()
    send_until(client, block, started + seconds)
    rate = (received - before) * 8 / (time.monotonic() - started) / 1e6
    client.close()
    server.close()
    return rate


def send_until(client: socket.socket, block: bytes, deadline: float) -> None:
    while time.monotonic() < deadline:
        client.send(block)
