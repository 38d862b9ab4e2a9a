"""Google's two error envelopes (behaviour/api.md#errors).

Compute and a few older APIs list their errors with a lower-camel reason; newer APIs give a status and
details.
"""

from collections.abc import Mapping

from fogbank.errors import ApiError
from fogbank.resources.world import Json
from fogbank.services.contract import ErrorDialect

_UNBUILT: Mapping[str, ErrorDialect] = {"dns": "reasons", "storage": "reasons"}
"""How APIs that are not built write their refusals; those that are say it in their ``Service``."""


def unbuilt_dialect(api: str) -> ErrorDialect:
    """Return how an API that is not built writes errors."""
    return _UNBUILT.get(api, "status")


def error_body(dialect: ErrorDialect | None, error: ApiError) -> Json:
    """Render ``error`` in an API's dialect; without one as most APIs do."""
    inner: Json = {"code": error.code, "message": error.message}
    if dialect in {"reasons", "both"}:
        inner["errors"] = [{"message": error.message, "domain": "global", "reason": error.reason}]
    if dialect != "reasons" or error.status in {"UNAUTHENTICATED", "UNIMPLEMENTED"}:
        inner["status"] = error.status
    if error.details:
        inner["details"] = [dict(detail) for detail in error.details]
    return {"error": inner}


def challenge(*, sent: bool) -> str:
    """Say with a 401 what would have been good enough; ``sent`` tells whether there was a token at all."""
    flaw = ', error="invalid_token"' if sent else ""
    return f'Bearer realm="https://accounts.google.com/"{flaw}'


def unknown_method(verb: str, host: str, path: str) -> ApiError:
    """Refuse a request to an API that is built and has no such method."""
    message = f"Method not found: no API that Fogbank knows has {verb} https://{host}{path}"
    return ApiError(404, message, "NOT_FOUND", "notFound")


def internal_error(reference: str) -> ApiError:
    """Own up to a bug; ``reference`` finds its traceback in the log."""
    message = f"Internal error in Fogbank. Its log has the traceback under {reference}."
    return ApiError(500, message, "INTERNAL", "backendError")
