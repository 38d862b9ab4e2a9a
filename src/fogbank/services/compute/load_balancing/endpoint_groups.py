"""Network endpoint groups: zonal ones of machines and other addresses, regional ones of Cloud Run services.

The endpoints of a group are kept beside its body, for clients read them by a method of their own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from fogbank.errors import invalid_value, not_built, required_field
from fogbank.resources.instances import INSTANCES, NetworkInterface, interfaces_of
from fogbank.resources.load_balancing import endpoint_key
from fogbank.resources.names import ResourceName, parse_compute_reference
from fogbank.resources.world import Json, Put, Resource, World
from fogbank.services.compute.bodies import bad_request, number, one_of, without_nulls
from fogbank.services.compute.decisions import committed
from fogbank.services.compute.load_balancing.collection import Kind
from fogbank.services.compute.names import project_of, zone_of
from fogbank.services.compute.references import find_referred
from fogbank.services.contract import Call, Decision, List, Write

_MOST_AT_ONCE = 500
ZONAL = ("GCE_VM_IP_PORT", "GCE_VM_IP", "NON_GCP_PRIVATE_IP_PORT")
_WITHOUT_PORTS = "GCE_VM_IP"
_UNBUILT = (
    "INTERNET_FQDN_PORT",
    "INTERNET_IP_PORT",
    "PRIVATE_SERVICE_CONNECT",
    "GCE_VM_IP_PORTMAP",
)


def _complete(world: World, call: Call, _name: ResourceName, body: Json) -> Json:
    zonal = "zone" in call.parameters
    kind = body.get("networkEndpointType") or (ZONAL[0] if zonal else "SERVERLESS")
    if kind in _UNBUILT:
        raise not_built(f"compute.networkEndpointGroups with networkEndpointType={kind}")
    one_of("resource.networkEndpointType", kind, (*ZONAL, "SERVERLESS"))
    if (kind == "SERVERLESS") == zonal:
        where = "a zone" if zonal else "a region"
        raise invalid_value(
            "resource.networkEndpointType", kind, f"A group of {where} cannot have this type."
        )
    fields: Json = {"networkEndpointType": kind, "size": 0}
    for each in ("description", "annotations"):
        if body.get(each):
            fields[each] = body[each]
    return fields | (_in_network(world, call, body) if zonal else _serverless(body))


def _in_network(world: World, call: Call, body: Json) -> Json:
    if body.get("cloudRun"):
        raise invalid_value("resource.cloudRun", body["cloudRun"], "Only a SERVERLESS group has it.")
    reference = body.get("network") or "global/networks/default"
    network = find_referred(world, "resource.network", reference, "networks", call)
    fields: Json = {"network": network.name.self_link}
    if body.get("subnetwork"):
        subnetwork = find_referred(world, "resource.subnetwork", body["subnetwork"], "subnetworks", call)
        if subnetwork.body["network"] != network.name.self_link:
            raise invalid_value(
                "resource.subnetwork", body["subnetwork"], "It is not in the group's network."
            )
        fields["subnetwork"] = subnetwork.name.self_link
    if body.get("defaultPort"):
        if body.get("networkEndpointType") == _WITHOUT_PORTS:
            why = "A group of type GCE_VM_IP has no ports."
            raise invalid_value("resource.defaultPort", body["defaultPort"], why)
        fields["defaultPort"] = _port("resource.defaultPort", body["defaultPort"])
    return fields


def _serverless(body: Json) -> Json:
    for field in ("network", "subnetwork", "defaultPort"):
        if body.get(field):
            raise invalid_value(f"resource.{field}", body[field], "A SERVERLESS group cannot have it.")
    target = body.get("cloudRun")
    if not target:
        raise required_field("resource.cloudRun")
    if not target.get("service"):
        raise not_built("compute.networkEndpointGroups with cloudRun.urlMask")
    for field in ("urlMask", "tag"):
        if target.get(field):
            raise not_built(f"compute.networkEndpointGroups with cloudRun.{field}")
    return {"cloudRun": {"service": target["service"]}}


def _port(field: str, value: object) -> int:
    port = number(value)
    if not 1 <= port <= 65535:
        raise invalid_value(field, port, "Must be between 1 and 65535.")
    return port


def attach(world: World, call: Call) -> Decision:
    """Add endpoints to a group; those that it has already stay."""
    group = KIND.find(world, call)
    known: dict[tuple[str, int], Json] = {endpoint_key(each): each for each in _endpoints(group)}
    for endpoint in _asked(call):
        read = _new_endpoint(world, call, group, endpoint)
        known[endpoint_key(read)] = read
    return _with(call, group, "attachNetworkEndpoints", known.values())


def detach(world: World, call: Call) -> Decision:
    """Take endpoints out of a group; refuses one that it does not have."""
    group = KIND.find(world, call)
    known: dict[tuple[str, int], Json] = {endpoint_key(each): each for each in _endpoints(group)}
    for endpoint in _asked(call):
        found = [key for key, each in known.items() if _is_meant(group, each, endpoint)]
        if not found:
            raise invalid_value(
                "networkEndpoints", endpoint, "The network endpoint is not in the network endpoint group."
            )
        for key in found:
            del known[key]
    return _with(call, group, "detachNetworkEndpoints", known.values())


def _is_meant(group: Resource, known: Json, asked: Json) -> bool:
    port = asked.get("port") or group.body.get("defaultPort")
    return all(
        wanted is None or known.get(field) == wanted
        for field, wanted in (("ipAddress", asked.get("ipAddress")), ("port", port))
    ) and (not asked.get("instance") or str(asked["instance"]).rpartition("/")[2] == known.get("instance"))


def _asked(call: Call) -> list[Json]:
    asked: list[Json] = without_nulls(call.body).get("networkEndpoints") or []
    if not asked:
        raise required_field("networkEndpoints")
    if len(asked) > _MOST_AT_ONCE:
        raise invalid_value("networkEndpoints", len(asked), f"At most {_MOST_AT_ONCE} in one call.")
    return asked


def _endpoints(group: Resource) -> list[Json]:
    found: list[Json] = group.private.get("endpoints", [])
    return found


def _with(call: Call, group: Resource, verb: str, endpoints: Iterable[Json]) -> Decision:
    kept = list(endpoints)
    changed = replace(group.with_body(size=len(kept)), private={**group.private, "endpoints": kept})
    return committed(call, verb, changed, (Put(changed),), done=True)


def _new_endpoint(world: World, call: Call, group: Resource, asked: Json) -> Json:
    kind = group.body["networkEndpointType"]
    if kind == "SERVERLESS":
        raise bad_request("A SERVERLESS network endpoint group has no endpoints.")
    made: Json = {} if kind == _WITHOUT_PORTS else {"port": _port_of(group, asked)}
    if kind == _WITHOUT_PORTS and asked.get("port"):
        raise invalid_value("networkEndpoints.port", asked["port"], "A group of type GCE_VM_IP has no ports.")
    if asked.get("annotations"):
        made["annotations"] = asked["annotations"]
    if kind == "NON_GCP_PRIVATE_IP_PORT":
        if asked.get("instance"):
            raise invalid_value("networkEndpoints.instance", asked["instance"], "It is not in Google Cloud.")
        return made | {"ipAddress": str(_address(asked.get("ipAddress")))}
    if not asked.get("instance"):
        raise required_field("networkEndpoints.instance")
    interface, name = _interface(world, call, group, asked["instance"])
    if wanted := asked.get("ipAddress"):
        address = _address(wanted)
        if address != interface.address and not any(address in each for each in interface.aliases):
            raise invalid_value(
                "networkEndpoints.ipAddress", wanted,
                f"The IP address must be the primary or an alias IP address of the instance {name.path}.",
            )  # fmt: skip
    else:
        address = interface.address
    return made | {"instance": name.id, "ipAddress": str(address)}


def _port_of(group: Resource, asked: Json) -> int:
    port = asked.get("port") or group.body.get("defaultPort")
    if not port:
        raise required_field("networkEndpoints.port")
    return _port("networkEndpoints.port", port)


def _address(value: Any) -> IPv4Address:
    if not value:
        raise required_field("networkEndpoints.ipAddress")
    try:
        return IPv4Address(value)
    except AddressValueError:
        raise invalid_value("networkEndpoints.ipAddress", value, "Must be an IPv4 address.") from None


def _interface(
    world: World, call: Call, group: Resource, reference: object
) -> tuple[NetworkInterface, ResourceName]:
    """Find the interface of an instance that is in the group's network."""
    zone = zone_of(call)
    try:
        name = parse_compute_reference(str(reference), "instances", project_of(world, call), "zones", zone)
    except ValueError:
        raise invalid_value("networkEndpoints.instance", reference, "The URL is malformed.") from None
    instance = world.find(ResourceName(INSTANCES, name.path))
    if instance is None or name.segment("zones") != zone:
        raise invalid_value(
            "networkEndpoints.instance", reference,
            "The referenced instance resource cannot be found in the zone of the network endpoint group.",
        )  # fmt: skip
    for each in interfaces_of(instance):
        if each.network.self_link == group.body["network"] and group.body.get("subnetwork") in {
            None,
            each.subnetwork.self_link,
        }:
            return each, name
    raise invalid_value(
        "networkEndpoints.instance", reference, "The instance is not in the network of the group."
    )


