"""The v2 view: defaults, masks, refusals, and that both APIs see one service."""

import pytest
from tests.cloud_calls import ME, PLACE, PROJECT
from tests.unit.services.run.knative import Run, knative

from fogbank.resources.projects import usual_number

SERVICES = "run.v2.projects.locations.services"
NAME = f"{PLACE}/services/hello"


@pytest.fixture
def cloud():
    return Run()


def service(**fields):
    return {"template": {"containers": [{"image": "us-docker.pkg.dev/p/r/app"}]}} | fields


def create(cloud, body):
    return cloud(f"{SERVICES}.create", body, parent=PLACE, serviceId="hello")


def get(cloud):
    return cloud(f"{SERVICES}.get", name=NAME)


def test_a_new_service_has_the_recorded_defaults(cloud):
    create(cloud, service(labels={"a": "b"}, launchStage="GA", ingress="INGRESS_TRAFFIC_ALL"))
    cloud.ready()
    shown = get(cloud)
    template = shown["template"]
    assert "executionEnvironment" not in template
    assert template["scaling"] == {"maxInstanceCount": 100}
    assert template["maxInstanceRequestConcurrency"] == 80
    assert template["timeout"] == "300s"
    assert template["serviceAccount"] == f"{usual_number(PROJECT)}-compute@developer.gserviceaccount.com"
    limits = {"cpu": "1000m", "memory": "512Mi"}
    assert template["containers"][0]["resources"] == {"limits": limits, "cpuIdle": True}
    assert shown["generation"] == "1"
    assert shown["creator"] == shown["lastModifier"] == ME
    assert shown["labels"] == {"a": "b"}
    assert shown["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
    assert "reconciling" not in shown


def test_a_service_that_is_being_made_is_reconciling(cloud):
    operation = create(cloud, service())
    assert operation.metadata["@type"] == "type.googleapis.com/google.cloud.run.v2.Service"
    assert get(cloud)["reconciling"] is True


def test_v1_sees_what_v2_wrote(cloud):
    cloud.subnetwork()
    cloud.connector()
    access = {"connector": f"{PLACE}/connectors/connector", "egress": "ALL_TRAFFIC"}
    body = service(invokerIamDisabled=True)
    body["template"] |= {"vpcAccess": access, "scaling": {"minInstanceCount": 1, "maxInstanceCount": 2}}
    create(cloud, body)
    annotations = cloud.get()["spec"]["template"]["metadata"]["annotations"]
    assert annotations["run.googleapis.com/vpc-access-connector"] == f"{PLACE}/connectors/connector"
    assert annotations["run.googleapis.com/vpc-access-egress"] == "all-traffic"
    assert annotations["autoscaling.knative.dev/maxScale"] == "2"
    assert cloud.get()["metadata"]["annotations"]["run.googleapis.com/invoker-iam-disabled"] == "true"
    assert get(cloud)["template"]["vpcAccess"] == access


def test_v2_sees_what_v1_wrote(cloud):
    cloud.subnetwork()
    cloud.connector()
    cloud.create(
        knative(
            annotations={
                "run.googleapis.com/vpc-access-connector": "connector",
                "run.googleapis.com/vpc-access-egress": "all",
                "run.googleapis.com/startup-cpu-boost": "True",
            }
        )
    )
    template = get(cloud)["template"]
    assert template["vpcAccess"] == {
        "connector": f"{PLACE}/connectors/connector",
        "egress": "ALL_TRAFFIC",
    }
    assert template["containers"][0]["resources"]["startupCpuBoost"] is True
    assert "executionEnvironment" not in template


def test_a_mask_changes_only_what_it_names(cloud):
    create(cloud, service(labels={"a": "b"}))
    cloud.ready()
    cloud(f"{SERVICES}.patch", {"description": "new"}, name=NAME, updateMask="description")
    shown = get(cloud)
    assert (shown["description"], shown["labels"], shown["generation"]) == ("new", {"a": "b"}, "2")
    assert len(cloud.revisions()) == 1
    cloud(
        f"{SERVICES}.patch",
        {"template": {"timeout": "60s"}},
        name=NAME,
        updateMask="template.timeout",
    )
    assert get(cloud)["template"]["timeout"] == "60s"
    assert get(cloud)["template"]["containers"] == shown["template"]["containers"]
    assert len(cloud.revisions()) == 2


@pytest.mark.parametrize(
    "path",
    [
        "template.containers.image",
        "template.containers.0.image",
        "template.containers[0].image",
        "traffic.percent",
        "annotations.x.y",
        "labels.a",
        "conditions.state",
        "bogus",
        "description.foo",
        "ingress.INGRESS_TRAFFIC_ALL",
        "template.",
        ".description",
        "template.*",
    ],
)
@pytest.mark.parametrize("mask", ["{}", "description,{}", "*,{}"])
def test_a_mask_names_fields_and_goes_through_no_list_or_map(cloud, path, mask):
    create(cloud, service(description="old", annotations={"x": "1"}))
    error = cloud.refused(
        f"{SERVICES}.patch", service(description="new"), name=NAME, updateMask=mask.format(path)
    )
    assert (error.code, error.status) == (400, "INVALID_ARGUMENT")
    assert f"'{path}'" in error.message


def test_a_mask_is_checked_before_a_patch_makes_what_is_missing(cloud):
    error = cloud.refused(
        f"{SERVICES}.patch", service(), name=NAME, allowMissing=True, updateMask="description,bogus"
    )
    assert error.code == 400


@pytest.mark.parametrize("path", ["uid", "createTime", "name", "etag", "terminal_condition.state", "urls"])
def test_a_mask_may_name_what_only_google_writes_without_effect(cloud, path):
    create(cloud, service(description="old"))
    before = get(cloud)
    body = {"uid": "other", "createTime": "2001-01-01T00:00:00Z", "name": "n", "description": "new"}
    cloud(f"{SERVICES}.patch", body, name=NAME, updateMask=path)
    assert get(cloud) == before


def test_a_mask_of_everything_makes_the_body_the_whole(cloud):
    create(cloud, service(labels={"a": "b"}))
    cloud(f"{SERVICES}.patch", service(description="new"), name=NAME, updateMask="*")
    assert get(cloud)["description"] == "new"
    assert "labels" not in get(cloud)


def test_without_a_mask_the_body_is_the_whole(cloud):
    create(cloud, service(labels={"a": "b"}))
    cloud.ready()
    cloud(f"{SERVICES}.patch", service(), name=NAME)
    assert "labels" not in get(cloud)


def test_an_older_etag_is_refused(cloud):
    create(cloud, service())
    error = cloud.refused(f"{SERVICES}.patch", service(etag="older"), name=NAME)
    assert (error.code, error.status) == (409, "ABORTED")


def test_a_patch_may_make_what_is_missing(cloud):
    cloud(f"{SERVICES}.patch", service(), name=NAME, allowMissing=True)
    assert get(cloud)["generation"] == "1"


def test_validating_changes_nothing(cloud):
    before = cloud.world.collections
    assert (
        cloud(f"{SERVICES}.create", service(), parent=PLACE, serviceId="hello", validateOnly=True).status
        == "DONE"
    )
    assert cloud.world.collections == before


def test_a_revision_can_be_forced(cloud):
    create(cloud, service())
    cloud(f"{SERVICES}.patch", get(cloud), name=NAME, forceNewRevision=True)
    assert len(cloud.revisions()) == 2


def test_what_is_not_there_is_called_by_its_name(cloud):
    error = cloud.refused(f"{SERVICES}.get", name=NAME)
    assert (error.code, error.message) == (404, f'service "{NAME}" not found')


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"labels": {"run.googleapis.com/x": "y"}}, 400),
        ({"annotations": {"serving.knative.dev/x": "y"}}, 400),
        ({"ingress": "INGRESS_TRAFFIC_UNSPECIFIED"}, 400),
        ({"iapEnabled": True}, "UNIMPLEMENTED"),
        ({"scaling": {"scalingMode": "MANUAL", "manualInstanceCount": 2}}, "UNIMPLEMENTED"),
        (
            {"template": {"containers": [{"image": "a"}], "volumes": [{"name": "v", "emptyDir": {}}]}},
            "UNIMPLEMENTED",
        ),
        ({"template": {"containers": [{"image": "a"}], "timeout": "soon"}}, 400),
        ({"template": {"containers": [{"image": "bad image!"}]}}, 400),
        ({"scaling": {"minInstanceCount": 5, "maxInstanceCount": 3}}, 400),
        (
            {
                "template": {
                    "containers": [{"image": "a"}],
                    "scaling": {"minInstanceCount": 5, "maxInstanceCount": 3},
                }
            },
            400,
        ),
        (
            {
                "template": {
                    "containers": [{"image": "a"}],
                    "vpcAccess": {"networkInterfaces": [{"network": "n"}]},
                }
            },
            "UNIMPLEMENTED",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(cloud, fields, code):
    error = cloud.refused(f"{SERVICES}.create", service(**fields), parent=PLACE, serviceId="hello")
    assert (error.status if error.status == "UNIMPLEMENTED" else error.code) == code


def test_a_maximum_of_zero_has_not_been_set(cloud):
    body = service(scaling={"minInstanceCount": 1, "maxInstanceCount": 0})
    body["template"]["scaling"] = {"minInstanceCount": 1, "maxInstanceCount": 0}
    create(cloud, body)
    shown = get(cloud)
    assert shown["scaling"] == {"minInstanceCount": 1}
    assert shown["template"]["scaling"] == {"minInstanceCount": 1, "maxInstanceCount": 100}


def test_revisions_are_shown_under_their_service(cloud):
    create(cloud, service())
    cloud.ready()
    (revision,) = cloud(f"{SERVICES}.revisions.list", parent=NAME)
    assert revision["name"] == get(cloud)["latestReadyRevision"]
    assert revision["scaling"] == {"maxInstanceCount": 100}
    assert cloud(f"{SERVICES}.revisions.get", name=revision["name"]) == revision
    other = revision["name"].replace("/services/hello/", "/services/other/")
    assert cloud.refused(f"{SERVICES}.revisions.get", name=other).code == 404


def test_policies_are_the_same_in_both(cloud):
    create(cloud, service())
    policy = {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}
    answer = cloud(f"{SERVICES}.setIamPolicy", {"policy": policy}, resource=NAME)
    assert answer["bindings"] == policy["bindings"]
    assert cloud("run.v1.projects.locations.services.getIamPolicy", resource=NAME) == answer
    stale = {"policy": policy | {"etag": "AAAAAAAAAAA="}}
    assert cloud.refused(f"{SERVICES}.setIamPolicy", stale, resource=NAME).code == 409


def test_services_are_listed(cloud):
    create(cloud, service())
    cloud.create(knative("other"))
    assert {s["name"] for s in cloud(f"{SERVICES}.list", parent=PLACE)} == {
        NAME,
        f"{PLACE}/services/other",
    }
