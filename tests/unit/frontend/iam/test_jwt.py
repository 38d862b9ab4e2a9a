"""Claims that are times."""

import pytest

from fogbank.frontend.iam.jwt import BadTokenError, seconds_of


@pytest.mark.parametrize("value", [None, "1", True, [], 10**400, -(10**400)])
def test_what_is_no_time_is_refused(value):
    with pytest.raises(BadTokenError, match="no time"):
        seconds_of({"exp": value}, "exp")


def test_a_number_is_a_time():
    assert seconds_of({"exp": 7}, "exp") == 7.0
