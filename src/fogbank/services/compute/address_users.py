"""Who uses an address: derived from the routers whenever somebody asks, so it is never out of date.

The only users so far are NAT gateways; the address shows the router that they hang from
(behaviour/static-addresses.md#use-and-release).
"""

from fogbank.resources.compute_indexes import router_with_address
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World


def user_of(world: World, address: ResourceName) -> ResourceName | None:
    """Find the router that uses one address."""
    router = router_with_address(world, address)
    return None if router is None else router.name


def show(world: World, address: Resource) -> Json:
    """Show an address with its status and its users."""
    router = user_of(world, address.name)
    if router is None:
        return address.body
    return address.body | {"status": "IN_USE", "users": [router.self_link]}
