"""The small internet: one router, the third parties around it, and the serverless fabric beside them.

Addresses that nobody translates to and destinations that nobody has die here without a word, as on the real
one. Routes to NAT addresses are added by `cloud_nat`, which knows the VPC that owns each.
"""

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Interface

from fogbank.lowering.lowered import Part
from fogbank.lowering.memory import remembered
from fogbank.lowering.spaces import ETH0, INTERNET, LOOPBACK, device_to, site_space
from fogbank.network.addressing import ANYWHERE, INTERNET_ROUTER, host
from fogbank.network.topology import Address, Element, Hop, Link, Listener, Port, Route, Space
from fogbank.resources.names import ResourceName
from fogbank.resources.sites import BUILTIN_SITES, Site, site_name, sites_with
from fogbank.resources.world import Resource

WITNESS = "witness"
"""The service behind every third party's sockets."""


@remembered
def internet_part(added: tuple[Resource, ...]) -> Part:
    """Lower the internet's router and the third parties around it, those of the operator ``added``."""
    return Part.joined((_router(), *map(_site, sites_with(added))))


def _router() -> Part:
    return Part.of(
        (
            Space(INTERNET, forwards=True),
            Address(Port(INTERNET, LOOPBACK), IPv4Interface(INTERNET_ROUTER)),
            Route(INTERNET, ANYWHERE, ()),
        )
    )


@lru_cache(maxsize=1024)
def _site(site: Site) -> Part:
    owners: tuple[ResourceName, ...] = () if site.host in BUILTIN_SITES else (site_name(site.host),)
    return Part.of(_site_elements(site), *owners)


def _site_elements(site: Site) -> Iterator[Element]:
    space, device = site_space(site.host), device_to(site.address)
    yield Space(space)
    yield Link(Port(INTERNET, device), Port(space, ETH0))
    yield Address(Port(space, ETH0), IPv4Interface(site.address))
    yield Route(space, ANYWHERE, (Hop(ETH0, INTERNET_ROUTER),), site.address)
    yield Route(INTERNET, host(site.address), (Hop(device),))
    for port in site.all_ports:
        yield Listener(space, site.address, port, "tcp", WITNESS)
    for port in site.ports:
        yield Listener(space, site.address, port, "udp", WITNESS)
