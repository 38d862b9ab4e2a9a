"""Topologies and plans as text, one line for each element, for golden files."""

import os
from pathlib import Path

from fogbank.network.topology import (
    Address,
    AddressSetMember,
    FirewallPolicy,
    Link,
    Listener,
    NetworkNamespace,
    PeerNetwork,
    PortSecurity,
    Route,
    Shaper,
    SourceNat,
    StatefulFirewall,
    Tunnel,
    Workload,
)
from fogbank.planning.plan import Create, Remove, Replace

HERE = Path(__file__).parent


def check(name, text):
    """Compare ``text`` with the golden file ``name``; UPDATE_GOLDEN=1 writes it."""
    path = HERE / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def picture(topology):
    return "".join(f"{line(element)}\n" for element in topology)


def plan_picture(actions):
    return "".join(f"{_action(action)}\n" for action in actions)


def _action(action):
    match action:
        case Create(element):
            return f"create  {line(element)}"
        case Replace(old, new):
            return f"replace {line(old)}\n     by {line(new)}"
        case Remove(element):
            return f"remove  {line(element)}"


def line(element):
    match element:
        case NetworkNamespace(name, forwards):
            return f"namespace {name}{' forwards' if forwards else ''}"
        case Link(left, right, mtu):
            return f"link {left.netns}:{left.device} -- {right.netns}:{right.device} mtu {mtu}"
        case Address(port, interface):
            return f"address {port.netns}:{port.device} {interface}"
        case Route(netns, destination, hops, source):
            to = ", ".join(f"{h.device} via {h.via}" if h.via else h.device for h in hops) or "nowhere"
            return f"route {netns} {destination} to {to}{f' from {source}' if source else ''}"
        case Shaper(port, rate):
            return f"shaper {port.netns}:{port.device} {rate}"
        case SourceNat(netns, device, inside, outside, ports, timeouts):
            times = f" timeouts {_fields(timeouts)}" if timeouts else ""
            back = " and back" if element.both_ways else ""
            mapped = f"{inside} as {outside}{f':{ports}' if ports else ''}"
            return f"source-nat {netns}:{device} {mapped}{times}{back}"
        case StatefulFirewall(netns, uplink):
            return f"filter {netns} uplink {uplink}"
        case FirewallPolicy(netns, name, rules, default):
            lines = [
                f"policy {netns} {name}",
                *(f"    {_rule(rule)}" for rule in rules),
                f"    else {default}",
            ]
            return "\n".join(lines)
        case PortSecurity(netns, device, address, ingress, egress):
            more = f" and {', '.join(map(str, element.ranges))}" if element.ranges else ""
            anything = " forwards" if element.forwards else ""
            return f"guard {netns}:{device} {address}{more} in {ingress} out {egress}{anything}"
        case PeerNetwork(netns, device, ranges):
            return f"peer {netns}:{device} {', '.join(map(str, ranges))}"
        case Tunnel(netns, inner, local, remote):
            return f"tunnel {netns}:{inner} {local} to {remote}"
        case AddressSetMember(netns, address_set, address):
            return f"member {netns} {address_set} {address}"
        case Listener(netns, address, port, protocol, service):
            return f"listener {netns} {protocol} {address}:{port} {service}"
        case Workload():
            return f"workload {element.name} {element.image[:14]} port {element.port}"


def _rule(rule):
    traffic = " ".join(f"{t.protocol or 'all'}{''.join(f':{p}' for p in t.ports)}" for t in rule.traffic)
    sources = ", ".join([*map(str, rule.sources), *rule.address_sets]) or "any"
    destinations = ", ".join(map(str, rule.destinations)) or "any"
    return f"{rule.action} {traffic} from {sources} to {destinations} ({rule.label})"


def _fields(timeouts):
    return "/".join(str(getattr(timeouts, name)) for name in timeouts.__dataclass_fields__)
