"""Links, routes, shapers and listeners with real packets."""

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from tests.private_world import Lab

from fogbank.dataplane.driver import Drifted, Report
from fogbank.dataplane.linux import driver
from fogbank.dataplane.linux.firewall.libnft import Nft
from fogbank.dataplane.linux.net import drift, link_state, rtnetlink
from fogbank.dataplane.linux.net.capture import probe
from fogbank.dataplane.linux.net.drift import DriftWatch
from fogbank.dataplane.linux.net.netlink import NETLINK_ROUTE, Message, Netlink, attribute
from fogbank.dataplane.linux.net.rtnetlink import BURST_BYTES
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
from fogbank.planning.plan import Create, element_of, plan

pytestmark = pytest.mark.netns

A, HUB, SITE = NetnsName("a"), NetnsName("hub"), NetnsName("site")
A_IP, SITE_IP = IPv4Address("10.0.0.1"), IPv4Address("10.0.9.1")
ETH0, LO = DeviceName("eth0"), DeviceName("lo")
GATEWAY, MACHINE = IPv4Address("169.254.1.1"), IPv4Address("169.254.1.2")
ANY = IPv4Network("0.0.0.0/0")


def line(ways: int = 1) -> list[Element]:
    """A and a site, with a hub and as many forwarding machines between them as there are ways."""
    elements: list[Element] = [
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


@pytest.mark.slow(4)
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


@pytest.mark.parametrize("megabits", [100, 20])
def test_a_shaper_holds_its_rate(lab: Lab, megabits: int) -> None:
    """However busy this machine is, no more passes; and when it finds the time, nearly as much does."""
    port, rate = Port(HUB, DeviceName("m0")), megabits * 1_000_000 / 8
    lab.build(*line(), Shaper(port, megabits * 1_000_000))
    full = 0
    with flooded(lab):
        for _ in range(40):
            sent, seconds = passed(lab, port)
            assert sent <= 1.02 * rate * seconds + BURST_BYTES
            full += sent >= 0.85 * rate * seconds
            if full == 3:
                return
    pytest.fail(f"it passed {megabits} Mbit/s in {full} of 40 windows")


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
    far: list[Element] = [
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


def ends_up(lab: Lab, *ports: Port) -> list[bool]:
    """Read who carries packets in the kernel's tables; asking for one interface would bring it up to date."""
    found = []
    for port in ports:
        rows = lab.driver.namespaces.routes(port.netns).dump(rtnetlink.list_links())
        links = {link.name: link.up for link in (rtnetlink.parse_link(payload) for _, payload in rows)}
        found.append(links[port.device])
    return found


def test_a_link_that_was_made_carries_packets_at_once(lab: Lab) -> None:
    link = Link(Port(A, ETH0), Port(HUB, DeviceName("a")))
    for _ in range(20):
        lab.build(NetworkNamespace(A), NetworkNamespace(HUB), link)
        assert ends_up(lab, link.left, link.right) == [True, True]
        lab.build(NetworkNamespace(A), NetworkNamespace(HUB))


def test_a_link_that_does_not_come_up_is_an_error_and_leaves_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Link(Port(A, ETH0), Port(HUB, DeviceName("a")))
    lab.build(NetworkNamespace(A), NetworkNamespace(HUB))
    with monkeypatch.context() as patch:
        patch.setattr(rtnetlink, "set_up", lambda index: rtnetlink.set_mtu(index, 1460))
        patch.setattr(link_state, "UP_SECONDS", 0.05)
        (outcome,) = lab.driver.apply([Create(link)])
    assert str(outcome.error) == "the device eth0 of a did not come up in 0.05 s"
    lab.build(NetworkNamespace(A), NetworkNamespace(HUB), link)


def test_a_link_that_carries_no_packets_any_more_is_made_again(lab: Lab) -> None:
    lab.build(*line())
    index = lab.driver._links_and_routes._devices.index(Port(A, ETH0))
    lab.driver.namespaces.routes(A).ask(make_dormant(index))
    assert ends_up(lab, Port(A, ETH0)) == [False]
    assert Create(Link(Port(A, ETH0), Port(HUB, DeviceName("a")))) in plan(
        lab.driver.observe(), Topology.of(line())
    )
    lab.build(*line())
    with lab.listen(SITE, SITE_IP, 80):
        assert lab.reaches(A, SITE_IP, 80)


def make_dormant(index: int) -> Message:
    """Leave an interface set up, but with the operational state DORMANT (RFC 2863)."""
    operstate, dormant = 16, b"\x05"
    header = struct.pack("=BxHiII", 0, 0, index, 0, 0)
    return Message(rtnetlink.SETLINK, 0, header + attribute(operstate, dormant))


def test_what_others_take_away_is_built_again(lab: Lab) -> None:
    lab.build(*line())
    wanted = Topology.of(line())
    routes = lab.driver.namespaces.routes(HUB)
    routes.ask(rtnetlink.delete_route(IPv4Network(SITE_IP)))
    (lost,) = plan(lab.driver.observe(), wanted)
    assert element_of(lost).key == ("route", HUB, f"{SITE_IP}/32")
    index = lab.driver._links_and_routes._devices.index(Port(A, ETH0))
    lab.driver.namespaces.routes(A).ask(rtnetlink.delete_link(index))
    with lab.driver.namespaces.inside(NetnsName("machine/0")):
        Nft().run(["flush ruleset"])
    lab.build(*line())
    with lab.listen(SITE, SITE_IP, 80) as site:
        assert lab.reaches(A, SITE_IP, 80)
        assert site.first_peer()[0] == "10.0.5.1"


class Looks:
    """Counts the looks for drift; a look is finished when what it found has been reported too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._begun = threading.Semaphore(0)
        monkeypatch.setattr(drift, "LOOK_SECONDS", 0.05)
        monkeypatch.setattr(driver, "DriftWatch", self._watch)

    def _watch(self, reports: select.epoll, look: Callable[[], str | None], report: Report) -> DriftWatch:
        def counted() -> str | None:
            self._begun.release()
            return look()

        return DriftWatch(reports, counted, report)

    def pass_by(self) -> None:
        """Return when a look that began after this call is finished: a third one has begun."""
        while self._begun.acquire(blocking=False):
            pass
        for _ in range(3):
            assert self._begun.acquire(timeout=5)


def test_changes_by_others_are_reported_and_our_own_are_not(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(monkeypatch)
    lab.watches_drift = True
    lab.build(*line(ways=2))
    lab.build(*line(ways=1))
    looks.pass_by()
    assert lab.events == []
    with lab.driver.namespaces.inside(HUB):
        others = Netlink(NETLINK_ROUTE)  # the driver's own is the watch's, and answers go to who reads first
    others.ask(rtnetlink.delete_route(IPv4Network(SITE_IP)))
    looks.pass_by()
    assert set(lab.events) == {Drifted(f"route, {HUB}, {SITE_IP}/32 is gone")}
    lab.build(*line(ways=1))
    looks.pass_by()
    lab.events.clear()
    looks.pass_by()
    assert lab.events == []


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


@contextlib.contextmanager
def flooded(lab: Lab) -> Iterator[None]:
    """Send to the site as fast as it goes."""
    ending = threading.Event()

    def drain(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while connection.recv(1 << 20):
                pass

    def send(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not ending.is_set():
                connection.send(b"x" * 65536)

    with lab.driver.open_socket(SITE, socket.SOCK_STREAM) as server:
        server.bind((str(SITE_IP), 5001))
        server.listen()
        client = lab.connect(A, SITE_IP, 5001)
        accepted, _ = server.accept()
        threads = [
            threading.Thread(target=work, args=(end,), daemon=True)
            for work, end in ((drain, accepted), (send, client))
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ending.set()
            for end in (client, accepted):
                end.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for end in (client, accepted):
                end.close()


def passed(lab: Lab, port: Port) -> tuple[int, float]:
    """Return the bytes that ``port`` sent in some 0.2 s, and the seconds around both readings."""
    began = time.monotonic()
    before = lab.driver.interface_counters(port.netns)[port.device].sent
    time.sleep(0.2)
    sent = lab.driver.interface_counters(port.netns)[port.device].sent - before
    return sent, time.monotonic() - began
