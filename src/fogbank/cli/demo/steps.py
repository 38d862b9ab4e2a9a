"""Steps of a demo as values: what a person types, and the API calls that it comes down to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a demo works."""

    project: str
    region: str

    @property
    def flag(self) -> str:
        """The region as gcloud's option."""
        return f"--region={self.region}"

    @property
    def parameters(self) -> Mapping[str, str]:
        """Project and region as parameters of compute's methods."""
        return {"project": self.project, "region": self.region}


def network_link(project: str, network: str) -> str:
    """Refer to a VPC network in the body of a request."""
    return f"projects/{project}/global/networks/{network}"


def subnet(place: Place, network: str, name: str, cidr: str, title: str) -> Step:
    """Make a subnetwork."""
    body = {"name": name, "ipCidrRange": cidr, "network": network_link(place.project, network)}
    return Step(
        title,
        (
            "compute", "networks", "subnets", "create", name, f"--range={cidr}", f"--network={network}",
            place.flag,
        ),
        (DemoRequest("compute.v1.subnetworks.insert", place.parameters, body),),
    )  # fmt: skip


def network(place: Place, name: str) -> Step:
    """Make a VPC network without subnetworks."""
    body = {"name": name, "autoCreateSubnetworks": False}
    return Step(
        "Make a VPC network",
        ("compute", "networks", "create", name, "--subnet-mode=custom"),
        (DemoRequest("compute.v1.networks.insert", {"project": place.project}, body),),
    )


def connector(place: Place, name: str, subnetwork: str, machine_type: str = "e2-micro") -> Step:
    """Make a Serverless VPC Access connector of 2 to 3 machines."""
    where = {"parent": f"projects/{place.project}/locations/{place.region}", "connectorId": name}
    body = {
        "subnet": {"name": subnetwork},
        "minInstances": 2,
        "maxInstances": 3,
        "machineType": machine_type,
    }
    return Step(
        "Make a Serverless VPC Access connector",
        (
            "compute", "networks", "vpc-access", "connectors", "create", name, place.flag,
            f"--subnet={subnetwork}", "--min-instances=2", "--max-instances=3",
            f"--machine-type={machine_type}",
        ),
        (DemoRequest("vpcaccess.v1.projects.locations.connectors.create", where, body),),
    )  # fmt: skip


def router(place: Place, network: str, name: str) -> Step:
    """Make a Cloud Router."""
    body = {"name": name, "network": network_link(place.project, network)}
    return Step(
        "Make a Cloud Router",
        ("compute", "routers", "create", name, f"--network={network}", place.flag),
        (DemoRequest("compute.v1.routers.insert", place.parameters, body),),
    )


def address(place: Place, name: str) -> Step:
    """Reserve an external address."""
    return Step(
        "Reserve a static address",
        ("compute", "addresses", "create", name, place.flag),
        (DemoRequest("compute.v1.addresses.insert", place.parameters, {"name": name}),),
    )


def read_address(place: Place, name: str) -> Step:
    """Ask for a reserved address."""
    return Step(
        "Read the address",
        ("compute", "addresses", "describe", name, place.flag, "--format=value(address)"),
        (DemoRequest("compute.v1.addresses.get", {**place.parameters, "address": name}),),
    )


def read_url(place: Place, service: str) -> Step:
    """Ask for a service's URL."""
    return Step(
        "Read the service's URL",
        ("run", "services", "describe", service, place.flag, "--format=value(status.url)"),
        (
            DemoRequest(
                "run.v1.namespaces.services.get", {"name": f"namespaces/{place.project}/services/{service}"}
            ),
        ),
    )


def knative(
    project: str,
    service: str,
    image: str,
    annotations: Mapping[str, str],
    environment: Mapping[str, str] | None = None,
) -> Mapping[str, Any]:
    """Write a service as Knative's object, which is what gcloud sends."""
    container: dict[str, Any] = {"image": image}
    if environment:
        container["env"] = [{"name": name, "value": value} for name, value in environment.items()]
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": service, "namespace": project},
        "spec": {
            "template": {
                "metadata": {"annotations": dict(annotations)},
                "spec": {"containers": [container]},
            }
        },
    }


def create_service(project: str, service: Mapping[str, Any]) -> DemoRequest:
    """Create a service."""
    return DemoRequest("run.v1.namespaces.services.create", {"parent": f"namespaces/{project}"}, service)


def replace_service(project: str, service: Mapping[str, Any]) -> DemoRequest:
    """Replace a service."""
    name = f"namespaces/{project}/services/{service['metadata']['name']}"
    return DemoRequest("run.v1.namespaces.services.replaceService", {"name": name}, service)


def open_to_all(place: Place, service: str) -> DemoRequest:
    """Let everybody call a service."""
    return DemoRequest(
        "run.v1.projects.locations.services.setIamPolicy",
        {"resource": f"projects/{place.project}/locations/{place.region}/services/{service}"},
        {"policy": {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}},
    )
