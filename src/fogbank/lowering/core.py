"""The features of every region, whatever its APIs: the internet, the serverless fabric, VPC networks,
on-premises networks.
"""

from fogbank.lowering.feature import Feature
from fogbank.lowering.internet import Internet
from fogbank.lowering.onprem import OnpremNetworks
from fogbank.lowering.serverless_fabric import Fabric
from fogbank.lowering.vpc import Vpc

FEATURES: tuple[Feature, ...] = (Internet(), Fabric(), Vpc(), OnpremNetworks())
