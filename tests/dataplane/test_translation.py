"""Source NAT, as third parties and clients see it."""

import contextlib
import socket

import pytest
from tests.dataplane.vpc import (
    ALICE,
    ALICE_IP,
    BOB,
    BOB_IP,
    GUARDED,
    NAT_IP,
    OTHER_NAT_IP,
    OTHER_SITE_IP,
    ROUTER,
    SITE,
    SITE_IP,
    nat,
)
from tests.private_world import Lab
from tests.waiting import wait_until

from fogbank.network.topology import NatTimeouts, PortRange

pytestmark = pytest.mark.netns


def test_a_third_party_sees_the_nat_address_and_a_port_of_the_block(lab: Lab) -> None:
    lab.build(*GUARDED, nat(), nat(BOB_IP, ports=PortRange(1088, 1151)))
    with lab.listen(SITE, SITE_IP, 80) as site:
        for _ in range(3):
            assert lab.reaches(ALICE, SITE_IP, 80)
            assert lab.reaches(BOB, SITE_IP, 80)
        wait_until(lambda: len(site.peers) == 6)
    assert {address for address, _ in site.peers} == {str(NAT_IP)}
    assert all(1024 <= port <= 1087 for _, port in site.peers[0::2])
    assert all(1088 <= port <= 1151 for _, port in site.peers[1::2])


def test_without_translation_nothing_leaves_and_the_drop_is_counted(lab: Lab) -> None:
    lab.build(*GUARDED)
    with lab.listen(SITE, SITE_IP, 80), lab.listen(BOB, BOB_IP, 80):
        assert not lab.reaches(ALICE, SITE_IP, 80)
        assert lab.reaches(ALICE, BOB_IP, 80)
    assert lab.driver.drops(ROUTER)["no-nat"] >= 1


def test_the_65th_connection_to_one_endpoint_is_dropped_and_counted_while_others_work(lab: Lab) -> None:
    lab.build(*GUARDED, nat())
    with contextlib.ExitStack() as stack:
        sites = [
            stack.enter_context(lab.listen(SITE, address, port))
            for address, port in ((SITE_IP, 80), (SITE_IP, 81), (OTHER_SITE_IP, 80))
        ]
        for _ in range(64):
            stack.enter_context(lab.connect(ALICE, SITE_IP, 80))
        assert "ports-exhausted" not in lab.driver.drops(ROUTER)
        assert not lab.reaches(ALICE, SITE_IP, 80)
        assert lab.driver.drops(ROUTER)["ports-exhausted"] == 1
        for address, port in ((SITE_IP, 81), (OTHER_SITE_IP, 80)):
            for _ in range(64):
                stack.enter_context(lab.connect(ALICE, address, port))
            assert not lab.reaches(ALICE, address, port)
        assert lab.driver.drops(ROUTER)["ports-exhausted"] == 3
        wait_until(lambda: [len(site.peers) for site in sites] == [64, 64, 64])
        assert {port for _, port in sites[0].peers} == set(range(1024, 1088))
        assert len(lab.driver.flows(ROUTER)) == 3 * 64


def test_the_65th_udp_flow_to_one_endpoint_is_dropped_too(lab: Lab) -> None:
    lab.build(*GUARDED, nat(timeouts=NatTimeouts()))
    server = lab.driver.open_socket(SITE, socket.SOCK_DGRAM)
    server.bind((str(SITE_IP), 53))
    server.settimeout(0.3)
    clients = [lab.driver.open_socket(ALICE, socket.SOCK_DGRAM) for _ in range(66)]
    peers = set()
    for client in clients:
        client.sendto(b"?", (str(SITE_IP), 53))
        with contextlib.suppress(TimeoutError):
            peers.add(server.recvfrom(10)[1])
    assert peers == {(str(NAT_IP), port) for port in range(1024, 1088)}
    assert lab.driver.drops(ROUTER)["ports-exhausted"] == 2


