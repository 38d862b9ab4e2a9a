"""JSON of clients: what is believed, and in which words the rest is refused."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.identities import ask

from fogbank.errors import ApiError
from fogbank.frontend.http.json_bodies import BadJsonError, parse_json
from fogbank.frontend.iam.jwt import BadTokenError, encode_part, parse
from fogbank.frontend.iam.oauth import OAuth

DEEP = b'{"a":' * 100_000

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars.filter(lambda v: v not in {float("inf"), float("-inf")}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(values, st.booleans())
def test_json_is_read_as_it_was_written(value, ascii_only):
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=60) | st.text('{}[]":,\\u0dn1-.e ', max_size=30))
def test_anything_is_json_or_is_refused_without_pythons_words(content):
    said = ""
    try:
        json.dumps(parse_json(content), ensure_ascii=False, allow_nan=False).encode()
    except BadJsonError as error:
        said = str(error)
    assert "char " not in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("NO_BRACES_JSON", "Unexpected token.\nNO_BRACES_JSON\n^"),
        ('{"theme" : "Children"', "Unexpected end of string. Expected , or } after key:value pair.\n\n^"),
        ('{"theme"  "x"}', 'Expected : between key:value pair.\n{"theme"  "x"}\n          ^'),
        ('{"theme" : "x"}!', 'Parsing terminated before end of input.\n{"theme" : "x"}!\n               ^'),
        ("[1 2]", "Expected , or ] after array value.\n[1 2]\n   ^"),
        ("[*]", "Expected a value or ] within an array.\n[*]\n ^"),
        ('{"a": NaN}', "Unexpected token."),
        ("1e999", "Number exceeds the range of double."),
        ("1" * 5000, "Number exceeds the range of double."),
        (b"\xff", "Encountered non UTF-8 code points."),
        (b'"\xed\xa0\x80"', "Encountered non UTF-8 code points."),
        (r'"\ud800"', "Invalid low surrogate."),
        (DEEP, "Message too deep. Max recursion depth reached."),
        ("[" * 101 + "]" * 101, "Message too deep. Max recursion depth reached."),
    ],
)
def test_what_is_no_json_is_refused_in_googles_words(content, message):
    with pytest.raises(BadJsonError) as caught:
        parse_json(content)
    assert str(caught.value) == message


def test_a_hundred_lists_may_stand_in_one_another():
    assert str(parse_json("[" * 100 + "]" * 100)) == "[" * 100 + "]" * 100


@pytest.mark.parametrize("part", [DEEP, b'{"alg":"RS256","iss":"\\ud800"}', b"\xff"])
def test_a_token_of_broken_json_is_not_believed(region, part):
    token = f"{encode_part(part)}.{encode_part(part)}.AA"
    with pytest.raises(BadTokenError):
        parse(token)
    with pytest.raises(ApiError) as caught:
        region.identity.authenticate(f"Bearer {token}")
    assert caught.value.code == 401
    answer = OAuth(region.identity).answer(
        ask(
            "POST",
            "https://oauth2.googleapis.com/token",
            form={"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": token},
        )
    )
    assert (answer.status, json.loads(answer.body)["error"]) == (400, "invalid_grant")


def test_a_form_of_broken_json_has_no_fields(region):
    request = replace(ask("POST", "https://oauth2.googleapis.com/token"), body=DEEP)
    answer = OAuth(region.identity).answer(request)
    assert (answer.status, json.loads(answer.body)["error"]) == (400, "invalid_request")
