"""Who uses an address: derived from the routers whenever somebody asks, so it is never out of date.

The only users so far are NAT gateways; the address shows the router that they hang from
(behaviour/static-addresses.md#use-and-release).
"""

from collections.abc import Mapping

from fogbank.resources.compute import Router
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World

Users = Mapping[ResourceName, ResourceName]
"""For each address in use, its router."""


def users_of_addresses(world: World, under: str) -> Users:
    """Find the users of all addresses under a path: a project's or a region's (``projects/p/regions/r/``)."""
    return {
        address: router.name
        for router in world.all("compute.routers", under)
        for nat in Router.of(router).nats
        for address in nat.outsides
    }


def user_of(world: World, address: ResourceName) -> ResourceName | None:
    """Find the router that uses one address."""
    if address.region is None:
        return None
    place = f"projects/{address.project}/regions/{address.region}/"
    return users_of_addresses(world, place).get(address)


def show(address: Resource, users: Users) -> Json:
    """Show an address with its status and its users."""
    router = users.get(address.name)
    if router is None:
        return address.body
    return address.body | {"status": "IN_USE", "users": [router.self_link]}
