"""Results: a predicted trace, and what a packet did, as Connectivity Tests write them.

Google shows what a user configured: routes, rules, gateways, connectors. What a region is made of beside
those (routers between them, shapers) is left out; `fogbank trace` shows it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from fogbank.lowering.netns_names import ETH1, FABRIC, network_of_vpc_netns
from fogbank.network.packet_captures import ProbeResult
from fogbank.paths.explain import MEANINGS, Owners
from fogbank.paths.trace import (
    Branch,
    Cause,
    Delivered,
    Dropped,
    Encapsulated,
    HandedOver,
    Judged,
    Readdressed,
    Routed,
    Step,
    Trace,
    TraceHop,
    Translated,
)
from fogbank.resources.compute import FirewallRule, Router
from fogbank.resources.names import ResourceName
from fogbank.resources.vpn import ANY, VpnTunnel
from fogbank.resources.world import Json, Resource, World
from fogbank.services.networkmanagement.controller.endpoints import Ends, NotTraceableError

_NEXT_HOPS = {
    "nextHopGateway": "NEXT_HOP_INTERNET_GATEWAY",
    "nextHopInstance": "NEXT_HOP_INSTANCE",
    "nextHopVpnTunnel": "NEXT_HOP_VPN_TUNNEL",
}
_INTERNAL = 13
"""google.rpc.Code.INTERNAL"""

_MANAGED = "SERVERLESS_VPC_ACCESS_MANAGED_FIREWALL_RULE"


@dataclass(frozen=True, slots=True)
class Shown:
    """What results are written from: ``verified`` is when, ``owners`` whose the network's elements are."""

    world: World
    owners: Owners
    test: Resource
    verified: str

    @property
    def project(self) -> str:
        return self.test.name.project


def reachability_details(shown: Shown, found: Trace | NotTraceableError, ends: Ends | None = None) -> Json:
    """Write the analysis of the configuration."""
    if isinstance(found, NotTraceableError) or ends is None:
        return {"reachabilityDetails": _aborted(shown, found), "probingDetails": None}
    ended = {isinstance(branch.disposition, Delivered) for branch in found.branches}
    forwarded = any(isinstance(branch.disposition, HandedOver) for branch in found.branches)
    result = (
        "UNDETERMINED"
        if forwarded
        else "AMBIGUOUS"
        if len(ended) > 1
        else "REACHABLE"
        if True in ended
        else "UNREACHABLE"
    )
    traces = [
        {
            "endpointInfo": _endpoint_info(found, branch, ends),
            "steps": list(_steps(shown, found, branch, ends)),
            "forwardTraceId": number,
        }
        for number, branch in enumerate(found.branches, start=1)
    ]
    return {"reachabilityDetails": {"result": result, "verifyTime": shown.verified, "traces": traces}}


def analysis_failed(moment: str, error: Exception) -> Json:
    """Write that the analysis itself failed (ReachabilityDetails.error: a google.rpc.Status)."""
    status = {"code": _INTERNAL, "message": f"{type(error).__name__}: {error}"}
    details = {"result": "UNDETERMINED", "verifyTime": moment, "error": status}
    return {"reachabilityDetails": details, "probingDetails": None}


def _aborted(shown: Shown, error: object) -> Json:
    assert isinstance(error, NotTraceableError)
    abort = {"cause": error.cause, **({"resourceUri": error.resource} if error.resource else {})}
    step = {"description": str(error), "state": "ABORT", "projectId": shown.project, "abort": abort}
    return {"result": "UNDETERMINED", "verifyTime": shown.verified, "traces": [{"steps": [step]}]}


def probing_details(shown: Shown, trace: Trace, ends: Ends, packet: ProbeResult, *, agrees: bool) -> Json:
    """Write what became of the one packet that was sent."""
    arrived = packet.verdict in {"connected", "refused"}
    result = ("REACHABLE" if arrived else "UNREACHABLE") if agrees else "REACHABILITY_INCONSISTENT"
    latency = {"latencyPercentiles": [{"percent": 50, "latencyMicros": str(round(packet.seconds * 1e6))}]}
    return {
        "result": result,
        "verifyTime": shown.verified,
        "endpointInfo": _endpoint_info(trace, trace.branches[0], ends) | {"sourcePort": packet.source_port},
        "sentProbeCount": 1,
        "successfulProbeCount": int(arrived),
        **({"probingLatency": latency} if arrived else {}),
    }


