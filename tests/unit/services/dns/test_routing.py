"""Routing policies of record sets: what they hold, and which item a client gets."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cloud_calls import PROJECT, Cloud

from fogbank.resources.dns import known, resolve
from fogbank.resources.dns_routing import Asker, chosen_data

NAME = "www.corp.example."
PLACE = {"project": PROJECT, "managedZone": "z"}


@pytest.fixture
def cloud():
    made = Cloud()
    body = {"name": "z", "dnsName": "corp.example.", "description": ""}
    made("dns.v1.managedZones.create", body, project=PROJECT)
    return made


def body(**policy):
    return {"name": NAME, "type": "A", "ttl": 30, "routingPolicy": policy}


def weighted(**weights):
    return {
        "items": [{"weight": weight, "rrdatas": [f"10.0.0.{name[1:]}"]} for name, weight in weights.items()]
    }


def located(**places):
    return {
        "items": [{"location": f"{name.replace('_', '-')}", "rrdatas": [a]} for name, a in places.items()]
    }


def answer(cloud, region="", draw=0.0):
    (found,) = known(resolve(cloud.world, None, NAME, "A", Asker(region, draw)))
    return found.texts


def test_weights_decide_how_often_each_item_answers(cloud):
    made = cloud("dns.v1.resourceRecordSets.create", body(wrr=weighted(a1=3, a2=1, a3=0)), **PLACE)
    assert "rrdatas" not in made
    assert [each["weight"] for each in made["routingPolicy"]["wrr"]["items"]] == [3, 1, 0]
    found = Counter(answer(cloud, draw=step / 100) for step in range(100))
    assert found == {("10.0.0.1",): 75, ("10.0.0.2",): 25}
    cloud("dns.v1.resourceRecordSets.patch", body(wrr=weighted(a1=0, a2=0)), name=NAME, type="A", **PLACE)
    assert Counter(answer(cloud, draw=step / 100) for step in range(100)) == {
        ("10.0.0.1",): 50,
        ("10.0.0.2",): 50,
    }


def test_the_closest_location_answers(cloud):
    items = located(us_central1="10.0.0.1", asia_northeast1="10.0.0.2", asia_northeast3="10.0.0.3")
    cloud("dns.v1.resourceRecordSets.create", body(geo=items), **PLACE)
    assert answer(cloud, "asia-northeast3") == ("10.0.0.3",)
    assert answer(cloud, "asia-northeast2") == ("10.0.0.2",)
    assert answer(cloud, "us-east1") == ("10.0.0.1",)
    assert answer(cloud) == ("10.0.0.1",)
    plain = {"rrdatas": ["10.0.0.9"]}
    cloud("dns.v1.resourceRecordSets.patch", plain, name=NAME, type="A", **PLACE)
    assert answer(cloud, "us-east1") == ("10.0.0.9",)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({}, "invalid"),
        ({"wrr": {"items": []}, "geo": {"items": []}}, "invalid"),
        ({"wrr": weighted(a1=-1)}, "invalid"),
        ({"wrr": {"items": [{"weight": 1}]}}, "invalid"),
        ({"wrr": {"items": [{"weight": 1, "rrdatas": ["x"]}]}}, "invalid"),
        ({"geo": located(nowhere="10.0.0.1")}, "invalid"),
        ({"geo": {"items": located(us_east1="10.0.0.1")["items"] * 2}}, "invalid"),
        ({"primaryBackup": {"trickleTraffic": 0.1}}, "notImplemented"),
        ({"healthCheck": "x", "wrr": weighted(a1=1)}, "notImplemented"),
        (
            {"wrr": {"items": [{"healthCheckedTargets": {"externalEndpoints": ["1.1.1.1"]}}]}},
            "notImplemented",
        ),
    ],
)
def test_policies_that_cannot_be(cloud, policy, reason):
    wrong = body(**policy) if policy else body(wrr={})
    error = cloud.refused("dns.v1.resourceRecordSets.create", wrong, **PLACE)
    assert error.reason == reason


def test_a_deletion_must_name_the_policy_that_is_there(cloud):
    there = cloud("dns.v1.resourceRecordSets.create", body(wrr=weighted(a1=1)), **PLACE)
    other = there | {"routingPolicy": body(wrr=weighted(a1=2))["routingPolicy"]}
    refused = cloud.refused("dns.v1.changes.create", {"deletions": [other]}, **PLACE)
    assert refused.reason == "conditionNotMet"
    cloud("dns.v1.changes.create", {"deletions": [there]}, **PLACE)
    assert resolve(cloud.world, None, NAME) is None


@given(weights=st.lists(st.floats(0, 1e6), min_size=1, max_size=9), draw=st.floats(0, 1, exclude_max=True))
def test_an_item_without_weight_answers_only_when_none_has_any(weights, draw):
    items = [{"weight": weight, "rrdatas": [str(place)]} for place, weight in enumerate(weights)]
    (found,) = chosen_data({"wrr": {"items": items}}, Asker(draw=draw))
    assert weights[int(found)] or not any(weights)
