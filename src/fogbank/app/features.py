"""The networking features of a region, in the order in which they are asked."""

from fogbank.lowering import core
from fogbank.lowering.feature import Feature
from fogbank.services.run import feature as run
from fogbank.services.vpcaccess import feature as vpcaccess

FEATURES: tuple[Feature, ...] = (*core.FEATURES, *vpcaccess.FEATURES, *run.FEATURES)
