"""Database flags: what PostgreSQL would not start with is refused before it is stored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.errors import ApiError
from fogbank.services.sqladmin.flags import FLAGS, check_flags, listed_flags

NUMBERS = sorted(name for name, flag in FLAGS.items() if flag.kind == "INTEGER")


@given(st.sampled_from(sorted(FLAGS)), st.text() | st.from_regex(r"[-a-zA-Z0-9'\"$`;\n .]{1,8}"))
def test_no_value_leaves_the_word_that_it_is_given_in(name, value):
    if FLAGS[name].takes(value):
        assert check_flags([{"name": name, "value": value}]) == [{"name": name, "value": value}]
        assert not set(value) & set("'\"\\$`;\n \0")


@given(st.sampled_from(NUMBERS), st.integers())
def test_a_number_is_taken_exactly_within_the_bounds_that_are_listed(name, value):
    (listed,) = (each for each in listed_flags(()) if each["name"] == name)
    within = int(listed["minValue"]) <= value <= int(listed["maxValue"])
    assert FLAGS[name].takes(str(value)) == within


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_connections", "abc"), ("shared_buffers", "128MB"), ("log_statement", "some"),
        ("autovacuum", "yes"),
        ("random_page_cost", "-1"), ("timezone", "UTC' -c x=y"), ("fsync", "off"),
    ],
)  # fmt: skip
def test_another_value_is_refused(name, value):
    with pytest.raises(ApiError, match="Invalid flag"):
        check_flags([{"name": name, "value": value}])


def test_a_flag_has_one_value():
    twice = [{"name": "work_mem", "value": each} for each in ("64", "65")]
    with pytest.raises(ApiError, match="twice"):
        check_flags(twice)
