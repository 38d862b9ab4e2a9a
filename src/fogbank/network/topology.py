"""The network that should exist, or that does: a set of elements.

`lowering` makes one Topology from the World, the driver observes another from the kernel, `planning`
takes their difference and `paths` walks packets through either. A namespace owns all elements that live in
it, so they go when it goes. The words for a network (the elements, and what is true of their kinds) are all
imported from here.

The surprising fact: there are no bridges and no shared segments. Every link is a veth pair between two
namespaces, every endpoint has a /32, and routers answer on their loopback.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from fogbank.network.basics import (
    DeviceName,
    NetnsName,
    Port,
    PortRange,
)
from fogbank.network.elements import (
    Address,
    AddressSetMember,
    Element,
    FirewallPolicy,
    FlowLog,
    Hop,
    Key,
    Link,
    Listener,
    Mount,
    NetworkNamespace,
    PeerNetwork,
    PortSecurity,
    Route,
    RouteSelection,
    RoutingTable,
    Rule,
    Shaper,
    StatefulFirewall,
    Traffic,
    Tunnel,
    Volume,
    VolumeFile,
    Workload,
)
from fogbank.network.kinds import BUILD_ORDER, made_by, namespaces_of, ports_of
from fogbank.network.translation import (
    SEARCHED_PORTS,
    NatTimeouts,
    PortBlock,
    SourceNat,
    TranslationRule,
    UnservedClient,
)

__all__ = [
    "BUILD_ORDER",
    "SEARCHED_PORTS",
    "Address",
    "AddressSetMember",
    "DeviceName",
    "Element",
    "FirewallPolicy",
    "FlowLog",
    "Hop",
    "Key",
    "Link",
    "Listener",
    "Mount",
    "NatTimeouts",
    "NetnsName",
    "NetworkNamespace",
    "PeerNetwork",
    "Port",
    "PortBlock",
    "PortRange",
    "PortSecurity",
    "Route",
    "RouteSelection",
    "RoutingTable",
    "Rule",
    "Shaper",
    "SourceNat",
    "StatefulFirewall",
    "Topology",
    "Traffic",
    "TranslationRule",
    "Tunnel",
    "UnservedClient",
    "Volume",
    "VolumeFile",
    "Workload",
    "made_by",
    "namespaces_of",
    "ports_of",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Topology:
    """An immutable set of elements, indexed by key, by kind and by namespace on first use."""

    elements: Mapping[Key, Element] = field(default_factory=dict)

    @classmethod
    def of(cls, elements: Iterable[Element]) -> "Topology":
        """Collect ``elements``; two different ones with one key are a contradiction (ValueError)."""
        found: dict[Key, Element] = {}
        for element in elements:
            known = found.setdefault(element.key, element)
            if known != element:
                raise ValueError(f"two elements claim {element.key}: {known} and {element}")
        return cls(found)

    def __iter__(self) -> Iterator[Element]:
        return iter(self.elements.values())

    def __len__(self) -> int:
        return len(self.elements)

    def __contains__(self, element: object) -> bool:
        return isinstance(element, Element) and self.elements.get(element.key) == element

    def of_kind(self, kind: type[T]) -> tuple[T, ...]:
        """All elements of one kind, in the order they were declared."""
        return tuple(element for element in self if isinstance(element, kind))

    @cached_property
    def by_netns(self) -> Mapping[NetnsName, tuple[Element, ...]]:
        """Elements by the namespace they live in; a link stands under both."""
        found: dict[NetnsName, list[Element]] = {}
        for element in self:
            for netns in namespaces_of(element):
                found.setdefault(netns, []).append(element)
        return {netns: tuple(elements) for netns, elements in found.items()}
