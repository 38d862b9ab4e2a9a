"""What secrets and their versions have in common: how they are found, named in answers, and told apart.

Answers name a project by its number (behaviour/secret-manager.md#secrets).
"""

from fogbank.errors import ApiError
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import project_number
from fogbank.resources.secrets import find_secret, newest_version, secret_name
from fogbank.resources.world import Resource, World
from fogbank.services.contract import Call
from fogbank.services.segments import project_of, segments


def find(world: World, call: Call, suffix: str = "") -> Resource:
    """Find the secret that the call's path names; Google's 404 otherwise, with ``suffix``."""
    name = secret_name(project_of(world, call), segments(call)["secrets"])
    found = find_secret(world, name, call.now)
    if found is None:
        raise missing(f"Secret [{shown_path(world, name)}] not found{suffix}.")
    return found


def missing(message: str) -> ApiError:
    """Refuse what does not exist."""
    return ApiError(404, message, "NOT_FOUND", "notFound")


def shown_path(world: World, name: ResourceName) -> str:
    """Return the path of a secret or a version with the project's number in it."""
    rest = name.path.split("/", 2)[2]
    return f"projects/{project_number(world, name.project)}/{rest}"


def etag_of(resource: Resource) -> str:
    """Return the etag of a secret or a version, with quotation marks."""
    return f'"{fingerprint({**resource.body, "newest": newest_version(resource)})}"'


def check_etag(given: str | None, current: Resource) -> None:
    """Refuse a change made against another version (unverified wording)."""
    if given and given.strip('"') != etag_of(current).strip('"'):
        raise precondition("The etag provided in the request does not match the resource's current etag.")


def precondition(message: str) -> ApiError:
    """Refuse because of the state in which the resource is."""
    return ApiError(400, message, "FAILED_PRECONDITION", "failedPrecondition")