def _endpoint_info(trace: Trace, branch: Branch, ends: Ends) -> Json:
    flow = trace.flow
    network = ends.source.network if ends.source else None
    return {
        "sourceIp": str(branch.hops[0].source),
        "destinationIp": str(flow.destination),
        "protocol": {1: "ICMP", 6: "TCP", 17: "UDP"}[flow.protocol],
        **({"destinationPort": flow.port} if flow.port else {}),
        **({"sourceNetworkUri": network.path} if network else {}),
    }


def _steps(shown: Shown, trace: Trace, branch: Branch, ends: Ends) -> Iterator[Json]:
    rule = ""
    for hop in branch.hops:
        for step in _on(shown, hop, ends, trace):
            rule = step.get("firewall", {}).get("uri", rule)
            yield {"projectId": shown.project, **step}
    yield {"projectId": shown.project, **_end(shown, trace, branch, rule)}


def _on(shown: Shown, hop: TraceHop, ends: Ends, trace: Trace) -> Iterator[Json]:
    yield from _arrival(hop, ends)
    yield from (_tunnel(shown, step) for step in hop.steps if isinstance(step, Encapsulated))
    network = network_of_vpc_netns(hop.netns)
    if network is None:
        return
    for step in sorted(hop.steps, key=_order):
        yield from _passage(shown, network, step, trace)


def _tunnel(shown: Shown, step: Encapsulated) -> Json:
    owners = shown.owners.get(step.key, ())
    name = next((each for each in owners if each.collection == "compute.vpnTunnels"), None)
    found = shown.world.find(name) if name else None
    info: Json = {"sourceGatewayIp": str(step.local), "remoteGatewayIp": str(step.remote)}
    if found is not None:
        tunnel = VpnTunnel.of(found)
        info |= {
            "displayName": found.name.id,
            "uri": found.name.path,
            "region": found.name.region,
            "networkUri": tunnel.interface.network.path,
            "sourceGateway": tunnel.gateway.path,
            "routingType": "DYNAMIC"
            if tunnel.router
            else "ROUTE_BASED"
            if tunnel.far == ANY
            else "POLICY_BASED",
        }
    text = f"Went into the VPN tunnel to {step.remote}."
    return {"state": "ARRIVE_AT_VPN_TUNNEL", "description": text, "vpnTunnel": info}


def _order(step: Step) -> int:
    """Put steps in Google's order: a rule lets a packet out before a route takes it."""
    match step:
        case Judged(direction="egress"):
            return 0
        case Routed():
            return 1
        case _:
            return 2


def _arrival(hop: TraceHop, ends: Ends) -> Iterator[Json]:
    kind, _, rest = hop.netns.partition("/")
    if hop.device_in is None:
        yield from _start(hop, ends)
    elif kind == "hub":
        project, region, name = rest.split("/")
        uri = f"projects/{project}/locations/{region}/connectors/{name}"
        connector = {"displayName": name, "uri": uri, "location": region}
        yield {
            "state": "ARRIVE_AT_VPC_CONNECTOR", "description": f"Arrived at the connector {name}.",
            "vpcConnector": connector,
        }  # fmt: skip
    elif hop.netns == FABRIC:
        yield {
            "state": "SERVERLESS_EXTERNAL_CONNECTION",
            "description": "Left by an external address of Google's.",
            "serverlessExternalConnection": {"selectedIpAddress": str(_translated(hop) or hop.source)},
        }


def _translated(hop: TraceHop) -> IPv4Address | None:
    return next((step.after for step in hop.steps if isinstance(step, Translated)), None)


