"""Services in the v1 API: what a deploy makes, what an update changes, what is refused."""

import json
import re
from dataclasses import replace

import pytest
from tests import worlds
from tests.cloud_calls import ME, PLACE, PROJECT, REGION
from tests.unit.services.run.knative import NAMESPACE, SERVICES, Run, knative

from fogbank.resources.names import ResourceName
from fogbank.resources.policies import policy_of
from fogbank.resources.projects import (
    compute_account,
    policy_name,
    project_number,
    service_agent,
    usual_number,
)
from fogbank.resources.run import read_revision
from fogbank.resources.run_containers import ContainerProbe
from fogbank.resources.world import Put
from fogbank.services.run.lists import selects

NUMBER = usual_number(PROJECT)
CONNECTOR = "run.googleapis.com/vpc-access-connector"
EGRESS = "run.googleapis.com/vpc-access-egress"


@pytest.fixture
def cloud():
    return Run()


def test_a_deployed_service_has_all_that_gcloud_waits_for(cloud):
    service = cloud.create(knative())
    metadata, status = service["metadata"], service["status"]
    assert metadata["namespace"] == NUMBER
    assert metadata["generation"] == status["observedGeneration"] == 1
    assert metadata["labels"] == {"cloud.googleapis.com/location": REGION}
    assert metadata["annotations"]["serving.knative.dev/creator"] == ME
    assert metadata["annotations"]["run.googleapis.com/ingress"] == "all"
    assert service["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]
    assert cloud.conditions() == dict.fromkeys(("Ready", "ConfigurationsReady", "RoutesReady"), "Unknown")
    urls = json.loads(metadata["annotations"]["run.googleapis.com/urls"])
    assert status["url"] in urls
    assert f"https://hello-{NUMBER}.{REGION}.run.app" in urls


def test_the_defaults_are_googles(cloud):
    spec = cloud.create(knative())["spec"]["template"]["spec"]
    assert spec == {
        "containerConcurrency": 80,
        "timeoutSeconds": 300,
        "serviceAccountName": f"{NUMBER}-compute@developer.gserviceaccount.com",
        "containers": [
            {
                "image": "us-docker.pkg.dev/p/r/app:v1",
                "ports": [{"name": "http1", "containerPort": 8080}],
                "resources": {"limits": {"cpu": "1000m", "memory": "512Mi"}},
                "startupProbe": {
                    "timeoutSeconds": 240,
                    "periodSeconds": 240,
                    "failureThreshold": 1,
                    "tcpSocket": {"port": 8080},
                },
            }
        ],
    }


def test_concurrency_is_one_when_there_is_less_than_a_cpu(cloud):
    body = knative(container={"resources": {"limits": {"cpu": "0.5"}}})
    assert cloud.create(body)["spec"]["template"]["spec"]["containerConcurrency"] == 1


def test_revisions_are_counted_and_end_in_three_characters(cloud):
    cloud.create(knative())
    first = cloud.newest().id
    cloud.replace(knative(labels={"client.knative.dev/nonce": "bbb"}))
    second = cloud.newest().id
    assert re.fullmatch(r"hello-00001-[a-z0-9]{3}", first)
    assert re.fullmatch(r"hello-00002-[a-z0-9]{3}", second)


def test_the_same_template_makes_no_new_revision(cloud):
    created = cloud.create(knative())
    again = cloud.replace(knative())
    assert again == created
    assert len(cloud.revisions()) == 1


def test_sending_back_what_was_read_changes_nothing(cloud):
    cloud.create(knative())
    cloud.ready()
    read = cloud.get()
    assert cloud.replace(read) == read


def test_a_new_nonce_forces_a_revision_and_raises_the_generation(cloud):
    cloud.create(knative())
    service = cloud.replace(knative(labels={"client.knative.dev/nonce": "bbb"}))
    assert service["metadata"]["generation"] == 2
    assert len(cloud.revisions()) == 2


def test_a_label_on_the_service_alone_makes_no_revision(cloud):
    cloud.create(knative())
    cloud.ready()
    body = knative()
    body["metadata"]["labels"] = {"team": "fog"}
    service = cloud.replace(body)
    assert service["metadata"]["labels"]["team"] == "fog"
    assert len(cloud.revisions()) == 1
    assert cloud.conditions()["Ready"] == "True"


def test_a_change_made_on_an_older_version_is_a_conflict(cloud):
    body = knative()
    body["metadata"]["resourceVersion"] = cloud.create(knative())["metadata"]["resourceVersion"]
    cloud.replace(knative(labels={"client.knative.dev/nonce": "bbb"}))
    with pytest.raises(AssertionError):
        assert cloud.get()["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"]
    error = cloud.refused(
        f"{SERVICES}.replaceService", body, name=f"{NAMESPACE}/services/hello", location=REGION
    )
    assert (error.code, error.status) == (409, "ABORTED")


def test_a_user_names_a_revision_once(cloud):
    body = knative()
    body["spec"]["template"]["metadata"]["name"] = "hello-blue"
    cloud.create(body)
    assert cloud.newest().id == "hello-blue"
    other = knative(labels={"client.knative.dev/nonce": "bbb"})
    other["spec"]["template"]["metadata"]["name"] = "hello-blue"
    error = cloud.refused(
        f"{SERVICES}.replaceService", other, name=f"{NAMESPACE}/services/hello", location=REGION
    )
    assert error.code == 409


def test_the_same_name_may_exist_in_two_regions(cloud):
    cloud.create(knative())
    cloud(f"{SERVICES}.create", knative(), parent=NAMESPACE, location="us-central1")
    both = cloud("run.v1.projects.locations.services.list", parent=f"projects/{PROJECT}/locations/-")
    assert {s["metadata"]["labels"]["cloud.googleapis.com/location"] for s in both["items"]} == {
        REGION,
        "us-central1",
    }
    assert both["kind"] == "ServiceList"


def test_a_service_that_does_not_exist_is_not_found(cloud):
    error = cloud.refused(f"{SERVICES}.get", name=f"{NAMESPACE}/services/hello", location=REGION)
    assert (error.code, error.status) == (404, "NOT_FOUND")


def test_deleting_a_service_takes_everything_of_it(cloud):
    cloud.create(knative())
    cloud(
        "run.v1.projects.locations.services.setIamPolicy",
        {"policy": {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}},
        resource=f"{PLACE}/services/hello",
    )
    assert cloud.delete()["status"] == "Success"
    for collection in ("run.services", "run.revisions", "run.policies"):
        assert list(cloud.world.all(collection)) == []


def test_a_dry_run_changes_nothing(cloud):
    before = cloud.world
    assert cloud.create(knative(), dryRun="all")["metadata"]["name"] == "hello"
    assert cloud.world.collections == before.collections


V1_PLACES = [(NAMESPACE, "namespaces", {"location": REGION}), (PLACE, "projects.locations", {})]


@pytest.mark.parametrize(("parent", "methods", "host"), V1_PLACES)
def test_a_dry_delete_answers_as_the_real_one_and_deletes_nothing(cloud, parent, methods, host):
    cloud.create(knative())
    old = cloud.newest().id
    cloud.replace(knative(labels={"client.knative.dev/nonce": "bbb"}))
    cloud.ready()
    for kind, name in (("revisions", old), ("services", "hello")):
        delete, path = f"run.v1.{methods}.{kind}.delete", f"{parent}/{kind}/{name}"
        before = cloud.world
        trial = cloud(delete, name=path, dryRun="all", **host)
        assert cloud.world.collections == before.collections
        assert cloud(delete, name=path, **host) == trial
        assert cloud.world.collections != before.collections
        assert cloud.refused(delete, name=path, dryRun="all", **host).code == 404


def test_a_dry_delete_of_a_revision_that_is_needed_is_refused(cloud):
    cloud.create(knative())
    path = f"{NAMESPACE}/revisions/{cloud.newest().id}"
    error = cloud.refused("run.v1.namespaces.revisions.delete", name=path, location=REGION, dryRun="all")
    assert error.status == "FAILED_PRECONDITION"


def test_a_dry_run_of_something_else_than_all_is_refused_by_name(cloud):
    cloud.create(knative())
    names = [f"{NAMESPACE}/services/hello", f"{NAMESPACE}/revisions/{cloud.newest().id}"]
    calls = [
        (f"{SERVICES}.create", knative("other"), {"parent": NAMESPACE}),
        (f"{SERVICES}.replaceService", knative(container={"image": "b"}), {"name": names[0]}),
        (f"{SERVICES}.delete", None, {"name": names[0]}),
        ("run.v1.namespaces.revisions.delete", None, {"name": names[1]}),
    ]
    for method, body, where in calls:
        error = cloud.refused(method, body, **where, location=REGION, dryRun="some")
        assert (error.code, error.status) == (400, "INVALID_ARGUMENT")
        assert "dryRun" in error.message
        assert "'some'" in error.message


def test_a_connector_must_exist_in_the_region(cloud):
    cloud.subnetwork()
    body = knative(annotations={CONNECTOR: "connector", EGRESS: "all-traffic"})
    error = cloud.refused(f"{SERVICES}.create", body, parent=NAMESPACE, location=REGION)
    assert error.message == (
        f"VPC connector {PLACE}/connectors/connector does not exist, or Cloud Run does not have "
        "permission to use it."
    )
    cloud.connector()
    cloud.create(body)
    shown = cloud("vpcaccess.v1.projects.locations.connectors.get", name=f"{PLACE}/connectors/connector")
    assert shown["connectedProjects"] == [PROJECT]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (knative("Upper"), 400),
        (knative("lines\n"), 400),
        (knative("a" * 50), 400),
        (knative(annotations={EGRESS: "some-traffic"}), 400),
        (knative(annotations={"autoscaling.knative.dev/minScale": "many"}), 400),
        (
            knative(
                annotations={
                    "autoscaling.knative.dev/minScale": "3",
                    "autoscaling.knative.dev/maxScale": "2",
                }
            ),
            400,
        ),
        (
            knative(
                annotations={CONNECTOR: "c", "run.googleapis.com/network-interfaces": '[{"network":"n"}]'}
            ),
            400,
        ),
        (knative(container={"ports": [{"containerPort": 70000}]}), 400),
        (knative(container={"resources": {"limits": {"cpu": "lots"}}}), 400),
        (knative(container={"resources": {"limits": {"memory": "1Mi"}}}), 400),
        (knative(container={"image": ""}), 400),
        (knative(container={"env": [{"name": "PORT", "value": "1"}]}), 400),
        (knative(container={"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a/b"}}}]}), 400),
        (knative(container={"readinessProbe": {"tcpSocket": {"port": 1}}}), 400),
        (knative(container={"livenessProbe": {"periodSeconds": 3601}}), 400),
        (knative(containers=[]), 400),
        (knative(volumes=[{"name": "v", "csi": {"driver": "gcsfuse.run.googleapis.com"}}]), "UNIMPLEMENTED"),
        (knative(volumes=[{"name": "v", "nfs": {"server": "s", "path": "/"}}]), "UNIMPLEMENTED"),
        (knative(volumes=[{"name": "v", "emptyDir": {"medium": "Disk"}}]), "UNIMPLEMENTED"),
        (knative(timeoutSeconds=3601), 400),
        (knative(containerConcurrency=1001), 400),
        (knative(serviceAccountName=f"nobody@{PROJECT}.iam.gserviceaccount.com"), 403),
    ],
)
def test_what_no_instance_could_keep_is_refused(cloud, body, code):
    error = cloud.refused(f"{SERVICES}.create", body, parent=NAMESPACE, location=REGION)
    assert (error.status if error.status == "UNIMPLEMENTED" else error.code) == code


