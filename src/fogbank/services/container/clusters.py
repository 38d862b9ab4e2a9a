"""Clusters: made, shown and deleted. One is RUNNING when its control plane answers: the controller says so.

See behaviour/kubernetes-engine.md#clusters.
"""

import re
from dataclasses import replace

from fogbank.errors import ApiError
from fogbank.resources.clusters import CLUSTERS
from fogbank.resources.external_addresses import free_external
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.places import REGIONS
from fogbank.resources.world import Json, Put, Resource, World
from fogbank.services.container.operations import ended, is_zone, link, opened
from fogbank.services.container.requests import (
    Placement,
    checked_pools,
    place,
    refuse_unbuilt,
    services_range,
)
from fogbank.services.container.server_config import CHANNELS, VERSION, check_location, check_version
from fogbank.services.contract import Call, Decision
from fogbank.services.labels import check_labels
from fogbank.services.segments import location_of, project_of, segments

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")


def bad(message: str) -> ApiError:
    """Refuse what a request says."""
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest")


def create(world: World, call: Call) -> Decision:
    """Make a cluster; its operation ends when its control plane answers."""
    asked: Json = call.body.get("cluster") or {}
    project, location = project_of(world, call), location_of(call)
    region = check_location(location)
    name = named(project, location, str(asked.get("name", "")))
    if not _NAME.fullmatch(name.id):
        raise bad(f'Invalid value for field "cluster.name": "{name.id}".')
    if world.find(name) is not None:
        raise ApiError(409, f"Already exists: {name.path}.", "ALREADY_EXISTS", "alreadyExists")
    refuse_unbuilt(asked)
    check_version(str(asked.get("initialClusterVersion", "")))
    check_labels(asked.get("resourceLabels") or {})
    endpoint = free_external(world)
    if endpoint is None:
        raise ApiError(403, "The region has no free external address.", "RESOURCE_EXHAUSTED", "quotaExceeded")
    operation = opened(world, call, "CREATE_CLUSTER", name)
    zones = [location] if is_zone(location) else list(REGIONS[region].zones[:3])
    shown = {
        "name": name.id,
        "id": f"{call.new_id():016x}{call.new_id():016x}{call.new_id():016x}{call.new_id():016x}",
        "location": location,
        "zone": location,
        "locations": zones,
        "createTime": rfc3339(call.now),
        "selfLink": link(world, name),
        "status": "PROVISIONING",
    }
    body = _configuration(asked, place(world, project, region, asked), shown) | shown
    private = {"endpoint": str(endpoint), "operation": operation.name.path}
    made = Resource(name, call.new_id(), call.now, body, private)
    return Decision((Put(made), Put(operation)), answer=operation.body)


def _configuration(asked: Json, placement: Placement, shown: Json) -> Json:
    """Complete what was asked for; ``shown`` is the rest of the cluster."""
    channel = (asked.get("releaseChannel") or {}).get("channel") or "REGULAR"
    if channel not in {*CHANNELS, "UNSPECIFIED"}:
        raise bad(f'Invalid release channel "{channel}".')
    labels = dict(asked.get("resourceLabels") or {})
    policy: Json = asked.get("ipAllocationPolicy") or {}
    services = services_range(placement, policy)
    pods = placement.secondary(str(policy.get("clusterSecondaryRangeName", "")))
    shown_policy = {
        "useIpAliases": True,
        "stackType": "IPV4",
        "servicesIpv4Cidr": str(services),
        "servicesIpv4CidrBlock": str(services),
        **{
            k: policy[k] for k in ("clusterSecondaryRangeName", "servicesSecondaryRangeName") if policy.get(k)
        },
        **({"clusterIpv4Cidr": pods, "clusterIpv4CidrBlock": pods} if pods else {}),
    }
    return {
        **({"description": asked["description"]} if asked.get("description") else {}),
        "network": placement.network.id,
        "subnetwork": placement.subnetwork.name.id,
        "networkConfig": {
            "network": placement.network.path,
            "subnetwork": placement.subnetwork.name.path,
        },
        "ipAllocationPolicy": shown_policy,
        **({"clusterIpv4Cidr": pods} if pods else {}),
        "servicesIpv4Cidr": str(services),
        "nodePools": checked_pools(asked, str(shown["selfLink"]), list(shown["locations"])),
        "loggingService": "none",
        "monitoringService": "none",
        "releaseChannel": {"channel": channel},
        "initialClusterVersion": VERSION,
        "currentMasterVersion": VERSION,
        "currentNodeVersion": VERSION,
        "resourceLabels": labels,
        "labelFingerprint": fingerprint(labels),
    }


def named(project: str, location: str, identifier: str) -> ResourceName:
    """Name a cluster."""
    return ResourceName(CLUSTERS, f"projects/{project}/locations/{location}/clusters/{identifier}")


def find(world: World, call: Call) -> Resource:
    """Find the cluster that the call's path names; Google's 404 otherwise."""
    project, identifier = project_of(world, call), segments(call)["clusters"]
    name = named(project, location_of(call), identifier)
    found = world.find(name)
    if found is None:
        message = f"Not found: {name.path}.\nNo cluster named '{identifier}' in {project}."
        raise ApiError(404, message, "NOT_FOUND", "notFound")
    return found


def get(world: World, call: Call) -> Json:
    """Show a cluster."""
    return find(world, call).body


def list_(world: World, call: Call) -> Json:
    """List the clusters of a location, ``-`` being all; they come in one answer."""
    location = location_of(call)
    under = f"projects/{project_of(world, call)}/locations/"
    if location != "-":
        check_location(location)
        under += f"{location}/"
    return {"clusters": [each.body for each in world.all(CLUSTERS, under)]}


def delete(world: World, call: Call) -> Decision:
    """Take a cluster away; its operation ends when its control plane is gone."""
    found = find(world, call)
    _check_idle(found)
    operation = opened(world, call, "DELETE_CLUSTER", found.name)
    private = found.private | {"deleting": operation.name.path}
    changed = replace(found.with_body(status="STOPPING"), private=private)
    return Decision((Put(changed), Put(operation)), answer=operation.body)


def set_labels(world: World, call: Call) -> Decision:
    """Replace a cluster's labels, unless somebody has changed them meanwhile."""
    found = find(world, call)
    _check_idle(found)
    labels = dict(call.body.get("resourceLabels") or {})
    check_labels(labels)
    if call.body.get("labelFingerprint") != found.body["labelFingerprint"]:
        raise ApiError(
            412,
            "Labels could not be set due to fingerprint mismatch.",
            "FAILED_PRECONDITION",
            "conditionNotMet",
        )
    operation = opened(world, call, "SET_LABELS", found.name)
    operation = ended(operation, rfc3339(call.now))
    changed = found.with_body(resourceLabels=labels, labelFingerprint=fingerprint(labels))
    return Decision((Put(changed), Put(operation)), answer=operation.body)


def _check_idle(cluster: Resource) -> None:
    running = cluster.private.get("deleting") or cluster.private.get("operation")
    if running:
        identifier = str(running).rpartition("/")[2]
        raise ApiError(
            400,
            f"Cluster is running incompatible operation {identifier}.",
            "FAILED_PRECONDITION",
            "failedPrecondition",
        )
