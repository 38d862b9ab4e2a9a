"""Services and Google's descriptions agree on what there is."""

import pytest

from fogbank.app.registry import APIS, services
from fogbank.discovery.routes import methods
from fogbank.discovery.tables import documents


def described(service):
    """List the ids of Google's methods of a service: with and without the version."""
    own = [d for d in documents().values() if d.api == service.name and d.version in service.versions]
    return {name for d in own for m in methods(d.name) for name in (m, f"{d.version}.{m}")}


@pytest.mark.parametrize("service", services(), ids=lambda service: service.name)
def test_every_handler_is_of_a_method_that_google_has(service):
    assert sorted(service.methods.keys() - described(service)) == []


def test_every_service_is_registered_once_and_under_its_own_name():
    assert [service.name for service in services()] == list(APIS)
    assert len(set(APIS)) == len(APIS)
    assert list(APIS) == sorted(APIS)
