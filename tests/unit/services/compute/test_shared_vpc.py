"""Shared VPC: hosts, service projects, and whose subnetworks they may use."""

import pytest
from tests.compute_calls import NOW, PROJECT, REGION, with_default_network

from fogbank.resources.authorization import UNRESTRICTED, Unrestricted
from fogbank.resources.instances import interfaces_of
from fogbank.resources.names import compute_name
from fogbank.resources.projects import project_name
from fogbank.resources.world import Resource

ZONE = f"{REGION}-a"
SHARED = f"projects/{PROJECT}/regions/{REGION}/subnetworks/shared"


@pytest.fixture(scope="module")
def _new():
    compute = with_default_network()
    for number, name in enumerate(("team", "other"), 2):
        fields = {"projectNumber": str(number), "projectId": name}
        compute.put(Resource(project_name(name), number, NOW, fields))
    compute.network("net")
    compute.subnetwork("shared", "10.1.0.0/24")
    return compute


@pytest.fixture
def compute(_new):
    return _new.branch()


def resource(project="team"):
    return {"xpnResource": {"id": project, "type": "PROJECT"}}


def share(compute):
    compute("projects.enableXpnHost")
    compute("projects.enableXpnResource", resource())


def machine(compute, refused=False, project="team"):
    body = {
        "name": "vm",
        "machineType": f"zones/{ZONE}/machineTypes/e2-micro",
        "disks": [
            {
                "boot": True,
                "initializeParams": {"sourceImage": "projects/debian-cloud/global/images/family/debian-12"},
            }
        ],
        "networkInterfaces": [{"subnetwork": SHARED}],
    }
    call = compute.refused if refused else compute
    return call("instances.insert", body, project=project, zone=ZONE)


def test_a_host_shows_itself_its_service_projects_and_to_them(compute):
    assert compute("projects.getXpnHost", project="team") == {}
    share(compute)
    share(compute)  # again is nothing new
    assert compute("projects.get")["xpnProjectStatus"] == "HOST"
    assert compute("projects.get", project="team")["xpnProjectStatus"] == "UNSPECIFIED_XPN_PROJECT_STATUS"
    assert compute("projects.getXpnHost", project="team")["name"] == PROJECT
    assert compute("projects.getXpnResources") == [{"id": "team", "type": "PROJECT"}]
    assert [each["name"] for each in compute("projects.listXpnHosts", {})] == [PROJECT]


def test_a_project_has_one_host_and_a_host_has_none(compute):
    assert compute.refused("projects.enableXpnResource", resource()).code == 400
    share(compute)
    assert "service project" in compute.refused("projects.enableXpnHost", project="team").message
    compute("projects.enableXpnHost", project="other")
    assert compute.refused("projects.enableXpnResource", resource(), project="other").code == 400
    assert compute.refused("projects.enableXpnResource", resource("other")).code == 400
    assert compute.refused("projects.enableXpnResource", resource("nobody")).code == 404
    assert "already being used by 'projects/team'" in compute.in_use("projects.disableXpnHost")
    compute("projects.disableXpnResource", resource())
    assert compute.refused("projects.disableXpnResource", resource()).code == 400
    compute("projects.disableXpnHost")
    assert compute.refused("projects.disableXpnHost").code == 400


def test_only_an_attached_project_puts_machines_and_addresses_into_the_hosts_subnetworks(compute):
    words = "Cross project referencing is not allowed for this resource."
    assert words in machine(compute, refused=True).message
    share(compute)
    assert words in machine(compute, refused=True, project="other").message
    assert machine(compute).error is None
    made = compute.world.get(compute_name("instances", "team", "zones", ZONE, "vm"))
    (interface,) = interfaces_of(made)
    assert interface.network == compute_name("networks", PROJECT, "global", None, "net")
    assert str(interface.address) == "10.1.0.2"
    body = {"name": "kept", "addressType": "INTERNAL", "subnetwork": SHARED}
    compute("addresses.insert", body, project="team", region=REGION)
    kept = compute("addresses.get", project="team", region=REGION, address="kept")
    assert kept["address"] == "10.1.0.3"
    message = compute.in_use("projects.disableXpnResource", resource())
    assert "already being used by 'projects/team/zones/" in message


def test_whoever_uses_a_shared_subnetwork_needs_the_permission_on_it(compute):
    share(compute)
    asked = []

    class Strict(Unrestricted):
        def allows(self, world, principal, permission, project, *beside):
            asked.append((permission, project, [each.path for each in beside if each]))
            return permission != "compute.subnetworks.use"

    compute.access = Strict()
    refusal = machine(compute, refused=True)
    assert refusal.code == 403
    assert ("compute.subnetworks.use", PROJECT, [SHARED]) in asked
    assert compute("subnetworks.listUsable") == []
    compute.access = UNRESTRICTED
    usable = [each["subnetwork"] for each in compute("subnetworks.listUsable")]
    assert any(each.endswith(SHARED) for each in usable)
