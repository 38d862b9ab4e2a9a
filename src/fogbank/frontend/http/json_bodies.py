"""JSON that clients send, read once and for all: behind this it is UTF-8, finite and not deep.

What is no JSON is refused in the words of the parser that Google's front ends have (protobuf's
``JsonStreamParser``), with the 20 characters on both sides of the place and a caret below it.
"""

import json
import math
import re
from typing import Any

from fogbank.resources.json_text import load_json

DEEPEST = 100
"""How many objects and lists may stand in one another, as at Google."""

_AROUND = 20
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NO_BRACKETS = re.compile(r"[^\[\]{}]+")
_MOST_BRACKETS = 10_000
"""How far back it is looked for what is open: the wording of an error is not worth more."""

_WORDS = {
    "Expecting property name enclosed in double quotes": "Expected an object key or }.",
    "Illegal trailing comma before end of object": "Expected an object key or }.",
    "Expecting ':' delimiter": "Expected : between key:value pair.",
    "Invalid \\escape": "Invalid escape sequence.",
    "Invalid \\uXXXX escape": "Illegal hex string.",
    "Unterminated string starting at": "Closing quote expected in string.",
    "Extra data": "Parsing terminated before end of input.",
}
_AFTER = {"]": "array value", "}": "key:value pair"}


class BadJsonError(ValueError):
    """A text is no JSON; the message says where and why, in Google's words."""


def parse_json(content: bytes | str) -> Any:
    """Read JSON; BadJsonError when it is none, or deeper than Google reads it."""
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        raise BadJsonError("Encountered non UTF-8 code points.") from error
    try:
        value = load_json(text, parse_float=_finite, parse_constant=_no_constant)
    except BadJsonError:
        raise
    except RecursionError as error:
        raise _too_deep() from error
    except json.JSONDecodeError as error:
        raise BadJsonError(_explain(error)) from error
    except UnicodeEncodeError as error:
        raise BadJsonError("Invalid low surrogate.") from error
    except ValueError as error:
        raise BadJsonError("Number exceeds the range of double.") from error
    if text.count("[") + text.count("{") > DEEPEST and _deeper(value):
        raise _too_deep()
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _no_constant(_name: str) -> float:
    raise BadJsonError("Unexpected token.")


def _deeper(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST + 1):
        inner = [v for v in level if isinstance(v, dict | list)]
        if not inner:
            return False
        level = [child for v in inner for child in (v.values() if isinstance(v, dict) else v)]
    return True


def _too_deep() -> BadJsonError:
    return BadJsonError("Message too deep. Max recursion depth reached.")


def _explain(error: json.JSONDecodeError) -> str:
    """Say in Google's words what Python's parser found."""
    text, at = error.doc, error.pos
    rest = text[at:].lstrip()
    opened = _open(text[:at])
    if error.msg == "Expecting ',' delimiter":
        message = f"Expected , or {opened} after {_AFTER[opened]}."
    elif error.msg == "Expecting value":
        inside = " or ] within an array" if opened == "]" else ""
        known = rest and (rest[0].isalnum() or rest[0] in "{}[]:,_$-'")
        message = "Unexpected token." if known else f"Expected a value{inside}."
    else:
        message = _WORDS.get(error.msg, "Unexpected token.")
    if not rest or error.msg.startswith("Unterminated"):
        return f"Unexpected end of string. {message}\n\n^"
    begin = max(at - _AROUND, 0)
    return f"{message}\n{text[begin : at + _AROUND]}\n{' ' * (at - begin)}^"


def _open(text: str) -> str:
    """Return what would close the innermost object or list that is open at the end of ``text``."""
    depth = 0
    brackets = _NO_BRACKETS.sub("", _STRING.sub("", text))
    for character in reversed(brackets[-_MOST_BRACKETS:]):
        if character in "]}":
            depth += 1
        elif character in "[{":
            if not depth:
                return "]" if character == "[" else "}"
            depth -= 1
    return "}"