def test_a_connection_in_time_wait_keeps_its_port(lab: Lab) -> None:
    lab.build(*GUARDED, nat(timeouts=NatTimeouts()))
    with lab.listen(SITE, SITE_IP, 80):
        for connection in [lab.connect(ALICE, SITE_IP, 80) for _ in range(64)]:
            close(connection)
        refused = [lab.reaches(ALICE, SITE_IP, 80, timeout=0.2) for _ in range(8)]
        assert refused == [False] * 8
    assert lab.driver.drops(ROUTER)["ports-exhausted"] == 8
    assert all(110 <= entry.seconds <= 120 for entry in lab.driver._rulesets.flows(ROUTER))
    # A last acknowledgement sent twice is answered by a reset: that changes the state, not the time.
    assert {flow.state for flow in lab.driver.flows(ROUTER)} <= {"TIME_WAIT", "CLOSE"}


def test_a_connection_in_time_wait_frees_its_port_when_its_time_is_over(lab: Lab) -> None:
    lab.build(*GUARDED, nat(ports=PortRange(1024, 1025), timeouts=NatTimeouts(tcp_time_wait=60)))
    with lab.listen(SITE, SITE_IP, 80):
        for _ in range(2):
            # The second may choose the first one's port and must then send its SYN again, one second later
            # and two more: less than the first one's port is held.
            close(lab.connect(ALICE, SITE_IP, 80, timeout=5))
        wait_until(lambda: {flow.state for flow in lab.driver.flows(ROUTER)} == {"TIME_WAIT"})
        assert 40 <= time_left(lab, socket.IPPROTO_TCP, 80) <= 60
        assert not lab.reaches(ALICE, SITE_IP, 80, timeout=0.2)
        lab.driver.advance_conntrack_timeouts(60)
        assert lab.reaches(ALICE, SITE_IP, 80)


def test_time_that_passes_frees_the_ports_that_were_kept_so_long(lab: Lab) -> None:
    lab.build(*GUARDED, nat(ports=PortRange(1024, 1025), timeouts=NatTimeouts()))
    with lab.listen(SITE, SITE_IP, 80):
        for _ in range(2):
            close(lab.connect(ALICE, SITE_IP, 80, timeout=5))
        wait_until(lambda: {flow.state for flow in lab.driver.flows(ROUTER)} == {"TIME_WAIT"})
        lab.driver.advance_conntrack_timeouts(60)
        assert not lab.reaches(ALICE, SITE_IP, 80, timeout=0.2), "a minute is left"
        lab.driver.advance_conntrack_timeouts(60)
        assert lab.reaches(ALICE, SITE_IP, 80)
    assert lab.driver._rulesets.detect_drift() is None


def test_time_that_passes_ends_idle_connections_without_a_word_and_leaves_the_others_less(lab: Lab) -> None:
    lab.build(*GUARDED, nat(timeouts=NatTimeouts()))
    with lab.listen(SITE, SITE_IP, 80):
        connection = lab.connect(ALICE, SITE_IP, 80)
        lab.driver.advance_conntrack_timeouts(600)
        assert 580 <= time_left(lab, socket.IPPROTO_TCP, 80) <= 600
        connection.sendall(b"still here")
        assert connection.recv(20) == b"still here"
        lab.driver.advance_conntrack_timeouts(1200)
        assert lab.driver.flows(ROUTER) == ()
        connection.settimeout(0.5)
        connection.sendall(b"anybody?")
        with pytest.raises(TimeoutError):
            connection.recv(20)


