"""Instance groups: instances of one network that are addressed together, with names for ports.

The groups of managers are read here too. Members and size are computed when somebody reads them.
"""

from collections.abc import Iterable
from dataclasses import replace

from fogbank.errors import invalid_value, required_field, stale_fingerprint
from fogbank.resources.instance_groups import MANAGER, instances_of
from fogbank.resources.instances import INSTANCES
from fogbank.resources.names import ResourceName, parse_compute_reference
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.bodies import bad_request, inputs, is_current, one_of, without_nulls
from fogbank.services.compute.decisions import deleted, put
from fogbank.services.compute.factories import check_free, fingerprinted, made
from fogbank.services.compute.handlers import getter, lister, permission_tester, readers
from fogbank.services.compute.names import check_name, named, new_identifier, project_of, zone_of
from fogbank.services.compute.references import find_referred
from fogbank.services.contract import Call, Decision, List, Method, Read, Write

_OUTPUTS = ("size", "fingerprint", "zone", "region")
_STATES = ("ALL", "RUNNING")
MOST_MEMBERS = 2000


def show(world: World, group: Resource) -> Json:
    """Show a group with its size."""
    return group.body | {"size": sum(1 for _ in instances_of(world, group))}


def insert(world: World, call: Call) -> Decision:
    """Make a group without members; it takes the network of the first one, unless it names one."""
    body = inputs(call.body, _OUTPUTS)
    name = named(world, call, "instanceGroups", new_identifier(body))
    check_free(world, name)
    fields: Json = {key: body[key] for key in ("description",) if body.get(key)}
    for field, kind in (("network", "networks"), ("subnetwork", "subnetworks")):
        if body.get(field):
            fields[field] = find_referred(world, f"resource.{field}", body[field], kind, call).name.self_link
    fields["namedPorts"] = checked_ports(body.get("namedPorts", ()), "resource.namedPorts")
    return put(call, "insert", fingerprinted(made(call, name, fields)), done=True)


def checked_ports(wanted: Iterable[Json], field: str) -> list[Json]:
    """Check names and numbers of ports; the same pair counts once."""
    found: list[Json] = []
    for index, each in enumerate(wanted):
        check_name(f"{field}[{index}].name", each.get("name"))
        port = each.get("port", 0)
        if not 1 <= port <= 65535:
            why = "Must be between 1 and 65535, inclusive."
            raise invalid_value(f"{field}[{index}].port", port, why)
        pair = {"name": each["name"], "port": port}
        found += [] if pair in found else [pair]
    return found


def find(world: World, call: Call) -> Resource:
    """Find the group that a call is about."""
    return world.get(named(world, call, "instanceGroups", call["instanceGroup"]))


def _unmanaged(world: World, call: Call) -> Resource:
    """Find a group whose members its callers choose."""
    group = find(world, call)
    if MANAGER in group.private:
        message = f"The instance group '{group.name.path}' is managed by an instance group manager."
        raise bad_request(message, "invalidUsage")
    return group


def set_named_ports(world: World, call: Call) -> Decision:
    """Replace the named ports; 412 when the caller has seen older ones."""
    group = find(world, call)
    body = without_nulls(call.body)
    given = body.get("fingerprint")
    if given and not is_current(given, group.body["fingerprint"]):
        raise stale_fingerprint("Fingerprint either invalid or resource has changed")
    ports = checked_ports(body.get("namedPorts", ()), "namedPorts")
    return put(call, "setNamedPorts", fingerprinted(group.with_body(namedPorts=ports)), done=True)


def instance_reference(world: World, call: Call, field: str, value: object, zone: str) -> ResourceName:
    """Read a reference to an instance; a bare name is one of ``zone``."""
    try:
        name = parse_compute_reference(str(value), "instances", project_of(world, call), "zones", zone)
    except (ValueError, IndexError):
        raise invalid_value(field, value, "The URL is malformed.") from None
    return ResourceName(INSTANCES, name.path)


def _referred(world: World, call: Call) -> list[Resource]:
    """Find the instances that a body lists, all of the group's zone."""
    listed = without_nulls(call.body).get("instances", ())
    if not listed:
        raise required_field("instances")
    found: list[Resource] = []
    for index, each in enumerate(listed):
        field, zone = f"instances[{index}].instance", zone_of(call)
        name = instance_reference(world, call, field, each.get("instance", ""), zone)
        if name.segment("zones") != zone:
            why = f"The instance must be in zone '{zone}'."
            raise invalid_value(field, name.path, why)
        found.append(world.get(name))
    return found


