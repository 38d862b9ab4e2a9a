"""How a service follows its revisions: conditions, traffic, and the operations that wait."""

import pytest
from tests.cloud_calls import PLACE, PROJECT, REGION
from tests.unit.services.run.knative import NAMESPACE, REVISIONS, SERVICES, Run, knative

from fogbank.resources.run import connector_name, read_revision
from fogbank.resources.world import Delete, Put
from fogbank.services.run import changes, convergence
from fogbank.services.run.controller.failures import without_network
from fogbank.services.run.controller.revision_reports import has_own_probe

V2 = "run.v2.projects.locations.services"


@pytest.fixture
def cloud():
    cloud = Run()
    cloud.create(knative())
    return cloud


def nonce(text):
    return knative(labels={"client.knative.dev/nonce": text})


def serving(cloud):
    return {t["revisionName"]: t.get("percent", 0) for t in cloud.get()["status"].get("traffic", ())}


def test_nothing_serves_before_the_first_revision_is_ready(cloud):
    assert serving(cloud) == {}
    cloud.ready()
    assert cloud.conditions() == dict.fromkeys(("Ready", "ConfigurationsReady", "RoutesReady"), "True")
    assert serving(cloud) == {cloud.newest().id: 100}
    assert cloud.get()["status"]["latestReadyRevisionName"] == cloud.newest().id


def test_the_image_is_kept_as_a_reference_that_can_be_pulled(cloud):
    cloud.ready()
    revision = read_revision(cloud.world.get(cloud.newest()))
    assert revision.digest == "us-docker.pkg.dev/p/r/app@sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("app", "app"),
        ("app:v1", "app"),
        ("host:5000/app", "host:5000/app"),
        ("host:5000/a/b:v1", "host:5000/a/b"),
        ("h/a@sha256:00", "h/a"),
    ],
)
def test_a_repository_is_a_reference_without_tag_and_digest(image, repository):
    assert convergence.repository_of(image) == repository


def test_traffic_waits_for_the_new_revision(cloud):
    cloud.ready()
    first = cloud.newest().id
    cloud.replace(nonce("bbb"))
    assert serving(cloud) == {first: 100}
    assert cloud.conditions() == {"Ready": "Unknown", "ConfigurationsReady": "Unknown", "RoutesReady": "True"}
    cloud.ready()
    assert serving(cloud) == {cloud.newest().id: 100}


def test_traffic_stays_on_the_last_good_revision_when_the_new_one_fails(cloud):
    cloud.ready()
    first = cloud.newest().id
    cloud.replace(nonce("bbb"))
    cloud.fail()
    status = cloud.get()["status"]
    assert serving(cloud) == {first: 100}
    assert status["latestReadyRevisionName"] == first != status["latestCreatedRevisionName"]
    ready = status["conditions"][0]
    assert (ready["status"], ready["reason"]) == ("False", "HealthCheckContainerError")
    assert ready["message"].startswith(
        f"Revision '{cloud.newest().id}' is not ready and cannot serve traffic. The user-provided container "
        "failed to start and listen on the port defined provided by the PORT=8080 environment variable"
    )


def test_a_first_revision_that_fails_ends_every_condition(cloud):
    cloud.fail()
    assert cloud.conditions() == dict.fromkeys(("Ready", "ConfigurationsReady", "RoutesReady"), "False")


def test_a_later_revision_heals_the_service(cloud):
    cloud.fail()
    cloud.replace(nonce("bbb"))
    cloud.ready()
    assert cloud.conditions()["Ready"] == "True"


def test_an_older_revision_that_is_ready_late_does_not_take_over(cloud):
    first = cloud.newest()
    cloud.replace(nonce("bbb"))
    cloud.ready()
    cloud.make(convergence.revision_ready(cloud.world, first, cloud.now))
    assert serving(cloud) == {cloud.newest().id: 100}


def test_traffic_can_be_split_and_tagged(cloud):
    cloud.ready()
    first = cloud.newest().id
    body = nonce("bbb")
    body["spec"]["traffic"] = [
        {"revisionName": first, "percent": 90},
        {"latestRevision": True, "percent": 10, "tag": "next"},
    ]
    cloud.replace(body)
    cloud.ready()
    assert serving(cloud) == {first: 90, cloud.newest().id: 10}
    tagged = cloud.get()["status"]["traffic"][1]
    assert tagged["url"] == cloud.get()["status"]["url"].replace("https://", "https://next---")


