"""A cluster of Kubernetes Engine with real clients: gcloud, kubectl with Google's plugin, Kubernetes itself.

The first run on a machine builds Kubernetes from its Go modules, which takes minutes.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud
from tests.waiting import wait_until

from fogbank.testing import end_region, fetch_servers, short_folder, start_region

BUILD_SECONDS = 3600
PATIENCE = 60.0
ZONE = "asia-northeast3-a"
CLUSTERS = f"https://container.googleapis.com/v1/projects/demo/locations/{ZONE}/clusters"
IAM = "https://iam.googleapis.com/v1/projects/demo/serviceAccounts"
OPERATOR = "fogbank@demo.iam.gserviceaccount.com"
NO_NODES = [{"name": "default-pool", "initialNodeCount": 0}]

pytestmark = [
    pytest.mark.slow(600),
    pytest.mark.timeout(BUILD_SECONDS),
    pytest.mark.netns,
    pytest.mark.xdist_group("kubernetes"),
]


class Kubernetes:
    """A region with the cluster ``one``, and kubectl as its user has it."""

    def __init__(self, region: LoadedRegion, folder: Path) -> None:
        self.region, self.folder = region, folder

    def make(self, name: str) -> dict[str, Any]:
        """Make a cluster without nodes, as only the API can, and wait until it runs."""
        status, operation = self.region.api(
            "POST", CLUSTERS, {"cluster": {"name": name, "nodePools": NO_NODES}}
        )
        assert status == 200, operation
        wait_until(lambda: self.read(name)["status"] != "PROVISIONING", PATIENCE * 2)
        found = self.read(name)
        assert found["status"] == "RUNNING", found
        return found

    def read(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.region.api("GET", f"{CLUSTERS}/{name}")[1]
        return found

    def kubectl(self, *arguments: str, check: bool = True) -> Any:
        """Run kubectl with the credentials that gcloud has written."""
        return self.region.run("kubectl", f"--kubeconfig={self.folder / 'config'}", *arguments, check=check)

    def objects(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)[
            "items"
        ]
        return found


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    fetch_servers("kubernetes", seconds=BUILD_SECONDS)
    running = start_region(short_folder(), "--ephemeral", "--region", "asia-northeast3")
    folder = tmp_path_factory.mktemp("kubernetes")
    try:
        with load_gcloud(folder) as gcloud:
            environment = {**running.environment, "KUBECONFIG": str(folder / "config")}
            made = Kubernetes(LoadedRegion(running.name, running.home, environment, gcloud), folder)
            made.make("one")
            made.region.gcloud("container", "clusters", "get-credentials", "one", f"--zone={ZONE}")
            yield made
    finally:
        end_region(running)


def test_kubectl_comes_in_by_googles_plugin_and_writes_what_it_reads(kubernetes: Kubernetes) -> None:
    spaces = {each["metadata"]["name"] for each in kubernetes.objects("namespaces")}
    assert {"default", "kube-system"} <= spaces
    kubernetes.kubectl("create", "configmap", "greeting", "--from-literal=text=hello")
    (found,) = (each for each in kubernetes.objects("configmaps") if each["metadata"]["name"] == "greeting")
    assert found["data"] == {"text": "hello"}


def test_the_version_that_gcloud_shows_is_the_one_that_answers(kubernetes: Kubernetes) -> None:
    (listed,) = (
        each
        for each in kubernetes.region.gcloud_json("container", "clusters", "list")
        if each["name"] == "one"
    )
    answer = json.loads(kubernetes.kubectl("version", "-o", "json").stdout)
    assert answer["serverVersion"]["gitVersion"] == f"v{listed['currentMasterVersion']}"


def test_controllers_make_the_pods_of_a_deployment_and_the_scheduler_says_that_there_are_no_nodes(
    kubernetes: Kubernetes,
) -> None:
    kubernetes.kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2")

    def reasons() -> list[str]:
        pods = kubernetes.objects("pods", "--selector=app=web")
        return [
            each["message"]
            for pod in pods
            for each in pod["status"].get("conditions", ())
            if each.get("message")
        ]

    wait_until(lambda: len(reasons()) == 2, PATIENCE)
    assert all("no nodes available" in each for each in reasons())


def test_iams_roles_say_what_an_account_may_do(kubernetes: Kubernetes) -> None:
    region = kubernetes.region
    region.api("POST", IAM, {"accountId": "reader"})
    reader = "reader@demo.iam.gserviceaccount.com"
    bind = ("projects", "add-iam-policy-binding", "demo", "--condition=None")
    own = f"--member=serviceAccount:{OPERATOR}"
    region.gcloud(*bind, "--role=roles/iam.serviceAccountTokenCreator", own)
    _, answer = region.api(
        "POST",
        f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{reader}:generateAccessToken",
        {"scope": ["https://www.googleapis.com/auth/cloud-platform"]},
    )
    cluster = kubernetes.read("one")
    authority = kubernetes.folder / "ca.pem"
    authority.write_bytes(base64.b64decode(cluster["masterAuth"]["clusterCaCertificate"]))
    as_reader = (
        "kubectl", "--kubeconfig=/dev/null", f"--server=https://{cluster['endpoint']}",
        f"--certificate-authority={authority}", f"--token={answer['accessToken']}",
    )  # fmt: skip
    refused = region.run(*as_reader, "get", "pods", check=False)
    assert "Forbidden" in refused.stderr
    assert "container.pods.list" in refused.stderr
    region.gcloud(*bind, "--role=roles/container.viewer", f"--member=serviceAccount:{reader}")
    wait_until(lambda: region.run(*as_reader, "get", "pods", check=False).returncode == 0, PATIENCE)
    refused = region.run(*as_reader, "create", "namespace", "mine", check=False)
    assert "container.namespaces.create" in refused.stderr


def test_a_cluster_with_nodes_is_refused_by_name(kubernetes: Kubernetes) -> None:
    words = ("container", "clusters", "create", "two", f"--zone={ZONE}", "--num-nodes=2")
    refused = kubernetes.region.gcloud(*words, check=False)
    assert "does not implement nodes of clusters" in refused.stderr


def test_a_deleted_cluster_leaves_nothing(kubernetes: Kubernetes) -> None:
    before = json.loads(kubernetes.region.fogbank("status", "--format", "json"))
    kubernetes.make("gone")
    kubernetes.region.gcloud("container", "clusters", "delete", "gone", f"--zone={ZONE}")
    assert kubernetes.region.api("GET", f"{CLUSTERS}/gone")[0] == 404
    after = json.loads(kubernetes.region.fogbank("status", "--format", "json"))
    assert after["clusters"] == before["clusters"]
