"""Prediction meets packet: random small regions are really built, and real packets do what was predicted.

Every example draws a World (networks, subnets, connectors, egress settings, gateways, firewall rules, routes)
and lowers it, turns the one private world into it by a plan, and sends a TCP connection or a UDP question
from every instance to every kind of destination. What the client gets (connection, refusal, silence) and the
source that the destination saw must be those of one branch of the prediction.

UDP goes only where something listens or nothing comes back: the kernel limits how often it refuses one.
The verdict of Connectivity Tests is held to the same packet.

A World follows from its seed. `make test` draws those of one batch and the seeds that once failed;
`make differential` draws 2,000 that nobody has seen (``FOGBANK_DIFFERENTIAL`` says how many, and from which
seed on). A failure names its seed: add it to ``ONCE_FAILED``, with a test of its own where the fault was.
"""

import errno
import os
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from random import Random

import pytest
from tests.drawn_worlds import Drawn, draw_world
from tests.lowered import lower
from tests.private_world import Lab
from tests.worlds import resource

from fogbank.lowering.netns_names import LOOPBACK
from fogbank.network.addressing import EGRESS_POOL, EXTERNAL_ADDRESSES
from fogbank.network.filtering import TCP, UDP
from fogbank.network.topology import Address, Key, Listener, NetnsName, NetworkNamespace, Topology, Workload
from fogbank.paths.compare import Observation, compare
from fogbank.paths.explain import explain
from fogbank.paths.predict import predict
from fogbank.paths.trace import Flow, Trace, Verdict
from fogbank.planning.plan import plan
from fogbank.resources.names import ResourceName
from fogbank.resources.world import World
from fogbank.services.networkmanagement.connectivity_tests import TESTS
from fogbank.services.networkmanagement.controller.endpoints import Ends
from fogbank.services.networkmanagement.controller.steps import Shown, reachability_details

BATCH = 75
"""Worlds that are built one after the other in one private world."""

ONCE_FAILED: tuple[int, ...] = (1629, 1630, 1993, 1994, 2739, 2740)
"""Seeds of Worlds that found faults, each after the one from which the region turned into it."""

QUICK, PATIENT = 0.08, 1.5
"""Seconds until silence counts as a drop: first, and before a disagreement is believed."""

MANY_PORTS = (128, 1024)
"""So many that connections of earlier examples never use them up."""

DESTINATIONS = (
    ("192.0.2.1", 443, TCP),
    ("192.0.2.40", 80, TCP),
    ("192.0.2.40", 53, UDP),
    ("10.1.0.9", 53, UDP),
    ("192.0.2.40", 8080, TCP),
    ("192.0.2.41", 443, TCP),
    ("192.0.2.41", 81, TCP),
    ("192.0.2.2", 80, TCP),
    ("8.8.8.8", 80, TCP),
    ("10.1.0.2", 80, TCP),
    ("10.1.0.3", 22, TCP),
    ("10.1.0.1", 80, TCP),
    ("10.1.0.9", 80, TCP),
    ("10.1.0.13", 8080, TCP),
    ("10.8.0.2", 443, TCP),
    ("172.16.3.2", 80, TCP),
    ("10.50.0.1", 80, TCP),
    ("203.0.113.2", 80, TCP),
    ("203.0.113.100", 80, TCP),
    ("203.0.113.101", 80, TCP),
    ("10.21.0.4", 80, TCP),
    ("10.30.0.3", 6379, TCP),
    ("169.254.169.254", 80, TCP),
    ("169.254.16.3", 8080, TCP),
)


ALIASES = IPv4Network("10.20.0.0/14")
"""Where secondary ranges are."""

A_TEST = resource(ResourceName(TESTS, "projects/demo/locations/global/connectivityTests/t"), {})

