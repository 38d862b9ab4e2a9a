"""Containers, volumes and secrets of a template: defaults, refusals, and the same service in both APIs."""

import json

import pytest
from tests.cloud_calls import PLACE, PROJECT, REGION
from tests.unit.services.run.knative import NAMESPACE, SERVICES, Run, knative

from fogbank.resources.authorization import Policies
from fogbank.resources.policies import policy_of
from fogbank.resources.projects import compute_account, project_number
from fogbank.resources.run import read_revision
from fogbank.resources.secrets import policy_name, secret_name
from fogbank.resources.world import Put, Resource
from fogbank.services.run.instance_containers import startable
from fogbank.services.run.instances import instance_of
from fogbank.services.run.secrets import SecretsRefusedError, read_secrets

V2 = "run.v2.projects.locations.services"
SECRETS = "secretmanager.v1.projects.secrets"
APP: dict[str, object] = {
    "image": "us-docker.pkg.dev/p/r/app",
    "name": "app",
    "ports": [{"name": "http1", "containerPort": 8080}],
}
SIDE = {"image": "us-docker.pkg.dev/p/r/side", "name": "side"}
AFTER = {"run.googleapis.com/container-dependencies": json.dumps({"app": ["side"]})}
BOTH = [APP, SIDE]


@pytest.fixture
def cloud():
    return Run()


def refusal(cloud, body):
    return cloud.refused(f"{SERVICES}.create", body, parent=NAMESPACE, location=REGION)


def add_secret(cloud, name="token", text="b25l", role=True):
    cloud(
        f"{SECRETS}.create", {"replication": {"automatic": {}}}, parent=f"projects/{PROJECT}", secretId=name
    )
    path = f"projects/{PROJECT}/secrets/{name}"
    cloud(f"{SECRETS}.addVersion", {"payload": {"data": text}}, parent=path)
    if role:
        grant(cloud, name)


def grant(cloud, name):
    member = f"serviceAccount:{compute_account(project_number(cloud.world, PROJECT))}"
    policy = policy_of({"roles/secretmanager.secretAccessor": [member]}, 1)
    cloud.make([Put(Resource(policy_name(secret_name(PROJECT, name)), 1, cloud.now, policy))])


def revision(cloud):
    return read_revision(cloud.world.get(cloud.newest()))


def values(cloud):
    return read_secrets(cloud.world, Policies("", lambda: cloud.now), revision(cloud), cloud.now)


def from_secret(name="token", version="latest"):
    return {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": name, "key": version}}}


def test_a_sidecar_has_neither_a_port_nor_a_probe_by_itself(cloud):
    cloud.create(knative(containers=BOTH))
    app, side = cloud.get()["spec"]["template"]["spec"]["containers"]
    assert "startupProbe" in app
    assert side == SIDE | {"resources": {"limits": {"cpu": "1000m", "memory": "512Mi"}}}


def test_a_sidecar_may_have_a_port_of_its_own_in_the_environment(cloud):
    own = {"env": [{"name": "PORT", "value": "8081"}]}
    assert "reserved env names" in refusal(cloud, knative(containers=[APP | own, SIDE])).message
    cloud.create(knative(containers=[APP, SIDE | own]))
    cloud.ready()
    app, side = instance_of("i", cloud.world.get(cloud.newest()), 1, 0).containers
    assert (dict(app.environment)["PORT"], dict(side.environment)["PORT"]) == ("8080", "8081")


def test_of_several_containers_exactly_one_has_a_port(cloud):
    said = "Revision template should contain exactly one container with an exposed port."
    for containers in ([SIDE, SIDE | {"name": "b"}], [APP, APP | {"name": "b"}]):
        assert said in refusal(cloud, knative(containers=containers)).message
    body = {"template": {"containers": [SIDE, SIDE | {"name": "b"}]}}
    error = cloud.refused(f"{V2}.create", body, parent=PLACE, serviceId="hello")
    assert error.message == f"template.containers: {said}"


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        ({"app": ["nobody"]}, "no container 'nobody'"),
        ({"app": ["side"], "side": ["app"]}, "form a cycle"),
        ({"app": ["app"]}, "form a cycle"),
        (["app"], "Invalid"),
    ],
)
def test_an_order_of_starts_that_has_no_beginning_is_refused(cloud, annotation, said):
    annotations = {"run.googleapis.com/container-dependencies": json.dumps(annotation)}
    assert said in refusal(cloud, knative(annotations=annotations, containers=BOTH)).message


