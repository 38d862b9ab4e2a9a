"""Operations as clients see them."""

from datetime import UTC, datetime

import pytest
from inline_snapshot import snapshot

from fogbank.app import registry
from fogbank.discovery.routes import find
from fogbank.discovery.schemas import check_response
from fogbank.errors import ApiError
from fogbank.frontend.api.operation_methods import OperationMethods
from fogbank.frontend.api.operations import check_request_id, render_operation, with_request_id
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName, compute_name
from fogbank.resources.operations import OperationError, compute_operation, longrunning_operation
from fogbank.resources.world import PutOperation, World
from fogbank.services.serviceusage import SERVICE
from fogbank.store.journal import Journal
from fogbank.store.store import Store

NOW = datetime(2026, 11, 22, 1, 2, 3, 456000, tzinfo=UTC)
SUBNET = compute_name("subnetworks", "demo", "regions", "asia-northeast3", "s")
CONNECTOR = ResourceName("vpcaccess.connectors", "projects/demo/locations/asia-northeast3/connectors/c")


def opened():
    return compute_operation("insert", SUBNET, 7, now=NOW, new_id=lambda: 5, user="me@x", request_id="r-1")


def lro(**more):
    return longrunning_operation(
        "vpcaccess", "asia-northeast3", "google.cloud.vpcaccess.v1.VpcAccessService.CreateConnector",
        CONNECTOR,
        now=NOW, new_id=lambda: 6, user="me@x", project="demo",
        metadata_type="google.cloud.vpcaccess.v1.OperationMetadata", **more,
    )  # fmt: skip


def test_a_running_compute_operation_has_every_field_that_clients_read():
    rendered = render_operation(opened(), "compute")
    assert rendered == snapshot(
        {
            "kind": "compute#operation",
            "id": "5",
            "name": "operation-1795309323456-d190804b6f9ec-67815995-ea709c2a",
            "operationType": "insert",
            "targetLink": "https://www.googleapis.com/compute/v1/projects/demo/regions/asia-northeast3/subnetworks/s",
            "targetId": "7",
            "user": "me@x",
            "status": "RUNNING",
            "progress": 0,
            "insertTime": "2026-11-21T17:02:03.456-08:00",
            "startTime": "2026-11-21T17:02:03.456-08:00",
            "selfLink": "https://www.googleapis.com/compute/v1/projects/demo/regions/asia-northeast3/operations/operation-1795309323456-d190804b6f9ec-67815995-ea709c2a",
            "region": "https://www.googleapis.com/compute/v1/projects/demo/regions/asia-northeast3",
            "clientOperationId": "r-1",
        }
    )
    assert check_response("compute.v1", "Operation", rendered) == []


def test_a_failed_compute_operation_is_done_and_says_why():
    failed = opened().done(NOW, error=OperationError(400, "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", "in use"))
    rendered = render_operation(failed, "compute")
    assert (rendered["status"], rendered["progress"]) == ("DONE", 100)
    assert rendered["error"] == {
        "errors": [{"code": "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", "message": "in use"}]
    }
    assert (rendered["httpErrorStatusCode"], rendered["httpErrorMessage"]) == (400, "BAD REQUEST")
    assert check_response("compute.v1", "Operation", rendered) == []


def test_a_longrunning_operation_has_the_name_that_gcloud_can_read():
    rendered = render_operation(lro(), "longrunning")
    assert rendered == snapshot(
        {
            "name": "projects/demo/locations/asia-northeast3/operations/1a716cd3-6aa5-4e5d-a6d5-7e600e4e6ebf",
            "metadata": {
                "@type": "type.googleapis.com/google.cloud.vpcaccess.v1.OperationMetadata",
                "createTime": "2026-11-22T01:02:03.456000Z",
                "method": "google.cloud.vpcaccess.v1.VpcAccessService.CreateConnector",
                "target": "projects/demo/locations/asia-northeast3/connectors/c",
            },
        }
    )
    assert check_response("vpcaccess.v1", "Operation", rendered) == []


def test_a_finished_longrunning_operation_has_a_typed_response():
    response = {"@type": "type.googleapis.com/google.cloud.vpcaccess.v1.Connector", "name": CONNECTOR.path}
    rendered = render_operation(lro().done(NOW, response=response), "longrunning")
    assert rendered["done"] is True
    assert rendered["response"] == response
    assert rendered["metadata"]["endTime"] == "2026-11-22T01:02:03.456000Z"
    assert render_operation(lro(done=True), "longrunning")["response"] == {
        "@type": "type.googleapis.com/google.protobuf.Empty"
    }


