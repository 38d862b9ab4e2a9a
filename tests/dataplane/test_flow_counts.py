"""What connections carried: everything that the kernel forwarded for them, and each packet once."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network

import pytest
from tests.dataplane.vpc import (
    ALICE,
    ALICE_IP,
    BOB,
    BOB_IP,
    GUARDED,
    ROUTER,
    SITE,
    SITE_IP,
    nat,
)
from tests.private_world import Lab
from tests.waiting import wait_until

from fogbank.dataplane.driver import CountedFlow
from fogbank.network.topology import FlowLog, NatTimeouts

pytestmark = pytest.mark.netns

LOGGED = FlowLog(ROUTER, "machines", (IPv4Network("10.8.0.0/24"),))
HEADERS = 28
"""Of a UDP packet, in bytes."""


@contextmanager
def echo(lab: Lab, netns: str, address: str, port: int) -> Iterator[None]:
    """Answer each datagram with one of the same size."""
    server = lab.driver.open_socket(netns, socket.SOCK_DGRAM)  # type: ignore[arg-type]
    server.bind((address, port))

    def answer() -> None:
        while True:
            data, client = server.recvfrom(65536)
            if data == b"stop":
                return
            server.sendto(data, client)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with lab.driver.open_socket(netns, socket.SOCK_DGRAM) as own:  # type: ignore[arg-type]
            own.sendto(b"stop", (address, port))
        thread.join()
        server.close()


def ask(lab: Lab, client: socket.socket, address: object, port: int, sizes: list[int]) -> None:
    client.settimeout(60)
    for size in sizes:
        client.sendto(b"x" * size, (str(address), port))
        assert len(client.recv(65536)) == size


def carried(flows: list[CountedFlow], client: object) -> tuple[int, int, int, int]:
    """Sum up the packets and bytes of a client's connections, there and back."""
    own = [each for each in flows if str(each.client) == str(client)]
    return (
        sum(each.sent.packets for each in own),
        sum(each.sent.bytes for each in own),
        sum(each.received.packets for each in own),
        sum(each.received.bytes for each in own),
    )


def test_each_packet_is_counted_once_however_often_one_looks(lab: Lab) -> None:
    lab.build(*GUARDED, nat(), LOGGED)
    flows: list[CountedFlow] = []
    sizes = [1, 100, 1000]
    with (
        echo(lab, BOB, str(BOB_IP), 53),
        echo(lab, SITE, str(SITE_IP), 53),
        lab.driver.open_socket(ALICE, socket.SOCK_DGRAM) as client,
    ):
        for _ in range(5):
            for address in (BOB_IP, SITE_IP):
                ask(lab, client, address, 53, sizes)
            flows += lab.driver.take_flow_counts(ROUTER)
        assert lab.driver.take_flow_counts(ROUTER) == ()
    packets, size = 10 * len(sizes), 10 * (sum(sizes) + len(sizes) * HEADERS)
    assert carried(flows, ALICE_IP) == (packets, size, packets, size)
    servers = {(str(each.server), each.server_port) for each in flows}
    assert servers == {(str(BOB_IP), 53), (str(SITE_IP), 53)}  # as they are, not as they are translated


def test_what_a_connection_carried_before_it_ended_is_counted_too(lab: Lab) -> None:
    lab.build(*GUARDED, nat(timeouts=NatTimeouts()), LOGGED)
    flows: list[CountedFlow] = []
    clients = [lab.driver.open_socket(ALICE, socket.SOCK_DGRAM) for _ in range(40)]
    with echo(lab, SITE, str(SITE_IP), 53):
        for client in clients[:20]:
            ask(lab, client, SITE_IP, 53, [100])
        flows += lab.driver.take_flow_counts(ROUTER)
        for client in clients:
            ask(lab, client, SITE_IP, 53, [100])
    lab.driver.advance_conntrack_timeouts(3600)
    assert lab.driver.flows(ROUTER) == ()

    def ended() -> bool:
        flows.extend(lab.driver.take_flow_counts(ROUTER))
        return sum(each.ended is not None for each in flows) == 40

    wait_until(ended, 60)
    assert carried(flows, ALICE_IP) == (60, 60 * 128, 60, 60 * 128)
    tuples = Counter((each.client_port, each.ended is None) for each in flows)
    assert max(tuples.values()) == 1


def test_a_tcp_connection_in_time_wait_is_reported_when_it_ends(lab: Lab) -> None:
    lab.build(*GUARDED, nat(timeouts=NatTimeouts()), LOGGED)
    with lab.listen(SITE, SITE_IP, 80):
        assert lab.reaches(ALICE, SITE_IP, 80)
        wait_until(lambda: any(each.state == "TIME_WAIT" for each in lab.driver.flows(ROUTER)), 60)
    lab.driver.advance_conntrack_timeouts(3600)
    flows = list(lab.driver.take_flow_counts(ROUTER))
    (flow,) = flows
    assert (flow.client, flow.server, flow.server_port) == (ALICE_IP, SITE_IP, 80)
    assert flow.began is not None
    assert flow.ended is not None
    assert flow.sent.packets >= 3


def test_connections_that_were_there_before_count_from_the_moment_of_the_log(lab: Lab) -> None:
    lab.build(*GUARDED, nat())
    with (
        echo(lab, SITE, str(SITE_IP), 53),
        lab.driver.open_socket(ALICE, socket.SOCK_DGRAM) as client,
    ):
        ask(lab, client, SITE_IP, 53, [100] * 7)
        assert lab.driver.take_flow_counts(ROUTER) == ()
        lab.build(*GUARDED, nat(), LOGGED)
        ask(lab, client, SITE_IP, 53, [100] * 2)
        assert carried(list(lab.driver.take_flow_counts(ROUTER)), ALICE_IP) == (2, 256, 2, 256)
        lab.build(*GUARDED, nat())
        ask(lab, client, SITE_IP, 53, [100])
        assert lab.driver.take_flow_counts(ROUTER) == ()