RESULTS: Mapping[str, tuple[Callable[[set[str]], bool], frozenset[Verdict]]] = {
    "REACHABLE": (lambda ends: ends == {"DELIVER"}, frozenset({"accepted", "refused"})),
    "UNREACHABLE": (lambda ends: ends == {"DROP"}, frozenset({"dropped"})),
    "AMBIGUOUS": (lambda ends: ends == {"DELIVER", "DROP"}, frozenset({"accepted", "refused", "dropped"})),
    "UNDETERMINED": (lambda ends: "FORWARD" in ends, frozenset({"accepted", "refused", "dropped"})),
}
"""For each result of a connectivity test: how its traces end, and what may become of the packet."""

QUESTIONS = Listener(NetnsName("site/partner.example"), IPv4Address("192.0.2.40"), 53, "udp", "questions")


@dataclass
class Attempt:
    """A connection that is being opened or a question that was asked, and what has become of it."""

    flow: Flow
    opened: socket.socket
    seen: Observation | None = None


@dataclass(frozen=True)
class Region:
    """A drawn region as it stands in the lab."""

    lab: Lab
    world: World
    topology: Topology
    owners: Mapping[Key, frozenset[ResourceName]]

    def send(self, flows: list[Flow], patience: float) -> dict[Flow, Observation]:
        """Open all ``flows`` at once and tell what became of each after at most ``patience`` seconds."""
        with selectors.DefaultSelector() as ready:
            for listening in self.lab.served.values():
                ready.register(listening, selectors.EVENT_READ)
            attempts = [self._start(flow, ready) for flow in flows]
            end = time.monotonic() + patience
            while any(a.seen is None for a in attempts) and (left := end - time.monotonic()) > 0:
                for key, _ in ready.select(left):
                    opened = key.fileobj
                    assert isinstance(opened, socket.socket)
                    if key.data is None:
                        _answer(opened)
                    else:
                        key.data.seen = _take_answer(opened)
                        ready.unregister(opened)
            for attempt in attempts:
                attempt.opened.close()
            return {a.flow: a.seen or Observation("dropped") for a in attempts}

    def _start(self, flow: Flow, ready: selectors.DefaultSelector) -> Attempt:
        kind = socket.SOCK_DGRAM if flow.protocol == UDP else socket.SOCK_STREAM
        attempt = Attempt(flow, self.lab.driver.open_socket(flow.start, kind))
        attempt.opened.setblocking(False)
        attempt.opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if flow.source is not None:
            attempt.opened.bind((str(flow.source), 0))
        result = attempt.opened.connect_ex((str(flow.destination), flow.port))
        assert result in {0, errno.EINPROGRESS}, f"{flow} could not even start: {errno.errorcode[result]}"
        if flow.protocol == UDP:
            attempt.opened.send(b"who am I?")
        ready.register(attempt.opened, selectors.EVENT_READ, attempt)
        return attempt


def _answer(listening: socket.socket) -> None:
    """Answer with the source that the destination sees."""
    if listening.type == socket.SOCK_DGRAM:
        _, peer = listening.recvfrom(64)
        listening.sendto(peer[0].encode(), peer)
        return
    connection, (source, _) = listening.accept()
    with connection:
        connection.sendall(source.encode())


def _take_answer(opened: socket.socket) -> Observation:
    try:
        return Observation("accepted", IPv4Address(opened.recv(64).decode()))
    except ConnectionRefusedError:
        return Observation("refused")
    except OSError:
        return Observation("dropped")


def _build(lab: Lab, drawn: Drawn) -> Region:
    world, fleet = drawn
    observed = lab.driver.observe()
    lowered = lower(world, fleet, observed)
    assert not lowered.failures
    elements = [e for e in lowered.topology if not isinstance(e, Workload)]
    desired = Topology.of([*elements, QUESTIONS])
    outcomes = lab.driver.apply(plan(observed, desired))
    assert [outcome for outcome in outcomes if outcome.error] == []
    return Region(lab, world, desired, lowered.owners)


def _complain(region: Region, flow: Flow, seen: Observation) -> str:
    trace = predict(region.topology, flow)
    namespaces = dict.fromkeys(hop.netns for branch in trace.branches for hop in branch.hops)
    return "\n".join(
        [
            *(region.lab.driver.diagnose(netns) for netns in namespaces),
            f"--- {flow}",
            *explain(trace, region.owners),
            f"--- seen: {seen}",
            *compare(trace, seen),
        ]
    )


