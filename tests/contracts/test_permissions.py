"""Every method says which IAM permission it needs, in Google's names, and Google's basic roles have it."""

import re

import pytest

from fogbank.app.registry import services
from fogbank.discovery.routes import methods, split_template
from fogbank.discovery.tables import documents
from fogbank.frontend.api.authorization import CREATE_PROJECT
from fogbank.frontend.api.operation_methods import is_operation_method, operation_permission
from fogbank.resources.policies import INVOKE
from fogbank.resources.predefined_roles import known_permissions, role_titles, roles_with
from fogbank.services.contract import NO_PERMISSION, Write, catalogue_of

PERMISSION = re.compile(r"[a-z]+(\.[a-zA-Z]+){2}")
VERBS = {"insert": "create", "patch": "update", "aggregatedList": "list", "listUsable": "list"}
OTHER_NAMES = {
    **{
        f"compute.{collection}.{verb}": f"compute.{kind}.{permission}"
        for collection, kind in (
            ("networkFirewallPolicies", "firewallPolicies"),
            ("regionNetworkFirewallPolicies", "regionFirewallPolicies"),
        )
        for permission, verbs in {
            "create": ("insert",),
            "get": ("get", "getRule", "getAssociation", "getEffectiveFirewalls"),
            "list": ("list", "aggregatedList"),
            "update": ("patch", "addRule", "patchRule", "removeRule"),
            "use": ("addAssociation", "removeAssociation"),
            "delete": ("delete",),
            "cloneRules": ("cloneRules",),
            "getIamPolicy": ("getIamPolicy",),
            "setIamPolicy": ("setIamPolicy",),
        }.items()
        for verb in verbs
    },
    **{
        f"compute.{collection}.{verb}": f"compute.{kind}.{permission}"
        for collection, kind in (
            ("instanceGroups", "instanceGroups"),
            ("regionInstanceGroups", "instanceGroups"),
            ("instanceGroupManagers", "instanceGroupManagers"),
            ("regionInstanceGroupManagers", "instanceGroupManagers"),
            ("regionInstanceTemplates", "instanceTemplates"),
            ("regionAutoscalers", "autoscalers"),
        )
        for permission, verbs in {
            "create": ("insert",),
            "get": ("get", "listManagedInstances", "listErrors", "listPerInstanceConfigs"),
            "list": ("list", "aggregatedList", "listInstances"),
            "update": (
                "patch",
                "resize",
                "setInstanceTemplate",
                "recreateInstances",
                "deleteInstances",
                "abandonInstances",
                "applyUpdatesToInstances",
                "addInstances",
                "removeInstances",
                "setNamedPorts",
            ),
            "delete": ("delete",),
        }.items()
        for verb in verbs
    },
    "compute.imageFamilyViews.get": "compute.images.getFromFamily",
    "compute.backendServices.getHealth": "compute.backendServices.get",
    "compute.regionBackendServices.getHealth": "compute.regionBackendServices.get",
    "compute.networkEndpointGroups.listNetworkEndpoints": "compute.networkEndpointGroups.get",
    "compute.targetTcpProxies.setBackendService": "compute.targetTcpProxies.update",
    "compute.targetTcpProxies.setProxyHeader": "compute.targetTcpProxies.update",
    "compute.instances.bulkInsert": "compute.instances.create",
    "compute.networks.requestRemovePeering": "compute.networks.removePeering",
    "compute.networks.cancelRequestRemovePeering": "compute.networks.removePeering",
    **{
        f"compute.projects.{verb}": f"compute.organizations.{verb}"
        for verb in ("enableXpnHost", "disableXpnHost", "enableXpnResource", "disableXpnResource")
    },
    "compute.projects.getXpnHost": "compute.projects.get",
    "compute.projects.getXpnResources": "compute.projects.get",
    "compute.projects.listXpnHosts": "compute.projects.get",
    "compute.routers.preview": "compute.routers.update",
    "compute.routers.getNatMappingInfo": "compute.routers.get",
    "compute.routers.getNatIpInfo": "compute.routers.get",
    "compute.routers.getRouterStatus": "compute.routers.get",
    "compute.vpnGateways.getStatus": "compute.vpnGateways.get",
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
    # Methods of tags whose resource is in the body, the query or an escaped name ask by themselves.
    asks = re.compile(r"cloudresourcemanager\.v3\.(tag(Keys|Values|Bindings)|effectiveTags)\.")
    without = [name for name, m in METHODS if m.permission == NO_PERMISSION and not asks.match(name)]
    free = {name.rpartition(".")[2] for name in without}
    assert free == {
        "testIamPermissions",
        "queryTestablePermissions",
        "get",
        "list",
        "search",
        "getAllowedLocations",
        "lintPolicy",
    }
    readable = {name for name in without if name.endswith(("get", "list"))}
    assert readable == {
        "iam.roles.get",  # Google's own roles
        "iam.roles.list",
        "cloudresourcemanager.v1.projects.list",  # those that the caller may get
        "cloudresourcemanager.v3.projects.list",
        "sqladmin.sql.flags.list",  # of no project
    }


@pytest.mark.parametrize(("name", "method"), [each for each in NEEDED if each[0].startswith("compute.")])
def test_permissions_of_compute_are_named_after_collections_and_verbs(name, method):
    collection, _, verb = name.rpartition(".")
    assert method.permission == OTHER_NAMES.get(name, f"{collection}.{VERBS.get(verb, verb)}")


@pytest.mark.parametrize(("name", "method"), NEEDED)
def test_an_owner_has_the_permission_of_every_method_or_can_give_it_to_himself(name, method):
    # Google's owners make no tokens of accounts before they have bound the token creator's role.
    # Only an organization's Shared VPC admins make hosts and attach projects to them.
    roles = {"roles/owner", "roles/iam.serviceAccountTokenCreator", "roles/compute.xpnAdmin"}
    assert method.permission == CREATE_PROJECT or roles & roles_with(method.permission)


@pytest.mark.parametrize(("name", "method"), NEEDED)
def test_a_viewer_reads_everything_and_writes_nothing(name, method):
    if method.permission.endswith((".get", ".list")):
        assert "roles/viewer" in roles_with(method.permission)
    if isinstance(method, Write):
        assert "roles/viewer" not in roles_with(method.permission)


@pytest.mark.parametrize(("name", "permission"), OPERATIONS)
def test_methods_of_operations_have_permissions_too(name, permission):
    assert PERMISSION.fullmatch(permission), name
    assert "roles/owner" in roles_with(permission)


def test_every_permission_is_one_of_googles():
    known = set(known_permissions())
    assert set(catalogue_of(services()).permissions) <= known
    assert {permission for _, permission in OPERATIONS} <= known


def test_the_roles_of_the_articles_have_what_google_says():
    # behaviour/iam.md#roles
    assert "roles/run.developer" in roles_with("run.services.create")
    assert "roles/run.developer" not in roles_with("run.services.setIamPolicy")
    assert "roles/run.admin" in roles_with("run.services.setIamPolicy")
    assert roles_with(INVOKE) >= {"roles/run.invoker", "roles/run.servicesInvoker", "roles/owner"}
    assert "roles/iam.serviceAccountUser" in roles_with("iam.serviceAccounts.actAs")
    assert "roles/run.developer" not in roles_with("iam.serviceAccounts.actAs")
    assert "roles/owner" not in roles_with("iam.serviceAccounts.getAccessToken")
    assert "roles/editor" not in roles_with("resourcemanager.projects.setIamPolicy")
    assert "roles/vpcaccess.user" in roles_with("vpcaccess.connectors.use")
    assert "roles/vpcaccess.user" not in roles_with("vpcaccess.connectors.delete")
    assert {"roles/compute.networkAdmin", "roles/storage.objectViewer"} <= role_titles().keys()


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_no_query_parameter_says_what_a_call_is_about(name, method):
    # What is authorized is what the path names; a handler must not be told otherwise beside it.
    # There it only chooses among what the path names.
    chosen = {"dns.resourceRecordSets.list", "sqladmin.sql.users.delete", "sqladmin.sql.users.update"}
    chosen.add("cloudresourcemanager.v3.tagKeys.list")  # its permission is asked on the project named there
    if name in chosen or name.endswith("Association"):
        return
    api, _, rest = name.partition(".")
    for document in documents().values():
        if document.api != api or method == NO_PERMISSION:
            continue
        found = methods(document.name).get(rest.removeprefix(f"{document.version}."))
        if found is not None and method.permission != NO_PERMISSION:
            in_path = {parameter for parameter, _, _ in split_template(found.path)[2]}
            beside = found.query.keys() - in_path
            if api == "container":  # the names of an older path, which nothing reads
                beside -= {"projectId"}
            assert {"name", "parent", "resource", "project", "projectId"} & beside == set()
