"""Instance group managers, zonal and regional: what clients ask of managed groups.

Methods write what is wanted; the controller makes and removes instances accordingly (`machines`). So an
operation on a manager ends at once, and ``status.isStable`` tells when the group is there; only the deletion
of a manager lasts until its instances are gone.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from fogbank.errors import invalid_value, not_built, required_field
from fogbank.resources.instance_groups import GROUP_MANAGERS, MANAGER, group_name
from fogbank.resources.instances import INSTANCES
from fogbank.resources.names import COMPUTE_PREFIX, ResourceName
from fogbank.resources.places import REGIONS
from fogbank.resources.world import Change, Json, Put, Resource, World
from fogbank.services.compute.bodies import (
    bad_request,
    inputs,
    is_current,
    merged,
    number,
    refuse_unbuilt,
    unchanged,
    without_nulls,
)
from fogbank.services.compute.decisions import committed, put
from fogbank.services.compute.factories import check_free, fingerprinted, made
from fogbank.services.compute.groups import update_policies
from fogbank.services.compute.groups.machines import (
    Row,
    available,
    counted_versions,
    rows_of,
    state_of,
    with_rows,
    zones_of,
)
from fogbank.services.compute.groups.unmanaged import checked_ports, instance_reference
from fogbank.services.compute.handlers import getter, lister, readers
from fogbank.services.compute.instances.templates import find_template
from fogbank.services.compute.names import (
    check_name,
    named,
    new_identifier,
    place_path,
    project_of,
    region_of,
)
from fogbank.services.contract import Call, Decision, List, Method, Read, Write

_OUTPUTS = ("fingerprint", "status", "currentActions", "instanceGroup", "zone", "region")
_UNBUILT: dict[str, tuple[object, ...]] = {
    "autoHealingPolicies": (),
    "statefulPolicy": ({"preservedState": {}}, {"preservedState": {"disks": {}}}),
    "allInstancesConfig": ({"properties": {}},),
    "targetPools": (),
    "resourcePolicies": (),
    "instanceFlexibilityPolicy": (),
    "standbyPolicy": ({"mode": "MANUAL"}, {"mode": "MANUAL", "initialDelaySec": 0}, {"initialDelaySec": 0}),
    "targetSizePolicy": ({"mode": "INDIVIDUAL"},),
    "targetSuspendedSize": (),
    "targetStoppedSize": (),
}
_ACTIONS = (
    "none", "creating", "creatingWithoutRetries", "recreating", "deleting", "abandoning", "restarting",
    "refreshing", "verifying", "suspending", "stopping", "starting", "resuming",
)  # fmt: skip
_LIFECYCLE = {"defaultActionOnFailure": "REPAIR", "forceUpdateOnRepair": "NO"}
_UNBUILT_LIFECYCLE: dict[str, tuple[object, ...]] = {
    "forceUpdateOnRepair": ("NO",),
    "onRepair": ({"allowChangingZone": "NO"},),
    "onFailedHealthCheck": ("DEFAULT_ACTION",),
}
_SHAPES = ("EVEN", "BALANCED")
_LARGEST = 2000
_DESCRIPTION = (
    "This instance group is controlled by Instance Group Manager '{}'. To modify instances in this group, "
    "use the Instance Group Manager API: "
    "https://cloud.google.com/compute/docs/reference/latest/instanceGroupManagers"
)


def show(world: World, manager: Resource) -> Json:
    """Show a manager with what its instances do now."""
    size = int(manager.body["targetSize"])
    rows = rows_of(manager)
    actions = Counter[str]()
    running = 0
    for row in rows:
        action, instance = state_of(world, manager, row)
        actions[action.lower()] += 1
        running += available(instance)
    _, outdated = counted_versions(manager, rows)
    stable = actions["none"] == len(rows) == size == running
    policy = update_policies.policy_of(manager.body, size)
    if policy.proactive and outdated:
        stable = False
    return manager.body | {
        "currentActions": {each: actions[each] for each in _ACTIONS},
        "updatePolicy": update_policies.shown(manager.body["updatePolicy"], size),
        "versions": _shown_versions(manager, size),
        "status": {
            "isStable": stable and not manager.private.get("deleting"),
            "versionTarget": {"isReached": not outdated and len(rows) >= size},
            "allInstancesConfig": {"effective": True},
            "stateful": {"hasStatefulConfig": False, "perInstanceConfigs": {"allEffective": True}},
        },
    }


def _shown_versions(manager: Resource, size: int) -> list[Json]:
    counts = [each.count for each in update_policies.versions_of(manager.body, size)]
    return [
        each | {"targetSize": each.get("targetSize", {}) | {"calculated": count}}
        for each, count in zip(manager.body["versions"], counts, strict=True)
    ]


def find(world: World, call: Call) -> Resource:
    """Find the manager that a call is about."""
    return world.get(named(world, call, "instanceGroupManagers", call["instanceGroupManager"]))


def insert(world: World, call: Call) -> Decision:
    """Make a manager and its group; the instances follow."""
    body = inputs(call.body, _OUTPUTS)
    name = named(world, call, "instanceGroupManagers", new_identifier(body))
    check_free(world, name)
    check_free(world, group_name(name.path))
    refuse_unbuilt("instanceGroupManagers", body, _UNBUILT)
    if "targetSize" not in body:
        raise required_field("resource.targetSize")
    base = body.get("baseInstanceName") or name.id[:58]
    check_name("resource.baseInstanceName", base)
    fields: Json = {key: body[key] for key in ("description",) if body.get(key)}
    zones = 0
    if name.region:
        fields["distributionPolicy"] = _distribution(world, call, body.get("distributionPolicy", {}))
        zones = len(fields["distributionPolicy"]["zones"])
    ports = checked_ports(body.get("namedPorts", ()), "resource.namedPorts")
    fields |= {
        "baseInstanceName": base,
        "targetSize": _size(body["targetSize"]),
        "instanceGroup": group_name(name.path).self_link,
        "namedPorts": ports,
        "updatePolicy": update_policies.completed(body.get("updatePolicy", {}), zones),
        "instanceLifecyclePolicy": _lifecycle(body.get("instanceLifecyclePolicy", {})),
        "listManagedInstancesResults": body.get("listManagedInstancesResults", "PAGELESS"),
        **_versions(world, call, body),
    }
    manager = fingerprinted(made(call, name, fields, {"machines": []}))
    group = _group(world, call, manager, ports)
    return committed(call, "insert", manager, (Put(manager), Put(group)), done=True)


def _group(world: World, call: Call, manager: Resource, ports: list[Json]) -> Resource:
    """Make the group of a manager; its network is that of the template's first interface."""
    fields: Json = {"namedPorts": ports, "description": _DESCRIPTION.format(manager.name.id)}
    template = find_template(
        world, "", manager.body["versions"][-1]["instanceTemplate"], manager.name.project
    )
    first: Json = next(iter(template.body["properties"]["networkInterfaces"]), {})
    fields |= {key: first[key] for key in ("network", "subnetwork") if key in first}
    return fingerprinted(made(call, group_name(manager.name.path), fields, {MANAGER: manager.name.path}))


