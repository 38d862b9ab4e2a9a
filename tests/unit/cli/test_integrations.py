"""Integrations: what they change of a service, and what they refuse."""

import json

import pytest

from fogbank.cli.exits import Exit
from fogbank.cli.integrations.redis import memory_size
from fogbank.cli.integrations.service import CONNECTOR, EGRESS, INTERFACES, connected, disconnected, ready
from fogbank.errors import OperatorError

SERVICE = {
    "metadata": {"name": "web", "generation": 3, "resourceVersion": "a"},
    "spec": {
        "template": {
            "metadata": {"name": "web-00003-abc", "annotations": {"client": "gcloud"}},
            "spec": {"containers": [{"image": "i", "env": [{"name": "A", "value": "1"}]}]},
        }
    },
    "status": {"observedGeneration": 3, "conditions": [{"type": "Ready", "status": "True"}]},
}


def container(service):
    return service["spec"]["template"]["spec"]["containers"][0]


def test_a_service_gets_a_way_into_the_network_and_two_variables():
    made = connected(SERVICE, "10.0.0.3", 6379)
    annotations = made["spec"]["template"]["metadata"]["annotations"]
    assert json.loads(annotations[INTERFACES]) == [{"network": "default", "subnetwork": "default"}]
    assert annotations[EGRESS] == "private-ranges-only"
    assert container(made)["env"] == [
        {"name": "A", "value": "1"},
        {"name": "REDISHOST", "value": "10.0.0.3"},
        {"name": "REDISPORT", "value": "6379"},
    ]
    assert "name" not in made["spec"]["template"]["metadata"]
    assert "status" not in made
    assert "REDISHOST" not in str(SERVICE)


def test_what_was_connected_can_be_disconnected():
    undone = disconnected(connected(SERVICE, "10.0.0.3", 6379))
    assert container(undone) == container(SERVICE)
    assert undone["spec"]["template"]["metadata"]["annotations"] == {"client": "gcloud"}


@pytest.mark.parametrize(
    ("annotation", "option"), [(CONNECTOR, "--clear-vpc-connector"), (INTERFACES, "--clear-network")]
)
def test_settings_of_its_own_must_be_cleared_first(annotation, option):
    own = json.loads(json.dumps(SERVICE))
    own["spec"]["template"]["metadata"]["annotations"][annotation] = "x"
    with pytest.raises(OperatorError, match=f"Clear them first: .*{option}"):
        connected(own, "10.0.0.3", 6379)


def test_a_service_is_ready_when_its_newest_generation_is():
    assert ready(SERVICE) is True
    assert ready(SERVICE | {"metadata": {"generation": 4}}) is None
    failed = {"observedGeneration": 3, "conditions": [{"type": "Ready", "status": "False"}]}
    assert ready(SERVICE | {"status": failed}) is False


def test_the_size_is_the_only_parameter():
    assert (memory_size({}), memory_size({"memory-size-gb": "2"})) == (1, 2)
    with pytest.raises(OperatorError, match=r"\[tier\] is not a parameter"):
        memory_size({"tier": "BASIC"})
    with pytest.raises(OperatorError, match="from 1 to 300"):
        memory_size({"memory-size-gb": "0"})


def test_types_are_told_as_gcloud_told_them(fogbank):
    done = fogbank("run", "integrations", "types", "describe", "redis")
    assert done.status == Exit.OK
    assert "memory-size-gb [optional]:\n    Memory capacity of the Redis instance." in done.out
    assert "redis" in fogbank("run", "integrations", "types", "list").out
