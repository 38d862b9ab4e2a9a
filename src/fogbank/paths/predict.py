"""Prediction: walk the first packet of a flow through a topology, by the rules that the kernel follows.

The order inside a namespace is the kernel's: who may send (port security), where to (routes), whether it may
pass (policies), what it becomes (translation), how fast (shapers). ARP counts too: a neighbour that does not
have the next hop's address never answers. Replies are not walked: connection tracking takes them back, and
the test that sends real packets would show it if not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Literal

from fogbank.lowering.google_access import POLICY as PRIVATE_GOOGLE_ACCESS
from fogbank.network.addressing import PRIVATE_RANGES
from fogbank.network.filtering import ICMP, TCP, UDP, Packet, decide
from fogbank.network.topology import DeviceName, Hop, Key, NetnsName, PortSecurity, Route, Topology
from fogbank.paths.node_views import NodeView, node_views
from fogbank.paths.trace import (
    Branch,
    Cause,
    Delivered,
    Disposition,
    Dropped,
    Flow,
    Judged,
    Routed,
    Shaped,
    Step,
    Trace,
    TraceHop,
    Translated,
)

LONGEST = 32
"""Namespaces that a packet may cross before it is thought to go in circles."""

_PROTOCOLS = {TCP: "tcp", UDP: "udp"}


def predict(topology: Topology, flow: Flow) -> Trace:
    """Return every way that ``flow`` may take through ``topology``; KeyError when it starts nowhere."""
    found = node_views(topology)
    start = found[flow.start]
    packet = Packet(_own_source(start, flow), flow.destination, flow.protocol, flow.port)
    return Trace(flow, tuple(_walk(found, _At(start, None, packet, ()))))


def _own_source(node: NodeView, flow: Flow) -> IPv4Address:
    route = node.table.lookup(flow.destination)
    source = flow.source or (node.source_for(route) if route else None)
    return source or IPv4Address(0)


@dataclass(frozen=True, slots=True)
class _At:
    """A packet that has come into ``node`` by a device (None: it starts here)."""

    node: NodeView
    by: DeviceName | None
    packet: Packet
    behind: tuple[TraceHop, ...]

    def end(self, disposition: Disposition, *steps: Step, out: DeviceName | None = None) -> Branch:
        hop = TraceHop(self.node.netns, self.by, out, self.packet.source, steps)
        return Branch((*self.behind, hop), disposition, self.packet.source)


def _walk(found: Mapping[NetnsName, NodeView], at: _At) -> Iterator[Branch]:
    node, packet = at.node, at.packet
    if len(at.behind) >= LONGEST:
        yield at.end(Dropped(Cause.ROUTING_LOOP))
    elif refused := _entry(at):
        yield at.end(refused)
    elif packet.destination in node.addresses:
        yield at.end(_arrival(node, packet))
    elif at.by is not None and not node.forwards:
        yield at.end(Dropped(Cause.FOREIGN_IP_DISALLOWED))
    elif (route := node.table.lookup(packet.destination)) is None:
        yield at.end(Dropped(Cause.NO_ROUTE))
    elif route.discards:
        yield at.end(Dropped(_black_hole(node, route, packet), route.key))
    else:
        for hop in route.hops:
            yield from _leave(found, at, route, hop)


def _entry(at: _At) -> Dropped | None:
    """Judge who may send at all, and what may enter by the uplink."""
    node = at.node
    if node.filter is None or at.by is None:
        return None
    if at.by == node.filter.uplink:
        return Dropped(Cause.NO_ROUTE_FROM_INTERNET_TO_PRIVATE_IPV4_ADDRESS, node.filter.key)
    port_security = node.port_security_by_address.get(at.packet.source)
    if port_security is None or port_security.device != at.by:
        return Dropped(Cause.FOREIGN_IP_DISALLOWED, node.filter.key)
    return None


def _arrival(node: NodeView, packet: Packet) -> Delivered:
    if packet.protocol == ICMP:
        return Delivered("echo")
    protocol = _PROTOCOLS.get(packet.protocol, "")
    listener = node.listeners.get((packet.destination, packet.port, protocol))
    if listener is not None:
        return Delivered(listener.service)
    workload = node.workloads.get(packet.port) if packet.protocol == TCP else None
    return Delivered(workload.name if workload else None)


def _leave(found: Mapping[NetnsName, NodeView], at: _At, route: Route, hop: Hop) -> Iterator[Branch]:
    node = at.node
    passed: list[Step] = [Routed(route, hop)]
    dropped = _pass(at, hop.device, passed)
    if dropped is not None:
        yield at.end(dropped, *passed, out=hop.device)
        return
    for step, packet in _translated(node, hop, at.packet):
        yield from _cross(found, at, packet, (*passed, *step))


def _translated(node: NodeView, hop: Hop, packet: Packet) -> Iterator[tuple[tuple[Step, ...], Packet]]:
    """List what the packet may become: one for each address that its flow may take."""
    translation = node.translation(hop.device, packet.source)
    if translation is None:
        yield (), packet
        return
    for after in translation.outsides_for(packet.destination):
        ports = next(
            (b.ports for b in translation.blocks_for(packet.destination) if b.outside == after), None
        )
        step = Translated(packet.source, after, ports, translation.key)
        yield (step,), replace(packet, source=after)


def _cross(
    found: Mapping[NetnsName, NodeView], at: _At, packet: Packet, passed: tuple[Step, ...]
) -> Iterator[Branch]:
    """Go over the link of the next hop that ``passed`` begins with."""
    node, routed = at.node, passed[0]
    if not isinstance(routed, Routed):
        raise TypeError(routed)
    route, hop = routed.route, routed.hop
    if (shaper := node.shapers.get(hop.device)) is not None:
        passed = (*passed, Shaped(shaper.bits_per_second, shaper.key))
    neighbour = node.neighbours.get(hop.device)
    if neighbour is None or (hop.via or packet.destination) not in found[neighbour.netns].addresses:
        yield at.end(Dropped(Cause.ROUTE_NEXT_HOP_RESOURCE_NOT_FOUND, route.key), *passed, out=hop.device)
        return
    here = TraceHop(node.netns, at.by, hop.device, at.packet.source, passed)
    yield from _walk(found, _At(found[neighbour.netns], neighbour.device, packet, (*at.behind, here)))


def _pass(at: _At, out: DeviceName, passed: list[Step]) -> Dropped | None:
    """Judge whether a filter forwards the packet; what policies said goes to ``passed``."""
    node, packet = at.node, at.packet
    if node.filter is None or at.by is None:
        return None
    if dropped := _judge(node, node.port_security_by_address.get(packet.source), "egress", packet, passed):
        return dropped
    if out == node.filter.uplink:
        return _leaves(node, out, packet, node.filter.key)
    port_security = node.port_security_by_address.get(packet.destination)
    if port_security is None or port_security.device != out:
        return Dropped(Cause.UNKNOWN_INTERNAL_ADDRESS, node.filter.key)
    return _judge(node, port_security, "ingress", packet, passed)


def _leaves(node: NodeView, out: DeviceName, packet: Packet, key: Key) -> Dropped | None:
    """Say why a packet may not go to the internet: nothing translates it, or there are no ports for it."""
    translation = node.translation(out, packet.source)
    if translation is not None:
        if translation.outsides_for(packet.destination):
            return None
        return Dropped(Cause.CLOUD_NAT_NO_ADDRESSES, translation.key)
    for unserved in node.unserved:
        if unserved.device == out and packet.source in unserved.inside:
            return Dropped(Cause.CLOUD_NAT_NO_ADDRESSES, unserved.key)
    return Dropped(Cause.NO_EXTERNAL_ADDRESS, key)


def _judge(
    node: NodeView,
    port_security: PortSecurity | None,
    direction: Literal["ingress", "egress"],
    packet: Packet,
    passed: list[Step],
) -> Dropped | None:
    if port_security is None:
        return None
    policy = node.policies[port_security.ingress if direction == "ingress" else port_security.egress]
    ruling = decide(policy, packet, node.members)
    passed.append(Judged(direction, port_security, policy, ruling.action, ruling.rule))
    if ruling.action == "allow":
        return None
    google = policy.name == PRIVATE_GOOGLE_ACCESS
    return Dropped(Cause.PRIVATE_GOOGLE_ACCESS_DISALLOWED if google else Cause.FIREWALL_RULE, policy.key)


def _black_hole(node: NodeView, route: Route, packet: Packet) -> Cause:
    """Say in Google's words what a route without next hops means; it depends on whose it is."""
    private = any(packet.destination in each for each in PRIVATE_RANGES)
    match node.netns.partition("/")[0]:
        case "hub":
            return Cause.VPC_CONNECTOR_NOT_RUNNING
        case "internet":
            return Cause.PRIVATE_TRAFFIC_TO_INTERNET if private else Cause.UNKNOWN_EXTERNAL_ADDRESS
        case "vpc" if route.destination.prefixlen:
            return Cause.UNKNOWN_INTERNAL_ADDRESS
        case _:
            return Cause.ROUTE_BLACKHOLE if route.destination.prefixlen else Cause.NO_ROUTE
