"""Names of the namespaces and devices that a region consists of.

Everything that must find a namespace again (the front end that calls an instance, the trace command) asks
here. A router's device is named after the address behind it, which no other device of that namespace can
share and which fits a device name exactly; other names are shortened by a digest when they are too long.
"""

import base64
import hashlib
import re
from ipaddress import IPv4Address

from fogbank.network.topology import DeviceName, NetnsName
from fogbank.resources.names import ResourceName

INTERNET = NetnsName("internet")
FABRIC = NetnsName("fabric")

LOOPBACK = DeviceName("lo")
UPLINK = DeviceName("ext")
"""Where a router's way to the internet starts."""

GOOGLE = DeviceName("google")
"""Where a router's way to Google without the internet starts."""

IAP = DeviceName("iap")
"""Where a router's way to tunnels of IAP starts."""

DNS = DeviceName("dns")
"""Where a router's way to the queries that Cloud DNS forwards starts."""

ETH0 = DeviceName("eth0")
"""An endpoint's first interface: an instance's or connector instance's is the serverless side."""

ETH1 = DeviceName("eth1")
"""The interface on the way to the VPC."""

_LONGEST = 15
_DIGEST = 9
"""45 bits: among 10,000 names two are the same once in 700,000 regions."""
_PLAIN = re.compile(r"[a-z0-9.-]+")


def vpc_netns(network: ResourceName) -> NetnsName:
    """Name the router of a VPC network."""
    return NetnsName(f"vpc/{network.project}/{network.id}")


def iap_netns(network: ResourceName) -> NetnsName:
    """Name where tunnels of IAP to a network's machines begin."""
    return NetnsName(f"iap/{network.project}/{network.id}")


def dns_netns(network: ResourceName) -> NetnsName:
    """Name where queries that Cloud DNS forwards through a network begin."""
    return NetnsName(f"dns/{network.project}/{network.id}")


def network_of_vpc_netns(netns: NetnsName) -> ResourceName | None:
    """Tell whose router a namespace is; None when it is no VPC network's."""
    return _network_of(netns, "vpc")


def google_netns(network: ResourceName) -> NetnsName:
    """Name Google's front end as a VPC network reaches it privately."""
    return NetnsName(f"google/{network.project}/{network.id}")


def network_of_google_netns(netns: NetnsName) -> ResourceName | None:
    """Tell whose VPC network a private front end of Google's is in; None for the one on the internet."""
    return _network_of(netns, "google")


def project_of_google_netns(netns: NetnsName) -> str | None:
    """Tell whose project's private front end of Google's it is; None for the one on the internet."""
    network = network_of_google_netns(netns)
    return network.project if network else None


def peering_netns(one: ResourceName, other: ResourceName) -> NetnsName:
    """Name the router between two peered networks, whichever is given first."""
    first, second = sorted(f"{each.project}/{each.id}" for each in (one, other))
    return NetnsName(f"peering/{first}/{second}")


def site_netns(host: str) -> NetnsName:
    """Name the machine of the third party ``host``."""
    return NetnsName(f"site/{host}")


def hub_netns(connector: ResourceName) -> NetnsName:
    """Name the router that spreads flows over a connector's instances."""
    return NetnsName(f"hub/{connector.project}/{connector.region}/{connector.id}")


def connector_netns(connector: ResourceName, number: int) -> NetnsName:
    """Name instance ``number`` (0 …) of a connector."""
    return NetnsName(f"connector/{connector.project}/{connector.region}/{connector.id}/{number}")


def instance_netns(identifier: str) -> NetnsName:
    """Name the machine of a serverless instance."""
    return NetnsName(f"instance/{identifier}")


def device_to(address: IPv4Address) -> DeviceName:
    """Name a router's device by the address behind it."""
    return DeviceName(str(address))


def device_named(text: str) -> DeviceName:
    """Name a device ``text``, or when that does not fit by its beginning and a digest."""
    if len(text) <= _LONGEST and _PLAIN.fullmatch(text):
        return DeviceName(text)
    digest = base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:_DIGEST]
    start = "".join(_PLAIN.findall(text))[: _LONGEST - _DIGEST - 1]
    return DeviceName(f"{start}-{digest}")


def peering_device(network: ResourceName) -> DeviceName:
    """Name the device that leads to the peered ``network``; it has a dot, unlike a router's other names."""
    return device_named(f"{network.project}.{network.id}")


def internet_device(network: ResourceName) -> DeviceName:
    """Name the internet's device that leads to ``network``."""
    return device_named(f"{network.project}.{network.id}")


def _network_of(netns: NetnsName, kind: str) -> ResourceName | None:
    """Tell which network's namespace of this kind it is."""
    own, _, rest = netns.partition("/")
    project, _, network = rest.rpartition("/")
    path = f"projects/{project}/global/networks/{network}"
    return ResourceName("compute.networks", path) if own == kind else None
