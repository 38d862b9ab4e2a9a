"""External addresses and alias ranges of interfaces that exist."""

from collections.abc import Callable

from fogbank.errors import invalid_value, not_built, required_field, stale_fingerprint
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.bodies import is_current, one_of, unchanged, without_nulls
from fogbank.services.compute.decisions import OperationFailed, failed, put
from fogbank.services.compute.instances import interfaces
from fogbank.services.compute.instances.interfaces import Making, fingerprinted
from fogbank.services.compute.instances.power import find
from fogbank.services.contract import Call, Decision

Edit = Callable[[Json], Json]


def _interface(instance: Resource, name: object) -> Json:
    for each in instance.body["networkInterfaces"]:
        if each["name"] == name:
            found: Json = each
            return found
    why = "Network interface does not exist."
    raise invalid_value("networkInterface", name, why)


def _edited(instance: Resource, name: str, edit: Edit) -> Resource:
    """Return an instance with one interface edited."""
    changed = [
        fingerprinted(edit(each)) if each["name"] == name else each
        for each in instance.body["networkInterfaces"]
    ]
    return instance.with_body(networkInterfaces=changed)


def add(world: World, call: Call) -> Decision:
    """Give an interface an external address."""
    instance = find(world, call)
    name = str(call.parameters.get("networkInterface", ""))
    before = _interface(instance, name)
    if before.get("accessConfigs"):
        why = "At most one access config currently supported."
        raise invalid_value("networkInterface", name, why)
    try:
        config = interfaces.access_config(Making(world, call), "resource", without_nulls(call.body))
    except OperationFailed as refusal:
        return failed(call, "addAccessConfig", instance, refusal.error)
    if not _has_addresses(instance) and not call.body.get("natIP"):
        config = {key: value for key, value in config.items() if key != "natIP"}
    changed = _edited(instance, name, lambda interface: interface | {"accessConfigs": [config]})
    return put(call, "addAccessConfig", changed)


def _has_addresses(instance: Resource) -> bool:
    """Return whether access configs without a reserved address have one now: not while it is stopped."""
    return instance.body["status"] not in {"TERMINATED", "SUSPENDED"}


def delete(world: World, call: Call) -> Decision:
    """Take the external address of an interface away."""
    instance = find(world, call)
    name = str(call.parameters.get("networkInterface", ""))
    wanted = str(call.parameters.get("accessConfig", ""))
    configs = _interface(instance, name).get("accessConfigs", ())
    if not any(each["name"] == wanted for each in configs):
        why = "The specified access config does not exist."
        raise invalid_value("accessConfig", wanted, why)
    changed = _edited(instance, name, lambda each: {k: v for k, v in each.items() if k != "accessConfigs"})
    return put(call, "deleteAccessConfig", changed)


def update(world: World, call: Call) -> Decision:
    """Change an access config: nothing but its public name in DNS could change, which is not built."""
    instance = find(world, call)
    name = str(call.parameters.get("networkInterface", ""))
    configs = _interface(instance, name).get("accessConfigs", ())
    if not configs:
        raise invalid_value("networkInterface", name, "The interface has no access config.")
    body = without_nulls(call.body)
    if body.get("setPublicPtr") or body.get("publicPtrDomainName"):
        raise not_built("compute.instances.updateAccessConfig with publicPtrDomainName")
    for field in ("natIP", "networkTier", "type"):
        if field in body and body[field] != configs[0].get(field):
            raise invalid_value(f"resource.{field}", body[field], "The field cannot be changed.")
    renamed = configs[0] | ({"name": body["name"]} if body.get("name") else {})
    changed = _edited(instance, name, lambda each: each | {"accessConfigs": [renamed]})
    return put(call, "updateAccessConfig", changed, done=True)


def update_interface(world: World, call: Call) -> Decision:
    """Change the alias ranges of an interface."""
    instance = find(world, call)
    name = str(call.parameters.get("networkInterface", ""))
    before = _interface(instance, name)
    body = without_nulls(call.body)
    if not body.get("fingerprint"):
        raise required_field("resource.fingerprint")
    if not is_current(body["fingerprint"], before["fingerprint"]):
        raise stale_fingerprint()
    if "stackType" in body:
        one_of("resource.stackType", body["stackType"], ("IPV4_ONLY",))
    for field in ("network", "subnetwork"):
        if field in body and body[field].rpartition("/")[2] != before[field].rpartition("/")[2]:
            raise not_built(f"compute.instances.updateNetworkInterface with another {field}")
    probe = Resource(instance.name, instance.id, instance.created, before)
    unchanged(probe, body, ("networkIP",))
    if "aliasIpRanges" not in body:
        return put(call, "updateNetworkInterface", instance, done=True)
    without = _edited(instance, name, lambda each: {k: v for k, v in each.items() if k != "aliasIpRanges"})
    rest = world.after(put(call, "", without).changes)
    try:
        subnetwork = interfaces.subnetwork_of(world, before)
        ranges = interfaces.alias_ranges(Making(rest, call), "resource", subnetwork, body["aliasIpRanges"])
    except OperationFailed as refusal:
        return failed(call, "updateNetworkInterface", instance, refusal.error)
    changed = _edited(without, name, lambda each: each | ({"aliasIpRanges": ranges} if ranges else {}))
    return put(call, "updateNetworkInterface", changed)
