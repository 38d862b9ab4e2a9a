"""The difference between two topologies, as an ordered list of printable actions.

Taking down goes from the top of BUILD_ORDER to its bottom, building up the other way; what a space takes
with it is not named again. A changed element is one Replace.
"""

from dataclasses import dataclass

from fogbank.network.topology import BUILD_ORDER, Element, Space, Topology, spaces_of


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
    """Take ``element`` away, and with a space everything inside."""

    element: Element


Action = Create | Replace | Remove
Plan = tuple[Action, ...]

_RANK = {kind: rank for rank, kind in enumerate(BUILD_ORDER)}


def plan(observed: Topology, desired: Topology) -> Plan:
    """List the actions that turn ``observed`` into ``desired``; empty when nothing differs."""
    gone = [e for key, e in observed.elements.items() if key not in desired.elements]
    lost_spaces = {e.name for e in gone if isinstance(e, Space)}
    removals: list[Action] = [
        Remove(e)
        for e in sorted(gone, key=_rank, reverse=True)
        if isinstance(e, Space) or lost_spaces.isdisjoint(spaces_of(e))
    ]
    builds: list[tuple[int, Action]] = []
    for key, element in desired.elements.items():
        known = observed.elements.get(key)
        if known is None:
            builds.append((_rank(element), Create(element)))
        elif known != element:
            builds.append((_rank(element), Replace(known, element)))
    return (*removals, *(action for _, action in sorted(builds, key=lambda pair: pair[0])))


def _rank(element: Element) -> int:
    return _RANK[type(element)]
