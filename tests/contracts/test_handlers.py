"""Services and Google's descriptions agree on what there is."""

import pytest
from tools import generate_discovery

from fogbank.app.registry import APIS, services
from fogbank.discovery.routes import methods
from fogbank.discovery.tables import FOLDER, documents
from fogbank.frontend.api.error_envelopes import unbuilt_dialect


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


def test_schemas_are_there_for_exactly_what_is_built():
    written = {path.name.removesuffix(".schemas") for path in FOLDER.glob("*.schemas")}
    assert written == set(generate_discovery.built()), "run: make generate"
    assert documents().keys() == {*written, *generate_discovery.KNOWN}, "run: make generate"


@pytest.mark.parametrize("service", services(), ids=lambda service: service.name)
def test_an_api_writes_errors_as_it_did_before_it_was_built(service):
    assert unbuilt_dialect(service.name) in {"status", service.errors}


@pytest.mark.parametrize("service", services(), ids=lambda service: service.name)
def test_titles_and_hosts_are_those_of_googles_descriptions(service):
    for version in service.versions:
        document = documents()[f"{service.name}.{version}"]
        assert (document.title, document.host) == (service.title, service.host)
