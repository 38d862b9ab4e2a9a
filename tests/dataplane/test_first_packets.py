"""Translations for which the first packet of each flow is decided on: several ranges, rules, fixed ports."""

import contextlib
import socket
import struct
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from tests.dataplane.vpc import (
    ALICE,
    ALICE_IP,
    ANY,
    BOB,
    BOB_IP,
    EXT,
    GUARDED,
    INTERNET_GATEWAY,
    NAT_IP,
    OTHER_NAT_IP,
    OTHER_SITE_IP,
    ROUTER,
    SITE,
    SITE_IP,
    host,
    nat,
)
from tests.private_world import Lab
from tests.waiting import wait_until

from fogbank.dataplane.driver import FirstPacket
from fogbank.network.topology import (
    DeviceName,
    Hop,
    NatTimeouts,
    PortBlock,
    PortRange,
    Route,
    RouteSelection,
    RoutingTable,
    TranslationRule,
    UnservedClient,
)

pytestmark = pytest.mark.netns

SECOND = PortBlock(OTHER_NAT_IP, PortRange(2048, 2111))
Peer = tuple[str, int]


def datagram_server(lab: Lab, address: IPv4Address, port: int = 53) -> socket.socket:
    server = lab.driver.open_socket(SITE, socket.SOCK_DGRAM)
    server.bind((str(address), port))
    server.settimeout(5)
    return server


def seen(client: socket.socket, server: socket.socket) -> Peer:
    """Send one datagram and return whom the server saw."""
    client.sendto(b"?", server.getsockname())
    data, peer = server.recvfrom(10)
    assert data == b"?"
    return tuple(peer)


def refusals(lab: Lab) -> list[FirstPacket]:
    return [each for each in lab.driver.first_packets(ROUTER) if each.refused]


def test_a_client_of_1024_ports_has_1024_connections_to_one_endpoint_and_no_more(lab: Lab) -> None:
    lab.build(*GUARDED, nat(ports=PortRange(1024, 2047), timeouts=NatTimeouts()))
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(lab.listen(SITE, SITE_IP, 80))
        for _ in range(1024):
            stack.enter_context(lab.connect(ALICE, SITE_IP, 80))
        assert "ports-exhausted" not in lab.driver.drops(ROUTER)
        assert not lab.reaches(ALICE, SITE_IP, 80)
        assert lab.driver.drops(ROUTER)["ports-exhausted"] >= 1, "more when the SYN was sent again"
        wait_until(lambda: len(site.peers) == 1024)
        assert set(site.peers) == {(str(NAT_IP), port) for port in range(1024, 2048)}
        with lab.listen(SITE, SITE_IP, 81):
            assert lab.reaches(ALICE, SITE_IP, 81)
    (refused,) = set(refusals(lab))
    assert (refused.source, refused.destination, refused.destination_port) == (ALICE_IP, SITE_IP, 80)
    assert (refused.protocol, refused.outside, refused.refused) == (6, None, "OUT_OF_RESOURCES")


def test_a_client_with_blocks_on_two_addresses_uses_both_to_the_last_port(lab: Lab) -> None:
    lab.build(*GUARDED, nat(more=(SECOND,), timeouts=NatTimeouts()))
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(lab.listen(SITE, SITE_IP, 80))
        for _ in range(128):
            stack.enter_context(lab.connect(ALICE, SITE_IP, 80))
        assert not lab.reaches(ALICE, SITE_IP, 80)
        wait_until(lambda: len(site.peers) == 128)
        first = {(str(NAT_IP), port) for port in range(1024, 1088)}
        assert set(site.peers) == first | {(str(OTHER_NAT_IP), port) for port in range(2048, 2112)}


def test_udp_and_echo_requests_pass_too(lab: Lab) -> None:
    lab.build(*GUARDED, nat(more=(SECOND,), timeouts=NatTimeouts()))
    with datagram_server(lab, SITE_IP) as server, lab.driver.open_socket(ALICE, socket.SOCK_DGRAM) as client:
        peer = seen(client, server)
        assert seen(client, server) == peer
        client.settimeout(5)
        server.sendto(b"!", peer)
        assert client.recv(10) == b"!"
    with lab.driver.namespaces.inside(ALICE):
        ping = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    ping.settimeout(5)
    ping.sendto(struct.pack(">BBHHH", 8, 0, 0xE5CA, 0x1234, 1), (str(SITE_IP), 0))
    assert ping.recv(100)[20] == 0, "an echo reply"