def _flows(topology: Topology) -> list[Flow]:
    """List every flow that is tried: from all instances and a third party, from each address of theirs."""
    known = (netns.name for netns in topology.of_kind(NetworkNamespace))
    starts = [netns for netns in known if netns.startswith(("instance/", "site/partner"))]
    sources: dict[NetnsName, list[IPv4Address | None]] = {netns: [None] for netns in starts}
    for each in topology.of_kind(Address):
        if each.port.device == LOOPBACK and each.interface.ip in ALIASES and each.port.netns in sources:
            sources[each.port.netns].append(each.interface.network.network_address)
    return [
        Flow(start, IPv4Address(to), port, protocol, source)
        for start in starts
        for source in sources[start]
        for to, port, protocol in DESTINATIONS
    ]


def _check(lab: Lab, drawn: Drawn, tally: Counter[str]) -> None:
    region = _build(lab, drawn)
    flows = _flows(region.topology)
    predicted = {flow: predict(region.topology, flow) for flow in flows}
    seen = region.send(flows, QUICK)
    if doubtful := [flow for flow in flows if compare(predicted[flow], seen[flow])]:
        tally["asked again"] += len(doubtful)
        seen |= region.send(doubtful, PATIENT)
    for flow in flows:
        assert compare(predicted[flow], seen[flow]) == (), _complain(region, flow, seen[flow])
        assert seen[flow].verdict in _tested(region, predicted[flow]), _complain(region, flow, seen[flow])
        tally[_kind(seen[flow])] += 1


def _tested(region: Region, trace: Trace) -> frozenset[Verdict]:
    """Return what the verdict of a connectivity test allows, having checked that its traces say the same."""
    shown = Shown(region.world, region.owners, A_TEST, "2026-01-01T00:00:00Z")
    details = reachability_details(shown, trace, Ends(trace.flow, None))["reachabilityDetails"]
    ended = {each["steps"][-1]["state"] for each in details["traces"]}
    ends_so, allowed = RESULTS[details["result"]]
    assert ends_so(ended), details
    return allowed


def _kind(seen: Observation) -> str:
    if seen.source is None:
        return seen.verdict
    for name, network in (("reserved", EXTERNAL_ADDRESSES), ("pool", EGRESS_POOL)):
        if seen.source in network:
            return f"accepted from a {name} address"
    return "accepted"


def _batches() -> list[Sequence[int]]:
    """Read how many seeds to draw, COUNT or COUNT@FIRST; those of `make test` are the same each time."""
    again = [ONCE_FAILED] if ONCE_FAILED else []
    asked, _, first = os.environ.get("FOGBANK_DIFFERENTIAL", f"{BATCH}@0").partition("@")
    start = int(first) if first else int(time.time()) * 1000
    end = start + int(asked)
    return again + [range(each, min(each + BATCH, end)) for each in range(start, end, BATCH)]


@pytest.mark.netns
@pytest.mark.slow(26)
@pytest.mark.parametrize("seeds", _batches(), ids=lambda seeds: f"{len(seeds)}@{seeds[0]}")
def test_a_real_packet_does_what_was_predicted(lab: Lab, seeds: Sequence[int]) -> None:
    tally: Counter[str] = Counter()
    for seed in seeds:
        try:
            _check(lab, draw_world(Random(seed), MANY_PORTS), tally)
        except BaseException as error:
            repeat = f"{seed - seeds[0] + 1}@{seeds[0]}"
            error.add_note(f"This World's seed is {seed}; FOGBANK_DIFFERENTIAL={repeat} repeats it.")
            raise
        tally["regions"] += 1
    print(dict(tally))
    if len(seeds) == BATCH:
        for kind in (
            "accepted from a reserved address",
            "accepted from a pool address",
            "refused",
            "dropped",
        ):
            assert tally[kind] >= BATCH / 5, f"too few examples are {kind}: {tally}"
