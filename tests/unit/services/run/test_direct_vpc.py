"""Direct VPC egress in a template: what both APIs take, show and refuse."""

import json
from datetime import timedelta

import pytest
from tests import worlds
from tests.cloud_calls import ME, NOW, PLACE, PROJECT, REGION
from tests.unit.services.run.knative import Run, knative
from tests.worlds import link

from fogbank.resources.direct_vpc import keep_as_of
from fogbank.resources.names import compute_name
from fogbank.resources.run import read_revision
from fogbank.resources.world import Put

KEY = "run.googleapis.com/network-interfaces"
MAX = "autoscaling.knative.dev/maxScale"
STAGE = "run.googleapis.com/launch-stage"
SERVICES = "run.v2.projects.locations.services"


def add_subnetwork(cloud, name, cidr, *, network="default", region=REGION, project=PROJECT, **fields):
    """Make a subnetwork, in a network that may be new."""
    home = compute_name("networks", project, "global", None, network)
    there = cloud.world.find(home)
    made = worlds.resource(home, worlds.network(network).body)
    subnetwork = compute_name("subnetworks", project, "regions", region, name)
    body = worlds.subnetwork(name, cidr, region=region).body | {"network": link(home), **fields}
    cloud.make([*([] if there else [Put(made)]), Put(worlds.resource(subnetwork, body))])
    return subnetwork


@pytest.fixture
def cloud():
    cloud = Run()
    add_subnetwork(cloud, "run", "10.8.0.0/24", network="vpc")
    add_subnetwork(cloud, "other", "10.7.0.0/24")
    return cloud


def interface(**fields):
    return {KEY: json.dumps([fields])}


def direct(cloud, name="hello"):
    found = read_revision(cloud.world.get(cloud.newest(name))).direct_vpc
    assert found is not None
    return found


@pytest.mark.parametrize(
    "fields",
    [
        {"network": "vpc", "subnetwork": "run"},
        {"subnetwork": "run"},
        {"network": f"projects/{PROJECT}/global/networks/vpc", "subnetwork": "run"},
        {"subnetwork": f"projects/{PROJECT}/regions/{REGION}/subnetworks/run"},
        {"network": "vpc", "subnetwork": f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/regions/"
                                         f"{REGION}/subnetworks/run"},
    ],
)  # fmt: skip
def test_a_subnetwork_is_found_by_any_of_its_names(cloud, fields):
    cloud.create(knative(annotations=interface(**fields, tags=["web", "db"])))
    found = direct(cloud)
    assert found.subnetwork.path == f"projects/{PROJECT}/regions/{REGION}/subnetworks/run"
    assert found.tags == ("web", "db")


def test_without_a_subnetwork_it_is_the_one_called_like_the_network(cloud):
    add_subnetwork(cloud, "vpc", "10.9.0.0/24", network="vpc")
    cloud.create(knative(annotations=interface(network="vpc")))
    assert direct(cloud).subnetwork.id == "vpc"


def test_v2_shows_and_takes_what_v1_has_as_an_annotation(cloud):
    access = {
        "networkInterfaces": [{"network": "vpc", "subnetwork": "run", "tags": ["web"]}],
        "egress": "ALL_TRAFFIC",
    }
    body = {"template": {"containers": [{"image": "us-docker.pkg.dev/p/r/app"}], "vpcAccess": access}}
    cloud(f"{SERVICES}.create", body, parent=PLACE, serviceId="hello")
    annotations = cloud.get()["spec"]["template"]["metadata"]["annotations"]
    assert json.loads(annotations[KEY]) == access["networkInterfaces"]
    assert annotations["run.googleapis.com/vpc-access-egress"] == "all-traffic"
    shown = cloud(f"{SERVICES}.get", name=f"{PLACE}/services/hello")
    assert shown["template"]["vpcAccess"] == access


