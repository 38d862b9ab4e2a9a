"""IAM conditions: the part of the Common Expression Language that Google documents for them.

An expression is read once, with its types, into a function of what a call is about; so nothing can go wrong
when permissions are asked but a date beyond the calendar, and that grants nothing. What Google documents and
this region cannot know (tags, access levels, destinations) is refused by name (behaviour/iam.md#conditions).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fogbank.resources.expressions import ExpressionError, Node, Vocabulary, read_expression

MOST_CHARACTERS = 4096
MOST_OPERATORS = 12
"""Logical operators in an expression (IAM's documentation, "Quotas and limits")."""

ConditionError = ExpressionError
"""An expression is none; the message says why."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a permission is asked for: a resource in Google's words, and when.

    ``type`` is as ``secretmanager.googleapis.com/Secret``, ``service`` as ``secretmanager.googleapis.com``.
    """

    name: str
    type: str
    service: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression that was read."""

    _value: Callable[[Attributes], Any]

    def holds(self, about: Attributes) -> bool:
        """Return whether the condition is met; one that cannot be computed is not."""
        try:
            return bool(self._value(about))
        except OverflowError:
            return False


_VOCABULARY = Vocabulary(
    "conditions of IAM policies",
    {
        "request.time": Node("timestamp", lambda about: about.time),
        "resource.name": Node("string", lambda about: about.name),
        "resource.type": Node("string", lambda about: about.type),
        "resource.service": Node("string", lambda about: about.service),
    },
    unbuilt=(
        "api.",
        "destination.",
        "principal.",
        "request.auth.",
        "request.host",
        "request.path",
        "resource.match",
    ),
)


def parse_condition(expression: str) -> Condition:
    """Read an expression; ConditionError when it is none, ApiError (UNIMPLEMENTED) for what is not built."""
    if len(expression) > MOST_CHARACTERS:
        raise ConditionError(f"the expression has more than {MOST_CHARACTERS} characters")
    return Condition(read_expression(expression, _VOCABULARY, most_operators=MOST_OPERATORS))
