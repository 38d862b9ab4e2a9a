"""Resource Manager (``cloudresourcemanager.googleapis.com``): projects and who may do what in them.

Folders, organisations, tags and liens are not built: a project is the top of the world here.
"""

from dataclasses import replace

from fogbank.services.access import iam_methods
from fogbank.services.cloudresourcemanager import projects, projects_v3
from fogbank.services.cloudresourcemanager.creation import Furnish, new_project
from fogbank.services.contract import List, Read, Service, Write

__all__ = ["SERVICE", "furnishing", "new_project"]

SERVICE = Service(
    name="cloudresourcemanager",
    methods={
        "v1.projects.get": Read(projects.get),
        "v1.projects.list": List(projects.list_, "projects", filtered=True),
        "v1.projects.update": Write(projects.update),
        "v1.projects.delete": Write(projects.delete),
        "v1.projects.undelete": Write(projects.undelete),
        "v1.projects.getAncestry": Read(projects.get_ancestry),
        "v3.projects.get": Read(projects_v3.get),
        "v3.projects.list": List(projects_v3.list_, "projects"),
        "v3.projects.search": List(projects_v3.search, "projects"),
        "v3.projects.patch": Write(projects_v3.patch),
        "v3.projects.delete": Write(projects_v3.delete),
        "v3.projects.undelete": Write(projects_v3.undelete),
        **iam_methods("projects.", projects.guarded),
    },
)
"""Everything but the creation of projects, which needs :func:`with_default_network`."""


def with_default_network(provision_default_network: Furnish) -> Service:
    """Return the service with the methods that create projects.

    ``provision_default_network`` makes the default network of a new one.
    """
    create = {
        "v1.projects.create": projects.creator(provision_default_network),
        "v3.projects.create": projects_v3.creator(provision_default_network),
    }
    return replace(SERVICE, methods={**SERVICE.methods, **create})
