"""What exists after a plan of which some actions failed: what was desired without what those would have done.

It shares everything else with the desired network, so the next plan costs what failed and what changed.
"""

from collections.abc import Iterable

from fogbank.network.element_table import ElementTable, Placed
from fogbank.network.topology import Element, Key, NetworkNamespace, Topology
from fogbank.planning.plan import Action, Create, Remove, Replace

_LAST = 9
"""Elements that no compiler has placed come after all others."""


def unapplied(observed: Topology, desired: Topology, failed: Iterable[Action]) -> Topology:
    """Return ``desired`` with the ``failed`` actions of ``plan(observed, desired)`` undone.

    What could not be created is not there, even if it was before: then it was lost with its device.
    """
    table = desired.elements
    missing: set[Key] = set()
    kept: dict[Key, Element] = {}
    for action in failed:
        match action:
            case Create(element):
                missing.add(element.key)
            case Replace(old):
                kept[old.key] = old
            case Remove(element) if element.key not in table:
                kept |= {each.key: each for each in (element, *_inside(observed, element))}
            case Remove():
                continue  # a link that moves: whether it was created again decides
    if not missing and not kept:
        return desired
    if isinstance(table, ElementTable):
        placed = {key: _placed(observed, element) for key, element in kept.items()}
        return Topology(table.changed(placed, missing))
    return Topology({key: each for key, each in {**table, **kept}.items() if key not in missing})


def _inside(observed: Topology, element: Element) -> tuple[Element, ...]:
    return observed.by_netns.get(element.name, ()) if isinstance(element, NetworkNamespace) else ()


def _placed(observed: Topology, element: Element) -> Placed:
    table = observed.elements
    known = table.placed.get(element.key) if isinstance(table, ElementTable) else None
    return known or Placed(element, (_LAST, *element.key))
