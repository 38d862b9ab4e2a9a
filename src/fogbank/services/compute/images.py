"""Images: Google's public ones, which anybody may boot from, and those that people make of disks.

Public images are a table; one of a project's own is a record that says which disk or image it was made of.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from fogbank.errors import ApiError, invalid_value, not_built, not_found, required_field
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.instances import DISKS
from fogbank.resources.names import COMPUTE_PREFIX, ResourceName, parse_compute_reference
from fogbank.resources.public_images import IMAGE_PROJECTS, PUBLIC_IMAGES, PublicImage, newest_of
from fogbank.resources.world import Json, Resource, World
from fogbank.services.access import iam_methods
from fogbank.services.compute.bodies import check_labels, inputs, refuse_unbuilt, without_nulls
from fogbank.services.compute.decisions import deleted, policy_name, put, relabelled
from fogbank.services.compute.factories import check_free, made, make
from fogbank.services.compute.names import check_name, named, new_identifier, project_of
from fogbank.services.contract import Call, Decision, List, Method, Read, Write

IMAGES = "compute.images"
_PUBLISHED = datetime(2026, 6, 12, 10, 0, tzinfo=UTC)
_FIRST_ID = 7_000_000_000_000_000_000
_GUEST_FEATURES = ("UEFI_COMPATIBLE", "VIRTIO_SCSI_MULTIQUEUE", "GVNIC")
_OUTPUTS = ("status", "archiveSizeBytes", "labelFingerprint", "sourceDiskId", "sourceImageId", "licenseCodes")
_UNBUILT: dict[str, tuple[object, ...]] = {
    "rawDisk": (),
    "sourceSnapshot": (),
    "imageEncryptionKey": (),
    "sourceDiskEncryptionKey": (),
    "shieldedInstanceInitialState": (),
}


def public_image(image: PublicImage) -> Resource:
    """Make the resource of a public image."""
    name = ResourceName(IMAGES, image.path)
    number = _FIRST_ID + list(PUBLIC_IMAGES).index(image.path)
    fields: Json = {
        "description": image.description,
        "family": image.family,
        "sourceType": "RAW",
        "status": "READY",
        "archiveSizeBytes": str(image.disk_size_gb << 27),
        "diskSizeGb": str(image.disk_size_gb),
        "architecture": image.architecture,
        "licenses": [f"{COMPUTE_PREFIX}projects/{image.project}/global/licenses/{image.licence}"],
        "guestOsFeatures": [{"type": each} for each in _GUEST_FEATURES],
        "storageLocations": ["asia", "eu", "us"],
        "labelFingerprint": fingerprint({}),
    }
    return make(name, number, _PUBLISHED, fields)


def find_image(world: World, field: str, reference: str, project: str) -> Resource:
    """Find the image that a body names: by its name, or as the newest of a family, in any of Google's forms.

    ``debian-cloud/debian-12`` is understood too, as clients of Google's write it.
    """
    parts = reference.strip("/").split("/")
    if len(parts) == 2 and parts[0] not in {"global", "family", "images"} and ":" not in reference:
        reference = f"projects/{parts[0]}/global/images/{parts[1]}"
        parts = reference.split("/")
    if "imageFamilyViews" in parts:  # projects/P/zones/-/imageFamilyViews/F
        return _of_family(world, parts[parts.index("projects") + 1], parts[-1])
    if parts[-2:-1] == ["family"]:
        owner = parts[parts.index("projects") + 1] if "projects" in parts else project
        return _of_family(world, owner, parts[-1])
    try:
        name = parse_compute_reference(reference, "images", project, "global")
    except (ValueError, IndexError):
        raise invalid_value(field, reference, "The URL is malformed.") from None
    if name.path in PUBLIC_IMAGES:
        return public_image(PUBLIC_IMAGES[name.path])
    found = world.find(name)
    if found is None:
        return _of_family(world, name.project, name.id, missing=name.path)
    return found


def _of_family(world: World, project: str, family: str, missing: str | None = None) -> Resource:
    public = newest_of(project, family)
    if public is not None:
        return public_image(public)
    own = [
        each
        for each in world.all(IMAGES, f"projects/{project}/")
        if each.body.get("family") == family and not each.body.get("deprecated")
    ]
    if not own or missing is not None:
        raise not_found(missing or f"projects/{project}/global/images/family/{family}")
    return max(own, key=lambda each: (each.created, each.name.path))


def get(world: World, call: Call) -> Json:
    """Show an image."""
    path = f"projects/{call['project']}/global/images/{call['image']}"
    if path in PUBLIC_IMAGES:
        return public_image(PUBLIC_IMAGES[path]).body
    return world.get(named(world, call, "images", call["image"])).body


def get_from_family(world: World, call: Call) -> Json:
    """Show the newest image of a family."""
    return _of_family(world, project_of(world, call), call["family"]).body


def get_family_view(world: World, call: Call) -> Json:
    """Show the newest image of a family as a zone sees it."""
    image = _of_family(world, project_of(world, call), call["family"])
    return {"image": image.body}


def list_images(world: World, call: Call) -> Iterable[Json]:
    """List the images of a project, public ones in the projects that publish them."""
    project = project_of(world, call)
    if project in IMAGE_PROJECTS:
        return [public_image(each).body for each in PUBLIC_IMAGES.values() if each.project == project]
    return [each.body for each in world.all(IMAGES, f"projects/{project}/")]


def insert(world: World, call: Call) -> Decision:
    """Make an image of a disk or of another image."""
    body = inputs(call.body, _OUTPUTS)
    name = named(world, call, "images", new_identifier(body))
    _check_own(name.project)
    refuse_unbuilt("images", body, _UNBUILT)
    check_labels(body.get("labels", {}))
    if "family" in body:
        check_name("resource.family", body["family"])
    check_free(world, name)
    if not body.get("sourceDisk") and not body.get("sourceImage"):
        raise required_field("resource.sourceDisk")
    fields = _kept(body) | _source(world, body, name.project)
    return put(call, "insert", made(call, name, fields), done=True)


def _kept(body: Json) -> Json:
    kept = ("description", "family", "labels", "licenses", "guestOsFeatures", "storageLocations")
    fields: Json = {each: body[each] for each in kept if body.get(each)}
    fields |= {
        "sourceType": "RAW",
        "status": "READY",
        "labelFingerprint": fingerprint(body.get("labels", {})),
        "archiveSizeBytes": "0",
    }
    fields.setdefault("storageLocations", ["us"])
    return fields


def _source(world: World, body: Json, project: str) -> Json:
    if reference := body.get("sourceDisk"):
        try:
            name = parse_compute_reference(str(reference), "disks", project, "zones", "-")
        except (ValueError, IndexError):
            raise invalid_value("resource.sourceDisk", reference, "The URL is malformed.") from None
        disk = world.get(ResourceName(DISKS, name.path))
        fields = {"sourceDisk": disk.name.self_link, "sourceDiskId": str(disk.id)}
        source = disk
    else:
        source = find_image(world, "resource.sourceImage", str(body["sourceImage"]), project)
        fields = {"sourceImage": source.name.self_link, "sourceImageId": str(source.id)}
    size = source.body.get("diskSizeGb") or source.body.get("sizeGb")
    inherited = ("licenses", "guestOsFeatures", "architecture")
    kept = {key: source.body[key] for key in inherited if key in source.body}
    return {**kept, **fields, "diskSizeGb": str(size)}


def _check_own(project: str) -> None:
    if project in IMAGE_PROJECTS:
        raise ApiError(
            403,
            f"Required 'compute.images.create' permission for 'projects/{project}'",
            "PERMISSION_DENIED",
            "forbidden",
        )


def delete(world: World, call: Call) -> Decision:
    """Take an image of a project's own away."""
    return deleted(call, world.get(named(world, call, "images", call["image"])), done=True)


