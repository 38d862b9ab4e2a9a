"""Cloud SQL instances: made, changed, restarted and deleted.

An instance is RUNNABLE, and its operation done, when its PostgreSQL answers with the settings asked for: the
controller says so (behaviour/cloud-sql.md#instances).
"""

from collections.abc import Iterable
from dataclasses import replace

from fogbank.errors import ApiError, not_built
from fogbank.resources.names import ResourceName
from fogbank.resources.network_users import network_use
from fogbank.resources.operations import rfc3339
from fogbank.resources.private_services import PEERING, NoAllocatedRange, free_allocated_range
from fogbank.resources.projects import project_id, project_number
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.contract import Call, Decision
from fogbank.services.sqladmin.flags import listed_flags
from fogbank.services.sqladmin.model import (
    DATABASES,
    INSTANCES,
    TIERS,
    USERS,
    instance_name,
    server_address,
)
from fogbank.services.sqladmin.operations import end, link, opened
from fogbank.services.sqladmin.validation import VERSIONS, check_identity, complete_settings, invalid
from fogbank.services.sqladmin.work import IN_CHANGE, with_work

DEFAULT_DATABASE, DEFAULT_USER = "postgres", "postgres"
PREFIX_LENGTH = 29


def insert(world: World, call: Call) -> Decision:
    """Make an instance."""
    project = project_id(world, call["project"])
    identifier, region, version = check_identity(call.body)
    name = instance_name(project, identifier)
    if world.find(name) is not None:
        raise ApiError(
            409, "The Cloud SQL instance already exists.", "ALREADY_EXISTS", "instanceAlreadyExists"
        )
    settings = complete_settings(world, call, call.body.get("settings") or {}, project, region)
    network = ResourceName("compute.networks", settings["ipConfiguration"]["privateNetwork"])
    try:
        within = free_allocated_range(
            world, network, str(settings["ipConfiguration"].get("allocatedIpRange") or ""), PREFIX_LENGTH
        )
    except NoAllocatedRange as error:
        raise _no_services(error, project, identifier) from error
    operation = opened(call, "CREATE", name)
    number = project_number(world, project)
    body = {
        "kind": "sql#instance",
        "name": identifier,
        "project": project,
        "region": region,
        "gceZone": settings["locationPreference"]["zone"],
        "databaseVersion": version,
        "instanceType": "CLOUD_SQL_INSTANCE",
        "backendType": "SECOND_GEN",
        "connectionName": f"{project}:{region}:{identifier}",
        "serviceAccountEmailAddress": _account(number, call.new_id()),
        "selfLink": link(name),
        "settings": settings | {"settingsVersion": "1"},
        "ipAddresses": [{"type": "PRIVATE", "ipAddress": str(server_address(within))}],
        "createTime": rfc3339(call.now),
        "etag": f"{call.new_id():x}",
        "state": "PENDING_CREATE",
    }
    password = str(call.body.get("rootPassword") or "")
    work = [{"do": "set up", "password": password, "operation": operation.name.path}]
    if settings["activationPolicy"] == "NEVER":  # its server is told the password, and stops then
        work.append({"do": "configure", "operation": operation.name.path})
    private = {**network_use(network, within, None), "peering": PEERING, "work": work}
    made = Resource(name, call.new_id(), call.now, body, private)
    return Decision((Put(made), *_defaults(made, call), Put(operation)), answer=operation.body)


def _account(number: str, chance: int) -> str:
    return f"p{number}-{chance % 10**6:06}@gcp-sa-cloud-sql.iam.gserviceaccount.com"


def _no_services(error: NoAllocatedRange, project: str, identifier: str) -> ApiError:
    if error.connected:
        return invalid(
            "Failed to create subnetwork. Couldn't find free blocks in allocated IP ranges. Please allocate "
            "new ranges for this service provider."
        )
    return invalid(
        "Invalid request: Incorrect Service Networking config for instance: "
        f"{project}:{identifier}:SERVICE_NETWORKING_NOT_ENABLED."
    )


def _defaults(instance: Resource, call: Call) -> Iterable[Change]:
    """Make the database and the user that every PostgreSQL instance begins with."""
    yield Put(database(instance, DEFAULT_DATABASE, call))
    yield Put(user(instance, DEFAULT_USER, call))


def user(instance: Resource, identifier: str, call: Call) -> Resource:
    """Make a user of an instance."""
    name = ResourceName(USERS, f"{instance.name.path}/users/{identifier}")
    body = {
        "kind": "sql#user",
        "name": identifier,
        "instance": instance.name.id,
        "project": instance.name.project,
        "host": "",
    }
    return Resource(name, call.new_id(), call.now, body)


def database(instance: Resource, identifier: str, call: Call) -> Resource:
    """Make a database of an instance."""
    name = ResourceName(DATABASES, f"{instance.name.path}/databases/{identifier}")
    body = {
        "kind": "sql#database",
        "name": identifier,
        "charset": "UTF8",
        "collation": "C.UTF-8",
        "instance": instance.name.id,
        "project": instance.name.project,
        "selfLink": link(name),
        "etag": f"{call.new_id():x}",
    }
    return Resource(name, call.new_id(), call.now, body)


