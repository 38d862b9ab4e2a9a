"""Making instances: a body with Google's defaults filled in, and the disks that come with it.

What Google only notices while it makes an instance (an address or a disk that somebody has) is an error of
the operation, as there; everything else is refused at once.
"""

from datetime import datetime

from fogbank.errors import invalid_value, not_built
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Change, Json, Put, Resource, World
from fogbank.services.compute.bodies import check_labels, inputs, refuse_unbuilt
from fogbank.services.compute.decisions import OperationFailed, committed, failed
from fogbank.services.compute.factories import check_free, made, timestamp
from fogbank.services.compute.instances import attached_disks, interfaces, settings
from fogbank.services.compute.instances.interfaces import Making, Taken
from fogbank.services.compute.instances.lifecycle import new_private
from fogbank.services.compute.instances.templates import template_properties
from fogbank.services.compute.machine_types import machine_type_link
from fogbank.services.compute.names import named, new_identifier, zone_of
from fogbank.services.contract import Call, Decision

OUTPUTS = (
    "status", "statusMessage", "zone", "cpuPlatform", "labelFingerprint", "fingerprint", "startRestricted",
    "lastStartTimestamp", "lastStopTimestamp", "lastSuspendedTimestamp", "resourceStatus", "satisfiesPzs",
    "satisfiesPzi",
)  # fmt: skip
UNBUILT: dict[str, tuple[object, ...]] = {
    "resourcePolicies": (),
    "instanceEncryptionKey": (),
    "sourceMachineImage": (),
    "privateIpv6GoogleAccess": ("INHERIT_FROM_SUBNETWORK",),
    "workloadIdentityConfig": (),
}
_KEPT = (
    "description",
    "minCpuPlatform",
    "displayDevice",
    "reservationAffinity",
    "advancedMachineFeatures",
    "keyRevocationActionType",
    "shieldedInstanceIntegrityPolicy",
    "networkPerformanceConfig",
)


def insert(world: World, call: Call) -> Decision:
    """Make an instance."""
    if call.parameters.get("sourceMachineImage"):
        raise not_built("compute.instances.insert with sourceMachineImage")
    body = inputs(call.body, OUTPUTS)
    if source := call.parameters.get("sourceInstanceTemplate"):
        body = template_properties(world, call, "sourceInstanceTemplate", source) | body
    name = named(world, call, "instances", new_identifier(body))
    check_free(world, name)
    try:
        instance, changes = build(world, call, name, body, Taken())
    except OperationFailed as refusal:
        return failed(call, "insert", Resource(name, call.new_id(), call.now, {}), refusal.error)
    return committed(call, "insert", instance, changes)


def build(
    world: World, call: Call, name: ResourceName, body: Json, taken: Taken
) -> tuple[Resource, tuple[Change, ...]]:
    """Make an instance and its disks of a body that has no outputs; ``taken`` grows by its addresses."""
    refuse_unbuilt("instances", body, UNBUILT)
    settings.refuse_hardware(body)
    machine = settings.machine(world, call, body.get("machineType"))
    labels = body.get("labels", {})
    check_labels(labels)
    disks = attached_disks.complete(world, call, name.id, body.get("disks", ()))
    fields: Json = {key: body[key] for key in _KEPT if body.get(key)}
    if host := body.get("hostname"):
        fields["hostname"] = settings.host_name(str(host))
    if accounts := settings.accounts(world, call, body.get("serviceAccounts", ())):
        fields["serviceAccounts"] = accounts
    nics = interfaces.complete(Making(world, call, taken), body.get("networkInterfaces", ()), machine)
    fields |= {
        "machineType": machine_type_link(name.project, zone_of(call), machine.name),
        "status": "PROVISIONING",
        "cpuPlatform": settings.cpu_platform(machine),
        "canIpForward": bool(body.get("canIpForward", False)),
        "tags": settings.tags(body.get("tags", {})),
        "metadata": settings.metadata(body.get("metadata", {})),
        "scheduling": settings.scheduling(body.get("scheduling", {})),
        "networkInterfaces": nics,
        "disks": list(disks.entries),
        "deletionProtection": bool(body.get("deletionProtection", False)),
        "shieldedInstanceConfig": settings.shielded(body.get("shieldedInstanceConfig", {})),
        "startRestricted": False,
        **settings.labels_of(labels),
    }
    fields.setdefault("shieldedInstanceIntegrityPolicy", {"updateAutoLearnPolicy": True})
    instance = made(call, name, fields, new_private(interfaces.gateways(world, nics)))
    return instance, (*(Put(_attached_at(each, call.now)) for each in disks.made), Put(instance))


def _attached_at(disk: Resource, now: datetime) -> Resource:
    return disk.with_body(lastAttachTimestamp=timestamp(now))


def show(_world: World, instance: Resource) -> Json:
    """Show an instance, with the fingerprint of its present content."""
    body = instance.body
    counted = {key: value for key, value in body.items() if key not in {"status", "lastStartTimestamp"}}
    return body | {"fingerprint": fingerprint(counted)}


def bulk_insert(world: World, call: Call) -> Decision:
    """Make several instances alike, each with a name of the pattern or of the list."""
    body = inputs(call.body)
    properties = dict(body.get("instanceProperties", {}))
    if source := body.get("sourceInstanceTemplate"):
        properties = template_properties(world, call, "resource.sourceInstanceTemplate", source) | properties
    names = _bulk_names(body)
    taken = Taken()
    changes: list[Change] = []
    instances: list[Resource] = []
    try:
        for each in names:
            name = named(world, call, "instances", each)
            check_free(world, name)
            own = body.get("perInstanceProperties", {}).get(each, {})
            extra = {"hostname": own["hostname"]} if own.get("hostname") else {}
            instance, made_with = build(world, call, name, properties | extra, taken)
            instances.append(instance)
            changes += made_with
    except OperationFailed as refusal:
        target = Resource(named(world, call, "instances", names[0]), call.new_id(), call.now, {})
        return failed(call, "bulkInsert", target, refusal.error)
    return committed(call, "bulkInsert", instances[0], changes)


def _bulk_names(body: Json) -> list[str]:
    """List the names of the instances to make: those given, or numbers in the place of the pattern's #."""
    given = [name for name in body.get("perInstanceProperties", {}) if name]
    count = int(body.get("count") or len(given))
    if count < 1:
        raise invalid_value("resource.count", body.get("count"), "Must be at least 1.")
    if given:
        if len(given) != count:
            why = "Must be the number of perInstanceProperties."
            raise invalid_value("resource.count", count, why)
        return given
    pattern = str(body.get("namePattern", ""))
    hashes = pattern.count("#")
    if not hashes or "#" * hashes not in pattern:
        raise invalid_value("resource.namePattern", pattern, "Must contain one run of '#'.")
    return [pattern.replace("#" * hashes, f"{number:0{hashes}}") for number in range(1, count + 1)]
