"""Connectors: defaults, refusals, growth, and what comes and goes with them."""

import pytest
from tests.cloud_calls import ME, PLACE, PROJECT, REGION, Cloud

from fogbank.resources.compute import FirewallRule
from fogbank.resources.names import ResourceName
from fogbank.resources.vpcaccess import AUTOMATIC, read_connector
from fogbank.services.vpcaccess.connectors import scale_out

CONNECTORS = "vpcaccess.v1.projects.locations.connectors"
NAME = f"{PLACE}/connectors/connector"
LIMITS = {"minInstances": 2, "maxInstances": 3}
RANGE = {"network": "default", "ipCidrRange": "10.8.0.0/28"}


@pytest.fixture
def cloud():
    cloud = Cloud()
    cloud.subnetwork()
    return cloud


def firewalls(cloud):
    return {r.name.id: r for r in cloud.world.all("compute.firewalls")}


def test_a_connector_is_creating_until_the_kernel_has_it(cloud):
    operation = cloud.connector(network="default", minInstances=2, maxInstances=10)
    assert cloud(f"{CONNECTORS}.get", name=NAME)["state"] == "CREATING"
    assert operation.metadata == {
        "@type": "type.googleapis.com/google.cloud.vpcaccess.v1.OperationMetadata",
        "createTime": "2026-11-22T01:02:03.000000Z",
        "method": "google.cloud.vpcaccess.v1.VpcAccessService.CreateConnector",
        "target": NAME,
    }
    done = cloud.finish(operation)
    assert done.response == {
        "@type": "type.googleapis.com/google.cloud.vpcaccess.v1.Connector",
        "name": NAME,
        "network": "default",
        "subnet": {"name": "subnet"},
        "machineType": "e2-micro",
        "minInstances": 2,
        "maxInstances": 10,
        "minThroughput": 200,
        "maxThroughput": 1000,
        "state": "READY",
    }


def test_the_network_does_not_count_when_a_subnet_is_given(cloud):
    cloud.connector(network="somewhere-else")
    (resource,) = cloud.world.all("vpcaccess.connectors")
    view = read_connector(resource)
    assert view.network.path == f"projects/{PROJECT}/global/networks/default"
    assert str(view.range) == "10.124.0.0/28"


def test_throughput_becomes_instances_and_instances_win(cloud):
    cloud.connector("by-rate", subnet=None, minThroughput=300, maxThroughput=400, **RANGE)
    shown = cloud(f"{CONNECTORS}.get", name=f"{PLACE}/connectors/by-rate")
    assert (shown["minInstances"], shown["maxInstances"]) == (3, 4)
    cloud.connector(minInstances=5, maxInstances=6, minThroughput=200, maxThroughput=300)
    shown = cloud(f"{CONNECTORS}.get", name=NAME)
    assert (shown["minThroughput"], shown["maxThroughput"]) == (500, 600)


@pytest.mark.parametrize("name", ["x", "Upper", "ends-", "1st", "a" * 26, ""])
def test_an_id_outside_the_pattern_is_refused(cloud, name):
    error = cloud.refused(f"{CONNECTORS}.create", {}, parent=PLACE, connectorId=name)
    assert error.code == 400
    assert error.message == "Connector ID must follow the pattern ^[a-z][-a-z0-9]{0,23}[a-z0-9]$."


