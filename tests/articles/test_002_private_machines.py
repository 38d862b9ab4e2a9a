"""Article 002: machines without external addresses, the article's gateway, and a NAT instance made by hand.

Every machine asks a third party again and again which address it sees, and says the answer on its serial
port. Nothing is ever set on a machine for its network.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud

from fogbank.testing import end_region, fetch_servers, short_folder, start_region

AN1, US1 = "asia-northeast1", "us-central1"
V1 = "https://compute.googleapis.com/compute/v1/projects/demo"
NETWORK, ROUTER, GATEWAY = "foobar-product-network", "foobar-natgateway-router", "foobar-natgateway"
ASK = """while :; do
  seen=$(curl -s -m 1 http://ifconfig.me) && echo "seen=$seen" || echo "seen=nothing"
  sleep 0.3
done"""
NAT_BY_HAND = """sysctl -w net.ipv4.ip_forward=1
iptables -t nat -A POSTROUTING -o ens4 -j MASQUERADE
echo forwarding"""
PATIENCE = 60.0

pytestmark = [pytest.mark.slow(60), pytest.mark.netns, pytest.mark.xdist_group("machines")]


class Article:
    """The article's network with private machines ``one`` and ``two``, and ``far`` in another region."""

    def __init__(self, region: LoadedRegion) -> None:
        self.region = region

    def compute(self, *command: str) -> str:
        return self.region.gcloud("compute", *command).stdout

    def listed(self, *command: str) -> Any:
        return json.loads(self.compute(*command, "--format=json"))

    def subnetwork(self, name: str, cidr: str, region: str) -> None:
        where = (f"--network={NETWORK}", f"--range={cidr}", f"--region={region}")
        self.compute("networks", "subnets", "create", name, *where)

    def machine(self, name: str, subnetwork: str, zone: str, *options: str, script: str = ASK) -> None:
        start = f"--metadata=^§^startup-script={script}"
        where = (f"--subnet={subnetwork}", f"--zone={zone}", "--machine-type=e2-small")
        self.compute("instances", "create", name, *where, start, *options)

    def answers(self, name: str, zone: str) -> list[str]:
        """List what a machine was told so far."""
        status, answer = self.region.api("GET", f"{V1}/zones/{zone}/instances/{name}/serialPort?port=1")
        assert status == 200, answer
        lines = answer["contents"].splitlines()
        return [line.partition("seen=")[2].strip() for line in lines if "seen=" in line]

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)

    def next_answer(self, name: str, zone: str) -> str:
        """Return what a machine is told by a question that it asks after this call."""
        known = len(self.answers(name, zone)) + 1  # one may be on its way
        self.until(lambda: len(self.answers(name, zone)) > known)
        return self.answers(name, zone)[known]


@pytest.fixture(scope="module")
def article(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Article]:
    fetch_servers("machine")
    running = start_region(short_folder(), "--ephemeral", "--region", AN1)
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as gcloud:
        made = Article(LoadedRegion(running.name, running.home, running.environment, gcloud))
        made.compute("networks", "create", NETWORK, "--subnet-mode=custom")
        for name, cidr, region in (
            ("first", "10.10.1.0/24", AN1),
            ("second", "10.10.2.0/24", AN1),
            ("third", "10.10.3.0/24", US1),
        ):
            made.subnetwork(name, cidr, region)
        made.machine("one", "first", f"{AN1}-a", "--no-address")
        made.machine("two", "second", f"{AN1}-b", "--no-address", "--tags=no-ip")
        made.machine("far", "third", f"{US1}-a", "--no-address")
        yield made
    end_region(running)


def test_a_gateway_of_the_region_takes_all_its_private_machines_out_by_one_address(article: Article) -> None:
    for name, zone in (("one", f"{AN1}-a"), ("two", f"{AN1}-b"), ("far", f"{US1}-a")):
        assert article.next_answer(name, zone) == "nothing"
    article.compute("routers", "create", ROUTER, f"--network={NETWORK}", f"--region={AN1}")
    article.compute(
        "routers", "nats", "create", GATEWAY, f"--router={ROUTER}", f"--region={AN1}",
        "--nat-all-subnet-ip-ranges", "--auto-allocate-nat-external-ips", "--enable-logging",
        "--log-filter=ALL", "--min-ports-per-vm=64", "--udp-idle-timeout=30s",
        "--tcp-established-idle-timeout=1200s",
    )  # fmt: skip
    (address,) = article.listed("addresses", "list", f"--filter=region:{AN1}")
    assert address["name"].startswith("nat-auto-ip-")
    assert (address["purpose"], address["status"]) == ("NAT_AUTO", "IN_USE")
    for name, zone in (("one", f"{AN1}-a"), ("two", f"{AN1}-b")):
        assert article.next_answer(name, zone) == address["address"]
    # A gateway serves its own region only: another one needs a gateway of its own.
    assert article.next_answer("far", f"{US1}-a") == "nothing"
    article.compute("routers", "nats", "delete", GATEWAY, f"--router={ROUTER}", f"--region={AN1}")
    assert article.next_answer("one", f"{AN1}-a") == "nothing"


def test_a_nat_instance_made_by_hand_serves_tagged_machines_until_it_dies(article: Article) -> None:
    zone = f"{AN1}-a"
    article.compute(
        "firewall-rules", "create", "inside", f"--network={NETWORK}", "--allow=tcp,udp,icmp",
        "--source-ranges=10.10.0.0/16",
    )  # fmt: skip
    article.machine("nat-gateway", "first", zone, "--can-ip-forward", script=NAT_BY_HAND)
    article.compute(
        "routes", "create", "no-ip-internet-route", f"--network={NETWORK}", "--destination-range=0.0.0.0/0",
        "--next-hop-instance=nat-gateway", f"--next-hop-instance-zone={zone}", "--tags=no-ip",
        "--priority=800",
    )  # fmt: skip
    (shown,) = article.listed("instances", "list", "--filter=name=nat-gateway")
    external = shown["networkInterfaces"][0]["accessConfigs"][0]["natIP"]
    article.until(lambda: article.next_answer("two", f"{AN1}-b") == external)
    assert article.next_answer("one", zone) == "nothing"
    # A single instance is no high availability.
    article.compute("instances", "stop", "nat-gateway", f"--zone={zone}")
    assert article.next_answer("two", f"{AN1}-b") == "nothing"
    (route,) = article.listed("routes", "list", "--filter=name=no-ip-internet-route")
    assert [each["code"] for each in route["warnings"]] == ["NEXT_HOP_NOT_RUNNING"]
