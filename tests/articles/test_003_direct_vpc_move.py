"""Article 003 with real gcloud: a service under load moves to Direct VPC egress; no request fails.

The partner behind Cloud NAT is the judge: it saw the reserved address before, during and after the move.
"""

import json
import shlex
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fogbank.testing import RunningRegion, end_region, short_folder, start_region

AN1 = "asia-northeast1"
NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"
NETWORK = f"""
compute networks create run-vpc --subnet-mode=custom
compute networks subnets create run-connector-subnet --network=run-vpc --region={AN1} --range=10.8.0.0/28
compute networks subnets create run-subnet --network=run-vpc --region={AN1} --range=10.214.0.0/20
compute networks vpc-access connectors create run-connector --region={AN1} --subnet=run-connector-subnet
compute routers create run-router --network=run-vpc --region={AN1}
compute addresses create partner-ip --region={AN1}
compute routers nats create run-nat --router=run-router --region={AN1} --nat-all-subnet-ip-ranges --nat-external-ip-pool=partner-ip --min-ports-per-vm=2048
run deploy sync --image={NETCHECK} --region={AN1} --allow-unauthenticated --vpc-connector=run-connector --vpc-egress=all-traffic
"""  # noqa: E501
SERVICE = f"""
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: sync
  annotations:
    run.googleapis.com/launch-stage: BETA
  labels:
    cloud.googleapis.com/location: {AN1}
spec:
  template:
    metadata:
      annotations:
        run.googleapis.com/network-interfaces: '[{{"network": "run-vpc", "subnetwork": "run-subnet"}}]'
        run.googleapis.com/vpc-access-egress: all-traffic
    spec:
      containers:
      - image: {NETCHECK}
"""
CLIENTS = 3

pytestmark = [pytest.mark.slow(25), pytest.mark.netns, pytest.mark.xdist_group("article-003")]


@dataclass
class Move:
    """What was seen while the service moved."""

    region: RunningRegion
    reserved: str
    answers: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def trace(self) -> None:
        shown = self.region.fogbank("trace", "run/sync", "http://ifconfig.me", "--probe", "--format", "json")
        trace = json.loads(shown)
        assert trace["differences"] == [], trace
        (sent,) = {
            each["source"].partition(":")[0]
            for each in trace["observed"]["sightings"]
            if each["netns"].startswith("instance/")
        }
        self.sources.append(sent)


@pytest.fixture(scope="module")
def move() -> Iterator[Move]:
    """Move the service while clients ask it for what the partner answers."""
    region = start_region(short_folder(), "--ephemeral", "--region", AN1)

    def gcloud(line: str) -> str:
        return str(region.gcloud(*shlex.split(line), "--quiet").stdout).strip()

    for line in NETWORK.strip().splitlines():
        gcloud(line)
    url = gcloud(f"run services describe sync --region={AN1} --format=value(status.url)")
    reserved = gcloud(f"compute addresses describe partner-ip --region={AN1} --format=value(address)")
    seen = Move(region, reserved)
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            seen.answers.append(region.curl(f"{url}/egress?url=http://ifconfig.me", check=False))

    region.curl(f"{url}/")
    seen.trace()
    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        manifest = Path(region.home, "service.yaml")
        manifest.write_text(SERVICE)
        gcloud(f"run services replace {manifest} --region={AN1}")
    finally:
        over.set()
        for client in clients:
            client.join()
    seen.trace()
    yield seen
    end_region(region)


def test_no_request_fails_while_the_service_moves(move: Move) -> None:
    assert len(move.answers) > CLIENTS
    bad = [each for each in move.answers if not json.loads(each)["ok"]]
    assert bad == []


def test_the_partner_sees_the_reserved_address_alone(move: Move) -> None:
    assert {json.loads(each)["body"].strip() for each in move.answers} == {move.reserved}
    assert {each["sourceIp"] for each in move.region.site_access_log("ifconfig.me")} == {move.reserved}


def test_the_instance_sends_from_its_own_address_of_the_subnet_afterwards(move: Move) -> None:
    before, after = move.sources
    assert before.startswith("169.254.")
    assert after.startswith("10.214.0.")
