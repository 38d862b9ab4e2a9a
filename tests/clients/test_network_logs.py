"""Logs of the network by real gcloud and real packets: flow logs, firewall logs, query logs.

One service with Direct VPC egress sends to one virtual machine and to third parties.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud
from tests.waiting import wait_until

from fogbank.testing import end_region, fetch_servers, short_folder, start_region

pytestmark = [pytest.mark.netns, pytest.mark.slow(40), pytest.mark.xdist_group("network-logs")]

AN3 = "--region=asia-northeast3"
ZONE = "--zone=asia-northeast3-a"
NETCHECK = "--image=us-docker.pkg.dev/fogbank/samples/netcheck"
SUBNETS = ("compute", "networks", "subnets")


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedRegion]:
    fetch_servers("machine")
    started = start_region(short_folder(), "--ephemeral")
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as loaded:
        made = LoadedRegion(started.name, started.home, started.environment, loaded)
        made.gcloud("compute", "networks", "create", "vpc", "--subnet-mode=custom")
        for name, cidr in (("front", "10.8.0.0/26"), ("back", "10.9.0.0/28")):
            made.gcloud(*SUBNETS, "create", name, "--network=vpc", f"--range={cidr}", AN3)
        made.gcloud(
            "compute", "instances", "create", "db", ZONE, "--subnet=back", "--no-address",
            "--private-network-ip=10.9.0.5",
        )  # fmt: skip
        made.gcloud(
            "run", "deploy", "web", NETCHECK, AN3, "--allow-unauthenticated", "--network=vpc",
            "--subnet=front", "--vpc-egress=all-traffic", "--min-instances=1", "--max-instances=1",
        )  # fmt: skip
        yield made
    end_region(started)


@pytest.fixture(scope="module")
def url(region: LoadedRegion) -> str:
    shown = region.gcloud("run", "services", "describe", "web", AN3, "--format=value(status.url)")
    return shown.stdout.strip()


def ask(region: LoadedRegion, url: str, probe: str) -> dict[str, Any]:
    """Have the service send something."""
    found: dict[str, Any] = json.loads(region.curl("--max-time", "60", f"{url}/{probe}"))
    return found


def read(region: LoadedRegion, log: str, more: str = "") -> list[dict[str, Any]]:
    """Read a log with gcloud, oldest first."""
    wanted = f'log_id("{log}") {more}'
    shown = region.gcloud("logging", "read", wanted, "--order=asc", "--limit=1000", "--format=json")
    found: list[dict[str, Any]] = json.loads(shown.stdout)
    return found


def test_flow_logs_have_both_directions_as_both_ends_saw_them(region: LoadedRegion, url: str) -> None:
    for subnet, metadata in (("front", "include-all"), ("back", "exclude-all")):
        region.gcloud(
            *SUBNETS, "update", subnet, AN3, "--enable-flow-logs", "--logging-flow-sampling=1.0",
            f"--logging-metadata={metadata}", "--logging-aggregation-interval=interval-5-sec",
        )  # fmt: skip
    region.gcloud(
        "compute", "firewall-rules", "create", "to-db", "--network=vpc", "--allow=tcp:22",
        "--source-ranges=10.8.0.0/26",
    )  # fmt: skip
    assert ask(region, url, "tcp?host=10.9.0.5&port=22&count=3&timeout=30")["ok"] == 3

    def records() -> list[dict[str, Any]]:
        region.fogbank("clock", "advance", "5s")
        return read(region, "compute.googleapis.com/vpc_flows", "jsonPayload.connection.protocol=6")

    wait_until(lambda: len(records()) >= 12, 60)
    entries = records()
    seen = {
        (
            each["resource"]["labels"]["subnetwork_name"],
            each["jsonPayload"]["reporter"],
            each["jsonPayload"]["connection"]["src_ip"],
        )
        for each in entries
    }
    web = next(source for subnet, reporter, source in seen if (subnet, reporter) == ("front", "SRC"))
    assert web.startswith("10.8.0.")
    assert seen == {
        ("front", "SRC", web),
        ("front", "DEST", "10.9.0.5"),
        ("back", "SRC", "10.9.0.5"),
        ("back", "DEST", web),
    }
    sent = [each for each in entries if each["resource"]["labels"]["subnetwork_name"] == "front"]
    sent = [each for each in sent if each["jsonPayload"]["reporter"] == "SRC"]
    assert {each["jsonPayload"]["connection"]["dest_port"] for each in sent} == {22}
    assert len({each["jsonPayload"]["connection"]["src_port"] for each in sent}) == 3
    payload = sent[0]["jsonPayload"]
    assert payload["src_serverless_details"]["service_name"] == "web"
    assert payload["dest_instance"]["vm_name"] == "db"
    assert payload["src_vpc"]["subnetwork_name"] == "front"
    assert int(payload["bytes_sent"]) >= 40 * int(payload["packets_sent"])
    assert sent[0]["resource"]["type"] == "gce_subnetwork"
    assert sent[0]["logName"] == "projects/demo/logs/compute.googleapis.com%2Fvpc_flows"
    bare = next(each for each in entries if each["resource"]["labels"]["subnetwork_name"] == "back")
    assert set(bare["jsonPayload"]) == {
        "connection", "reporter", "start_time", "end_time", "bytes_sent", "packets_sent",
    }  # fmt: skip

    refused = region.gcloud(
        *SUBNETS, "update", "front", AN3, "--logging-filter-expr=bytes_sent > 5", check=False
    )
    assert "undeclared reference to 'bytes_sent'" in refused.stderr
    region.gcloud(*SUBNETS, "update", "front", AN3, "--logging-filter-expr=connection.dest_port == 9")
    before = len(read(region, "compute.googleapis.com/vpc_flows"))
    assert ask(region, url, "tcp?host=10.9.0.5&port=22&count=1&timeout=30")["ok"] == 1

    def of_back() -> bool:
        region.fogbank("clock", "advance", "5s")
        return len(read(region, "compute.googleapis.com/vpc_flows")) >= before + 2

    wait_until(of_back, 60)
    later = read(region, "compute.googleapis.com/vpc_flows")[before:]
    assert {each["resource"]["labels"]["subnetwork_name"] for each in later} == {"back"}