def _size(value: object) -> int:
    size = number(value)
    if not 0 <= size <= _LARGEST:
        raise invalid_value("resource.targetSize", size, f"Must be between 0 and {_LARGEST}.")
    return size


def _lifecycle(body: Json) -> Json:
    refuse_unbuilt("instanceGroupManagers.instanceLifecyclePolicy", body, _UNBUILT_LIFECYCLE)
    return _LIFECYCLE | body


def _distribution(world: World, call: Call, body: Json) -> Json:
    """Choose the zones of a regional group: three of the region, unless the caller says which."""
    region, project = region_of(call), project_of(world, call)
    shape = body.get("targetShape", _SHAPES[0])
    if shape not in _SHAPES:
        raise not_built(f"compute.regionInstanceGroupManagers.distributionPolicy with targetShape={shape}")
    listed = [str(each.get("zone", "")).rpartition("/")[2] for each in body.get("zones", ())]
    for each in listed:
        if each not in REGIONS[region].zones:
            why = f"The zone must be in region '{region}'."
            raise invalid_value("resource.distributionPolicy.zones", each, why)
    zones = listed or REGIONS[region].zones[:3]
    links = [{"zone": f"{COMPUTE_PREFIX}projects/{project}/zones/{each}"} for each in zones]
    return {"zones": links, "targetShape": shape}


