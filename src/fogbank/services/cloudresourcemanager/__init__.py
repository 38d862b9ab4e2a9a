"""Resource Manager (``cloudresourcemanager.googleapis.com``): projects, who may do what in them, and tags.

Folders, organisations and liens are not built: a project is the top of the world here.
"""

from fogbank.services.access import iam_methods
from fogbank.services.cloudresourcemanager import projects, projects_v3
from fogbank.services.cloudresourcemanager.creation import new_project
from fogbank.services.cloudresourcemanager.tags import METHODS as TAG_METHODS
from fogbank.services.contract import NO_PERMISSION, List, Read, Service, Write

__all__ = ["SERVICE", "new_project"]

SERVICE = Service(
    name="cloudresourcemanager",
    title="Cloud Resource Manager API",
    versions=("v1", "v3"),
    methods={
        "v1.projects.create": Write(projects.create, "resourcemanager.projects.create"),
        "v1.projects.get": Read(projects.get, "resourcemanager.projects.get"),
        # Lists show what the caller may get, and refuse nobody.
        "v1.projects.list": List(projects.list_, "projects", filtered=True, permission=NO_PERMISSION),
        "v1.projects.update": Write(projects.update, "resourcemanager.projects.update"),
        "v1.projects.delete": Write(projects.delete, "resourcemanager.projects.delete"),
        "v1.projects.undelete": Write(projects.undelete, "resourcemanager.projects.undelete"),
        "v1.projects.getAncestry": Read(projects.get_ancestry, "resourcemanager.projects.get"),
        "v3.projects.create": Write(projects_v3.create, "resourcemanager.projects.create"),
        "v3.projects.get": Read(projects_v3.get, "resourcemanager.projects.get"),
        "v3.projects.list": List(projects_v3.list_, "projects", permission=NO_PERMISSION),
        "v3.projects.search": List(projects_v3.search, "projects", permission=NO_PERMISSION),
        "v3.projects.patch": Write(projects_v3.patch, "resourcemanager.projects.update"),
        "v3.projects.delete": Write(projects_v3.delete, "resourcemanager.projects.delete"),
        "v3.projects.undelete": Write(projects_v3.undelete, "resourcemanager.projects.undelete"),
        **iam_methods("projects.", projects.guarded, "resourcemanager.projects"),
        **TAG_METHODS,
    },
    permissions=(
        "resourcemanager.hierarchyNodes.createTagBinding",
        "resourcemanager.hierarchyNodes.deleteTagBinding",
        "resourcemanager.hierarchyNodes.listEffectiveTags",
        "resourcemanager.hierarchyNodes.listTagBindings",
        "resourcemanager.projects.list",
        "resourcemanager.tagValueBindings.create",
        "resourcemanager.tagValues.create",
        "resourcemanager.tagValues.list",
    ),
)
