"""Patterns that clients send, matched in linear time: they are matched in the event loop, for everybody.

Python's own regular expressions go back over what they have read, and one of a few characters can keep the
whole region waiting. What a client wrote as a regular expression goes to RE2, as at Google
(docs/decisions/0096).
"""

import re

from fogbank.resources.regular_expressions import PATTERN_BYTES, BadPatternError, compile_pattern
from fogbank.resources.wildcards import Fits

__all__ = ["PATTERN_BYTES", "BadPatternError", "regular", "words"]


def regular(pattern: str) -> Fits:
    """Read a regular expression that has to fit a whole text; BadPatternError when RE2 refuses it."""
    compiled = compile_pattern(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def words(text: str) -> Fits:
    """Look for ``text`` as whole words anywhere in another, in whatever case."""
    # it repeats nothing, so there is nothing to go back over
    pattern = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)", re.IGNORECASE)
    return lambda other: pattern.search(other) is not None
