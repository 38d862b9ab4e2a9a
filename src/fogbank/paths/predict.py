"""Prediction: walk the first packet of a flow through a topology, by the rules that the kernel follows.

The order inside a namespace is the kernel's: who may send (port security), where to (routes), whether it may
pass (policies), what it becomes (translation), how fast (shapers). ARP counts too: a neighbour that does not
have the next hop's address never answers. Replies are not walked but for their route to the internet:
connection tracking takes them back, and the test that sends real packets would show it if not.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Literal

from fogbank.lowering.google_access import POLICY as PRIVATE_GOOGLE_ACCESS
from fogbank.lowering.netns_names import IPSEC
from fogbank.network.addressing import PRIVATE_RANGES
from fogbank.network.filtering import ICMP, TCP, UDP, Packet, decide
from fogbank.network.topology import DeviceName, Hop, Key, NetnsName, PortSecurity, Route, Topology, Tunnel
from fogbank.paths.node_views import NodeView, node_views
from fogbank.paths.trace import (
    Branch,
    Cause,
    Delivered,
    Disposition,
    Dropped,
    Encapsulated,
    Flow,
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

LONGEST = 32
"""Namespaces that a packet may cross before it is thought to go in circles."""

_PROTOCOLS = {TCP: "tcp", UDP: "udp"}


def predict(topology: Topology, flow: Flow, *, past_obstacles: bool = False) -> Trace:
    """Return every way that ``flow`` may take through ``topology``; KeyError when it starts nowhere.

    With ``past_obstacles`` a packet that a setting drops goes on as if the setting were lifted, and each one
    is an :class:`Obstacle` among the steps: so all of them are found, and not only the first. What leads
    nowhere (no route, no such address) still ends the way.
    """
    return _trace(node_views(topology), flow, past_obstacles=past_obstacles)


def predict_all(topology: Topology, flows: Iterable[Flow]) -> tuple[Trace, ...]:
    """Predict each of ``flows``; what they share is read once."""
    found = node_views(topology)
    return tuple(_trace(found, flow) for flow in flows)


def _trace(found: Mapping[NetnsName, NodeView], flow: Flow, *, past_obstacles: bool = False) -> Trace:
    start = found[flow.start]
    packet = Packet(_own_source(start, flow), flow.destination, flow.protocol, flow.port)
    return Trace(flow, tuple(_walk(found, _At(start, None, packet, (), past_obstacles))))


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
    past_obstacles: bool
    passed: tuple[Step, ...] = ()
    to_guest: bool = False
    """Whether the machine may forward, in ways that nobody declared."""

    def end(self, disposition: Disposition, *steps: Step, out: DeviceName | None = None) -> Branch:
        hop = TraceHop(self.node.netns, self.by, out, self.packet.source, (*self.passed, *steps))
        return Branch((*self.behind, hop), disposition, self.packet.source)


def _walk(found: Mapping[NetnsName, NodeView], at: _At) -> Iterator[Branch]:
    at = _arrived(at)
    node, packet = at.node, at.packet
    if len(at.behind) >= LONGEST:
        yield at.end(Dropped(Cause.ROUTING_LOOP))
    elif (refused := _entry(at)) and not at.past_obstacles:
        yield at.end(refused)
    elif node.has(packet.destination):
        yield at.end(_arrival(node, packet))
    elif at.to_guest:
        yield at.end(HandedOver())
    elif at.by is not None and not node.forwards:
        yield at.end(Dropped(Cause.FOREIGN_IP_DISALLOWED))
    elif tunnels := [
        each for each in node.tunnels_from(at.by) if each.takes(packet.source, packet.destination)
    ]:
        for tunnel in tunnels:
            yield from _through(found, at, tunnel)
    elif (route := node.route(at.by, packet.destination)) is None:
        yield at.end(Dropped(Cause.NO_ROUTE))
    elif node.tunnels_from(at.by) and any(hop.device == at.by for hop in route.hops):
        yield at.end(_no_tunnel(node.tunnels_from(at.by), packet))
    elif route.discards:
        yield at.end(Dropped(_black_hole(node, route, packet), route.key))
    else:
        for hop in route.hops:
            yield from _leave(found, at, route, hop)


def _through(found: Mapping[NetnsName, NodeView], at: _At, tunnel: Tunnel) -> Iterator[Branch]:
    """Go through a tunnel; it comes out where somebody has its other end."""
    ends = (tunnel.remote, tunnel.local)
    others = (
        node
        for node in found.values()
        if any((each.local, each.remote) == ends and each.established for each in node.tunnels)
    )
    far = next(others, None)
    if far is None or not tunnel.established:
        yield at.end(Dropped(Cause.ROUTE_NEXT_HOP_VPN_TUNNEL_NOT_ESTABLISHED, tunnel.key))
        return
    step = Encapsulated(tunnel.local, tunnel.remote, tunnel.key)
    here = TraceHop(at.node.netns, at.by, IPSEC, at.packet.source, (*at.passed, step))
    yield from _walk(found, _At(far, IPSEC, at.packet, (*at.behind, here), at.past_obstacles))


def _no_tunnel(tunnels: tuple[Tunnel, ...], packet: Packet) -> Dropped:
    """Say which traffic selectors lack the packet; of a gateway all goes into tunnels or nowhere."""
    near = any(packet.source in part for each in tunnels for part in each.sources)
    cause = Cause.VPN_TUNNEL_REMOTE_SELECTOR_MISMATCH if near else Cause.VPN_TUNNEL_LOCAL_SELECTOR_MISMATCH
    return Dropped(cause, tunnels[0].key)


def _entry(at: _At) -> Dropped | None:
    """Judge who may send at all, and what may enter by the uplink."""
    node = at.node
    if node.filter is None or at.by is None or at.passed:
        return None
    if at.by == node.filter.uplink:
        return Dropped(Cause.NO_ROUTE_FROM_INTERNET_TO_PRIVATE_IPV4_ADDRESS, node.filter.key)
    if _is_behind(node.port_security.get(at.by), at.packet.source) or node.is_peer(at.by, at.packet.source):
        return None
    return Dropped(Cause.FOREIGN_IP_DISALLOWED, node.filter.key)


def _is_behind(port_security: PortSecurity | None, address: IPv4Address) -> bool:
    if port_security is None:
        return False
    return (
        port_security.forwards
        or address == port_security.address
        or any(address in each for each in port_security.ranges)
    )


def _arrived(at: _At) -> _At:
    """Translate what comes in by the uplink for an address that works both ways."""
    node, packet = at.node, at.packet
    if node.filter is None or at.by is None or at.by != node.filter.uplink:
        return at
    nat = node.arrival(at.by, packet.destination)
    if nat is None:
        return at
    inside = nat.inside.network_address
    step = Readdressed(packet.destination, inside, nat.key)
    return replace(at, packet=replace(packet, destination=inside), passed=(step,))


def _arrival(node: NodeView, packet: Packet) -> Delivered:
    if packet.protocol == ICMP:
        return Delivered("echo")
    protocol = _PROTOCOLS.get(packet.protocol, "")
    listener = node.listeners.get((packet.destination, packet.port, protocol))
    if listener is not None:
        return Delivered(listener.service)
    workload = node.workloads.get(packet.port) if packet.protocol == TCP else None
    if workload is not None:
        return Delivered(workload.name)
    return Delivered(None, guest=any(each.machine for each in node.workloads.values()))


def _leave(found: Mapping[NetnsName, NodeView], at: _At, route: Route, hop: Hop) -> Iterator[Branch]:
    node = at.node
    passed: list[Step] = [Routed(route, hop)]
    if at.past_obstacles and (refused := _entry(at)):
        passed.insert(0, Obstacle(refused, at.packet))
    for dropped in _pass(at, hop.device, passed):
        if not at.past_obstacles:
            yield at.end(dropped, *passed, out=hop.device)
            return
        passed.append(Obstacle(dropped, at.packet))
    for step, packet in _translated(node, hop, at.packet):
        yield from _cross(found, at, _Out(route, hop, packet), (*passed, *step))


@dataclass(frozen=True, slots=True)
class _Out:
    """A packet that leaves by ``hop`` of ``route``."""

    route: Route
    hop: Hop
    packet: Packet


def _translated(node: NodeView, hop: Hop, packet: Packet) -> Iterator[tuple[tuple[Step, ...], Packet]]:
    """List what the packet may become: one for each address that its flow may take."""
    translation = node.translation(hop.device, packet.source)
    outsides = translation.outsides_for(packet.destination) if translation else ()
    if translation is None or not outsides:
        yield (), packet
        return
    for after in outsides:
        ports = next(
            (b.ports for b in translation.blocks_for(packet.destination) if b.outside == after), None
        )
        step = Translated(packet.source, after, ports, translation.key)
        yield (step,), replace(packet, source=after)


def _cross(
    found: Mapping[NetnsName, NodeView], at: _At, going: _Out, passed: tuple[Step, ...]
) -> Iterator[Branch]:
    """Go over the link of a next hop."""
    node, route, hop, packet = at.node, going.route, going.hop, going.packet
    if (shaper := node.shapers.get(hop.device)) is not None:
        passed = (*passed, Shaped(shaper.bits_per_second, shaper.key))
    neighbour = node.neighbours.get(hop.device)
    if neighbour is None or (hop.via or packet.destination) not in found[neighbour.netns].addresses:
        yield at.end(Dropped(Cause.ROUTE_NEXT_HOP_RESOURCE_NOT_FOUND, route.key), *passed, out=hop.device)
        return
    here = TraceHop(node.netns, at.by, hop.device, at.packet.source, (*at.passed, *passed))
    ahead = _At(found[neighbour.netns], neighbour.device, packet, (*at.behind, here), at.past_obstacles)
    guarded = node.port_security.get(hop.device)
    to_guest = guarded is not None and guarded.forwards
    yield from _walk(found, replace(ahead, to_guest=to_guest))


def _pass(at: _At, out: DeviceName, passed: list[Step]) -> Iterator[Dropped]:
    """List what keeps a filter from forwarding the packet; what policies said goes to ``passed``."""
    node, packet = at.node, at.packet
    if node.filter is None or at.by is None:
        return
    if dropped := _judge(node, node.port_security.get(at.by), "egress", packet, passed):
        yield dropped
    if out == node.filter.uplink:
        if dropped := _leaves(node, out, packet, node.filter.key):
            yield dropped
        return
    sender = node.port_security.get(at.by)
    if node.is_peer(out, packet.destination) and _is_behind(sender, packet.source):
        return
    port_security = node.port_security.get(out)
    if not _is_behind(port_security, packet.destination):
        yield Dropped(Cause.UNKNOWN_INTERNAL_ADDRESS, node.filter.key)
    elif dropped := _judge(node, port_security, "ingress", packet, passed):
        yield dropped
    if at.by == node.filter.uplink and not _answers_leave(node, out, packet.source):
        yield Dropped(Cause.NO_ROUTE, node.filter.key)


def _answers_leave(node: NodeView, out: DeviceName, client: IPv4Address) -> bool:
    """Return whether what the machine behind ``out`` answers to ``client`` goes back to the internet.

    A connection from there needs a route to the default internet gateway (behaviour/vpc.md#routes).
    """
    back = node.route(out, client)
    uplink = node.filter.uplink if node.filter else None
    return back is not None and any(hop.device == uplink for hop in back.hops)


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
