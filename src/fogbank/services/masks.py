"""Update masks of one-platform APIs: the paths that a call's ``updateMask`` names.

Clients spell a path as protocol buffers do (``min_instances``) or as JSON does (``minInstances``); both mean
the same, and behind this module there is only the second.
"""

import re

from fogbank.services.contract import Call


def mask_paths(call: Call) -> tuple[str, ...]:
    """Read the paths of the call's mask, as JSON spells them; none without a mask.

    A path between two commas may be empty: it is given as it is, and names no field.
    """
    text = str(call.parameters.get("updateMask") or "")
    return tuple(map(_camel, text.split(","))) if text.strip() else ()


def _camel(path: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), path.strip())
