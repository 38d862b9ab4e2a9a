"""Instance templates, global and regional: what instances are made of, by a call or by a group's manager.

A template never changes. What it says is checked when it is made, as far as that needs no zone; the rest
when an instance is made of it.
"""

from fogbank.errors import ApiError, invalid_value, not_built, not_found, required_field
from fogbank.resources.instance_groups import INSTANCE_TEMPLATES, managers_with_template
from fogbank.resources.machine_types import machine_type
from fogbank.resources.names import ResourceName, parse_compute_reference
from fogbank.resources.world import Json, Resource, World
from fogbank.services.access import iam_methods
from fogbank.services.compute.bodies import check_labels, inputs, refuse_unbuilt
from fogbank.services.compute.decisions import deleted, in_use, policy_name, put
from fogbank.services.compute.factories import check_free, made
from fogbank.services.compute.handlers import getter, lister, readers
from fogbank.services.compute.instances import attached_disks, interfaces, settings
from fogbank.services.compute.names import by_id, named, new_identifier, project_of, region_of
from fogbank.services.compute.references import reference
from fogbank.services.contract import Call, Decision, List, Method, Read, Write

_UNBUILT: dict[str, tuple[object, ...]] = {
    "resourcePolicies": (),
    "resourceManagerTags": (),
    "workloadIdentityConfig": (),
    "localSsdEncryptionMode": (),
    "privateIpv6GoogleAccess": ("INHERIT_FROM_SUBNETWORK",),
}
_KEPT = (
    "description", "minCpuPlatform", "reservationAffinity", "advancedMachineFeatures",
    "keyRevocationActionType", "networkPerformanceConfig", "shieldedInstanceConfig",
)  # fmt: skip


def insert(world: World, call: Call) -> Decision:
    """Make a template."""
    body = inputs(call.body, ("region",))
    name = named(world, call, "instanceTemplates", new_identifier(body))
    check_free(world, name)
    if body.get("sourceInstance"):
        raise not_built("compute.instanceTemplates with sourceInstance")
    if not body.get("properties"):
        raise required_field("resource.properties")
    fields: Json = {"properties": _properties(world, call, body["properties"])}
    if body.get("description"):
        fields["description"] = body["description"]
    return put(call, "insert", made(call, name, fields), done=True)


def _properties(world: World, call: Call, body: Json) -> Json:
    where = "resource.properties"
    refuse_unbuilt("instanceTemplates.properties", body, _UNBUILT)
    settings.refuse_hardware(body)
    if not body.get("machineType"):
        raise required_field(f"{where}.machineType")
    machine = str(body["machineType"]).rpartition("/")[2]
    if machine_type(machine) is None:
        why = "The machine type does not exist."
        raise invalid_value(f"{where}.machineType", body["machineType"], why)
    check_labels(body.get("labels", {}))
    fields: Json = {key: body[key] for key in _KEPT if body.get(key)}
    if accounts := body.get("serviceAccounts"):
        fields["serviceAccounts"] = [
            {"email": each.get("email") or "default", "scopes": list(each.get("scopes", ()))}
            for each in accounts
        ]
    if body.get("labels"):
        fields["labels"] = body["labels"]
    if tags := settings.tags(body.get("tags", {})).get("items"):
        fields["tags"] = {"items": tags}
    return fields | {
        "machineType": machine,
        "canIpForward": bool(body.get("canIpForward", False)),
        "metadata": settings.metadata(body.get("metadata", {}), f"{where}.metadata"),
        "scheduling": settings.scheduling(body.get("scheduling", {})),
        "disks": _disks(body.get("disks", ())),
        "networkInterfaces": [
            _interface(world, call, index, each)
            for index, each in enumerate(body.get("networkInterfaces", ()))
        ],
    }


def _disks(wanted: list[Json]) -> list[Json]:
    if not wanted:
        raise invalid_value("resource.properties.disks", "", "No disks are specified.")
    return [_disk(index, each) for index, each in enumerate(wanted)]