def _versions(world: World, call: Call, body: Json) -> Json:
    """Read the versions of a body, or its only template; exactly one version has no size of its own."""
    versions = body.get("versions") or [{"instanceTemplate": body.get("instanceTemplate")}]
    found: list[Json] = []
    for index, each in enumerate(versions):
        field = f"resource.versions[{index}].instanceTemplate"
        if not each.get("instanceTemplate"):
            raise required_field("resource.instanceTemplate" if not body.get("versions") else field)
        template = find_template(world, field, each["instanceTemplate"], project_of(world, call))
        if template.name.region and template.name.region != region_of(call):
            raise invalid_value(field, template.name.path, f"It must be in region '{region_of(call)}'.")
        size = {
            key: value for key, value in each.get("targetSize", {}).items() if key in {"fixed", "percent"}
        }
        found.append(
            {"instanceTemplate": template.name.self_link}
            | ({"name": each["name"]} if each.get("name") else {})
            | ({"targetSize": size} if size else {})
        )
    if len(found) > 2:
        raise invalid_value("resource.versions", len(found), "At most two versions can be specified.")
    if sum("targetSize" not in each for each in found) != 1:
        why = "Exactly one version must leave its target size unset."
        raise invalid_value("resource.versions", len(found), why)
    rest = next(each for each in found if "targetSize" not in each)
    return {"versions": found, "instanceTemplate": rest["instanceTemplate"]}


def patch(world: World, call: Call) -> Decision:
    """Change what a body gives of a manager; a new version is rolled out as the update policy says."""
    manager = find(world, call)
    given = {key: value for key, value in call.body.items() if key not in _OUTPUTS or key == "fingerprint"}
    fingerprint = given.pop("fingerprint", None)
    if fingerprint and not is_current(fingerprint, manager.body["fingerprint"]):
        raise bad_request("Fingerprint either invalid or resource has changed", "conditionNotMet")
    body = without_nulls(given)
    refuse_unbuilt("instanceGroupManagers", body, _UNBUILT)
    unchanged(manager, body, ("name", "baseInstanceName"))
    changed: Json = {}
    zones = len(manager.body.get("distributionPolicy", {}).get("zones", ()))
    if "targetSize" in body:
        changed["targetSize"] = _size(body["targetSize"])
    if "updatePolicy" in given:
        policy = merged(manager.body["updatePolicy"], given["updatePolicy"] or {})
        changed["updatePolicy"] = update_policies.completed(policy, zones)
    if "instanceLifecyclePolicy" in body:
        before = manager.body["instanceLifecyclePolicy"]
        changed["instanceLifecyclePolicy"] = _lifecycle(before | body["instanceLifecyclePolicy"])
    for key in ("description", "listManagedInstancesResults"):
        if key in given:
            changed[key] = given[key]
    if body.get("versions") or body.get("instanceTemplate"):
        changed |= _versions(world, call, body)
    if "distributionPolicy" in body and zones:
        changed["distributionPolicy"] = _distribution(world, call, body["distributionPolicy"])
    changes: list[Change] = []
    if "namedPorts" in given:
        changed["namedPorts"] = checked_ports(body.get("namedPorts", ()), "resource.namedPorts")
        group = world.get(group_name(manager.name.path))
        changes.append(Put(fingerprinted(group.with_body(namedPorts=changed["namedPorts"]))))
    after = fingerprinted(manager.with_body(**changed))
    return committed(call, "patch", after, (Put(after), *changes), done=True)


