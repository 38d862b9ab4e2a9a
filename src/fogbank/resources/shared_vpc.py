"""Shared VPC: host projects, and the service projects that use the subnetworks of one.

A service project has one host at most, and a host is no service project (behaviour/vpc.md#shared-vpc).
"""

from collections.abc import Iterator

from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource, World

HOSTS = "compute.xpnHosts"
ATTACHED = "compute.xpnResources"


def host_name(project: str) -> ResourceName:
    """Name what makes a project a host."""
    return ResourceName(HOSTS, f"projects/{project}/xpnHost")


def attached_name(host: str, project: str) -> ResourceName:
    """Name what makes a project a service project of ``host``."""
    return ResourceName(ATTACHED, f"projects/{host}/xpnResources/{project}")


def is_host(world: World, project: str) -> bool:
    """Return whether a project is a host."""
    return world.find(host_name(project)) is not None


def host_of(world: World, project: str) -> str | None:
    """Return the host of a service project; None for other projects."""
    found = next(iter(world.by(_BY_SERVICE, project)), None)
    return found.name.project if found else None


def service_projects(world: World, host: str) -> Iterator[str]:
    """List the service projects of a host."""
    return (each.name.id for each in world.all(ATTACHED, f"projects/{host}/"))


def may_share(world: World, owner: str, user: str) -> bool:
    """Return whether a project may refer to subnetworks of another: its host's, or its own."""
    return owner == user or host_of(world, user) == owner


def _service(attached: Resource) -> tuple[str, ...]:
    return (attached.name.id,)


_BY_SERVICE: Index[Resource] = Index(ATTACHED, _service)
