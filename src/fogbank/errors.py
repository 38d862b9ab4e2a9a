"""Errors that say what, where and what would work; the class says whose turn it is.

:class:`ApiError` is the caller's: it becomes one of Google's two error envelopes and nothing has changed.
:class:`DriverError` is ours: the control loop shows it on the resource and tries again.
:class:`OperatorError` is for the person at the terminal: the message ends with the remedy.
Anything else is a bug and keeps its traceback.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class ApiError(Exception):
    """A request that Google would refuse, in Google's words.

    ``reason`` is compute's lower-camel reason (``notFound``); ``status`` is the canonical gRPC name
    (``NOT_FOUND``); ``details`` are ``google.rpc`` messages, each with its ``@type``.
    """

    code: int
    message: str
    status: str
    reason: str
    details: tuple[Mapping[str, object], ...] = field(default=())

    def __str__(self) -> str:
        return self.message


def not_found(path: str) -> ApiError:
    """Refuse because ``path`` (``projects/…``) does not exist; compute's wording.

    See behaviour/api.md#errors.
    """
    return ApiError(404, f"The resource '{path}' was not found", "NOT_FOUND", "notFound")


def already_exists(path: str) -> ApiError:
    """Refuse because ``path`` is taken; compute's wording (behaviour/api.md#errors)."""
    return ApiError(409, f"The resource '{path}' already exists", "ALREADY_EXISTS", "alreadyExists")


def invalid_value(field_name: str, value: object, why: str) -> ApiError:
    """Refuse a field's value: ``field_name`` as in ``resource.ipCidrRange`` (behaviour/api.md#errors)."""
    message = f"Invalid value for field '{field_name}': '{shown(value)}'. {why}"
    return ApiError(400, message, "INVALID_ARGUMENT", "invalid")


def shown(value: object) -> str:
    """Write a value for a client: text as it is, a list, an object, a truth or nothing as JSON."""
    match value:
        case dict() | list() | tuple() | bool() | None:
            return json.dumps(value, default=str, ensure_ascii=False)
        case _:
            return str(value)


def required_field(field_name: str) -> ApiError:
    """Refuse because ``field_name`` is absent (behaviour/api.md#errors; unverified)."""
    return ApiError(400, f"Required field '{field_name}' not specified", "INVALID_ARGUMENT", "required")


def in_use(kind: str, path: str, user: str) -> ApiError:
    """Refuse to delete ``path``, a ``kind`` (network, …), while ``user`` needs it.

    See behaviour/vpc.md#networks.
    """
    return ApiError(
        400,
        f"The {kind} resource '{path}' is already being used by '{user}'",
        "INVALID_ARGUMENT",
        "resourceInUseByAnotherResource",
    )


def stale_fingerprint(message: str = "Invalid fingerprint.") -> ApiError:
    """Refuse a change made against an older version of the resource (behaviour/api.md#errors)."""
    return ApiError(412, message, "FAILED_PRECONDITION", "conditionNotMet")


def not_implemented(method: str) -> ApiError:
    """Refuse honestly: ``method`` (``compute.v1.instances.insert``) is not built yet."""
    return not_built(method)


def not_built(part: str) -> ApiError:
    """Refuse honestly a ``part`` that is not built: a field, a value of one, a method, a whole API.

    It is a bad request, though UNIMPLEMENTED belongs to 501: clients believe of a 5xx that it passes, and
    gcloud tries for half a minute. A 404 would mean to Terraform that the resource is gone.
    """
    message = f"Fogbank does not implement {part} yet. See docs/reference/coverage.md for what it does."
    return ApiError(400, message, "UNIMPLEMENTED", "notImplemented")


class DriverError(Exception):
    """The machine refused an action; the control loop will try again."""


class OperatorError(Exception):
    """The person at the terminal has to do something first; the message says what."""
