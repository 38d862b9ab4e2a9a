"""A strict model of what a machine does with a plan: it refuses what a kernel would refuse."""

from fogbank.network.kinds import kind_of
from fogbank.network.topology import (
    Element,
    Key,
    NetworkNamespace,
    SourceNat,
    Topology,
    made_by,
    namespaces_of,
)
from fogbank.planning.plan import Create, Plan, Remove, Replace


def apply(observed: Topology, actions: Plan) -> Topology:
    """Do ``actions`` on ``observed``; AssertionError where a machine would refuse."""
    elements = dict(observed.elements)
    for action in actions:
        match action:
            case Remove(element):
                assert elements.pop(element.key) == element
                _lose(elements, element)
            case Create(element):
                assert element.key not in elements, f"exists already: {element.key}"
                _check_ground(elements, element)
                elements[element.key] = element
            case Replace(old, new):
                assert elements[old.key] == old
                assert old.key == new.key
                assert made_by(old) == made_by(new)
                del elements[old.key]
                _check_ground(elements, new)
                elements[new.key] = new
    return Topology(elements)


def _lose(elements: dict[Key, Element], gone: Element) -> None:
    ports = set(made_by(gone))
    if isinstance(gone, NetworkNamespace):
        for key, element in tuple(elements.items()):
            if gone.name in namespaces_of(element):
                del elements[key]
                ports |= set(made_by(element))
    for key, element in tuple(elements.items()):
        if not ports.isdisjoint(kind_of(element).configured_on(element)):
            del elements[key]


def _check_ground(elements: dict[Key, Element], element: Element) -> None:
    if isinstance(element, SourceNat) and element.arrival:
        taken = {e.arrival for e in elements.values() if isinstance(e, SourceNat)}
        assert element.arrival not in taken, f"external address taken: {element}"
    for netns in namespaces_of(element):
        assert isinstance(element, NetworkNamespace) or ("netns", netns) in elements, (
            f"no namespace for {element}"
        )
    ends = {end for e in elements.values() for end in made_by(e)}
    assert ends.isdisjoint(made_by(element)), f"device taken: {element}"
    for port in kind_of(element).configured_on(element):
        assert port.device == "lo" or port in ends, f"no device for {element}"