def test_more_blocks_disturb_nothing_and_fewer_end_only_what_used_them(lab: Lab) -> None:
    lab.build(*GUARDED, nat(ports=PortRange(1024, 1024), timeouts=NatTimeouts()))
    with contextlib.ExitStack() as stack:
        stack.enter_context(lab.listen(SITE, SITE_IP, 80))
        first = stack.enter_context(lab.connect(ALICE, SITE_IP, 80))
        lab.build(*GUARDED, nat(ports=PortRange(1024, 1024), more=(SECOND,), timeouts=NatTimeouts()))
        second = stack.enter_context(lab.connect(ALICE, SITE_IP, 80))
        assert echoes(first)
        assert echoes(second)
        lab.build(*GUARDED, nat(ports=PortRange(1024, 1024), timeouts=NatTimeouts()))
        assert echoes(first)
        assert not echoes(second, within=0.4)


def echoes(connection: socket.socket, within: float = 5.0) -> bool:
    connection.settimeout(within)
    try:
        connection.sendall(b"hello")
        return connection.recv(100) == b"hello"
    except OSError:
        return False


def test_rules_choose_the_address_by_destination_and_one_without_ports_lets_nothing_out(lab: Lab) -> None:
    third = TranslationRule(7, (host(IPv4Address("192.0.2.3")),))
    rules = (TranslationRule(5, (host(OTHER_SITE_IP),), (SECOND,)), third)
    lab.build(*GUARDED, nat(rules=rules, timeouts=NatTimeouts()))
    with lab.listen(SITE, SITE_IP, 80) as site, lab.listen(SITE, OTHER_SITE_IP, 80) as other:
        assert lab.reaches(ALICE, SITE_IP, 80)
        assert lab.reaches(ALICE, OTHER_SITE_IP, 80)
        wait_until(lambda: bool(site.peers and other.peers))
    assert {address for address, _ in site.peers} == {str(NAT_IP)}
    assert {address for address, _ in other.peers} == {str(OTHER_NAT_IP)}
    assert not lab.reaches(ALICE, "192.0.2.3", 80)
    assert {each.destination for each in refusals(lab)} == {IPv4Address("192.0.2.3")}


def test_an_endpoint_independent_socket_keeps_its_port_for_every_destination(lab: Lab) -> None:
    lab.build(*GUARDED, nat(endpoint_independent=True, timeouts=NatTimeouts()))
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(datagram_server(lab, address, port))
            for address, port in ((SITE_IP, 53), (SITE_IP, 54), (OTHER_SITE_IP, 53))
        ]
        for _ in range(10):
            client = stack.enter_context(lab.driver.open_socket(ALICE, socket.SOCK_DGRAM))
            assert len({seen(client, server) for server in servers}) == 1


def test_two_endpoint_independent_sockets_on_one_port_cannot_both_reach_one_endpoint(lab: Lab) -> None:
    lab.build(*GUARDED, nat(ports=PortRange(1024, 1024), endpoint_independent=True, timeouts=NatTimeouts()))
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(datagram_server(lab, SITE_IP))
        two = stack.enter_context(datagram_server(lab, OTHER_SITE_IP))
        first, second = (
            stack.enter_context(lab.driver.open_socket(ALICE, socket.SOCK_DGRAM)) for _ in range(2)
        )
        assert seen(first, one) == seen(second, two) == (str(NAT_IP), 1024)
        second.sendto(b"?", one.getsockname())
        wait_until(lambda: bool(lab.driver.drops(ROUTER).get("ports-exhausted")))
        (refused,) = refusals(lab)
        assert (refused.refused, refused.destination) == ("ENDPOINT_INDEPENDENCE_CONFLICT", SITE_IP)
        # A mapping ends with the last flow that has it.
        lab.driver.advance_conntrack_timeouts(30)
        assert seen(second, one) == (str(NAT_IP), 1024)


