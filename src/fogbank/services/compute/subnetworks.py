"""Subnetworks: a region's share of a network's addresses, which only ever grows.

Those that an auto mode network made for itself are marked in private, for they go with it.
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network
from typing import Any

from fogbank.errors import invalid_value, required_field, stale_fingerprint
from fogbank.resources.compute import Network, Router, Subnetwork, refer
from fogbank.resources.compute_indexes import addresses_in_subnetwork, routers_serving
from fogbank.resources.instances import instances_in
from fogbank.resources.names import ResourceName, compute_name
from fogbank.resources.network_ranges import TakenRange, taken_ranges
from fogbank.resources.network_users import subnetwork_users
from fogbank.resources.places import REGIONS
from fogbank.resources.world import Json, Resource, World
from fogbank.services.access import iam_methods
from fogbank.services.compute import ranges
from fogbank.services.compute.bodies import bad_request, inputs, is_current, one_of, refuse_unbuilt, unchanged
from fogbank.services.compute.decisions import deleted, in_use, policy_name, put
from fogbank.services.compute.factories import check_free, fingerprinted, made
from fogbank.services.compute.handlers import readers
from fogbank.services.compute.names import check_name, named, new_identifier, project_of
from fogbank.services.compute.references import find_referred, same_reference
from fogbank.services.contract import Call, Decision, List, Method, Write

AUTOMATIC = "automatic"
AUTO_LARGEST = 16
"""An auto mode network's subnetwork may grow to a /16 (behaviour/vpc.md#networks)."""

PROXY_PURPOSES = ("REGIONAL_MANAGED_PROXY", "GLOBAL_MANAGED_PROXY", "INTERNAL_HTTPS_LOAD_BALANCER")
PURPOSES = ("PRIVATE", *PROXY_PURPOSES, "PRIVATE_SERVICE_CONNECT", "PRIVATE_NAT", "PEER_MIGRATION")
MASKS = (
    "ARP_ALL_RANGES",
    "ARP_PRIMARY_RANGE",
    "ARP_BROADCAST_PRIMARY_RANGE",
    "ARP_BROADCAST_PRIMARY_RANGE_WITH_LEARNING",
)
_MIGRATION = {"PRIVATE", "PEER_MIGRATION"}
INTERVALS = tuple(f"INTERVAL_{each}" for each in ("5_SEC", "30_SEC", "1_MIN", "5_MIN", "10_MIN", "15_MIN"))
EVERYTHING = "true"
"""The filter of flow logs that keeps all records."""
METADATA = ("EXCLUDE_ALL_METADATA", "INCLUDE_ALL_METADATA", "CUSTOM_METADATA")

_OUTPUTS = ("gatewayAddress", "state", "externalIpv6Prefix", "internalIpv6Prefix", "ipv6CidrRange")
_UNBUILT: dict[str, tuple[object, ...]] = {
    "stackType": ("IPV4_ONLY",),
    "privateIpv6GoogleAccess": ("DISABLE_GOOGLE_ACCESS",),
    "ipv6AccessType": (),
    "allowSubnetCidrRoutesOverlap": (),
    "reservedInternalRange": (),
    "ipCollection": (),
    "params": (),
}


def is_automatic(subnetwork: Resource) -> bool:
    """Whether an auto mode network made it."""
    return bool(subnetwork.private.get(AUTOMATIC))


def automatic(network: Resource, call: Call) -> Iterator[Resource]:
    """Make the subnetworks of an auto mode network, one in every region that has a range for it."""
    project = network.name.project
    for region in REGIONS.values():
        name = compute_name("subnetworks", project, "regions", region.name, network.name.id)
        if region.auto_range is not None:
            yield _complete(call, name, network, region.auto_range)


def insert(world: World, call: Call) -> Decision:
    """Make a subnetwork in a range that its network does not hold yet."""
    body = inputs(call.body, _OUTPUTS)
    name = named(world, call, "subnetworks", new_identifier(body))
    for field in ("network", "ipCidrRange"):
        if not body.get(field):
            raise required_field(f"resource.{field}")
    refuse_unbuilt("subnetworks", body, _UNBUILT)
    network = find_referred(world, "resource.network", body["network"], "networks", call)
    check_free(world, name)
    primary = ranges.subnetwork_range("resource.ipCidrRange", body["ipCidrRange"])
    ranges.check_disjoint("resource.ipCidrRange", primary, taken_ranges(world, network.name))
    _check_auto_block(network, primary)
    secondary = _secondary(world, network.name, name, primary, body.get("secondaryIpRanges", ()))
    chosen = _chosen(body)
    if secondary:
        chosen["secondaryIpRanges"] = secondary
    return put(call, "insert", _complete(call, name, network, primary, chosen))