def patch(world: World, call: Call) -> Decision:
    """Change the description or the family of an image."""
    image = world.get(named(world, call, "images", call["image"]))
    body = without_nulls(call.body)
    if "family" in body:
        check_name("resource.family", body["family"])
    changed = {key: body[key] for key in ("description", "family") if key in body}
    return put(call, "patch", image.with_body(**changed), done=True)


def deprecate(world: World, call: Call) -> Decision:
    """Say that an image is not to be used any more, or is again."""
    image = world.get(named(world, call, "images", call["image"]))
    state = without_nulls(call.body)
    changed = state if state.get("state") and state["state"] != "ACTIVE" else None
    return put(call, "deprecate", image.with_body(deprecated=changed), done=True)


def set_labels(world: World, call: Call) -> Decision:
    """Replace the labels of an image."""
    image = world.get(named(world, call, "images", call["resource"]))
    return relabelled(call, image)


def bootable(image: Resource) -> str:
    """Return the public image that the content of ``image`` is; refuses one whose content is not kept."""
    if image.name.path in PUBLIC_IMAGES:
        return image.name.path
    raise not_built(f"compute.disks from an image of one's own ({image.name.path})")


def _policy(world: World, call: Call) -> ResourceName:
    return policy_name(world.get(named(world, call, "images", call["resource"])).name)


METHODS: dict[str, Method] = {
    "images.insert": Write(insert, "compute.images.create"),
    "images.get": Read(get, "compute.images.get"),
    "images.getFromFamily": Read(get_from_family, "compute.images.getFromFamily"),
    "images.list": List(list_images, permission="compute.images.list"),
    "images.patch": Write(patch, "compute.images.update"),
    "images.deprecate": Write(deprecate, "compute.images.deprecate"),
    "images.setLabels": Write(set_labels, "compute.images.setLabels"),
    "images.delete": Write(delete, "compute.images.delete"),
    "imageFamilyViews.get": Read(get_family_view, "compute.images.getFromFamily"),
    **iam_methods("images.", _policy, "compute.images"),
}