@pytest.mark.parametrize(
    "traffic",
    [
        [{"latestRevision": True, "percent": 90}],
        [{"revisionName": "hello-none", "percent": 100}],
        [{"percent": 100}],
        [{"latestRevision": True, "percent": 100, "tag": "Bad"}],
        [{"latestRevision": True, "percent": 150}, {"latestRevision": True, "percent": -50}],
    ],
)
def test_traffic_that_does_not_add_up_is_refused(cloud, traffic):
    body = knative()
    body["spec"]["traffic"] = traffic
    error = cloud.refused(
        f"{SERVICES}.replaceService", body, name=f"{NAMESPACE}/services/hello", location=REGION
    )
    assert error.code == 400


def test_a_transition_time_moves_only_with_its_condition(cloud):
    cloud.ready()
    before = cloud.get()["status"]["conditions"]
    cloud.now = cloud.now.replace(year=2027)
    cloud.replace(nonce("bbb"))
    after = cloud.get()["status"]["conditions"]
    assert after[2] == before[2]
    assert after[0]["lastTransitionTime"].startswith("2027")


def test_a_retired_revision_comes_back(cloud):
    cloud.ready()
    cloud.make(convergence.revision_retired(cloud.world, cloud.newest(), cloud.now))
    assert convergence.revision_retired(cloud.world, cloud.newest(), cloud.now) == ()
    cloud.make(convergence.revision_active(cloud.world, cloud.newest(), cloud.now))
    assert cloud.conditions()["Ready"] == "True"


def test_what_happens_to_a_deleted_revision_is_nobodys_business(cloud):
    gone = cloud.newest()
    cloud.delete()
    assert convergence.images_resolved(cloud.world, gone, {}, cloud.now) == ()
    assert convergence.revision_ready(cloud.world, gone, cloud.now) == ()
    assert convergence.revision_failed(cloud.world, gone, "Any", "reason", cloud.now) == ()


def test_a_revision_that_is_needed_cannot_be_deleted(cloud):
    cloud.ready()
    old = cloud.newest().id
    name = f"{NAMESPACE}/revisions/{old}"
    assert "actively serving" in cloud.refused(f"{REVISIONS}.delete", name=name, location=REGION).message
    cloud.replace(nonce("bbb"))
    latest = f"{NAMESPACE}/revisions/{cloud.newest().id}"
    assert "latest created" in cloud.refused(f"{REVISIONS}.delete", name=latest, location=REGION).message
    cloud.ready()
    cloud(f"{REVISIONS}.delete", name=name, location=REGION)
    assert [r["metadata"]["name"] for r in cloud.revisions()] == [cloud.newest().id]


def v2_service(**template):
    return {"template": {"containers": [{"image": "us-docker.pkg.dev/p/r/app"}]} | template}


