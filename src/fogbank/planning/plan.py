"""The difference between two topologies, as an ordered list of printable actions.

Taking down goes from the end of BUILD_ORDER to its beginning, building up the other way; what a namespace
takes with it is not named again. A changed element is one Replace. The surprising fact: an element that did
not change may have to be built again, because it stood on a device that went: a veth pair dies with either of
its ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fogbank.network.kinds import MAKERS
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
    known = observed.elements.get
    gone = [e for key, e in observed.elements.items() if key not in desired.elements]
    differing = [(old, e) for key, e in desired.elements.items() if (old := known(key)) is not e]
    lost_namespaces = {e.name for e in gone if isinstance(e, NetworkNamespace)}
    # What makes other devices than before cannot be replaced in place: a veth pair has no third end.
    makers = [(old, e) for old, e in differing if type(e) in MAKERS and old is not None]
    moved = [old for old, e in makers if made_by(old) != made_by(e)]
    moved = [e for e in moved if lost_namespaces.isdisjoint(namespaces_of(e))]
    broken = (*_makers_in(observed, lost_namespaces), *moved, *gone)
    lost_ports = {port for element in broken for port in made_by(element)}
    removals: list[Action] = [
        Remove(e)
        for e in sorted((*gone, *moved), key=_rank, reverse=True)
        if isinstance(e, NetworkNamespace) or lost_namespaces.isdisjoint(namespaces_of(e))
    ]
    if lost_ports:
        differing = [(known(key), e) for key, e in desired.elements.items()]
    builds: list[Action] = []
    for old, element in differing:
        if old is None or (lost_ports and _is_lost(old, lost_namespaces, lost_ports)):
            builds.append(Create(element))
        elif old != element:
            builds.append(Replace(old, element))
    return (*removals, *sorted(builds, key=lambda action: _rank(element_of(action))))


def _rank(element: Element) -> int:
    return _RANK[type(element)]


def _makers_in(topology: Topology, namespaces: set[NetnsName]) -> Iterator[Element]:
    """Find what made devices in ``namespaces``, perhaps with other ends elsewhere."""
    if namespaces:
        makers = (element for element in topology if type(element) in MAKERS)
        yield from (e for e in makers if not namespaces.isdisjoint(namespaces_of(e)))


def _is_lost(element: Element, namespaces: set[NetnsName], ports: set[Port]) -> bool:
    """Return whether ``element`` goes by itself when ``namespaces`` and the devices ``ports`` do."""
    return not (namespaces.isdisjoint(namespaces_of(element)) and ports.isdisjoint(ports_of(element)))
