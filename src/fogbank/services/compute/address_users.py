"""Who uses an address: derived from routers and instances whenever somebody asks, so it is never out of date.

For a NAT gateway the address shows the router that it hangs from
(behaviour/static-addresses.md#use-and-release).
"""

from fogbank.resources.compute import StaticAddress
from fogbank.resources.compute_indexes import router_with_address
from fogbank.resources.instances import instance_with_address, instance_with_external
from fogbank.resources.load_balancing import forwarding_rules_at
from fogbank.resources.names import ResourceName
from fogbank.resources.passthrough import internal_rules_in
from fogbank.resources.world import Json, Resource, World


def user_of(world: World, address: ResourceName) -> ResourceName | None:
    """Find the router, the forwarding rule or the instance that uses one address."""
    router = router_with_address(world, address)
    if router is not None:
        return router.name
    resource = world.find(address)
    if resource is None:
        return None
    user = forwarding_rule_using(world, resource) or instance_using(world, resource)
    return None if user is None else user.name


def forwarding_rule_using(world: World, address: Resource) -> Resource | None:
    """Find the first forwarding rule that has an address, of the address's own scope."""
    read = StaticAddress.of(address)
    if not read.external:
        inside = internal_rules_in(world, read.subnetwork) if read.subnetwork else ()
        return next((rule for each, rule in inside if each == read.address), None)
    rules = forwarding_rules_at(world, read.address)
    return next((each for each in rules if each.name.region == read.region), None)


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
