"""Which APIs a project has: the start, enabling, disabling, and what there is to choose from."""

import pytest
from tests.cloud_calls import APIS, PROJECT, Cloud

from fogbank.errors import ApiError
from fogbank.resources.projects import usual_number

PARENT = f"projects/{PROJECT}"
NUMBERED = f"projects/{usual_number(PROJECT)}"


@pytest.fixture
def cloud():
    return Cloud()


def enabled(cloud):
    listed = cloud("serviceusage.v1.services.list", parent=PARENT, filter="state:ENABLED")
    return {api["config"]["name"] for api in listed}


def test_a_project_starts_with_what_the_region_implements(cloud):
    assert enabled(cloud) == {*APIS.implemented, "sql-component.googleapis.com"}
    shown = cloud("serviceusage.v1.services.get", name=f"{PARENT}/services/run.googleapis.com")
    assert (shown["name"], shown["state"]) == (f"{NUMBERED}/services/run.googleapis.com", "ENABLED")


def test_enabling_is_an_operation_that_is_over_at_once(cloud):
    name = f"{PARENT}/services/apigee.googleapis.com"
    operation = cloud("serviceusage.v1.services.enable", {}, name=name)
    assert operation.status == "DONE"
    assert operation.name.path.startswith("operations/")
    assert operation.response["service"]["state"] == "ENABLED"
    assert APIS.state(cloud.world, PROJECT, "apigee.googleapis.com") == "ENABLED"


def test_enabling_what_is_enabled_has_nothing_to_do(cloud):
    name = f"{PARENT}/services/run.googleapis.com"
    operation = cloud("serviceusage.v1.services.enable", {}, name=name)
    assert operation.name.path == "operations/noop.DONE_OPERATION"


def test_an_api_can_be_disabled_once(cloud):
    name = f"{PARENT}/services/run.googleapis.com"
    cloud("serviceusage.v1.services.disable", {}, name=name)
    assert "run.googleapis.com" not in enabled(cloud)
    assert cloud.refused("serviceusage.v1.services.disable", {}, name=name).status == "FAILED_PRECONDITION"


def test_several_are_enabled_together_or_not_at_all(cloud):
    body = {"serviceIds": ["run.googleapis.com", "apigee.googleapis.com"]}
    operation = cloud("serviceusage.v1.services.batchEnable", body, parent=PARENT)
    assert [s["state"] for s in operation.response["services"]] == ["ENABLED", "ENABLED"]
    wrong = {"serviceIds": ["apigateway.googleapis.com", "nothing.example.com"]}
    assert cloud.refused("serviceusage.v1.services.batchEnable", wrong, parent=PARENT).code == 403
    assert "apigateway.googleapis.com" not in enabled(cloud)


def test_several_are_shown_together(cloud):
    names = [f"{PARENT}/services/{api}" for api in ("apigateway.googleapis.com", "run.googleapis.com")]
    answer = cloud("serviceusage.v1.services.batchGet", parent=PARENT, names=names)
    assert [s["state"] for s in answer["services"]] == ["DISABLED", "ENABLED"]


def test_a_filter_that_nobody_knows_is_refused(cloud):
    assert cloud.refused("serviceusage.v1.services.list", parent=PARENT, filter="name:x").code == 400


def test_a_call_of_a_disabled_api_is_refused(cloud):
    APIS.check_enabled(cloud.world, PROJECT, "run.googleapis.com")
    cloud("serviceusage.v1.services.disable", {}, name=f"{PARENT}/services/run.googleapis.com")
    with pytest.raises(ApiError, match="Cloud Run Admin API has not been used in project") as caught:
        APIS.check_enabled(cloud.world, PROJECT, "run.googleapis.com")
    assert caught.value.details[0]["reason"] == "SERVICE_DISABLED"
    APIS.check_enabled(cloud.world, PROJECT, "apigee.googleapis.com")  # nobody answers it anyway
