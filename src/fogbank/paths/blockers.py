"""Blockers: every setting that keeps a flow from arriving, and not only the one that drops it first.

A packet that is dropped says nothing of what would have dropped it further on. So the prediction goes on as
if each setting were lifted (`predict`), and what it met is listed here in the order of the way.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fogbank.network.filtering import Packet
from fogbank.network.topology import NetnsName, Topology
from fogbank.paths.predict import predict
from fogbank.paths.trace import Branch, Cause, Dropped, Flow, Judged, Obstacle, Step


@dataclass(frozen=True, slots=True)
class Blocker:
    """``packet`` does not get past ``netns`` because of ``dropped``; None: nothing listens where it arrives.

    ``judged`` is what a firewall said when that is the cause.
    """

    netns: NetnsName
    packet: Packet
    dropped: Dropped | None
    judged: Judged | None = None

    @property
    def cause(self) -> Cause | None:
        return self.dropped.cause if self.dropped else None


def blockers(topology: Topology, flow: Flow) -> tuple[Blocker, ...]:
    """List what stops ``flow``, each once, in the order of the way; nothing when it arrives by every way."""
    branches = predict(topology, flow, past_obstacles=True).branches
    return tuple(dict.fromkeys(found for branch in branches for found in _on(branch, flow)))


def _on(branch: Branch, flow: Flow) -> Iterator[Blocker]:
    for hop in branch.hops:
        yield from _passed(hop.netns, hop.steps)
    last = branch.hops[-1]
    packet = Packet(branch.source, flow.destination, flow.protocol, flow.port)
    if isinstance(branch.disposition, Dropped):
        yield Blocker(last.netns, packet, branch.disposition)
    elif branch.verdict == "refused":
        yield Blocker(last.netns, packet, None)


def _passed(netns: NetnsName, steps: tuple[Step, ...]) -> Iterator[Blocker]:
    judged = None
    for step in steps:
        if isinstance(step, Judged):
            judged = step
        elif isinstance(step, Obstacle):
            ruled = judged if step.dropped.cause is Cause.FIREWALL_RULE else None
            yield Blocker(netns, step.packet, step.dropped, ruled)
