"""The difference between two topologies, as an ordered list of printable actions.

Taking down goes from the end of BUILD_ORDER to its beginning, building up the other way; what a namespace
takes with it is not named again. A changed element is one Replace. The surprising fact: an element that did
not change may have to be built again, because it stood on a device that went: a veth pair dies with either of
its ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fogbank.network.topology import (
    BUILD_ORDER,
    Element,
    NetnsName,
    NetworkNamespace,
    Port,
    Topology,
    made_by,
    namespaces_of,
    ports_of,
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
    moved = [e for e in _moved(observed, desired) if lost_namespaces.isdisjoint(namespaces_of(e))]
    broken = (*_makers_in(observed, lost_namespaces), *moved, *gone)
    lost_ports = {port for element in broken for port in made_by(element)}
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


def _makers_in(topology: Topology, namespaces: set[NetnsName]) -> Iterator[Element]:
    """Find what made devices in ``namespaces``, perhaps with other ends elsewhere."""
    if namespaces:
        yield from (e for e in topology if made_by(e) and not namespaces.isdisjoint(namespaces_of(e)))


def _moved(observed: Topology, desired: Topology) -> Iterator[Element]:
    """Find elements that make other devices than before: a veth pair cannot be replaced in place."""
    for element in observed:
        wanted = desired.elements.get(element.key)
        if wanted is not element and wanted is not None and made_by(wanted) != made_by(element):
            yield element


def _is_lost(element: Element, namespaces: set[NetnsName], ports: set[Port]) -> bool:
    """Return whether ``element`` goes by itself when ``namespaces`` and the devices ``ports`` do."""
    return not (namespaces.isdisjoint(namespaces_of(element)) and ports.isdisjoint(ports_of(element)))