@pytest.mark.parametrize(
    "body",
    [
        {"minInstances": 1, "maxInstances": 3},
        {"minInstances": 3, "maxInstances": 3},
        {"minInstances": 2, "maxInstances": 11},
        {"machineType": "e2-huge"},
        {"subnet": {"name": "subnet"}, "ipCidrRange": "10.8.0.0/28"},
        {"subnet": None},
        {"subnet": None, "network": "default", "ipCidrRange": "10.8.0.0/24"},
        {"subnet": None, "network": "default", "ipCidrRange": "8.8.8.0/28"},
        {"subnet": None, "network": "default", "ipCidrRange": "10.8.0.1/28"},
        {"subnet": None, "network": "nowhere", "ipCidrRange": "10.8.0.0/28"},
    ],
)
def test_a_size_or_place_that_cannot_be_is_refused(cloud, body):
    fields = {"subnet": {"name": "subnet"}, **LIMITS} | body
    error = cloud.refused(f"{CONNECTORS}.create", fields, parent=PLACE, connectorId="connector")
    assert (error.code, error.status) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("limits", "field", "words"),
    [
        (
            {"minThroughput": 200, "maxThroughput": 1100},
            "connector.max_throughput",
            "Connector maximum throughput must be a multiple of 100 between 300 and 1000 in Mbps.",
        ),
        (  # as gcloud asks: it adds its numbers of instances, which win only over what is right
            {"minThroughput": 200, "maxThroughput": 1100, "minInstances": 2, "maxInstances": 10},
            "connector.max_throughput",
            "Connector maximum throughput must be a multiple of 100 between 300 and 1000 in Mbps.",
        ),
        (
            {"minThroughput": 250, "maxThroughput": 400},
            "connector.min_throughput",
            "Connector minimum throughput must be a multiple of 100 between 200 and 900 in Mbps.",
        ),
        (
            {"minInstances": 1, "maxInstances": 3},
            "connector.min_instances",
            "Connector minimum instances must be between 2 and 9.",
        ),
        (
            {"minThroughput": 400, "maxThroughput": 300},
            "connector.min_throughput",
            "Connector minimum throughput must be less than maximum throughput.",
        ),
    ],
)
def test_a_limit_out_of_bounds_is_refused_in_the_field_that_the_client_gave(cloud, limits, field, words):
    fields = {"subnet": {"name": "subnet"}} | limits
    error = cloud.refused(f"{CONNECTORS}.create", fields, parent=PLACE, connectorId="connector")
    assert error.message == words
    (detail,) = error.details
    assert detail["fieldViolations"] == [{"field": field, "description": words}]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({}, "A Connector must specify either max_throughput or max_instances."),
        ({"minInstances": 2}, "The maximum number of instances must be greater than the minimum."),
        ({"maxInstances": 3}, "The minimum number of instances must be greater than or equal to 2."),
        ({"maxThroughput": 300}, "The minimum number of instances must be greater than or equal to 2."),
    ],
)
def test_a_connector_without_a_limit_is_accepted_and_its_operation_fails(cloud, limits, words):
    fields = {"subnet": {"name": "subnet"}} | limits
    operation = cloud(f"{CONNECTORS}.create", fields, parent=PLACE, connectorId="connector")
    assert operation.status == "DONE"
    assert (operation.error.code, operation.error.message) == (
        "INVALID_ARGUMENT",
        f"Operation failed: {words}",
    )
    assert cloud.refused(f"{CONNECTORS}.get", name=NAME).code == 404
    assert firewalls(cloud) == {}


def test_a_connector_in_a_missing_subnet_is_accepted_and_its_operation_fails(cloud):
    operation = cloud.connector(subnet={"name": "missing"})
    assert operation.error.message == (
        "Operation failed: VPC Access did not have permission to resolve the subnet or the provided subnet "
        "does not exist."
    )
    assert cloud.refused(f"{CONNECTORS}.get", name=NAME).code == 404


def test_the_name_of_a_connector_may_not_be_in_its_body(cloud):
    fields = {"name": NAME, "subnet": {"name": "subnet"}, **LIMITS}
    error = cloud.refused(f"{CONNECTORS}.create", fields, parent=PLACE, connectorId="connector")
    assert (error.code, error.message) == (400, "Connector name must not be set.")


@pytest.mark.parametrize(
    "network",
    [
        "default",
        "global/networks/default",
        f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/global/networks/default",
    ],
)
def test_a_connector_shows_its_network_by_its_short_name(cloud, network):
    cloud.connector(subnet=None, ipCidrRange="10.8.0.0/28", network=network)
    assert cloud(f"{CONNECTORS}.get", name=NAME)["network"] == "default"