def find(world: World, call: Call) -> Resource:
    """Find the instance that a path names; Google's 404 otherwise."""
    found = world.find(instance_name(project_id(world, call["project"]), call["instance"]))
    if found is None or found.private.get("deleting"):
        raise ApiError(404, "The Cloud SQL instance does not exist.", "NOT_FOUND", "instanceDoesNotExist")
    return found


def get(world: World, call: Call) -> Json:
    """Show an instance."""
    return find(world, call).body


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the instances of a project."""
    under = f"projects/{project_id(world, call['project'])}/instances/"
    return [each.body for each in world.all(INSTANCES, under) if not each.private.get("deleting")]


def patch(world: World, call: Call) -> Decision:
    """Change the settings that the body has."""
    found = find(world, call)
    given = call.body.get("settings") or {}
    merged = {**found.body["settings"], **given}
    if "ipConfiguration" in given:
        merged["ipConfiguration"] = found.body["settings"]["ipConfiguration"] | given["ipConfiguration"]
    return _changed(world, call, found, merged)


def update(world: World, call: Call) -> Decision:
    """Replace the settings."""
    found = find(world, call)
    return _changed(world, call, found, call.body.get("settings") or {})


def _changed(world: World, call: Call, found: Resource, asked: Json) -> Decision:
    check_settled(found)
    version = call.body.get("databaseVersion")
    if version and version != found.body["databaseVersion"]:
        raise not_built("sqladmin upgrades of databaseVersion")
    expected = (call.body.get("settings") or {}).get("settingsVersion")
    current = int(found.body["settings"]["settingsVersion"])
    if expected and int(expected) != current:
        raise ApiError(412, "Condition does not match.", "FAILED_PRECONDITION", "staleData")
    settings = complete_settings(world, call, asked, found.name.project, found.body["region"])
    network = settings["ipConfiguration"]["privateNetwork"]
    if network != found.private["network"]:
        raise not_built("moving a Cloud SQL instance to another network")
    if int(settings["dataDiskSizeGb"]) < int(found.body["settings"]["dataDiskSizeGb"]):
        raise invalid("Invalid request: Disk shrink is not supported.")
    operation = opened(call, "UPDATE", found.name)
    settings["settingsVersion"] = str(current + 1)
    changed = found.with_body(settings=settings, state="MAINTENANCE", etag=f"{call.new_id():x}")
    return _with_work(changed, operation, {"do": "configure"})


def restart(world: World, call: Call) -> Decision:
    """End the server and start it again."""
    found = find(world, call)
    check_settled(found)
    if found.body["settings"]["activationPolicy"] == "NEVER":
        raise invalid("The instance is stopped; set its activation policy to ALWAYS.")
    operation = opened(call, "RESTART", found.name)
    restarts = int(found.private.get("restarts", 0)) + 1
    again = replace(found.with_body(state="MAINTENANCE"), private=found.private | {"restarts": restarts})
    return _with_work(again, operation, {"do": "configure"})


def delete(world: World, call: Call) -> Decision:
    """Take an instance away, with its data."""
    found = find(world, call)
    if found.body["settings"]["deletionProtectionEnabled"]:
        raise invalid(
            "The instance is protected. Please disable the deletion protection and try again. To disable "
            "deletion protection, update the instance settings with deletionProtectionEnabled set to false."
        )
    operation = opened(call, "DELETE", found.name)
    private = found.private | {"deleting": operation.name.path, "work": []}
    pending = [each["operation"] for each in found.private.get("work", ()) if "operation" in each]
    given_up = [
        change
        for path in pending
        for change in end(world, path, rfc3339(call.now), "The instance was deleted.")
    ]
    gone = [
        Delete(each.name) for kind in (DATABASES, USERS) for each in world.all(kind, f"{found.name.path}/")
    ]
    changed = Put(replace(found.with_body(state="PENDING_DELETE"), private=private))
    return Decision((changed, *gone, *given_up, Put(operation)), answer=operation.body)


def check_settled(found: Resource) -> None:
    """Refuse a change while another runs."""
    if found.body["state"] in IN_CHANGE:
        raise ApiError(
            409,
            "Operation failed because another operation was already in progress. Try your request after the "
            "current operation is complete.",
            "ABORTED",
            "operationInProgress",
        )


def _with_work(instance: Resource, operation: Resource, work: Json) -> Decision:
    return Decision((Put(with_work(instance, operation, work)), Put(operation)), answer=operation.body)


def connect_settings(world: World, call: Call) -> Json:
    """Tell clients where an instance is and which authority it has."""
    found = find(world, call).body
    shown = ("ipAddresses", "region", "databaseVersion", "backendType", "serverCaCert")
    ca_mode = {"serverCaMode": found["settings"]["ipConfiguration"]["serverCaMode"]}
    return {"kind": "sql#connectSettings", **{key: found[key] for key in shown if key in found}, **ca_mode}


def tiers(_world: World, _call: Call) -> Iterable[Json]:
    """List the tiers."""
    for tier, (memory, _) in TIERS.items():
        yield {
            "kind": "sql#tier",
            "tier": tier,
            "RAM": str(memory * 1024**2),
            "DiskQuota": str(65536 * 1024**3),
        }


def flags(_world: World, _call: Call) -> Iterable[Json]:
    """List the flags that are passed on."""
    return listed_flags(VERSIONS)
