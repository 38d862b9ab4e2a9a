"""What the mask of a patch may name of a service, and the patch laid over what there is.

A path goes through messages only: a list or a map is replaced as a whole, so it can only be a path's end.
Paths of fields that a client may not write are known and have no effect, as those fields in a body.
"""

from collections.abc import Iterable
from typing import Any

from fogbank.discovery.schemas import fields_of
from fogbank.resources.world import Json
from fogbank.services.run.objects import bad_request

EVERYTHING = "*"

_DOCUMENT = "run.v2"
_SERVICE = "#GoogleCloudRunV2Service"


def check_path(path: str) -> None:
    """Refuse a path that names nothing in Google's schema of a service (400); ``*`` names all of it."""
    node: Any = _SERVICE
    steps = path.split(".")
    for index, step in enumerate(steps if path != EVERYTHING else ()):
        if _holds_many(node):
            whole = ".".join(steps[:index])
            raise bad_request(
                f"Invalid path '{path}' in updateMask: '{whole}' is a list or a map, which a path cannot go "
                f"through. Name '{whole}' and send all of it."
            )
        fields = fields_of(_DOCUMENT, node[1:]) if isinstance(node, str) and node[0] == "#" else {}
        if step not in fields:
            raise bad_request(f"Invalid path '{path}' in updateMask: a service has no such field.")
        node = fields[step]


def _holds_many(node: Any) -> bool:
    return isinstance(node, list) or (isinstance(node, dict) and "*" in node)


def lay(current: Json, new: Json, paths: Iterable[str]) -> Json:
    """Lay the fields of ``new`` that checked ``paths`` name over ``current``; what ``new`` lacks goes."""
    for path in paths:
        current = _laid(current, new, path.split("."))
    return current


def _laid(current: Json, new: Json, steps: list[str]) -> Json:
    first, rest = steps[0], steps[1:]
    if rest:
        return current | {first: _laid(current.get(first) or {}, new.get(first) or {}, rest)}
    without = {key: value for key, value in current.items() if key != first}
    return without | ({first: new[first]} if first in new else {})
