"""What lowering gives: the Topology that should exist, and whose each element is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from immutables import Map

from fogbank.network.element_table import ElementTable, Placed
from fogbank.network.sharded_map import ShardedMap
from fogbank.network.topology import Element, Key, Topology
from fogbank.resources.names import ResourceName

Owners = frozenset[ResourceName]

UnitKey = tuple[int, str, int, str]
"""What a fragment is made of: the stage of lowering, where (a network, an instance, …), the step there, and
the source. Units are in this order, whatever the order in which they came.
"""


@dataclass(frozen=True, slots=True)
class Fragment:
    """Elements that the same resources wait for: what one feature makes of one source."""

    elements: Mapping[Key, Element]
    owners: Mapping[Key, Owners]

    @classmethod
    def of(cls, elements: Iterable[Element], *owners: ResourceName) -> "Fragment":
        """Collect ``elements``, for which each of ``owners`` waits."""
        made = Topology.of(elements).elements
        return cls(made, dict.fromkeys(made, frozenset(owners)))

    @classmethod
    def joined(cls, parts: Iterable["Fragment"]) -> "Fragment":
        """Put ``parts`` together; two that claim one key are a contradiction (ValueError)."""
        elements: dict[Key, Element] = {}
        owners: dict[Key, Owners] = {}
        for part in parts:
            if twice := elements.keys() & part.elements.keys():
                raise ValueError(f"two parts claim {sorted(twice)}")
            elements.update(part.elements)
            owners.update(part.owners)
        return cls(elements, owners)


@dataclass(frozen=True, slots=True)
class Lowered:
    """``owners`` says for each element's key which resources wait for it: a failure there is theirs.

    ``units`` are the fragments that it consists of.
    """

    topology: Topology = field(default_factory=lambda: Topology(ElementTable()))
    owners: Mapping[Key, Owners] = field(default_factory=ShardedMap)
    units: Map[UnitKey, Fragment] = field(default_factory=Map)

    def changed(self, fragments: Mapping[UnitKey, Fragment | None]) -> "Lowered":
        """Make what follows when these units are replaced, None for one that is gone.

        Takes the time of the fragments given. What gives the same network is the very same answer. Two units
        that claim one key are a contradiction (ValueError).
        """
        table, owners = self.topology.elements, self.owners
        if not isinstance(table, ElementTable) or not isinstance(owners, ShardedMap):
            raise TypeError("only what a compiler made can be changed")
        changes = _Changes(self, table, owners)
        for unit, fragment in fragments.items():
            changes.leave(unit, fragment)
        for unit, fragment in fragments.items():
            if fragment is not None:
                changes.enter(unit, fragment)
        return changes.finish(fragments)


class _Changes:
    """Collects the keys that a few units bring, change and take away."""

    def __init__(self, before: Lowered, table: ElementTable, owners: ShardedMap[Key, Owners]) -> None:
        self._before, self._table, self._owners = before, table, owners
        self._gone: set[Key] = set()
        self._placed: dict[Key, Placed] = {}
        self._owned: dict[Key, Owners] = {}
        self._claimed: set[Key] = set()

    def leave(self, unit: UnitKey, fragment: Fragment | None) -> None:
        """Take away what ``unit`` had and has no more."""
        if before := self._before.units.get(unit):
            kept: Mapping[Key, Element] = fragment.elements if fragment else {}
            self._gone.update(key for key in before.elements if key not in kept)

    def enter(self, unit: UnitKey, fragment: Fragment) -> None:
        """Put what ``unit`` has; an element that is equal stays the same object."""
        before = self._before.units.get(unit)
        mine: Mapping[Key, Element] = before.elements if before else {}
        for place, (key, element) in enumerate(fragment.elements.items()):
            known = self._table.placed.get(key)
            if key in self._claimed or not (known is None or key in mine or key in self._gone):
                raise ValueError(f"two parts claim {key}: {self._claimants(key, fragment)}")
            self._claimed.add(key)
            order = (*unit, place)
            if known is None or known.element != element:
                self._placed[key] = Placed(element, order)
            elif known.order != order:
                self._placed[key] = Placed(known.element, order)
            if self._owners.get(key) != fragment.owners[key]:
                self._owned[key] = fragment.owners[key]

    def _claimants(self, key: Key, fragment: Fragment) -> str:
        """Name the resources that an element of two units is for: whoever reads it can delete one."""
        others = self._owned.get(key) or self._owners.get(key) or frozenset[ResourceName]()
        return ", ".join(sorted(name.path for name in fragment.owners[key] | others)) or "the region itself"

    def finish(self, fragments: Mapping[UnitKey, Fragment | None]) -> Lowered:
        """Make the result."""
        gone = self._gone - self._claimed
        if not (gone or self._placed or self._owned):
            return self._before
        units = self._before.units.mutate()
        for unit, fragment in fragments.items():
            if fragment is not None:
                units[unit] = fragment
            elif unit in units:
                del units[unit]
        topology = self._before.topology
        if gone or self._placed:
            topology = Topology(self._table.changed(self._placed, gone))
        return Lowered(topology, self._owners.changed(self._owned, gone), units.finish())