def _start(hop: TraceHop, ends: Ends) -> Iterator[Json]:
    source = ends.source
    if source is None:
        state = (
            "START_FROM_INTERNET"
            if hop.netns.partition("/")[0] != "instance"
            else "START_FROM_PRIVATE_NETWORK"
        )
        info = {"sourceIp": str(hop.source), "destinationIp": str(ends.flow.destination)}
        yield {"state": state, "description": f"Started from {hop.source}.", "endpoint": info}
        return
    name = source.resource
    if name.collection == "compute.instances":
        instance = {
            "displayName": name.id,
            "uri": name.path,
            "internalIp": str(hop.source),
            "status": "RUNNING",
        }
        network = {"networkUri": source.network.path} if source.network else {}
        yield {
            "state": "START_FROM_INSTANCE", "description": f"Started from the instance {name.id}.",
            "instance": instance | network,
        }  # fmt: skip
        return
    parent, part = name.path.rpartition("/services/")[0], (source.parts or (name.id,))[0]
    revision = {
        "displayName": part, "uri": f"{parent}/revisions/{part}", "location": name.region or "",
        "serviceUri": name.path,
    }  # fmt: skip
    yield {
        "state": "START_FROM_CLOUD_RUN_REVISION", "description": f"Started from the revision {part}.",
        "cloudRunRevision": revision,
    }  # fmt: skip
    if hop.device_out == ETH1 and source.network:
        direct = {
            "networkUri": source.network.path,
            "selectedIpAddress": str(hop.source),
            "region": name.region,
        }
        yield {
            "state": "DIRECT_VPC_EGRESS_CONNECTION", "description": "Entered the VPC by an own interface.",
            "directVpcEgressConnection": direct,
        }  # fmt: skip


def _passage(shown: Shown, network: ResourceName, step: Step, trace: Trace) -> Iterator[Json]:
    match step:
        case Judged():
            yield _firewall(shown, network, step)
        case Routed():
            yield _route(shown, network, step)
        case Translated():
            yield _nat(shown, network, step, trace)
        case Readdressed():
            yield _external_address(network, step, trace)
        case _:
            return


def _firewall(shown: Shown, network: ResourceName, judged: Judged) -> Json:
    label = judged.rule.label if judged.rule else ""
    name = ResourceName("compute.firewalls", f"projects/{network.project}/global/firewalls/{label}")
    found = shown.world.find(name) if label else None
    allowed = judged.action == "allow"
    info: Json = {
        "direction": judged.direction.upper(),
        "action": "ALLOW" if allowed else "DENY",
        "networkUri": network.path,
    }
    if found is None:
        shown_name = label or f"default-{judged.direction}-{judged.action}"
        info |= {
            "displayName": shown_name,
            "priority": 65535,
            "firewallRuleType": "IMPLIED_VPC_FIREWALL_RULE",
        }
    else:
        rule = FirewallRule.of(found)
        managed = found.private.get("connector") is not None
        info |= {
            "displayName": name.id, "uri": name.path, "priority": rule.priority,
            "targetTags": list(rule.target_tags),
            "firewallRuleType": _MANAGED if managed else "VPC_FIREWALL_RULE",
        }  # fmt: skip
    return {
        "state": f"APPLY_{judged.direction.upper()}_FIREWALL_RULE",
        "description": f"The {judged.direction} firewall rule {info['displayName']} applies.",
        "causesDrop": not allowed,
        "firewall": info,
    }


def _route(shown: Shown, network: ResourceName, routed: Routed) -> Json:
    owners = sorted(shown.owners.get(routed.route.key, ()), key=lambda name: name.path)
    static = next((each for each in owners if each.collection == "compute.routes"), None)
    info: Json = {"destIpRange": str(routed.route.destination), "networkUri": network.path}
    found = shown.world.find(static) if static else None
    if found is not None:
        hop = next((word for field, word in _NEXT_HOPS.items() if found.body.get(field)), "NEXT_HOP_IP")
        info |= {
            "displayName": found.name.id, "uri": found.name.path, "priority": found.body["priority"],
            "instanceTags": list(found.body.get("tags", ())), "routeType": "STATIC", "nextHopType": hop,
        }  # fmt: skip
    else:
        name = owners[0].id if owners else str(routed.route.destination)
        info |= {"displayName": name, "routeType": "SUBNET", "nextHopType": "NEXT_HOP_NETWORK"}
    text = f"The route {info['displayName']} applies."
    return {"state": "APPLY_ROUTE", "description": text, "route": info}


