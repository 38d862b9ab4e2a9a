"""Explanation: a trace in the words of Google's Connectivity Tests, for people and for programs.

The states (``APPLY_ROUTE``, ``NAT``, ``DELIVER`` …) and drop causes are those of the networkmanagement API;
``owners`` turn elements into the resources that a user knows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fogbank.lowering.netns_names import FABRIC
from fogbank.network.topology import Key, NetnsName
from fogbank.paths.trace import (
    Branch,
    Cause,
    Delivered,
    Dropped,
    Encapsulated,
    HandedOver,
    Judged,
    Obstacle,
    Readdressed,
    Routed,
    Shaped,
    Step,
    Trace,
    TraceHop,
    Translated,
)
from fogbank.resources.names import ResourceName

Owners = Mapping[Key, frozenset[ResourceName]]

MEANINGS: Mapping[Cause, str] = {
    Cause.NO_ROUTE: "no route matches",
    Cause.ROUTE_BLACKHOLE: "the route's next hop is a black hole",
    Cause.ROUTE_NEXT_HOP_RESOURCE_NOT_FOUND: "the route's next hop does not exist",
    Cause.ROUTING_LOOP: "the packet goes in circles",
    Cause.FIREWALL_RULE: "a firewall rule denies it",
    Cause.FOREIGN_IP_DISALLOWED: "the sender may not use this source address",
    Cause.CLOUD_NAT_NO_ADDRESSES: "the Cloud NAT gateway has no address with ports left for the sender",
    Cause.NO_EXTERNAL_ADDRESS: "no external address, and no Cloud NAT gateway serves the sender",
    Cause.PRIVATE_GOOGLE_ACCESS_DISALLOWED: "the sender's subnetwork has no Private Google Access",
    Cause.NO_ROUTE_FROM_INTERNET_TO_PRIVATE_IPV4_ADDRESS: "nothing new enters from the internet",
    Cause.PRIVATE_TRAFFIC_TO_INTERNET: "an internal destination was sent to the internet",
    Cause.UNKNOWN_EXTERNAL_ADDRESS: "nobody on the internet has this address",
    Cause.UNKNOWN_INTERNAL_ADDRESS: "nobody in the network has this address",
    Cause.ROUTE_NEXT_HOP_VPN_TUNNEL_NOT_ESTABLISHED: "the VPN tunnel is not established",
    Cause.VPN_TUNNEL_LOCAL_SELECTOR_MISMATCH: "no local traffic selector of a VPN tunnel has the source",
    Cause.VPN_TUNNEL_REMOTE_SELECTOR_MISMATCH: "no remote traffic selector of a VPN tunnel has it",
    Cause.VPC_CONNECTOR_NOT_RUNNING: "the VPC connector does not exist or does not run",
}


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step, told: ``place`` for people, ``state`` in Google's word, ``text`` and its resources."""

    place: str
    state: str
    text: str
    resources: tuple[str, ...] = ()


def explain(trace: Trace, owners: Owners) -> tuple[str, ...]:
    """Return ``trace`` in lines, a paragraph for each branch."""
    return tuple(_lines(trace, owners))


def _lines(trace: Trace, owners: Owners) -> Iterator[str]:
    for number, branch in enumerate(trace.branches):
        if number:
            yield ""
        if len(trace.branches) > 1:
            yield f"path {number + 1} of {len(trace.branches)} (flows spread over them)"
        place = ""
        for told in _told(trace, branch, owners):
            if told.place != place:
                place = told.place
                yield place
            yield f"  {told.state:<31} {told.text}"


def to_json(trace: Trace, owners: Owners) -> dict[str, Any]:
    """Return ``trace`` as JSON; the names follow networkmanagement's Trace and Step."""
    flow = trace.flow
    return {
        "flow": {
            "start": flow.start,
            "destination": str(flow.destination),
            "protocol": flow.protocol,
            "port": flow.port,
        },
        "verdicts": sorted(trace.verdicts),
        "sources": [str(source) for source in sorted(trace.sources)],
        "traces": [_branch_json(trace, branch, owners) for branch in trace.branches],
    }


def _branch_json(trace: Trace, branch: Branch, owners: Owners) -> dict[str, Any]:
    steps = [
        {"place": told.place, "state": told.state, "description": told.text}
        | ({"resources": list(told.resources)} if told.resources else {})
        for told in _told(trace, branch, owners)
    ]
    cause = {"cause": branch.disposition.cause.value} if isinstance(branch.disposition, Dropped) else {}
    return {"verdict": branch.verdict, "source": str(branch.source), **cause, "steps": steps}


