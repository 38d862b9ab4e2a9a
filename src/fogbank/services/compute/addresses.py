"""Static addresses, regional and global, external and internal.

Nothing in the network changes when one is reserved: it counts when a NAT gateway uses it. So every operation
here is done at once. Addresses that a gateway made for itself (purpose NAT_AUTO) go with the gateway.
"""

from collections.abc import Iterable
from itertools import chain

from fogbank.errors import invalid_value, required_field
from fogbank.resources.compute_indexes import external_address
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.instances import instance_with_external, zone_of
from fogbank.resources.names import ResourceName
from fogbank.resources.places import ZONES
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute import address_choice
from fogbank.services.compute.address_users import show, user_of
from fogbank.services.compute.bodies import (
    bad_request,
    check_labels,
    inputs,
    one_of,
    refuse_unbuilt,
)
from fogbank.services.compute.decisions import deleted, in_use, put, relabelled
from fogbank.services.compute.factories import check_free, made
from fogbank.services.compute.handlers import in_place, permission_tester
from fogbank.services.compute.names import named, new_identifier
from fogbank.services.compute.references import find_referred
from fogbank.services.contract import Call, Decision, List, Method, Read, Write

NAT_AUTO = "NAT_AUTO"
_TIERS = ("PREMIUM", "STANDARD")
_REGIONAL_PURPOSES = ("GCE_ENDPOINT", "SHARED_LOADBALANCER_VIP", "DNS_RESOLVER")
_GLOBAL_PURPOSES = ("VPC_PEERING", "PRIVATE_SERVICE_CONNECT")
_OUTPUTS = ("status", "users", "labelFingerprint", "region")
_UNBUILT: dict[str, tuple[object, ...]] = {
    "ipVersion": ("IPV4", "UNSPECIFIED_VERSION"),
    "ipv6EndpointType": (),
    "ipCollection": (),
    "networkAttachment": (),
    "serviceClassId": (),
}


def insert(world: World, call: Call) -> Decision:
    """Reserve an address of a region."""
    body, name = _asked(world, call, "addresses")
    if body["addressType"] == "EXTERNAL":
        return _reserved(call, name, body, _promoted(world, name, body) or _external(world, body))
    purpose = body.get("purpose") or _REGIONAL_PURPOSES[0]
    one_of("resource.purpose", purpose, _REGIONAL_PURPOSES)
    if "network" in body:
        raise invalid_value("resource.network", body["network"], "A regional address has a subnetwork.")
    if "prefixLength" in body:
        raise invalid_value("resource.prefixLength", body["prefixLength"], "Only global ranges have one.")
    place = body.get("subnetwork") or "default"
    subnetwork = find_referred(world, "resource.subnetwork", place, "subnetworks", call)
    chosen = address_choice.internal(world, subnetwork, body.get("address"))
    fields = {"address": str(chosen), "purpose": purpose, "subnetwork": subnetwork.name.self_link}
    return _reserved(call, name, body, fields)


def insert_global(world: World, call: Call) -> Decision:
    """Reserve a global address: external, or a private range or endpoint of a network."""
    body, name = _asked(world, call, "globalAddresses")
    if body["addressType"] == "EXTERNAL":
        if body.get("networkTier") == "STANDARD":
            raise invalid_value("resource.networkTier", "STANDARD", "A global address is PREMIUM.")
        return _reserved(call, name, body, _external(world, body))
    one_of("resource.purpose", body.get("purpose"), _GLOBAL_PURPOSES)
    if not body.get("network"):
        raise required_field("resource.network")
    network = find_referred(world, "resource.network", body["network"], "networks", call)
    fields: Json = {"purpose": body["purpose"], "network": network.name.self_link}
    if body["purpose"] == "VPC_PEERING":
        held = address_choice.peering_range(world, network, body)
        fields |= {"address": str(held.network_address), "prefixLength": held.prefixlen}
    else:
        fields["address"] = str(address_choice.endpoint(world, network.name, body.get("address")))
    return _reserved(call, name, body, fields)


