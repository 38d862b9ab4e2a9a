"""What lowering gives: the Topology that should exist, whose each element is, and what is missing."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from typing import TypeVar

from immutables import Map

from fogbank.network.element_table import ElementTable, Placed
from fogbank.network.sharded_map import ShardedMap
from fogbank.network.topology import Element, Key, Topology
from fogbank.resources.names import ResourceName

V = TypeVar("V")

Owners = frozenset[ResourceName]

UnitKey = tuple[int, str, int, str]
"""What a fragment is made of: the stage of lowering, where (a network, an instance, …), the step there, and
the source. Units are in this order, whatever the order in which they came.
"""


@dataclass(frozen=True, slots=True)
class Unlowered:
    """Why something could not be lowered, and the resources that wait for it.

    ``error`` is what a feature raised, with its traceback; None when two features contradict each other.
    """

    why: str
    owners: Owners
    error: Exception | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Fragment:
    """Elements that the same resources wait for: what one feature makes of one source.

    ``feature`` is that feature's number: of two fragments that claim one key, the earlier feature's keeps it.
    A fragment with a ``failure`` has no elements.
    """

    elements: Mapping[Key, Element]
    owners: Mapping[Key, Owners]
    feature: int = 0
    failure: Unlowered | None = None

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

    @classmethod
    def failed(cls, error: Exception, *owners: ResourceName) -> "Fragment":
        """Stand for what could not be lowered because of ``error``."""
        return cls({}, {}, failure=Unlowered(f"{type(error).__name__}: {error}", frozenset(owners), error))

    def by(self, feature: int) -> "Fragment":
        """Return it as that of the feature with this number."""
        return self if self.feature == feature else replace(self, feature=feature)


@dataclass(frozen=True, slots=True)
class Lowered:
    """``owners`` says for each element's key which resources wait for it: a failure there is theirs.

    ``units`` are the fragments that it consists of, ``left_out`` those that claim a key of another one.
    ``failures`` says what is missing for that reason, or because a feature failed.
    """

    topology: Topology = field(default_factory=lambda: Topology(ElementTable()))
    owners: Mapping[Key, Owners] = field(default_factory=ShardedMap)
    units: Map[UnitKey, Fragment] = field(default_factory=Map)
    left_out: Map[UnitKey, Fragment] = field(default_factory=Map)
    failures: Map[UnitKey, Unlowered] = field(default_factory=Map)

    @property
    def unlowered(self) -> Owners:
        """The resources of which something could not be lowered."""
        return frozenset(owner for failure in self.failures.values() for owner in failure.owners)

    def changed(self, fragments: Mapping[UnitKey, Fragment | None]) -> "Lowered":
        """Make what follows when these units are replaced, None for one that is gone.

        Takes the time of the fragments given. What gives the same network is the very same answer. Of units
        that claim one key, those of later features are left out whole; what comes out does not depend on
        which came first.
        """
        if not self.left_out:
            changes = _Changes(self)
            if changes.put_all(fragments):
                return changes.finish()
        changes = _Changes(self)
        changes.put_in_turn({**self.left_out, **fragments})
        return changes.finish()


class _Changes:
    """Collects what a few units bring, change and take away."""

    def __init__(self, before: Lowered) -> None:
        table, owners = before.topology.elements, before.owners
        if not isinstance(table, ElementTable) or not isinstance(owners, ShardedMap):
            raise TypeError("only what a compiler made can be changed")
        self._before, self._table, self._owners = before, table, owners
        self._gone: set[Key] = set()
        self._placed: dict[Key, Placed] = {}
        self._owned: dict[Key, Owners] = {}
        self._claimed: dict[Key, UnitKey] = {}
        self._units: dict[UnitKey, Fragment | None] = {}
        self._left_out: dict[UnitKey, Fragment] = {}
        self._failures: dict[UnitKey, Unlowered] = {}

    def put_all(self, fragments: Mapping[UnitKey, Fragment | None]) -> bool:
        """Put units that contradict nobody; False when they do."""
        for unit, fragment in fragments.items():
            self._leave(unit, fragment)
        for unit, fragment in fragments.items():
            if fragment is not None:
                if any(self._claimants(fragment)):
                    return False
                self._enter(unit, fragment)
        return True

    def put_in_turn(self, fragments: Mapping[UnitKey, Fragment | None]) -> None:
        """Put units one by one, those of earlier features first; what they claim, later ones lose."""
        for unit in fragments:
            self._leave(unit, None)
        waiting = [(each.feature, unit, each) for unit, each in fragments.items() if each is not None]
        heapify(waiting)
        while waiting:
            feature, unit, fragment = heappop(waiting)
            claims = dict(self._claimants(fragment))
            others = {other: self._fragment(other) for other in claims.values()}
            stronger = {other for other, each in others.items() if (each.feature, other) < (feature, unit)}
            if lost := [key for key, other in claims.items() if other in stronger]:
                self._leave_out(unit, fragment, lost[0], others[claims[lost[0]]])
                continue
            for other, each in others.items():
                self._leave(other, None)
                heappush(waiting, (each.feature, other, each))
            self._enter(unit, fragment)

    def _claimants(self, fragment: Fragment) -> Iterator[tuple[Key, UnitKey]]:
        """List the keys of ``fragment`` that other units have."""
        for key in fragment.elements:
            if key in self._claimed:
                yield key, self._claimed[key]
            elif key not in self._gone and (known := self._table.placed.get(key)) is not None:
                unit: UnitKey = known.order[:-1]
                if unit not in self._units:
                    yield key, unit

    def _fragment(self, unit: UnitKey) -> Fragment:
        return self._units.get(unit) or self._before.units[unit]

    def _leave(self, unit: UnitKey, fragment: Fragment | None) -> None:
        """Take away what ``unit`` had and has no more."""
        self._units[unit] = fragment
        if before := self._before.units.get(unit):
            kept: Mapping[Key, Element] = fragment.elements if fragment else {}
            self._gone.update(key for key in before.elements if key not in kept)

    def _leave_out(self, unit: UnitKey, fragment: Fragment, key: Key, other: Fragment) -> None:
        names = sorted(name.path for name in fragment.owners[key] | other.owners[key])
        owners = frozenset(name for each in fragment.owners.values() for name in each)
        why = f"two parts claim {key}: {', '.join(names) or 'the region itself'}"
        self._left_out[unit], self._failures[unit] = fragment, Unlowered(why, owners)

    def _enter(self, unit: UnitKey, fragment: Fragment) -> None:
        """Put what ``unit`` has; an element that is equal stays the same object."""
        self._units[unit] = fragment
        if fragment.failure:
            self._failures[unit] = fragment.failure
        for place, (key, element) in enumerate(fragment.elements.items()):
            known = self._table.placed.get(key)
            self._claimed[key] = unit
            order = (*unit, place)
            if known is None or known.element != element:
                self._placed[key] = Placed(element, order)
            elif known.order != order:
                self._placed[key] = Placed(known.element, order)
            if self._owners.get(key) != fragment.owners[key]:
                self._owned[key] = fragment.owners[key]

    def finish(self) -> Lowered:
        """Make the result."""
        gone = self._gone - self._claimed.keys()
        before = self._before
        failures = _updated(before.failures, self._units, self._failures)
        left_out = _updated(before.left_out, self._units, self._left_out)
        if not (gone or self._placed or self._owned) and failures is before.failures:
            return before
        units = before.units.mutate()
        for unit, fragment in self._units.items():
            if fragment is not None:
                units[unit] = fragment
            elif unit in units:
                del units[unit]
        topology = before.topology
        if gone or self._placed:
            topology = Topology(self._table.changed(self._placed, gone))
        owners = self._owners.changed(self._owned, gone)
        return Lowered(topology, owners, units.finish(), left_out, failures)


def _updated(table: Map[UnitKey, V], units: Iterable[UnitKey], now: Mapping[UnitKey, V]) -> Map[UnitKey, V]:
    """Change the entries of ``units`` to what they are ``now``; the same table when nothing differs."""
    if not table and not now:
        return table
    changed = [unit for unit in units if table.get(unit) != now.get(unit)]
    if not changed:
        return table
    made = table.mutate()
    for unit in changed:
        if unit in now:
            made[unit] = now[unit]
        else:
            del made[unit]
    return made.finish()
