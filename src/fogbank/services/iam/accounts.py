"""Service accounts: who a workload or a program is.

An account may be called by its e-mail address or its number, and its project may be given as ``-``.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fogbank.errors import ApiError
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.listings import listing
from fogbank.resources.names import ResourceName
from fogbank.resources.policies import without_account
from fogbank.resources.projects import (
    ACCOUNT_KEYS,
    OPERATOR_ID,
    SERVICE_ACCOUNTS,
    account_policy_name,
    find_account,
    service_account,
    service_account_name,
)
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.collections import bad_request, check_etag
from fogbank.services.contract import Call, Decision
from fogbank.services.segments import project_of, segments

_ID = re.compile(r"^[a-z][-a-z0-9]{4,28}[a-z0-9]$")
_WRITABLE = {"displayName": 100, "description": 256}
"""Fields that can be changed, and their greatest length in bytes."""


def find(world: World, call: Call) -> Resource:
    """Find the account that the call's path names; Google's 404 otherwise."""
    project, reference = project_of(world, call), segments(call)["serviceAccounts"]
    found = world.find(service_account_name(project, reference))
    if found is not None:
        return found
    under = "" if project == "-" else f"projects/{project}/"
    account = find_account(world, reference, under)
    if account is not None:
        return account
    raise ApiError(404, "Unknown service account", "NOT_FOUND", "notFound")


def show(account: Resource) -> Json:
    """Render an account."""
    return account.body | {"etag": fingerprint(account.body)}


def get(world: World, call: Call) -> Json:
    """Show an account."""
    return show(find(world, call))


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the accounts of a project."""
    under = f"projects/{project_of(world, call)}/"
    return listing(world, SERVICE_ACCOUNTS, under, show)


def create(world: World, call: Call) -> Decision:
    """Make an account."""
    project, identifier = project_of(world, call), str(call.body.get("accountId", ""))
    if not _ID.match(identifier):
        raise bad_request(
            f"The account ID '{identifier}' must have 6 to 30 lower-case letters, digits and hyphens, begin "
            "with a letter and not end with a hyphen."
        )
    email = f"{identifier}@{project}.iam.gserviceaccount.com"
    # The region's own exists although it is no resource: a key made for it would be the whole region's.
    if identifier == OPERATOR_ID or world.find(service_account_name(project, email)):
        raise ApiError(
            409,
            f"Service account {identifier} already exists within project projects/{project}.",
            "ALREADY_EXISTS",
            "alreadyExists",
        )
    fields = _fields(call.body.get("serviceAccount") or {}, _WRITABLE)
    made = service_account(project, email, "", call.now, call.new_id).with_body(**fields)
    return Decision((Put(made),), answer=show(made))


def _fields(wanted: Json, names: Iterable[str]) -> Json:
    fields = {name: wanted.get(name) or None for name in names}
    for name, value in fields.items():
        if value and len(value.encode()) > _WRITABLE[name]:
            raise bad_request(f"The {name} may have at most {_WRITABLE[name]} bytes.")
    return fields


def patch(world: World, call: Call) -> Decision:
    """Change the fields that the mask in the body names."""
    mask = str(call.body.get("updateMask") or "").replace("display_name", "displayName")
    names = [name for name in mask.split(",") if name]
    if unknown := set(names) - _WRITABLE.keys():
        raise bad_request(f"The fields {', '.join(sorted(unknown))} of a service account cannot be changed.")
    return _changed(find(world, call), call.body.get("serviceAccount") or {}, names)


def update(world: World, call: Call) -> Decision:
    """Change the fields that the body has."""
    return _changed(find(world, call), call.body, [name for name in _WRITABLE if name in call.body])


def _changed(account: Resource, wanted: Json, names: Iterable[str]) -> Decision:
    check_etag(wanted, account.body, "service account")
    changed = account.with_body(**_fields(wanted, names))
    return Decision((Put(changed),), answer=show(changed))


def disable(world: World, call: Call) -> Decision:
    """Take an account's tokens away until it is enabled."""
    return Decision((Put(find(world, call).with_body(disabled=True)),), answer={})


def enable(world: World, call: Call) -> Decision:
    """Let an account have tokens again."""
    return Decision((Put(find(world, call).with_body(disabled=None)),), answer={})


def delete(world: World, call: Call) -> Decision:
    """Delete an account with its keys, its policy and its roles."""
    account = find(world, call)
    name, own = account.name, account_policy_name(account.name)
    keys = (Delete(key.name) for key in world.all(ACCOUNT_KEYS, f"{name.path}/keys/"))
    roles = (each for each in _without_roles(world, call, account) if each.resource.name != own)
    gone: tuple[Change, ...] = (*roles, *keys, Delete(own), Delete(name))
    return Decision(gone, answer={})


def _without_roles(world: World, call: Call, account: Resource) -> Iterator[Put]:
    """Take an account's roles away in the policies of all projects and resources."""
    email, number = account.body["email"], account.body["uniqueId"]
    for collection in (each for each in world.collections if each.endswith(".policies")):
        for policy in world.all(collection):
            changed = without_account(policy.body, email, number, call.new_id())
            if changed is not None:
                yield Put(replace(policy, body=changed))


def guarded(world: World, call: Call) -> ResourceName:
    """Name the policy of the call's account."""
    return account_policy_name(find(world, call).name)
