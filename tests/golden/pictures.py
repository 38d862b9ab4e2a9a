"""Topologies and plans as text, one line for each element, for golden files."""

import os
from pathlib import Path

from fogbank.network.topology import (
    Address,
    Filter,
    GroupMember,
    Guard,
    Link,
    Listener,
    Policy,
    Route,
    Shaper,
    SourceNat,
    Space,
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
        case Space(name, forwards):
            return f"space {name}{' forwards' if forwards else ''}"
        case Link(left, right, mtu):
            return f"link {left.space}:{left.device} -- {right.space}:{right.device} mtu {mtu}"
        case Address(port, interface):
            return f"address {port.space}:{port.device} {interface}"
        case Route(space, destination, hops, source):
            to = ", ".join(f"{h.device} via {h.via}" if h.via else h.device for h in hops) or "nowhere"
            return f"route {space} {destination} to {to}{f' from {source}' if source else ''}"
        case Shaper(port, rate):
            return f"shaper {port.space}:{port.device} {rate}"
        case SourceNat(space, device, inside, outside, ports, timeouts):
            times = f" timeouts {_fields(timeouts)}" if timeouts else ""
            return f"source-nat {space}:{device} {inside} as {outside}{f':{ports}' if ports else ''}{times}"
        case Filter(space, uplink):
            return f"filter {space} uplink {uplink}"
        case Policy(space, name, rules, default):
            lines = [
                f"policy {space} {name}",
                *(f"    {_rule(rule)}" for rule in rules),
                f"    else {default}",
            ]
            return "\n".join(lines)
        case Guard(space, device, address, ingress, egress):
            return f"guard {space}:{device} {address} in {ingress} out {egress}"
        case GroupMember(space, group, address):
            return f"member {space} {group} {address}"
        case Listener(space, address, port, protocol, service):
            return f"listener {space} {protocol} {address}:{port} {service}"
        case Workload():
            return f"workload {element.name} {element.image[:14]} port {element.port}"


def _rule(rule):
    traffic = " ".join(f"{t.protocol or 'all'}{''.join(f':{p}' for p in t.ports)}" for t in rule.traffic)
    sources = ", ".join([*map(str, rule.sources), *rule.groups]) or "any"
    destinations = ", ".join(map(str, rule.destinations)) or "any"
    return f"{rule.action} {traffic} from {sources} to {destinations} ({rule.label})"


def _fields(timeouts):
    return "/".join(str(getattr(timeouts, name)) for name in timeouts.__dataclass_fields__)
