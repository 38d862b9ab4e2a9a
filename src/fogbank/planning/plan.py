"""The difference between two topologies, as an ordered list of printable actions.

Taking down goes from the top of BUILD_ORDER to its bottom, building up the other way; what a namespace takes
with it is not named again. A changed element is one Replace. The surprising fact: an element that did not
change may have to be built again, because it stood on a device that went: a veth pair dies with either of its
ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fogbank.network.topology import (
    BUILD_ORDER,
    Address,
    Element,
    Link,
    NetnsName,
    NetworkNamespace,
    Port,
    Route,
    Shaper,
    Topology,
    namespaces_of,
)


@dataclass(frozen=True, slots=True)
class Create:
    """Build ``element``."""

    element: Element


@dataclass(frozen=True, slots=True)
class Replace:
    """Turn ``old`` into ``new``, which has the same key, disturbing as little as possible."""

    old: Element
    new: Element


@dataclass(frozen=True, slots=True)
class Remove:
    """Take ``element`` away, and with a namespace everything inside."""

    element: Element


Action = Create | Replace | Remove
Plan = tuple[Action, ...]


def element_of(action: Action) -> Element:
    """Return the element that an action is about: of a Replace the new one."""
    return action.new if isinstance(action, Replace) else action.element


_RANK = {kind: rank for rank, kind in enumerate(BUILD_ORDER)}


def plan(observed: Topology, desired: Topology) -> Plan:
    """List the actions that turn ``observed`` into ``desired``; empty when nothing differs."""
    gone = [e for key, e in observed.elements.items() if key not in desired.elements]
    lost_namespaces = {e.name for e in gone if isinstance(e, NetworkNamespace)}
    moved = [e for e in _moved_links(observed, desired) if lost_namespaces.isdisjoint(namespaces_of(e))]
    broken = (*_links_of(observed, lost_namespaces), *moved, *(e for e in gone if isinstance(e, Link)))
    lost_ports = {port for link in broken for port in _ends(link)}
    removals: list[Action] = [
        Remove(e)
        for e in sorted((*gone, *moved), key=_rank, reverse=True)
        if isinstance(e, NetworkNamespace) or lost_namespaces.isdisjoint(namespaces_of(e))
    ]
    builds: list[tuple[int, Action]] = []
    for key, element in desired.elements.items():
        known = observed.elements.get(key)
        if known is element:
            if lost_ports and _is_lost(element, lost_namespaces, lost_ports):
                builds.append((_rank(element), Create(element)))
        elif known is None or (lost_ports and _is_lost(known, lost_namespaces, lost_ports)):
            builds.append((_rank(element), Create(element)))
        elif known != element:
            builds.append((_rank(element), Replace(known, element)))
    return (*removals, *(action for _, action in sorted(builds, key=lambda pair: pair[0])))


def _rank(element: Element) -> int:
    return _RANK[type(element)]


def _ends(link: Link) -> tuple[Port, Port]:
    return link.left, link.right


def _links_of(topology: Topology, namespaces: set[NetnsName]) -> Iterator[Link]:
    if namespaces:
        yield from (link for link in topology.of_kind(Link) if not namespaces.isdisjoint(namespaces_of(link)))


def _moved_links(observed: Topology, desired: Topology) -> Iterator[Link]:
    """Find links whose ends change: such a pair cannot be replaced in place."""
    for link in observed.of_kind(Link):
        wanted = desired.elements.get(link.key)
        if wanted is not link and isinstance(wanted, Link) and _ends(wanted) != _ends(link):
            yield link


def _is_lost(element: Element, namespaces: set[NetnsName], ports: set[Port]) -> bool:
    """Return whether ``element`` goes by itself when ``namespaces`` and the devices ``ports`` do."""
    if not namespaces.isdisjoint(namespaces_of(element)):
        return True
    match element:
        case Link(left=left, right=right):
            return left in ports or right in ports
        case Address(port=port) | Shaper(port=port):
            return port in ports
        case Route(netns=netns, hops=hops):
            return any(Port(netns, hop.device) in ports for hop in hops)
        case _:
            return False
