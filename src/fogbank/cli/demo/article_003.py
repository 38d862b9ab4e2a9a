"""Article 003: a service under load moves from a connector to Direct VPC egress; no request fails."""

import json
import tempfile
import threading
from pathlib import Path
from typing import Self

import click

from fogbank.cli.demo.stage import Stage
from fogbank.cli.demo.steps import (
    DemoRequest,
    Place,
    Step,
    address,
    connector,
    create_service,
    knative,
    network,
    open_to_all,
    read_address,
    read_url,
    replace_service,
    router,
    subnet,
)

TITLE = "Article 003: from a connector to Direct VPC egress without downtime"
IMAGE = "us-docker.pkg.dev/fogbank/samples/netcheck"
SERVICE, ADDRESS = "sync", "partner-ip"
_NETWORK, _SUBNET, _CONNECTOR, _ROUTER = "run-vpc", "run-subnet", "run-connector", "run-router"
_SITE = "ifconfig.me"
_CLIENTS = 4
_PORTS = 2048
"""Of each instance: with 64 the load would use them up, for each waits two minutes after its connection."""


def tell(stage: Stage) -> bool:
    """Run the article; tell whether no request failed and the partner saw the reserved address alone."""
    place = stage.place
    for step in preparation(place):
        stage.do(step)
    reserved = stage.read(read_address(place, ADDRESS))
    url = stage.read(read_url(place, SERVICE))
    stage.title("Call the partner, by the connector")
    stage.curl(f"{url}/egress?url=http://{_SITE}")
    with tempfile.TemporaryDirectory() as folder, Load(stage, f"{url}/egress?url=http://{_SITE}") as load:
        stage.do(move(place, Path(folder, "service.yaml")))
        load.have_more(_CLIENTS * 5)
    click.echo(f"{load.good} requests were answered meanwhile, {len(load.bad)} failed.")
    traced = stage.trace(f"run/{SERVICE}", f"http://{_SITE}")
    seen = stage.seen_by(_SITE, last=5)
    unbroken = stage.verdict(
        f"None of {load.good} requests failed while the service moved.",
        f"{len(load.bad)} requests failed while the service moved: {load.bad[:1]}",
        holds=not load.bad,
    )
    return stage.reserved_alone(_SITE, reserved, seen) and traced and unbroken


class Load:
    """Clients that go on asking for ``url`` while the block runs."""

    def __init__(self, stage: Stage, url: str) -> None:
        self._stage, self._url = stage, url
        self._over = threading.Event()
        self._counted = threading.Condition()
        self._clients = [threading.Thread(target=self._ask, daemon=True) for _ in range(_CLIENTS)]
        self.good = 0
        self.bad: list[str] = []

    def __enter__(self) -> Self:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for client in self._clients:
            client.join()

    def have_more(self, number: int) -> None:
        """Wait for ``number`` more answers."""
        with self._counted:
            enough = self.good + len(self.bad) + number
            self._counted.wait_for(lambda: self.good + len(self.bad) >= enough, timeout=60)

    def _ask(self) -> None:
        while not self._over.is_set():
            text = self._stage.fetch(self._url)
            with self._counted:
                if _answered(text):
                    self.good += 1
                else:
                    self.bad.append(text[:200])
                self._counted.notify_all()


def _answered(text: str) -> bool:
    try:
        return bool(json.loads(text)["ok"])
    except (ValueError, KeyError, TypeError):
        return False


def preparation(place: Place) -> tuple[Step, ...]:
    """Make the network, the way out with a reserved address, and the service with a connector."""
    annotations = {
        "run.googleapis.com/vpc-access-connector": _CONNECTOR,
        "run.googleapis.com/vpc-access-egress": "all-traffic",
    }
    service = knative(place.project, SERVICE, IMAGE, annotations)
    return (
        network(place, _NETWORK),
        subnet(place, _NETWORK, "run-connector-subnet", "10.8.0.0/28", "Make the connector's subnet"),
        subnet(place, _NETWORK, _SUBNET, "10.214.0.0/20", "Make the subnet of Direct VPC egress"),
        connector(place, _CONNECTOR, "run-connector-subnet"),
        router(place, _NETWORK, _ROUTER),
        address(place, ADDRESS),
        nat(place),
        Step(
            "Deploy a service that sends all its traffic through the connector",
            (
                "run", "deploy", SERVICE, f"--image={IMAGE}", place.flag, "--allow-unauthenticated",
                f"--vpc-connector={_CONNECTOR}", "--vpc-egress=all-traffic",
            ),
            (create_service(place.project, service), open_to_all(place, SERVICE)),
        ),
    )  # fmt: skip


def nat(place: Place) -> Step:
    """Give the whole network the reserved address."""
    path = f"projects/{place.project}/regions/{place.region}/addresses/{ADDRESS}"
    config = {
        "name": "run-nat",
        "natIpAllocateOption": "MANUAL_ONLY",
        "natIps": [path],
        "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
        "minPortsPerVm": _PORTS,
    }
    parameters = {**place.parameters, "router": _ROUTER}
    return Step(
        "Make a Cloud NAT with this address",
        (
            "compute", "routers", "nats", "create", "run-nat", f"--router={_ROUTER}", place.flag,
            "--nat-all-subnet-ip-ranges", f"--nat-external-ip-pool={ADDRESS}", f"--min-ports-per-vm={_PORTS}",
        ),
        (DemoRequest("compute.v1.routers.patch", parameters, {"nats": [config]}),),
    )  # fmt: skip


def move(place: Place, file: Path) -> Step:
    """Replace the service by one with an interface in the subnetwork, which is written to ``file``."""
    interface = json.dumps([{"network": _NETWORK, "subnetwork": _SUBNET}])
    annotations = {
        "run.googleapis.com/network-interfaces": interface,
        "run.googleapis.com/vpc-access-egress": "all-traffic",
    }
    service = knative(place.project, SERVICE, IMAGE, annotations)
    file.write_text(json.dumps(service, indent=1))  # JSON is YAML
    return Step(
        "Move it to Direct VPC egress, under load",
        ("run", "services", "replace", str(file), place.flag),
        (replace_service(place.project, service),),
    )
