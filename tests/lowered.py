"""What the region's features make of a World, each time by a new compiler that remembers nothing."""

from fogbank.app.features import features
from fogbank.lowering.compiler import Compiler
from fogbank.lowering.fragments import Lowered
from fogbank.network.topology import Topology
from fogbank.resources.fleet import Fleet
from fogbank.resources.world import World


def compiler() -> Compiler:
    return Compiler(features())


def lower(world: World, fleet: Fleet, observed: Topology) -> Lowered:
    return compiler().compile(world, fleet, observed)
