"""Regular expressions that clients send, matched by RE2 in linear time (docs/decisions/0096).

Python's own go back over what they have read, and one of a few characters can keep the whole region waiting.
"""

from typing import Any

PATTERN_BYTES = 1 << 20
"""What one regular expression may take: some 16,000 steps of its program."""


class BadPatternError(ValueError):
    """RE2 refuses a regular expression; the message is RE2's."""


def compile_pattern(pattern: str) -> Any:
    """Compile a regular expression; BadPatternError when RE2 refuses it."""
    import re2

    options = re2.Options()
    options.max_mem, options.log_errors = PATTERN_BYTES, False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0] if error.args else ""
        raise BadPatternError(why.decode(errors="replace") if isinstance(why, bytes) else str(why)) from error
