"""Bodies that clients send: what of one counts, and the checks that many collections make.

A null says the same as a field that is absent, at any depth; fields that only the region writes are passed
over.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fogbank.errors import ApiError, invalid_value, not_built, shown
from fogbank.resources.world import Json, Resource

_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_STANDARD_BASE64 = str.maketrans("-_", "+/")

LONGEST_DESCRIPTION = 2048

OUTPUTS = frozenset({"kind", "id", "creationTimestamp", "selfLink", "selfLinkWithId"})
"""Fields that only the region writes, in every collection; what a client sends of them is passed over."""


def inputs(body: Json, outputs: Iterable[str] = ()) -> Json:
    """Return what a client asks for: without nulls, and without fields that only the region writes.

    Refuses a description of more than 2,048 characters (unverified).
    """
    skipped = OUTPUTS.union(outputs)
    if len(description := str(body.get("description") or "")) > LONGEST_DESCRIPTION:
        why = f"A description has at most {LONGEST_DESCRIPTION} characters."
        raise invalid_value("resource.description", description, why)
    return {key: value for key, value in without_nulls(body).items() if key not in skipped}


def without_nulls(value: Any) -> Any:
    """Take every null away, at any depth: it says the same as a field that is absent."""
    match value:
        case dict():
            return {key: without_nulls(each) for key, each in value.items() if each is not None}
        case list():
            return [without_nulls(each) for each in value if each is not None]
        case _:
            return value


def merged(before: Json, given: Json) -> Json:
    """Return ``before`` as a patch changes it: fields that are ``given`` replace, a null takes one away."""
    whole: Json = without_nulls(before | given)
    return whole


def refuse_unbuilt(collection: str, body: Json, unbuilt: Mapping[str, tuple[object, ...]]) -> None:
    """Refuse honestly a field that the network cannot honour yet; its harmless values pass.

    An absent, empty or false field is always harmless.
    """
    for field, harmless in unbuilt.items():
        value = body.get(field)
        if value and value not in harmless:
            raise not_built(f"compute.{collection} with {field}={shown(value)}")


def one_of(field: str, value: object, allowed: Iterable[str]) -> None:
    """Refuse a value that is none of ``allowed``."""
    choices = tuple(allowed)
    if value not in choices:
        raise invalid_value(field, value, f"Must be one of {', '.join(choices)}.")


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that break Google's rules (behaviour/api.md#labels)."""
    if len(labels) > 64:
        raise invalid_value("resource.labels", len(labels), "A resource has at most 64 labels.")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            raise invalid_value(
                "resource.labels",
                f"{key}={value}",
                "Label keys must match [a-z][a-z0-9_-]{0,62} and values [a-z0-9_-]{0,63}.",
            )


def unchanged(resource: Resource, body: Json, fields: Iterable[str]) -> None:
    """Refuse a patch that gives any of ``fields`` another value than it has."""
    for field in fields:
        if field in body and body[field] != resource.body.get(field):
            raise invalid_value(f"resource.{field}", body[field], "The field cannot be changed.")


def is_current(given: object, present: str) -> bool:
    """Whether a client holds the present fingerprint; it may have written it in either kind of base64."""
    return str(given).translate(_STANDARD_BASE64) == present


def number(value: Any) -> int:
    """Read an integer of a body, which may come as a string."""
    return int(value)


def bad_request(message: str, reason: str = "invalid") -> ApiError:
    """Refuse with a sentence of Google's that names no field."""
    return ApiError(400, message, "INVALID_ARGUMENT", reason)
