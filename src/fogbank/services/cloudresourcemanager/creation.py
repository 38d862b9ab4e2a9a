"""A new project: its number, its default service account, and an owner."""

import re
from collections.abc import Callable
from datetime import datetime

from fogbank.errors import ApiError
from fogbank.resources.operations import rfc3339
from fogbank.resources.policies import member_of, policy_of
from fogbank.resources.projects import (
    compute_account,
    policy_name,
    project_name,
    service_account,
    service_agent,
    usual_number,
)
from fogbank.resources.world import Change, Json, Put, Resource

_ID = re.compile(r"[a-z][-a-z0-9]{4,28}[a-z0-9]")


def check_id(project_id: str) -> None:
    """Refuse an id that no project may be created with."""
    if not _ID.fullmatch(project_id):
        raise ApiError(
            400,
            f"The project ID '{project_id}' must have 6 to 30 lower-case letters, digits and hyphens, begin "
            "with a letter and not end with a hyphen.",
            "INVALID_ARGUMENT",
            "badRequest",
        )


def new_project(
    project_id: str,
    now: datetime,
    new_id: Callable[[], int],
    *,
    owner: str | None = None,
    number: str | None = None,
    fields: Json | None = None,
) -> tuple[Change, ...]:
    """Make a project and what every project has; ``owner`` is an e-mail address.

    ``number`` is the project's own, the usual one by default; ``fields`` are more of a v1 body. The id is not
    checked: a project that comes to be on first use may have a short one.
    """
    number = number or usual_number(project_id)
    body: Json = {
        "projectNumber": number,
        "projectId": project_id,
        "lifecycleState": "ACTIVE",
        "name": project_id,
        "createTime": rfc3339(now),
        **(fields or {}),
    }
    account = service_account(
        project_id, compute_account(number), "Compute Engine default service account", now, new_id
    )
    made = (Put(Resource(project_name(project_id), int(number), now, body)), Put(account))
    if owner is None:
        return made
    serial = new_id()
    policy = policy_of(_bindings(number, owner), serial)
    return (*made, Put(Resource(policy_name(project_id), serial, now, policy)))


def _bindings(number: str, owner: str) -> dict[str, list[str]]:
    """Give a new project's owner, its default account and Cloud Run's agent their roles.

    Google grants roles/editor to the Compute Engine default service account unless an organisation forbids
    it (IAM's documentation, "Service account types"), and roles/run.serviceAgent to the agent.
    """
    return {
        "roles/editor": [member_of(compute_account(number))],
        "roles/owner": [member_of(owner)],
        "roles/run.serviceAgent": [member_of(service_agent(number))],
    }
