"""What a line of a container becomes in Cloud Logging."""

import json

import pytest

from fogbank.resources.log_entries import line_fields


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("hello", {"textPayload": "hello"}),
        ("{broken", {"textPayload": "{broken"}),
        ('["a"]', {"textPayload": '["a"]'}),
        ("{" * 2000, {"textPayload": "{" * 2000}),
        ('{"a":' * 150 + "1" + "}" * 150, {"textPayload": '{"a":' * 150 + "1" + "}" * 150}),
    ],
)
def test_a_line_that_is_no_object_is_a_text(line, fields):
    assert line_fields(line) == fields


@pytest.mark.parametrize(
    ("payload", "fields"),
    [
        ({"message": "m"}, {"textPayload": "m"}),
        ({"message": "m", "severity": "error"}, {"severity": "ERROR", "textPayload": "m"}),
        ({"message": "m", "a": 1}, {"jsonPayload": {"message": "m", "a": 1}}),
        ({"severity": "loud", "a": 1}, {"jsonPayload": {"severity": "loud", "a": 1}}),
        ({"severity": ["ERROR"]}, {"jsonPayload": {"severity": ["ERROR"]}}),
        (
            {"time": "2026-01-01T00:00:00.5Z", "message": "m"},
            {"timestamp": "2026-01-01T00:00:00.500Z", "textPayload": "m"},
        ),
        ({"time": "noon", "message": "m"}, {"jsonPayload": {"time": "noon", "message": "m"}}),
        (
            {
                "message": "m",
                "logging.googleapis.com/trace": "projects/p/traces/t",
                "logging.googleapis.com/spanId": "s",
                "logging.googleapis.com/trace_sampled": True,
                "logging.googleapis.com/labels": {"k": 1},
                "logging.googleapis.com/insertId": "i",
                "logging.googleapis.com/sourceLocation": {"file": "f"},
                "httpRequest": {"status": 200},
            },
            {
                "trace": "projects/p/traces/t",
                "spanId": "s",
                "traceSampled": True,
                "labels": {"k": "1"},
                "insertId": "i",
                "sourceLocation": {"file": "f"},
                "httpRequest": {"status": 200},
                "textPayload": "m",
            },
        ),
    ],
)
def test_special_fields_of_a_structured_line_become_the_entrys_own(payload, fields):
    assert line_fields(json.dumps(payload)) == fields


@pytest.mark.parametrize("value", ['"\\ud800"', "NaN", "-Infinity", "1e999"])
def test_a_line_with_a_value_that_no_answer_can_carry_is_text(value):
    line = f'{{"message": "m", "logging.googleapis.com/insertId": {value}}}'
    assert line_fields(line) == {"textPayload": line}
