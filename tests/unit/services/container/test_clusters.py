"""Clusters as the API has them: what is asked for, refused, shown, and waited for."""

import pytest
from tests.cloud_calls import PLACE, PROJECT, REGION, Cloud

from fogbank.errors import ApiError
from fogbank.resources.clusters import CLUSTERS, Cluster
from fogbank.resources.external_addresses import taken_external
from fogbank.resources.names import ResourceName

API = "container.v1.projects.locations"
NAME = f"{PLACE}/clusters/one"
EMPTY = {"name": "default-pool", "initialNodeCount": 0}


@pytest.fixture
def cloud():
    made = Cloud()
    made.subnetwork("default")
    return made


def create(cloud, name="one", place=PLACE, **fields):
    body = {"cluster": {"name": name, "nodePools": [EMPTY]} | fields}
    return cloud(f"{API}.clusters.create", body, parent=place)


def refusal(cloud, **fields) -> ApiError:
    body = {"cluster": {"name": "one", "nodePools": [EMPTY]} | fields}
    found: ApiError = cloud.refused(f"{API}.clusters.create", body, parent=PLACE)
    return found


def stored(cloud) -> Cluster:
    return Cluster.of(cloud.world.find(ResourceName(CLUSTERS, NAME)))


def test_a_cluster_waits_for_its_control_plane(cloud):
    operation = create(cloud)
    assert (operation["operationType"], operation["status"]) == ("CREATE_CLUSTER", "RUNNING")
    shown = cloud(f"{API}.clusters.get", name=NAME)
    assert (shown["status"], shown["releaseChannel"], shown["nodePools"][0]["initialNodeCount"]) == (
        "PROVISIONING",
        {"channel": "REGULAR"},
        0,
    )
    assert "endpoint" not in shown
    again = cloud(f"{API}.operations.get", name=f"{PLACE}/operations/{operation['name']}")
    assert again == operation


def test_the_address_of_an_endpoint_is_taken_by_nobody_else(cloud):
    create(cloud)
    create(cloud, "two")
    endpoints = {Cluster.of(each).endpoint for each in cloud.world.all(CLUSTERS)}
    assert len(endpoints) == 2
    assert endpoints == taken_external(cloud.world)


def test_a_cluster_that_is_being_made_is_not_changed(cloud):
    operation = create(cloud)
    refused = cloud.refused(f"{API}.clusters.delete", name=NAME)
    assert (refused.code, refused.message) == (
        400,
        f"Cluster is running incompatible operation {operation['name']}.",
    )


def test_a_zone_and_a_region_are_places_of_clusters(cloud):
    zone = f"{REGION}-a"
    create(cloud, place=f"projects/{PROJECT}/locations/{zone}")
    create(cloud)
    every = cloud(f"{API}.clusters.list", parent=f"projects/{PROJECT}/locations/-")["clusters"]
    assert sorted((each["location"], len(each["locations"])) for each in every) == [(REGION, 3), (zone, 1)]
    (one,) = cloud(f"{API}.clusters.list", parent=f"projects/{PROJECT}/locations/{zone}")["clusters"]
    assert f"/zones/{zone}/clusters/one" in one["selfLink"]


def test_secondary_ranges_are_those_of_the_subnetwork(cloud):
    policy = {"clusterSecondaryRangeName": "nowhere", "useIpAliases": True}
    assert '"nowhere"' in refusal(cloud, ipAllocationPolicy=policy).message
    create(cloud, ipAllocationPolicy={"servicesIpv4CidrBlock": "10.99.0.0/20"})
    assert str(stored(cloud).services) == "10.99.0.0/20"


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"nodePools": [EMPTY | {"initialNodeCount": 1}]}, "nodes of clusters"),
        ({"nodePools": [], "initialNodeCount": 3}, "nodes of clusters"),
        ({"autopilot": {"enabled": True}}, "cluster.autopilot"),
        ({"privateClusterConfig": {"enablePrivateNodes": True}}, "cluster.privateClusterConfig"),
        ({"ipAllocationPolicy": {"createSubnetwork": True}}, "ipAllocationPolicy.createSubnetwork"),
    ],
)
def test_what_is_not_built_is_refused_by_name(cloud, fields, part):
    refused = refusal(cloud, **fields)
    assert (refused.code, refused.status) == (400, "UNIMPLEMENTED")
    assert part in refused.message


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"nodePools": []}, "Cluster.initial_node_count must be greater than zero."),
        ({"network": "nowhere"}, 'Network "nowhere" does not exist.'),
        ({"initialClusterVersion": "1.19"}, 'Master version "1.19" is unsupported.'),
        ({"ipAllocationPolicy": {"servicesIpv4CidrBlock": "10.0.0.1/20"}}, "Invalid services range"),
        ({"name": "One"}, "cluster.name"),
    ],
)
def test_what_makes_no_sense_is_refused(cloud, fields, why):
    refused = refusal(cloud, **fields)
    assert refused.code == 400
    assert why in refused.message


def test_what_asks_for_nothing_is_accepted(cloud):
    create(cloud, autopilot={"enabled": False}, addonsConfig={"httpLoadBalancing": {"disabled": False}})
    assert stored(cloud).status == "PROVISIONING"


def test_a_cluster_that_is_not_there_is_said_to_be_missing(cloud):
    refused = cloud.refused(f"{API}.clusters.get", name=NAME)
    assert refused.message == f"Not found: {NAME}.\nNo cluster named 'one' in {PROJECT}."
