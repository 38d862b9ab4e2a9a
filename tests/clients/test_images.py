"""Images with real clients: pushed into a repository, listed by gcloud, deployed to Cloud Run."""

import hashlib
import http.client
import json
import os
import signal
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.loaded_gcloud import LoadedGcloud, LoadedRegion
from tests.registry import HOST, RegionRegistry, digest_of
from tests.waiting import wait_until

from fogbank.testing import RunningRegion

IN1 = "--region=asia-northeast1"
AT1 = "--location=asia-northeast1"
NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck:latest"

pytestmark = [pytest.mark.slow(15), pytest.mark.netns]


@pytest.fixture
def region(region: RunningRegion, gcloud: LoadedGcloud) -> LoadedRegion:
    return LoadedRegion(region.name, region.home, region.environment, gcloud)


def registry_folder(region: RunningRegion) -> Path:
    return Path(region.environment["SSL_CERT_FILE"]).parents[1] / "registry"


def sample(region: RunningRegion) -> tuple[dict[str, bytes], bytes]:
    """Read the blobs and the manifest of a built-in image, which serves HTTP."""
    images = json.loads(region.fogbank("images", "list", "--format", "json"))
    (digest,) = {each["digest"] for each in images if each["image"] == NETCHECK}
    blobs = registry_folder(region) / "blobs" / "sha256"
    manifest = (blobs / digest[7:]).read_bytes()
    parsed = json.loads(manifest)
    digests = [parsed["config"]["digest"], *(each["digest"] for each in parsed["layers"])]
    return {each: (blobs / each[7:]).read_bytes() for each in digests}, manifest


def test_an_image_that_was_pushed_is_listed_tagged_deployed_and_deleted(region: LoadedRegion) -> None:
    region.gcloud("artifacts", "repositories", "create", "pushed-repo", "--repository-format=docker", AT1)
    described = region.gcloud_json("artifacts", "repositories", "describe", "pushed-repo", AT1)
    assert described["registryUri"] == f"{HOST}/demo/pushed-repo"
    everywhere = region.gcloud_json("artifacts", "repositories", "list")
    assert "pushed-repo" in [each["name"].rpartition("/")[2] for each in everywhere]

    blobs, manifest = sample(region)
    pushed = RegionRegistry(region).push(blobs, manifest, "demo/pushed-repo/team/flask", "test")
    assert pushed.status == 201, pushed
    digest, image = digest_of(manifest), f"{HOST}/demo/pushed-repo/team/flask"
    (listed,) = region.gcloud_json(
        "artifacts", "docker", "images", "list", f"{HOST}/demo/pushed-repo", "--include-tags"
    )
    assert (listed["package"], listed["version"], listed["tags"]) == (image, digest, ["test"])

    described = region.gcloud_json("artifacts", "docker", "images", "describe", f"{image}:test")
    assert described["image_summary"]["fully_qualified_digest"] == f"{image}@{digest}"

    region.gcloud("artifacts", "docker", "tags", "add", f"{image}:test", f"{image}:stable")
    tags = region.gcloud_json("artifacts", "docker", "tags", "list", image)
    assert sorted(each["tag"].rpartition("/")[2] for each in tags) == ["stable", "test"]

    deploy = ("run", "deploy", "pushed", IN1, "--allow-unauthenticated")
    region.gcloud(*deploy, f"--image={image}:test")
    service = region.gcloud_json("run", "services", "describe", "pushed", IN1)
    revision = region.gcloud_json(
        "run", "revisions", "describe", service["status"]["latestReadyRevisionName"], IN1
    )
    assert revision["status"]["imageDigest"] == f"{image}@{digest}"
    assert region.curl(f"{service['status']['url']}/")

    kept = region.gcloud("artifacts", "docker", "images", "delete", f"{image}@{digest}", check=False)
    assert "because it is tagged" in kept.stderr
    region.gcloud("artifacts", "docker", "tags", "delete", f"{image}:stable")
    region.gcloud("artifacts", "docker", "images", "delete", f"{image}:test", "--delete-tags")
    assert region.gcloud_json("artifacts", "docker", "images", "list", f"{HOST}/demo/pushed-repo") == []
    missing = region.gcloud(*deploy, f"--image={image}:test", check=False)
    assert f"Image '{image}:test' not found." in missing.stderr
    assert region.curl(f"{service['status']['url']}/")  # what runs goes on
    region.gcloud("artifacts", "repositories", "delete", "pushed-repo", AT1)


def test_an_image_of_another_project_needs_a_role_for_cloud_runs_agent(region: LoadedRegion) -> None:
    repository = ("--project=images-of-others", AT1)
    region.gcloud("artifacts", "repositories", "create", "shared", "--repository-format=docker", *repository)
    blobs, manifest = sample(region)
    RegionRegistry(region).push(blobs, manifest, "images-of-others/shared/app", "latest")
    image = f"{HOST}/images-of-others/shared/app"
    deploy = ("run", "deploy", "borrowed", IN1, "--no-allow-unauthenticated", f"--image={image}")
    refused = region.gcloud(*deploy, check=False).stderr
    number = region.gcloud_json("projects", "describe", "demo")["projectNumber"]
    agent = f"service-{number}@serverless-robot-prod.iam.gserviceaccount.com"
    assert f"Google Cloud Run Service Agent {agent} must have permission to read the image" in refused
    assert "Note that the image is from project [images-of-others]" in refused
    region.gcloud(
        "artifacts", "repositories", "add-iam-policy-binding", "shared", *repository,
        f"--member=serviceAccount:{agent}", "--role=roles/artifactregistry.reader",
    )  # fmt: skip
    region.gcloud(*deploy)
    region.gcloud("run", "services", "delete", "borrowed", IN1)


@pytest.mark.parametrize("how", ["the client goes", "kill -9"])
def test_a_push_that_is_cut_off_leaves_nothing(new_region: Callable[..., RunningRegion], how: str) -> None:
    region = new_region()
    region.gcloud("artifacts", "repositories", "create", "run-repo", "--repository-format=docker", AT1)
    registry = RegionRegistry(region)
    begun = registry.ask("POST", "/v2/demo/run-repo/flask/blobs/uploads/")
    connection = region.connect(HOST)
    connection.connect()
    send_half(connection, begun.headers["location"], registry.authorization)
    uploads = registry_folder(region) / "uploads"
    (upload,) = uploads.iterdir()
    wait_until(lambda: upload.stat().st_size > 0)
    if how == "kill -9":
        running = json.loads((registry_folder(region).parent / "running.json").read_text())
        os.kill(running["pid"], signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{running['pid']}").exists())
        assert upload.exists()
        region.fogbank("up", "--detach", "--port", "0", timeout=60)
    connection.close()
    wait_until(lambda: not list(uploads.iterdir()))
    listed = json.loads(region.fogbank("images", "list", "--format", "json"))
    assert not [each for each in listed if each["image"].startswith(HOST)]
    content = hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert not (registry_folder(region) / "blobs" / "sha256" / content).exists()


def send_half(connection: http.client.HTTPSConnection, location: str, authorization: str) -> None:
    """Begin to send three million bytes and stop in the middle."""
    connection.putrequest("PATCH", location)
    connection.putheader("Authorization", authorization)
    connection.putheader("Content-Length", "3000000")
    connection.endheaders()
    assert isinstance(connection.sock, ssl.SSLSocket)
    connection.sock.sendall(b"x" * 2_500_000)
