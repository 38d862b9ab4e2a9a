"""Methods of Shared VPC: which projects are hosts, and which service projects use their subnetworks.

Nothing in the network changes by it: it says who may put machines into which subnetworks
(behaviour/vpc.md#shared-vpc).
"""

from collections.abc import Iterable, Iterator

from fogbank.errors import invalid_value, not_found
from fogbank.resources.compute_indexes import in_network
from fogbank.resources.instances import INSTANCES, interfaces_of
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import project_id, project_name
from fogbank.resources.shared_vpc import (
    HOSTS,
    attached_name,
    host_name,
    host_of,
    is_host,
    service_projects,
)
from fogbank.resources.world import Delete, Json, Put, Resource, World
from fogbank.services.compute.bodies import bad_request
from fogbank.services.compute.decisions import committed, in_use
from fogbank.services.compute.names import project_of
from fogbank.services.compute.projects import shown_project
from fogbank.services.contract import Call, Decision, List, Method, Read, Write

_FIELD = "projectsEnableXpnResourceRequest.xpnResource"


def enable_host(world: World, call: Call) -> Decision:
    """Make a project a host; one that is has nothing to become."""
    project = project_of(world, call)
    host = host_of(world, project)
    if host is not None:
        raise bad_request(
            f"Project '{project}' cannot be enabled as a Shared VPC host: it is a service project of "
            f"'{host}'."
        )
    made = Resource(host_name(project), call.new_id(), call.now, {})
    changes = () if is_host(world, project) else (Put(made),)
    return committed(call, "enableXpnHost", _target(world, project), changes, done=True)


def disable_host(world: World, call: Call) -> Decision:
    """Make a host an ordinary project again; it must have no service projects."""
    project = project_of(world, call)
    _check_host(world, project)
    attached = next(service_projects(world, project), None)
    if attached is not None:
        return in_use(call, "disableXpnHost", _target(world, project), "project", project_name(attached))
    changes = (Delete(host_name(project)),)
    return committed(call, "disableXpnHost", _target(world, project), changes, done=True)


def enable_resource(world: World, call: Call) -> Decision:
    """Attach a service project to a host."""
    project, service = project_of(world, call), _service_of(world, call)
    _check_host(world, project)
    other = host_of(world, service)
    if other not in {None, project}:
        raise bad_request(f"Project '{service}' is already attached to the Shared VPC host '{other}'.")
    if is_host(world, service):
        raise bad_request(f"Project '{service}' cannot be attached: it is a Shared VPC host itself.")
    made = Resource(attached_name(project, service), call.new_id(), call.now, {})
    changes = () if other else (Put(made),)
    return committed(call, "enableXpnResource", _target(world, project), changes, done=True)


def disable_resource(world: World, call: Call) -> Decision:
    """Detach a service project that has nothing left in the host's networks."""
    project, service = project_of(world, call), _service_of(world, call)
    if host_of(world, service) != project:
        raise bad_request(f"Project '{service}' is not attached to the Shared VPC host '{project}'.")
    user = next(_users(world, project, service), None)
    if user is not None:
        return in_use(call, "disableXpnResource", _target(world, project), "project", user)
    changes = (Delete(attached_name(project, service)),)
    return committed(call, "disableXpnResource", _target(world, project), changes, done=True)


def get_host(world: World, call: Call) -> Json:
    """Show the host of a service project; nothing of a project without one."""
    host = host_of(world, project_of(world, call))
    return shown_project(world, host) if host else {}


def list_resources(world: World, call: Call) -> Iterable[Json]:
    """List the service projects of a host."""
    found = service_projects(world, project_of(world, call))
    return [{"id": each, "type": "PROJECT"} for each in found]


def list_hosts(world: World, call: Call) -> Iterable[Json]:
    """List the hosts; all projects are of one organization here."""
    del call
    return [shown_project(world, each.name.project) for each in world.all(HOSTS, "projects/")]


def _check_host(world: World, project: str) -> None:
    if not is_host(world, project):
        raise bad_request(f"Project '{project}' is not a Shared VPC host project.")


def _service_of(world: World, call: Call) -> str:
    resource = call.body.get("xpnResource") or {}
    if resource.get("type", "PROJECT") != "PROJECT":
        raise invalid_value(f"{_FIELD}.type", resource["type"], "It must be PROJECT.")
    project = project_id(world, str(resource.get("id") or ""))
    if world.find(project_name(project)) is None:
        raise not_found(f"projects/{project}")
    return project


def _target(world: World, project: str) -> Resource:
    found = world.get(project_name(project))
    return Resource(ResourceName("compute.projects", found.name.path), found.id, found.created, {})


def _users(world: World, host: str, service: str) -> Iterator[ResourceName]:
    """Name what a service project has in its host's networks: machines, and reserved addresses."""
    for instance in world.all(INSTANCES, f"projects/{service}/"):
        if any(each.network.project == host for each in interfaces_of(instance)):
            yield instance.name
    for network in world.all("compute.networks", f"projects/{host}/"):
        within = {each.name.self_link for each in in_network(world, "subnetworks", network.name)}
        for address in world.all("compute.addresses", f"projects/{service}/"):
            if address.body.get("subnetwork") in within:
                yield address.name


METHODS: dict[str, Method] = {
    "projects.enableXpnHost": Write(enable_host, "compute.organizations.enableXpnHost"),
    "projects.disableXpnHost": Write(disable_host, "compute.organizations.disableXpnHost"),
    "projects.enableXpnResource": Write(enable_resource, "compute.organizations.enableXpnResource"),
    "projects.disableXpnResource": Write(disable_resource, "compute.organizations.disableXpnResource"),
    "projects.getXpnHost": Read(get_host, "compute.projects.get"),
    "projects.getXpnResources": List(list_resources, "resources", permission="compute.projects.get"),
    "projects.listXpnHosts": List(list_hosts, permission="compute.projects.get"),
}
