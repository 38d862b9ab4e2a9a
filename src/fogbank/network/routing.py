"""Routing: which route of a namespace takes a packet.

`paths` asks it for every namespace that a packet meets, so a table is made once for a topology. Longest
prefix first, as the kernel does; a route without hops is a black hole.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from fogbank.network.topology import Route


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """The routes of one namespace, by prefix length and masked number, longest first."""

    lengths: tuple[tuple[int, dict[int, Route]], ...]

    @classmethod
    def of(cls, routes: Iterable[Route]) -> "RoutingTable":
        """Index ``routes``; their destinations differ, as their keys do."""
        by_length: dict[int, dict[int, Route]] = {}
        for route in routes:
            target = route.destination
            by_length.setdefault(target.prefixlen, {})[int(target.network_address)] = route
        return cls(tuple(sorted(by_length.items(), reverse=True)))

    def lookup(self, destination: IPv4Address) -> Route | None:
        """Find the route that takes ``destination``, or None."""
        number = int(destination)
        for length, routes in self.lengths:
            masked = number >> (32 - length) << (32 - length)
            if (route := routes.get(masked)) is not None:
                return route
        return None
