"""Article 000, word for word, with real gcloud and real packets; and everything that must then not work.

The third party's own record is the judge: it saw the reserved address, or it saw nothing.
"""

import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from fogbank.testing import RunningRegion

AN3 = "asia-northeast3"
NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"
STEPS = """
gcloud compute networks subnets create cloud-run-subnet --range=10.124.0.0/28 --network=default --region=asia-northeast3
gcloud compute networks vpc-access connectors create cloud-run-connector --region=asia-northeast3 --subnet-project=demo --subnet=cloud-run-subnet
gcloud compute routers create cloud-run-router --network=default --region=asia-northeast3
gcloud compute addresses create cloud-run-origin-ip --region=asia-northeast3
gcloud compute routers nats create cloud-run-nat --router=cloud-run-router --region=asia-northeast3 --nat-custom-subnet-ip-ranges=cloud-run-subnet --nat-external-ip-pool=cloud-run-origin-ip
"""  # noqa: E501
DEPLOY = (
    "run", "deploy", "production", f"--image={NETCHECK}", f"--region={AN3}", "--allow-unauthenticated",
    "--vpc-connector=cloud-run-connector",
)  # fmt: skip
CREATE_NAT = shlex.split(STEPS.strip().splitlines()[-1])[1:]
DELETE_NAT = (
    "compute", "routers", "nats", "delete", "cloud-run-nat", "--router=cloud-run-router", f"--region={AN3}",
)  # fmt: skip

pytestmark = [pytest.mark.slow(6), pytest.mark.netns, pytest.mark.xdist_group("article-000")]


def netcheck(region: RunningRegion, path: str) -> Any:
    url = region.gcloud(
        "run", "services", "describe", "production", f"--region={AN3}", "--format=value(status.url)"
    ).stdout.strip()
    return json.loads(region.curl("--max-time", "40", f"{url}{path}"))


def egress(region: RunningRegion, host: str = "ifconfig.me") -> Any:
    return netcheck(region, f"/egress?url=http://{host}&timeout=2")


def private_answer(region: RunningRegion) -> Any:
    """Ask a connector instance's own address: nothing listens there, so a refusal is its answer."""
    return netcheck(region, "/tcp?host=10.124.0.3&port=9&count=1&hold=0&timeout=2")


def ports_exhausted(region: RunningRegion) -> int:
    counted = json.loads(region.fogbank("drops", "--format", "json"))
    return sum(drop["packets"] for drop in counted if drop["reason"] == "ports-exhausted")


@pytest.fixture(scope="module")
def article(region: RunningRegion) -> RunningRegion:
    for line in STEPS.strip().splitlines():
        region.run(*shlex.split(line))
    region.gcloud(*DEPLOY, "--vpc-egress=all-traffic")
    return region


@pytest.fixture(scope="module")
def reserved(article: RunningRegion) -> str:
    return str(
        article.gcloud(
            "compute", "addresses", "describe", "cloud-run-origin-ip", f"--region={AN3}",
            "--format=value(address)",
        ).stdout.strip()
    )  # fmt: skip


def test_the_third_party_sees_the_reserved_address(article: RunningRegion, reserved: str) -> None:
    before = len(article.site_access_log("ifconfig.me"))
    answer = egress(article)
    assert answer["ok"], answer
    assert answer["body"].strip() == reserved
    assert [line["sourceIp"] for line in article.site_access_log("ifconfig.me")[before:]] == [reserved]


def test_datagrams_to_a_partners_own_port_carry_the_reserved_address(
    article: RunningRegion, reserved: str
) -> None:
    article.fogbank("internet", "add", "datagrams.example.com", "--port", "9000")
    answer = netcheck(article, "/udp?host=datagrams.example.com&port=9000&payload=hello&count=2")
    assert answer["ok"], answer
    seen = article.site_access_log("datagrams.example.com")
    assert [(line["method"], line["sourceIp"], line["status"]) for line in seen] == [("UDP", reserved, 0)] * 2
    article.fogbank("internet", "remove", "datagrams.example.com")


