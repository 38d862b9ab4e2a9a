"""Article 000: a static outbound address for Cloud Run, by a connector and Cloud NAT."""

from fogbank.cli.demo.stage import Stage
from fogbank.cli.demo.steps import (
    DemoRequest,
    Place,
    Step,
    address,
    create_service,
    knative,
    open_to_all,
    read_address,
    read_url,
    router,
    subnet,
)

TITLE = "Article 000: Cloud Run with a static outbound address"
IMAGE = "us-docker.pkg.dev/fogbank/samples/netcheck"
ADDRESS = "cloud-run-origin-ip"
SERVICE = "production"
_SITE = "ifconfig.me"


def tell(stage: Stage) -> bool:
    """Run the article; tell whether third party, prediction and packet agree with the reservation."""
    place = stage.place
    for step in article(place):
        stage.do(step)
    reserved = stage.read(read_address(place, ADDRESS))
    url = stage.read(read_url(place, SERVICE))
    stage.title("Ask the service to fetch a page of a third party")
    stage.curl(f"{url}/egress?url=http://{_SITE}")
    seen = stage.seen_by(_SITE)
    traced = stage.trace(f"run/{SERVICE}", f"http://{_SITE}")
    return stage.reserved_alone(_SITE, reserved, seen) and traced


def article(place: Place) -> tuple[Step, ...]:
    """List the article's steps."""
    title = "Make a subnet for the connector"
    return (
        subnet(place, "default", "cloud-run-subnet", "10.124.0.0/28", title),
        _connector(place),
        router(place, "default", "cloud-run-router"),
        address(place, ADDRESS),
        _nat(place),
        _deploy(place),
    )


def _connector(place: Place) -> Step:
    where = {
        "parent": f"projects/{place.project}/locations/{place.region}",
        "connectorId": "cloud-run-connector",
    }
    subnet = {"name": "cloud-run-subnet", "projectId": place.project}
    body = {"subnet": subnet, "minInstances": 2, "maxInstances": 10}  # as gcloud asks for
    return Step(
        "Make the Serverless VPC Access connector",
        (
            "compute", "networks", "vpc-access", "connectors", "create", "cloud-run-connector",
            place.flag, f"--subnet-project={place.project}", "--subnet=cloud-run-subnet",
        ),
        (DemoRequest("vpcaccess.v1.projects.locations.connectors.create", where, body),),
    )  # fmt: skip


def _nat(place: Place) -> Step:
    path = f"projects/{place.project}/regions/{place.region}"
    subnet = {"name": f"{path}/subnetworks/cloud-run-subnet", "sourceIpRangesToNat": ["ALL_IP_RANGES"]}
    nat = {
        "name": "cloud-run-nat",
        "natIpAllocateOption": "MANUAL_ONLY",
        "natIps": [f"{path}/addresses/{ADDRESS}"],
        "sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS",
        "subnetworks": [subnet],
    }
    parameters = {**place.parameters, "router": "cloud-run-router"}
    return Step(
        "Make a Cloud NAT that gives the subnet this address",
        (
            "compute", "routers", "nats", "create", "cloud-run-nat", "--router=cloud-run-router",
            place.flag, "--nat-custom-subnet-ip-ranges=cloud-run-subnet",
            f"--nat-external-ip-pool={ADDRESS}",
        ),
        (DemoRequest("compute.v1.routers.patch", parameters, {"nats": [nat]}),),
    )  # fmt: skip


def _deploy(place: Place) -> Step:
    annotations = {
        "run.googleapis.com/vpc-access-connector": "cloud-run-connector",
        "run.googleapis.com/vpc-access-egress": "all-traffic",
    }
    service = knative(place.project, SERVICE, IMAGE, annotations)
    return Step(
        "Deploy a service that sends all its traffic through the connector",
        (
            "run", "deploy", SERVICE, f"--image={IMAGE}", place.flag, "--allow-unauthenticated",
            "--vpc-connector=cloud-run-connector", "--vpc-egress=all-traffic",
        ),
        (create_service(place.project, service), open_to_all(place, SERVICE)),
    )  # fmt: skip
