"""Fields that compute leaves out can be found by whoever mistyped one."""

import logging

import pytest

from fogbank.frontend.api.unknown_fields import UnknownField, UnknownFields


def test_a_field_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    fields = UnknownFields()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            fields.note("compute.v1.networks.insert", ["mtuu"])
    assert fields.list() == (UnknownField("compute.v1.networks.insert", "mtuu", 3),)
    assert caplog.text.count("mtuu") == 1


def test_a_client_that_sends_endless_names_fills_no_memory(caplog: pytest.LogCaptureFixture) -> None:
    fields = UnknownFields()
    with caplog.at_level(logging.CRITICAL):
        fields.note("compute.v1.networks.insert", (f"{number}{'x' * 10_000}" for number in range(1000)))
    assert sum(len(each.field) for each in fields.list()) <= 100 * 200
