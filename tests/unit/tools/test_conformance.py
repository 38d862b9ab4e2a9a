"""The adjusted judge excuses what no server can satisfy, and nothing else."""

import pytest
from tools.conformance import Tags, adapted, collection, excused, is_ours, known_then

HOST = "https://compute.googleapis.com/compute/v1"


@pytest.mark.parametrize(
    ("path", "want", "got", "fine"),
    [
        ("$.targetId", "${networkID}", "4711", True),
        ("$.targetId", "${networkID}", "network-x", False),
        ("$.user", "user@example.com", "me@region.test", True),
        ("$.name", "a", "b", False),
        ("$.gatewayAddress", "10.0.0.1", "10.8.0.1", True),
        ("$.gatewayAddress", "10.2.0.1", "10.8.0.1", False),
    ],
)
def test_only_what_normalisation_spoiled_is_excused(path, want, got, fine):
    assert excused(path, want, got) is fine


def test_a_link_with_a_number_needs_a_number():
    want = f"{HOST}/projects/p/global/networks/${{networkID}}"
    assert adapted("$.selfLinkWithId", want, want.replace("${networkID}", "12")).endswith("/12")
    assert adapted("$.selfLinkWithId", want, f"{HOST}/projects/p/global/networks/n") == want


def test_a_region_that_opened_later_is_left_out():
    got = ["regions/asia-southeast2/s", "regions/asia-southeast3/s"]
    assert known_then("$.subnetworks", ["regions/asia-southeast2/s"], got) == got[:1]
    assert known_then("$.subnetworks", got, got) == got


def test_requests_carry_the_etag_that_the_region_gave():
    tags = Tags()
    tags.learn({"bindings": [], "etag": "new"}, "place")
    assert tags.fill({"policy": {"etag": "literal"}}, "place") == {"policy": {"etag": "new"}}


@pytest.mark.parametrize(
    ("service", "url", "name", "ours"),
    [
        ("compute", f"{HOST}/projects/p/regions/r/subnetworks/s", "compute.subnetworks", True),
        ("compute", f"{HOST}/projects/p/global/healthChecks", "compute.healthChecks", False),
        ("compute", f"{HOST}/locations/global/firewallPolicies", "compute.other", False),
        ("cloudresourcemanager", "https://x/v3/folders/1", "cloudresourcemanager.other", False),
    ],
)
def test_a_request_belongs_to_a_collection(service, url, name, ours):
    record = {"service": service, "url": url, "resource": "x"}
    assert collection(record) == name
    assert is_ours(record) is ours
