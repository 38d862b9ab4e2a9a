"""Private services access: connections, allocated ranges, and Redis instances in them."""

from ipaddress import IPv4Network

import pytest
from tests.cloud_calls import PLACE, PROJECT, Cloud

from fogbank.resources.projects import project_number
from fogbank.services.contract import List, Write
from fogbank.services.servicenetworking.connections import METHODS

CREATE = "servicenetworking.v1.services.connections.create"
PATCH = "servicenetworking.v1.services.connections.patch"
LIST = "servicenetworking.v1.services.connections.list"
DELETE = "servicenetworking.v1.services.connections.deleteConnection"
SERVICE = "services/servicenetworking.googleapis.com"
NETWORK = f"projects/{PROJECT}/global/networks/default"
REDIS = "redis.v1.projects.locations.instances"


@pytest.fixture
def cloud():
    cloud = Cloud()
    cloud.subnetwork()
    for name, address in (("psa", "10.64.0.0"), ("more", "10.65.0.0")):
        body = {
            "name": name,
            "purpose": "VPC_PEERING",
            "addressType": "INTERNAL",
            "prefixLength": 16,
            "address": address,
            "network": NETWORK,
        }
        cloud("compute.v1.globalAddresses.insert", body, project=PROJECT)
    return cloud


def numbered(cloud):
    return f"projects/{project_number(cloud.world, PROJECT)}/global/networks/default"


def connect(cloud, *ranges):
    body = {"network": numbered(cloud), "reservedPeeringRanges": list(ranges or ("psa",))}
    return cloud(CREATE, body, parent=SERVICE)


def shown(cloud):
    return cloud(LIST, parent=SERVICE, network=numbered(cloud))


def redis(cloud, name="cache", **body):
    fields = {"tier": "BASIC", "memorySizeGb": 1, "connectMode": "PRIVATE_SERVICE_ACCESS"} | body
    return cloud(f"{REDIS}.create", fields, parent=PLACE, instanceId=name)


def test_a_connection_is_there_at_once_and_the_network_shows_its_peering(cloud):
    operation = connect(cloud)
    assert (operation.status, operation.error) == ("DONE", None)
    assert operation.name.path.startswith("operations/")
    assert shown(cloud) == [
        {
            "network": numbered(cloud),
            "peering": "servicenetworking-googleapis-com",
            "reservedPeeringRanges": ["psa"],
            "service": SERVICE,
        }
    ]
    network = cloud("compute.v1.networks.get", project=PROJECT, network="default")
    (peering,) = network["peerings"]
    assert peering["name"] == "servicenetworking-googleapis-com"
    assert peering["network"].endswith("-tp/global/networks/servicenetworking")
    assert peering["connectionStatus"] == {
        "updateStrategy": "INDEPENDENT",
        "trafficConfiguration": {
            "exportCustomRoutesToPeer": False,
            "importCustomRoutesFromPeer": False,
            "exportSubnetRoutesWithPublicIpToPeer": False,
            "importSubnetRoutesWithPublicIpFromPeer": False,
            "stackType": "IPV4_ONLY",
        },
    }


def test_connecting_again_needs_the_same_ranges(cloud):
    connect(cloud)
    assert connect(cloud).error is None
    assert connect(cloud, "more").error.message.startswith(
        "Cannot modify allocated ranges in CreateConnection."
    )
    assert shown(cloud)[0]["reservedPeeringRanges"] == ["psa"]


def test_ranges_are_replaced_and_go_only_by_force(cloud):
    connect(cloud)
    name = f"{SERVICE}/connections/-"
    body = {"network": numbered(cloud), "reservedPeeringRanges": ["psa", "more"]}
    cloud(PATCH, body, name=name, updateMask="reservedPeeringRanges")
    assert shown(cloud)[0]["reservedPeeringRanges"] == ["psa", "more"]
    fewer = body | {"reservedPeeringRanges": ["more"]}
    assert "needs force" in cloud.refused(PATCH, fewer, name=name).message
    cloud(PATCH, fewer, name=name, force=True)
    assert shown(cloud)[0]["reservedPeeringRanges"] == ["more"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"network": "default"}, "Invalid network 'default'"),
        ({"reservedPeeringRanges": []}, "At least one allocated range is required."),
        ({"reservedPeeringRanges": ["nothing"]}, "The range 'nothing' is not allocated for peering"),
    ],
)
def test_what_cannot_be_connected_is_refused(cloud, body, says):
    fields = {"network": numbered(cloud), "reservedPeeringRanges": ["psa"]} | body
    assert says in cloud.refused(CREATE, fields, parent=SERVICE).message


