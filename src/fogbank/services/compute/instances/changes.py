"""Changes of an instance's settings: tags, metadata, labels, machine type, account, scheduling, protection.

Tags and forwarding are the network's business, so their operations end when it is built; the rest is done at
once.
"""

from typing import Any

from fogbank.errors import invalid_value, required_field, stale_fingerprint
from fogbank.resources.instances import metadata_name
from fogbank.resources.projects import project_name
from fogbank.resources.world import Json, Put, Resource, World
from fogbank.services.compute.bodies import (
    check_labels,
    inputs,
    is_current,
    refuse_unbuilt,
    unchanged,
    without_nulls,
)
from fogbank.services.compute.decisions import OperationFailed, committed, failed, put, relabelled
from fogbank.services.compute.instances import attached_disks, settings
from fogbank.services.compute.instances.insertion import OUTPUTS, UNBUILT
from fogbank.services.compute.instances.power import find, stopped
from fogbank.services.compute.machine_types import machine_type_link
from fogbank.services.compute.names import named, project_of, zone_of
from fogbank.services.contract import Call, Decision


def set_tags(world: World, call: Call) -> Decision:
    """Replace the network tags."""
    instance = find(world, call)
    body = without_nulls(call.body)
    if not is_current(body.get("fingerprint"), instance.body["tags"]["fingerprint"]):
        raise stale_fingerprint("Supplied fingerprint does not match current tags fingerprint.")
    return put(call, "setTags", instance.with_body(tags=settings.tags(body)))


def set_metadata(world: World, call: Call) -> Decision:
    """Replace the metadata."""
    instance = find(world, call)
    body = without_nulls(call.body)
    settings.check_fingerprint(body.get("fingerprint"), instance.body["metadata"]["fingerprint"])
    changed = instance.with_body(metadata=settings.metadata(body, "metadata"))
    return put(call, "setMetadata", changed, done=True)


def set_labels(world: World, call: Call) -> Decision:
    """Replace the labels."""
    instance = find(world, call)
    return relabelled(call, instance)


def set_machine_type(world: World, call: Call) -> Decision:
    """Change the machine type of an instance that is stopped."""
    instance = find(world, call)
    stopped(instance, "machine type")
    kind = settings.machine(world, call, call.body.get("machineType"), "machineType")
    link = machine_type_link(instance.name.project, zone_of(call), kind.name)
    changed = instance.with_body(machineType=link, cpuPlatform=settings.cpu_platform(kind))
    return put(call, "setMachineType", changed, done=True)


def set_min_cpu_platform(world: World, call: Call) -> Decision:
    """Ask for a CPU platform, of an instance that is stopped."""
    instance = find(world, call)
    stopped(instance, "minimum CPU platform")
    platform = call.body.get("minCpuPlatform") or None
    changed = instance.with_body(minCpuPlatform=None if platform == "Automatic" else platform)
    return put(call, "setMinCpuPlatform", changed, done=True)


def set_service_account(world: World, call: Call) -> Decision:
    """Give an instance that is stopped another service account, or none."""
    instance = find(world, call)
    stopped(instance, "service account")
    body = without_nulls(call.body)
    wanted = [body] if body.get("email") else []
    changed = instance.with_body(serviceAccounts=settings.accounts(world, call, wanted) or None)
    return put(call, "setServiceAccount", changed)


def set_scheduling(world: World, call: Call) -> Decision:
    """Change how an instance lives; what the body does not give stays."""
    instance = find(world, call)
    before = instance.body["scheduling"]
    whole = before | without_nulls(call.body)
    if whole["provisioningModel"] != before["provisioningModel"]:
        stopped(instance, "provisioning model")
    changed = instance.with_body(scheduling=settings.scheduling(whole))
    return put(call, "setScheduling", changed, done=True)


def set_deletion_protection(world: World, call: Call) -> Decision:
    """Protect an instance against deletion, or not any more; without a parameter it is protected."""
    instance = world.get(named(world, call, "instances", call["resource"]))
    wanted = str(call.parameters.get("deletionProtection", True)).lower() == "true"
    return put(call, "setDeletionProtection", instance.with_body(deletionProtection=wanted), done=True)


def set_name(world: World, call: Call) -> Decision:
    """Refuse another name while anything is known by the old one."""
    instance = find(world, call)
    stopped(instance, "name")
    body = inputs(call.body)
    if body.get("name") == instance.name.id:
        return put(call, "setName", instance, done=True)
    raise invalid_value("name", body.get("name"), "An instance of this region keeps its name.")


def update_shielded_config(world: World, call: Call) -> Decision:
    """Change what a shielded instance checks of itself."""
    instance = find(world, call)
    stopped(instance, "shielded instance configuration")
    whole = instance.body["shieldedInstanceConfig"] | without_nulls(call.body)
    changed = instance.with_body(shieldedInstanceConfig=settings.shielded(whole))
    return put(call, "updateShieldedInstanceConfig", changed, done=True)