def _told(trace: Trace, branch: Branch, owners: Owners) -> Iterator[TraceStep]:
    for hop in branch.hops:
        place = place_of(hop.netns)
        arrival = _arrival(hop)
        if arrival:
            yield TraceStep(place, arrival, f"from {hop.source}")
        for step in hop.steps:
            if not (
                hop.netns == FABRIC and isinstance(step, Judged)
            ):  # its port security is nobody's firewall
                yield _step(place, step, owners)
    yield _end(trace, branch, owners)


def place_of(netns: NetnsName) -> str:
    """Call a namespace what its user calls it."""
    kind, _, rest = netns.partition("/")
    parts = rest.split("/")
    match kind:
        case "vpc":
            return f"network {parts[-1]}"
        case "site":
            return rest
        case "hub":
            return f"connector {parts[-1]}"
        case "connector":
            return f"connector {parts[-2]}, machine {parts[-1]}"
        case "instance" if rest.startswith("vpn-"):
            return f"VPN gateway, interface {rest.rpartition('-')[2]}"
        case "instance" if rest.startswith("onprem-"):
            return "on-premises VPN device"
        case "instance":
            return f"instance {rest}"
        case "peering":
            return f"peering of {parts[1]} and {parts[3]}"
        case "fabric":
            return "serverless fabric"
        case "google":
            return "Google's front end"
        case _:
            return kind


def _arrival(hop: TraceHop) -> str | None:
    kind = hop.netns.partition("/")[0]
    if hop.device_in is None:
        starts = {"instance": "START_FROM_CLOUD_RUN_REVISION", "site": "START_FROM_INTERNET"}
        return starts.get(kind, "START_FROM_PRIVATE_NETWORK")
    arrivals = {
        "hub": "ARRIVE_AT_VPC_CONNECTOR",
        "connector": "ARRIVE_AT_INSTANCE",
        "fabric": "SERVERLESS_EXTERNAL_CONNECTION",
    }
    return arrivals.get(kind)


def _step(place: str, step: Step, owners: Owners) -> TraceStep:
    match step:
        case Routed(route=route, hop=hop):
            to = f"{hop.device} ({hop.via})" if hop.via else hop.device
            return TraceStep(place, "APPLY_ROUTE", f"{route.destination} to {to}", _names(route.key, owners))
        case Judged(direction=direction, rule=rule, action=action, policy=policy):
            state = f"APPLY_{direction.upper()}_FIREWALL_RULE"
            label = rule.label if rule else f"the implied {direction} rule"
            return TraceStep(place, state, f"{label}: {action}", _rule_names(policy.key, label, owners))
        case Translated(before=before, after=after, ports=ports, key=key):
            ranged = f":{ports}" if ports else ""
            return TraceStep(place, "NAT", f"{before} becomes {after}{ranged}", _names(key, owners))
        case Readdressed(before=before, after=after, key=key):
            return TraceStep(place, "NAT", f"for {before} becomes for {after}", _names(key, owners))
        case Shaped(bits_per_second=rate, key=key):
            return TraceStep(place, "SHAPE", f"{rate / 1e6:g} Mbit/s", _names(key, owners))
        case Encapsulated(local=local, remote=remote, key=key):
            text = f"ESP from {local} to {remote}"
            return TraceStep(place, "ARRIVE_AT_VPN_TUNNEL", text, _names(key, owners))
        case Obstacle(dropped=dropped):
            return _drop(place, dropped, owners)


def _end(trace: Trace, branch: Branch, owners: Owners) -> TraceStep:
    place = place_of(branch.hops[-1].netns)
    match branch.disposition:
        case Delivered(service=service, guest=guest):
            to = f"{trace.flow.destination}:{trace.flow.port} from {branch.source}"
            refusal = "" if service else ", which the guest answers" if guest else ", where nothing listens"
            return TraceStep(place, "DELIVER", f"{to}{refusal}")
        case HandedOver():
            return TraceStep(place, "FORWARD", "the machine may forward it; what it does is its own affair")
        case Dropped() as dropped:
            return _drop(place, dropped, owners)


def _drop(place: str, dropped: Dropped, owners: Owners) -> TraceStep:
    names = _names(dropped.key, owners) if dropped.key else ()
    return TraceStep(place, "DROP", f"{dropped.cause}: {MEANINGS[dropped.cause]}", names)


def _names(key: Key, owners: Owners) -> tuple[str, ...]:
    return tuple(sorted(name.path for name in owners.get(key, ())))


def _rule_names(key: Key, label: str, owners: Owners) -> tuple[str, ...]:
    return tuple(sorted(n.path for n in owners.get(key, ()) if n.id in {label, label.partition("/")[0]}))
