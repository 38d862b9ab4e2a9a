"""Guest attributes: what a machine publishes about itself through its metadata server."""

from collections.abc import Mapping
from dataclasses import replace

from fogbank.errors import ApiError
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.instances import power
from fogbank.services.contract import Call

_PRIVATE = "guestAttributes"


def guest_attributes(instance: Resource) -> Mapping[str, str]:
    """Return the guest attributes of an instance, by ``NAMESPACE/KEY``."""
    found: Mapping[str, str] = instance.private.get(_PRIVATE, {})
    return found


def with_guest_attribute(instance: Resource, path: str, value: str | None) -> Resource:
    """Return an instance with one attribute set, or without it (None)."""
    kept = {key: each for key, each in guest_attributes(instance).items() if key != path}
    values = kept if value is None else {**kept, path: value}
    return replace(instance, private={**instance.private, _PRIVATE: values})


def get_guest_attributes(world: World, call: Call) -> Json:
    """Answer with one attribute, a namespace of them, or all (behaviour/compute-machines.md#metadata)."""
    instance = power.find(world, call)
    path = call.parameters.get("variableKey") or call.parameters.get("queryPath") or ""
    found = [
        {"namespace": key.partition("/")[0], "key": key.partition("/")[2], "value": value}
        for key, value in sorted(guest_attributes(instance).items())
        if path in {"", "/"} or key == path.strip("/") or key.startswith(f"{path.strip('/')}/")
    ]
    if not found:
        raise ApiError(
            404, f"The resource '{path}' of type 'Guest Attribute' was not found.", "NOT_FOUND", "notFound"
        )
    body = {
        "kind": "compute#guestAttributes",
        "selfLink": f"{instance.name.self_link}/getGuestAttributes/{path}",
        "queryPath": path,
        "queryValue": {"items": found},
    }
    single = len(found) == 1 and path.strip("/") == f"{found[0]['namespace']}/{found[0]['key']}"
    return {**body, "variableKey": path, "variableValue": found[0]["value"]} if single else body