def _complete(
    call: Call, name: ResourceName, network: Resource, primary: IPv4Network, chosen: Json | None = None
) -> Resource:
    """Fill in a subnetwork; without anything ``chosen`` it is one that the network made for itself."""
    fields: Json = {
        "network": network.name.self_link,
        "ipCidrRange": str(primary),
        "gatewayAddress": str(primary[1]),
        "privateIpGoogleAccess": False,
        "privateIpv6GoogleAccess": "DISABLE_GOOGLE_ACCESS",
        "purpose": "PRIVATE",
        "stackType": "IPV4_ONLY",
        "state": "READY",
    }
    private = {AUTOMATIC: True} if chosen is None else None
    return fingerprinted(made(call, name, fields | (chosen or {}), private))


def _chosen(body: Json) -> Json:
    """Check what a maker may choose beside the ranges."""
    chosen: Json = {"description": body["description"]} if body.get("description") else {}
    purpose = body.get("purpose", "PRIVATE")
    one_of("resource.purpose", purpose, PURPOSES)
    chosen["purpose"] = purpose
    if mask := body.get("resolveSubnetMask"):
        # Endpoints have a /32 and ask no neighbour, so it is kept and changes nothing.
        one_of("resource.resolveSubnetMask", mask, MASKS)
        chosen["resolveSubnetMask"] = mask
    if role := body.get("role"):
        one_of("resource.role", role, ("ACTIVE", "BACKUP"))
        if purpose not in PROXY_PURPOSES:
            raise invalid_value("resource.role", role, "Only subnetworks for proxies have a role.")
        chosen["role"] = role
    if "privateIpGoogleAccess" in body:
        chosen["privateIpGoogleAccess"] = bool(body["privateIpGoogleAccess"])
    return chosen | _logging(body, None)


def _logging(body: Json, before: Json | None) -> Json:
    """Check flow logging and fill in its defaults; nothing when the body says nothing.

    See behaviour/vpc.md#flow-logs.
    """
    wanted = body.get("logConfig")
    if wanted is None and "enableFlowLogs" not in body:
        return {}
    config: Json = (before or {}) | (wanted or {})
    if config.get("metadata") != METADATA[-1] and "metadataFields" not in (wanted or {}):
        config.pop("metadataFields", None)  # those of other settings
    if wanted is None or "enable" not in config:
        config["enable"] = bool(body.get("enableFlowLogs", config.get("enable", False)))
    if config["enable"]:
        defaults = {"aggregationInterval": INTERVALS[0], "flowSampling": 0.5, "metadata": METADATA[0]}
        config = defaults | config
    if "aggregationInterval" in config:
        one_of("resource.logConfig.aggregationInterval", config["aggregationInterval"], INTERVALS)
    if "metadata" in config:
        one_of("resource.logConfig.metadata", config["metadata"], METADATA)
    sampling = config.get("flowSampling", 0.5)
    if not 0 <= sampling <= 1:
        raise invalid_value("resource.logConfig.flowSampling", sampling, "Must be between 0.0 and 1.0.")
    _check_records(config)
    return {"logConfig": config, "enableFlowLogs": True if config["enable"] else None}


def _check_records(config: Json) -> None:
    """Check which records are kept, and with which metadata (behaviour/vpc.md#flow-log-filters)."""
    fields, custom = config.get("metadataFields", []), config.get("metadata") == METADATA[-1]
    if bool(fields) != custom and "metadata" in config:
        raise invalid_value(
            "resource.logConfig.metadataFields", fields, f"It is given with {METADATA[-1]}, and only then."
        )
    if (expression := config.get("filterExpr", EVERYTHING)) != EVERYTHING:
        _check_filter(expression)


def _check_filter(expression: str) -> None:
    from fogbank.resources.flow_filters import ExpressionError, parse_filter  # rare, and takes some time

    try:
        parse_filter(expression)
    except ExpressionError as error:
        raise invalid_value("resource.logConfig.filterExpr", expression, f"{error}.") from error


def _check_auto_block(network: Resource, primary: IPv4Network) -> None:
    if Network.of(network).auto and primary.overlaps(ranges.AUTO_BLOCK):
        holder = f"{ranges.AUTO_BLOCK}, which auto mode network '{network.name.id}' keeps for itself."
        raise ranges.conflict("resource.ipCidrRange", primary, holder)


