"""What exists after a plan of which some actions failed: what was desired without what those would have done.

It shares everything else with the desired network, so the next plan costs what failed and what changed. The
surprising fact: what could not be removed may be gone all the same, with the device or the namespace that it
stood on. A plan that removed it once more would be refused for ever.
"""

from collections.abc import Iterable, Iterator, Sequence

from fogbank.network.element_table import ElementTable, Placed
from fogbank.network.topology import Element, NetnsName, NetworkNamespace, Port, Topology, made_by
from fogbank.planning.plan import Action, Create, Remove, Replace, is_lost

_LAST = 9
"""Elements that no compiler has placed come after all others."""


def unapplied(
    observed: Topology, desired: Topology, done: Iterable[Action], failed: Sequence[Action]
) -> Topology:
    """Return what exists after ``plan(observed, desired)``, when ``done`` succeeded and ``failed`` did not.

    What was not touched by either is as desired.
    """
    if not failed:
        return desired
    table = desired.elements
    kept = {element.key: element for element in _kept(observed, desired, done, failed)}
    created = (action.element.key for action in failed if isinstance(action, Create))
    missing = {key for key in created if key not in kept}
    if isinstance(table, ElementTable):
        placed = {key: _placed(observed, element) for key, element in kept.items()}
        return Topology(table.changed(placed, missing))
    return Topology({key: each for key, each in {**table, **kept}.items() if key not in missing})


def _kept(
    observed: Topology, desired: Topology, done: Iterable[Action], failed: Sequence[Action]
) -> Iterator[Element]:
    """List what is as it was before, because an action about it failed and nothing took it along."""
    namespaces, ports = _taken_down(observed, done)
    for action in failed:
        for element in _before(observed, desired, action):
            if not is_lost(element, namespaces, ports):
                yield element


def _before(observed: Topology, desired: Topology, action: Action) -> Iterator[Element]:
    """List what stays when ``action`` fails, and nothing else happens."""
    match action:
        case Create(element):  # it exists when it was to go first, with its device, which stayed
            known = observed.elements.get(element.key)
            if known is not None:
                yield known
        case Replace(old):
            yield old
        case Remove(element):
            for each in (element, *_inside(observed, element)):
                if each.key not in desired.elements:  # else its creation decides
                    yield each


def _taken_down(observed: Topology, done: Iterable[Action]) -> tuple[set[NetnsName], set[Port]]:
    """Name the namespaces and the devices that are gone, with everything on them."""
    removed = [action.element for action in done if isinstance(action, Remove)]
    inside = (each for element in removed for each in _inside(observed, element))
    namespaces = {element.name for element in removed if isinstance(element, NetworkNamespace)}
    return namespaces, {port for each in (*removed, *inside) for port in made_by(each)}


def _inside(observed: Topology, element: Element) -> tuple[Element, ...]:
    return observed.by_netns.get(element.name, ()) if isinstance(element, NetworkNamespace) else ()


def _placed(observed: Topology, element: Element) -> Placed:
    table = observed.elements
    known = table.placed.get(element.key) if isinstance(table, ElementTable) else None
    return known or Placed(element, (_LAST, *element.key))