def test_a_network_that_is_not_there_is_not_found(cloud):
    missing = {"network": numbered(cloud).replace("default", "other"), "reservedPeeringRanges": ["psa"]}
    assert cloud.refused(CREATE, missing, parent=SERVICE).code == 404


@pytest.mark.parametrize(
    ("name", "field"),
    [("create", "network"), ("list", "network"), ("deleteConnection", "consumerNetwork")],
)
def test_whose_a_connection_is_says_the_network_in_the_body_or_the_query(name, field):
    method = METHODS[f"services.connections.{name}"]
    assert isinstance(method, Write | List)
    assert method.projects is not None
    assert list(method.projects({field: "projects/12/global/networks/n"})) == ["12"]
    assert list(method.projects({field: "n"})) == []


def test_an_instance_takes_its_range_from_those_allocated(cloud):
    error = cloud.refused(
        f"{REDIS}.create",
        {"tier": "BASIC", "memorySizeGb": 1, "connectMode": "PRIVATE_SERVICE_ACCESS"},
        parent=PLACE,
        instanceId="cache",
    )
    assert error.message.startswith("Google private service access is not enabled.")
    connect(cloud, "psa", "more")
    redis(cloud)
    redis(cloud, "second")
    redis(cloud, "third", reservedIpRange="more")
    found = {each["name"].rpartition("/")[2]: each for each in cloud(f"{REDIS}.list", parent=PLACE)}
    ranges = {name: IPv4Network(each["reservedIpRange"]) for name, each in found.items()}
    assert ranges["cache"].subnet_of(IPv4Network("10.64.0.0/16"))
    assert ranges["second"].subnet_of(IPv4Network("10.64.0.0/16"))
    assert ranges["third"].subnet_of(IPv4Network("10.65.0.0/16"))
    assert not ranges["cache"].overlaps(ranges["second"])


def test_a_connection_in_use_stays_and_an_unused_one_goes(cloud):
    connect(cloud)
    redis(cloud)
    body = {"consumerNetwork": numbered(cloud)}
    name = f"{SERVICE}/connections/servicenetworking-googleapis-com"
    assert "are still using this connection" in cloud(DELETE, body, name=name).error.message
    cloud(f"{REDIS}.delete", name=f"{PLACE}/instances/cache")
    assert cloud(DELETE, body, name=name).error is None
    assert shown(cloud) == []
    assert cloud.refused(DELETE, body, name=name).code == 404


def test_a_network_with_a_connection_cannot_be_deleted(cloud):
    connect(cloud)
    operation = cloud("compute.v1.networks.delete", project=PROJECT, network="default")
    assert "servicenetworking-googleapis-com" in operation.error.message


def test_an_update_by_force_makes_the_connection_that_is_missing(cloud):
    name = f"{SERVICE}/connections/-"
    body = {"network": numbered(cloud), "reservedPeeringRanges": ["psa"]}
    assert cloud.refused(PATCH, body, name=name, updateMask="reservedPeeringRanges").code == 404
    operation = cloud(PATCH, body, name=name, updateMask="reservedPeeringRanges", force=True)
    assert operation.error is None
    assert [each["reservedPeeringRanges"] for each in shown(cloud)] == [["psa"]]
    assert connect(cloud).error is None


def test_compute_takes_an_unused_connection_away_with_its_peering(cloud):
    connect(cloud)
    redis(cloud)
    where = {"project": PROJECT, "network": "default"}
    asked = {"name": "servicenetworking-googleapis-com"}
    refused = cloud("compute.v1.networks.removePeering", asked, **where)
    assert "instances/cache" in refused.error.message
    cloud(f"{REDIS}.delete", name=f"{PLACE}/instances/cache")
    assert cloud("compute.v1.networks.removePeering", asked, **where).error is None
    assert shown(cloud) == []
    assert "peerings" not in cloud("compute.v1.networks.get", **where)
