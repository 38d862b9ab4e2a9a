"""The words of the Logging query language."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fogbank.errors import ApiError

LONGEST_QUERY = 20_000
"""Characters of a query (Cloud Logging's quotas)."""

_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*)"""
    r"""|(?P<operator>!=|>=|<=|=~|!~|=|>|<|:)"""
    r"""|(?P<open>\()|(?P<close>\))|(?P<comma>,)"""
    r"""|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<text>[^\s()=<>:!"',~]+)""",
    re.DOTALL,
)
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))", re.DOTALL
)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


@dataclass(frozen=True, slots=True)
class Token:
    """One word: ``text`` is what it says (a string without its quotes), ``at`` where it begins.

    ``kind`` is ``operator``, ``open``, ``close``, ``comma``, ``text``, ``string`` or ``end``;
    ``after_space`` tells whether something other than a token stands before it.
    """

    kind: str
    text: str
    at: int
    after_space: bool = False


def tokens(query: str) -> Iterator[Token]:
    """Cut a query into words, the last of which is ``end``; Google's 400 where there is none."""
    if len(query) > LONGEST_QUERY:
        why = (
            f"Unparseable filter: the filter has {len(query)} characters, which is more than {LONGEST_QUERY}."
        )
        raise ApiError(400, why, "INVALID_ARGUMENT", "badRequest")
    at, spaced = 0, True
    while at < len(query):
        found = _TOKEN.match(query, at)
        if found is None:
            raise syntax_error(query, at, query[at])
        kind, start, at = found.lastgroup or "", at, found.end()
        if kind == "skip":
            spaced = True
            continue
        text = _unquoted(found[0]) if kind == "string" else found[0]
        yield Token(kind, text, start, spaced)
        spaced = False
    yield Token("end", "", len(query), True)


def _unquoted(text: str) -> str:
    """Undo the escapes of a string; one that is not known keeps its backslash, as patterns need it."""

    def replace(found: re.Match[str]) -> str:
        code = found[1] or found[2] or found[3]
        if code:
            number = int(code, 16)
            return chr(number) if number < 0x110000 else found[0]
        if found[4]:
            return chr(int(found[4], 8))
        letter = found[5]
        return _LETTERS.get(letter, letter if letter in "\\\"'" else found[0])

    return _ESCAPE.sub(replace, text[1:-1])


def syntax_error(query: str, at: int, token: str) -> ApiError:
    """Refuse a query at a place, in Google's words."""
    line = query.count("\n", 0, at) + 1
    column = at - query.rfind("\n", 0, at)
    shown = token[:100]
    why = f"Unparseable filter: syntax error at line {line}, column {column}, token '{shown}'"
    return ApiError(400, why, "INVALID_ARGUMENT", "badRequest")
