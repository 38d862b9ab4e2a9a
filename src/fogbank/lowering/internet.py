"""The small internet: one router with Google's front end on it, third parties and the fabric beside it.

Packets to addresses that nobody has are silently dropped here (blackhole), as on the real one. Routes to NAT
addresses are added by `cloud_nat`, which knows the VPC that owns each.
"""

from collections.abc import Iterator
from ipaddress import IPv4Interface

from fogbank.lowering.feature import Feature, Source
from fogbank.lowering.fragments import Fragment
from fogbank.lowering.netns_names import ETH0, INTERNET, LOOPBACK, device_to, site_netns
from fogbank.network.addressing import ANYWHERE, FRONT_END, INTERNET_ROUTER, TERMINAL, host
from fogbank.network.topology import Address, Element, Hop, Link, Listener, NetworkNamespace, Port, Route
from fogbank.resources.fleet import Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.sites import BUILTIN_SITES, SITES, WEB_PORTS, Site, read_site, site_name

SITE_SERVICE = "site"
"""The service behind every third party's sockets."""

FRONT_END_SERVICE = "front-end"
"""The service behind the names of Cloud Run services."""


class Internet(Feature):
    """The internet's router and the third parties around it: the built-in ones and the operator's."""

    resources = frozenset({SITES})

    def always(self) -> Fragment:
        """Lower the router and the built-in third parties."""
        return Fragment.joined((_router(), *map(_site, BUILTIN_SITES.values())))

    def outside(self, source: Source) -> Fragment | None:
        """Lower a third party that the operator added."""
        return None if isinstance(source, Instance) else _site(read_site(source))


def _router() -> Fragment:
    return Fragment.of(
        (
            NetworkNamespace(INTERNET, forwards=True),
            Address(Port(INTERNET, LOOPBACK), IPv4Interface(INTERNET_ROUTER)),
            Address(Port(INTERNET, LOOPBACK), IPv4Interface(FRONT_END)),
            Address(Port(INTERNET, LOOPBACK), IPv4Interface(TERMINAL)),
            Route(INTERNET, ANYWHERE, ()),
            *(Listener(INTERNET, FRONT_END, port, "tcp", FRONT_END_SERVICE) for port in WEB_PORTS),
        )
    )


def _site(site: Site) -> Fragment:
    owners: tuple[ResourceName, ...] = () if site.host in BUILTIN_SITES else (site_name(site.host),)
    return Fragment.of(_site_elements(site), *owners)


def _site_elements(site: Site) -> Iterator[Element]:
    netns, device = site_netns(site.host), device_to(site.address)
    yield NetworkNamespace(netns)
    yield Link(Port(INTERNET, device), Port(netns, ETH0))
    yield Address(Port(netns, ETH0), IPv4Interface(site.address))
    yield Route(netns, ANYWHERE, (Hop(ETH0, INTERNET_ROUTER),), site.address)
    yield Route(INTERNET, host(site.address), (Hop(device),))
    for port in site.all_ports:
        yield Listener(netns, site.address, port, "tcp", SITE_SERVICE)
    for port in site.ports:
        yield Listener(netns, site.address, port, "udp", SITE_SERVICE)