def test_a_v2_operation_ends_when_the_service_is_ready(cloud):
    operation = cloud(f"{V2}.create", v2_service(), parent=PLACE, serviceId="two")
    assert operation.status == "RUNNING"
    cloud.ready("two")
    done = cloud.world.operations[operation.name.path]
    assert done.status == "DONE"
    assert done.response == done.metadata
    assert done.response["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"


def test_a_v2_operation_fails_with_its_revision(cloud):
    operation = cloud(f"{V2}.create", v2_service(), parent=PLACE, serviceId="two")
    cloud.fail("two")
    done = cloud.world.operations[operation.name.path]
    assert done.error.code == "FAILED_PRECONDITION"
    assert "is not ready and cannot serve traffic" in done.error.message


def test_a_v2_operation_that_needs_no_revision_is_over_at_once(cloud):
    cloud.ready()
    body = cloud(f"{V2}.get", name=f"{PLACE}/services/hello") | {"labels": {"team": "fog"}}
    operation = cloud(f"{V2}.patch", body, name=f"{PLACE}/services/hello")
    assert operation.status == "DONE"
    assert operation.response["labels"] == {"team": "fog"}


def test_deleting_a_service_ends_what_waited_for_it(cloud):
    operation = cloud(f"{V2}.create", v2_service(), parent=PLACE, serviceId="two")
    deletion = cloud(f"{V2}.delete", name=f"{PLACE}/services/two")
    assert cloud.world.operations[operation.name.path].error.code == "ABORTED"
    assert cloud.finish(deletion).response["name"] == f"{PLACE}/services/two"


def named_operation(cloud):
    """The operation that the service names, for which gcloud waits."""
    identifier = cloud.get()["metadata"]["annotations"]["run.googleapis.com/operation-id"]
    return cloud.world.operations[f"{PLACE}/operations/{identifier}"]


@pytest.mark.parametrize(("event", "status"), [("ready", "True"), ("fail", "False")])
def test_the_operation_that_a_service_names_ends_with_its_conditions(cloud, event, status):
    assert named_operation(cloud).status == "RUNNING"
    getattr(cloud, event)()
    done = named_operation(cloud)
    assert (done.status, done.error) == ("DONE", None)
    assert done.response["status"]["conditions"][0]["status"] == status


def test_an_update_without_a_revision_names_an_operation_that_is_over(cloud):
    cloud.ready()
    body = knative()
    body["metadata"]["labels"] = {"team": "fog"}
    cloud.replace(body)
    assert named_operation(cloud).response["metadata"]["labels"]["team"] == "fog"


def test_a_service_whose_connector_goes_is_not_ready_keeps_its_traffic_and_recovers():
    cloud = Run()
    cloud.subnetwork()
    cloud.connector()
    cloud.create(knative(annotations={"run.googleapis.com/vpc-access-connector": "connector"}))
    cloud.ready()
    revision, connector = cloud.newest(), connector_name("connector", PROJECT, REGION)
    before = cloud.world.get(connector)
    assert convergence.connector_changed(cloud.world, connector, cloud.now) == ()
    assert list(without_network(cloud.world, [read_revision(cloud.world.get(revision))], cloud.now)) == []

    cloud.make([Delete(connector)])
    cloud.make(convergence.connector_changed(cloud.world, connector, cloud.now))
    message = (
        f"VPC connector {connector.path} does not exist, or Cloud Run does not have permission to use it."
    )
    assert cloud.conditions() == {"Ready": "False", "ConfigurationsReady": "False", "RoutesReady": "True"}
    assert serving(cloud) == {revision.id: 100}
    shown = cloud(f"{V2}.get", name=f"{PLACE}/services/hello")["terminalCondition"]
    assert (shown["state"], shown["reason"]) == ("CONDITION_FAILED", "VPC_NETWORK_NOT_FOUND")
    assert shown["message"] == message
    assert connector.path in message
    [(name, failure)] = without_network(cloud.world, [read_revision(cloud.world.get(revision))], cloud.now)
    assert (name, message in failure.why, failure.since) == (revision, True, cloud.now)

    cloud.make([Put(before)])
    cloud.make(convergence.connector_changed(cloud.world, connector, cloud.now))
    assert set(cloud.conditions().values()) == {"True"}


@pytest.mark.parametrize(("container", "own"), [({}, False), ({"startupProbe": {"grpc": {}}}, True)])
def test_only_a_probe_of_the_users_own_is_called_configured(container, own):
    cloud = Run()
    cloud.create(knative(container=container))
    assert has_own_probe(read_revision(cloud.world.get(cloud.newest()))) is own


def test_a_service_keeps_so_many_revisions_and_all_that_traffic_or_a_tag_reaches(cloud, monkeypatch):
    monkeypatch.setattr(changes, "MOST_REVISIONS", 3)
    made = []
    for number in range(6):
        made.append(cloud.newest().id)
        cloud.ready()
        body = knative(labels={"client.knative.dev/nonce": f"n{number}"})
        body["spec"]["traffic"] = [
            {"latestRevision": True, "percent": 100},
            {"revisionName": made[0], "tag": "first"},
        ]
        cloud.replace(body)
    kept = {each["metadata"]["name"] for each in cloud.revisions()}
    assert kept == {made[0], made[5], cloud.newest().id}
    assert cloud.get()["status"]["latestReadyRevisionName"] == made[5]
