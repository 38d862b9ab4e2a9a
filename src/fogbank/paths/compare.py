"""Comparison: where a real packet disagrees with the prediction.

A probe tells what the client got, what the destination saw, and what routers tracked on the way. It agrees
when one branch of the prediction says the same; a disagreement is listed, never smoothed over.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from fogbank.network.sightings import Probe, Sighting
from fogbank.network.topology import SpaceName
from fogbank.paths.trace import Branch, Trace, Translated, Verdict


@dataclass(frozen=True, slots=True)
class Crossing:
    """A router saw the flow come from ``source`` and sent it on from ``translated``."""

    space: SpaceName
    source: IPv4Address
    translated: IPv4Address


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a real packet; ``source`` is what the destination saw, if it saw anything.

    ``crossings`` of one space are in the order of time. ``out_of_ports`` is the space that dropped the packet
    because no port was left for it.
    """

    verdict: Verdict
    source: IPv4Address | None = None
    crossings: tuple[Crossing, ...] = ()
    out_of_ports: SpaceName | None = None


def compare(trace: Trace, seen: Seen) -> tuple[str, ...]:
    """List where ``seen`` differs from the branch of ``trace`` closest to it; none is agreement."""
    found = [tuple(_differences(branch, seen)) for branch in trace.branches]
    return min(found, key=len, default=("nothing was predicted",))


def _differences(branch: Branch, seen: Seen) -> Iterator[str]:
    if seen.verdict != branch.verdict and not _ran_out(branch, seen):
        yield f"predicted {branch.verdict}, but the packet was {seen.verdict}"
    if seen.source is not None and seen.source != branch.source:
        yield f"predicted the source {branch.source}, but the destination saw {seen.source}"
    ahead = list(branch.hops)
    for crossing in seen.crossings:
        hop = next((hop for hop in ahead if hop.space == crossing.space), None)
        if hop is None:
            yield f"the packet crossed {crossing.space}, which was not predicted"
            continue
        ahead.remove(hop)  # a packet to the gateway's own address crosses its network twice
        after = next((step.after for step in hop.steps if isinstance(step, Translated)), hop.source)
        if (crossing.source, crossing.translated) != (hop.source, after):
            yield (
                f"predicted {hop.source} to {after} in {crossing.space}, "
                f"but it was {crossing.source} to {crossing.translated}"
            )


_VERDICTS: Mapping[str, Verdict] = {"connected": "accepted", "refused": "refused"}


def seen(probe: Probe, ran_out: Collection[SpaceName] = ()) -> Seen:
    """Read a probe: what every router did to the packet, and the source at the space where it stayed.

    ``ran_out`` are the spaces in which a sender had no port left while the packet was on its way.
    """
    entered, left = _passages(probe, "in"), _passages(probe, "out")
    verdict = _VERDICTS.get(probe.verdict, "dropped")
    ends = [each[-1] for space, each in entered.items() if len(each) > len(left.get(space, ()))]
    end = max(ends, key=lambda sighting: sighting.seconds, default=None)
    return Seen(
        verdict,
        end.source if end and verdict != "dropped" else None,
        tuple(
            Crossing(space, came.source, went.source)
            for space, each in entered.items()
            for came, went in zip(each, left.get(space, ()), strict=False)
        ),
        end.space if end and verdict == "dropped" and end.space in ran_out else None,
    )


def _passages(probe: Probe, direction: str) -> Mapping[SpaceName, list[Sighting]]:
    found: dict[SpaceName, list[Sighting]] = {}
    for sighting in probe.sightings:
        if sighting.direction == direction:
            found.setdefault(sighting.space, []).append(sighting)
    return found


def _ran_out(branch: Branch, seen: Seen) -> bool:
    """Tell whether the packet was dropped for want of a port where ``branch`` translates it.

    Which ports are in use is not declared, so no prediction can know it.
    """
    return any(
        hop.space == seen.out_of_ports and any(isinstance(step, Translated) for step in hop.steps)
        for hop in branch.hops
    )
