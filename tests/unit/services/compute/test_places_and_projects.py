"""Regions, zones and projects."""

from tests.compute_calls import LINK, REGION, manual_nat, with_default_network
from tests.worlds import NOW

from fogbank.resources.authorization import Policies


def test_google_has_41_regions_with_their_zones():
    compute = with_default_network()
    regions = {each["name"]: each for each in compute("regions.list")}
    assert len(regions) == 43
    assert regions[REGION] == compute("regions.get", region=REGION)
    assert regions[REGION]["zones"] == [f"{LINK}/zones/{REGION}-{letter}" for letter in "abc"]
    assert compute.refused("regions.get", region="moon-north1").code == 404


def test_a_region_shows_what_its_project_uses_of_its_quotas():
    compute = with_default_network()
    compute.address("used")
    compute.address("idle")
    compute.address("inside", addressType="INTERNAL", subnetwork="default")
    compute.address("elsewhere", region="us-central1")
    compute.router(network="default", nats=[manual_nat("used")])
    quotas = {each["metric"]: each for each in compute("regions.get", region=REGION)["quotas"]}
    used = {metric: each["usage"] for metric, each in quotas.items() if each["usage"]}
    assert used == {"STATIC_ADDRESSES": 2.0, "IN_USE_ADDRESSES": 1.0, "INTERNAL_ADDRESSES": 1.0}
    assert quotas["CPUS"] == {"metric": "CPUS", "limit": 24.0, "usage": 0.0}
    assert next(each for each in compute("regions.list") if each["name"] == REGION)["quotas"] == [
        *quotas.values()
    ]


def test_a_zone_lists_its_cpu_platforms():
    assert "Intel Skylake" in with_default_network()("zones.get", zone=f"{REGION}-a")["availableCpuPlatforms"]


def test_a_zone_knows_its_region():
    compute = with_default_network()
    zone = compute("zones.get", zone=f"{REGION}-a")
    assert zone["region"] == f"{LINK}/regions/{REGION}"
    assert zone in compute("zones.list")
    assert compute.refused("zones.get", zone=REGION).code == 404


def test_a_project_has_its_default_service_account_and_counts_what_it_has():
    compute = with_default_network()
    project = compute("projects.get")
    usage = {quota["metric"]: quota["usage"] for quota in project["quotas"]}
    assert project["id"] == "123456789012"
    assert project["defaultServiceAccount"].endswith("-compute@developer.gserviceaccount.com")
    assert (usage["NETWORKS"], usage["SUBNETWORKS"], usage["FIREWALLS"]) == (1.0, 42.0, 4.0)


def test_a_project_may_be_called_by_its_number():
    compute = with_default_network()
    assert compute("networks.get", network="default", project="123456789012")["name"] == "default"


def test_an_unknown_project_is_not_found():
    compute = with_default_network()
    assert compute.refused("projects.get", project="nobody").code == 404


def test_a_subnetwork_keeps_an_iam_policy():
    compute = with_default_network()
    where = {"region": REGION, "resource": "default"}
    binding = {"role": "roles/compute.networkUser", "members": ["user:me@example.com"]}
    assert compute("subnetworks.getIamPolicy", **where) == {"etag": "ACAB"}
    compute("subnetworks.setIamPolicy", {"policy": {"bindings": [binding]}}, **where)
    assert compute("subnetworks.getIamPolicy", **where)["bindings"] == [binding]
    compute.access = Policies("somebody@else.example", lambda: NOW)
    asked = {"permissions": ["compute.subnetworks.use", "compute.subnetworks.delete"]}
    assert compute("subnetworks.testIamPermissions", asked, **where) == {
        "permissions": ["compute.subnetworks.use"]
    }


def test_an_iam_policy_goes_with_its_subnetwork():
    compute = with_default_network()
    compute.subnetwork("s", "10.0.0.0/24", network="default")
    where = {"region": REGION, "resource": "s"}
    binding = {"role": "roles/compute.networkUser", "members": ["user:me@example.com"]}
    compute("subnetworks.setIamPolicy", {"policy": {"bindings": [binding]}}, **where)
    compute("subnetworks.delete", region=REGION, subnetwork="s")
    compute.subnetwork("s", "10.0.0.0/24", network="default")
    assert compute("subnetworks.getIamPolicy", **where) == {"etag": "ACAB"}
