"""`fogbank trace --probe` over a network that is really built: packets tell what declarations cannot."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests import worlds
from tests.lowered import lower
from tests.private_world import Lab

from fogbank.app.tracing import Tracer
from fogbank.control.controller import TraceSource
from fogbank.dataplane.linux.net.capture import probe
from fogbank.lowering.netns_names import instance_netns
from fogbank.network.packet_captures import ProbeResult
from fogbank.network.topology import NetnsName, Workload
from fogbank.paths.trace import Flow
from fogbank.resources.run import read_revision

pytestmark = pytest.mark.netns

VPC = "vpc/demo/default"
GATEWAY = "203.0.113.2"
SITE = "192.0.2.2"
BOTH_MACHINES_FULL = 400
"""Connections that use up 64 ports of each of two machines, however flows are spread."""


class Traced:
    """Article 000, built, and its tracer."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        world, fleet = worlds.article()
        (instance,) = fleet.instances.values()
        self.start = instance_netns(instance.id)
        lowered = lower(world, fleet, lab.driver.observe())
        lab.build(*(each for each in lowered.topology if not isinstance(each, Workload)))
        revision = read_revision(instance.definition)
        source = TraceSource(instance.id, self.start, revision.service)
        loop: Any = SimpleNamespace(observed=lowered.topology, lowered=lowered)
        self._tracer = Tracer(lambda: world, loop, lambda: [source], self._send, lab.driver.drops, worlds.P)

    def trace(self, url: str) -> dict[str, Any]:
        return asyncio.run(self._tracer.trace("production", url, probe=True))

    def _send(self, flow: Flow, watch: frozenset[NetnsName]) -> ProbeResult:
        namespaces = self.lab.driver.namespaces
        return probe(namespaces, flow.start, flow.destination, flow.port, watch=watch, seconds=0.8)

    @contextlib.contextmanager
    def busy(self, address: str, port: int) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            for _ in range(BOTH_MACHINES_FULL):
                opened = held.enter_context(self.lab.driver.open_socket(self.start, socket.SOCK_STREAM))
                opened.setblocking(False)
                opened.connect_ex((address, port))
            yield


def test_a_probe_that_finds_no_port_says_so_and_another_destination_is_reached(lab: Lab) -> None:
    traced = Traced(lab)
    with traced.busy(SITE, 80):
        full = traced.trace("http://ifconfig.me")
        free = traced.trace("https://ifconfig.me")
    assert full["predicted"]["disposition"] == "DELIVERED"
    assert full["observed"]["verdict"] == "timeout"
    assert (full["observed"]["drop"]["netns"], full["observed"]["drop"]["reason"]) == (VPC, "ports-exhausted")
    assert full["differences"] == []
    assert (free["observed"]["verdict"], free["observed"]["drop"]) == ("connected", None)
    assert free["differences"] == []


def test_a_packet_to_the_gateways_own_address_comes_back_as_predicted(lab: Lab) -> None:
    answer = Traced(lab).trace(f"http://{GATEWAY}")
    assert "NO_ROUTE_FROM_INTERNET_TO_PRIVATE_IPV4_ADDRESS" in answer["predicted"]["disposition"]
    passages = [each["direction"] for each in answer["observed"]["sightings"] if each["netns"] == VPC]
    assert passages == ["in", "out", "in"]
    assert answer["differences"] == []
