"""Whether a caller may call a method: its permission, asked on the resource that the path names.

It is asked before anything is revealed or changed, so a stranger hears the same of what exists and of what
does not: the refusal speaks of the path as the caller wrote it.
"""

import re
from dataclasses import dataclass

from fogbank.discovery.routes import Match
from fogbank.errors import ApiError
from fogbank.frontend.api.lists import list_path
from fogbank.resources.authorization import Access, denied
from fogbank.resources.names import ResourceName
from fogbank.resources.policies import is_service_account
from fogbank.resources.projects import account_policy_name, find_account
from fogbank.resources.tags import is_tag, tag_policies
from fogbank.resources.world import Json, World
from fogbank.services.contract import NO_PERMISSION

CREATE_PROJECT = "resourcemanager.projects.create"

_VERSION = re.compile(r"^v\d\w*/")
_NO_PROJECTS = frozenset({"", "-", "_"})
_WHOLE_NAMES = ("resource", "name", "parent")


@dataclass(frozen=True, slots=True)
class Target:
    """What a call is about: a project, and the names of the policies that may stand beside its resource."""

    project: str
    guarded: tuple[ResourceName, ...] = ()


def resource_of(match: Match) -> str:
    """Return the path of what a call is about, or of what contains it: ``projects/p/locations/l``."""
    for key in _WHOLE_NAMES:
        value = match.parameters.get(key, "")
        if "/" in value:
            return value
    return list_path(match)


def check_path(match: Match) -> None:
    """Refuse a path that names two projects: with escaped slashes, services would read the second one."""
    for value in match.parameters.values():
        if "/projects/" in value or "/namespaces/" in value:
            raise ApiError(400, f"Invalid resource name: '{value}'.", "INVALID_ARGUMENT", "badRequest")


def target_of(world: World, match: Match, project: str, path: str) -> Target:
    """Find the policies that count for a call about the resource at ``path`` in ``project``.

    A service account may be called by its number, and under the project ``-``.
    """
    api = match.method.api
    if api == "iam" and "/serviceAccounts/" in path:
        reference = path.split("/serviceAccounts/", 1)[1].partition("/")[0]
        under = "" if path.startswith("projects/-/") else f"projects/{project}/"
        account = find_account(world, reference, under)
        return Target(project) if account is None else account_target(account.name)
    if api == "cloudresourcemanager" and is_tag(path):
        return Target(project, tag_policies(world, path))
    collection, parts = f"{api}.policies", path.split("/")
    if parts[0] == "namespaces":
        parts = ["projects", project, "locations", match.region or "", *parts[2:]]
    names = ("/".join(parts[:count]) for count in range(4, len(parts) + 1))
    return Target(project, tuple(ResourceName(collection, name) for name in names))


def account_target(account: ResourceName) -> Target:
    """Return the policies that count for a service account."""
    return Target(account.project, (account_policy_name(account),))


class Authorization:
    """Asks ``access`` about methods; ``operator`` is the region's own account, None where everybody is."""

    def __init__(self, access: Access, operator: str | None) -> None:
        self._access, self._operator = access, operator

    def makes_projects(self, principal: str) -> bool:
        """Return whether a project comes to be when ``principal`` first uses it."""
        return self._operator is None or self._operator == principal

    def check(
        self, world: World, principal: str, permission: str, match: Match, *, project: str, body: Json
    ) -> None:
        """Refuse unless ``principal`` may call the method (403, in the API's own words).

        ``project`` is the id of the one that the call is about. No organisation stands above projects, so
        people may create some and service accounts may not (Resource Manager's documentation, "Creating and
        managing projects"); the region's own may.
        """
        if permission == NO_PERMISSION:
            return
        if permission == CREATE_PROJECT:
            if self.makes_projects(principal) or not is_service_account(principal):
                return
        else:
            if project in _NO_PROJECTS:
                project = ""
            elif self._access.allows_everywhere(world, principal, permission, project):
                return  # the usual case; policies beside the resource and conditions could only give more
            target = target_of(world, match, project, _shown(match, permission, body))
            if self._access.allows(world, principal, permission, target.project, *target.guarded):
                return
        raise denied(permission, _shown(match, permission, body), service=match.method.api)


def _shown(match: Match, permission: str, body: Json) -> str:
    """Name the resource in a refusal: of what compute is to create, too, which only the body names."""
    path, name = resource_of(match), body.get("name")
    if match.method.api == "compute" and permission.endswith(".create") and name:
        return f"{path}/{name}"
    verb = match.method.path.rpartition("}")[2]
    return _VERSION.sub("", path.removesuffix(verb) if verb.startswith(":") else path)
