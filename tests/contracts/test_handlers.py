"""Services and Google's descriptions agree on what there is."""

from fogbank.frontend.api.service_registry import registered, unknown_handlers


def test_every_handler_is_of_a_method_that_google_has():
    assert unknown_handlers(registered()) == []


def test_every_service_is_registered_once():
    names = [service.name for service in registered()]
    assert len(names) == len(set(names))
    assert {"compute", "run", "vpcaccess"} <= set(names)
