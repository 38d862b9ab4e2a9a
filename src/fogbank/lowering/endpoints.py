"""Endpoints: everything that has an address in a VPC network, whatever made it.

Firewall rules, routes and NAT gateways choose endpoints by network, region, address and tags, and need not
know what they are: connector instances, or instances of Cloud Run with Direct VPC egress.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from fogbank.network.topology import NetnsName
from fogbank.resources.names import ResourceName


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A network interface: ``address`` of ``network`` in ``region``, in the machine ``netns``.

    ``marks`` are what rules may choose it by (`tag_mark`, `account_mark`), ``owner`` the resource that it
    belongs to. Nothing but replies gets into one that is ``closed``, whatever ingress rules say. Cloud NAT
    serves it unless ``nat`` is False. It has the addresses of ``aliases`` too; one that ``forwards`` may send
    and get packets of any address. The addresses of ``shared`` are those of load balancers, which others
    have, too.
    """

    netns: NetnsName
    network: ResourceName
    region: str
    address: IPv4Address
    marks: frozenset[str]
    owner: ResourceName
    closed: bool = False
    nat: bool = True
    aliases: tuple[IPv4Network, ...] = ()
    forwards: bool = False
    shared: tuple[IPv4Network, ...] = ()


def tag_mark(tag: str) -> str:
    """Return the mark of a network tag."""
    return f"tag-{tag}"


def region_mark(region: str) -> str:
    """Return the mark that every endpoint of a region has: rules of Google's own choose by it."""
    return f"region-{region}"


def account_mark(email: str) -> str:
    """Return the mark of a service account."""
    return f"account-{email}"
