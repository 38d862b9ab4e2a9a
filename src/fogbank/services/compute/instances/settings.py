"""What an instance has beside disks and interfaces: machine type, tags, metadata, account, scheduling.

Each function checks one field of a body and returns it as it is kept, with Google's defaults.
"""

import re
from collections.abc import Mapping, Sequence

from fogbank.errors import ApiError, invalid_value, not_built, required_field, stale_fingerprint
from fogbank.resources.authorization import denied
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.machine_types import MachineType, machine_type
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import account_policy_name, compute_account, find_account, project_number
from fogbank.resources.world import Json, World
from fogbank.services.compute.bodies import bad_request, is_current, one_of, refuse_unbuilt
from fogbank.services.compute.machine_types import machine_type_link
from fogbank.services.compute.names import check_name, project_of, zone_of
from fogbank.services.contract import Call

MOST_TAGS = 64
MOST_VALUE_BYTES = 256 * 1024
MOST_METADATA_BYTES = 512 * 1024
_KEY = re.compile(r"[a-zA-Z0-9-_]{1,128}")
_HOST = re.compile(r"(?=.{1,253}$)[a-z]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z]([-a-z0-9]{0,61}[a-z0-9])?){1,}")
_PLATFORMS = {
    "c2": "Intel Cascade Lake", "c2d": "AMD Milan", "c3": "Intel Sapphire Rapids", "e2": "Intel Broadwell",
    "n1": "Intel Haswell", "n2": "Intel Cascade Lake", "n2d": "AMD Rome", "n4": "Intel Emerald Rapids",
    "t2d": "AMD Milan",
}  # fmt: skip
_SCHEDULING_UNBUILT: dict[str, tuple[object, ...]] = {
    "nodeAffinities": (),
    "minNodeCpus": (),
    "locationHint": (),
    "maxRunDuration": (),
    "terminationTime": (),
    "onInstanceStopAction": (),
    "hostErrorTimeoutSeconds": (),
    "gracefulShutdown": (),
}
_MODELS = ("STANDARD", "SPOT")


def machine(world: World, call: Call, value: object, field: str = "resource.machineType") -> MachineType:
    """Find the machine type that a body names: by a link of the call's zone, or by its name."""
    if not value:
        raise required_field(field)
    parts = str(value).split("/")
    zone, name = zone_of(call), parts[-1]
    if "zones" in parts[:-1] and (elsewhere := parts[parts.index("zones") + 1]) != zone:
        why = f"The resource must be in zone '{zone}', not '{elsewhere}'."
        raise invalid_value(field, value, why)
    found = machine_type(name)
    if found is None:
        link = machine_type_link(project_of(world, call), zone, name)
        why = f"Machine type with name '{name}' does not exist in zone '{zone}'."
        raise invalid_value(field, link, why)
    return found


def cpu_platform(found: MachineType) -> str:
    """Return the platform that clients see for a machine type."""
    return _PLATFORMS.get(found.family, "Intel Haswell")


def tags(body: Json) -> Json:
    """Check network tags; the fingerprint follows from them."""
    items = list(dict.fromkeys(body.get("items", ())))
    if len(items) > MOST_TAGS:
        raise invalid_value("resource.tags", len(items), f"At most {MOST_TAGS} tags can be specified.")
    for index, each in enumerate(items):
        check_name(f"resource.tags.items[{index}]", each)
    fields: Json = {"items": items} if items else {}
    return fields | {"fingerprint": fingerprint(fields)}


def metadata(body: Json, field: str = "resource.metadata") -> Json:
    """Check metadata: keys, that none comes twice, sizes (behaviour/compute-instances.md#metadata)."""
    items: list[Json] = []
    size = 0
    for index, each in enumerate(body.get("items", ())):
        key, value = each.get("key"), str(each.get("value", ""))
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            why = "Must be a match of regex '[a-zA-Z0-9-_]{1,128}'"
            raise invalid_value(f"{field}.items[{index}].key", key, why)
        if any(known["key"] == key for known in items):
            raise invalid_value(field, key, f"Metadata has duplicate key: '{key}'.")
        if len(value.encode()) > MOST_VALUE_BYTES:
            why = f"Value for metadata key '{key}' is too large: at most {MOST_VALUE_BYTES} bytes."
            raise invalid_value(f"{field}.items[{index}].value", f"{len(value)} characters", why)
        size += len(key) + len(value.encode())
        items.append({"key": key, "value": value})
    if size > MOST_METADATA_BYTES:
        raise invalid_value(field, f"{size} bytes", f"Total size is at most {MOST_METADATA_BYTES} bytes.")
    fields: Json = {"items": items} if items else {}
    return {"kind": "compute#metadata", "fingerprint": fingerprint(fields), **fields}


