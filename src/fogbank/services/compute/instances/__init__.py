"""Instances: virtual machines of a zone, as clients make, change, start and stop them."""

from collections.abc import Iterable

from fogbank.resources.compute import FirewallRule, refer
from fogbank.resources.compute_indexes import in_network
from fogbank.resources.instance_groups import groups_with
from fogbank.resources.instances import INSTANCES, VirtualMachine
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.access import iam_methods
from fogbank.services.compute.decisions import policy_name
from fogbank.services.compute.handlers import readers
from fogbank.services.compute.instances import access_configs, changes, power, templates
from fogbank.services.compute.instances.guest_attributes import get_guest_attributes
from fogbank.services.compute.instances.insertion import bulk_insert, insert, show
from fogbank.services.compute.instances.serial_ports import get_serial_port_output
from fogbank.services.compute.names import named, place_path
from fogbank.services.contract import Call, List, Live, Method, Read, Write


def effective_firewalls(world: World, call: Call) -> Json:
    """Gather the firewall rules that choose an interface of an instance."""
    instance = power.find(world, call)
    machine = VirtualMachine.of(instance)
    wanted = call.parameters.get("networkInterface")
    network = next(
        (
            refer(each["network"], "networks")
            for each in instance.body["networkInterfaces"]
            if each["name"] == wanted
        ),
        machine.interfaces[0].network,
    )
    accounts = {each.email for each in machine.accounts}
    found: list[Json] = []
    for resource in in_network(world, "firewalls", network):
        rule = FirewallRule.of(resource)
        everybody = not rule.target_tags and not rule.target_accounts
        if everybody or accounts & {*rule.target_accounts} or {*machine.tags} & {*rule.target_tags}:
            found.append(resource.body)
    return {"firewalls": found}


def referrers(world: World, call: Call) -> Iterable[Json]:
    """List the groups that an instance belongs to; ``-`` means all instances of the zone."""
    if call.parameters.get("instance") != "-":
        instances: Iterable[Resource] = [power.find(world, call)]
    else:
        instances = world.all(INSTANCES, place_path(world, call))
    return [
        {
            "kind": "compute#reference",
            "referenceType": "MEMBER_OF",
            "referrer": group.name.self_link,
            "target": each.name.self_link,
        }
        for each in instances
        for group in groups_with(world, each)
    ]


def _policy(world: World, call: Call) -> ResourceName:
    return policy_name(world.get(named(world, call, "instances", call["resource"])).name)


METHODS: dict[str, Method] = {
    "instances.insert": Write(insert, "compute.instances.create"),
    "instances.bulkInsert": Write(bulk_insert, "compute.instances.create"),
    **readers("instances", "instance", show, aggregated=True),
    "instances.delete": Write(power.delete, "compute.instances.delete"),
    "instances.start": Write(power.start, "compute.instances.start"),
    "instances.stop": Write(power.stop, "compute.instances.stop"),
    "instances.reset": Write(power.reset, "compute.instances.reset"),
    "instances.suspend": Write(power.suspend, "compute.instances.suspend"),
    "instances.resume": Write(power.resume, "compute.instances.resume"),
    "instances.update": Write(changes.update, "compute.instances.update"),
    "instances.setTags": Write(changes.set_tags, "compute.instances.setTags"),
    "instances.setMetadata": Write(changes.set_metadata, "compute.instances.setMetadata"),
    "instances.setLabels": Write(changes.set_labels, "compute.instances.setLabels"),
    "instances.setMachineType": Write(changes.set_machine_type, "compute.instances.setMachineType"),
    "instances.setMinCpuPlatform": Write(changes.set_min_cpu_platform, "compute.instances.setMinCpuPlatform"),
    "instances.setServiceAccount": Write(changes.set_service_account, "compute.instances.setServiceAccount"),
    "instances.setScheduling": Write(changes.set_scheduling, "compute.instances.setScheduling"),
    "instances.setDeletionProtection": Write(
        changes.set_deletion_protection, "compute.instances.setDeletionProtection"
    ),
    "instances.setName": Write(changes.set_name, "compute.instances.setName"),
    "instances.updateShieldedInstanceConfig": Write(
        changes.update_shielded_config, "compute.instances.updateShieldedInstanceConfig"
    ),
    "instances.setShieldedInstanceIntegrityPolicy": Write(
        changes.set_integrity_policy, "compute.instances.setShieldedInstanceIntegrityPolicy"
    ),
    "instances.updateDisplayDevice": Write(
        changes.update_display_device, "compute.instances.updateDisplayDevice"
    ),
    "instances.attachDisk": Write(changes.attach_disk, "compute.instances.attachDisk"),
    "instances.detachDisk": Write(changes.detach_disk, "compute.instances.detachDisk"),
    "instances.setDiskAutoDelete": Write(changes.set_disk_auto_delete, "compute.instances.setDiskAutoDelete"),
    "instances.addAccessConfig": Write(access_configs.add, "compute.instances.addAccessConfig"),
    "instances.deleteAccessConfig": Write(access_configs.delete, "compute.instances.deleteAccessConfig"),
    "instances.updateAccessConfig": Write(access_configs.update, "compute.instances.updateAccessConfig"),
    "instances.updateNetworkInterface": Write(
        access_configs.update_interface, "compute.instances.updateNetworkInterface"
    ),
    "instances.getEffectiveFirewalls": Read(effective_firewalls, "compute.instances.getEffectiveFirewalls"),
    "instances.getGuestAttributes": Read(get_guest_attributes, "compute.instances.getGuestAttributes"),
    "instances.getSerialPortOutput": Live(get_serial_port_output, "compute.instances.getSerialPortOutput"),
    "instances.listReferrers": List(referrers, permission="compute.instances.listReferrers"),
    **templates.METHODS,
    **iam_methods("instances.", _policy, "compute.instances"),
}
