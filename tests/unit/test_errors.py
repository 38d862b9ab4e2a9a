"""The words of refusals that no one service owns."""

import pytest

from fogbank.errors import not_implemented

PLAIN = "Fogbank does not implement {} yet. See docs/reference/coverage.md for what it does."


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("redis.v1.projects.locations.instances.list", ""),
        ("compute.beta.instances.insert", ""),
        ("logging.v2.entries.list", " To read what services wrote: fogbank logs SERVICE"),
        ("logging.v2.entries.tail", " To read what services wrote: fogbank logs SERVICE"),
    ],
)
def test_an_unbuilt_method_is_named_and_points_to_a_command_where_there_is_one(method, more):
    error = not_implemented(method)
    assert (error.code, error.message) == (501, PLAIN.format(method) + more)