def set_instance_template(world: World, call: Call) -> Decision:
    """Set the template of instances that are made from now on."""
    manager = find(world, call)
    changed = manager.with_body(
        **_versions(world, call, {"instanceTemplate": call.body.get("instanceTemplate")})
    )
    return put(call, "setInstanceTemplate", fingerprinted(changed), done=True)


def resize(world: World, call: Call) -> Decision:
    """Change the size of a group."""
    changed = find(world, call).with_body(targetSize=_size(call.parameters.get("size", 0)))
    return put(call, "resize", fingerprinted(changed), done=True)


def delete(world: World, call: Call) -> Decision:
    """Take a manager away, its group and all its instances; the operation lasts until they are gone."""
    manager = find(world, call)
    return put(call, "delete", replace(manager, private={**manager.private, "deleting": True}))


def _chosen(world: World, call: Call, manager: Resource) -> list[str]:
    """List the paths of the managed instances that a body names; those of other groups are refused."""
    listed = without_nulls(call.body).get("instances", ())
    if not listed:
        raise required_field("instances")
    paths = {row.instance for row in rows_of(manager)}
    zones = zones_of(manager)
    found: list[str] = []
    for index, each in enumerate(listed):
        name = instance_reference(world, call, f"instances[{index}]", each, zones[0])
        if name.path not in paths:
            if call.body.get("skipInstancesOnValidationError"):
                continue
            why = f"The instance is not a member of '{group_name(manager.name.path).path}'."
            raise invalid_value(f"instances[{index}]", each, why)
        found.append(name.path)
    return found


def _marked(manager: Resource, chosen: Iterable[str], change: Callable[[Row], Row]) -> Resource:
    paths = {*chosen}
    return with_rows(manager, [change(each) if each.instance in paths else each for each in rows_of(manager)])


def recreate_instances(world: World, call: Call) -> Decision:
    """Have instances made anew, under their names."""
    manager = find(world, call)
    chosen = _chosen(world, call, manager)
    changed = _marked(manager, chosen, lambda row: replace(row, action="RECREATE", tried=""))
    return put(call, "recreateInstances", changed, done=True)


def delete_instances(world: World, call: Call) -> Decision:
    """Take instances away, and make the group smaller by as many."""
    manager = find(world, call)
    chosen = _chosen(world, call, manager)
    changed = _marked(manager, chosen, lambda row: replace(row, action="DELETE"))
    return put(call, "deleteInstances", _smaller(changed, len(chosen)), done=True)


def _smaller(manager: Resource, count: int) -> Resource:
    size = max(0, int(manager.body["targetSize"]) - count)
    return fingerprinted(manager.with_body(targetSize=size))


def abandon_instances(world: World, call: Call) -> Decision:
    """Let instances out of the group; they run on, and the group is smaller by as many."""
    manager = find(world, call)
    chosen = _chosen(world, call, manager)
    kept = [each for each in rows_of(manager) if each.instance not in chosen]
    after = _smaller(with_rows(manager, kept), len(chosen))
    changes: list[Change] = [Put(after)]
    for path in chosen:
        instance = world.find(ResourceName(INSTANCES, path))
        if instance is not None and instance.private.get(MANAGER) == manager.name.path:
            private = {key: value for key, value in instance.private.items() if key != MANAGER}
            changes.append(Put(replace(instance, private=private)))
    return committed(call, "abandonInstances", after, changes, done=True)


def apply_updates(world: World, call: Call) -> Decision:
    """Bring instances to their version now: those of old versions are made anew."""
    manager = find(world, call)
    _, outdated = counted_versions(manager, rows_of(manager))
    old = {rows_of(manager)[place].instance for place in outdated}
    everything = bool(call.body.get("allInstances"))
    chosen = [row.instance for row in rows_of(manager)] if everything else _chosen(world, call, manager)
    forced = call.body.get("minimalAction") == "REPLACE"
    due = [each for each in chosen if forced or each in old]
    changed = _marked(manager, due, lambda row: replace(row, action="RECREATE", tried=""))
    return put(call, "applyUpdatesToInstances", changed, done=True)


