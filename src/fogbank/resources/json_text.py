"""Reads JSON that must be written again: into the store, into answers."""

import json
from collections.abc import Callable
from typing import Any


def load_json(
    text: bytes | str,
    parse_float: Callable[[str], Any] | None = None,
    parse_constant: Callable[[str], Any] | None = None,
) -> Any:
    r"""Read JSON as `json.loads` does; UnicodeEncodeError, a ValueError, for half of a surrogate pair.

    Python reads those ("\ud800"), and can then write them nowhere.
    """
    value = json.loads(text, parse_float=parse_float, parse_constant=parse_constant)
    escaped = b"\\u" in text if isinstance(text, bytes) else "\\u" in text
    if escaped:
        json.dumps(value, ensure_ascii=False).encode()
    return value