@pytest.mark.parametrize(
    "image",
    ["bad image!", "Upper/case", "us-docker.pkg.dev/p/r/app:", "a@sha256:short", "https://gcr.io/p/app"],
)
def test_what_can_be_no_image_is_refused_at_once_in_googles_words(cloud, image):
    body = knative(container={"image": image})
    error = cloud.refused(f"{SERVICES}.create", body, parent=NAMESPACE, location=REGION)
    assert (error.code, error.status) == (400, "INVALID_ARGUMENT")
    assert error.message == (
        "spec.template.spec.containers[0].image: Expected an image path like [host/]repo-path[:tag and/or "
        "@digest], where host is one of [region.]gcr.io, [region-]docker.pkg.dev or docker.io but obtained "
        f"{image}."
    )


@pytest.mark.parametrize(
    ("low", "high"), [("3", "2"), ("many", "2"), ("1", "0"), ("-1", "2"), ("²", "9"), ("9" * 5000, "9")]
)
@pytest.mark.parametrize("prefix", ["run.googleapis.com/", "autoscaling.knative.dev/"])
def test_numbers_of_instances_that_cannot_be_are_refused(cloud, prefix, low, high):
    scale = {f"{prefix}minScale": low, f"{prefix}maxScale": high}
    body = knative(annotations=scale)
    if prefix == "run.googleapis.com/":
        body = knative()
        body["metadata"]["annotations"] = scale
    error = cloud.refused(f"{SERVICES}.create", body, parent=NAMESPACE, location=REGION)
    assert (error.code, error.status) == (400, "INVALID_ARGUMENT")
    assert prefix in error.message


