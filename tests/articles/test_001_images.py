"""Article 001, its image: written, built, pushed and deployed as it says, with the real docker and gcloud.

Two things differ. The base image is made of Debian packages instead of Docker Hub's, and so the lines that
install packages from the internet are left out.
"""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.docker_client import Docker, docker_of, push_base

from fogbank.testing import RunningRegion

pytestmark = [pytest.mark.slow(30), pytest.mark.netns, pytest.mark.timeout(300)]

REPOSITORY = "asia-northeast1-docker.pkg.dev/demo/run-repo"
IMAGE = f"{REPOSITORY}/flask:test"
BASE = "asia-northeast1-docker.pkg.dev/demo/base/python:3.12-alpine"

DOCKERFILE = f"""\
FROM --platform=linux/amd64 {BASE}

WORKDIR /code/app
ENV FLASK_APP=app

COPY /app .

RUN python -c "import flask, redis"

ENV PORT 8080
EXPOSE 8080

CMD ["python", "main.py"]
"""

MAIN = """\
import os
import redis
from flask import Flask

app = Flask(__name__)

redis_host = os.environ.get("VPC_REDISHOST", "localhost")
redis_port = int(os.environ.get("VPC_REDISPORT", 6379))

redis_client = redis.StrictRedis(host=redis_host, port=redis_port)

@app.route("/")
def index():
    return {"Hello": "World"}

@app.route("/redis")
def redis_count():
    value = redis_client.incr("counter", 1)
    return f"Visitor number: {value}"

if __name__ == "__main__":
    app.run(debug=True, host="0.0.0.0", port=int(os.environ.get("PORT", 8080)))
"""


@pytest.fixture
def docker(region: RunningRegion, tmp_path: Path) -> Docker:
    docker = docker_of(region, tmp_path)
    docker.region.gcloud("auth", "configure-docker", "asia-northeast1-docker.pkg.dev")
    return docker


def write_application(folder: Path) -> None:
    (folder / "app").mkdir(parents=True)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "app" / "__init__.py").write_text("")
    (folder / "app" / "main.py").write_text(MAIN)
    (folder / "app" / "requirements.txt").write_text("flask\nredis\n")


def repository(region: RunningRegion, name: str) -> None:
    region.gcloud(
        "artifacts", "repositories", "create", name,
        "--repository-format=docker", "--location=asia-northeast1",
    )  # fmt: skip


def test_the_articles_image_is_built_pushed_and_deployed(
    docker: Docker, region: RunningRegion, tmp_path: Path
) -> None:
    write_application(tmp_path / "flask")
    repository(region, "base")
    push_base(region, "demo/base/python", "3.12-alpine")

    docker("build", str(tmp_path / "flask"), "--no-cache")
    docker("tag", docker.image_id(), IMAGE)
    early = docker("push", IMAGE, check=False)
    assert 'name unknown: Repository "run-repo" not found' in early.stderr
    repository(region, "run-repo")
    docker("push", IMAGE)

    region.gcloud(
        "run", "deploy", "run-service", f"--image={IMAGE}", "--no-allow-unauthenticated", "--port=8080",
        "--region=asia-northeast1",
    )  # fmt: skip
    service = region.gcloud_json("run", "services", "describe", "run-service", "--region=asia-northeast1")
    url = service["status"]["url"]
    assert region.curl("-o", "/dev/null", "-w", "%{http_code}", url) == "403"
    token = region.gcloud("auth", "print-identity-token").stdout.strip()
    answer = region.curl("--header", f"Authorization: Bearer {token}", url)
    assert json.loads(answer) == {"Hello": "World"}

    docker("rmi", "--force", IMAGE)
    docker("pull", IMAGE)
    ran = docker("run", "--rm", IMAGE, "python", "-c", "print(6 * 7)")
    assert ran.stdout.strip() == "42"


def test_a_saved_image_is_loaded_without_a_repository(
    docker: Docker, region: RunningRegion, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY x /\n")
    (tmp_path / "x").write_text("x")
    docker("build", "--tag", "saved:1", str(tmp_path))
    docker("save", "--output", str(tmp_path / "saved.tar"), "saved:1")
    assert "Loaded saved:1" in region.fogbank("images", "load", "--input", str(tmp_path / "saved.tar"))
    images = json.loads(region.fogbank("images", "list", "--format", "json"))
    assert "docker.io/library/saved:1" in [each["image"] for each in images]


def test_who_may_not_push_hears_why(docker: Docker, region: RunningRegion, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY x /\n")
    target = "asia-northeast1-docker.pkg.dev/demo/denied/x:1"
    docker("build", "--tag", target, str(tmp_path))
    credentials = tmp_path / "user.json"
    credentials.write_text(region.fogbank("credentials", "--user", "stranger@example.com"))
    own = {"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": str(credentials)}
    stranger = replace(docker.region, environment={**docker.region.environment, **own})
    refused = Docker(stranger, docker.program)("push", target, check=False)
    assert (
        'denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource '
        '"projects/demo/locations/asia-northeast1/repositories/denied" (or it may not exist)'
    ) in refused.stderr


def test_the_engine_starts_in_a_moment_and_a_container_has_no_way_out(
    docker: Docker, region: RunningRegion
) -> None:
    began = time.monotonic()
    assert docker("version", "--format", "{{.Server.Version}}").stdout.strip()
    assert time.monotonic() - began < 20
    info = json.loads(docker("info", "--format", "json").stdout)
    assert (info["CgroupDriver"], info["Driver"]) == ("none", info["Driver"])
    networks = docker("network", "ls", "--format", "{{.Name}}").stdout.split()
    assert sorted(networks) == ["host", "none"]
