"""How a control plane is started: in order, each program with files that are there."""

import base64
import json
import re

import pytest
from cryptography import x509
from tests.cloud_calls import PLACE, Cloud

from fogbank.dataplane.linux.data_folders import DataFolders
from fogbank.resources.clusters import CLUSTERS, Cluster
from fogbank.resources.names import ResourceName
from fogbank.services.container.controller.certificates import ensure_files
from fogbank.services.container.controller.configuration import container, programs


@pytest.fixture
def cluster():
    cloud = Cloud()
    cloud.subnetwork("default")
    body = {"cluster": {"name": "one", "nodePools": [{"name": "p", "initialNodeCount": 0}]}}
    cloud("container.v1.projects.locations.clusters.create", body, parent=PLACE)
    found = cloud.world.find(ResourceName(CLUSTERS, f"{PLACE}/clusters/one"))
    assert found
    return Cluster.of(found)


def test_etcd_is_first_and_the_api_server_second(cluster):
    assert [each["Arguments"][0] for each in programs(cluster)] == [
        "etcd",
        "apiserver",
        "controller-manager",
        "scheduler",
    ]


def test_every_file_that_a_program_is_told_of_is_made(cluster, tmp_path):
    data = DataFolders(tmp_path)
    ensure_files(data, cluster)
    named = set(re.findall(r"/data/([\w.-]+)", json.dumps(container(cluster).command)))
    assert named - {"etcd"} == {each.name for each in (tmp_path / cluster.server).iterdir()}


def test_the_files_of_a_cluster_are_made_once(cluster, tmp_path):
    data = DataFolders(tmp_path)
    ensure_files(data, cluster)
    before = {each.name: each.read_bytes() for each in (tmp_path / cluster.server).iterdir()}
    ensure_files(data, cluster)
    assert before == {each.name: each.read_bytes() for each in (tmp_path / cluster.server).iterdir()}


def test_the_servers_certificate_names_the_endpoint_and_the_controllers_are_who_kubernetes_expects(
    cluster, tmp_path
):
    data = DataFolders(tmp_path)
    ensure_files(data, cluster)
    server = x509.load_pem_x509_certificate(data.path(cluster.server, "server.pem").read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert cluster.endpoint in names.get_values_for_type(x509.IPAddress)
    config = json.loads(data.path(cluster.server, "scheduler.kubeconfig").read_bytes())
    pem = base64.b64decode(config["users"][0]["user"]["client-certificate-data"])
    client = x509.load_pem_x509_certificate(pem)
    assert client.subject.rfc4514_string() == "CN=system:kube-scheduler"