def _secondary(
    world: World, network: ResourceName, own: ResourceName, primary: IPv4Network, entries: Sequence[Json]
) -> list[Json]:
    """Check secondary ranges against the whole network, and against one another."""
    found: list[Json] = []
    if not entries:
        return found
    taken = [*taken_ranges(world, network, own)]
    taken.append(TakenRange(primary, "the primary range of the subnetwork.", own))
    for index, entry in enumerate(entries):
        field = f"resource.secondaryIpRanges[{index}]"
        name = entry.get("rangeName")
        check_name(f"{field}.rangeName", name)
        if any(each["rangeName"] == name for each in found):
            raise invalid_value(f"{field}.rangeName", name, "The subnetwork has another range of this name.")
        refuse_unbuilt("subnetworks.secondaryIpRanges", entry, {"reservedInternalRange": ()})
        wanted = ranges.subnetwork_range(f"{field}.ipCidrRange", entry.get("ipCidrRange"))
        ranges.check_disjoint(f"{field}.ipCidrRange", wanted, iter(taken))
        taken.append(TakenRange(wanted, f"secondary range '{name}' of the subnetwork.", own))
        found.append({"rangeName": name, "ipCidrRange": str(wanted)})
    return found


def patch(world: World, call: Call) -> Decision:
    """Change the secondary ranges, the flow logging or the access to Google of a subnetwork."""
    subnetwork = world.get(named(world, call, "subnetworks", call["subnetwork"]))
    body = inputs(call.body, _OUTPUTS)
    if not body.get("fingerprint"):
        raise required_field("resource.fingerprint")
    if not is_current(body["fingerprint"], subnetwork.body["fingerprint"]):
        raise stale_fingerprint()
    refuse_unbuilt("subnetworks", body, _UNBUILT)
    unchanged(subnetwork, body, ("name", "description", "ipCidrRange", "resolveSubnetMask"))
    same_reference(world, subnetwork, body, "network", "networks")
    changed: dict[str, Any] = {}
    if cleared := "logConfig" in call.body and "logConfig" not in body:
        changed = {"logConfig": None, "enableFlowLogs": None}
    changed |= _logging(body, None if cleared else subnetwork.body.get("logConfig"))
    for field in ("privateIpGoogleAccess", "role"):
        if field in body:
            changed[field] = body[field]
    if "purpose" in body:
        changed["purpose"] = _new_purpose(world, subnetwork, body["purpose"])
    if "secondaryIpRanges" in call.body:
        secondary = _new_secondary(world, subnetwork, body.get("secondaryIpRanges", ()))
        if user := _user_of_gone(world, subnetwork, secondary):
            return in_use(call, "compute.subnetworks.patch", subnetwork, "subnetwork", user)
        changed["secondaryIpRanges"] = secondary or None
    return put(call, "compute.subnetworks.patch", fingerprinted(subnetwork.with_body(**changed)))


def _new_purpose(world: World, subnetwork: Resource, purpose: str) -> str:
    """Check a change of purpose: into and out of the migration of a peer, while nothing uses the subnetwork.

    See behaviour/vpc.md#purposes.
    """
    before = subnetwork.body["purpose"]
    if purpose != before and ({before, purpose} != _MIGRATION or next(users(world, subnetwork), None)):
        raise invalid_value("resource.purpose", purpose, "The field cannot be changed.")
    return purpose


def _new_secondary(world: World, resource: Resource, entries: Sequence[Json]) -> list[Json]:
    """Check the list that a patch gives: it adds ranges, or takes some away, and alters none.

    See behaviour/vpc.md#secondary-ranges.
    """
    subnetwork = Subnetwork.of(resource)
    found = _secondary(world, subnetwork.network, resource.name, subnetwork.range, entries)
    before = {each.name: str(each.range) for each in subnetwork.secondary}
    after = {each["rangeName"]: each["ipCidrRange"] for each in found}
    field = "resource.secondaryIpRanges"
    for index, entry in enumerate(found):
        name, cidr = entry["rangeName"], entry["ipCidrRange"]
        where = f"{field}[{index}].ipCidrRange"
        if before.get(name, cidr) != cidr:
            raise invalid_value(where, cidr, "Existing secondary range cannot be modified.")
        if name not in before and cidr in before.values():
            holder = f"existing subnetwork '{resource.name.id}' in region '{resource.name.region}'."
            raise ranges.conflict(where, ranges.parse_range(where, cidr), holder)
    added = [cidr for name, cidr in after.items() if name not in before]
    removed = [cidr for name, cidr in before.items() if name not in after]
    if added and removed:
        raise invalid_value(
            field,
            "",
            "Cannot add and remove secondary IP ranges in the same request. "
            f"Added ranges: [{', '.join(added)}]. Removed ranges: [{', '.join(removed)}].",
        )
    return found


def _user_of_gone(world: World, resource: Resource, found: Sequence[Json]) -> ResourceName | None:
    """Find a router that serves by name one of the secondary ranges that are not ``found`` any more."""
    kept = {each["rangeName"] for each in found}
    gone = {each.name for each in Subnetwork.of(resource).secondary} - kept
    for router in routers_serving(world, resource.name):
        for nat in Router.of(router).nats:
            for served in nat.subnetworks:
                if served.subnetwork == resource.name and gone.intersection(served.secondary):
                    return router.name
    return None


