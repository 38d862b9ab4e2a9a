"""Labels: how many a resource may have, and how long they may be, the same for every API.

The figures are those of Resource Manager's documentation, "Requirements for labels". A key may have a prefix,
as Knative's have: 253 characters and a slash.
"""

from collections.abc import Mapping

from fogbank.errors import ApiError

MOST = 64
LONGEST_KEY = 253 + 1 + 63
LONGEST_VALUE = 63


def check_labels(labels: Mapping[str, object]) -> None:
    """Refuse (400) more labels, longer keys or longer values than a resource may have."""
    if len(labels) > MOST:
        raise _bad(f"A resource may have at most {MOST} labels, not {len(labels)}.")
    for key, value in labels.items():
        if not 0 < len(key) <= LONGEST_KEY:
            raise _bad(f"The key '{key[:LONGEST_VALUE]}' of a label must have 1 to {LONGEST_KEY} characters.")
        if len(str(value)) > LONGEST_VALUE:
            raise _bad(f"The value of label '{key}' may have at most {LONGEST_VALUE} characters.")


def _bad(message: str) -> ApiError:
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest")
