"""Prediction meets packet: random small regions are really built, and real packets do what was predicted.

Every example draws a World (networks, subnets, connectors, egress settings, gateways, firewall rules, routes)
and lowers it, turns the one private world into it by a plan, and opens a TCP connection from every instance
to every kind of destination. What the client gets (connection, refusal, silence) and the source that the
destination saw must be those of one branch of the prediction.
"""

import errno
import selectors
import socket
import time
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest
from hypothesis import Phase, given, settings
from tests.drawn_worlds import worlds
from tests.private_world import Lab

from fogbank.lowering.lower import lower
from fogbank.network.addressing import EGRESS_POOL, EXTERNAL_ADDRESSES
from fogbank.network.topology import SpaceName, Topology, Workload
from fogbank.paths.compare import Seen, compare
from fogbank.paths.explain import explain
from fogbank.paths.predict import predict
from fogbank.paths.trace import Flow
from fogbank.planning.plan import plan

EXAMPLES = 200
QUICK, PATIENT = 0.08, 1.5
"""Seconds until silence counts as a drop: first, and before a disagreement is believed."""

MANY_PORTS = (1024, 32768)
"""So many that connections of earlier examples never use them up."""

DESTINATIONS = (
    ("192.0.2.40", 80),
    ("192.0.2.40", 8080),
    ("192.0.2.41", 443),
    ("192.0.2.41", 81),
    ("192.0.2.2", 80),
    ("8.8.8.8", 80),
    ("10.1.0.2", 80),
    ("10.1.0.3", 22),
    ("10.1.0.1", 80),
    ("10.1.0.9", 80),
    ("10.8.0.2", 443),
    ("172.16.3.2", 80),
    ("10.50.0.1", 80),
    ("203.0.113.2", 80),
    ("169.254.169.254", 80),
    ("169.254.16.3", 8080),
)


@dataclass
class Attempt:
    """A connection that is being opened, and what has become of it."""

    flow: Flow
    opened: socket.socket
    seen: Seen | None = None


@dataclass(frozen=True)
class Region:
    """A drawn region as it stands in the lab."""

    lab: Lab
    topology: Topology
    owners: object

    def send(self, flows: list[Flow], patience: float) -> dict[Flow, Seen]:
        """Open all ``flows`` at once and tell what became of each after at most ``patience`` seconds."""
        with selectors.DefaultSelector() as ready:
            for listening in self.lab.served.values():
                if listening.type == socket.SOCK_STREAM:
                    ready.register(listening, selectors.EVENT_READ)
            attempts = [self._start(flow, ready) for flow in flows]
            end = time.monotonic() + patience
            while any(a.seen is None for a in attempts) and (left := end - time.monotonic()) > 0:
                for key, _ in ready.select(left):
                    _advance(key, ready)
            for attempt in attempts:
                attempt.opened.close()
            return {a.flow: a.seen or Seen("dropped") for a in attempts}

    def _start(self, flow: Flow, ready: selectors.DefaultSelector) -> Attempt:
        attempt = Attempt(flow, self.lab.driver.open_socket(flow.start, socket.SOCK_STREAM))
        attempt.opened.setblocking(False)
        attempt.opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        result = attempt.opened.connect_ex((str(flow.destination), flow.port))
        assert result == errno.EINPROGRESS, f"{flow} could not even start: {errno.errorcode[result]}"
        ready.register(attempt.opened, selectors.EVENT_READ, attempt)
        return attempt


def _advance(key: selectors.SelectorKey, ready: selectors.DefaultSelector) -> None:
    """Let a listener answer with the source that it sees, or a client take that answer."""
    attempt = key.data
    if attempt is None:
        connection, (peer, _) = key.fileobj.accept()
        with connection:
            connection.sendall(peer.encode())
        return
    try:
        peer = attempt.opened.recv(64).decode()
        attempt.seen = Seen("accepted", IPv4Address(peer))
    except ConnectionRefusedError:
        attempt.seen = Seen("refused")
    except OSError:
        attempt.seen = Seen("dropped")
    ready.unregister(attempt.opened)


def _build(lab: Lab, drawn) -> Region:
    world, fleet = drawn
    observed = lab.driver.observe()
    lowered = lower(world, fleet, observed)
    desired = Topology({k: e for k, e in lowered.topology.elements.items() if not isinstance(e, Workload)})
    outcomes = lab.driver.apply(plan(observed, desired))
    assert [outcome for outcome in outcomes if outcome.error] == []
    return Region(lab, desired, lowered.owners)


def _complain(region: Region, flow: Flow, seen: Seen) -> str:
    trace = predict(region.topology, flow)
    spaces = dict.fromkeys(hop.space for branch in trace.branches for hop in branch.hops)
    return "\n".join(
        [
            *(region.lab.driver.diagnose(space) for space in spaces),
            f"--- {flow}",
            *explain(trace, region.owners),
            f"--- seen: {seen}",
            *compare(trace, seen),
        ]
    )


def _check(lab: Lab, drawn, tally: Counter) -> None:
    region = _build(lab, drawn)
    starts = [SpaceName(f"instance/{identifier}") for identifier in drawn[1].instances]
    flows = [Flow(start, IPv4Address(to), port) for start in starts for to, port in DESTINATIONS]
    predicted = {flow: predict(region.topology, flow) for flow in flows}
    seen = region.send(flows, QUICK)
    if doubtful := [flow for flow in flows if compare(predicted[flow], seen[flow])]:
        tally["asked again"] += len(doubtful)
        seen |= region.send(doubtful, PATIENT)
    for flow in flows:
        assert compare(predicted[flow], seen[flow]) == (), _complain(region, flow, seen[flow])
        tally[_kind(seen[flow])] += 1


def _kind(seen: Seen) -> str:
    if seen.source is None:
        return seen.verdict
    for name, network in (("reserved", EXTERNAL_ADDRESSES), ("pool", EGRESS_POOL)):
        if seen.source in network:
            return f"accepted from a {name} address"
    return "accepted"


@pytest.mark.netns
@pytest.mark.slow
def test_a_real_packet_does_what_was_predicted(lab: Lab) -> None:
    tally: Counter = Counter()

    @settings(max_examples=EXAMPLES, deadline=None, phases=(Phase.explicit, Phase.generate))
    @given(drawn=worlds(MANY_PORTS, even=True))
    def law(drawn) -> None:
        tally["regions"] += 1
        _check(lab, drawn, tally)

    law()
    print(dict(tally))
    assert tally["regions"] >= EXAMPLES
    for kind in ("accepted from a reserved address", "accepted from a pool address", "refused", "dropped"):
        assert tally[kind] >= EXAMPLES / 5, f"too few examples are {kind}: {tally}"