def expand(world: World, call: Call) -> Decision:
    """Let a subnetwork grow; it never shrinks (behaviour/vpc.md#expansion)."""
    resource = world.get(named(world, call, "subnetworks", call["subnetwork"]))
    subnetwork = Subnetwork.of(resource)
    text = call.body.get("ipCidrRange")
    if not text:
        raise required_field("ipCidrRange")
    wanted = ranges.subnetwork_range("ipCidrRange", text)
    if wanted.prefixlen >= subnetwork.range.prefixlen or not subnetwork.range.subnet_of(wanted):
        raise invalid_value(
            "ipCidrRange", text, f"The new range must be larger than {subnetwork.range} and contain it."
        )
    network = world.get(subnetwork.network)
    if is_automatic(resource) and Network.of(network).auto and wanted.prefixlen < AUTO_LARGEST:
        raise invalid_value(
            "ipCidrRange", text, f"A subnetwork of an auto mode network grows to /{AUTO_LARGEST} at most."
        )
    ranges.check_disjoint("ipCidrRange", wanted, taken_ranges(world, subnetwork.network, resource.name))
    for each in subnetwork.secondary:
        if wanted.overlaps(each.range):
            raise ranges.conflict("ipCidrRange", wanted, f"secondary range '{each.name}' of the subnetwork.")
    return put(call, "expandIpCidrRange", fingerprinted(resource.with_body(ipCidrRange=str(wanted))))


def set_google_access(world: World, call: Call) -> Decision:
    """Switch Private Google Access on or off."""
    resource = world.get(named(world, call, "subnetworks", call["subnetwork"]))
    allowed = bool(call.body.get("privateIpGoogleAccess", False))
    changed = fingerprinted(resource.with_body(privateIpGoogleAccess=allowed))
    return put(call, "setPrivateIpGoogleAccess", changed)


def delete(world: World, call: Call) -> Decision:
    """Take a subnetwork away, unless something has addresses in it (behaviour/vpc.md#deletion)."""
    resource = world.get(named(world, call, "subnetworks", call["subnetwork"]))
    network = world.find(refer(resource.body["network"], "networks"))
    if network is not None and Network.of(network).auto and is_automatic(resource):
        raise bad_request(
            "Invalid resource usage: 'Cannot delete auto subnetwork from an auto subnet mode network.'.",
            "invalidUsage",
        )
    user = next(users(world, resource), None)
    if user is not None:
        return in_use(call, "delete", resource, "subnetwork", user)
    return deleted(call, resource)


def users(world: World, resource: Resource) -> Iterator[ResourceName]:
    """List what has addresses in a subnetwork, or serves it by name."""
    yield from (address.name for address in addresses_in_subnetwork(world, resource.name))
    yield from subnetwork_users(world, refer(resource.body["network"], "networks"), resource.name)
    yield from (router.name for router in routers_serving(world, resource.name))
    yield from (instance.name for instance in instances_in(world, resource.name))


_USABLE_FIELDS = ("ipCidrRange", "network", "purpose", "role", "stackType", "secondaryIpRanges")


def list_usable(world: World, call: Call) -> Iterable[Json]:
    """List the subnetworks of a project that the caller may use."""
    project = project_of(world, call)
    found = world.all("compute.subnetworks", f"projects/{project}/")
    return [
        {"subnetwork": each.name.self_link} | {k: v for k, v in each.body.items() if k in _USABLE_FIELDS}
        for each in found
        if call.access.allows(
            world, call.principal, "compute.subnetworks.use", project, policy_name(each.name)
        )
    ]


def _policy(world: World, call: Call) -> ResourceName:
    return policy_name(world.get(named(world, call, "subnetworks", call["resource"])).name)


METHODS: dict[str, Method] = {
    "subnetworks.insert": Write(insert, "compute.subnetworks.create"),
    **readers("subnetworks", "subnetwork", aggregated=True),
    "subnetworks.listUsable": List(list_usable, permission="compute.subnetworks.list"),
    "subnetworks.patch": Write(patch, "compute.subnetworks.update"),
    "subnetworks.expandIpCidrRange": Write(expand, "compute.subnetworks.expandIpCidrRange"),
    "subnetworks.setPrivateIpGoogleAccess": Write(
        set_google_access, "compute.subnetworks.setPrivateIpGoogleAccess"
    ),
    "subnetworks.delete": Write(delete, "compute.subnetworks.delete"),
    **iam_methods("subnetworks.", _policy, "compute.subnetworks"),
}
