"""What lowering gives: the Topology that should exist, and whose each element is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fogbank.network.topology import Element, Key, Topology
from fogbank.resources.names import ResourceName


@dataclass(frozen=True, slots=True)
class Owned:
    """An element and the resource that asked for it."""

    element: Element
    owner: ResourceName


@dataclass(frozen=True, slots=True)
class Lowered:
    """``owners`` says for each element's key which resources wait for it: a failure there is theirs."""

    topology: Topology
    owners: Mapping[Key, frozenset[ResourceName]] = field(default_factory=dict)
