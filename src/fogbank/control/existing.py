"""What exists, kept up to date by the outcomes of actions, so that nothing need be observed after each pass.

Keys are indexed by namespace, for a namespace that goes takes what is in it along: taking outcomes in costs
what they are, not what there is.
"""

from collections.abc import Iterable

from fogbank.dataplane.driver import Outcome
from fogbank.network.topology import Element, Key, NetnsName, NetworkNamespace, Topology, namespaces_of
from fogbank.planning.plan import Create, Remove, Replace


class Existing:
    """The elements that exist; ``topology`` is a snapshot, the same object while nothing has changed."""

    def __init__(self, observed: Topology) -> None:
        self.topology = observed
        self._elements = dict(observed.elements)
        self._inside: dict[NetnsName, set[Key]] = {}
        for element in observed:
            self._index(element)

    def take(self, outcomes: Iterable[Outcome]) -> None:
        """Note what became of actions; one that failed changed nothing."""
        for outcome in outcomes:
            if outcome.error is not None:
                continue
            match outcome.action:
                case Create(element):
                    self._put(element)
                case Replace(old, new):
                    self._remove(old)
                    self._put(new)
                case Remove(NetworkNamespace(name=name)):
                    for key in self._inside.pop(name, set()):
                        if (lost := self._elements.get(key)) is not None:
                            self._remove(lost)
                case Remove(element):
                    self._remove(element)
        self.topology = Topology(dict(self._elements))

    def _put(self, element: Element) -> None:
        self._elements[element.key] = element
        self._index(element)

    def _index(self, element: Element) -> None:
        for netns in namespaces_of(element):
            self._inside.setdefault(netns, set()).add(element.key)

    def _remove(self, element: Element) -> None:
        """Forget an element; a link is in two namespaces."""
        self._elements.pop(element.key, None)
        for netns in namespaces_of(element):
            keys = self._inside.get(netns)
            if keys is not None:
                keys.discard(element.key)
                if not keys:
                    del self._inside[netns]
