"""The networking features of a region, in the order in which they are asked."""

from fogbank.app.registry import manifests
from fogbank.lowering import core
from fogbank.lowering.feature import Feature


def features() -> tuple[Feature, ...]:
    """Return the features that every region has, and those of the registered APIs."""
    return (*core.FEATURES, *(feature for manifest in manifests() for feature in manifest.features))
