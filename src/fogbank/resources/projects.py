"""Projects: an id that people choose, a number that Google does, and the accounts every project has.

A number follows from the id, so a region that is made anew gives the same one, unless whoever makes the
project chooses it.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from hashlib import blake2b, sha256

from fogbank.errors import ApiError
from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource, World

PROJECTS = "cloudresourcemanager.projects"
POLICIES = "resourcemanager.policies"
SERVICE_ACCOUNTS = "iam.serviceAccounts"
ACCOUNT_KEYS = "iam.keys"
ACCOUNT_POLICIES = "iam.policies"
CUSTOM_ROLES = "iam.roles"

OPERATOR_ID = "fogbank"
"""What stands before the @ in the address of the region's own account, which is no resource."""

_FIRST_NUMBER = 10**11
_NUMBERS = 9 * 10**11
_USABLE = re.compile(r"[a-z][-a-z0-9]{1,28}[a-z0-9]")
_GOOGLES_OWN = frozenset(
    {
        "bigquery-encryption",
        "cloud-redis",
        "compute-system",
        "container-engine-robot",
        "debian-cloud",
        "serverless-robot-prod",
        "service-networking",
        "ubuntu-os-cloud",
    }
)


def is_usable_id(project: str) -> bool:
    """Return whether a project with this id may come to be on first use.

    It is looser than what Google creates (six characters and more), because ids such as ``demo`` are handy.
    """
    return _USABLE.fullmatch(project) is not None and not is_googles_own(project)


def is_googles_own(project: str) -> bool:
    """Return whether a project is one of those of Google's agents, or of its public images.

    Nobody else may have it: its owner could make accounts with the addresses of agents, to which the policies
    of all other projects give roles (IAM's documentation, "Service agents").
    """
    return project in _GOOGLES_OWN or project.startswith("gcp-sa-")


def project_name(project: str) -> ResourceName:
    """Name a project by its id."""
    return ResourceName(PROJECTS, f"projects/{project}")


def usual_number(project: str) -> str:
    """Compute the twelve-digit number that a project with this id gets when nobody chooses another."""
    digest = blake2b(project.encode(), digest_size=8).digest()
    return str(_FIRST_NUMBER + int.from_bytes(digest, "big") % _NUMBERS)


def project_number(world: World, project: str) -> str:
    """Return the number of the project with this id."""
    found = world.find(project_name(project))
    return str(found.body["projectNumber"]) if found else usual_number(project)


def project_id(world: World, reference: str) -> str:
    """Return the id of a project that is called by its id or by its number; an unknown number stays."""
    if not reference.isdigit():
        return reference
    project = next(world.by(_BY_NUMBER, reference), None)
    return reference if project is None else project.name.id


def _number_of(project: Resource) -> tuple[str]:
    return (str(project.body["projectNumber"]),)


_BY_NUMBER = Index(PROJECTS, _number_of)


def check_active(world: World, project: str) -> None:
    """Refuse a call for a project that waits for its deletion (Google's words, unverified)."""
    found = world.find(project_name(project))
    if found is not None and found.body["lifecycleState"] != "ACTIVE":
        raise unusable_project(
            f"Project '{project}' has been scheduled for deletion and cannot be used for API calls. Visit "
            "https://console.developers.google.com/iam-admin/projects?pendingDeletion=true to undelete the "
            "project.",
            found.body["projectNumber"],
        )


def unusable_project(message: str, project: str) -> ApiError:
    """Refuse a call because of its project, which is given by id or number."""
    detail = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "CONSUMER_INVALID",
        "domain": "googleapis.com",
        "metadata": {"consumer": f"projects/{project}"},
    }
    return ApiError(403, message, "PERMISSION_DENIED", "forbidden", (detail,))


def policy_name(project: str) -> ResourceName:
    """Name a project's IAM policy."""
    return ResourceName(POLICIES, f"projects/{project}")


def custom_role_name(path: str) -> ResourceName:
    """Name a project's own role by its path: ``projects/p/roles/deployer``."""
    return ResourceName(CUSTOM_ROLES, path)


def account_policy_name(account: ResourceName) -> ResourceName:
    """Name the IAM policy of a service account."""
    return ResourceName(ACCOUNT_POLICIES, account.path)


def compute_account(number: str) -> str:
    """Return the address of the account that workloads of the project with ``number`` run as by default."""
    return f"{number}-compute@developer.gserviceaccount.com"


def service_agent(number: str) -> str:
    """Return the address of Cloud Run's service agent in the project with ``number``."""
    return f"service-{number}@serverless-robot-prod.iam.gserviceaccount.com"


def unique_id(email: str) -> str:
    """Return the number of an account that nobody created: twenty-one digits made from its address."""
    return str(10**20 + int.from_bytes(sha256(email.encode()).digest()[:7], "big"))


def _references_of(account: Resource) -> tuple[str, str]:
    return (account.body["email"], account.body["uniqueId"])


_BY_REFERENCE = Index(SERVICE_ACCOUNTS, _references_of)


def find_account(world: World, reference: str, under: str = "") -> Resource | None:
    """Find a service account by its address or its unique id, if its path starts with ``under``."""
    found = (each for each in world.by(_BY_REFERENCE, reference) if each.name.path.startswith(under))
    return next(found, None)


def _holder_of(key: Resource) -> tuple[str]:
    return (key.name.segment("serviceAccounts") or "",)


_BY_HOLDER = Index(ACCOUNT_KEYS, _holder_of)


def keys_of_account(world: World, email: str) -> Iterator[Resource]:
    """List the keys of the service account with the address ``email``."""
    return world.by(_BY_HOLDER, email)


def service_account_name(project: str, email: str) -> ResourceName:
    """Name a service account."""
    return ResourceName(SERVICE_ACCOUNTS, f"projects/{project}/serviceAccounts/{email}")


def service_account(
    project: str, email: str, display_name: str, now: datetime, new_id: Callable[[], int]
) -> Resource:
    """Make a service account of ``project``."""
    name, number = service_account_name(project, email), new_id()
    unique = str(10**20 + number % 10**19)  # 21 digits, as Google's are
    body = {
        "name": name.path,
        "projectId": project,
        "uniqueId": unique,
        "email": email,
        "displayName": display_name,
        "oauth2ClientId": unique,
    }
    return Resource(name, number, now, {k: v for k, v in body.items() if v})