def list_managed(world: World, call: Call) -> Iterable[Json]:
    """List what a manager keeps, with what is being done about each."""
    manager = find(world, call)
    return [_shown_row(world, manager, row) for row in rows_of(manager)]


def _shown_row(world: World, manager: Resource, row: Row) -> Json:
    action, instance = state_of(world, manager, row)
    version = {"instanceTemplate": row.template} | ({"name": row.version} if row.version else {})
    shown: Json = {
        "instance": row.name.self_link,
        "name": row.name.id,
        "currentAction": action,
        "version": version,
        "targetStatus": "DELETED" if row.action == "DELETE" else "RUNNING",
    }
    if instance is not None:
        shown |= {"id": str(instance.id), "instanceStatus": instance.body["status"]}
    if row.error:
        shown["lastAttempt"] = {"errors": {"errors": [{"code": "INVALID", "message": row.error}]}}
    return shown


def list_errors(world: World, call: Call) -> Iterable[Json]:
    """List why instances could not be made; one that was made since has no error any more."""
    manager = find(world, call)
    return [
        {
            "error": {"code": "INVALID", "message": row.error},
            "instanceActionDetails": {
                "action": "CREATING",
                "instance": row.name.self_link,
                "version": {"instanceTemplate": row.template},
            },
            "timestamp": row.tried,
        }
        for row in rows_of(manager)
        if row.error
    ]


def no_autoscalers(world: World, call: Call) -> Iterable[Json]:
    """List the autoscalers: none, for none can be made."""
    place_path(world, call)
    return ()


def no_configs(world: World, call: Call) -> Iterable[Json]:
    """List the configurations of single instances: none, for none can be made."""
    find(world, call)
    return ()


_PERMISSION = "compute.instanceGroupManagers"


def _methods(prefix: str) -> dict[str, Method]:
    update = f"{_PERMISSION}.update"
    return {
        f"{prefix}.insert": Write(insert, f"{_PERMISSION}.create"),
        f"{prefix}.get": Read(
            getter("instanceGroupManagers", "instanceGroupManager", show), f"{_PERMISSION}.get"
        ),
        f"{prefix}.list": List(lister("instanceGroupManagers", show), permission=f"{_PERMISSION}.list"),
        f"{prefix}.patch": Write(patch, update),
        f"{prefix}.resize": Write(resize, update),
        f"{prefix}.setInstanceTemplate": Write(set_instance_template, update),
        f"{prefix}.recreateInstances": Write(recreate_instances, update),
        f"{prefix}.deleteInstances": Write(delete_instances, update),
        f"{prefix}.abandonInstances": Write(abandon_instances, update),
        f"{prefix}.applyUpdatesToInstances": Write(apply_updates, update),
        f"{prefix}.listManagedInstances": List(
            list_managed, "managedInstances", permission=f"{_PERMISSION}.get"
        ),
        f"{prefix}.listErrors": List(list_errors, permission=f"{_PERMISSION}.get"),
        f"{prefix}.listPerInstanceConfigs": List(no_configs, permission=f"{_PERMISSION}.get"),
        f"{prefix}.delete": Write(delete, f"{_PERMISSION}.delete"),
    }


METHODS: dict[str, Method] = {
    **readers("instanceGroupManagers", "instanceGroupManager", show, aggregated=True),
    **_methods("instanceGroupManagers"),
    **_methods("regionInstanceGroupManagers"),
    "autoscalers.list": List(no_autoscalers, permission="compute.autoscalers.list"),
    "autoscalers.aggregatedList": List(no_autoscalers, permission="compute.autoscalers.list"),
    "regionAutoscalers.list": List(no_autoscalers, permission="compute.autoscalers.list"),
}

__all__ = ["GROUP_MANAGERS", "METHODS"]
