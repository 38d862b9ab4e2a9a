"""Comparison: where a real packet disagrees with the prediction.

A probe tells what the client got, what the destination saw, and what routers tracked on the way. It agrees
when one branch of the prediction says the same; a disagreement is listed, never smoothed over.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from fogbank.network.packet_captures import CapturedPacket, ProbeResult
from fogbank.network.topology import NetnsName
from fogbank.paths.trace import Branch, Delivered, HandedOver, Trace, Translated, Verdict


@dataclass(frozen=True, slots=True)
class Crossing:
    """A router saw the flow come from ``source`` and sent it on from ``translated``."""

    netns: NetnsName
    source: IPv4Address
    translated: IPv4Address


@dataclass(frozen=True, slots=True)
class Observation:
    """What became of a real packet; ``source`` is what the destination saw, if it saw anything.

    ``crossings`` of one namespace are in the order of time. ``out_of_ports`` is the namespace that dropped
    the packet because no port was left for it.
    """

    verdict: Verdict
    source: IPv4Address | None = None
    crossings: tuple[Crossing, ...] = ()
    out_of_ports: NetnsName | None = None


def compare(trace: Trace, observation: Observation) -> tuple[str, ...]:
    """List where ``observation`` differs from the branch of ``trace`` closest to it; none is agreement."""
    found = [tuple(_differences(branch, observation)) for branch in trace.branches]
    return min(found, key=len, default=("nothing was predicted",))


def _differences(branch: Branch, observation: Observation) -> Iterator[str]:
    forwarded = isinstance(branch.disposition, HandedOver)  # and from there on nothing is predicted
    if not forwarded and observation.verdict not in _allowed(branch) and not _ran_out(branch, observation):
        yield f"predicted {' or '.join(_allowed(branch))}, but the packet was {observation.verdict}"
    if not forwarded and observation.source is not None and observation.source != branch.source:
        yield f"predicted the source {branch.source}, but the destination saw {observation.source}"
    ahead = list(branch.hops)
    for crossing in observation.crossings:
        hop = next((hop for hop in ahead if hop.netns == crossing.netns), None)
        if hop is None and forwarded:
            continue
        if hop is None:
            yield f"the packet crossed {crossing.netns}, which was not predicted"
            continue
        ahead.remove(hop)  # a packet to the gateway's own address crosses its network twice
        after = next((step.after for step in hop.steps if isinstance(step, Translated)), hop.source)
        if (crossing.source, crossing.translated) != (hop.source, after):
            yield (
                f"predicted {hop.source} to {after} in {crossing.netns}, "
                f"but it was {crossing.source} to {crossing.translated}"
            )


def _allowed(branch: Branch) -> tuple[Verdict, ...]:
    """List what may be seen: a guest answers as its programs do, but it answers."""
    guest = isinstance(branch.disposition, Delivered) and branch.disposition.guest
    return ("accepted", "refused") if guest else (branch.verdict,)


_VERDICTS: Mapping[str, Verdict] = {"connected": "accepted", "refused": "refused"}


def observation(probe: ProbeResult, ran_out: Collection[NetnsName] = ()) -> Observation:
    """Read a probe: what every router did to the packet, and the source at the namespace where it stayed.

    ``ran_out`` are the namespaces in which a sender had no port left while the packet was on its way.
    """
    entered, left = _passages(probe, "in"), _passages(probe, "out")
    verdict = _VERDICTS.get(probe.verdict, "dropped")
    ends = [each[-1] for netns, each in entered.items() if len(each) > len(left.get(netns, ()))]
    end = max(ends, key=lambda packet: packet.seconds, default=None)
    return Observation(
        verdict,
        end.source if end and verdict != "dropped" else None,
        tuple(
            Crossing(netns, came.source, went.source)
            for netns, each in entered.items()
            for came, went in zip(each, left.get(netns, ()), strict=False)
        ),
        end.netns if end and verdict == "dropped" and end.netns in ran_out else None,
    )


def _passages(probe: ProbeResult, direction: str) -> Mapping[NetnsName, list[CapturedPacket]]:
    found: dict[NetnsName, list[CapturedPacket]] = {}
    for packet in probe.captured_packets:
        if packet.direction == direction:
            found.setdefault(packet.netns, []).append(packet)
    return found


def _ran_out(branch: Branch, observation: Observation) -> bool:
    """Return whether the packet was dropped for want of a port where ``branch`` translates it.

    Which ports are in use is not declared, so no prediction can know it.
    """
    return any(
        hop.netns == observation.out_of_ports and any(isinstance(step, Translated) for step in hop.steps)
        for hop in branch.hops
    )
