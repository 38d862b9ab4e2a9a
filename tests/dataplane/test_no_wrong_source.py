"""No packet ever leaves with a source that is not its client's, whatever changes under load."""

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from tests.dataplane.vpc import (
    ALICE,
    ALICE_IP,
    BOB,
    BOB_IP,
    EXT,
    GUARDED,
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

from fogbank.network.topology import (
    Element,
    NatTimeouts,
    NetnsName,
    PortBlock,
    PortRange,
    SourceNat,
    TranslationRule,
    UnservedClient,
)

pytestmark = pytest.mark.netns

TIMES = NatTimeouts(tcp_transitory=1, tcp_time_wait=1)
THIRD = IPv4Address("203.0.113.9")
ALICES = (
    PortBlock(NAT_IP, PortRange(1024, 1087)),
    PortBlock(OTHER_NAT_IP, PortRange(2048, 2303)),
    PortBlock(THIRD, PortRange(1024, 1087)),
)
BOBS = (
    PortBlock(NAT_IP, PortRange(1088, 1151)),
    PortBlock(OTHER_NAT_IP, PortRange(1024, 1151)),
    PortBlock(THIRD, PortRange(2048, 2111)),
)
PORTS = {ALICE: range(80, 100), BOB: range(100, 120)}
BLOCKS = {ALICE: ALICES, BOB: BOBS}
ROUNDS, ENOUGH = 3, 300


def gateway(inside: IPv4Address, blocks: tuple[PortBlock, ...], **options: object) -> Element:
    first, *more = blocks
    return nat(inside, first.outside, first.ports, more=tuple(more), timeouts=TIMES, **options)


def states() -> list[tuple[Element, ...]]:
    """Attach and detach clients, drain and swap addresses, end the gateway."""
    ruled = TranslationRule(1, (host(OTHER_SITE_IP),), ALICES[2:])
    return [
        (gateway(ALICE_IP, ALICES[:1]), gateway(BOB_IP, BOBS[:1])),
        (gateway(ALICE_IP, ALICES[:2]), gateway(BOB_IP, BOBS[:1], endpoint_independent=True)),
        (gateway(ALICE_IP, ALICES[:1], rules=(ruled,)), gateway(BOB_IP, BOBS[:2])),
        (gateway(ALICE_IP, ALICES[1:2]), UnservedClient(ROUTER, EXT, host(BOB_IP))),
        (gateway(ALICE_IP, ALICES[:1], draining=(OTHER_NAT_IP,)), gateway(BOB_IP, BOBS[1:2], logged=True)),
        (),
        (gateway(BOB_IP, BOBS[2:]),),
    ]


@contextlib.contextmanager
def sniffer(lab: Lab) -> Iterator[list[bytes]]:
    """Collect the heads of all packets that the third party gets."""
    with lab.driver.namespaces.inside(SITE):
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
    ear.bind(("eth0", 0x0800))
    ear.settimeout(0.1)
    heads: list[bytes] = []
    ended = threading.Event()

    def listen() -> None:
        while True:
            try:
                head, (*_, kind, _, _) = ear.recvfrom(40)
            except TimeoutError:
                if ended.is_set():
                    return
                continue
            if kind == socket.PACKET_HOST:
                heads.append(head)

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield heads
    finally:
        ended.set()
        thread.join()
        ear.close()


def load(lab: Lab, netns: NetnsName, ended: threading.Event, made: list[int]) -> None:
    """Open and reset connections, one after another, until told to end."""
    for port, address in itertools.cycle(itertools.product(PORTS[netns], (SITE_IP, OTHER_SITE_IP))):
        if ended.is_set():
            return
        with contextlib.suppress(OSError), lab.connect(netns, address, port, timeout=0.05) as opened:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            opened.sendall(b"x")
            made.append(port)


def strays(heads: list[bytes]) -> set[tuple[str, int, int]]:
    """List (source, its port, destination port) of packets whose source is not of the client's blocks."""
    found = set()
    for head in set(heads):
        address = IPv4Address(head[12:16])
        source, destination = struct.unpack_from(">HH", head, (head[0] & 15) * 4)
        blocks = next((BLOCKS[netns] for netns, ports in PORTS.items() if destination in ports), ())
        if not any(address == block.outside and source in block.ports for block in blocks):
            found.add((str(address), source, destination))
    return found


def test_every_packet_has_a_source_of_its_own_client_whatever_changes_meanwhile(lab: Lab) -> None:
    lab.build(*GUARDED, *states()[0])
    ended, made = threading.Event(), dict[NetnsName, list[int]]({ALICE: [], BOB: []})
    with contextlib.ExitStack() as stack:
        for address in (SITE_IP, OTHER_SITE_IP):
            for port in (*PORTS[ALICE], *PORTS[BOB]):
                stack.enter_context(lab.listen(SITE, address, port))
        heads = stack.enter_context(sniffer(lab))
        threads = [
            threading.Thread(target=load, args=(lab, netns, ended, made[netns])) for netns in (ALICE, BOB)
        ]
        for thread in threads:
            thread.start()
        try:
            for state in states() * ROUNDS:
                lab.build(*GUARDED, *state)
                served = {each.inside for each in state if isinstance(each, SourceNat)}
                for netns, address in ((ALICE, ALICE_IP), (BOB, BOB_IP)):
                    if host(address) in served:
                        wait_for_more(made[netns], ENOUGH // len(states()) // ROUNDS)
        finally:
            ended.set()
            for thread in threads:
                thread.join()
    assert strays(heads) == set()
    assert len(heads) > ENOUGH


def wait_for_more(made: list[int], count: int) -> None:
    """Return when ``count`` more connections have come about."""
    before = len(made)
    wait_until(lambda: len(made) >= before + count, 20)
