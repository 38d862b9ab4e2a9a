"""The v2 view: defaults, masks, refusals, and that both APIs see one service."""

import pytest
from tests.cloud_calls import ME, PLACE, PROJECT, REGION
from tests.unit.services.run.knative import NAMESPACE, Run, knative

from fogbank.resources.projects import usual_number
from fogbank.resources.run import read_service, service_name

SERVICES = "run.v2.projects.locations.services"
NAME = f"{PLACE}/services/hello"


@pytest.fixture
def cloud():
    return Run()


class Region(Run):
    """Cloud Run whose writes are seen as their callers see them first."""

    def _write(self, known, decision):
        self._opened = decision.opened
        return super()._write(known, decision)

    def opened(self, method, body=None, **parameters):
        """Write, and give the operation of the answer."""
        self(method, body, **parameters)
        return self._opened


@pytest.fixture
def region():
    return Region()


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
        ({"scaling": {"scalingMode": "MANUAL"}}, 400),
        (
            {
                "template": {
                    "containers": [{"image": "a"}],
                    "volumes": [{"name": "v", "gcs": {"bucket": "b"}}],
                }
            },
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
            400,
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(cloud, fields, code):
    error = cloud.refused(f"{SERVICES}.create", service(**fields), parent=PLACE, serviceId="hello")
    assert (error.status if error.status == "UNIMPLEMENTED" else error.code) == code


@pytest.mark.parametrize("count", [0, 2])
def test_a_service_may_have_a_number_of_instances_of_its_own(cloud, count):
    scaling = {"scalingMode": "MANUAL", "manualInstanceCount": count}
    create(cloud, service(scaling=scaling))
    assert get(cloud)["scaling"] == scaling
    assert read_service(cloud.world.get(service_name(PROJECT, REGION, "hello"))).manual_instances == count


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


def violations(error):
    (detail,) = error.details
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    return detail["fieldViolations"]


def access(**fields):
    return {"template": service()["template"] | {"vpcAccess": fields}}


def test_vpc_access_needs_a_way_to_the_network(cloud):
    why = "one and only one of connector and network_interfaces must be set."
    field = "CreateServiceRequest.service.template.vpc_access.connector"
    body = access(egress="ALL_TRAFFIC")
    error = cloud.refused(f"{SERVICES}.create", body, parent=PLACE, serviceId="hello")
    assert (error.code, error.message) == (400, f"Violation in {field}: {why}")
    assert violations(error) == [{"field": field, "description": why}]
    create(cloud, service())
    for mask in ({}, {"updateMask": "*"}, {"updateMask": "template.vpcAccess.egress"}):
        error = cloud.refused(f"{SERVICES}.patch", body, name=NAME, **mask)
        assert "UpdateServiceRequest.service.template.vpc_access.connector" in error.message
    both = access(connector="c", networkInterfaces=[{"network": "n"}])
    assert why in cloud.refused(f"{SERVICES}.patch", both, name=NAME).message


def test_an_egress_annotation_of_v1_alone_means_nothing_and_hinders_no_patch(cloud):
    cloud.create(knative(annotations={"run.googleapis.com/vpc-access-egress": "all-traffic"}))
    cloud.ready()
    cloud(f"{SERVICES}.patch", get(cloud) | {"labels": {"a": "b"}}, name=NAME, updateMask="labels")
    assert len(cloud.revisions()) == 1


@pytest.mark.parametrize("mask", ["traffic", "labels", "traffic,labels"])
def test_a_patch_of_traffic_or_labels_keeps_the_template_that_gcloud_wrote(cloud, mask):
    words = {"run.googleapis.com/startup-cpu-boost": "True", "run.googleapis.com/cpu-throttling": "False"}
    body = knative(annotations=words)
    body["spec"]["template"]["metadata"]["name"] = "hello-00001-abc"
    cloud.create(body)
    cloud.ready()
    before = cloud.get()["spec"]["template"]
    traffic = [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100, "tag": "blue"}]
    cloud(f"{SERVICES}.patch", {"traffic": traffic, "labels": {"a": "b"}}, name=NAME, updateMask=mask)
    assert len(cloud.revisions()) == 1
    assert cloud.get()["spec"]["template"] == before


def test_writes_answer_before_anything_is_done(region):
    made = region.opened(f"{SERVICES}.create", service(), parent=PLACE, serviceId="hello")
    assert made.status == "RUNNING"
    assert made.metadata["reconciling"] is True
    assert made.metadata["terminalCondition"]["state"] == "CONDITION_PENDING"
    assert {one["state"] for one in made.metadata["conditions"]} == {"CONDITION_PENDING"}
    region.ready()
    done = region.world.operations[made.name.path]
    assert (done.status, done.response["terminalCondition"]["state"]) == ("DONE", "CONDITION_SUCCEEDED")
    assert "reconciling" not in done.response