def test_a_subnet_serves_one_connector_only(cloud):
    cloud.connector()
    error = cloud.refused(
        f"{CONNECTORS}.create", {"subnet": {"name": "subnet"}, **LIMITS}, parent=PLACE, connectorId="second"
    )
    assert "already used by" in error.message


def test_a_subnet_larger_than_28_is_refused(cloud):
    cloud.subnetwork("large", "10.9.0.0/24")
    error = cloud.refused(
        f"{CONNECTORS}.create", {"subnet": {"name": "large"}, **LIMITS}, parent=PLACE, connectorId="second"
    )
    assert "/28" in error.message


@pytest.mark.parametrize("taken", ["10.124.0.0/28", "10.8.0.0/28"])
def test_a_range_that_is_taken_leaves_a_connector_in_error_that_can_only_be_deleted(cloud, taken):
    cloud.connector("first", subnet=None, **RANGE)
    operation = cloud.connector(subnet=None, network="default", ipCidrRange=taken)
    assert (operation.status, operation.error.code) == ("DONE", "INVALID_ARGUMENT")
    assert operation.error.message == (
        "Operation failed: Invalid IP CIDR range was provided. It conflicts with an existing subnetwork. "
        "Please delete the connector manually."
    )
    assert cloud(f"{CONNECTORS}.get", name=NAME)["state"] == "ERROR"
    assert cloud.refused(f"{CONNECTORS}.patch", {"maxInstances": 5}, name=NAME).code == 400
    cloud(f"{CONNECTORS}.delete", name=NAME)
    error = cloud.refused(f"{CONNECTORS}.get", name=NAME)
    assert (error.code, error.message) == (404, "The connector is not found.")


def test_six_firewall_rules_live_as_long_as_the_connector(cloud):
    cloud.connector()
    made = firewalls(cloud)
    prefix = f"aet-{REGION}-connector-"
    assert set(made) == {prefix + end for end in ("hcfw", "rsgfw", "earfw", "egrfw", "sbntfw", "tagfw")}
    assert {r.private[AUTOMATIC] for r in made.values()} == {NAME}
    rules = {name.removeprefix(prefix): FirewallRule.of(r) for name, r in made.items()}
    assert [str(n) for n in rules["sbntfw"].sources] == ["10.124.0.0/28"]
    assert rules["tagfw"].source_tags == (f"vpc-connector-{REGION}-connector",)
    assert (rules["egrfw"].action, rules["egrfw"].priority) == ("deny", 100)
    cloud(f"{CONNECTORS}.delete", name=NAME)
    assert firewalls(cloud) == {}


def test_a_connector_in_anothers_network_makes_no_rules_there(cloud):
    cloud.subnetwork("shared", "10.55.0.0/28", project="host-project")
    cloud.bind("host-project", "roles/compute.networkUser", f"user:{ME}")
    shared = {"subnet": {"name": "shared", "projectId": "host-project"}} | LIMITS
    refused = cloud.refused(f"{CONNECTORS}.create", shared, parent=PLACE, connectorId="connector")
    assert refused.code == 403
    cloud.attach("host-project")
    cloud.connector(subnet={"name": "shared", "projectId": "host-project"})
    assert firewalls(cloud) == {}


@pytest.mark.parametrize(
    ("body", "permission"),
    [
        ({"subnet": {"name": "shared", "projectId": "host-project"}}, "compute.subnetworks.use"),
        (RANGE | {"network": "projects/host-project/global/networks/default"}, "compute.networks.use"),
    ],
)
def test_anothers_network_is_used_only_with_a_permission_there(cloud, body, permission):
    cloud.subnetwork("shared", "10.55.0.0/28", project="host-project")
    call = (f"{CONNECTORS}.create", body | LIMITS)
    refusal = cloud.refused(*call, parent=PLACE, connectorId="connector")
    assert (refusal.code, refusal.status) == (403, "PERMISSION_DENIED")
    assert refusal.message.startswith(f"Permission '{permission}' denied on resource 'projects/host-project/")
    cloud.bind("host-project", "roles/compute.networkViewer", f"user:{ME}")
    assert cloud.refused(*call, parent=PLACE, connectorId="connector").code == 403


