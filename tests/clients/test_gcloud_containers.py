"""Cloud Run's container contract with the real gcloud and containers: secrets, volumes, sidecars, probes."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.loaded_gcloud import LoadedGcloud, LoadedRegion
from tests.waiting import wait_until

from fogbank.dataplane.linux.images.python_runtime import collect_runtime
from fogbank.testing import RunningRegion

pytestmark = [pytest.mark.slow(30), pytest.mark.netns]

NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"
IN3 = "--region=asia-northeast3"

SERVE = """
import json, os, socket
from fogbank.samples.web import SampleResponse, Server
state = {"alive": 200, "ready": 200}
def find(path):
    with open(path) as file:
        return [file.read(), oct(os.stat(path).st_mode & 0o777)]
def tell():
    tops = [os.walk(top) for top in ("/keys", "/cache")]
    paths = [os.path.join(folder, name) for top in tops for folder, _, names in top for name in names]
    with socket.create_connection((b"side", 9000), 2) as peer:
        said = peer.recv(100).decode()
    return {"environment": dict(os.environ), "files": {path: find(path) for path in paths}, "side": said}
def answer(request):
    _, action, *rest = request.path.split("/")
    if action == "set":
        state[rest[0]] = int(rest[1])
    if action == "tell":
        return SampleResponse(json.dumps(tell()), "application/json")
    return SampleResponse("hello", status=state.get(action, 200))
Server(answer, int(os.environ["PORT"])).run()
"""
BESIDE = """
import json, os, socket
with open("/cache/beside", "w") as file:
    file.write(json.dumps(dict(os.environ)))
server = socket.create_server(("", 9000))
while True:
    peer, _ = server.accept()
    peer.sendall(b"hello from the side")
    peer.close()
