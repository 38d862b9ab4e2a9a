"""Comparison: where a real packet disagrees with the prediction.

A probe tells what the client got, what the destination saw, and what routers tracked on the way. It agrees
when one branch of the prediction says the same; a disagreement is listed, never smoothed over.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from fogbank.network.sightings import Probe
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
    """What became of a real packet; ``source`` is what the destination saw, if it saw anything."""

    verdict: Verdict
    source: IPv4Address | None = None
    crossings: tuple[Crossing, ...] = ()


def compare(trace: Trace, seen: Seen) -> tuple[str, ...]:
    """List where ``seen`` differs from the branch of ``trace`` closest to it; none is agreement."""
    found = [tuple(_differences(branch, seen)) for branch in trace.branches]
    return min(found, key=len, default=("nothing was predicted",))


def _differences(branch: Branch, seen: Seen) -> Iterator[str]:
    if seen.verdict != branch.verdict:
        yield f"predicted {branch.verdict}, but the packet was {seen.verdict}"
    if seen.source is not None and seen.source != branch.source:
        yield f"predicted the source {branch.source}, but the destination saw {seen.source}"
    spaces = {hop.space: hop for hop in branch.hops}
    for crossing in seen.crossings:
        hop = spaces.get(crossing.space)
        if hop is None:
            yield f"the packet crossed {crossing.space}, which was not predicted"
            continue
        after = next((step.after for step in hop.steps if isinstance(step, Translated)), hop.source)
        if (crossing.source, crossing.translated) != (hop.source, after):
            yield (
                f"predicted {hop.source} to {after} in {crossing.space}, "
                f"but it was {crossing.source} to {crossing.translated}"
            )


_VERDICTS: Mapping[str, Verdict] = {"connected": "accepted", "refused": "refused"}


def seen(probe: Probe) -> Seen:
    """Read a probe: what every router did to the packet, and the source at the space where it stayed."""
    entered = {s.space: s for s in reversed(probe.sightings) if s.direction == "in"}
    left = {s.space: s for s in probe.sightings if s.direction == "out"}
    verdict = _VERDICTS.get(probe.verdict, "dropped")
    ends = [sighting for space, sighting in entered.items() if space not in left]
    return Seen(
        verdict,
        ends[-1].source if ends and verdict != "dropped" else None,
        tuple(
            Crossing(space, entered[space].source, left[space].source) for space in left if space in entered
        ),
    )
