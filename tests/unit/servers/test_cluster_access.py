"""What a control plane is told of its callers: whose a token is, and what IAM lets that account do."""

import json

import pytest
from tests.cloud_calls import ME, NOW, PLACE, PROJECT, Cloud

from fogbank.errors import ApiError
from fogbank.frontend.http.asgi import HttpRequest
from fogbank.resources.authorization import Policies
from fogbank.resources.clusters import CLUSTERS, Cluster
from fogbank.resources.names import ResourceName
from fogbank.servers.cluster_access import ClusterAccess

VIEWER = "viewer@example.com"


def authenticate(authorization):
    """Know one token."""
    if authorization != "Bearer good":
        raise ApiError(401, "Request had invalid authentication credentials.", "UNAUTHENTICATED", "authError")
    return ME


@pytest.fixture
def ask():
    cloud = Cloud()
    cloud.subnetwork("default")
    body = {"cluster": {"name": "one", "nodePools": [{"name": "p", "initialNodeCount": 0}]}}
    cloud("container.v1.projects.locations.clusters.create", body, parent=PLACE)
    cloud.bind(PROJECT, "roles/container.viewer", f"user:{VIEWER}")
    found = cloud.world.find(ResourceName(CLUSTERS, f"{PLACE}/clusters/one"))
    assert found
    access = ClusterAccess(lambda: cloud.world, authenticate, Policies("", lambda: NOW))

    own = Cluster.of(found).server

    def asked(path, spec, server=own):
        review = {"apiVersion": "v1", "kind": "Review", "spec": spec}
        request = HttpRequest("POST", "", path, "", {}, json.dumps(review).encode(), "127.0.0.1")
        answer = json.loads(access.answer(server, request).body)
        assert (answer["apiVersion"], answer["kind"]) == ("v1", "Review")
        return answer["status"]

    return asked


def wants(verb, resource, user=VIEWER):
    return {"user": user, "resourceAttributes": {"verb": verb, "resource": resource}}


def test_a_token_of_the_regions_is_somebodys(ask):
    assert ask("/authenticate", {"token": "good"})["user"]["username"] == ME
    refused = ask("/authenticate", {"token": "bad"})
    assert refused["authenticated"] is False


def test_iam_allows_what_a_role_gives_and_names_what_is_missing(ask):
    assert ask("/authorize", wants("list", "pods")) == {"allowed": True}
    refused = ask("/authorize", wants("create", "pods"))
    assert refused["allowed"] is False
    assert "container.pods.create" in refused["reason"]


@pytest.mark.parametrize("user", ["system:anonymous", "system:serviceaccount:default:default"])
def test_kubernetes_own_users_are_left_to_its_own_roles(ask, user):
    assert ask("/authorize", wants("list", "pods", user)) == {"allowed": False}


def test_what_is_no_cluster_allows_nothing(ask):
    assert ask("/authorize", wants("list", "pods"), "container-1") == {"allowed": False}
