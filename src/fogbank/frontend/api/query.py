"""A request's query: its parameters by the method's types, and those that every method has."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from fogbank.discovery.schemas import bad_request, convert_scalar
from fogbank.errors import ApiError, required_field
from fogbank.frontend.http.asgi import MOST_FIELDS

STANDARD = frozenset(
    {"alt", "fields", "key", "prettyPrint", "quotaUser", "userIp", "access_token", "oauth_token"}
    | {"callback", "uploadType", "upload_protocol", "trace", "options.requestedPolicyVersion"}
)
"""Parameters of every method; those that start with ``$`` are too.

Terraform asks for a policy's version in the query also where the method has a body for it.
"""


def parse_query(query: bytes) -> list[tuple[str, str]]:
    """Take a query apart, in order; 400 when it has too many parameters to be meant."""
    if query.count(b"&") >= MOST_FIELDS:
        raise ApiError(400, "The request has too many query parameters.", "INVALID_ARGUMENT", "badRequest")
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True) if query else []


def convert_query(pairs: list[tuple[str, str]], types: Mapping[str, str]) -> dict[str, Any]:
    """Convert parameters to the method's ``types``; Google's 400 for one that is unknown or does not fit.

    A name may be spelled as in protocol buffers, too (``repository_id``), as Terraform's provider does
    (behaviour/api.md#parameters).
    """
    converted: dict[str, Any] = {}
    problems = []
    for given, text in pairs:
        name = given if given in types or "_" not in given else _camel(given)
        kind = types.get(name)
        if kind is None:
            if name not in STANDARD and not name.startswith("$"):
                problems.append((given, _unknown(given)))
            continue
        repeated = "*" in kind
        kind = kind.rstrip("*!")
        value = convert_scalar(text, kind)
        if value is None:
            problems.append((name, f"Invalid value at '{name}' ({kind}), \"{text}\""))
        elif repeated:
            converted.setdefault(name, []).append(value)
        else:
            converted[name] = value
    if problems:
        raise bad_request(problems)
    for name, kind in types.items():
        if kind.endswith("!") and name not in converted:
            raise required_field(name)
    return converted


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _unknown(name: str) -> str:
    return (
        f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
        f"Field '{name}' could not be found in request message."
    )


def standard(pairs: list[tuple[str, str]], name: str) -> str | None:
    """Find one of the parameters that every method has, also under its ``$`` name."""
    for key, value in pairs:
        if key in {name, "$" + name}:
            return value
    return None


def bad_json(why: str) -> ApiError:
    """Refuse a body that is no JSON object."""
    return bad_request([("", f"Invalid JSON payload received. {why}")])
