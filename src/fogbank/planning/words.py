"""Elements and actions in words, for people who read a plan; and as JSON for programs.

One line is one element: what it is, where it is, what it does.
"""

from dataclasses import fields, is_dataclass
from typing import Any

from fogbank.network.topology import (
    Address,
    AddressSetMember,
    Element,
    FirewallPolicy,
    FlowLog,
    Link,
    Listener,
    NetworkNamespace,
    PeerNetwork,
    PortSecurity,
    Route,
    RouteSelection,
    RoutingTable,
    Shaper,
    SourceNat,
    StatefulFirewall,
    TranslationRule,
    Tunnel,
    UnservedClient,
    Volume,
    Workload,
)
from fogbank.planning.plan import Action, Create, Remove, Replace

Json = dict[str, Any]
_RULES_NAMED = 4


def action_json(action: Action) -> Json:
    """Return an action's sentence and the kind and fields of its element; ``old`` is what it replaces."""
    match action:
        case Create(element) | Remove(element):
            verb = "create" if isinstance(action, Create) else "remove"
            return {
                "action": verb,
                "kind": element.key[0],
                "text": words(element),
                "element": _plain(element),
            }
        case Replace(old, new):
            return {
                "action": "replace",
                "kind": new.key[0],
                "text": words(new),
                "element": _plain(new),
                "oldText": words(old),
                "old": _plain(old),
            }


def words(element: Element) -> str:
    """Say in one line what ``element`` is."""
    match element:
        case NetworkNamespace(name, forwards, _):
            return f"{'router' if forwards else 'namespace'} {name}"
        case Link(left, right, mtu):
            return f"link {left.netns} {left.device} — {right.netns} {right.device}, MTU {mtu}"
        case Address(port, interface):
            return f"address {interface.ip} on {port.device} of {port.netns}"
        case Route():
            return _route(element)
        case RoutingTable(netns, number, device):
            chosen = f" for sockets bound to {device}" if device else ""
            return f"routing table {number} of {netns}{chosen}"
        case RouteSelection(netns, device, table):
            return f"selection of routing table {table} for what enters {netns} by {device}"
        case Shaper(port, rate):
            return f"limit of {rate / 1e6:g} Mbit/s on what leaves {port.netns} by {port.device}"
        case SourceNat():
            return _source_nat(element)
        case UnservedClient(netns, device, inside):
            return f"no ports for {inside}, leaving {netns} by {device}"
        case StatefulFirewall(netns, uplink):
            rest = f", nothing untranslated by {uplink}" if uplink else ""
            return f"firewall of {netns}{rest}"
        case FlowLog(netns, name, ranges):
            return f"flow log of {name} in {netns}: {', '.join(map(str, ranges))}"
        case FirewallPolicy():
            return _policy(element)
        case PortSecurity():
            return _port_security(element)
        case PeerNetwork(netns, device, ranges):
            return f"peer with {', '.join(map(str, ranges))} behind {device} of {netns}"
        case Tunnel(netns, inner, local, remote):
            return f"tunnel of {netns} from {local} to {remote}, for what enters by {inner}"
        case AddressSetMember(netns, address_set, address):
            return f"member {address} of {address_set} in {netns}"
        case Listener(netns, address, port, protocol, service):
            return f"listener {protocol} {address}:{port} in {netns}, for {service}"
        case Volume(name, netns, size, files):
            what = f"{len(files)} files" if files else f"room for {size / 2**20:g} MiB"
            return f"volume {name} in {netns}, {what}"
        case Workload(name, netns, image, port):
            return f"container {name} in {netns}, image {image[:19]}, port {port}"


def _route(route: Route) -> str:
    beside = f", table {route.table}" if route.table else ""
    if route.falls_through:
        return f"route to {route.destination} in {route.netns}{beside}: left to the main table"
    ways = " or ".join(f"{hop.device} via {hop.via}" if hop.via else hop.device for hop in route.hops)
    return f"route to {route.destination} in {route.netns}{beside}: {f'by {ways}' if ways else 'discarded'}"


def _source_nat(nat: SourceNat) -> str:
    ports = f", ports {nat.ports}" if nat.ports else ""
    more = "".join(f" and {block.outside}, ports {block.ports}" for block in nat.more)
    back = " and back" if nat.both_ways else ""
    fixed = ", endpoint-independent" if nat.endpoint_independent else ""
    rules = "".join(f", rule {rule.number} to {_targets(rule)}" for rule in nat.rules)
    where = f"leaving {nat.netns} by {nat.device}"
    return f"translation of {nat.inside} to {nat.outside}{ports}{more}{rules}{fixed}{back}, {where}"


def _targets(rule: TranslationRule) -> str:
    blocks = [f"{block.outside}, ports {block.ports}" for block in rule.blocks]
    return " and ".join(blocks) or "nothing"


def _port_security(element: PortSecurity) -> str:
    behind = ", ".join(map(str, (element.address, *element.ranges)))
    anything = ", and whatever it forwards" if element.forwards else ""
    policies = f"in by {element.ingress}, out by {element.egress}"
    return f"port security of {behind}{anything} behind {element.device} of {element.netns}: {policies}"


def _policy(policy: FirewallPolicy) -> str:
    named = [f"{rule.action} {rule.label}".strip() for rule in policy.rules[:_RULES_NAMED]]
    if len(policy.rules) > _RULES_NAMED:
        named.append(f"{len(policy.rules) - _RULES_NAMED} more")
    return f"policy {policy.name} in {policy.netns}: {', '.join([*named, f'else {policy.default}'])}"


def _plain(value: object) -> Any:
    """Turn an element into what JSON can say."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value) if field.repr}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