def add_instances(world: World, call: Call) -> Decision:
    """Take instances in: all have their first interface in one network, and in one subnetwork if it has one.

    See behaviour/compute-instance-groups.md#unmanaged-groups.
    """
    group = _unmanaged(world, call)
    members = [(each.name.path, each.id) for each in instances_of(world, group)]
    for instance in _referred(world, call):
        member = (instance.name.path, instance.id)
        if member in members:
            message = f"Instance '{instance.name.path}' is already a member of '{group.name.path}'."
            raise bad_request(message, "memberAlreadyExists")
        group = _in_network(group, instance)
        members.append(member)
    if len(members) > MOST_MEMBERS:
        why = f"An instance group has at most {MOST_MEMBERS} instances."
        raise invalid_value("instances", len(members), why)
    changed = replace(group, private={**group.private, "members": [list(each) for each in members]})
    return put(call, "addInstances", fingerprinted(changed), done=True)


def _in_network(group: Resource, instance: Resource) -> Resource:
    """Return a group as one that an instance belongs to; refuses one of another network."""
    first = instance.body["networkInterfaces"][0]
    network, subnetwork = first["network"], first["subnetwork"]
    wanted = group.body.get("network")
    if wanted and wanted != network:
        message = (
            f"Resource '{instance.name.path}' is expected to be in the network '{_path(wanted)}' "
            f"but is in the network '{_path(network)}'."
        )
        raise bad_request(message, "wrongNetwork")
    return group.with_body(network=network, subnetwork=group.body.get("subnetwork") or subnetwork)


def _path(link: str) -> str:
    return link.partition("/compute/v1/")[2]


def remove_instances(world: World, call: Call) -> Decision:
    """Let instances go; they run on."""
    group = _unmanaged(world, call)
    members = [(each.name.path, each.id) for each in instances_of(world, group)]
    for instance in _referred(world, call):
        member = (instance.name.path, instance.id)
        if member not in members:
            message = f"Instance '{instance.name.path}' is not a member of '{group.name.path}'."
            raise bad_request(message, "memberNotFound")
        members.remove(member)
    changed = replace(group, private={**group.private, "members": [list(each) for each in members]})
    return put(call, "removeInstances", changed, done=True)


def list_instances(world: World, call: Call) -> Iterable[Json]:
    """List members with their state and the group's named ports."""
    group = find(world, call)
    state = call.body.get("instanceState") or _STATES[0]
    one_of("instanceState", state, _STATES)
    ports = group.body.get("namedPorts", [])
    return [
        {
            "instance": each.name.self_link,
            "status": each.body["status"],
            **({"namedPorts": ports} if ports else {}),
        }
        for each in instances_of(world, group)
        if state == "ALL" or each.body["status"] == "RUNNING"
    ]


def delete(world: World, call: Call) -> Decision:
    """Take a group away; its members run on."""
    return deleted(call, _unmanaged(world, call), done=True)


METHODS: dict[str, Method] = {
    "instanceGroups.insert": Write(insert, "compute.instanceGroups.create"),
    **readers("instanceGroups", "instanceGroup", show, aggregated=True),
    "instanceGroups.addInstances": Write(add_instances, "compute.instanceGroups.update"),
    "instanceGroups.removeInstances": Write(remove_instances, "compute.instanceGroups.update"),
    "instanceGroups.setNamedPorts": Write(set_named_ports, "compute.instanceGroups.update"),
    "instanceGroups.listInstances": List(list_instances, permission="compute.instanceGroups.list"),
    "instanceGroups.delete": Write(delete, "compute.instanceGroups.delete"),
    "instanceGroups.testIamPermissions": permission_tester("instanceGroups"),
    "regionInstanceGroups.get": Read(
        getter("instanceGroups", "instanceGroup", show), "compute.instanceGroups.get"
    ),
    "regionInstanceGroups.list": List(
        lister("instanceGroups", show), permission="compute.instanceGroups.list"
    ),
    "regionInstanceGroups.listInstances": List(list_instances, permission="compute.instanceGroups.list"),
    "regionInstanceGroups.setNamedPorts": Write(set_named_ports, "compute.instanceGroups.update"),
}
