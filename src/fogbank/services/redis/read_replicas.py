"""Nodes that come and go: read replicas are enabled once, and then there may be more or fewer of them.

A node keeps its number for as long as it is there. When there are to be fewer, the replicas with the highest
numbers go (behaviour/memorystore-redis.md#read-replicas).
"""

from ipaddress import IPv4Network

from fogbank.errors import not_built
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.collections import bad_request
from fogbank.services.redis.model import addresses, has_read_replicas, number_of
from fogbank.services.redis.placement import WITH_READ_REPLICAS, choose_range
from fogbank.services.redis.validation import replicas, zones

_SECONDARY = "secondary_ip_range"


def new_nodes(body: Json, region: str) -> list[Json]:
    """Make the nodes of a new instance, each in a zone of its own while there are zones."""
    where = zones(body, region, 1 + replicas(body))
    return [_node(number, zone) for number, zone in enumerate(where)]


def with_endpoints(resource: Resource) -> Resource:
    """Show how many replicas an instance has, and where it is read."""
    body, private = resource.body, resource.private
    within, more = IPv4Network(private["range"]), tuple(map(IPv4Network, private.get("moreRanges", ())))
    count, reads = len(body["nodes"]), has_read_replicas(body)
    host, _, read_endpoint = addresses(within, count, more, reads=reads)
    shown: Json = {"host": str(host), **({"replicaCount": count - 1} if count > 1 else {})}
    if read_endpoint is not None:
        shown |= {"readEndpoint": str(read_endpoint), "readEndpointPort": body["port"]}
    return resource.with_body(**shown)


def resized(world: World, before: Resource, after: Resource) -> Resource:
    """Give an instance the nodes that ``after`` asks for, and room for them when there was none."""
    was, now = has_read_replicas(before.body), has_read_replicas(after.body)
    if was and not now:
        raise bad_request("Read replicas cannot be disabled once they are enabled.", "read_replicas_mode")
    if now and not was:
        after = _with_room(world, before, after)
    elif after.body.get("secondaryIpRange") != before.body.get("secondaryIpRange"):
        raise bad_request("secondary_ip_range is only for enabling read replicas.", _SECONDARY)
    return with_endpoints(after.with_body(nodes=_nodes(after)))


def _nodes(instance: Resource) -> list[Json]:
    body, primary = instance.body, int(instance.private["primary"])
    count = 1 + replicas(body)
    held = [each for each in body["nodes"] if number_of(each) == primary]
    kept = [each for each in body["nodes"] if number_of(each) != primary][: count - 1]
    numbers = {number_of(each) for each in (*held, *kept)}
    free = (number for number in range(count + 1) if number not in numbers)
    added = [next(free) for _ in range(count - len(numbers))]
    where = zones(body, instance.name.region or "", count + 1)
    made = [_node(number, where[number]) for number in added]
    return sorted((*held, *kept, *made), key=number_of)


def _with_room(world: World, before: Resource, after: Resource) -> Resource:
    """Choose the range for what comes with read replicas; without one there would be too few addresses."""
    body, asked = after.body, str(after.body.get("secondaryIpRange") or "")
    if not asked:
        raise bad_request("secondary_ip_range is required to enable read replicas.", _SECONDARY)
    if body["transitEncryptionMode"] == "SERVER_AUTHENTICATION":
        raise not_built("read replicas of redis.instances that were made with encryption and without them")
    found = choose_range(
        world,
        ResourceName("compute.networks", before.private["network"]),
        "" if asked == "auto" else asked,
        before.id,
        private_services=body["connectMode"] == "PRIVATE_SERVICE_ACCESS",
        length=WITH_READ_REPLICAS,
        field=_SECONDARY,
    )
    private = after.private | {"moreRanges": [str(found)]}
    return Resource(after.name, after.id, after.created, {**body, "secondaryIpRange": str(found)}, private)


def _node(number: int, zone: str) -> Json:
    return {"id": f"node-{number}", "zone": zone}
