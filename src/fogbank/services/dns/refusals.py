"""Cloud DNS's refusals, in Google's words where they are known (behaviour/cloud-dns.md#refusals)."""

from fogbank.errors import ApiError, shown


def invalid(field: str, value: object) -> ApiError:
    """Refuse a field's value."""
    return ApiError(400, f"Invalid value for '{field}': '{shown(value)}'", "INVALID_ARGUMENT", "invalid")


def missing(parameter: str, value: str) -> ApiError:
    """Refuse because what the path names does not exist."""
    message = f"The 'parameters.{parameter}' resource named '{value}' does not exist."
    return ApiError(404, message, "NOT_FOUND", "notFound")


def exists(field: str, value: str) -> ApiError:
    """Refuse because the name is taken."""
    message = f"The resource '{field}' named '{value}' already exists"
    return ApiError(409, message, "ALREADY_EXISTS", "alreadyExists")


def bad(message: str, reason: str, status: str = "INVALID_ARGUMENT", code: int = 400) -> ApiError:
    """Refuse with a ``reason`` of Cloud DNS's own."""
    return ApiError(code, message, status, reason)