def test_a_connector_grows_and_never_shrinks(cloud):
    cloud.finish(cloud.connector(minInstances=2, maxInstances=4))
    operation = cloud(f"{CONNECTORS}.patch", {"minInstances": 3}, name=NAME, updateMask="minInstances")
    (resource,) = cloud.world.all("vpcaccess.connectors")
    view = read_connector(resource)
    assert (view.state, view.min_instances, view.max_instances, view.instances) == ("UPDATING", 3, 4, 3)
    assert cloud.finish(operation).response["state"] == "READY"
    for body in ({"maxInstances": 3}, {"minInstances": 2}):
        assert cloud.refused(f"{CONNECTORS}.patch", body, name=NAME).code == 400
    assert cloud.refused(f"{CONNECTORS}.patch", {}, name=NAME, updateMask="network").code == 400


def test_a_mask_may_be_spelt_as_protocol_buffers_do(cloud):
    cloud.finish(cloud.connector(minInstances=2, maxInstances=4))
    body = {"minInstances": 3, "maxInstances": 5, "machineType": "e2-standard-4"}
    cloud(f"{CONNECTORS}.patch", body, name=NAME, updateMask="min_instances,max_instances")
    view = read_connector(next(iter(cloud.world.all("vpcaccess.connectors"))))
    assert (view.min_instances, view.max_instances, view.machine_type) == (3, 5, "e2-micro")


def test_a_machine_type_can_be_changed(cloud):
    cloud.finish(cloud.connector())
    cloud(f"{CONNECTORS}.patch", {"machineType": "e2-standard-4"}, name=NAME, updateMask="machineType")
    (resource,) = cloud.world.all("vpcaccess.connectors")
    assert read_connector(resource).rate == 1_600_000_000


def test_connectors_are_listed_by_location_or_everywhere(cloud):
    cloud.connector()
    elsewhere = f"projects/{PROJECT}/locations/us-central1"
    assert len(cloud(f"{CONNECTORS}.list", parent=PLACE)) == 1
    assert cloud(f"{CONNECTORS}.list", parent=elsewhere) == []
    assert len(cloud(f"{CONNECTORS}.list", parent=f"projects/{PROJECT}/locations/-")) == 1


def test_nothing_is_listed_of_a_location_that_does_not_exist(cloud):
    error = cloud.refused(f"{CONNECTORS}.list", parent=f"projects/{PROJECT}/locations/mars")
    assert (error.code, error.message) == (404, "Location mars is not found.")


def test_a_name_is_taken_once(cloud):
    cloud.connector()
    error = cloud.refused(
        f"{CONNECTORS}.create", {"subnet": {"name": "subnet"}}, parent=PLACE, connectorId="connector"
    )
    assert (error.code, error.status) == (409, "ALREADY_EXISTS")


def test_locations_are_the_regions(cloud):
    locations = cloud("vpcaccess.v1.projects.locations.list", name=f"projects/{PROJECT}")
    assert REGION in {location["locationId"] for location in locations}


def test_a_busy_connector_grows_up_to_its_maximum_and_never_shrinks(cloud):
    cloud.finish(cloud.connector(minInstances=2, maxInstances=4))
    name = read_connector(next(cloud.world.all("vpcaccess.connectors"))).name

    def after(instances):
        cloud.world = cloud.world.after(scale_out(cloud.world, name, instances))
        return read_connector(cloud.world.get(name)).instances

    assert [after(3), after(2), after(5), after(4)] == [3, 3, 3, 4]
    assert cloud(f"{CONNECTORS}.get", name=NAME)["minInstances"] == 2
    gone = ResourceName(name.collection, name.path + "x")
    assert scale_out(cloud.world, gone, 3) == ()
