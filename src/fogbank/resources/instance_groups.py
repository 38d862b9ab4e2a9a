"""Instance groups: who belongs to one, at which address, and the ports that it gives names to.

A load balancer or a cluster asks here. A member that was deleted is none any more, though its name may be
used again: members are kept with their ids.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from fogbank.resources.compute import refer
from fogbank.resources.indexes import Index
from fogbank.resources.instances import INSTANCES, VirtualMachine
from fogbank.resources.names import COMPUTE_PREFIX, ResourceName
from fogbank.resources.world import Json, Resource, World

INSTANCE_GROUPS = "compute.instanceGroups"
INSTANCE_TEMPLATES = "compute.instanceTemplates"
GROUP_MANAGERS = "compute.instanceGroupManagers"

MANAGER = "manager"
"""What a managed group and each of its instances remember privately: the path of their manager."""


@dataclass(frozen=True, slots=True)
class GroupMember:
    """An instance of a group: its first interface is the one that counts."""

    instance: ResourceName
    network: ResourceName
    address: IPv4Address
    running: bool


def group_of(link: str) -> ResourceName:
    """Read a stored link to a group, zonal or regional."""
    return ResourceName(INSTANCE_GROUPS, link.removeprefix(COMPUTE_PREFIX))


def instances_of(world: World, group: Resource) -> Iterator[Resource]:
    """List the instances of a group, managed or not, whether or not they run."""
    manager = group.private.get(MANAGER)
    if manager is None:
        for path, identifier in group.private.get("members", ()):
            found = world.find(ResourceName(INSTANCES, path))
            if found is not None and found.id == identifier:
                yield found
    else:
        resource = world.find(ResourceName(GROUP_MANAGERS, manager))
        yield from managed_instances(world, resource) if resource else ()


def managed_instances(world: World, manager: Resource) -> Iterator[Resource]:
    """List the instances that a manager has made and still keeps."""
    for row in manager.private.get("machines", ()):
        found = instance_of_row(world, manager, row)
        if found is not None:
            yield found


def instance_of_row(world: World, manager: Resource, row: Json) -> Resource | None:
    """Find the instance that stands in a row of a manager; another one of its name does not count."""
    found = world.find(ResourceName(INSTANCES, row["instance"]))
    return found if found is not None and found.private.get(MANAGER) == manager.name.path else None


def members_of(world: World, group: Resource) -> tuple[GroupMember, ...]:
    """Return the members of a group with their addresses."""
    return tuple(_member(each) for each in instances_of(world, group))


def _member(instance: Resource) -> GroupMember:
    machine = VirtualMachine.of(instance)
    first = machine.interfaces[0]
    return GroupMember(machine.name, first.network, first.address, machine.status == "RUNNING")


def named_ports(group: Resource) -> Mapping[str, tuple[int, ...]]:
    """Return the ports of a group by their name; one name may stand for several."""
    found: dict[str, tuple[int, ...]] = {}
    for each in group.body.get("namedPorts", ()):
        found[each["name"]] = (*found.get(each["name"], ()), each["port"])
    return found


def group_network(group: Resource) -> ResourceName | None:
    """Return the network of a group's members; None while it never had one."""
    link = group.body.get("network")
    return refer(link, "networks") if link else None


def _members(group: Resource) -> Iterable[str]:
    return [path for path, _ in group.private.get("members", ())]


_BY_MEMBER = Index(INSTANCE_GROUPS, _members)


def groups_with(world: World, instance: Resource) -> Iterator[Resource]:
    """List the groups that an instance belongs to, those of its manager last."""
    for group in world.by(_BY_MEMBER, instance.name.path):
        if any(each.name == instance.name for each in instances_of(world, group)):
            yield group
    manager = instance.private.get(MANAGER)
    managed = world.find(group_name(manager)) if manager else None
    if managed is not None:
        yield managed


def group_name(manager: str) -> ResourceName:
    """Name the group of the manager with this path."""
    return ResourceName(INSTANCE_GROUPS, manager.replace("/instanceGroupManagers/", "/instanceGroups/"))


def _rows(manager: Resource) -> Iterable[str]:
    return [each["instance"] for each in manager.private.get("machines", ())]


_BY_MACHINE = Index(GROUP_MANAGERS, _rows)


def managers_of(world: World, instance: ResourceName) -> Iterator[Resource]:
    """List the managers with a row for an instance of this name, whether or not it exists."""
    return world.by(_BY_MACHINE, instance.path)


def _templates(manager: Resource) -> Iterable[str]:
    links = {each["instanceTemplate"] for each in manager.body.get("versions", ())}
    return links | {each["template"] for each in manager.private.get("machines", ())}


_BY_TEMPLATE = Index(GROUP_MANAGERS, _templates)


def managers_with_template(world: World, template: ResourceName) -> Iterator[Resource]:
    """List the managers that make instances of a template, or have some."""
    return world.by(_BY_TEMPLATE, template.self_link)
