"""Direct VPC egress by real gcloud and real packets: from the deployment to the deletion of the subnet."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud

from fogbank.testing import end_region, short_folder, start_region

pytestmark = [pytest.mark.netns, pytest.mark.slow(40), pytest.mark.xdist_group("direct-vpc")]

AN3 = "asia-northeast3"
NETCHECK = "--image=us-docker.pkg.dev/fogbank/samples/netcheck"
EXHAUSTED = "Instance failed to start because of insufficient free IP addresses in the subnetwork"


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedRegion]:
    """A region with a VPC, a subnet of 64 addresses, and a gateway with a reserved address for it."""
    started = start_region(short_folder(), "--ephemeral")
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as loaded:
        region = LoadedRegion(started.name, started.home, started.environment, loaded)
        compute = ("compute", "networks")
        region.gcloud(*compute, "create", "vpc", "--subnet-mode=custom")
        for name, cidr in (("direct", "10.8.0.0/26"), ("tiny", "10.9.0.0/28"), ("con", "10.10.0.0/28")):
            region.gcloud(
                *compute, "subnets", "create", name, "--network=vpc", f"--range={cidr}", f"--region={AN3}"
            )
        region.gcloud("compute", "addresses", "create", "origin", f"--region={AN3}")
        region.gcloud("compute", "routers", "create", "router", "--network=vpc", f"--region={AN3}")
        region.gcloud(
            "compute", "routers", "nats", "create", "nat", "--router=router", f"--region={AN3}",
            "--nat-all-subnet-ip-ranges", "--nat-external-ip-pool=origin", "--min-ports-per-vm=2048",
        )  # fmt: skip
        yield region
    end_region(started)


def deploy(region: LoadedRegion, name: str, *options: str, check: bool = True) -> str:
    """Deploy a service and return its URL, or what gcloud said against it."""
    done = region.gcloud(
        "run", "deploy", name, NETCHECK, f"--region={AN3}", "--allow-unauthenticated", *options, check=check
    )
    if done.returncode:
        return done.stderr
    shown = region.gcloud(
        "run", "services", "describe", name, f"--region={AN3}", "--format=value(status.url)"
    )
    return shown.stdout.strip()


def egress(region: LoadedRegion, url: str, to: str = "http://ifconfig.me") -> dict[str, Any]:
    """Have the service fetch a page."""
    found: dict[str, Any] = json.loads(region.curl("--max-time", "20", f"{url}/egress?url={to}&timeout=2"))
    return found


def blocks(region: LoadedRegion) -> list[str]:
    """List the blocks of addresses as a user sees them."""
    rows = json.loads(
        region.gcloud("compute", "addresses", "list", "--filter=purpose=SERVERLESS", "--format=json").stdout
    )
    return sorted(f"{each['address']}/{each['prefixLength']}" for each in rows)


def status(region: LoadedRegion) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(region.fogbank("status", "--format", "json"))
    return found


def subnet(region: LoadedRegion, name: str, cidr: str) -> None:
    """Make a subnet for one test alone."""
    region.gcloud(
        "compute", "networks", "subnets", "create", name, "--network=vpc", f"--range={cidr}",
        f"--region={AN3}",
    )  # fmt: skip


def delete_services(region: LoadedRegion, *names: str) -> None:
    for name in names:
        region.gcloud("run", "services", "delete", name, f"--region={AN3}", "--quiet")


def test_both_egress_modes_and_the_way_back(direct: LoadedRegion) -> None:
    subnet(direct, "own", "10.13.0.0/26")
    access = ("--network=vpc", "--subnet=own")
    url = deploy(direct, "web", *access, "--network-tags=web,db", "--vpc-egress=all-traffic")
    reserved = direct.gcloud(
        "compute", "addresses", "describe", "origin", f"--region={AN3}", "--format=value(address)"
    ).stdout.strip()
    assert "10.13.0.16/28" in blocks(direct)
    answer = egress(direct, url)
    assert (answer["body"], answer["localAddress"].split(":")[0]) == (reserved, "10.13.0.16")
    shown = direct.fogbank("trace", "run/web", "http://ifconfig.me", "--probe")
    assert "prediction and packet agree" in shown
    assert "shaped to 1000 Mbit/s" in shown
    (row,) = [each for each in status(direct)["subnetworks"] if each["subnetwork"].endswith("/own")]
    assert (row["instances"], row["blocks"], row["freeBlocks"]) == (1, 1, 1)

    direct.gcloud("run", "services", "update", "web", f"--region={AN3}", "--vpc-egress=private-ranges-only")
    assert egress(direct, url)["body"].startswith("198.51.100.")
    shown = direct.fogbank("trace", "run/web", "http://10.13.0.60", "--probe")
    assert "prediction and packet agree" in shown
    assert "network vpc" in shown

    direct.gcloud("run", "services", "update", "web", f"--region={AN3}", "--clear-network")
    described = direct.gcloud("run", "services", "describe", "web", f"--region={AN3}", "--format=json").stdout
    assert "network-interfaces" not in json.dumps(json.loads(described)["spec"])
    assert egress(direct, url)["localAddress"].startswith("169.254.")


def test_an_egress_rule_stops_the_instances_with_its_tag_and_no_others(direct: LoadedRegion) -> None:
    access = ("--network=vpc", "--subnet=direct", "--vpc-egress=all-traffic")
    direct.gcloud(
        "compute", "firewall-rules", "create", "no-web", "--network=vpc", "--direction=EGRESS",
        "--action=DENY", "--rules=tcp:80", "--target-tags=caged",
    )  # fmt: skip
    caged = deploy(direct, "caged", *access, "--network-tags=caged")
    free = deploy(direct, "free", *access)
    assert egress(direct, caged)["error"] == "timeout"
    assert egress(direct, free)["ok"]


def test_a_private_zone_and_internal_services_are_for_instances_in_the_network(direct: LoadedRegion) -> None:
    access = ("--network=vpc", "--subnet=direct")
    internal = deploy(direct, "inner", "--ingress=internal")
    inside = deploy(direct, "inside", *access, "--vpc-egress=all-traffic")
    partly = deploy(direct, "partly", *access)
    assert egress(direct, inside, internal)["status"] == 200
    assert egress(direct, partly, internal)["status"] == 404, "run.app is no private range"
    direct.gcloud(
        "dns", "managed-zones", "create", "corp", "--dns-name=corp.example.", "--description=",
        "--visibility=private", "--networks=vpc",
    )  # fmt: skip
    direct.gcloud(
        "dns", "record-sets", "create", "otel.corp.example.", "--zone=corp", "--type=CNAME", "--ttl=60",
        "--rrdatas=ifconfig.me.",
    )  # fmt: skip
    assert egress(direct, partly, "http://otel.corp.example/")["ok"]
    outside = deploy(direct, "outside")
    assert not egress(direct, outside, "http://otel.corp.example/")["ok"]


class Load(threading.Thread):
    """Has a service fetch a page again and again, one request after another, until told to stop."""

    def __init__(self, region: LoadedRegion, url: str) -> None:
        super().__init__(daemon=True)
        self.region, self.target = region, urlsplit(url)
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.enough = threading.Event()

    def run(self) -> None:
        for _ in range(5000):
            if self.enough.is_set():
                return
            connection = self.region.connect(self.target.netloc)
            connection.request("GET", "/egress?url=http://ifconfig.me&timeout=3")
            answer = connection.getresponse()
            self.answers.append((answer.status, json.loads(answer.read())))
            connection.close()


def test_a_service_under_load_moves_from_a_connector_and_back_and_no_request_fails(
    direct: LoadedRegion, tmp_path: Path
) -> None:
    direct.gcloud(
        "compute", "networks", "vpc-access", "connectors", "create", "con", f"--region={AN3}", "--subnet=con",
        "--min-instances=2", "--max-instances=3",
    )  # fmt: skip
    url = deploy(direct, "mover", "--vpc-connector=con", "--vpc-egress=all-traffic")
    reserved = egress(direct, url)["body"]
    shown = direct.gcloud("run", "services", "describe", "mover", f"--region={AN3}", "--format=json").stdout
    service = json.loads(shown)
    annotations = service["spec"]["template"]["metadata"]["annotations"]
    by_connector = {"run.googleapis.com/vpc-access-connector": annotations.pop(
        "run.googleapis.com/vpc-access-connector"
    )}  # fmt: skip
    directly = {"run.googleapis.com/network-interfaces": '[{"network":"vpc","subnetwork":"direct"}]'}
    loads = [Load(direct, url) for _ in range(3)]
    for load in loads:
        load.start()
    for way in (directly, by_connector, directly, by_connector):
        service["spec"]["template"]["metadata"] = {"annotations": {**annotations, **way}}
        path = tmp_path / "service.yaml"
        path.write_text(json.dumps(service))
        before = [len(load.answers) for load in loads]
        direct.gcloud("run", "services", "replace", str(path), f"--region={AN3}")
        while any(
            load.is_alive() and len(load.answers) < count + 20
            for load, count in zip(loads, before, strict=True)
        ):
            loads[0].enough.wait(0.05)
    for load in loads:
        load.enough.set()
        load.join(20)
        assert not load.is_alive(), "a request did not end"
    answers = [answer for load in loads for answer in load.answers]
    assert len(answers) >= 240
    assert [each for each in answers if each[0] != 200 or not each[1]["ok"]] == []
    assert {body["body"] for _, body in answers} == {reserved}
    ways = {body["localAddress"].rpartition(".")[0] for _, body in answers}
    assert ways == {"169.254.16", "10.8.0"}
    update = ("run", "services", "update", "mover", f"--region={AN3}")
    direct.gcloud(
        *update,
        "--clear-vpc-connector",
        "--network=vpc",
        "--subnet=direct",
        "--vpc-egress=private-ranges-only",
    )
    assert egress(direct, url)["body"].startswith("198.51.100.")
    assert "eth1" in direct.fogbank("trace", "run/mover", "http://10.10.0.9")
    direct.gcloud(*update, "--clear-network", "--vpc-connector=con")
    direct.gcloud(*update, "--vpc-egress=all-traffic")  # beside --clear-network gcloud takes it away again
    assert egress(direct, url)["body"] == reserved


def test_a_subnet_without_blocks_deploys_and_then_fails(direct: LoadedRegion) -> None:
    words = deploy(direct, "small", "--network=vpc", "--subnet=tiny", check=False)
    assert EXHAUSTED in words
    assert "/subnetworks/tiny" in words
    logged = direct.fogbank("logs", "run/small")
    assert EXHAUSTED in logged


def test_what_serves_goes_on_when_the_subnet_is_exhausted(direct: LoadedRegion) -> None:
    subnet(direct, "crowded", "10.11.0.0/26")
    access = ("--network=vpc", "--subnet=crowded", "--vpc-egress=all-traffic", "--concurrency=1")
    url = deploy(direct, "greedy", *access, "--min-instances=20", "--max-instances=20")
    assert egress(direct, url)["ok"]
    (row,) = [each for each in status(direct)["subnetworks"] if each["subnetwork"].endswith("/crowded")]
    assert (row["blocks"], row["freeBlocks"]) == (2, 0)
    assert row["instances"] <= 16
    why = [each["why"] for each in status(direct)["converging"] if "/greedy-" in each["resource"]]
    assert why
    assert why[0].startswith(EXHAUSTED)
    words = deploy(direct, "late", "--network=vpc", "--subnet=crowded", check=False)
    assert EXHAUSTED in words
    assert egress(direct, url)["ok"]
    delete_services(direct, "greedy", "late")


def test_the_blocks_hold_the_subnet_for_an_hour_after_the_last_user(direct: LoadedRegion) -> None:
    subnet(direct, "held", "10.12.0.0/26")
    deploy(direct, "holder", "--network=vpc", "--subnet=held")
    delete_services(direct, "holder")
    purpose = "--filter=purpose=SERVERLESS AND subnetwork~/held$"
    listed = direct.gcloud("compute", "addresses", "list", purpose, "--format=value(name)")
    name = listed.stdout.split()[0]
    refused = direct.gcloud("compute", "addresses", "delete", name, f"--region={AN3}", "--quiet", check=False)
    assert refused.returncode
    delete = ("compute", "networks", "subnets", "delete", "held", f"--region={AN3}", "--quiet")
    refused = direct.gcloud(*delete, check=False)
    assert "is already being used by" in refused.stderr
    assert "/addresses/serverless-ipv4-" in refused.stderr
    direct.fogbank("clock", "advance", "59m")
    assert direct.gcloud(*delete, check=False).returncode
    direct.fogbank("clock", "advance", "2m")
    direct.gcloud(*delete)
    assert name not in direct.gcloud("compute", "addresses", "list", "--format=value(name)").stdout
