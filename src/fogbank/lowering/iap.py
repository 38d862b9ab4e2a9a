"""Where tunnels of IAP begin: a namespace beside each network with virtual machines.

Connections from there have a source in 35.235.240.0/20, which a network always routes back, and pass the
firewall rules of the machine; nobody reaches IAP itself (behaviour/iap-tcp-forwarding.md#data-path).
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from fogbank.lowering.google_sources import google_source
from fogbank.lowering.netns_names import IAP, iap_netns
from fogbank.network.topology import Element
from fogbank.resources.names import ResourceName

RANGE = IPv4Network("35.235.240.0/20")
SOURCE = IPv4Address("35.235.240.2")
"""The one address of the range that this region uses."""


def tunnels_of_iap(network: ResourceName) -> Iterator[Element]:
    """Lower IAP's place beside a network."""
    return google_source(network, iap_netns(network), IAP, SOURCE, RANGE)
