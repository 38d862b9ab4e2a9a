"""The compiler: the whole World and the fleet, as the network that should exist."""

from collections.abc import Sequence

from fogbank.lowering.feature import Feature
from fogbank.lowering.fragments import Lowered
from fogbank.lowering.lower import lower
from fogbank.network.topology import Topology
from fogbank.resources.fleet import Fleet
from fogbank.resources.world import World


class Compiler:
    """Compiles Worlds with ``features``, and remembers the last one so that the next costs what changed."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = tuple(features)

    def compile(self, world: World, fleet: Fleet, observed: Topology) -> Lowered:
        """Lower ``world`` and ``fleet``; ``observed`` holds the addresses and port blocks to keep."""
        return lower(world, fleet, observed)

    def preview(self, world: World, fleet: Fleet, observed: Topology) -> Lowered:
        """Return what :meth:`compile` would, and remember nothing."""
        return lower(world, fleet, observed)