"""


@pytest.fixture
def region(region: RunningRegion, gcloud: LoadedGcloud) -> LoadedRegion:
    return LoadedRegion(region.name, region.home, region.environment, gcloud)


def container(program: str, name: str, **fields: Any) -> dict[str, Any]:
    command = [collect_runtime().interpreter, "-I", "-S", "-B", "-c", program]
    return {"name": name, "image": NETCHECK, "command": command, **fields}


def service(
    name: str, containers: list[dict[str, Any]], annotations: Any = None, **spec: Any
) -> dict[str, Any]:
    own = {"run.googleapis.com/invoker-iam-disabled": "true"}
    template = {"metadata": {"annotations": annotations or {}}, "spec": {"containers": containers, **spec}}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name, "annotations": own},
        "spec": {"template": template},
    }


def replace(region: LoadedRegion, folder: Path, body: dict[str, Any]) -> str:
    """Deploy a service from a file; give its URL."""
    document = folder / "service.yaml"
    document.write_text(json.dumps(body))
    region.gcloud("run", "services", "replace", str(document), IN3)
    name = body["metadata"]["name"]
    return region.gcloud(
        "run", "services", "describe", name, IN3, "--format=value(status.url)"
    ).stdout.strip()


def make_secret(region: LoadedRegion, folder: Path, name: str, text: str) -> None:
    data = folder / "data"
    data.write_text(text)
    region.gcloud("secrets", "create", name, f"--data-file={data}")


def grant(region: LoadedRegion, name: str) -> None:
    number = region.gcloud("projects", "describe", "demo", "--format=value(projectNumber)").stdout.strip()
    member = f"--member=serviceAccount:{number}-compute@developer.gserviceaccount.com"
    role = "--role=roles/secretmanager.secretAccessor"
    region.gcloud("secrets", "add-iam-policy-binding", name, member, role)


def test_a_secret_that_may_not_be_read_fails_the_deployment_and_one_that_may_is_in_the_environment(
    region: LoadedRegion, tmp_path: Path
) -> None:
    make_secret(region, tmp_path, "ct-variable", "value of the secret")
    deploy = ("run", "deploy", "ct-secret", f"--image={NETCHECK}", IN3, "--allow-unauthenticated")
    refused = region.gcloud(*deploy, "--set-secrets=TOKEN=ct-variable:latest", check=False)
    assert refused.returncode == 1
    assert "Permission denied on secret: projects/" in refused.stderr
    grant(region, "ct-variable")
    done = region.gcloud(*deploy, "--set-secrets=TOKEN=ct-variable:latest,OTHER=ct-variable:1")
    assert "has been deployed" in done.stderr
    url = region.gcloud("run", "services", "describe", "ct-secret", IN3, "--format=value(status.url)").stdout
    told = json.loads(region.curl(f"{url.strip()}/info"))["environment"]
    assert (told["TOKEN"], told["OTHER"]) == ("value of the secret", "value of the secret")
    missing = region.gcloud(*deploy, "--set-secrets=TOKEN=ct-variable:9", check=False)
    assert "versions/9 was not found" in missing.stderr
    assert "value of the secret" not in region.fogbank("plan", check=False)
    region.gcloud("run", "services", "delete", "ct-secret", IN3, "--quiet")


def test_sidecars_share_loopback_and_memory_and_start_in_order(region: LoadedRegion, tmp_path: Path) -> None:
    make_secret(region, tmp_path, "ct-file", "first")
    grant(region, "ct-file")
    mounts = [{"name": "cache", "mountPath": "/cache"}]
    body = service(
        "ct-pair",
        [
            container(
                SERVE,
                "app",
                ports=[{"containerPort": 8080}],
                volumeMounts=[*mounts, {"name": "keys", "mountPath": "/keys"}],
            ),
            container(
                BESIDE,
                "side",
                volumeMounts=mounts,
                startupProbe={"tcpSocket": {"port": 9000}, "periodSeconds": 1, "failureThreshold": 20},
            ),
        ],
        {"run.googleapis.com/container-dependencies": '{"app":["side"]}'},
        volumes=[
            {"name": "cache", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
            {
                "name": "keys",
                "secret": {
                    "secretName": "ct-file",
                    "items": [{"key": "latest", "path": "inner/key", "mode": 0o400}],
                },
            },
        ],
    )
    url = replace(region, tmp_path, body)
    told = json.loads(region.curl(f"{url}/tell"))
    assert told["side"] == "hello from the side"
    assert told["files"]["/keys/inner/key"] == ["first", "0o400"]
    assert told["environment"]["PORT"] == "8080"
    beside = json.loads(told["files"]["/cache/beside"][0])
    assert "PORT" not in beside
    assert beside["K_SERVICE"] == "ct-pair"
    (tmp_path / "data").write_text("second")
    region.gcloud("secrets", "versions", "add", "ct-file", f"--data-file={tmp_path / 'data'}")
    wait_until(lambda: json.loads(region.curl(f"{url}/tell"))["files"]["/keys/inner/key"][0] == "second")
    region.gcloud("run", "services", "delete", "ct-pair", IN3, "--quiet")


def test_gcloud_deploys_containers_by_flags(region: LoadedRegion) -> None:
    region.gcloud(
        "run", "deploy", "ct-flags", IN3, "--allow-unauthenticated",
        "--container=app", f"--image={NETCHECK}", "--port=8080", "--depends-on=side",
        "--container=side", f"--image={NETCHECK}", "--set-env-vars=PORT_OF_SIDE=1", "--memory=256Mi",
    check=False)  # fmt: skip
    # Both images listen on one port, so it does not come up: the flags are what is looked at.
    shown = region.gcloud_json("run", "services", "describe", "ct-flags", IN3)
    template = shown["spec"]["template"]
    assert [each["name"] for each in template["spec"]["containers"]] == ["app", "side"]
    assert json.loads(template["metadata"]["annotations"]["run.googleapis.com/container-dependencies"]) == {
        "app": ["side"]
    }
    region.gcloud("run", "services", "delete", "ct-flags", IN3, "--quiet")


def test_failing_liveness_replaces_an_instance_and_failing_readiness_takes_it_out(
    region: LoadedRegion, tmp_path: Path
) -> None:
    once = {"periodSeconds": 1, "failureThreshold": 1}
    probed = container(
        SERVE,
        "app",
        ports=[{"containerPort": 8080}],
        livenessProbe={"httpGet": {"path": "/alive"}, **once},
        readinessProbe={"httpGet": {"path": "/ready"}, **once},
    )
    url = replace(region, tmp_path, service("ct-probes", [probed], {"autoscaling.knative.dev/maxScale": "1"}))
    instances = lambda: {  # noqa: E731
        each["id"]: each["state"]
        for each in json.loads(region.fogbank("status", "--format=json"))["instances"]
        if "ct-probes" in each["revision"]
    }
    assert region.curl(f"{url}/") != ""
    (first,) = instances()
    region.curl(f"{url}/set/ready/500")
    wait_until(lambda: instances() == {first: "unready"})
    region.gcloud("run", "services", "delete", "ct-probes", IN3, "--quiet")
    url = replace(region, tmp_path, service("ct-probes", [probed], {"autoscaling.knative.dev/maxScale": "1"}))
    region.curl(f"{url}/")
    (first,) = wait_until(lambda: [each for each, state in instances().items() if state == "ready"])
    region.curl(f"{url}/set/alive/500")
    wait_until(lambda: instances() and first not in instances())
    assert region.curl(f"{url}/") != ""
    region.gcloud("run", "services", "delete", "ct-probes", IN3, "--quiet")


def test_manual_scaling_sets_the_number_of_instances(region: LoadedRegion) -> None:
    region.gcloud(
        "beta",
        "run",
        "deploy",
        "ct-manual",
        f"--image={NETCHECK}",
        IN3,
        "--no-allow-unauthenticated",
        "--scaling=2",
    )
    count = lambda: sum(  # noqa: E731
        "ct-manual" in each["revision"]
        for each in json.loads(region.fogbank("status", "--format=json"))["instances"]
    )
    wait_until(lambda: count() == 2)
    region.gcloud("beta", "run", "services", "update", "ct-manual", IN3, "--scaling=1")
    wait_until(lambda: count() == 1)
    region.gcloud("run", "services", "delete", "ct-manual", IN3, "--quiet")