def test_what_is_logged_is_what_third_parties_saw(lab: Lab) -> None:
    lab.build(*GUARDED, nat(ports=PortRange(1024, 1025), logged=True, timeouts=NatTimeouts()))
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(lab.listen(SITE, SITE_IP, 80))
        for _ in range(2):
            stack.enter_context(lab.connect(ALICE, SITE_IP, 80))
        assert not lab.reaches(ALICE, SITE_IP, 80)
        wait_until(lambda: len(site.peers) == 2)
        records = lab.driver.first_packets(ROUTER)
        tracked = {(f.source_port, f.translated_source, f.translated_port) for f in lab.driver.flows(ROUTER)}
    passed = [each for each in records if each.outside]
    assert {(str(each.outside[0]), each.outside[1]) for each in passed if each.outside} == set(site.peers)
    assert {(each.source_port, *each.outside) for each in passed if each.outside} == tracked
    assert {each.refused for each in records if not each.outside} == {"OUT_OF_RESOURCES"}


def test_a_client_without_ports_sends_nothing_and_the_drop_says_why(lab: Lab) -> None:
    lab.build(*GUARDED, nat(), UnservedClient(ROUTER, EXT, host(BOB_IP)))
    with lab.listen(SITE, SITE_IP, 80):
        assert not lab.reaches(BOB, SITE_IP, 80)
        assert lab.reaches(ALICE, SITE_IP, 80)
        assert lab.driver.drops(ROUTER)["nat-allocation-failed"] >= 1
        lab.build(*GUARDED, nat(), nat(BOB_IP, ports=PortRange(1088, 1151)))
        assert lab.reaches(BOB, SITE_IP, 80)


def test_a_first_packet_takes_the_routes_of_its_own_client(lab: Lab) -> None:
    device = DeviceName(str(ALICE_IP))
    own = (
        RoutingTable(ROUTER, 5000),
        Route(ROUTER, ANY, (Hop(EXT, INTERNET_GATEWAY),), table=5000),
        RouteSelection(ROUTER, device, 5000),
        Route(ROUTER, host(SITE_IP), ()),
    )
    lab.build(*GUARDED, *own, nat(more=(SECOND,), timeouts=NatTimeouts()))
    with lab.listen(SITE, SITE_IP, 80):
        assert lab.reaches(ALICE, SITE_IP, 80)
        assert not lab.reaches(BOB, SITE_IP, 80)


def test_a_connection_that_ended_keeps_its_port_in_every_range(lab: Lab) -> None:
    blocks = (PortBlock(OTHER_NAT_IP, PortRange(2048, 2048)),)
    lab.build(*GUARDED, nat(ports=PortRange(1024, 1024), more=blocks, timeouts=NatTimeouts()))
    with lab.listen(SITE, SITE_IP, 80):
        for _ in range(2):
            connection = lab.connect(ALICE, SITE_IP, 80)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
            connection.close()
        assert not lab.reaches(ALICE, SITE_IP, 80)
        lab.driver.advance_conntrack_timeouts(120)
        assert lab.reaches(ALICE, SITE_IP, 80)


def test_clients_that_change_their_ports_for_one_another_s_can_use_them(lab: Lab) -> None:
    first, second = PortRange(1024, 2047), PortRange(2048, 3071)
    alice, bob = (nat(each, ports=None, timeouts=NatTimeouts()) for each in (ALICE_IP, BOB_IP))
    lab.build(*GUARDED, replace(alice, ports=first), replace(bob, ports=second))
    lab.build(*GUARDED, replace(alice, ports=second), replace(bob, ports=first))
    with lab.listen(SITE, SITE_IP, 80) as site:
        for client in (ALICE, BOB):
            lab.connect(client, SITE_IP, 80).close()
        wait_until(lambda: len(site.peers) == 2, 60)
    assert [second.first <= port <= second.last for _, port in site.peers] == [True, False]
    lab.build(*GUARDED)
    assert not lab.reaches(BOB, SITE_IP, 80)