def test_containers_of_one_name_are_refused(cloud):
    error = refusal(cloud, knative(containers=[APP, SIDE | {"name": "app"}]))
    assert "is used twice" in error.message


def test_a_container_starts_when_those_before_it_have(cloud):
    cloud.create(knative(annotations=AFTER, containers=BOTH))
    cloud.ready()
    stored = cloud.world.get(cloud.newest())
    planned = instance_of("i", stored, 1, 0).containers
    read = read_revision(stored)
    assert [each.name for each in startable(read, planned, set())] == ["side"]
    assert [each.name for each in startable(read, planned, {"side"})] == ["app", "side"]
    app, side = planned
    assert "PORT" in dict(app.environment)
    assert "PORT" not in dict(side.environment)
    assert dict(side.environment)["K_SERVICE"] == "hello"
    assert app.hosts == side.hosts == ("app", "side")


def test_the_memory_of_a_container_is_its_limit(cloud):
    limits = {"limits": {"memory": "256Mi", "cpu": "1"}}
    cloud.create(knative(container={"resources": limits}))
    cloud.ready()
    (container,) = instance_of("i", cloud.world.get(cloud.newest()), 1, 0).containers
    assert container.memory_limit == container.memory_bytes == 256 << 20


def test_both_apis_show_the_same_sidecars_volumes_and_secrets(cloud):
    template: dict[str, list[dict[str, object]]] = {
        "containers": [
            {
                **{key: APP[key] for key in ("image", "name", "ports")},
                "dependsOn": ["side"],
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "valueSource": {"secretKeyRef": {"secret": "token", "version": "1"}}},
                    {
                        "name": "C",
                        "valueSource": {
                            "secretKeyRef": {"secret": "projects/other/secrets/s", "version": "latest"}
                        },
                    },
                ],
                "volumeMounts": [
                    {"name": "cache", "mountPath": "/cache"},
                    {"name": "keys", "mountPath": "/k"},
                ],
            },
            {**SIDE, "volumeMounts": [{"name": "cache", "mountPath": "/data"}]},
        ],
        "volumes": [
            {"name": "cache", "emptyDir": {"medium": "MEMORY", "sizeLimit": "64Mi"}},
            {
                "name": "keys",
                "secret": {
                    "secret": "token",
                    "defaultMode": 292,
                    "items": [{"path": "a/b", "version": "1", "mode": 256}],
                },
            },
        ],
    }
    cloud(f"{V2}.create", {"template": template}, parent=PLACE, serviceId="hello")
    shown = cloud(f"{V2}.get", name=f"{PLACE}/services/hello")["template"]
    assert shown["volumes"] == template["volumes"]
    for given, found in zip(template["containers"], shown["containers"], strict=True):
        assert given == {key: found[key] for key in given}
    spec = cloud.get()["spec"]["template"]
    assert (
        spec["metadata"]["annotations"]["run.googleapis.com/secrets"] == "secret-1:projects/other/secrets/s"
    )
    assert json.loads(spec["metadata"]["annotations"]["run.googleapis.com/container-dependencies"]) == {
        "app": ["side"]
    }
    assert spec["spec"]["containers"][0]["env"][2]["valueFrom"] == {
        "secretKeyRef": {"name": "secret-1", "key": "latest"}
    }


def test_the_value_of_a_secret_is_in_no_printed_element(cloud):
    add_secret(cloud, text="dmVyeS1zZWNyZXQ=")
    cloud.create(knative(container={"env": [from_secret()]}))
    cloud.ready()
    instance = instance_of("i", cloud.world.get(cloud.newest()), 1, 0, values(cloud))
    (container,) = instance.containers
    assert dict(container.secrets) == {"TOKEN": "very-secret"}
    assert "very-secret" not in repr(instance)


