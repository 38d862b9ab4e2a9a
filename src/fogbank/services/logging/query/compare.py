"""What one comparison means: a function from a value of an entry to whether it holds.

A value is compared as what the field is, or in payloads as what it is itself: texts without regard to
case, numbers by size, times by moment. A field that is missing makes every comparison false, ``!=`` too
(behaviour/logging.md#query-language).
"""

import operator
from collections.abc import Callable
from typing import Any

from fogbank.errors import ApiError
from fogbank.resources.log_entries import SEVERITIES, nanoseconds
from fogbank.resources.regular_expressions import BadPatternError, compile_pattern
from fogbank.services.logging.query.fields import kind_of, leaves, seconds_of, shown
from fogbank.services.logging.query.tree import Comparison, Operator

Test = Callable[[Any], bool]

_ORDERS: dict[Operator, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def value_test(comparison: Comparison) -> Test:
    """Make the test of one value; Google's 400 when the comparison's own value is none of the field's."""
    match comparison.operator:
        case "=~" | "!~":
            return _matches(comparison)
        case ":":
            return _has(comparison)
        case _:
            return _compares(comparison)


def _matches(comparison: Comparison) -> Test:
    try:
        pattern = compile_pattern(comparison.value)
    except BadPatternError as error:
        raise _bad(comparison, f"invalid regular expression: {error}") from error
    wanted = comparison.operator == "=~"
    return lambda value: (pattern.search(shown(value)) is not None) == wanted


def _has(comparison: Comparison) -> Test:
    """Test for a part of a text, whatever its case; of an object, for a key or a part of any text in it."""
    if comparison.value == "*" and not comparison.quoted:
        return lambda _value: True
    wanted = comparison.value.lower()

    def has(value: Any) -> bool:
        if isinstance(value, dict):
            return comparison.value in value or any(wanted in shown(leaf).lower() for leaf in leaves(value))
        return wanted in shown(value).lower()

    if kind_of(comparison.path) in {"severity", "number", "time", "duration"}:
        equal = _compares(Comparison(comparison.path, "=", comparison.value, comparison.quoted))
        return lambda value: equal(value) or has(value)
    return has


def _compares(comparison: Comparison) -> Test:
    order = _ORDERS[comparison.operator]
    match kind_of(comparison.path):
        case "severity":
            wanted = _severity(comparison)
            return lambda value: order(SEVERITIES.get(str(value), 0), wanted)
        case "time":
            moment = _time(comparison)
            return lambda value: order(nanoseconds(str(value)), moment)
        case "duration":
            return _converted(comparison, order, seconds_of)
        case "number":
            return _converted(comparison, order, float)
        case _:
            return _by_its_type(comparison, order)


def _converted(
    comparison: Comparison, order: Callable[[Any, Any], bool], read: Callable[[str], float]
) -> Test:
    try:
        wanted = read(comparison.value)
    except ValueError as error:
        raise _bad(comparison, f"cannot compare with '{comparison.value}'") from error

    def compares(value: Any) -> bool:
        try:
            return order(read(str(value)), wanted)
        except ValueError:
            return False

    return compares


def _by_its_type(comparison: Comparison, order: Callable[[Any, Any], bool]) -> Test:
    text = comparison.value.lower()
    number = _number(comparison.value)

    def compares(value: Any) -> bool:
        if isinstance(value, bool):
            return text in {"true", "false"} and order(value, text == "true")
        if isinstance(value, (int, float)):
            return number is not None and order(value, number)
        if value is None:
            return comparison.operator in {"=", "!="} and order(comparison.value, "NULL_VALUE")
        return isinstance(value, str) and order(value.lower(), text)

    return compares


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _severity(comparison: Comparison) -> int:
    name = comparison.value.upper()
    if name in SEVERITIES:
        return SEVERITIES[name]
    if name.isascii() and name.isdigit() and len(name) < 10:
        return int(name)
    raise _bad(comparison, f"'{comparison.value}' is not a severity")


def _time(comparison: Comparison) -> int:
    try:
        return nanoseconds(comparison.value)
    except (ValueError, OverflowError) as error:
        raise _bad(comparison, f"'{comparison.value}' is not a time") from error


def _bad(comparison: Comparison, why: str) -> ApiError:
    message = f"Unparseable filter: {'.'.join(comparison.path)}: {why}"
    return ApiError(400, message[:1000], "INVALID_ARGUMENT", "badRequest")
