"""A strict model of what a machine does with a plan: it refuses what a kernel would refuse."""

from fogbank.network.topology import (
    Address,
    Element,
    Key,
    Link,
    NetworkNamespace,
    Port,
    Route,
    Shaper,
    Topology,
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
                if isinstance(new, Link):
                    assert isinstance(old, Link)
                    assert (old.left, old.right) == (new.left, new.right)
                del elements[old.key]
                _check_ground(elements, new)
                elements[new.key] = new
    return Topology(elements)


def _lose(elements: dict[Key, Element], gone: Element) -> None:
    ports: set[Port] = set()
    if isinstance(gone, NetworkNamespace):
        for key, element in tuple(elements.items()):
            if gone.name in namespaces_of(element):
                del elements[key]
                if isinstance(element, Link):
                    ports |= {element.left, element.right}
    elif isinstance(gone, Link):
        ports = {gone.left, gone.right}
    for key, element in tuple(elements.items()):
        if not ports.isdisjoint(_devices(element)):
            del elements[key]


def _devices(element: Element) -> set[Port]:
    match element:
        case Address(port=port) | Shaper(port=port):
            return {port}
        case Route(netns=netns, hops=hops):
            return {Port(netns, hop.device) for hop in hops}
        case _:
            return set()


def _check_ground(elements: dict[Key, Element], element: Element) -> None:
    for netns in namespaces_of(element):
        assert isinstance(element, NetworkNamespace) or ("netns", netns) in elements, (
            f"no space for {element}"
        )
    ends = {end for e in elements.values() if isinstance(e, Link) for end in (e.left, e.right)}
    if isinstance(element, Link):
        assert ends.isdisjoint({element.left, element.right}), f"device taken: {element}"
    for port in _devices(element):
        assert port.device == "lo" or port in ends, f"no device for {element}"