def _disk(index: int, body: Json) -> Json:
    where = f"resource.properties.disks[{index}]"
    refuse_unbuilt("instanceTemplates.properties.disks", body, attached_disks.UNBUILT)
    if (kind := body.get("type", "PERSISTENT")) != "PERSISTENT":
        raise not_built(f"compute.instanceTemplates.properties.disks with type={kind}")
    params = body.get("initializeParams", {})
    refuse_unbuilt("instanceTemplates.properties.disks.initializeParams", params, attached_disks.NEW_UNBUILT)
    if not params and not body.get("source"):
        raise required_field(f"{where}.source")
    defaults: Json = {
        "kind": "compute#attachedDisk",
        "type": "PERSISTENT",
        "mode": "READ_WRITE",
        "boot": index == 0,
        "index": index,
        "autoDelete": False,
        "deviceName": f"persistent-disk-{index}",
    }
    return defaults | body


def _interface(world: World, call: Call, index: int, body: Json) -> Json:
    where = f"resource.properties.networkInterfaces[{index}]"
    refuse_unbuilt("instanceTemplates.properties.networkInterfaces", body, interfaces.UNBUILT)
    project = project_of(world, call)
    links: Json = {}
    if body.get("network") or not body.get("subnetwork"):
        asked = reference(f"{where}.network", body.get("network") or "default", "networks", project)
        links["network"] = world.get(by_id(world, asked)).name.self_link
    if wanted := body.get("subnetwork"):
        place = region_of(call) if "region" in call.parameters else None
        if "regions/" in str(wanted) or place:
            asked = reference(f"{where}.subnetwork", wanted, "subnetworks", project, place)
            found = world.get(by_id(world, asked))
            links |= {"network": found.body["network"], "subnetwork": found.name.self_link}
    return {"kind": "compute#networkInterface", "name": f"nic{index}"} | body | links


def find_template(world: World, field: str, value: object, project: str) -> Resource:
    """Find the template that a body names, global or regional; 404 when there is none."""
    try:
        name = parse_compute_reference(str(value), "instanceTemplates", project, "global")
    except (ValueError, IndexError):
        raise invalid_value(field, value, "The URL is malformed.") from None
    found = world.find(by_id(world, ResourceName(INSTANCE_TEMPLATES, name.path)))
    if found is None:
        raise not_found(name.path)
    return found


def template_properties(world: World, call: Call, field: str, value: object) -> Json:
    """Return what a template says of instances; a regional one is for its own region."""
    found = find_template(world, field, value, project_of(world, call))
    return properties_of(found, call)


def properties_of(template: Resource, call: Call) -> Json:
    """Return a template's properties as a body for an instance of the call's zone."""
    region = template.name.region
    if region and region != region_of(call):
        raise ApiError(
            400,
            f"The instance template '{template.name.path}' is in another region than the instance.",
            "INVALID_ARGUMENT",
            "invalid",
        )
    properties: Json = template.body["properties"]
    return properties


def delete(world: World, call: Call) -> Decision:
    """Take a template away, unless a group's manager has it."""
    template = world.get(named(world, call, "instanceTemplates", call["instanceTemplate"]))
    user = next(managers_with_template(world, template.name), None)
    if user is not None:
        return in_use(call, "delete", template, "instance_template", user.name)
    return deleted(call, template, done=True)


def _policy(world: World, call: Call) -> ResourceName:
    return policy_name(world.get(named(world, call, "instanceTemplates", call["resource"])).name)


_PERMISSION = "compute.instanceTemplates"
METHODS: dict[str, Method] = {
    "instanceTemplates.insert": Write(insert, f"{_PERMISSION}.create"),
    **readers("instanceTemplates", "instanceTemplate", aggregated=True),
    "instanceTemplates.delete": Write(delete, f"{_PERMISSION}.delete"),
    **iam_methods("instanceTemplates.", _policy, _PERMISSION),
    "regionInstanceTemplates.insert": Write(insert, f"{_PERMISSION}.create"),
    "regionInstanceTemplates.get": Read(
        getter("instanceTemplates", "instanceTemplate"), f"{_PERMISSION}.get"
    ),
    "regionInstanceTemplates.list": List(lister("instanceTemplates"), permission=f"{_PERMISSION}.list"),
    "regionInstanceTemplates.delete": Write(delete, f"{_PERMISSION}.delete"),
}
