"""Persistent disks of a zone: what an instance boots from, or has beside that.

A disk is a record with a size; what an instance writes is kept in a folder of the region's own. Users are
derived from the instances, so they are never out of date.
"""

from fogbank.errors import invalid_value, not_built
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.instances import instances_with_disk
from fogbank.resources.names import COMPUTE_PREFIX, ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.access import iam_methods
from fogbank.services.compute.bodies import (
    check_labels,
    inputs,
    number,
    one_of,
    refuse_unbuilt,
    without_nulls,
)
from fogbank.services.compute.decisions import deleted, in_use, policy_name, put, relabelled
from fogbank.services.compute.factories import check_free, made
from fogbank.services.compute.handlers import readers
from fogbank.services.compute.images import bootable, find_image
from fogbank.services.compute.machine_types import DISK_TYPES, disk_type_link
from fogbank.services.compute.names import named, new_identifier, project_of, zone_of
from fogbank.services.contract import Call, Decision, Method, Write

_OUTPUTS = (
    "status", "users", "labelFingerprint", "zone", "region", "lastAttachTimestamp", "lastDetachTimestamp",
    "sourceImageId", "sourceDiskId", "satisfiesPzs", "satisfiesPzi", "licenseCodes", "resourceStatus",
)  # fmt: skip
_UNBUILT: dict[str, tuple[object, ...]] = {
    "sourceSnapshot": (),
    "sourceInstantSnapshot": (),
    "sourceStorageObject": (),
    "diskEncryptionKey": (),
    "sourceImageEncryptionKey": (),
    "replicaZones": (),
    "resourcePolicies": (),
    "storagePool": (),
    "asyncPrimaryDisk": (),
    "enableConfidentialCompute": (),
    "accessMode": ("READ_WRITE_SINGLE",),
    "params": (),
}
_KEPT = ("description", "labels", "licenses", "guestOsFeatures", "architecture", "provisionedIops",
         "provisionedThroughput")  # fmt: skip
_BLOCK_SIZES = ("4096", "16384")


def show(world: World, disk: Resource) -> Json:
    """Show a disk with its users."""
    users = [each.name.self_link for each in instances_with_disk(world, disk.name)]
    return disk.body | ({"users": users} if users else {})


def insert(world: World, call: Call) -> Decision:
    """Make a disk, empty or from a public image."""
    body = inputs(call.body, _OUTPUTS)
    name = named(world, call, "disks", new_identifier(body))
    if image := call.parameters.get("sourceImage"):
        body.setdefault("sourceImage", str(image))
    return put(call, "insert", new_disk(world, call, name, body, "resource"), done=True)


def new_disk(world: World, call: Call, name: ResourceName, body: Json, field: str) -> Resource:
    """Make a disk as ``body`` asks for it; refusals name their place below ``field``."""
    refuse_unbuilt("disks", body, _UNBUILT)
    if body.get("sourceDisk"):
        raise not_built("compute.disks with sourceDisk")
    check_labels(body.get("labels", {}))
    check_free(world, name)
    labels = body.get("labels", {})
    fields: Json = {key: body[key] for key in _KEPT if body.get(key)}
    kind = _type(world, call, body.get("type"), field)
    size = body.get("sizeGb")
    if reference := body.get("sourceImage"):
        image = find_image(world, f"{field}.sourceImage", str(reference), name.project)
        bootable(image)
        smallest = int(image.body["diskSizeGb"])
        fields |= {
            "sourceImage": image.name.self_link,
            "sourceImageId": str(image.id),
            "licenses": image.body.get("licenses", []),
            "guestOsFeatures": image.body.get("guestOsFeatures", []),
            "architecture": image.body.get("architecture", "X86_64"),
        }
        size = size or smallest
        if int(size) < smallest:
            raise invalid_value(
                f"{field}.sizeGb",
                size,
                f"Requested disk size cannot be smaller than the image size ({smallest} GB)",
            )
    size = int(size or DISK_TYPES[kind].default_gb)
    _check_size(f"{field}.sizeGb", kind, size)
    block = str(body.get("physicalBlockSizeBytes") or _BLOCK_SIZES[0])
    one_of(f"{field}.physicalBlockSizeBytes", block, _BLOCK_SIZES)
    fields |= {
        "sizeGb": str(size),
        "type": disk_type_link(name.project, zone_of(call), kind),
        "status": "READY",
        "physicalBlockSizeBytes": block,
        "labelFingerprint": fingerprint(labels),
        "enableConfidentialCompute": False,
    }
    return made(call, name, fields)


