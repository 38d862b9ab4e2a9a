"""What IAM calls a request to a cluster: always a permission that some role of Google's has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.resources.kubernetes_permissions import permission_of
from fogbank.resources.predefined_roles import roles_with

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")


@pytest.mark.parametrize(
    ("attributes", "permission"),
    [
        ({"verb": "watch", "resource": "pods"}, "container.pods.list"),
        ({"verb": "get", "resource": "pods", "subresource": "log"}, "container.pods.getLogs"),
        ({"verb": "create", "resource": "pods", "subresource": "exec"}, "container.pods.exec"),
        ({"verb": "patch", "resource": "configmaps"}, "container.configMaps.update"),
        ({"verb": "get", "resource": "widgets", "group": "example.com"}, "container.thirdPartyObjects.get"),
        ({"verb": "update", "resource": "pods", "subresource": "status"}, "container.pods.updateStatus"),
        (
            {"verb": "create", "resource": "serviceaccounts", "subresource": "token"},
            "container.serviceAccounts.createToken",
        ),
        ({"verb": "create", "resource": "pods", "subresource": "ephemeral"}, "container.pods.create"),
        (
            {"verb": "update", "resource": "certificatesigningrequests", "subresource": "approval"},
            "container.certificateSigningRequests.approve",
        ),
    ],
)
def test_a_request_is_called_as_iam_calls_it(attributes, permission):
    assert permission_of(attributes) == permission


@given(st.sampled_from(VERBS), st.text(max_size=20))
def test_whatever_the_resource_is_its_permission_is_one_that_a_role_has(verb, resource):
    assert roles_with(permission_of({"verb": verb, "resource": resource}))