def test_a_probe_asks_for_a_path_that_begins_with_a_slash(cloud):
    def probed(path):
        return knative(container={"startupProbe": {"httpGet": {"path": path}}})

    error = cloud.refused(f"{SERVICES}.create", probed("healthz"), parent=NAMESPACE, location=REGION)
    assert error.message == (
        "spec.template.spec.containers[0].startupProbe.httpGet.path: 'healthz' must begin with '/'."
    )
    cloud.create(probed("/healthz"))


def test_a_probe_keeps_its_headers_and_refuses_what_is_none(cloud):
    def probed(name, value):
        headers = [{"name": name, "value": value}]
        return knative(container={"startupProbe": {"httpGet": {"path": "/", "httpHeaders": headers}}})

    for name, value in (("", "x"), ("a b", "x"), ("a", "x\r\ny: z"), ("a", "é")):
        error = cloud.refused(f"{SERVICES}.create", probed(name, value), parent=NAMESPACE, location=REGION)
        assert error.message.startswith("spec.template.spec.containers[0].startupProbe.httpGet.httpHeaders: ")
    cloud.create(probed("X-Probe", "startup"))
    probe = read_revision(cloud.world.get(cloud.newest())).ingress.startup_probe
    assert probe is not None
    assert probe.headers == (("X-Probe", "startup"),)