def check_fingerprint(given: object, present: str) -> None:
    """Refuse a change that was made against an older version; 412."""
    if not is_current(given, present):
        raise stale_fingerprint("Supplied fingerprint does not match current metadata fingerprint.")


def accounts(world: World, call: Call, wanted: Sequence[Json]) -> list[Json]:
    """Check the service account; ``default`` is compute's own of the project."""
    if len(wanted) > 1:
        why = "At most one service account can be specified."
        raise invalid_value("resource.serviceAccounts", len(wanted), why)
    project = project_of(world, call)
    found: list[Json] = []
    for each in wanted:
        email = each.get("email") or "default"
        if email == "default":
            email = compute_account(project_number(world, project))
        else:
            _check_account(world, call, email)
        found.append({"email": email, "scopes": list(each.get("scopes", ()))})
    return found


def _check_account(world: World, call: Call, email: str) -> None:
    """Refuse an account that does not exist, or that the caller may not act as."""
    account = find_account(world, email)
    own = compute_account(project_number(world, project_of(world, call)))
    if account is None and email != own:
        path = f"projects/{project_of(world, call)}/serviceAccounts/{email}"
        message = f"The resource '{path}' of type 'serviceAccount' was not found."
        raise ApiError(400, message, "INVALID_ARGUMENT", "invalid")
    if account is None:
        return
    beside: ResourceName = account_policy_name(account.name)
    permission = "iam.serviceAccounts.actAs"
    if not call.access.allows(world, call.principal, permission, account.name.project, beside):
        raise denied(permission, email, service="compute")


def scheduling(body: Json) -> Json:
    """Check how an instance lives; a preemptible one is never moved nor started again by itself."""
    refuse_unbuilt("instances.scheduling", body, _SCHEDULING_UNBUILT)
    model = body.get("provisioningModel", "SPOT" if body.get("preemptible") else _MODELS[0])
    one_of("resource.scheduling.provisioningModel", model, _MODELS)
    preemptible = bool(body.get("preemptible", model == "SPOT"))
    maintenance = body.get("onHostMaintenance", "TERMINATE" if preemptible else "MIGRATE")
    one_of("resource.scheduling.onHostMaintenance", maintenance, ("MIGRATE", "TERMINATE"))
    restart = bool(body.get("automaticRestart", not preemptible))
    if preemptible and restart:
        raise bad_request("Scheduling must have automaticRestart be false when preemptible is true.")
    if preemptible and maintenance == "MIGRATE":
        raise bad_request("Scheduling must have onHostMaintenance be TERMINATE when preemptible is true.")
    kept: Json = {
        key: body[key] for key in ("instanceTerminationAction", "availabilityDomain") if body.get(key)
    }
    return {
        "onHostMaintenance": maintenance,
        "automaticRestart": restart,
        "preemptible": preemptible,
        "provisioningModel": model,
        **kept,
    }


def shielded(body: Json) -> Json:
    """Fill in what a shielded instance checks of itself; it is kept and changes nothing."""
    return {
        "enableSecureBoot": bool(body.get("enableSecureBoot", False)),
        "enableVtpm": bool(body.get("enableVtpm", True)),
        "enableIntegrityMonitoring": bool(body.get("enableIntegrityMonitoring", True)),
    }


def host_name(value: str) -> str:
    """Check a host name of one's own (behaviour/compute-instances.md#internal-names)."""
    if not _HOST.fullmatch(value):
        why = "Must be a fully qualified domain name of lower case letters, digits, hyphens and dots."
        raise invalid_value("resource.hostname", value, why)
    return value


def refuse_hardware(body: Json) -> None:
    """Refuse what needs hardware that no machine of the region has."""
    if body.get("guestAccelerators"):
        raise not_built("compute.instances with guestAccelerators")
    if body.get("confidentialInstanceConfig", {}).get("enableConfidentialCompute"):
        raise not_built("compute.instances with confidentialInstanceConfig")
    if body.get("advancedMachineFeatures", {}).get("enableNestedVirtualization"):
        raise not_built("compute.instances with nested virtualization")
    if body.get("networkPerformanceConfig", {}).get("totalEgressBandwidthTier") == "TIER_1":
        raise not_built("compute.instances with totalEgressBandwidthTier=TIER_1")


def labels_of(body: Mapping[str, str]) -> Json:
    """Return labels as fields of an instance."""
    return ({"labels": dict(body)} if body else {}) | {"labelFingerprint": fingerprint(body)}
