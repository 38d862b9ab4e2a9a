"""The Logging query language: which entries a query keeps, and what it refuses."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.errors import ApiError
from fogbank.resources.log_entries import nanoseconds
from fogbank.services.logging.query.compile import compile_query
from fogbank.services.logging.query.parse import parse
from fogbank.services.logging.query.tree import And, Comparison, Not, Or

ENTRY = {
    "logName": "projects/p/logs/run.googleapis.com%2Fstdout",
    "resource": {"type": "cloud_run_revision", "labels": {"service_name": "prod"}},
    "timestamp": "2026-01-02T03:04:05.123456789Z",
    "insertId": "a1",
    "labels": {"a.b/c": "x", "instanceId": "i-1"},
    "jsonPayload": {"a": {"b": 3, "ok": True, "none": None}, "s": "Hello World", "list": [1, {"n": "two"}]},
    "httpRequest": {
        "status": 503,
        "latency": "0.5s",
        "responseSize": "77",
        "remoteIp": "10.0.0.7",
        "userAgent": "curl/8",
    },
}
GCLOUD = (
    "resource.type = cloud_run_revision \n AND resource.labels.service_name = prod \n "
    'AND severity >= DEFAULT \n AND timestamp>="2026-01-01T00:00:00.1Z"'
)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "  -- a comment alone",
        GCLOUD,
        'resource.type="cloud_run_revision"',
        "resource.type=CLOUD_RUN_REVISION",
        "timestamp>=2026-01-02T03:04:05.123456789Z",
        'timestamp<"2026-01-02T03:04:05.123456790Z"',
        'timestamp>"2026-01-02"',
        'labels."a.b/c"=X',
        "labels.instanceId:i",
        "labels:instanceId",
        'log_id("run.googleapis.com/stdout")',
        'logName="projects/p/logs/run.googleapis.com%2Fstdout"',
        "severity=DEFAULT",
        "severity<ERROR",
        "jsonPayload.a.b=3",
        "jsonPayload.a.b>2",
        "jsonPayload.a.b!=4",
        "jsonPayload.a.ok=true",
        "jsonPayload.a.none=NULL_VALUE",
        'jsonPayload.s:"o w"',
        'jsonPayload.s="hello world"',
        'jsonPayload.s=~"^H.*d$"',
        'jsonPayload.s!~"^W"',
        "jsonPayload.list=1",
        "jsonPayload.list.n=two",
        "jsonPayload.a:*",
        "json_payload.a.b=3",
        "httpRequest.status>=500 httpRequest.latency>400ms httpRequest.responseSize=77",
        "http_request.user_agent:CURL",
        "httpRequest.status=(404 OR 503)",
        "httpRequest.status=(NOT 404 AND (503 OR 504))",
        "NOT jsonPayload.missing=1",
        "-textPayload:x",
        "hello",
        '"Hello W"',
        "nothing OR hello",
        'ip_in_net(httpRequest.remoteIp, "10.0.0.0/8")',
        'SEARCH("WORLD hello")',
        "SEARCH(jsonPayload.s, 'world')",
        "sample(insertId, 1)",
        'source("projects/p")',
        "insertId=a1 OR x AND hello",
    ],
)
def test_a_query_keeps_an_entry(query):
    assert compile_query(query).keep(ENTRY)


@pytest.mark.parametrize(
    "query",
    [
        "severity>=INFO",
        "resource.type=cloud",
        "jsonPayload.missing=1",
        "jsonPayload.missing!=1",
        'jsonPayload.missing=~""',
        "jsonPayload.missing:*",
        'jsonPayload.s=~"^hello"',
        "jsonPayload.a.b<3",
        "jsonPayload.a.b=three",
        "jsonPayload.a.ok=false",
        "timestamp<2026-01-02T03:04:05.123456789Z",
        "hello AND nothing",
        "NOT hello",
        "-hello",
        "httpRequest.status<500",
        "httpRequest.latency>1m",
        'ip_in_net(httpRequest.remoteIp, "192.168.0.0/16")',
        'ip_in_net(jsonPayload.s, "0.0.0.0/0")',
        'SEARCH("hell")',
        "sample(insertId, 0)",
        'source("projects/other")',
        "textPayload:x",
        "(nothing OR hello) AND nothing",
    ],
)
def test_a_query_leaves_an_entry_out(query):
    assert not compile_query(query).keep(ENTRY)


def test_or_binds_closer_than_and():
    # behaviour/logging.md#query-language has this example
    one, two, three, four = (Comparison(("severity",), "=", each) for each in "abcd")
    assert parse("severity=a OR NOT severity=b AND NOT severity=c OR severity=d") == And(
        (Or((one, Not(two))), Or((Not(three), four)))
    )


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("severity>= AND hello", "syntax error at line 1, column 12, token 'AND'"),
        ("a=", "syntax error at line 1, column 3, token ''"),
        ("hello AND\n  )", r"syntax error at line 2, column 3, token '\)'"),
        ('severity="ERROR', "syntax error at line 1, column 10, token '\"'"),
        ("foo=1", "Field not found: 'foo'"),
        ("severity>=LOUD", "'LOUD' is not a severity"),
        ("timestamp>=yesterday", "'yesterday' is not a time"),
        ("timestamp>=2026-13-01", "is not a time"),
        ("httpRequest.status=many", "cannot compare with 'many'"),
        ('jsonPayload.a=~"("', "invalid regular expression: missing"),
        ("regexp_extract(jsonPayload.a, 'x')=1", "does not implement the function regexp_extract"),
        ("unknown(jsonPayload.a)", "syntax error"),
        ("log_id(jsonPayload.a)", "wrong arguments of log_id"),
        ("ip_in_net(httpRequest.remoteIp, 'here')", "Unparseable filter"),
        ("sample(insertId, half)", "is not a fraction"),
        ("(" * 200 + "a" + ")" * 200, "syntax error"),
        ("NOT " * 200 + "a", "syntax error"),
        ("severity=" + "(" * 200 + "a" + ")" * 200, "syntax error"),
        ("a" * 20_001, "which is more than 20000"),
        ("jsonPayload..a=1", "syntax error"),
    ],
)
def test_a_query_is_refused(query, why):
    with pytest.raises(ApiError, match=why) as refused:
        compile_query(query)
    assert refused.value.code == 400


def test_what_a_conjunction_demands_the_store_is_told():
    bounds = compile_query(
        'logName=("projects/p/logs/A" OR "projects/p/logs/b") AND resource.type=Global severity>=ERROR '
        "timestamp>2026-01-01 AND timestamp<=2026-01-02 timestamp<2026-01-05"
    ).bounds
    assert bounds.logs == frozenset({"projects/p/logs/a", "projects/p/logs/b"})
    assert (bounds.types, bounds.severity) == (frozenset({"global"}), 500)
    assert (bounds.since, bounds.until) == (nanoseconds("2026-01-01"), nanoseconds("2026-01-02"))


@pytest.mark.parametrize("query", ["severity>=ERROR OR hello", "NOT resource.type=a", 'NOT logName="x"'])
def test_what_is_no_conjunction_demands_nothing_of_the_store(query):
    assert compile_query(query).bounds == compile_query("").bounds


@given(st.text(alphabet="abl.=<>!~:()\"'-*, \n\\ANDORTseverity0123", max_size=60))
def test_any_text_is_a_query_or_is_refused(text):
    with suppress(ApiError):  # any other error is a bug
        compile_query(text).keep(ENTRY)


WORDS = st.sampled_from(["severity>=ERROR", "hello", "nothing", "jsonPayload.a.b=3", "labels.x=1"])
QUERIES = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" AND ", " OR ", " "]), inner).map(lambda p: f"({''.join(p)})"),
        inner.map(lambda text: f"NOT ({text})"),
    ),
    max_leaves=8,
)


@given(QUERIES, QUERIES)
def test_boolean_operators_are_those_of_logic(first, second):
    keeps = {text: compile_query(text).keep(ENTRY) for text in (first, second)}
    assert compile_query(f"{first} AND {second}").keep(ENTRY) == (keeps[first] and keeps[second])
    assert compile_query(f"({first}) OR ({second})").keep(ENTRY) == (keeps[first] or keeps[second])
    assert compile_query(f"NOT ({first})").keep(ENTRY) != keeps[first]