def list_endpoints(world: World, call: Call) -> Iterator[Json]:
    """List the endpoints of a group."""
    if (call.body or {}).get("healthStatus") == "SHOW":
        raise not_built("compute.networkEndpointGroups.listNetworkEndpoints with healthStatus=SHOW")
    group = KIND.find(world, call)
    return ({"networkEndpoint": each} for each in _endpoints(group))


_FIELDS = ("name", "description", "annotations", "networkEndpointType", "network", "subnetwork",
           "defaultPort", "cloudRun")  # fmt: skip
KIND = Kind(
    "networkEndpointGroups",
    "networkEndpointGroup",
    "network_endpoint_group",
    frozenset(_FIELDS),
    _complete,
    methods_global="networkEndpointGroups",
    methods_regional="regionNetworkEndpointGroups",
    changes=(),
    immediate=False,
    outputs=frozenset({"size"}),
    untested=frozenset({"regionNetworkEndpointGroups"}),
)
_MAY = "compute.networkEndpointGroups"
METHODS = {
    **KIND.methods(),
    "networkEndpointGroups.attachNetworkEndpoints": Write(attach, f"{_MAY}.attachNetworkEndpoints"),
    "networkEndpointGroups.detachNetworkEndpoints": Write(detach, f"{_MAY}.detachNetworkEndpoints"),
    "networkEndpointGroups.listNetworkEndpoints": List(list_endpoints, permission=f"{_MAY}.get"),
}
