"""Parameters of a query: typed, refused when unknown, and spelled in either of Google's ways."""

import pytest

from fogbank.errors import ApiError
from fogbank.frontend.api.query import convert_query

TYPES = {"repositoryId": "string", "pageSize": "int32", "snake_case": "string"}


@pytest.mark.parametrize("name", ["repositoryId", "repository_id"])
def test_a_parameter_is_spelled_as_json_or_as_protocol_buffers_do(name):
    assert convert_query([(name, "x"), ("page_size", "7")], TYPES) == {"repositoryId": "x", "pageSize": 7}


def test_a_name_with_underscores_of_its_own_stays():
    assert convert_query([("snake_case", "x")], TYPES) == {"snake_case": "x"}


@pytest.mark.parametrize("name", ["_repositoryId", "snakeCase", "color_x", "Repository_id"])
def test_another_name_is_refused_as_it_was_given(name):
    with pytest.raises(ApiError, match=f'Unknown name "{name}"'):
        convert_query([(name, "x")], TYPES)