def test_every_hop_is_as_predicted(article: RunningRegion, reserved: str) -> None:
    text = article.fogbank("trace", "run/production", "http://ifconfig.me", "--probe", "--format", "json")
    trace = json.loads(text)
    assert trace["predicted"]["disposition"] == "DELIVERED", trace
    assert trace["differences"] == [], trace
    assert reserved in json.dumps(trace["observed"])


def test_a_partner_with_an_allow_list_lets_the_reserved_address_in_and_others_not(
    article: RunningRegion, reserved: str
) -> None:
    article.fogbank("internet", "add", "sms.example.com", "--allow", f"{reserved}/32")
    article.fogbank("internet", "add", "bank.example.com", "--allow", "192.0.2.200/32")
    assert egress(article, "sms.example.com")["status"] == 200
    assert egress(article, "bank.example.com")["status"] == 403
    assert [line["status"] for line in article.site_access_log("bank.example.com")] == [403]
    for host in ("sms.example.com", "bank.example.com"):
        article.fogbank("internet", "remove", host)


def test_the_router_reports_the_connector_s_port_blocks(article: RunningRegion, reserved: str) -> None:
    result = article.gcloud_json(
        "compute", "routers", "get-nat-mapping-info", "cloud-run-router", f"--region={AN3}"
    )
    mappings = [m for endpoint in result for m in endpoint["interfaceNatMappings"]]
    assert {m["sourceVirtualIp"] for m in mappings} == {"10.124.0.2", "10.124.0.3"}
    for mapping in mappings:
        address, _, ports = mapping["natIpPortRanges"][0].partition(":")
        first, last = map(int, ports.split("-"))
        assert (address, last - first + 1) == (reserved, 64)
    status = article.gcloud_json("compute", "routers", "get-status", "cloud-run-router", f"--region={AN3}")
    assert status["result"]["natStatus"][0]["numVmEndpointsWithNatMappings"] == 2


def test_the_65th_connection_to_one_endpoint_is_dropped_while_others_still_work(
    article: RunningRegion,
) -> None:
    article.fogbank("internet", "add", "busy.example.com", "--port", "7000")
    before = ports_exhausted(article)
    # Two connector instances have 64 ports each, so 140 connections must lose at least 12.
    held = netcheck(article, "/tcp?host=busy.example.com&port=7000&count=140&hold=1&timeout=2")
    assert 64 <= held["ok"] <= 128, held
    assert held["ok"] + held["failed"] == 140, held
    assert ports_exhausted(article) - before >= held["failed"]
    assert egress(article)["ok"]
    article.fogbank("clock", "advance", "2m")  # what TIME_WAIT holds a port for
    again = netcheck(article, "/tcp?host=busy.example.com&port=7000&count=30&hold=0&timeout=2")
    assert again["ok"] == 30, again
    article.fogbank("internet", "remove", "busy.example.com")


def test_without_nat_public_egress_times_out_while_private_addresses_still_answer(
    article: RunningRegion, reserved: str
) -> None:
    before = len(article.site_access_log("ifconfig.me"))
    article.gcloud(*DELETE_NAT, "--quiet")
    answer = egress(article)
    assert not answer["ok"]
    assert answer["error"] == "timeout", answer
    assert list(private_answer(article)["errors"]) == ["refused"]
    assert len(article.site_access_log("ifconfig.me")) == before
    article.gcloud(*CREATE_NAT)
    assert egress(article)["body"].strip() == reserved


def test_private_ranges_only_and_no_connector_show_an_address_of_the_pool(
    article: RunningRegion, reserved: str
) -> None:
    article.gcloud(*DEPLOY, "--vpc-egress=private-ranges-only")
    seen = egress(article)["body"].strip()
    assert seen.startswith("198.51.100.")
    assert list(private_answer(article)["errors"]) == ["refused"]
    article.gcloud("run", "services", "update", "production", f"--region={AN3}", "--clear-vpc-connector")
    assert egress(article)["body"].strip().startswith("198.51.100.")
    assert list(private_answer(article)["errors"]) == ["timeout"]
    article.gcloud(*DEPLOY, "--vpc-egress=all-traffic")
    assert egress(article)["body"].strip() == reserved