def test_a_volume_in_memory_is_shown_as_it_was_sent(cloud):
    """Terraform plans a change where a medium is shown that was not asked for."""
    volume = {"name": "v", "emptyDir": {"sizeLimit": "256Mi"}}
    cloud.create(knative(volumes=[volume]))
    assert cloud.get()["spec"]["template"]["spec"]["volumes"] == [volume]
    name = f"projects/{PROJECT}/locations/{REGION}/services/hello"
    shown = cloud("run.v2.projects.locations.services.get", name=name)["template"]["volumes"]
    assert shown == [{"name": "v", "emptyDir": {"medium": "MEMORY", "sizeLimit": "256Mi"}}]


def test_a_liveness_probe_has_its_defaults(cloud):
    cloud.create(knative(container={"livenessProbe": {"httpGet": {"path": "/alive"}, "periodSeconds": 3600}}))
    revision = read_revision(cloud.world.get(cloud.newest()))
    assert revision.ingress.liveness_probe == ContainerProbe(
        "http", 8080, "/alive", initial_delay=0, period=3600, timeout=1, failure_threshold=3
    )


def test_of_variables_with_one_name_the_last_counts(cloud):
    cloud.create(knative(container={"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}))
    assert read_revision(cloud.world.get(cloud.newest())).ingress.environment == {"A": "2"}


def test_gcloud_may_ask_for_permissions_before_the_service_exists(cloud):
    answer = cloud(
        "run.v1.projects.locations.services.testIamPermissions",
        {"permissions": ["run.services.setIamPolicy"]},
        resource=f"{PLACE}/services/hello",
    )
    assert answer == {"permissions": ["run.services.setIamPolicy"]}
    assert (
        cloud.refused(
            "run.v1.projects.locations.services.getIamPolicy", resource=f"{PLACE}/services/hello"
        ).code
        == 404
    )


def test_revisions_are_found_by_their_labels(cloud):
    cloud.create(knative())
    cloud.create(knative("other", labels={"client.knative.dev/nonce": "zzz"}))
    assert len(cloud.revisions()) == 2
    assert [r["metadata"]["name"] for r in cloud.revisions("client.knative.dev/nonce = zzz")] == [
        cloud.newest("other").id
    ]
    assert len(cloud.revisions("serving.knative.dev/service in (hello, other)")) == 2
    assert len(cloud.revisions("serving.knative.dev/service!=hello,client.knative.dev/nonce")) == 1


def test_the_configuration_and_the_route_are_the_service_from_another_side(cloud):
    cloud.create(knative())
    cloud.ready()
    configuration = cloud(
        "run.v1.namespaces.configurations.get", name=f"{NAMESPACE}/configurations/hello", location=REGION
    )
    route = cloud("run.v1.namespaces.routes.get", name=f"{NAMESPACE}/routes/hello", location=REGION)
    assert configuration["status"]["latestReadyRevisionName"] == cloud.newest().id
    assert route["status"]["traffic"] == cloud.get()["status"]["traffic"]
    assert route["status"]["conditions"][0]["status"] == "True"


@pytest.mark.parametrize("kind", ["services", "revisions", "configurations", "routes"])
@pytest.mark.parametrize(("parent", "methods", "host"), V1_PLACES)
def test_pages_of_a_list_make_the_whole(cloud, parent, methods, host, kind):
    for number in range(5):
        cloud.create(knative(f"hello-{number}"))
    method = f"run.v1.{methods}.{kind}.list"
    whole = cloud(method, parent=parent, **host)
    assert whole["metadata"] == {}
    assert len(whole["items"]) == 5
    sizes: list[int] = []
    items: list[object] = []
    token = ""
    while not sizes or token:
        page = cloud(method, parent=parent, limit=2, **{"continue": token}, **host)
        sizes.append(len(page["items"]))
        items += page["items"]
        token = page["metadata"].get("continue")
    assert sizes == [2, 2, 1]
    assert items == whole["items"]


def test_a_list_goes_on_at_its_place_when_what_was_shown_is_deleted(cloud):
    for number in range(3):
        cloud.create(knative(f"hello-{number}"))
    first = cloud(f"{SERVICES}.list", parent=NAMESPACE, location=REGION, limit=1)
    cloud.delete("hello-2")
    token = first["metadata"]["continue"]
    rest = cloud(f"{SERVICES}.list", parent=NAMESPACE, location=REGION, **{"continue": token})
    assert [s["metadata"]["name"] for s in rest["items"]] == ["hello-1", "hello-0"]


@pytest.mark.parametrize(
    "asked", [{"limit": -1}, {"continue": "bogus"}, {"continue": "é"}, {"continue": "YQ=="}]
)
def test_a_page_that_cannot_be_is_refused_by_name(cloud, asked):
    error = cloud.refused(f"{SERVICES}.list", parent=NAMESPACE, location=REGION, **asked)
    assert (error.code, error.status) == (400, "INVALID_ARGUMENT")
    assert f"Invalid value for {next(iter(asked))}" in error.message


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nothing_is_listed_of_a_location_that_does_not_exist(cloud, version):
    parent = f"projects/{PROJECT}/locations/mars"
    error = cloud.refused(f"run.{version}.projects.locations.services.list", parent=parent)
    assert (error.code, error.message) == (404, "The requested location 'mars' was not found.")


def test_another_projects_connector_is_used_when_it_is_shared_with_cloud_runs_agent(cloud):
    cloud.subnetwork()
    cloud.connector()
    (connector,) = cloud.world.all("vpcaccess.connectors")
    shared = "projects/host-project/locations/asia-northeast3/connectors/shared"
    cloud.make([Put(replace(connector, name=ResourceName("vpcaccess.connectors", shared)))])
    body = knative(annotations={CONNECTOR: shared, EGRESS: "all-traffic"})
    create = ("run.v1.namespaces.services.create", body)
    where = {"parent": f"namespaces/{PROJECT}", "location": "asia-northeast3"}
    refusal = cloud.refused(*create, **where)
    assert f"VPC connector {shared} does not exist, or Cloud Run does not have permission" in refusal.message
    agent = service_agent(project_number(cloud.world, PROJECT))
    cloud.bind("host-project", "roles/vpcaccess.user", f"serviceAccount:{agent}")
    cloud(*create, **where)


def test_a_revision_runs_as_an_account_that_the_deployer_may_act_as(cloud):
    cloud.caller = "dev@example.com"
    create = ("run.v1.namespaces.services.create", knative())
    where = {"parent": f"namespaces/{PROJECT}", "location": "asia-northeast3"}
    account = compute_account(project_number(cloud.world, PROJECT))
    denied = (
        f"Permission 'iam.serviceaccounts.actAs' denied on service account {account} (or it may not exist)."
    )
    cloud.bind(PROJECT, "roles/run.developer", "user:dev@example.com")
    refusal = cloud.refused(*create, **where)
    assert (refusal.code, refusal.message) == (403, denied)
    policy = ResourceName("iam.policies", f"projects/{PROJECT}/serviceAccounts/{account}")
    user = policy_of({"roles/iam.serviceAccountUser": ["user:dev@example.com"]}, 1)
    cloud.make([Put(worlds.resource(policy, user))])
    cloud(*create, **where)


OPEN = {"run.googleapis.com/invoker-iam-disabled": "true"}


def opened(body):
    return {**body, "metadata": {**body["metadata"], "annotations": OPEN}}


def test_who_may_not_set_the_policy_may_not_turn_the_check_of_invokers_off(cloud):
    cloud.caller = "dev@example.com"
    roles = ("roles/run.developer", "roles/iam.serviceAccountUser")
    bindings = {role: ["user:dev@example.com"] for role in roles} | {"roles/owner": [f"user:{ME}"]}
    cloud.make([Put(worlds.resource(policy_name(PROJECT), policy_of(bindings, 1)))])
    where = {"parent": NAMESPACE, "location": REGION}
    name = {"name": f"{NAMESPACE}/services/hello", "location": REGION}
    create, change = f"{SERVICES}.create", f"{SERVICES}.replaceService"
    refusal = cloud.refused(create, opened(knative()), **where)
    assert (refusal.code, "run.services.setIamPolicy" in refusal.message) == (403, True)
    cloud(create, knative(), **where)
    assert cloud.refused(change, opened(knative()), **name).code == 403
    cloud.caller = ME
    cloud(change, opened(knative()), **name)
    cloud.caller = "dev@example.com"
    cloud(change, opened(knative(labels={"client.knative.dev/nonce": "bbb"})), **name)  # it was open before


def test_a_service_has_64_labels_at_most(cloud):
    body = knative()
    body["metadata"]["labels"] = {f"k{n}": "v" for n in range(65)}
    assert cloud.refused(f"{SERVICES}.create", body, parent=NAMESPACE, location=REGION).code == 400


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ("a = 1, b in (2, 3)", True),
        ("a==1,!c", True),
        ("b notin (2,3)", False),
        ("a,b,c", False),
        ("a != 1", False),
        (" , a ,, ", True),
        ("b in (2", True),
        ("!c," * 20_000, True),
        ("a" + "," * 60_000, True),
        ("a=" + " " * 60_000 + "1", True),
    ],
)
@pytest.mark.timeout(5)
def test_a_selector_takes_time_in_proportion_to_its_length(selector, fits):
    assert selects(selector, {"a": "1", "b": "2"}) is fits
