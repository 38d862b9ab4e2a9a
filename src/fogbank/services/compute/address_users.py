"""Who uses an address: derived from routers and instances whenever somebody asks, so it is never out of date.

For a NAT gateway the address shows the router that it hangs from
(behaviour/static-addresses.md#use-and-release).
"""

from fogbank.resources.compute import StaticAddress
from fogbank.resources.compute_indexes import router_with_address
from fogbank.resources.instances import instance_with_address, instance_with_external
from fogbank.resources.names import ResourceName
from fogbank.resources.vpn import rules_with_address
from fogbank.resources.world import Json, Resource, World


def user_of(world: World, address: ResourceName) -> ResourceName | None:
    """Find the router or the instance that uses one address."""
    router = router_with_address(world, address)
    if router is not None:
        return router.name
    resource = world.find(address)
    if resource is None:
        return None
    instance = instance_using(world, resource)
    rules = () if instance is not None else rules_with_address(world, resource.body["address"])
    return instance.name if instance is not None else next((each.name for each in rules), None)


def instance_using(world: World, address: Resource) -> Resource | None:
    """Find the instance that has a reserved address."""
    read = StaticAddress.of(address)
    if read.prefix_length is not None or read.region is None:
        return None
    if read.external:
        return instance_with_external(world, str(read.address))
    return instance_with_address(world, read.subnetwork, read.address) if read.subnetwork else None


def show(world: World, address: Resource) -> Json:
    """Show an address with its status and its users."""
    user = user_of(world, address.name)
    if user is None:
        return address.body
    return address.body | {"status": "IN_USE", "users": [user.self_link]}