def set_integrity_policy(world: World, call: Call) -> Decision:
    """Have a shielded instance learn its present state."""
    instance = find(world, call)
    changed = instance.with_body(shieldedInstanceIntegrityPolicy={"updateAutoLearnPolicy": True})
    return put(call, "setShieldedInstanceIntegrityPolicy", changed, done=True)


def update_display_device(world: World, call: Call) -> Decision:
    """Give an instance that is stopped a display, which nobody sees, or take it away."""
    instance = find(world, call)
    stopped(instance, "display device")
    enabled = bool(call.body.get("enableDisplay", False))
    return put(
        call, "updateDisplayDevice", instance.with_body(displayDevice={"enableDisplay": enabled}), done=True
    )


def attach_disk(world: World, call: Call) -> Decision:
    """Attach a disk that exists to an instance."""
    instance = find(world, call)
    entries = instance.body.get("disks", [])
    if len(entries) >= attached_disks.MOST_DISKS:
        why = f"An instance has at most {attached_disks.MOST_DISKS} disks."
        raise invalid_value("disks", len(entries), why)
    index = next(number for number in range(len(entries) + 1) if all(e["index"] != number for e in entries))
    body = without_nulls(call.body)
    if not body.get("source"):
        raise required_field("source")
    try:
        entry, _ = attached_disks.attached(world, call, index, body, "")
    except OperationFailed as refusal:
        return failed(call, "attachDisk", instance, refusal.error)
    attached_disks.check_distinct("resource", entry, entries)
    if entry["boot"]:
        stopped(instance, "boot disk")
    ordered = sorted((*entries, entry), key=lambda each: int(each["index"]))
    return put(call, "attachDisk", instance.with_body(disks=ordered), done=True)


def detach_disk(world: World, call: Call) -> Decision:
    """Detach a disk from an instance; the boot disk only while it is stopped."""
    instance = find(world, call)
    device = str(call.parameters.get("deviceName", ""))
    entry = _disk_entry(instance, device)
    if entry["boot"]:
        stopped(instance, "boot disk")
    kept = [each for each in instance.body["disks"] if each is not entry]
    return put(call, "detachDisk", instance.with_body(disks=kept), done=True)


def set_disk_auto_delete(world: World, call: Call) -> Decision:
    """Say whether a disk goes with its instance."""
    instance = find(world, call)
    entry = _disk_entry(instance, str(call.parameters.get("deviceName", "")))
    wanted = str(call.parameters.get("autoDelete", False)).lower() == "true"
    entries = [each | {"autoDelete": wanted} if each is entry else each for each in instance.body["disks"]]
    return put(call, "setDiskAutoDelete", instance.with_body(disks=entries), done=True)


def _disk_entry(instance: Resource, device: str) -> Json:
    for each in instance.body.get("disks", ()):
        if each["deviceName"] == device:
            found: Json = each
            return found
    raise invalid_value("deviceName", device, "No attached disk found with device name")


def update(world: World, call: Call) -> Decision:
    """Replace an instance by the whole body that a client read and changed."""
    instance = find(world, call)
    body = inputs(call.body, OUTPUTS)
    refuse_unbuilt("instances", body, UNBUILT)
    unchanged(instance, body, ("name", "hostname", "machineType"))
    labels = dict(body.get("labels", {}))
    check_labels(labels)
    fields: dict[str, Any] = {
        "description": body.get("description"),
        "labels": None,
        **settings.labels_of(labels),
        "tags": settings.tags(body.get("tags", {})),
        "metadata": settings.metadata(body.get("metadata", {})),
        "deletionProtection": bool(body.get("deletionProtection", False)),
        "canIpForward": bool(body.get("canIpForward", instance.body["canIpForward"])),
        "scheduling": settings.scheduling(body.get("scheduling", {})),
    }
    return put(call, "update", instance.with_body(**fields))


def set_project_metadata(world: World, call: Call) -> Decision:
    """Replace the metadata that all instances of a project share."""
    project = project_of(world, call)
    body = without_nulls(call.body)
    name = metadata_name(project)
    before = world.find(name)
    present = before.body["fingerprint"] if before else settings.metadata({})["fingerprint"]
    settings.check_fingerprint(body.get("fingerprint"), present)
    found = world.get(project_name(project))
    number = before.id if before else call.new_id()
    kept = Resource(name, number, call.now, settings.metadata(body, "metadata"))
    return committed(call, "setCommonInstanceMetadata", _as_compute_sees(found), (Put(kept),), done=True)


def _as_compute_sees(project: Resource) -> Resource:
    return Resource(metadata_name(project.name.id), project.id, project.created, {})