def test_a_patch_that_needs_no_revision_is_first_seen_reconciling_too(region):
    create(region, service())
    region.ready()
    opened = region.opened(f"{SERVICES}.patch", {"description": "new"}, name=NAME, updateMask="description")
    assert (opened.status, opened.metadata["reconciling"]) == ("RUNNING", True)
    done = region.world.operations[opened.name.path]
    assert (done.status, done.response["description"]) == ("DONE", "new")
    assert "reconciling" not in done.metadata


def test_a_deleted_service_says_when(region):
    create(region, service())
    region.ready()
    opened = region.opened(f"{SERVICES}.delete", name=NAME)
    assert (opened.status, opened.metadata["reconciling"]) == ("RUNNING", True)
    assert opened.metadata["deleteTime"] == "2026-11-22T01:02:03.000000Z"
    assert opened.metadata["expireTime"] == "2026-12-22T01:02:03.000000Z"
    gone = region.finish(region.world.operations[opened.name.path])
    assert gone.response["deleteTime"] == opened.metadata["deleteTime"]
    assert "reconciling" not in gone.response


def test_conditions_tell_of_routes_first(cloud):
    create(cloud, service())
    assert [one["type"] for one in get(cloud)["conditions"]] == ["RoutesReady", "ConfigurationsReady"]


def test_an_etag_has_its_quotation_marks_and_is_taken_back(cloud):
    create(cloud, service())
    etag = get(cloud)["etag"]
    assert (etag[0], etag[-1]) == ('"', '"')
    cloud(f"{SERVICES}.patch", service(etag=etag), name=NAME)


@pytest.mark.parametrize(
    ("template", "field", "message"),
    [
        (
            {"containers": [{"image": "bad image!"}]},
            "template.containers[0].image",
            "template.containers[0].image: Expected an image path like",
        ),
        (
            {"maxInstanceRequestConcurrency": 2000},
            "template.maxInstanceRequestConcurrency",
            "template.maxInstanceRequestConcurrency: should be between 1 and 1000 inclusive",
        ),
        (
            {"scaling": {"minInstanceCount": 5, "maxInstanceCount": 3}},
            "template.scaling.minInstanceCount",
            "template.scaling.minInstanceCount 5 must not be greater than template.scaling.max",
        ),
        (
            {"containers": [{"image": "a", "resources": {"limits": {"cpu": "3"}}}]},
            "template.containers[0].resources.limits.cpu",
            "template.containers[0].resources.limits.cpu: Invalid value specified",
        ),
    ],
)
def test_a_refusal_names_the_fields_that_its_caller_wrote(cloud, template, field, message):
    body = {"template": service()["template"] | template}
    error = cloud.refused(f"{SERVICES}.create", body, parent=PLACE, serviceId="hello")
    assert error.message.startswith(message)
    (violation,) = violations(error)
    assert violation["field"] == field
    assert error.message in {violation["description"], f"{field}: {violation['description']}"}


def test_a_tag_and_a_name_fit_into_one_host_label(cloud):
    def tagged(length):
        traffic = {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100, "tag": "t" * length}
        return service(traffic=[traffic])

    error = cloud.refused(f"{SERVICES}.create", tagged(42), parent=PLACE, serviceId="hello")
    assert error.message == (
        f"traffic.tag: traffic tag '{'t' * 42}' and service name 'hello' together are too long. "
        "Combined traffic tag and service name cannot exceed 46 characters."
    )
    create(cloud, tagged(41))


def test_binary_authorization_is_asked_for_where_it_allows_every_image(cloud):
    """Nobody can change the default policy here, and break-glass goes past any other."""
    asked = {"useDefault": True, "breakglassJustification": "an incident"}
    create(cloud, service(binaryAuthorization=asked))
    assert get(cloud)["binaryAuthorization"] == asked
    annotations = cloud.get()["metadata"]["annotations"]
    assert annotations["run.googleapis.com/binary-authorization"] == "default"
    body = service(binaryAuthorization={"useDefault": False})
    cloud(f"{SERVICES}.patch", body, name=NAME)
    assert "binaryAuthorization" not in get(cloud)
    policy = {"policy": f"projects/{PROJECT}/platforms/cloudRun/policies/p"}
    refused = cloud.refused(f"{SERVICES}.patch", service(binaryAuthorization=policy), name=NAME)
    assert (refused.code, refused.status) == (400, "UNIMPLEMENTED")
    broken = policy | {"breakglassJustification": "an incident"}
    cloud(f"{SERVICES}.patch", service(binaryAuthorization=broken), name=NAME)
    assert get(cloud)["binaryAuthorization"] == broken
    own = knative()
    own["metadata"]["annotations"] = {"run.googleapis.com/binary-authorization": "mine"}
    named = {"name": f"{NAMESPACE}/services/hello", "location": REGION}
    assert cloud.refused("run.v1.namespaces.services.replaceService", own, **named).code == 400
