"""IAM conditions: expressions that hold or not for a resource at a time."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.errors import ApiError
from fogbank.resources.conditions import Attributes, ConditionError, parse_condition

SATURDAY = datetime(2026, 11, 28, 23, 30, 15, 250_000, tzinfo=UTC)
SECRET = Attributes(
    "projects/123/secrets/dev-key",
    "secretmanager.googleapis.com/Secret",
    "secretmanager.googleapis.com",
    SATURDAY,
)


def holds(expression, about=SECRET):
    return parse_condition(expression).holds(about)


@pytest.mark.parametrize(
    "expression",
    [
        "true",
        "request.time < timestamp('2026-11-29T00:00:00Z')",
        'request.time >= timestamp("2026-11-29T08:30:15.25+09:00")',
        "request.time.getDayOfWeek() == 6 && request.time.getDayOfWeek('Asia/Seoul') == 0",
        "request.time.getHours('-08:00') == 15 && request.time.getHours(\"Europe/Berlin\") == 0",
        "request.time.getMonth() == 10 && request.time.getDate() == 28 && request.time.getDayOfMonth() == 27",
        "request.time.getFullYear() == 2026 && request.time.getDayOfYear() == 331",
        "request.time.getMinutes() == 30 && request.time.getSeconds() == 15",
        "request.time.getMilliseconds() == 250",
        "request.time - timestamp('2026-11-28T00:00:00Z') < duration('24h')",
        "request.time + duration('1h30m') > timestamp('2026-11-29T00:59:59Z')",
        "resource.name.startsWith('projects/123/secrets/dev-') && resource.name.endsWith('-key')",
        "resource.type == 'secretmanager.googleapis.com/Secret'",
        "resource.service != 'compute.googleapis.com'",
        "resource.name.extract('projects/{number}/') == '123'",
        "resource.name.extract('/secrets/{secret}') == 'dev-key'",
        "resource.name.extract('/disks/{disk}/') == ''",
        "resource.name == 'projects/' + '123' + \"/secrets/dev-key\"",
        "resource.type in ['a', 'secretmanager.googleapis.com/Secret']",
        "!(resource.type == 'x') && (false || true)",
        "false && false || true",
        "true || false && false",
    ],
)
def test_what_google_documents_is_evaluated(expression):
    assert holds(expression)
    assert not holds(f"!({expression})")


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "unexpected end"),
        ("resource.name", "of type 'string', not 'bool'"),
        ("resource.nam == 'x'", "undeclared reference to 'resource.nam'"),
        ("resource == 'x'", "undeclared reference to 'resource'"),
        ("size(resource.name) > 1", "undeclared reference to 'size'"),
        ("resource.name == 1", r"no matching overload for '==' applied to '\(string, int\)'"),
        ("request.time < '2026'", r"'<' applied to '\(timestamp, string\)'"),
        ("resource.name.startsWith(1)", r"'startsWith' applied to '\(string, int\)'"),
        ("resource.name.lowerAscii() == 'x'", "'lowerAscii'"),
        ("true && 'x'", "'&&'"),
        ("!1 == 1", "'!'"),
        ("resource.name - 'x' == ''", "'-'"),
        ("true true", "syntax error at 'true'"),
        ("(true", "unexpected end"),
        ("true &", "syntax error at character 5"),
        ("resource.name == 'x", "syntax error at character 17"),
        ("request.time < timestamp('soon')", "invalid timestamp 'soon'"),
        ("request.time < timestamp('2026-02-30T00:00:00Z')", "invalid timestamp"),
        ("duration('1 day') < duration('s')", "invalid duration"),
        ("request.time.getHours('Mars/Base') == 1", "unknown time zone 'Mars/Base'"),
        ("request.time.getHours('../../etc/passwd') == 1", "unknown time zone"),
        ("resource.name.extract('no braces') == ''", "needs a literal"),
        ("resource.name in []", "a list must have values"),
        ("true || " * 13 + "true", "more than 12 logical operators"),
        ("(" * 100 + "true" + ")" * 100, "nested too deeply"),
        (f"resource.name == '{'x' * 5000}'", "more than 4096 characters"),
    ],
)
def test_what_is_no_expression_is_refused_with_the_reason(expression, why):
    with pytest.raises(ConditionError, match=why):
        parse_condition(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "resource.matchTag('123/env', 'prod')",
        "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['roles/viewer'])",
        "destination.port == 22",
        "request.path.startsWith('/admin')",
        "'levels/x' in request.auth.access_levels",
        "request.time < timestamp(resource.name)",
    ],
)
def test_what_this_region_cannot_know_is_refused_by_name(expression):
    with pytest.raises(ApiError, match="does not implement") as refusal:
        parse_condition(expression)
    assert refusal.value.status == "UNIMPLEMENTED"


def test_a_time_beyond_the_calendar_grants_nothing():
    late = "timestamp('9999-12-31T00:00:00Z') + duration('999999h') > request.time"
    assert not holds(late)
    assert not holds(f"!({late})")


moments = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(moments, moments)
def test_an_expiry_holds_until_its_moment_and_never_after(now, expiry):
    about = Attributes("n", "t", "s", now)
    text = expiry.isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert holds(f"request.time < timestamp('{text}')", about) == (now < expiry)
    seconds = int((now - datetime(1990, 1, 1, tzinfo=UTC)) / timedelta(seconds=1))
    since = f"request.time - timestamp('1990-01-01T00:00:00Z') >= duration('{seconds}s')"
    assert holds(since, about)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_as_no_expression(text):
    with suppress(ConditionError, ApiError):
        assert holds(text) in {True, False}


@given(
    st.lists(
        st.sampled_from(["true", "false", "!", "&&", "||", "(", ")", "==", "resource.name", "'x'", "."]),
        max_size=14,
    )
)
def test_any_tokens_are_read_or_refused_as_no_expression(tokens):
    with suppress(ConditionError):
        assert holds(" ".join(tokens)) in {True, False}
