"""Translation: attributes of Terraform's google provider as the body of an API's resource, by its schema.

The provider's attributes are the API's fields in snake case, and what is one message there is a list of at
most one block here. Where names differ, a table says so. What the schema does not know is Terraform's own.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fogbank.discovery.schemas import fields_of
from fogbank.resources.world import Json

Renames = Mapping[str, str]

_DIGITS = re.compile(r"_([a-z0-9])")


def body_of(document: str, message: str, attributes: Json, renames: Renames) -> Json:
    """Write ``attributes`` as the fields of ``message``; what is not set is left out."""
    return dict(_fields(document, fields_of(document, message), attributes, renames))


def _fields(
    document: str, known: Mapping[str, Any], attributes: Json, renames: Renames
) -> Iterator[tuple[str, Any]]:
    for key, value in attributes.items():
        name = renames.get(key) or _camel(key)
        if name not in known or value in (None, "", []):
            continue
        if (converted := _converted(document, known[name], value, renames)) not in (None, [], {}):
            yield name, converted


def _converted(document: str, kind: Any, value: Any, renames: Renames) -> Any:
    if isinstance(kind, list):
        parts = value if isinstance(value, list) else [value]
        return [_converted(document, kind[0], each, renames) for each in parts if each is not None]
    message = fields_of(document, kind[1:]) if isinstance(kind, str) and kind.startswith("#") else kind
    if isinstance(message, Mapping) and "|" not in message:  # no enum, but a message or what stands for one
        only = value[0] if isinstance(value, list) and value else value
        return dict(_fields(document, message, only, renames)) if isinstance(only, dict) else only
    return value


def _camel(name: str) -> str:
    return _DIGITS.sub(lambda match: match[1].upper(), name)
