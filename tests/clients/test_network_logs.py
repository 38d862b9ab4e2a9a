"""Logs of the network by real gcloud and real packets: flow logs, firewall logs, query logs.

One service with Direct VPC egress sends to one virtual machine and to third parties.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

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


def test_a_zone_that_logs_shows_who_asked_for_what_and_the_answer(region: LoadedRegion, url: str) -> None:
    for name, *options in (("logged", "--log-dns-queries"), ("silent",)):
        region.gcloud(
            "dns", "managed-zones", "create", name, f"--dns-name={name}.example.", "--description=",
            "--visibility=private", "--networks=vpc", *options,
        )  # fmt: skip
        region.gcloud(
            "dns", "record-sets", "create", f"db.{name}.example.", f"--zone={name}", "--type=A", "--ttl=60",
            "--rrdatas=10.9.0.5",
        )  # fmt: skip
    for name in ("db.silent.example", "db.logged.example", "none.logged.example"):
        ask(region, url, f"dns?name={name}")
    wanted = ("dns.googleapis.com/dns_queries", "jsonPayload.queryType=A")
    wait_until(lambda: len(read(region, *wanted)) >= 2, 60)
    entries = read(region, *wanted)
    answers = {each["jsonPayload"]["queryName"]: each["jsonPayload"] for each in entries}
    assert set(answers) == {"db.logged.example.", "none.logged.example."}
    found = answers["db.logged.example."]
    assert (found["responseCode"], found["sourceNetwork"]) == ("NOERROR", "vpc")
    assert found["rdata"] == "db.logged.example.\t60\tIN\ta\t10.9.0.5"
    assert answers["none.logged.example."]["responseCode"] == "NXDOMAIN"
    labels = entries[0]["resource"]["labels"]
    assert (labels["target_type"], labels["target_name"]) == ("private-zone", "logged")


def test_logged_rules_show_what_they_decided_at_either_end(region: LoadedRegion, url: str) -> None:
    rules = ("compute", "firewall-rules", "create")
    region.gcloud(
        *rules, "logged-in", "--network=vpc", "--allow=tcp:22,udp:53", "--source-ranges=10.8.0.0/26",
        "--enable-logging", "--priority=500",
    )  # fmt: skip
    region.gcloud(
        *rules, "logged-out", "--network=vpc", "--direction=EGRESS", "--action=DENY", "--rules=tcp:23",
        "--destination-ranges=10.9.0.0/28", "--enable-logging", "--logging-metadata=exclude-all",
    )  # fmt: skip
    policy = ("compute", "network-firewall-policies")
    region.gcloud(*policy, "create", "guard", "--global")
    region.gcloud(
        *policy, "rules", "create", "100", "--firewall-policy=guard", "--global-firewall-policy",
        "--direction=INGRESS", "--action=deny", "--layer4-configs=tcp:24", "--src-ip-ranges=10.8.0.0/26",
        "--enable-logging",
    )  # fmt: skip
    region.gcloud(
        *policy, "associations", "create", "--firewall-policy=guard", "--network=vpc",
        "--global-firewall-policy",
    )  # fmt: skip
    assert ask(region, url, "tcp?host=10.9.0.5&port=22&count=2&timeout=30")["ok"] == 2
    for port in (23, 24, 25):  # the last one is denied by the implied rule
        assert ask(region, url, f"tcp?host=10.9.0.5&port={port}&count=1&timeout=0.2")["ok"] == 0

    def decided() -> dict[int, list[dict[str, Any]]]:
        found: dict[int, list[dict[str, Any]]] = {}
        for entry in read(region, "compute.googleapis.com/firewall"):
            found.setdefault(entry["jsonPayload"]["connection"]["dest_port"], []).append(entry)
        return found

    wait_until(lambda: set(decided()) == {22, 23, 24}, 60)
    entries = decided()
    assert {port: len(found) for port, found in entries.items()} == {22: 2, 23: 1, 24: 1}
    allowed, denied, guarded = (entries[port][0] for port in (22, 23, 24))
    payload = allowed["jsonPayload"]
    assert (payload["disposition"], payload["instance"]["vm_name"]) == ("ALLOWED", "db")
    assert payload["rule_details"] == {
        "reference": "network:vpc/firewall:logged-in",
        "priority": 500,
        "action": "ALLOW",
        "direction": "INGRESS",
        "ip_port_info": [
            {"ip_protocol": "TCP", "port_range": ["22"]},
            {"ip_protocol": "UDP", "port_range": ["53"]},
        ],
        "source_range": ["10.8.0.0/26"],
    }
    assert payload["remote_vpc"]["subnetwork_name"] == "front"
    assert allowed["resource"]["labels"]["subnetwork_name"] == "back"
    assert denied["jsonPayload"]["rule_details"] == {"reference": "network:vpc/firewall:logged-out"}
    assert denied["jsonPayload"]["disposition"] == "DENIED"
    assert denied["resource"]["labels"]["subnetwork_name"] == "front"
    assert set(denied["jsonPayload"]) == {"connection", "disposition", "rule_details"}
    assert guarded["jsonPayload"]["rule_details"]["reference"].startswith("network:vpc/firewallPolicy:")
    assert guarded["jsonPayload"]["rule_details"]["priority"] == 100


def test_a_machines_traffic_and_what_its_firewall_dropped_are_measured(
    region: LoadedRegion, url: str
) -> None:
    region.gcloud(
        "compute", "firewall-rules", "create", "measured", "--network=vpc", "--allow=tcp:22",
        "--source-ranges=10.8.0.0/26",
    )  # fmt: skip
    before = {metric: measured(region, metric) for metric in MEASURED}
    assert ask(region, url, "tcp?host=10.9.0.5&port=22&count=3&timeout=30")["ok"] == 3
    assert ask(region, url, "tcp?host=10.9.0.5&port=99&count=2&timeout=0.2")["ok"] == 0
    least = {
        "instance/network/received_packets_count": 9,
        "instance/network/sent_packets_count": 6,
        "instance/network/received_bytes_count": 9 * 40,
        "instance/network/sent_bytes_count": 6 * 40,
        "firewall/dropped_packets_count": 2,
    }

    def more() -> dict[str, int]:
        region.fogbank("clock", "advance", "61s")
        return {metric: measured(region, metric) - before[metric] for metric in MEASURED}

    wait_until(lambda: all(value >= least[metric] for metric, value in more().items()), 60)


MEASURED = (
    "instance/network/received_packets_count",
    "instance/network/sent_packets_count",
    "instance/network/received_bytes_count",
    "instance/network/sent_bytes_count",
    "firewall/dropped_packets_count",
)


def measured(region: LoadedRegion, metric: str) -> int:
    """Sum up all points of a metric of the machine ``db``."""
    wanted = f'metric.type="compute.googleapis.com/{metric}" AND metric.labels.instance_name="db"'
    query = urlencode(
        {
            "filter": wanted,
            "interval.startTime": "2020-01-01T00:00:00Z",
            "interval.endTime": "2100-01-01T00:00:00Z",
        }
    )
    status, answer = region.api(
        "GET", f"https://monitoring.googleapis.com/v3/projects/demo/timeSeries?{query}"
    )
    assert status == 200, answer
    points = [point for series in answer.get("timeSeries", ()) for point in series["points"]]
    return sum(int(point["value"]["int64Value"]) for point in points)
