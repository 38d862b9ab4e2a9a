"""Connectivity tests: what is accepted, what is due, and how results end an operation."""

import pytest
from tests.cloud_calls import PROJECT, Cloud

from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName
from fogbank.services.networkmanagement.connectivity_tests import TESTS, ran

PARENT = f"projects/{PROJECT}/locations/global"
NAME = ResourceName(TESTS, f"{PARENT}/connectivityTests/t1")
METHOD = "networkmanagement.v1.projects.locations.global.connectivityTests"
BODY = {"source": {"ipAddress": "10.0.0.2"}, "destination": {"ipAddress": "192.0.2.2", "port": 80}}


def created(cloud, **changes):
    return cloud(f"{METHOD}.create", BODY | changes, parent=PARENT, testId="t1")


def test_a_new_test_is_due_until_it_has_results():
    cloud = Cloud()
    operation = created(cloud)
    assert operation.status == "RUNNING"
    stored = cloud.world.get(NAME)
    assert stored.private == {"due": 1}
    assert (stored.body["protocol"], stored.body["displayName"]) == ("TCP", "t1")
    results = {"reachabilityDetails": {"result": "REACHABLE"}, "probingDetails": None}
    cloud.world = cloud.world.after(ran(cloud.world, stored, results, cloud.now))
    assert operation.name.path not in cloud.world.running
    assert cloud(f"{METHOD}.get", name=NAME.path)["reachabilityDetails"]["result"] == "REACHABLE"
    assert ran(cloud.world, stored, results, cloud.now) == ()
    cloud(f"{METHOD}.rerun", {}, name=NAME.path)
    assert cloud.world.get(NAME).private == {"due": 1}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"source": {"gkeMasterCluster": "c"}}, "source.gkeMasterCluster is not built yet"),
        ({"source": {"port": 3}}, "names no endpoint"),
        ({"destination": {"forwardingRule": "f", "port": 1}}, "destination.forwardingRule is not built yet"),
        ({"destination": {"ipAddress": "192.0.2.2"}}, "needs a port"),
        ({"protocol": "SCTP"}, "Connectivity tests of SCTP are not built yet."),
        ({"protocol": "X"}, "Invalid protocol 'X'"),
        ({"roundTrip": True}, "roundTrip is not built yet"),
    ],
)
def test_what_cannot_be_tested_is_refused_and_nothing_is_stored(changes, text):
    cloud = Cloud()
    with pytest.raises(ApiError) as caught:
        created(cloud, **changes)
    error = caught.value
    assert (error.code, text in error.message) == (400, True)
    assert cloud.world.find(NAME) is None


def test_icmp_needs_no_port():
    cloud = Cloud()
    created(cloud, protocol="ICMP", destination={"ipAddress": "192.0.2.2"})
    assert cloud.world.get(NAME).body["protocol"] == "ICMP"
