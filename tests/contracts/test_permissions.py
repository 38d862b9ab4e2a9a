"""Every method says which IAM permission it needs, in Google's names, and Google's basic roles have it."""

import re

import pytest

from fogbank.app.registry import services
from fogbank.discovery.routes import methods
from fogbank.discovery.tables import documents
from fogbank.frontend.api.operation_methods import is_operation_method, operation_permission
from fogbank.resources.policies import INVOKE, ROLES, grants
from fogbank.services.contract import NO_PERMISSION, Write, catalogue_of
from fogbank.services.iam.roles import permissions

PERMISSION = re.compile(r"[a-z]+(\.[a-zA-Z]+){2}")
VERBS = {"insert": "create", "patch": "update", "aggregatedList": "list", "listUsable": "list"}
OTHER_NAMES = {
    "compute.routers.preview": "compute.routers.update",
    "compute.routers.getNatMappingInfo": "compute.routers.get",
    "compute.routers.getNatIpInfo": "compute.routers.get",
    "compute.routers.getRouterStatus": "compute.routers.get",
}
"""Methods of compute whose permission is not named after them."""

METHODS = [
    (f"{service.name}.{name}", method) for service in services() for name, method in service.methods.items()
]
NEEDED = [(name, method) for name, method in METHODS if method.permission != NO_PERMISSION]
OPERATIONS = [
    (method.id, operation_permission(service, method))
    for service in services()
    for document in documents().values()
    if document.api == service.name and document.version in service.versions
    for method in methods(document.name).values()
    if is_operation_method(service, method)
]


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_every_method_declares_its_permission(name, method):
    assert method.permission == NO_PERMISSION or PERMISSION.fullmatch(method.permission)


def test_only_what_google_lets_everybody_call_needs_none():
    free = {name.rpartition(".")[2] for name, method in METHODS if method.permission == NO_PERMISSION}
    assert free == {"testIamPermissions", "queryTestablePermissions", "get", "list", "getAllowedLocations"}
    readable = {
        name for name, m in METHODS if m.permission == NO_PERMISSION and name.endswith(("get", "list"))
    }
    assert readable == {"iam.roles.get", "iam.roles.list"}  # Google's own roles


@pytest.mark.parametrize(("name", "method"), [each for each in NEEDED if each[0].startswith("compute.")])
def test_permissions_of_compute_are_named_after_collections_and_verbs(name, method):
    collection, _, verb = name.rpartition(".")
    assert method.permission == OTHER_NAMES.get(name, f"{collection}.{VERBS.get(verb, verb)}")


@pytest.mark.parametrize(("name", "method"), NEEDED)
def test_an_owner_has_the_permission_of_every_method_or_can_give_it_to_himself(name, method):
    # Google's owners make no tokens of accounts before they have bound the token creator's role.
    roles = ("roles/owner", "roles/iam.serviceAccountTokenCreator")
    assert any(grants(role, method.permission) for role in roles)


@pytest.mark.parametrize(("name", "method"), NEEDED)
def test_a_viewer_reads_everything_and_writes_nothing(name, method):
    if method.permission.endswith((".get", ".list")):
        assert grants("roles/viewer", method.permission)
    if isinstance(method, Write):
        assert not grants("roles/viewer", method.permission)


@pytest.mark.parametrize(("name", "permission"), OPERATIONS)
def test_methods_of_operations_have_permissions_too(name, permission):
    assert permission == NO_PERMISSION or PERMISSION.fullmatch(permission)
    assert grants("roles/owner", permission)


def test_every_permission_can_be_looked_up_in_roles():
    known = permissions(catalogue_of(services()))
    assert {method.permission for _, method in NEEDED} <= set(known)
    assert {permission for _, permission in OPERATIONS} - {NO_PERMISSION} <= set(known)
    assert NO_PERMISSION not in known


def test_roles_name_no_permission_that_nothing_asks_about_but_of_what_is_not_built():
    roles = catalogue_of(services()).roles
    named = {held for role in roles.values() for held in role if held and not held.endswith(".")}
    assert named - set(catalogue_of(services()).permissions) == {
        "artifactregistry.repositories.downloadArtifacts",
        "artifactregistry.repositories.uploadArtifacts",
        "iap.tunnelDestGroups.accessViaIAP",
        "iap.tunnelInstances.accessViaIAP",
        "run.jobs.run",
    }


def test_a_role_is_declared_once():
    declared = [role for service in services() for role in service.roles]
    assert len(declared) == len(set(declared))
    assert ROLES.keys().isdisjoint(declared)


def test_what_the_front_end_asks_about_itself_needs_no_roles_of_services():
    assert grants("roles/run.invoker", INVOKE)
    assert grants("roles/iam.serviceAccountTokenCreator", "iam.serviceAccounts.getAccessToken")


def test_testing_permissions_knows_the_roles_of_the_apis():
    roles = catalogue_of(services()).roles
    assert grants("roles/vpcaccess.user", "vpcaccess.connectors.use", roles)
    assert not grants("roles/vpcaccess.user", "vpcaccess.connectors.use")
    assert not grants("roles/vpcaccess.user", "vpcaccess.connectors.delete", roles)
