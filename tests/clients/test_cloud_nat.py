"""Cloud NAT by real gcloud and real packets: ports that grow, addresses that come and go, rules and logs.

One gateway and one instance with Direct VPC egress serve all tests of the module, each of which sets the
gateway to what it needs.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud
from tests.waiting import wait_until

from fogbank.testing import end_region, short_folder, start_region

pytestmark = [pytest.mark.netns, pytest.mark.slow(40), pytest.mark.xdist_group("cloud-nat")]

AN3 = "--region=asia-northeast3"
NETCHECK = "--image=us-docker.pkg.dev/fogbank/samples/netcheck"
NAT = ("--router=router", AN3)


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedRegion]:
    started = start_region(short_folder(), "--ephemeral")
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as loaded:
        made = LoadedRegion(started.name, started.home, started.environment, loaded)
        made.gcloud("compute", "networks", "create", "vpc", "--subnet-mode=custom")
        made.gcloud(
            "compute", "networks", "subnets", "create", "sub", "--network=vpc", "--range=10.8.0.0/26", AN3
        )
        for address in ("one", "two"):
            made.gcloud("compute", "addresses", "create", address, AN3)
        made.gcloud("compute", "routers", "create", "router", "--network=vpc", AN3)
        made.gcloud(
            "compute", "routers", "nats", "create", "nat", *NAT,
            "--nat-all-subnet-ip-ranges", "--nat-external-ip-pool=one",
        )  # fmt: skip
        made.gcloud(
            "run", "deploy", "svc", NETCHECK, AN3, "--allow-unauthenticated", "--network=vpc", "--subnet=sub",
            "--vpc-egress=all-traffic", "--min-instances=1", "--max-instances=1", "--concurrency=80",
        )  # fmt: skip
        yield made
    end_region(started)


@pytest.fixture(scope="module")
def url(region: LoadedRegion) -> str:
    shown = region.gcloud("run", "services", "describe", "svc", AN3, "--format=value(status.url)")
    return shown.stdout.strip()


@pytest.fixture(autouse=True)
def plain_gateway(region: LoadedRegion) -> None:
    """Set the gateway to 64 ports on one manual address, whatever a test before left."""
    region.fogbank("clock", "advance", "3m")  # ports of connections that ended are held for two
    router = "https://compute.googleapis.com/compute/v1/projects/demo/regions/asia-northeast3/routers/router"
    nat = {
        "name": "nat",
        "natIpAllocateOption": "MANUAL_ONLY",
        "natIps": ["regions/asia-northeast3/addresses/one"],
        "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
    }
    status, answer = region.api("PATCH", router, {"nats": [nat]})
    assert status == 200, answer
    wait_until(lambda: ports(region) == 64, 60.0)


def update(region: LoadedRegion, *options: str) -> None:
    region.gcloud("compute", "routers", "nats", "update", "nat", *NAT, *options)


def mapping(region: LoadedRegion) -> dict[str, Any]:
    """Return the mapping of the one instance, or nothing while it has none."""
    shown = region.gcloud("compute", "routers", "get-nat-mapping-info", "router", AN3, "--format=json")
    found: list[dict[str, Any]] = json.loads(shown.stdout)
    return found[0]["interfaceNatMappings"][0] if found else {}


def ports(region: LoadedRegion) -> int:
    return int(mapping(region).get("numTotalNatPorts", 0))


def automatic(region: LoadedRegion) -> list[dict[str, Any]]:
    shown = region.gcloud("compute", "addresses", "list", "--filter=purpose=NAT_AUTO", "--format=json")
    found: list[dict[str, Any]] = json.loads(shown.stdout)
    return found


def connect(region: LoadedRegion, url: str, **query: object) -> dict[str, Any]:
    """Have the service open connections."""
    values = "&".join(f"{name}={value}" for name, value in query.items())
    found: dict[str, Any] = json.loads(region.curl("--max-time", "90", f"{url}/tcp?{values}"))
    return found


def source(region: LoadedRegion, url: str, site: str = "ifconfig.me") -> str:
    """Return the address that a site sees."""
    found = json.loads(region.curl("--max-time", "60", f"{url}/egress?url=http://{site}&timeout=30"))
    return str(found["body"]).strip()


def test_ports_double_while_they_are_needed_and_halve_when_they_are_not(
    region: LoadedRegion, url: str
) -> None:
    update(region, "--enable-dynamic-port-allocation", "--min-ports-per-vm=32", "--max-ports-per-vm=256")
    wait_until(lambda: ports(region) == 32, 60.0)
    opened = connect(region, url, host="ifconfig.me", port=80, count=200, timeout=60)
    assert opened["ok"] == 200, opened
    assert ports(region) == 256
    region.fogbank("clock", "advance", "3m")  # ports of connections that ended are held for two
    sizes = [256]

    def smallest() -> bool:
        region.fogbank("clock", "advance", "11m")
        sizes.append(ports(region))
        return sizes[-1] == 32

    wait_until(smallest, 60.0)
    assert sizes == sorted(sizes, reverse=True)
    assert set(sizes) <= {256, 128, 64, 32}


def test_an_automatic_gateway_takes_addresses_for_its_ports_and_returns_them(
    region: LoadedRegion, url: str
) -> None:
    update(region, "--auto-allocate-nat-external-ips")
    (first,) = automatic(region)
    assert (first["status"], first["addressType"]) == ("IN_USE", "EXTERNAL")
    wait_until(lambda: bool(mapping(region)), 60.0)
    assert source(region, url) == first["address"]
    refused = region.gcloud("compute", "addresses", "delete", first["name"], AN3, "--quiet", check=False)
    assert refused.returncode != 0
    update(region, "--min-ports-per-vm=65536")
    wait_until(lambda: len(automatic(region)) == 2, 60.0)
    wait_until(lambda: ports(region) == 65536, 60.0)
    names = sorted(each["name"].split("-")[3:5] for each in automatic(region))
    assert [index for _, index in names] == ["0", "1"]
    assert len({number for number, _ in names}) == 1
    (nat,) = json.loads(
        region.gcloud("compute", "routers", "get-status", "router", AN3, "--format=json").stdout
    )["result"]["natStatus"]
    assert set(nat["autoAllocatedNatIps"]) == {each["address"] for each in automatic(region)}
    assert source(region, url) in nat["autoAllocatedNatIps"]
    update(region, "--min-ports-per-vm=64")
    wait_until(lambda: [each["address"] for each in automatic(region)] == [first["address"]], 60.0)
    assert source(region, url) == first["address"]
    update(region, "--nat-external-ip-pool=one")
    assert automatic(region) == []


def test_a_rule_gives_a_destination_an_address_of_its_own(region: LoadedRegion, url: str) -> None:
    addresses = {
        name: region.gcloud(
            "compute", "addresses", "describe", name, AN3, "--format=value(address)"
        ).stdout.strip()
        for name in ("one", "two")
    }
    region.fogbank("internet", "add", "partner.example.com")
    sites = json.loads(region.fogbank("internet", "list", "--format", "json"))
    partner = next(each for each in sites if each["host"] == "partner.example.com")
    rules = ("compute", "routers", "nats", "rules")
    where = ("--nat=nat", *NAT)
    region.gcloud(
        *rules, "create", "7", *where, "--source-nat-active-ips=two",
        f"--match=destination.ip == '{partner['address']}'",
    )  # fmt: skip
    (shown,) = json.loads(region.gcloud(*rules, "list", *where, "--format=json").stdout)
    assert shown["ruleNumber"] == 7
    wait_until(lambda: bool(mapping(region).get("ruleMappings")), 60.0)
    connect(region, url, host="partner.example.com", port=80, timeout=30)
    assert region.curl("--max-time", "60", f"{url}/egress?url=http://partner.example.com&timeout=30")
    seen = {each["sourceIp"] for each in region.site_access_log("partner.example.com")}
    assert seen == {addresses["two"]}
    assert source(region, url) == addresses["one"]
    region.gcloud(*rules, "delete", "7", *where, "--quiet")
    assert region.curl("--max-time", "60", f"{url}/egress?url=http://partner.example.com&timeout=30")
    assert region.site_access_log("partner.example.com")[-1]["sourceIp"] == addresses["one"]


def test_logs_mapping_and_third_parties_agree_on_every_connection(region: LoadedRegion, url: str) -> None:
    update(region, "--enable-logging", "--log-filter=ALL", "--min-ports-per-vm=32")
    wait_until(lambda: ports(region) == 32, 60.0)
    region.fogbank("clock", "advance", "3m")
    opened = connect(region, url, host="ifconfig.me", port=80, count=40, timeout=5)
    assert opened["ok"] == 32, opened
    found: list[dict[str, Any]] = []

    def logged() -> bool:
        shown = region.gcloud(
            "logging", "read", 'resource.type="nat_gateway" AND jsonPayload.connection.dest_port=80',
            "--format=json", "--limit=200",
        )  # fmt: skip
        found[:] = json.loads(shown.stdout)
        return len(found) >= 40

    wait_until(logged, 60.0)
    passed = [each for each in found if each["jsonPayload"]["allocation_status"] == "OK"]
    dropped = [each for each in found if each["jsonPayload"]["allocation_status"] == "DROPPED"]
    # On a slow machine a connection may be given up, and its port serve another one.
    sources = [each["jsonPayload"]["connection"]["src_port"] for each in passed]
    assert len(sources) == len(set(sources)) >= 32
    assert len({each["jsonPayload"]["connection"]["src_port"] for each in dropped}) >= 8
    (block,) = mapping(region)["natIpPortRanges"]
    address, _, range_ = block.partition(":")
    first, last = map(int, range_.split("-"))
    told = {(c["nat_ip"], c["nat_port"]) for c in (each["jsonPayload"]["connection"] for each in passed)}
    assert told == {(address, port) for port in range(first, last + 1)}
    assert all("nat_ip" not in each["jsonPayload"]["connection"] and "labels" not in each for each in dropped)
    entry = passed[0]
    assert entry["logName"] == "projects/demo/logs/compute.googleapis.com%2Fnat_flows"
    assert entry["resource"]["labels"]["gateway_name"] == "nat"
    assert entry["jsonPayload"]["vpc"]["subnetwork_name"] == "sub"
    assert entry["labels"]["nat.googleapis.com/router_name"] == "router"
