"""What lowering gives: the Topology that should exist, and whose each element is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fogbank.network.topology import Element, Key, Topology
from fogbank.resources.names import ResourceName


@dataclass(frozen=True, slots=True)
class Fragment:
    """Elements that the same resources wait for: what one feature makes of one resource.

    Parts are remembered between passes, so their tables are made once.
    """

    elements: Mapping[Key, Element]
    owners: Mapping[Key, frozenset[ResourceName]]

    @classmethod
    def of(cls, elements: Iterable[Element], *owners: ResourceName) -> "Fragment":
        """Collect ``elements``, for which each of ``owners`` waits."""
        made = Topology.of(elements).elements
        return cls(made, dict.fromkeys(made, frozenset(owners)))

    @classmethod
    def joined(cls, parts: Iterable["Fragment"]) -> "Fragment":
        """Put ``parts`` together; two that claim one key are a contradiction (ValueError)."""
        elements: dict[Key, Element] = {}
        owners: dict[Key, frozenset[ResourceName]] = {}
        for part in parts:
            if twice := elements.keys() & part.elements.keys():
                raise ValueError(f"two parts claim {sorted(twice)}")
            elements.update(part.elements)
            owners.update(part.owners)
        return cls(elements, owners)


@dataclass(frozen=True, slots=True)
class Lowered:
    """``owners`` says for each element's key which resources wait for it: a failure there is theirs."""

    topology: Topology
    owners: Mapping[Key, frozenset[ResourceName]] = field(default_factory=dict)

    @classmethod
    def of(cls, parts: Iterable[Fragment]) -> "Lowered":
        """Put ``parts`` together, which must not contradict one another."""
        whole = Fragment.joined(parts)
        return cls(Topology(whole.elements), whole.owners)
