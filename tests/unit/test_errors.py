"""The words of refusals that no one service owns."""

import pytest

from fogbank.errors import invalid_value, not_implemented

PLAIN = "Fogbank does not implement {} yet. See docs/reference/coverage.md for what it does."


@pytest.mark.parametrize("method", ["redis.v1.projects.locations.list", "compute.beta.instances.insert"])
def test_an_unbuilt_method_is_named(method):
    error = not_implemented(method)
    assert (error.code, error.message) == (400, PLAIN.format(method))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        (7, "7"),
        (True, "true"),
        (None, "null"),
        (["10.0.0.0/8"], '["10.0.0.0/8"]'),
        ({"enable": False}, '{"enable": false}'),
    ],
)
def test_a_refused_value_is_written_as_its_client_wrote_it(value, text):
    assert str(invalid_value("resource.x", value, "Why.")) == (
        f"Invalid value for field 'resource.x': '{text}'. Why."
    )