def _type(world: World, call: Call, reference: object, field: str) -> str:
    if not reference:
        return "pd-standard"
    kind = str(reference).rpartition("/")[2]
    if kind not in DISK_TYPES:
        link = f"{COMPUTE_PREFIX}projects/{project_of(world, call)}/zones/{zone_of(call)}/diskTypes/{kind}"
        raise invalid_value(f"{field}.type", link, "The referenced diskType resource cannot be found.")
    return kind


def _check_size(field: str, kind: str, size: int) -> None:
    bounds = DISK_TYPES[kind]
    if size < bounds.smallest_gb:
        raise invalid_value(field, size, f"Disk size cannot be smaller than {bounds.smallest_gb} GB.")
    if size > bounds.largest_gb:
        raise invalid_value(field, size, f"Disk size cannot be larger than {bounds.largest_gb} GB.")


def resize(world: World, call: Call) -> Decision:
    """Make a disk larger; it never shrinks."""
    disk = world.get(named(world, call, "disks", call["disk"]))
    size = number(call.body.get("sizeGb") or 0)
    if size <= int(disk.body["sizeGb"]):
        raise invalid_value(
            "sizeGb", size, f"New disk size '{size}' GiB must be larger than existing size "
            f"'{disk.body['sizeGb']}' GiB.",
        )  # fmt: skip
    _check_size("sizeGb", disk.body["type"].rpartition("/")[2], size)
    return put(call, "resizeDisk", disk.with_body(sizeGb=str(size)), done=True)


def update(world: World, call: Call) -> Decision:
    """Change what may change of a disk: its description, labels, size or speed."""
    disk = world.get(named(world, call, "disks", call["disk"]))
    body = without_nulls(call.body)
    refuse_unbuilt("disks", body, _UNBUILT)
    changed = {
        key: body[key]
        for key in ("description", "labels", "provisionedIops", "provisionedThroughput")
        if key in body
    }
    if "sizeGb" in body:
        changed["sizeGb"] = str(number(body["sizeGb"]))
    if "labels" in changed:
        check_labels(changed["labels"])
        changed["labelFingerprint"] = fingerprint(changed["labels"])
    return put(call, "update", disk.with_body(**changed), done=True)


def set_labels(world: World, call: Call) -> Decision:
    """Replace the labels of a disk."""
    disk = world.get(named(world, call, "disks", call["resource"]))
    return relabelled(call, disk)


def delete(world: World, call: Call) -> Decision:
    """Take a disk away, unless an instance has it."""
    disk = world.get(named(world, call, "disks", call["disk"]))
    user = next(instances_with_disk(world, disk.name), None)
    if user is not None:
        return in_use(call, "delete", disk, "disk", user.name)
    return deleted(call, disk, done=True)


def _policy(world: World, call: Call) -> ResourceName:
    return policy_name(world.get(named(world, call, "disks", call["resource"])).name)


METHODS: dict[str, Method] = {
    "disks.insert": Write(insert, "compute.disks.create"),
    **readers("disks", "disk", show, aggregated=True),
    "disks.resize": Write(resize, "compute.disks.resize"),
    "disks.update": Write(update, "compute.disks.update"),
    "disks.setLabels": Write(set_labels, "compute.disks.setLabels"),
    "disks.delete": Write(delete, "compute.disks.delete"),
    **iam_methods("disks.", _policy, "compute.disks"),
}
