"""What keys and values have in common: names, outputs, operations, refusals."""

import re
from collections.abc import Iterator, Mapping

from fogbank.errors import ApiError
from fogbank.resources.authorization import denied
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation, rfc3339
from fogbank.resources.tags import TAG_POLICIES, find_namespaced, find_tag, left_over, tag_policies
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.cloudresourcemanager.projects import operation_of
from fogbank.services.contract import Call, Decision
from fogbank.services.masks import mask_paths

_SHORT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,254}[A-Za-z0-9])?")
_MESSAGES = {"tagKeys": "TagKey", "tagValues": "TagValue", "tagBindings": "TagBinding"}
_V3 = "google.cloud.resourcemanager.v3."
MOST_DESCRIBED = 256


def bad_request(message: str) -> ApiError:
    """Refuse an argument."""
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest")


def unfit(message: str) -> ApiError:
    """Refuse what the state of things forbids."""
    return ApiError(400, message, "FAILED_PRECONDITION", "failedPrecondition")


def check_words(short: str, description: str) -> None:
    """Refuse a short name or a description that breaks Google's rules (behaviour/tags.md#names)."""
    if not _SHORT.fullmatch(short):
        raise bad_request(
            f"Invalid short name '{short}': it must have 1 to 256 letters, digits, hyphens, underscores and "
            "dots, and begin and end with a letter or a digit."
        )
    if len(description) > MOST_DESCRIBED:
        raise bad_request(f"A description must have at most {MOST_DESCRIBED} characters.")


def new_tag(call: Call, name: ResourceName, fields: Json, namespaced: str, shown: str) -> Resource:
    """Make a key or a value; ``namespaced`` finds it, ``shown`` is the same as clients see it."""
    number, moment = int(name.id), rfc3339(call.now)
    body = {
        "name": f"{name.collection.partition('.')[2]}/{number}",
        **{key: value for key, value in fields.items() if value},
        "namespacedName": shown,
        "createTime": moment,
        "updateTime": moment,
    }
    made = Resource(name, number, call.now, body, {"namespaced": namespaced})
    return made.with_body(etag=fingerprint(body))


def find(world: World, call: Call) -> Resource:
    """Find the tag that the call's path names; what does not exist is refused like what is not allowed."""
    reference = str(call.parameters.get("name") or call.parameters.get("resource") or "")
    found = find_tag(world, reference)
    if found is None:
        raise denied(call.method, reference, service="cloudresourcemanager")
    return found


def get(world: World, call: Call) -> Json:
    """Show a key or a value."""
    return find(world, call).body


def namespaced(world: World, call: Call, permission: str) -> Json:
    """Show what a namespaced name means, to those who may see it."""
    found = find_namespaced(world, str(call.parameters.get("name") or ""))
    if found is None or not may(world, call, permission, found):
        raise denied(permission, str(call.parameters.get("name") or ""), service="cloudresourcemanager")
    return found.body


def may(world: World, call: Call, permission: str, tag: Resource) -> bool:
    """Return whether the caller has a permission on a tag."""
    beside = tag_policies(world, str(tag.body["name"]))
    return call.access.allows(world, call.principal, permission, tag.name.project, *beside)


def patch(world: World, call: Call, allowed: Mapping[str, object]) -> Decision:
    """Change the fields ``allowed`` of a key or a value, as the mask says."""
    found = find(world, call)
    check_etag(call.body.get("etag"), found)
    paths = tuple(filter(None, mask_paths(call))) or tuple(call.body.keys() & allowed.keys())
    if "*" in paths:
        paths = tuple(allowed)
    if unknown := set(paths) - allowed.keys():
        raise bad_request(f"The fields {', '.join(sorted(unknown))} of a tag cannot be changed.")
    fields = {path: call.body.get(path, "") for path in paths}
    check_words(found.body["shortName"], str(fields.get("description") or ""))
    body = {key: value for key, value in {**found.body, **fields}.items() if value != ""}
    changed = found.with_body(**{**body, "updateTime": rfc3339(call.now)})
    changed = changed.with_body(etag=fingerprint(changed.body))
    return over(call, changed, (Put(changed),), "Update")


def delete(world: World, call: Call, users: Iterator[Resource], why: str) -> Decision:
    """Delete a key or a value that nobody uses."""
    found = find(world, call)
    check_etag(call.parameters.get("etag"), found)
    if next(users, None) is not None:
        raise unfit(why)
    policy = ResourceName(TAG_POLICIES, found.name.path)
    gone = (Delete(policy),) if world.find(policy) else ()
    return over(call, found, (Delete(found.name), *gone, *left_over(world)), "Delete")


def check_etag(given: object, tag: Resource) -> None:
    """Refuse a change that was made against another version."""
    if given and given != tag.body["etag"]:
        raise ApiError(409, "There were concurrent changes of the tag.", "ABORTED", "aborted")


def guarded(world: World, call: Call) -> ResourceName:
    """Name the policy of a tag."""
    return ResourceName(TAG_POLICIES, find(world, call).name.path)


def over(
    call: Call, tag: Resource, changes: tuple[Change, ...], verb: str, answer: Json | None = None
) -> Decision:
    """Answer a write, of which nothing remains to be done, with its operation."""
    message = _MESSAGES[tag.name.collection.partition(".")[2]]
    response = {"@type": f"type.googleapis.com/{_V3}{message}", **(tag.body if answer is None else answer)}
    operation: Operation = operation_of(call, tag.name, f"{_V3}{verb}{message}Metadata", {}, response)
    return Decision(() if call.parameters.get("validateOnly") else changes, operation=operation)