def test_secrets_that_may_not_be_read_are_named_as_google_does(cloud):
    add_secret(cloud, role=False)
    cloud.create(knative(container={"env": [from_secret(), from_secret("other") | {"name": "B"}]}))
    number = project_number(cloud.world, PROJECT)
    where = "spec.template.spec.containers[0].env[0].value_from.secret_key_ref.name"
    with pytest.raises(SecretsRefusedError) as refused:
        values(cloud)
    first, second = str(refused.value).split("\n\n")
    assert first == (
        f"{where}: Permission denied on secret: projects/{number}/secrets/token/versions/latest for Revision "
        f"service account {compute_account(number)}. The service account used must be granted the 'Secret "
        "Manager Secret Accessor' role (roles/secretmanager.secretAccessor) at the secret, project or higher "
        "level."
    )
    assert "env[1]" in second
    grant(cloud, "token")
    grant(cloud, "other")
    with pytest.raises(SecretsRefusedError, match="secrets/other/versions/latest was not found"):
        values(cloud)


def test_a_volume_of_a_secret_without_items_is_one_file(cloud):
    add_secret(cloud)
    volumes = [{"name": "v", "secret": {"secretName": "token"}}]
    mounts = [{"name": "v", "mountPath": "/keys"}]
    cloud.create(knative(volumes=volumes, container={"volumeMounts": mounts}))
    cloud.ready()
    (volume,) = instance_of("i", cloud.world.get(cloud.newest()), 1, 0, values(cloud)).volumes
    assert [(each.path, each.mode, each.content) for each in volume.files] == [("token", 0o444, b"one")]


def test_a_volume_takes_no_more_memory_than_the_containers_have(cloud):
    limits = {"resources": {"limits": {"memory": "256Mi"}}}
    volumes = [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "w", "emptyDir": {}}]
    cloud.create(knative(volumes=volumes, container=limits))
    cloud.ready()
    instance = instance_of("i", cloud.world.get(cloud.newest()), 1, 0)
    assert {each.size_bytes for each in instance.volumes} == {256 * 2**20}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"volumes": [{"name": "v"}]}, "exactly one source"),
        ({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]}, "used twice"),
        ({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "lots"}}]}, "is not a size"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s", "items": [{"path": "/a"}]}}]}, "relative"),
        (
            {"volumes": [{"name": "v", "secret": {"secretName": "s", "items": [{"path": "a/../b"}]}}]},
            "relative",
        ),
        (
            {
                "volumes": [
                    {"name": "v", "secret": {"secretName": "s", "items": [{"path": "a/b"}, {"path": "a"}]}}
                ]
            },
            "'a' and 'a/b' cannot both be files",
        ),
        (
            {"volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": 1000}}]},
            "between 0 and 0777",
        ),
    ],
)
def test_a_volume_that_could_be_none_is_refused(cloud, spec, said):
    error = refusal(cloud, knative(**spec))
    assert (error.status, said in error.message) == ("INVALID_ARGUMENT", True)


@pytest.mark.parametrize("path", ["", "relative", "/", "/proc", "/sys/x", "/dev", "/a:b", "/a/../b"])
def test_nothing_is_mounted_where_it_cannot_be(cloud, path):
    mounts = [{"name": "v", "mountPath": path}]
    body = knative(volumes=[{"name": "v", "emptyDir": {}}], container={"volumeMounts": mounts})
    assert refusal(cloud, body).status == "INVALID_ARGUMENT"


def test_a_mount_names_a_volume(cloud):
    body = knative(container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]})
    assert "there is no volume 'v'" in refusal(cloud, body).message


def test_the_containers_of_an_instance_have_limits_together(cloud):
    large = {"resources": {"limits": {"cpu": "6", "memory": "4Gi"}}}
    error = refusal(cloud, knative(containers=[APP | large, SIDE | large]))
    assert "together" in error.message
    small = {"resources": {"limits": {"cpu": "200m", "memory": "256Mi"}}}
    cloud.create(knative(containers=[APP | small, SIDE | small]))
    assert revision(cloud).concurrency == 1


def test_probes_of_a_sidecar_need_a_port(cloud):
    probe: dict[str, object] = {"startupProbe": {"httpGet": {"path": "/"}}}
    assert "must be set" in refusal(cloud, knative(containers=[APP, SIDE | probe])).message
    probe = {"startupProbe": {"grpc": {"port": 9}}}
    cloud.create(knative(containers=[APP, SIDE | probe]))
    found = revision(cloud).containers[1].startup_probe
    assert found is not None
    assert (found.kind, found.port) == ("grpc", 9)
