"""Who refers to what among compute's resources: by network, by subnetwork, by address."""

from collections.abc import Iterable, Iterator

from fogbank.resources.compute import Router
from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource, World


def _network(resource: Resource) -> tuple[str, ...]:
    network = resource.body.get("network")
    return (network,) if network else ()


_BY_NETWORK = {
    kind: Index(f"compute.{kind}", _network)
    for kind in (
        *("firewalls", "globalAddresses", "routers", "routes", "subnetworks"),
        *("targetVpnGateways", "vpnGateways"),
    )
}


def in_network(world: World, kind: str, network: ResourceName) -> Iterator[Resource]:
    """List the resources of a ``kind`` (``firewalls``) that are in ``network``, by path."""
    return world.by(_BY_NETWORK[kind], network.self_link)


def _subnetwork(address: Resource) -> tuple[str, ...]:
    subnetwork = address.body.get("subnetwork")
    return (subnetwork,) if subnetwork else ()


_ADDRESSES_BY_SUBNETWORK = Index("compute.addresses", _subnetwork)


def addresses_in_subnetwork(world: World, subnetwork: ResourceName) -> Iterator[Resource]:
    """List the internal addresses that are reserved in ``subnetwork``, by path."""
    return world.by(_ADDRESSES_BY_SUBNETWORK, subnetwork.self_link)


def _external(address: Resource) -> tuple[str, ...]:
    return (address.body["address"],) if address.body["addressType"] == "EXTERNAL" else ()


_EXTERNAL = tuple(Index(f"compute.{kind}", _external) for kind in ("addresses", "globalAddresses"))


def external_address(world: World, address: str) -> Resource | None:
    """Find the regional resource that reserves an external address."""
    return next(world.by(_EXTERNAL[0], address), None)


def external_addresses(world: World) -> Iterator[str]:
    """List the external addresses of all projects, as text."""
    return (address for index in _EXTERNAL for address, _ in world.ordered(index))


def _used_addresses(router: Resource) -> Iterable[str]:
    return [address.path for nat in Router.of(router).nats for address in nat.outsides]


_ROUTERS_BY_ADDRESS = Index("compute.routers", _used_addresses)


def router_with_address(world: World, address: ResourceName) -> Resource | None:
    """Find the router one of whose gateways has the address resource ``address``."""
    return next(world.by(_ROUTERS_BY_ADDRESS, address.path), None)


def _served_subnetworks(router: Resource) -> Iterable[str]:
    return [served.subnetwork.path for nat in Router.of(router).nats for served in nat.subnetworks]


_ROUTERS_BY_SUBNETWORK = Index("compute.routers", _served_subnetworks)


def routers_serving(world: World, subnetwork: ResourceName) -> Iterator[Resource]:
    """List the routers with a gateway that names ``subnetwork``, by path."""
    return world.by(_ROUTERS_BY_SUBNETWORK, subnetwork.path)