def _nat(shown: Shown, network: ResourceName, step: Translated, trace: Trace) -> Json:
    owners = shown.owners.get(step.key, ())
    router = next((each for each in owners if each.collection == "compute.routers"), None)
    gateway = _gateway(shown.world, router, step.after)
    flow = trace.flow
    info = {
        "type": "CLOUD_NAT", "protocol": {1: "ICMP", 6: "TCP", 17: "UDP"}[flow.protocol],
        "networkUri": network.path,
        "oldSourceIp": str(step.before), "newSourceIp": str(step.after),
        "oldDestinationIp": str(flow.destination), "newDestinationIp": str(flow.destination),
        "oldDestinationPort": flow.port, "newDestinationPort": flow.port,
        **({"routerUri": router.path} if router else {}),
        **({"natGatewayName": gateway, "cloudNatGatewayType": "PUBLIC_NAT44"} if gateway else {}),
    }  # fmt: skip
    return {"state": "NAT", "description": f"The source {step.before} becomes {step.after}.", "nat": info}


def _external_address(network: ResourceName, step: Readdressed, trace: Trace) -> Json:
    """Write how a packet for an external address finds its instance."""
    flow, source = trace.flow, trace.branches[0].source
    info = {
        "type": "EXTERNAL_TO_INTERNAL", "protocol": {1: "ICMP", 6: "TCP", 17: "UDP"}[flow.protocol],
        "networkUri": network.path,
        "oldSourceIp": str(source), "newSourceIp": str(source),
        "oldDestinationIp": str(step.before), "newDestinationIp": str(step.after),
        "oldDestinationPort": flow.port, "newDestinationPort": flow.port,
    }  # fmt: skip
    return {"state": "NAT", "description": f"For {step.before} becomes for {step.after}.", "nat": info}


def _gateway(world: World, router: ResourceName | None, address: IPv4Address) -> str:
    """Name the gateway of ``router`` that has ``address``."""
    found = world.find(router) if router else None
    for gateway in Router.of(found).nats if found else ():
        for each in gateway.outsides:
            reserved = world.find(each)
            if reserved is not None and reserved.body.get("address") == str(address):
                return gateway.name
    return ""


def _end(shown: Shown, trace: Trace, branch: Branch, rule: str) -> Json:
    """Write how a branch ends; ``rule`` is the last one of a user's that judged the packet."""
    last, flow = branch.hops[-1], trace.flow
    match branch.disposition:
        case Delivered():
            kind = last.netns.partition("/")[0]
            target = {"site": "INTERNET", "google": "GOOGLE_API", "front-end": "GOOGLE_API"}.get(
                kind, "INSTANCE"
            )
            info = {"target": target, "ipAddress": str(flow.destination)}
            return {"state": "DELIVER", "description": f"Delivered to {flow.destination}.", "deliver": info}
        case HandedOver():
            text = "Handed over to an instance that may forward it."
            return {"state": "FORWARD", "description": text, "forward": {"target": "INSTANCE"}}
        case Dropped(cause=cause, key=key):
            owners = sorted(name.path for name in shown.owners.get(key, ())) if key else []
            by = rule if cause is Cause.FIREWALL_RULE else owners[0] if len(owners) == 1 else ""
            drop = {
                "cause": cause.value,
                "sourceIp": str(branch.source),
                "destinationIp": str(flow.destination),
                **({"resourceUri": by} if by else {}),
            }
            text = f"Dropped: {MEANINGS[cause]}."
            return {"state": "DROP", "description": text, "causesDrop": True, "drop": drop}