def test_a_failed_longrunning_operation_has_an_rpc_status():
    error = OperationError(400, "INVALID_ARGUMENT", "the range conflicts")
    rendered = render_operation(lro().done(NOW, error=error), "longrunning")
    assert rendered["error"] == {"code": 3, "message": "the range conflicts"}
    assert "response" not in rendered


SUBNETS = "/compute/v1/projects/demo/regions/asia-northeast3/subnetworks"


@pytest.mark.parametrize(
    ("verb", "path", "name", "known"),
    [
        ("POST", SUBNETS, "s", True),
        ("POST", SUBNETS, "t", False),
        ("POST", SUBNETS.replace("asia-northeast3", "us-central1"), "s", False),
        ("POST", SUBNETS.replace("subnetworks", "addresses"), "s", False),
        ("DELETE", f"{SUBNETS}/s", None, False),
        ("POST", f"{SUBNETS}/s/expandIpCidrRange", None, False),
    ],
)
def test_a_request_id_stands_for_one_method_and_one_target(verb, path, name, known):
    world = World().after([PutOperation(opened())])
    match = find("compute.googleapis.com", verb, path)
    assert match is not None
    body = {"name": name} if name else {}
    assert (with_request_id(world, match, body, "r-1") is not None) == known
    assert with_request_id(world, match, body, "r-2") is None


@pytest.mark.parametrize(
    ("kind", "verb", "path"),
    [
        ("delete", "DELETE", f"{SUBNETS}/s"),
        ("delete", "DELETE", f"{SUBNETS}/7"),
        ("compute.subnetworks.patch", "PATCH", f"{SUBNETS}/s"),
        ("expandIpCidrRange", "POST", f"{SUBNETS}/s/expandIpCidrRange"),
    ],
)
def test_a_repeated_change_is_found_by_its_request_id(kind, verb, path):
    made = compute_operation(kind, SUBNET, 7, now=NOW, new_id=lambda: 5, user="me@x", request_id="r-1")
    world = World().after([PutOperation(made)])
    match = find("compute.googleapis.com", verb, path)
    assert match is not None
    assert with_request_id(world, match, {}, "r-1") == made


@pytest.mark.parametrize(
    "wrong", ["notauuid", "00000000-0000-0000-0000-000000000000", "5a4b5c6d00004000800000000000000"]
)
def test_a_request_id_is_a_uuid_but_not_zero(wrong):
    check_request_id("5a4b5c6d-0000-4000-8000-00000000000A")
    with pytest.raises(ApiError, match="Invalid value for field 'requestId'"):
        check_request_id(wrong)


async def never(_path: str, _seconds: float) -> None:
    raise AssertionError("nothing is waited for")


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize(
    ("under", "listed"), [({}, True), ({"name": "operations"}, True), ({"name": "x"}, False)]
)
async def test_operations_without_a_project_are_listed_by_their_api(tmp_path, version, under, listed):
    target = ResourceName("serviceusage.services", "projects/demo/services/redis.googleapis.com")
    enabled = longrunning_operation(
        "serviceusage", None, "enable", target,
        now=NOW, new_id=lambda: 6, user="me@x", project="demo", metadata_type="OperationMetadata", done=True,
    )  # fmt: skip
    store = Store(Journal(tmp_path / "world.sqlite"))
    known = (PutOperation(enabled), PutOperation(opened()), PutOperation(lro()))
    await store.commit(lambda _world: Decision(known))
    methods = OperationMethods(store, settle=never, services={"serviceusage": SERVICE})
    match = find("serviceusage.googleapis.com", "GET", f"/{version}/operations")
    assert match is not None
    answer = await methods.answer(match, under)
    assert answer == ({"operations": [render_operation(enabled, "longrunning")]} if listed else {})
    assert check_response(match.method.document, match.method.response, answer) == []
    await store.close()


@pytest.mark.parametrize(
    ("location", "listed"), [("asia-northeast3", True), ("-", True), ("us-central1", False)]
)
async def test_operations_are_listed_by_location_or_of_all_locations(tmp_path, location, listed):
    store = Store(Journal(tmp_path / "world.sqlite"))
    await store.commit(lambda _world: Decision((PutOperation(opened()), PutOperation(lro()))))
    services = {service.name: service for service in registry.services()}
    methods = OperationMethods(store, settle=never, services=services)
    path = f"/v1/projects/demo/locations/{location}/operations"
    match = find("vpcaccess.googleapis.com", "GET", path)
    assert match is not None
    answer = await methods.answer(match, {})
    assert answer == ({"operations": [render_operation(lro(), "longrunning")]} if listed else {})
    await store.close()
