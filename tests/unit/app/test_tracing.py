"""What is refused before a packet is sent, and what is told of one that found no port."""

from collections import Counter
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any

import pytest
from inline_snapshot import snapshot
from tests import worlds
from tests.lowered import lower

from fogbank.app.tracing import Tracer, destination_of
from fogbank.control.controller import TraceSource
from fogbank.errors import OperatorError
from fogbank.lowering.netns_names import instance_netns
from fogbank.network.packet_captures import CapturedPacket, ProbeResult
from fogbank.network.topology import DeviceName, NetnsName, Topology
from fogbank.resources.fleet import Instance
from fogbank.resources.run import read_revision
from fogbank.resources.world import World

VPC = NetnsName("vpc/demo/default")


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://ifconfig.me", ("192.0.2.2", 80)),
        ("https://ifconfig.me/ip", ("192.0.2.2", 443)),
        ("https://web-abc-du.a.run.app/x", ("192.0.2.1", 443)),
        ("https://storage.googleapis.com/x", ("192.0.2.1", 443)),
        ("10.124.0.3:6379", ("10.124.0.3", 6379)),
    ],
)
def test_a_url_leads_to_an_address_and_a_port(url: str, meant: tuple[str, int]) -> None:
    assert destination_of(url, World()) == (IPv4Address(meant[0]), meant[1])


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.8.8.8:8080", "http://localhost:8080", "0.0.0.0"])
def test_what_never_leaves_the_instance_has_no_path(url: str) -> None:
    with pytest.raises(
        OperatorError, match="is the container itself: a packet to it never leaves the instance"
    ):
        destination_of(url, World())


@pytest.mark.parametrize("host", ["metadata.google.internal", "RUN.APP."])
def test_a_name_of_googles_is_not_offered_as_a_third_party(host: str) -> None:
    with pytest.raises(OperatorError, match=r"Google's own.*not traced yet") as refused:
        destination_of(f"https://{host}", World())
    assert "internet add" not in str(refused.value)


def test_an_unknown_host_can_be_added() -> None:
    with pytest.raises(OperatorError, match=r"fogbank internet add sms\.example\.com"):
        destination_of("http://sms.example.com", World())


def test_a_scheme_without_a_known_port_needs_one() -> None:
    with pytest.raises(OperatorError, match="the port of ftp:// is not known"):
        destination_of("ftp://ifconfig.me", World())
    assert destination_of("redis://10.124.0.3:6379", World()) == (IPv4Address("10.124.0.3"), 6379)


@pytest.mark.parametrize("url", ["http://[::1", "http://ifconfig.me:99999"])
def test_a_broken_url_is_refused(url: str) -> None:
    with pytest.raises(OperatorError):
        destination_of(url, World())


def source_of(instance: Instance) -> TraceSource:
    revision = read_revision(instance.definition)
    return TraceSource(
        instance.id, instance_netns(instance.id), revision.service, (revision.name.id, instance.id)
    )


class Room:
    """A tracer over article 000 whose packets come into the network and go no further."""

    def __init__(self, grows: NetnsName | None) -> None:
        self.sent = 0
        self._grows, self._drops = grows, Counter[NetnsName]()
        world, fleet = worlds.article()
        lowered = lower(world, fleet, Topology())
        sources = [source_of(each) for each in fleet.instances.values()]
        loop: Any = SimpleNamespace(observed=lowered.topology, lowered=lowered)
        self.tracer = Tracer(lambda: world, loop, lambda: sources, self._send, self._drops_in, worlds.P)

    def _drops_in(self, netns: NetnsName) -> dict[str, int]:
        return {"no-nat": 7, "ports-exhausted": self._drops[netns]}

    def _send(self, flow: Any, watched: frozenset[NetnsName]) -> ProbeResult:
        assert VPC in watched
        self.sent += 1
        if self._grows:
            self._drops[self._grows] += 1
        source = IPv4Address("10.124.0.3")
        came = CapturedPacket(VPC, DeviceName("n1"), "in", source, 40000, flow.destination, flow.port, 0.001)
        return ProbeResult((came,), "timeout", 40000, 2.0)


async def test_a_packet_that_found_no_port_is_explained_and_no_difference() -> None:
    answer = await Room(VPC).tracer.trace("run/production", "http://ifconfig.me", probe=True)
    assert answer["differences"] == []
    assert answer["observed"]["drop"] == snapshot(
        {
            "netns": "vpc/demo/default",
            "reason": "ports-exhausted",
            "description": "all ports to this destination are in use or held; see fogbank drops",
        }
    )


@pytest.mark.parametrize("elsewhere", [None, NetnsName("fabric")])
async def test_a_drop_without_a_known_reason_stays_a_difference(elsewhere: NetnsName | None) -> None:
    answer = await Room(elsewhere).tracer.trace("run/production", "http://ifconfig.me", probe=True)
    assert answer["differences"] == ["predicted accepted, but the packet was dropped"]
    assert answer["observed"]["drop"] is None


async def test_nothing_is_sent_for_a_question_without_a_meaning() -> None:
    setup = Room(None)
    for source, url in (("run/nothing", "http://ifconfig.me"), ("run/production", "http://127.0.0.1")):
        with pytest.raises(OperatorError):
            await setup.tracer.trace(source, url, probe=True)
    assert setup.sent == 0