def test_the_five_timeouts_are_those_of_the_kernel(lab: Lab) -> None:
    timeouts = NatTimeouts(udp=40, icmp=60, tcp_established=1200, tcp_transitory=80, tcp_time_wait=120)
    lab.build(*GUARDED, nat(timeouts=timeouts))
    with lab.listen(SITE, SITE_IP, 80):
        connection = lab.connect(ALICE, SITE_IP, 80)
        assert 1190 <= time_left(lab, socket.IPPROTO_TCP, 80) <= 1200
        close(connection)
    wait_until(lambda: 110 <= time_left(lab, socket.IPPROTO_TCP, 80) <= 120)

    half_open = lab.driver.open_socket(ALICE, socket.SOCK_STREAM)
    half_open.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        half_open.connect(("192.0.2.99", 81))  # nobody is there
    wait_until(lambda: 70 <= time_left(lab, socket.IPPROTO_TCP, 81) <= 80)

    lab.driver.open_socket(ALICE, socket.SOCK_DGRAM).sendto(b"?", (str(SITE_IP), 53))
    wait_until(lambda: 30 <= time_left(lab, socket.IPPROTO_UDP, 53) <= 40)

    with lab.driver.namespaces.inside(ALICE):
        ping = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    ping.sendto(b"\x08\x00\xe5\xca\x12\x34\x00\x01", ("192.0.2.99", 0))
    wait_until(lambda: 50 <= time_left(lab, socket.IPPROTO_ICMP, 0) <= 60)
    (echo,) = (flow for flow in lab.driver.flows(ROUTER) if flow.protocol == socket.IPPROTO_ICMP)
    assert (echo.source_port, echo.translated_source) == (0x1234, NAT_IP)


def test_a_removed_translation_cuts_live_connections_and_others_go_on(lab: Lab) -> None:
    bob = nat(BOB_IP, ports=PortRange(1088, 1151))
    lab.build(*GUARDED, nat(), bob)
    with lab.listen(SITE, SITE_IP, 80):
        cut, kept = lab.connect(ALICE, SITE_IP, 80), lab.connect(BOB, SITE_IP, 80)
        assert said(cut) == said(kept) == b"hello"
        lab.build(*GUARDED, bob)
        assert said(kept) == b"hello"
        assert said(cut) is None


def test_more_ports_disturb_nothing_and_another_address_ends_the_old_flows(lab: Lab) -> None:
    lab.build(*GUARDED, nat())
    with lab.listen(SITE, SITE_IP, 80) as site:
        first = lab.connect(ALICE, SITE_IP, 80)
        lab.build(*GUARDED, nat(ports=PortRange(1024, 1151)))
        assert said(first) == b"hello"
        lab.build(*GUARDED, nat(outside=OTHER_NAT_IP))
        assert said(first) is None
        assert said(lab.connect(ALICE, SITE_IP, 80)) == b"hello"
    assert [address for address, _ in site.peers] == [str(NAT_IP), str(OTHER_NAT_IP)]


def test_nobody_outside_opens_a_connection_to_the_nat_address(lab: Lab) -> None:
    lab.build(*GUARDED, nat())
    with lab.listen(ALICE, ALICE_IP, 80):
        assert not lab.reaches(SITE, NAT_IP, 80)
        assert not lab.reaches(SITE, NAT_IP, 1024)
    assert lab.driver.drops(ROUTER)["inbound"] >= 2


def test_a_translation_without_ports_uses_the_address_alone(lab: Lab) -> None:
    lab.build(*GUARDED, nat(ports=None))
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(lab.listen(SITE, SITE_IP, 80))
        for _ in range(100):
            stack.enter_context(lab.connect(ALICE, SITE_IP, 80))
        wait_until(lambda: len(site.peers) == 100)
    assert {address for address, _ in site.peers} == {str(NAT_IP)}


def said(connection: socket.socket) -> bytes | None:
    """Say hello and give the echo, or None when nothing comes back."""
    connection.settimeout(0.4)
    try:
        connection.sendall(b"hello")
        return connection.recv(100)
    except OSError:
        return None


def close(connection: socket.socket) -> None:
    """Close first and let the other side close too, which is what leaves TIME_WAIT behind."""
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b""
    connection.close()


def time_left(lab: Lab, protocol: int, port: int) -> int:
    """Return the seconds that the kernel will still remember the flow to ``port``; 0 when it knows none."""
    entries = lab.driver._rulesets.flows(ROUTER)
    found = (
        e.seconds for e in entries if (e.original.protocol, e.original.destination_port) == (protocol, port)
    )
    return next(found, 0)