def test_a_nat_that_selects_another_subnet_does_not_serve_the_connector(
    article: RunningRegion, reserved: str
) -> None:
    article.gcloud(*DELETE_NAT, "--quiet")
    article.gcloud(
        "compute", "networks", "subnets", "create", "elsewhere", "--range=10.125.0.0/24",
        "--network=default", f"--region={AN3}",
    )  # fmt: skip
    article.gcloud(*[part.replace("ranges=cloud-run-subnet", "ranges=elsewhere") for part in CREATE_NAT])
    assert egress(article)["error"] == "timeout"
    article.gcloud(*DELETE_NAT, "--quiet")
    article.gcloud("compute", "networks", "subnets", "delete", "elsewhere", f"--region={AN3}", "--quiet")
    article.gcloud(*CREATE_NAT)
    assert egress(article)["body"].strip() == reserved


def test_a_reserved_address_that_no_nat_uses_is_never_seen(article: RunningRegion) -> None:
    article.gcloud("compute", "addresses", "create", "idle-ip", f"--region={AN3}")
    idle = article.gcloud_json("compute", "addresses", "describe", "idle-ip", f"--region={AN3}")
    assert idle["status"] == "RESERVED"
    egress(article)
    assert idle["address"] not in {line["sourceIp"] for line in article.site_access_log()}
    article.gcloud("compute", "addresses", "delete", "idle-ip", f"--region={AN3}", "--quiet")


@pytest.mark.parametrize(
    ("command", "user"),
    [
        (
            ("compute", "addresses", "delete", "cloud-run-origin-ip", f"--region={AN3}"),
            f"projects/demo/regions/{AN3}/routers/cloud-run-router",
        ),
        (
            ("compute", "networks", "subnets", "delete", "cloud-run-subnet", f"--region={AN3}"),
            f"projects/demo/locations/{AN3}/connectors/cloud-run-connector",
        ),
        (
            ("compute", "networks", "delete", "default"),
            f"projects/demo/locations/{AN3}/connectors/cloud-run-connector",
        ),
    ],
    ids=["address", "subnet", "network"],
)
def test_what_is_in_use_is_not_deleted(article: RunningRegion, command: tuple[str, ...], user: str) -> None:
    refused = article.gcloud(*command, "--quiet", check=False)
    assert refused.returncode != 0
    assert f"is already being used by '{user}'" in refused.stderr


def test_a_nat_made_first_serves_what_comes_later_and_in_the_right_order_all_can_be_deleted(
    new_region: Callable[..., RunningRegion],
) -> None:
    region = new_region("--ephemeral")
    subnet, connector, router, address, _nat = STEPS.strip().splitlines()
    nat = (
        f"gcloud compute routers nats create cloud-run-nat --router=cloud-run-router --region={AN3} "
        "--nat-all-subnet-ip-ranges --nat-external-ip-pool=cloud-run-origin-ip"
    )
    for line in (router, address, nat, subnet, connector):
        region.run(*shlex.split(line))
    region.gcloud(*DEPLOY, "--vpc-egress=all-traffic")
    addresses = region.gcloud_json("compute", "addresses", "list")
    assert egress(region)["body"].strip() == addresses[0]["address"]
    for command in (
        ("run", "services", "delete", "production"),
        DELETE_NAT[:-1],
        ("compute", "addresses", "delete", "cloud-run-origin-ip"),
        ("compute", "routers", "delete", "cloud-run-router"),
        ("compute", "networks", "vpc-access", "connectors", "delete", "cloud-run-connector"),
        ("compute", "networks", "subnets", "delete", "cloud-run-subnet"),
    ):
        region.gcloud(*command, f"--region={AN3}", "--quiet")
    assert region.gcloud_json("compute", "addresses", "list") == []
    assert region.gcloud_json("compute", "routers", "list") == []
    assert json.loads(region.fogbank("status", "--format", "json"))["instances"] == []
