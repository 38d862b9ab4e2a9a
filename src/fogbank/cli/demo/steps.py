"""The six steps of article 000 as values: what a person types, and the API call that it comes down to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IMAGE = "us-docker.pkg.dev/fogbank/samples/netcheck"
ADDRESS = "cloud-run-origin-ip"
SERVICE = "production"


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """One API call: ``method`` is the discovery id with its version (``compute.v1.routers.insert``)."""

    method: str
    parameters: Mapping[str, str]
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """``command`` without the word gcloud, and the requests for clients that are not gcloud."""

    title: str
    command: tuple[str, ...]
    requests: tuple[DemoRequest, ...]


def article(project: str, region: str) -> tuple[Step, ...]:
    """List the article's steps for ``project`` and ``region``."""
    return (
        _subnet(project, region),
        _connector(project, region),
        _router(project, region),
        _address(project, region),
        _nat(project, region),
        _deploy(project, region),
    )


def read_address(project: str, region: str) -> Step:
    """Ask for the reserved address."""
    return Step(
        "Read the address",
        ("compute", "addresses", "describe", ADDRESS, f"--region={region}", "--format=value(address)"),
        (
            DemoRequest(
                "compute.v1.addresses.get",
                {"project": project, "region": region, "address": ADDRESS},
            ),
        ),
    )


def read_url(project: str, region: str) -> Step:
    """Ask for the service's URL."""
    return Step(
        "Read the service's URL",
        ("run", "services", "describe", SERVICE, f"--region={region}", "--format=value(status.url)"),
        (
            DemoRequest(
                "run.v1.namespaces.services.get", {"name": f"namespaces/{project}/services/{SERVICE}"}
            ),
        ),
    )


def _subnet(project: str, region: str) -> Step:
    body = {
        "name": "cloud-run-subnet",
        "ipCidrRange": "10.124.0.0/28",
        "network": f"projects/{project}/global/networks/default",
    }
    return Step(
        "Make a subnet for the connector",
        (
            "compute", "networks", "subnets", "create", "cloud-run-subnet", "--range=10.124.0.0/28",
            "--network=default", f"--region={region}",
        ),
        (DemoRequest("compute.v1.subnetworks.insert", {"project": project, "region": region}, body),),
    )  # fmt: skip


def _connector(project: str, region: str) -> Step:
    place = {"parent": f"projects/{project}/locations/{region}", "connectorId": "cloud-run-connector"}
    subnet = {"name": "cloud-run-subnet", "projectId": project}
    body = {"subnet": subnet, "minInstances": 2, "maxInstances": 10}  # as gcloud asks for
    return Step(
        "Make the Serverless VPC Access connector",
        (
            "compute", "networks", "vpc-access", "connectors", "create", "cloud-run-connector",
            f"--region={region}", f"--subnet-project={project}", "--subnet=cloud-run-subnet",
        ),
        (DemoRequest("vpcaccess.v1.projects.locations.connectors.create", place, body),),
    )  # fmt: skip


def _router(project: str, region: str) -> Step:
    body = {"name": "cloud-run-router", "network": f"projects/{project}/global/networks/default"}
    return Step(
        "Make a Cloud Router",
        ("compute", "routers", "create", "cloud-run-router", "--network=default", f"--region={region}"),
        (DemoRequest("compute.v1.routers.insert", {"project": project, "region": region}, body),),
    )


def _address(project: str, region: str) -> Step:
    return Step(
        "Reserve a static address",
        ("compute", "addresses", "create", ADDRESS, f"--region={region}"),
        (
            DemoRequest(
                "compute.v1.addresses.insert", {"project": project, "region": region}, {"name": ADDRESS}
            ),
        ),
    )


def _nat(project: str, region: str) -> Step:
    place = f"projects/{project}/regions/{region}"
    subnet = {"name": f"{place}/subnetworks/cloud-run-subnet", "sourceIpRangesToNat": ["ALL_IP_RANGES"]}
    nat = {
        "name": "cloud-run-nat",
        "natIpAllocateOption": "MANUAL_ONLY",
        "natIps": [f"{place}/addresses/{ADDRESS}"],
        "sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS",
        "subnetworks": [subnet],
    }
    parameters = {"project": project, "region": region, "router": "cloud-run-router"}
    return Step(
        "Make a Cloud NAT that gives the subnet this address",
        (
            "compute", "routers", "nats", "create", "cloud-run-nat", "--router=cloud-run-router",
            f"--region={region}", "--nat-custom-subnet-ip-ranges=cloud-run-subnet",
            f"--nat-external-ip-pool={ADDRESS}",
        ),
        (DemoRequest("compute.v1.routers.patch", parameters, {"nats": [nat]}),),
    )  # fmt: skip


def _deploy(project: str, region: str) -> Step:
    annotations = {
        "run.googleapis.com/vpc-access-connector": "cloud-run-connector",
        "run.googleapis.com/vpc-access-egress": "all-traffic",
    }
    service = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": project},
        "spec": {
            "template": {
                "metadata": {"annotations": annotations},
                "spec": {"containers": [{"image": IMAGE}]},
            }
        },
    }
    resource = f"projects/{project}/locations/{region}/services/{SERVICE}"
    binding = {"role": "roles/run.invoker", "members": ["allUsers"]}
    return Step(
        "Deploy a service that sends all its traffic through the connector",
        (
            "run", "deploy", SERVICE, f"--image={IMAGE}", f"--region={region}", "--allow-unauthenticated",
            "--vpc-connector=cloud-run-connector", "--vpc-egress=all-traffic",
        ),
        (
            DemoRequest("run.v1.namespaces.services.create", {"parent": f"namespaces/{project}"}, service),
            DemoRequest(
                "run.v1.projects.locations.services.setIamPolicy",
                {"resource": resource},
                {"policy": {"bindings": [binding]}},
            ),
        ),
    )  # fmt: skip