def _asked(world: World, call: Call, kind: str) -> tuple[Json, ResourceName]:
    """Check what all addresses have in common; the body comes back with its type filled in."""
    body = inputs(call.body, _OUTPUTS)
    name = named(world, call, kind, new_identifier(body))
    refuse_unbuilt(kind, body, _UNBUILT)
    body.setdefault("addressType", "EXTERNAL")
    one_of("resource.addressType", body["addressType"], ("EXTERNAL", "INTERNAL"))
    one_of("resource.networkTier", body.get("networkTier", "PREMIUM"), _TIERS)
    check_labels(body.get("labels", {}))
    check_free(world, name)
    return body, name


def _promoted(world: World, name: ResourceName, body: Json) -> Json | None:
    """Reserve an address that an instance of the region has; None when none has the one asked for.

    See behaviour/static-addresses.md#promotion.
    """
    wanted = str(body.get("address") or "")
    instance = instance_with_external(world, wanted) if wanted else None
    if instance is None or external_address(world, wanted) is not None:
        return None
    here = (name.project, name.region)
    if (instance.name.project, ZONES[zone_of(instance.name)].name) != here:
        return None
    return {"address": wanted}


def _external(world: World, body: Json) -> Json:
    for field in ("purpose", "subnetwork", "network", "prefixLength"):
        if body.get(field):
            raise invalid_value(f"resource.{field}", body[field], "An EXTERNAL address cannot have it.")
    return {"address": str(address_choice.external(world, body.get("address")))}


def _reserved(call: Call, name: ResourceName, body: Json, fields: Json) -> Decision:
    return put(call, "insert", reserved(call, name, body, fields), done=True)


def reserved(call: Call, name: ResourceName, body: Json, fields: Json) -> Resource:
    """Make the resource of an address; ``fields`` hold what was chosen."""
    labels = body.get("labels", {})
    common: Json = {
        "description": body.get("description", ""),
        "addressType": body.get("addressType", "EXTERNAL"),
        "networkTier": body.get("networkTier", "PREMIUM") if "subnetwork" not in fields else "PREMIUM",
        "status": "RESERVED",
        "labelFingerprint": fingerprint(labels),
    }
    if labels:
        common["labels"] = dict(labels)
    if body.get("ipVersion"):
        common["ipVersion"] = body["ipVersion"]
    return made(call, name, common | fields)


def _get(kind: str) -> Read:
    def get(world: World, call: Call) -> Json:
        return show(world, world.get(named(world, call, kind, call["address"])))

    return Read(get, f"compute.{kind}.get")


def _list(*kinds: str) -> List:
    def listed(world: World, call: Call) -> Iterable[Json]:
        found = [in_place(world, call, kind, show) for kind in kinds]
        return found[0] if len(found) == 1 else chain(*found)

    return List(listed, permission=f"compute.{kinds[-1]}.list")


def _delete(kind: str) -> Write:
    def delete(world: World, call: Call) -> Decision:
        address = world.get(named(world, call, kind, call["address"]))
        user = user_of(world, address.name)
        if user is not None:
            return in_use(call, "delete", address, "address", user)
        if address.body.get("purpose") in {NAT_AUTO, "SERVERLESS"}:
            raise bad_request(
                f"The address '{address.name.path}' is managed by Google and cannot be deleted."
            )
        return deleted(call, address, done=True)

    return Write(delete, f"compute.{kind}.delete")


def _set_labels(kind: str) -> Write:
    def set_labels(world: World, call: Call) -> Decision:
        address = world.get(named(world, call, kind, call["resource"]))
        return relabelled(call, address)

    return Write(set_labels, f"compute.{kind}.setLabels")


METHODS: dict[str, Method] = {
    "addresses.insert": Write(insert, "compute.addresses.create"),
    "globalAddresses.insert": Write(insert_global, "compute.globalAddresses.create"),
    "addresses.aggregatedList": _list("globalAddresses", "addresses"),
}
for _kind in ("addresses", "globalAddresses"):
    METHODS |= {
        f"{_kind}.get": _get(_kind),
        f"{_kind}.list": _list(_kind),
        f"{_kind}.delete": _delete(_kind),
        f"{_kind}.setLabels": _set_labels(_kind),
        f"{_kind}.testIamPermissions": permission_tester(_kind),
    }
