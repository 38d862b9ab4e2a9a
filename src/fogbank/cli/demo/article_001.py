"""Article 001: Cloud Run reaches Redis, first by a connector, then by Direct VPC egress."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network

from fogbank.cli.demo.stage import Stage, fetch_server
from fogbank.cli.demo.steps import (
    DemoRequest,
    Place,
    Step,
    connector,
    create_service,
    knative,
    network,
    network_link,
    open_to_all,
    read_url,
    replace_service,
    subnet,
)
from fogbank.resources.server_images import REDIS

TITLE = "Article 001: Cloud Run and Redis by Direct VPC egress"
IMAGE = "us-docker.pkg.dev/fogbank/samples/visitors"
SERVICE = "run-service"
_NETWORK, _CACHE, _CONNECTOR, _DIRECT = (
    "run-vpc",
    "run-memory-cache",
    "run-connector",
    "run-direct-vpc-egress",
)
_CONNECTOR_RANGE, _DIRECT_RANGE = "10.15.0.0/28", "10.8.0.0/24"


def tell(stage: Stage) -> bool:
    """Run the article; tell whether Redis counted both visits and saw whom it must see."""
    place = stage.place
    fetch_server(stage, REDIS)
    for step in (*preparation(place), create_redis(place), deploy(place)):
        stage.do(step)
    host = stage.read(read_host(place))
    url = stage.read(read_url(place, SERVICE))
    stage.do(connector(place, _CONNECTOR, "run-connector-subnet", "f1-micro"))
    stage.do(by_connector(place, host))
    first = _visit(stage, url, host, 1, _CONNECTOR_RANGE)
    stage.do(by_direct_vpc(place, host))
    second = _visit(stage, url, host, 2, _DIRECT_RANGE)
    return stage.verdict(
        f"Redis counted both visitors: one from the connector's {_CONNECTOR_RANGE}, one from the instance's "
        f"own address in {_DIRECT_RANGE}.",
        "Redis did not count both visitors, or saw them come from elsewhere.",
        holds=first and second,
    )


def _visit(stage: Stage, url: str, host: str, number: int, within: str) -> bool:
    """Count a visitor; tell whether it is the ``number``-th and comes from ``within``, as predicted."""
    stage.title(f"Visitor number {number}")
    counted = stage.curl(f"{url}/redis").strip() == f"Visitor number: {number}"
    agreed, source = stage.traced(f"run/{SERVICE}", f"{host}:6379")
    return counted and agreed and source is not None and IPv4Address(source) in IPv4Network(within)


def preparation(place: Place) -> tuple[Step, ...]:
    """Make the network and its subnetworks."""
    return (
        network(place, _NETWORK),
        subnet(place, _NETWORK, "run-connector-subnet", _CONNECTOR_RANGE, "Make the connector's subnet"),
        subnet(place, _NETWORK, _DIRECT, _DIRECT_RANGE, "Make the subnet of Direct VPC egress"),
    )


def create_redis(place: Place) -> Step:
    """Make the Redis instance."""
    where = {"parent": f"projects/{place.project}/locations/{place.region}", "instanceId": _CACHE}
    body = {
        "tier": "BASIC",
        "memorySizeGb": 1,
        "authorizedNetwork": network_link(place.project, _NETWORK),
    }
    return Step(
        "Make a Redis instance",
        ("redis", "instances", "create", _CACHE, "--size=1", place.flag, f"--network={_NETWORK}"),
        (DemoRequest("redis.v1.projects.locations.instances.create", where, body),),
    )


def read_host(place: Place) -> Step:
    """Ask for the Redis instance's address."""
    name = f"projects/{place.project}/locations/{place.region}/instances/{_CACHE}"
    return Step(
        "Read the instance's address",
        ("redis", "instances", "describe", _CACHE, place.flag, "--format=value(host)"),
        (DemoRequest("redis.v1.projects.locations.instances.get", {"name": name}),),
    )


def deploy(place: Place) -> Step:
    """Deploy the application."""
    return Step(
        "Deploy the application",
        ("run", "deploy", SERVICE, f"--image={IMAGE}", place.flag, "--allow-unauthenticated"),
        (
            create_service(place.project, knative(place.project, SERVICE, IMAGE, {})),
            open_to_all(place, SERVICE),
        ),
    )


def by_connector(place: Place, host: str) -> Step:
    """Give the service the connector and the address of Redis."""
    return Step(
        "Reach Redis by the connector",
        (
            "run", "services", "update", SERVICE, place.flag, f"--vpc-connector={_CONNECTOR}",
            f"--set-env-vars=VPC_REDISHOST={host},VPC_REDISPORT=6379",
        ),
        (_replaced(place, host, {"run.googleapis.com/vpc-access-connector": _CONNECTOR}),),
    )  # fmt: skip


def by_direct_vpc(place: Place, host: str) -> Step:
    """Put the service into the network itself."""
    interface = f'[{{"network":"{_NETWORK}","subnetwork":"{_DIRECT}"}}]'
    annotations = {
        "run.googleapis.com/network-interfaces": interface,
        "run.googleapis.com/vpc-access-egress": "private-ranges-only",
    }
    return Step(
        "Reach Redis by Direct VPC egress",
        (
            "run", "services", "update", SERVICE, place.flag, "--clear-vpc-connector",
            f"--network={_NETWORK}", f"--subnet={_DIRECT}", "--vpc-egress=private-ranges-only",
        ),
        (_replaced(place, host, annotations),),
    )  # fmt: skip


def _replaced(place: Place, host: str, annotations: Mapping[str, str]) -> DemoRequest:
    environment = {"VPC_REDISHOST": host, "VPC_REDISPORT": "6379"}
    return replace_service(place.project, knative(place.project, SERVICE, IMAGE, annotations, environment))
