"""The difference between two topologies, as an ordered list of printable actions.

Taking down goes from the end of BUILD_ORDER to its beginning, building up the other way; what a namespace
takes with it is not named again. A changed element is one Replace. The surprising fact: an element that did
not change may have to be built again, because it stood on a device that went: a veth pair dies with either of
its ends. And one that changes is removed and made anew when another takes what it had for itself alone.
"""

from dataclasses import dataclass

from fogbank.network.element_table import ElementTable
from fogbank.network.kinds import MAKERS
from fogbank.network.topology import (
    BUILD_ORDER,
    Element,
    Key,
    NetnsName,
    NetworkNamespace,
    Port,
    SourceNat,
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
    """List the actions that turn ``observed`` into ``desired``; empty when nothing differs.

    Takes the time of what differs when both come from one compiler, else of what there is.
    """
    changed = _changed(observed, desired)
    if not changed:
        return ()
    yielding = _yielding(observed, desired, changed)
    gone = _in_order(observed, {key for key in changed if key not in desired.elements} | yielding)
    lost_namespaces = {e.name for e in gone if isinstance(e, NetworkNamespace)}
    makers = _moved_makers(observed, desired, changed)
    moved = [e for e in makers if lost_namespaces.isdisjoint(namespaces_of(e))]
    lost_ports = {port for e in (*makers, *gone) for port in made_by(e)}
    removals: list[Action] = [
        Remove(e)
        for e in sorted((*gone, *moved), key=_rank, reverse=True)
        if isinstance(e, NetworkNamespace) or lost_namespaces.isdisjoint(namespaces_of(e))
    ]
    again = _standing_on(desired, lost_ports) if lost_ports else set()
    builds: list[Action] = []
    for element in _in_order(desired, {key for key in changed if key in desired.elements} | again):
        known = observed.elements.get(element.key)
        if known is None or element.key in yielding or is_lost(known, lost_namespaces, lost_ports):
            builds.append(Create(element))
        elif known != element:
            builds.append(Replace(known, element))
    builds.sort(key=lambda action: _rank(element_of(action)))
    return (*removals, *builds)


def _changed(observed: Topology, desired: Topology) -> set[Key]:
    """Name what differs, and perhaps a few that are equal."""
    old, new = observed.elements, desired.elements
    if old is new:
        return set()
    if isinstance(old, ElementTable) and isinstance(new, ElementTable):
        return set(old.differing(new))
    return {key for key, e in new.items() if old.get(key) is not e} | {key for key in old if key not in new}


def _in_order(topology: Topology, keys: set[Key]) -> list[Element]:
    elements = topology.elements
    if isinstance(elements, ElementTable):
        return elements.in_order(keys)
    return [e for key, e in elements.items() if key in keys] if keys else []


def _standing_on(topology: Topology, ports: set[Port]) -> set[Key]:
    elements = topology.elements
    if isinstance(elements, ElementTable):
        return elements.standing_on(ports)
    return {key for key, e in elements.items() if not ports.isdisjoint(ports_of(e))}


def _moved_makers(observed: Topology, desired: Topology, changed: set[Key]) -> list[Element]:
    """Find what makes other devices than before: a veth pair whose ends change is not replaced in place."""
    keys = set()
    for key in changed:
        old, new = observed.elements.get(key), desired.elements.get(key)
        if old is not None and new is not None and type(new) in MAKERS and made_by(old) != made_by(new):
            keys.add(key)
    return _in_order(observed, keys)


def _yielding(observed: Topology, desired: Topology, changed: set[Key]) -> set[Key]:
    """Name the translations that give up an external address which another one takes in the same plan."""
    takers = {
        element.arrival: key
        for key in changed
        if isinstance(element := desired.elements.get(key), SourceNat) and element.arrival
    }
    return {
        key
        for key in changed
        if isinstance(old := observed.elements.get(key), SourceNat)
        and old.arrival
        and key in desired.elements
        and takers.get(old.arrival, key) != key
    }


def _rank(element: Element) -> int:
    return _RANK[type(element)]


def is_lost(element: Element, namespaces: set[NetnsName], ports: set[Port]) -> bool:
    """Return whether ``element`` goes by itself when ``namespaces`` and the devices ``ports`` do."""
    return not (namespaces.isdisjoint(namespaces_of(element)) and ports.isdisjoint(ports_of(element)))
