"""The link from a project to a billing account (behaviour/billing.md#links).

Nothing is billed here and there are no accounts: a project is linked to whatever account it is given, so that
modules which make projects run, and to none until then.
"""

import re

from fogbank.errors import ApiError
from fogbank.resources.authorization import denied
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import project_id, project_name
from fogbank.resources.world import Json, Put, Resource, World
from fogbank.services.contract import Call, Decision

_ACCOUNT = re.compile(r"(?:billingAccounts/[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6})?")

_LINK = "billing.resourceAssociations.create"
"""What linking a project needs on an account."""


def get_billing_info(world: World, call: Call) -> Json:
    """Show which account a project is linked to."""
    project = _project(world, call)
    found = world.find(_link(project))
    return _shown(project, str(found.body["billingAccountName"]) if found else "")


def update_billing_info(world: World, call: Call) -> Decision:
    """Link a project to another account, or to none."""
    project, account = _project(world, call), str(call.body.get("billingAccountName") or "")
    _check_account(account)
    link = Resource(_link(project), call.new_id(), call.now, {"billingAccountName": account})
    return Decision((Put(link),), answer=_shown(project, account))


def account_permissions(_world: World, call: Call) -> Json:
    """Answer that everybody may link projects to an account; Terraform asks before it makes a project."""
    _check_account(call["resource"])
    found = [each for each in call.body.get("permissions") or () if each == _LINK]
    return {"permissions": found} if found else {}


def _check_account(account: str) -> None:
    if not _ACCOUNT.fullmatch(account):
        message = f"The billing account name '{account}' must be as billingAccounts/012345-567890-ABCDEF."
        raise ApiError(400, message, "INVALID_ARGUMENT", "badRequest")


def _project(world: World, call: Call) -> str:
    project = project_id(world, call["name"].removeprefix("projects/"))
    if world.find(project_name(project)) is None:
        raise denied("resourcemanager.projects.get", call["name"], service="cloudbilling")
    return project


def _link(project: str) -> ResourceName:
    return ResourceName("cloudbilling.links", f"projects/{project}/billingInfo")


def _shown(project: str, account: str) -> Json:
    return {
        "name": f"projects/{project}/billingInfo",
        "projectId": project,
        "billingAccountName": account,
        "billingEnabled": bool(account),
    }
