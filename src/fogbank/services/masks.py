"""Update masks of one-platform APIs: the paths that a call's ``updateMask`` names.

Clients spell a path as protocol buffers do (``min_instances``) or as JSON does (``minInstances``); both mean
the same, and behind this module there is only the second.
"""

import re
from dataclasses import replace
from typing import Any

from fogbank.resources.world import Json
from fogbank.services.contract import Call


def mask_paths(call: Call) -> tuple[str, ...]:
    """Read the paths of the call's mask, as JSON spells them; none without a mask.

    A path between two commas may be empty: it is given as it is, and names no field.
    """
    text = str(call.parameters.get("updateMask") or "")
    return tuple(map(_camel, text.split(","))) if text.strip() else ()


def with_whole_fields(call: Call, current: Json) -> Call:
    """Return a call whose mask names whole fields: for ``a.b`` its ``a`` is the current one but for ``b``.

    ``current`` is the resource before. gcloud sends such paths for single settings of a message.
    """
    named = mask_paths(call)
    paths = [path for path in named if not any(path.startswith(f"{each}.") for each in named)]
    whole: dict[str, Json] = {}
    for path in paths:
        first, *rest = path.split(".")
        if rest:
            whole[first] = _merged(whole.get(first, current.get(first)), call.body.get(first), rest)
    if not any("." in path for path in named):
        return call
    mask = ",".join(dict.fromkeys(path.partition(".")[0] for path in paths))
    return replace(call, body={**call.body, **whole}, parameters={**call.parameters, "updateMask": mask})


def _merged(current: Any, given: Any, path: list[str]) -> Json:
    """Return ``current`` with what ``given`` has at ``path``, or without it where that has nothing."""
    now = dict(current) if isinstance(current, dict) else {}
    new = given.get(path[0]) if isinstance(given, dict) else None
    if len(path) > 1:
        new = _merged(now.get(path[0]), new, path[1:])
    return {**now, path[0]: new} if new is not None else {k: v for k, v in now.items() if k != path[0]}


def _camel(path: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), path.strip())
