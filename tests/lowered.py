"""What the region's features make of a World, each time by a new compiler that remembers nothing."""

from fogbank.app.features import FEATURES
from fogbank.lowering.compiler import Compiler


def compiler():
    return Compiler(FEATURES)


def lower(world, fleet, observed):
    return compiler().compile(world, fleet, observed)
