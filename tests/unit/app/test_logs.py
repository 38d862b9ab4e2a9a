"""The log has a limit for what clients cause."""

import logging

import pytest

from fogbank.app.logs import BURST, LONGEST_MESSAGE, Bounded, Formatter


class Time:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


def record(text, *arguments):
    return logging.LogRecord("door", logging.INFO, "", 0, text, arguments, None)


def test_a_flood_of_one_kind_is_cut_and_its_size_is_told(time):
    bounded = Bounded(time)
    passed = [bounded.filter(record("refused %s", number)) for number in range(1000)]
    assert passed.count(True) == BURST
    assert bounded.filter(record("something else"))
    time.now = 5.0
    late = record("refused %s", 7)
    assert bounded.filter(late)
    assert late.getMessage() == "refused 7 (980 more like this were not written)"


def test_a_long_message_is_cut():
    assert len(Formatter("%(message)s").format(record("x" * 100_000))) == LONGEST_MESSAGE + 1


def test_a_long_traceback_is_cut_in_the_middle():
    error = ValueError("y" * 100_000)
    text = Formatter().formatException((ValueError, error, None))
    assert len(text) < 10_000
    assert text.startswith("ValueError: yyy")
