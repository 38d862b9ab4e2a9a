"""The revisions that serve, kept service by service, are those that a look at all services would find."""

from dataclasses import replace

import pytest
from tests.cloud_calls import PROJECT, REGION, Cloud

from fogbank.resources.names import ResourceName
from fogbank.resources.run import revision_name, service_name
from fogbank.resources.world import Delete, Put
from fogbank.services.run import convergence
from fogbank.services.run.controller.serving import ServingRevisions

SERVICE = service_name(PROJECT, REGION, "s")


def body(**spec: object) -> dict[str, object]:
    template = {"spec": {"containers": [{"image": "image"}], **spec}}
    metadata = {"name": "s", "namespace": PROJECT}
    return {
        "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": metadata,
        "spec": {"template": template},
    }  # fmt: skip


@pytest.fixture
def cloud() -> Cloud:
    cloud = Cloud()
    cloud("run.v1.namespaces.services.create", body(), parent=f"namespaces/{PROJECT}", location=REGION)
    return cloud


def latest(cloud: Cloud) -> ResourceName:
    created = cloud.world.get(SERVICE).body["status"]["latestCreatedRevisionName"]
    return revision_name(SERVICE, created)


def test_one_that_is_checked_serves_and_one_that_failed_does_not(cloud: Cloud) -> None:
    serving, first = ServingRevisions(), latest(cloud)
    shift = serving.update(cloud.world, SERVICE)
    assert (shift.begun, shift.ended) == ({first}, set())
    assert first in serving
    cloud.make(convergence.revision_failed(cloud.world, first, convergence.CONTAINER_FAILED, "no", cloud.now))
    shift = serving.update(cloud.world, SERVICE)
    assert (shift.begun, shift.ended) == (set(), {first})
    assert list(serving) == []
    assert serving.find(first) is None


def test_traffic_moves_to_a_ready_revision_and_a_deleted_service_has_none(cloud: Cloud) -> None:
    serving, first = ServingRevisions(), latest(cloud)
    cloud.make(convergence.revision_ready(cloud.world, first, cloud.now))
    serving.update(cloud.world, SERVICE)
    name = f"namespaces/{PROJECT}/services/s"
    cloud("run.v1.namespaces.services.replaceService", body(timeoutSeconds=7), name=name, location=REGION)
    second = latest(cloud)
    assert serving.update(cloud.world, SERVICE).begun == {second}
    assert serving.of(SERVICE) == {first, second}
    cloud.make(convergence.revision_ready(cloud.world, second, cloud.now))
    assert serving.update(cloud.world, SERVICE).ended == {first}
    cloud.make([Delete(SERVICE)])
    assert serving.update(cloud.world, SERVICE).ended == {second}
    assert list(serving.services()) == []


def test_what_a_revision_asks_for_is_as_new_as_its_resource(cloud: Cloud) -> None:
    serving, name = ServingRevisions(), latest(cloud)
    serving.update(cloud.world, SERVICE)
    cloud.make(convergence.images_resolved(cloud.world, name, {"image": "sha256:1"}, cloud.now))
    serving.update(cloud.world, SERVICE)
    found = serving.find(name)
    assert found
    assert found[0] is cloud.world.get(name)
    assert found[1].digest == "image@sha256:1"


def test_changes_name_the_service_that_they_are_about(cloud: Cloud) -> None:
    serving, name = ServingRevisions(), latest(cloud)
    service, revision = cloud.world.get(SERVICE), cloud.world.get(name)
    serving.update(cloud.world, SERVICE)
    for change in (Put(service), Put(revision), Delete(SERVICE), Delete(name)):
        assert serving.touched([change]) == {SERVICE}, change
    elsewhere = replace(
        service, name=ResourceName("compute.networks", f"projects/{PROJECT}/global/networks/n")
    )
    assert serving.touched([Put(elsewhere), Delete(elsewhere.name)]) == set()
    assert ServingRevisions().touched([Delete(name)]) == set()
