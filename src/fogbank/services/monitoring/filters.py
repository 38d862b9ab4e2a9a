"""Filters of Cloud Monitoring: comparisons joined by AND (behaviour/monitoring.md#filters).

``metric.type = "run.googleapis.com/request_count" AND resource.labels.service_name = starts_with("web")``.
"""

import re
from collections.abc import Callable

from fogbank.errors import ApiError, not_built
from fogbank.resources.regular_expressions import BadPatternError, compile_pattern
from fogbank.resources.time_series import Key
from fogbank.resources.wildcards import Fits

_COMPARISON = re.compile(
    r"""\s*(?P<path>[\w.]+(?:\."[^"]*")?)\s*(?P<operator>!=|=|:)\s*"""
    r"""(?:(?P<function>[\w.]+)\s*\((?P<arguments>(?:[^()"]|"(?:[^"\\]|\\.)*")*)\)|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s()"]+))\s*"""
)
_ARGUMENT = re.compile(r'\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_AND = re.compile(r"AND\b\s*")
LONGEST = 2048


def parse_filter(text: str) -> Callable[[Key], bool]:
    """Read a filter; Google's 400 when it is malformed."""
    if len(text) > LONGEST:
        raise _bad(f"the filter has more than {LONGEST} characters")
    tests: list[Callable[[Key], bool]] = []
    at = 0
    while at < len(text):
        found = _COMPARISON.match(text, at)
        if found is None:
            if re.search(r"\b(OR|NOT)\b|\(", text[at:]):
                raise not_built("OR, NOT and parentheses in filters of monitoring")
            raise _bad(f'Could not parse filter "{text[:200]}"')
        tests.append(_comparison(found))
        at = found.end()
        if joined := _AND.match(text, at):
            at = joined.end()
            if at == len(text):
                raise _bad("the filter ends with AND")
    return lambda key: all(test(key) for test in tests)


def _comparison(found: re.Match[str]) -> Callable[[Key], bool]:
    value = found["bare"] if found["quoted"] is None else _plain(found["quoted"])
    if found["function"]:
        fits = _function(found["function"], [_plain(each) for each in _ARGUMENT.findall(found["arguments"])])
    elif found["operator"] == ":":
        fits = _contains(value)
    else:
        fits = _equals(value)
    wanted, read = found["operator"] != "!=", _reader(found["path"])
    return lambda key: fits(read(key)) == wanted


def _reader(path: str) -> Callable[[Key], str]:
    name = path.replace('"', "")
    if name == "metric.type":
        return lambda key: key.metric
    if name == "resource.type":
        return lambda key: key.resource
    if name == "project":
        return lambda key: key.project
    kind, _, label = name.partition(".")
    group, _, label = label.partition(".")
    if group not in {"label", "labels"} or not label or kind not in {"metric", "resource"}:
        raise _bad(f"The field '{path[:100]}' is not known")
    if kind == "metric":
        return lambda key: dict(key.metric_labels).get(label, "")
    return lambda key: dict(key.resource_labels).get(label, "")


def _function(name: str, arguments: list[str]) -> Fits:
    match name, arguments:
        case "starts_with", [start]:
            return lambda text: text.startswith(start)
        case "ends_with", [end]:
            return lambda text: text.endswith(end)
        case "has_substring", [part]:
            return _contains(part)
        case "one_of", [_, *_]:
            return lambda text: text in arguments
        case "monitoring.regex.full_match", [pattern]:
            try:
                compiled = compile_pattern(pattern)
            except BadPatternError as error:
                raise _bad(f"invalid regular expression: {error}") from error
            return lambda text: compiled.fullmatch(text) is not None
        case _:
            raise _bad(f"The function '{name[:100]}' is not known, or has other arguments")


def _contains(part: str) -> Fits:
    return lambda text: part in text


def _equals(value: str) -> Fits:
    return lambda text: text == value


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _bad(why: str) -> ApiError:
    message = f"Field filter had an invalid value: {why}."
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest")