def test_other_tags_make_a_new_revision(cloud):
    cloud.create(knative(annotations=interface(subnetwork="run")))
    first = cloud.newest()
    cloud.replace(knative(annotations=interface(subnetwork="run", tags=["web"])))
    assert cloud.newest() != first


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({KEY: "vpc"}, "must be a JSON list with one network interface"),
        ({KEY: '{"network":"vpc"}'}, "must be a JSON list with one network interface"),
        ({KEY: "[]"}, "exactly one network interface is supported"),
        ({KEY: '[{"network":"vpc"},{"network":"vpc"}]'}, "exactly one network interface is supported"),
        (interface(tags=["web"]), "one of network and subnetwork must be set"),
        (interface(network="vpc", subnet="run"), "unknown field subnet"),
        (interface(network=7), "network must be a string"),
        (interface(network="none"), f"VPC network projects/{PROJECT}/global/networks/none does not exist"),
        (
            interface(network="vpc"),
            f"VPC subnetwork projects/{PROJECT}/regions/{REGION}/subnetworks/vpc does",
        ),
        (
            interface(network="vpc", subnetwork="none"),
            "subnetworks/none does not exist, or Cloud Run does not",
        ),
        (interface(network="default", subnetwork="run"), "is not in VPC network"),
        (
            interface(subnetwork=f"projects/{PROJECT}/regions/us-central1/subnetworks/run"),
            f"must be in the region of the service, {REGION}",
        ),
        (interface(subnetwork="global/networks/vpc"), "network and subnetwork must be names, or paths"),
        (interface(subnetwork="run", tags="web"), "tags must be a list of network tags"),
        (interface(subnetwork="run", tags=["Web"]), "'Web' is no network tag"),
        (interface(subnetwork="run", tags=["a" * 64]), "is no network tag"),
        (interface(subnetwork="run", tags=[f"t{n}" for n in range(65)]), "at most 64 network tags"),
        (interface(subnetwork="run", tags=["a", "a"]), "each once"),
        (
            interface(subnetwork="run") | {"run.googleapis.com/vpc-access-connector": "c"},
            "VPC connector and direct VPC can not be used together",
        ),
    ],
)
def test_an_interface_that_no_instance_could_have_is_refused(cloud, annotations, words):
    error = cloud.refused(
        "run.v1.namespaces.services.create",
        knative(annotations=annotations),
        parent=f"namespaces/{PROJECT}",
        location=REGION,
    )
    assert (error.code, error.status) == (400, "INVALID_ARGUMENT")
    assert words in error.message


@pytest.mark.parametrize(
    ("cidr", "fields", "words"),
    [
        ("203.0.113.0/24", {}, "it must be in 10.0.0.0/8, 172.16.0.0/12"),
        ("10.9.0.0/24", {"purpose": "REGIONAL_MANAGED_PROXY"}, "it must be PRIVATE"),
    ],
)
def test_a_subnetwork_for_something_else_is_refused(cloud, cidr, fields, words):
    add_subnetwork(cloud, "odd", cidr, network="vpc", **fields)
    error = cloud.refused(
        "run.v1.namespaces.services.create",
        knative(annotations=interface(subnetwork="odd")),
        parent=f"namespaces/{PROJECT}",
        location=REGION,
    )
    assert words in error.message


def test_refusals_of_v2_name_its_fields(cloud):
    template = {
        "containers": [{"image": "us-docker.pkg.dev/p/r/app"}],
        "vpcAccess": {"networkInterfaces": [{"subnetwork": "run", "tags": ["Web"]}]},
    }
    error = cloud.refused(f"{SERVICES}.create", {"template": template}, parent=PLACE, serviceId="hello")
    assert error.message.startswith("Invalid template.vpcAccess.networkInterfaces value")


def test_a_subnetwork_of_another_project_is_for_those_who_may_use_it(cloud):
    shared = add_subnetwork(cloud, "shared", "10.9.0.0/24", network="host", project="host-project")
    body = knative(annotations=interface(subnetwork=shared.path))
    create = {"parent": f"namespaces/{PROJECT}", "location": REGION}
    error = cloud.refused("run.v1.namespaces.services.create", body, **create)
    assert (
        f"VPC subnetwork {shared.path} does not exist, or Cloud Run does not have permission" in error.message
    )
    cloud.bind("host-project", "roles/compute.networkUser", f"user:{ME}")
    assert cloud.refused("run.v1.namespaces.services.create", body, **create).message == error.message
    cloud.attach("host-project")
    cloud.create(body)
    assert direct(cloud).subnetwork == shared


def test_a_preview_wants_its_launch_stage_and_at_most_100_instances(cloud):
    cloud.make(keep_as_of(cloud.world, "2023-08-24", NOW, cloud.new_id))
    create = {"parent": f"namespaces/{PROJECT}", "location": REGION}
    body = knative(annotations=interface(subnetwork="run"))
    error = cloud.refused("run.v1.namespaces.services.create", body, **create)
    assert "is not supported in the declared launch stage on Service" in error.message
    body["metadata"]["annotations"][STAGE] = "BETA"
    body["spec"]["template"]["metadata"]["annotations"][MAX] = "101"
    error = cloud.refused("run.v1.namespaces.services.create", body, **create)
    assert "at most 100 instances" in error.message
    body["spec"]["template"]["metadata"]["annotations"][MAX] = "100"
    cloud.create(body)
    assert direct(cloud).subnetwork.id == "run"


def test_today_neither_is_wanted(cloud):
    cloud.make(keep_as_of(cloud.world, "2023-08-24", NOW, cloud.new_id))
    cloud.make(keep_as_of(cloud.world, "", NOW + timedelta(1), cloud.new_id))
    cloud.create(knative(annotations=interface(subnetwork="run") | {MAX: "500"}))
    assert direct(cloud).subnetwork.id == "run"
