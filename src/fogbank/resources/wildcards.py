"""Wildcards that clients send in filters, matched in linear time and without an engine."""

from collections.abc import Callable

Fits = Callable[[str], bool]
"""Tells whether a pattern fits a text."""


def wildcard(pattern: str) -> Fits:
    """Read a pattern that has to fit a whole text, and whose stars stand for anything."""
    if "*" not in pattern:
        return lambda text: text == pattern
    head, *middle, tail = pattern.split("*")

    def fits(text: str) -> bool:
        at, end = len(head), len(text) - len(tail)
        if at > end or not text.startswith(head) or not text.endswith(tail):
            return False
        for piece in middle:  # its first place is the best one: it leaves the most to the others
            at = text.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    return fits
