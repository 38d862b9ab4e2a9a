"""What lowering and the control loop read of Cloud Run's and the connectors' bodies."""

from datetime import UTC, datetime

import pytest

from fogbank.resources.names import ResourceName
from fogbank.resources.quantities import cpu_millis, memory_bytes
from fogbank.resources.run import (
    Egress,
    Readiness,
    connector_name,
    read_egress,
    read_revision,
    revisions_of,
    service_name,
)
from fogbank.resources.run_containers import ContainerProbe
from fogbank.resources.vpcaccess import RATES, connectors_in, read_connector
from fogbank.resources.world import Put, Resource, World

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PLACE = "projects/p/locations/us-central1"


def revision(name="hello-00001-abc", annotations=None, probe=None, **container):
    """A stored revision: complete, as the service leaves it."""
    body = {
        "metadata": {
            "name": name,
            "labels": {"serving.knative.dev/service": "hello"},
            "annotations": annotations or {},
        },
        "spec": {
            "containerConcurrency": 80,
            "timeoutSeconds": 300,
            "serviceAccountName": "a@example.com",
            "containers": [
                {
                    "image": "app:v1",
                    "ports": [{"name": "http1", "containerPort": 8080}],
                    "resources": {"limits": {"cpu": "1000m", "memory": "512Mi"}},
                    "startupProbe": probe or {"tcpSocket": {"port": 8080}, "failureThreshold": 1},
                }
                | container
            ],
        },
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
    }
    return Resource(ResourceName("run.revisions", f"{PLACE}/revisions/{name}"), 1, NOW, body)


def test_a_revision_is_read_into_real_types():
    view = read_revision(
        revision(
            annotations={"autoscaling.knative.dev/minScale": "2"},
            command=["serve"],
            env=[{"name": "A", "value": "1"}, {"name": "B"}],
        )
    )
    assert view.service == service_name("p", "us-central1", "hello")
    assert (view.ingress.cpu_millis, view.ingress.memory_bytes, view.port) == (1000, 512 * 2**20, 8080)
    assert (view.min_instances, view.max_instances) == (2, 100)
    container = view.ingress
    assert (container.command, container.args) == (("serve",), ())
    assert container.environment == {"A": "1", "B": ""}
    assert (view.readiness, view.digest, view.connector) == (Readiness.UNKNOWN, None, None)
    assert view.egress is Egress.PRIVATE_RANGES_ONLY


@pytest.mark.parametrize(
    "reference", ["c1", f"{PLACE}/connectors/c1", f"//vpcaccess.googleapis.com/{PLACE}/connectors/c1"]
)
def test_a_connector_may_be_called_by_its_id_or_its_whole_name(reference):
    name = ResourceName("vpcaccess.connectors", f"{PLACE}/connectors/c1")
    assert connector_name(reference, "p", "us-central1") == name


@pytest.mark.parametrize(
    ("word", "egress"),
    [
        ("all", Egress.ALL_TRAFFIC),
        ("all-traffic", Egress.ALL_TRAFFIC),
        ("private-ranges-only", Egress.PRIVATE_RANGES_ONLY),
    ],
)
def test_egress_has_an_older_spelling(word, egress):
    assert read_egress({"run.googleapis.com/vpc-access-egress": word}) is egress


def test_an_egress_that_is_neither_is_no_egress():
    with pytest.raises(ValueError, match="some"):
        read_egress({"run.googleapis.com/vpc-access-egress": "some"})


def test_a_probe_may_speak_http():
    probe = {"httpGet": {"path": "/up", "port": 9}, "periodSeconds": 3, "timeoutSeconds": 2}
    assert read_revision(revision(probe=probe)).ingress.startup_probe == ContainerProbe(
        "http", 9, "/up", initial_delay=0, period=3, timeout=2, failure_threshold=3
    )


def test_a_revision_without_health_check_waits_for_no_probe():
    view = read_revision(revision(annotations={"run.googleapis.com/health-check-disabled": "true"}))
    assert not view.checks


def test_a_services_revisions_come_oldest_first():
    second, first = revision("hello-00002-abc"), revision("hello-00001-xyz")
    world = World().after([Put(second), Put(first)])
    found = revisions_of(world, service_name("p", "us-central1", "hello"))
    assert [r.name.id for r in found] == ["hello-00001-xyz", "hello-00002-abc"]


@pytest.mark.parametrize(("text", "millis"), [("1", 1000), ("500m", 500), ("0.08", 80), ("2000m", 2000)])
def test_a_cpu_is_read_in_thousandths(text, millis):
    assert cpu_millis(text) == millis


@pytest.mark.parametrize(
    ("text", "size"), [("512Mi", 2**29), ("1G", 10**9), ("1.5Gi", 3 * 2**29), ("64", 64)]
)
def test_memory_is_read_in_bytes(text, size):
    assert memory_bytes(text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1", "1Zi", "1 Gi"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="not a quantity"):
        memory_bytes(text)


def connector(name, state="READY"):
    body = {"machineType": "f1-micro", "minInstances": 2, "maxInstances": 3, "state": state}
    private = {"network": "projects/p/global/networks/n", "range": "10.8.0.0/28", "instances": 2}
    path = f"{PLACE}/connectors/{name}"
    return Resource(ResourceName("vpcaccess.connectors", path), 1, NOW, body, private)


def test_a_connector_is_read_into_real_types():
    view = read_connector(connector("c1"))
    assert (view.rate, str(view.range), view.subnet) == (RATES["f1-micro"], "10.8.0.0/28", None)
    assert view.tags == ("vpc-connector", "vpc-connector-us-central1-c1")


def test_a_connector_in_error_is_not_in_the_network():
    world = World().after([Put(connector("good")), Put(connector("bad", "ERROR"))])
    network = ResourceName("compute.networks", "projects/p/global/networks/n")
    assert [c.name.id for c in connectors_in(world, network)] == ["good"]
