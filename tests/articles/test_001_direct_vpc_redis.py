"""Article 001 with real gcloud and a real Redis: by a connector, then by Direct VPC egress.

The story is told once, as the article has it; each claim is a test of what was seen on the way.
"""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

import pytest

from fogbank.testing import RunningRegion, end_region, fetch_servers, short_folder, start_region

AN1 = "asia-northeast1"
VISITORS = "us-docker.pkg.dev/fogbank/samples/visitors"
CONNECTOR, DIRECT = IPv4Network("10.15.0.0/28"), IPv4Network("10.8.0.0/24")
NETWORK = """
compute networks create run-vpc --subnet-mode=custom
compute networks subnets create run-connector-subnet --network=run-vpc --region=asia-northeast1 --range=10.15.0.0/28
compute networks subnets create run-direct-vpc-egress --network=run-vpc --region=asia-northeast1 --range=10.8.0.0/24 --enable-flow-logs --logging-aggregation-interval=interval-10-min --logging-flow-sampling=0.5 --logging-metadata=include-all
redis instances create run-memory-cache --size=1 --region=asia-northeast1 --network=run-vpc
"""  # noqa: E501
DEPLOY = f"run deploy run-service --image={VISITORS} --no-allow-unauthenticated --port=8080 --region={AN1}"
CREATE_CONNECTOR = f"""
compute networks vpc-access connectors create run-connector --region={AN1} --subnet run-connector-subnet
--min-instances 2 --max-instances 3 --machine-type f1-micro
"""
BY_CONNECTOR = f"run services update run-service --region={AN1} --vpc-connector=run-connector --set-env-vars"
BY_DIRECT_VPC = f"""
run services update run-service --region={AN1} --clear-vpc-connector --network=run-vpc
--subnet=run-direct-vpc-egress --vpc-egress=private-ranges-only
"""

pytestmark = [pytest.mark.slow(25), pytest.mark.netns, pytest.mark.xdist_group("article-001")]


@dataclass
class Story:
    """What was seen: pages by when they were asked for, and the sources that Redis saw."""

    region: RunningRegion
    url: str = ""
    pages: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def gcloud(self, line: str) -> str:
        return str(self.region.gcloud(*shlex.split(line), "--quiet").stdout)

    def read(self, when: str, path: str, *, signed: bool = True) -> None:
        token = self.gcloud("auth print-identity-token").strip()
        header = ("--header", f"Authorization: Bearer {token}") if signed else ()
        self.pages[when] = self.region.curl(*header, self.url + path)

    def trace(self, when: str, host: str) -> None:
        shown = self.region.fogbank("trace", "run/run-service", f"{host}:6379", "--probe", "--format", "json")
        trace = json.loads(shown)
        assert trace["differences"] == [], trace
        (arrived,) = {
            each["source"].partition(":")[0]
            for each in trace["observed"]["sightings"]
            if each["netns"].startswith("instance/redis-")
        }
        self.sources[when] = arrived


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """Tell the article, once."""
    fetch_servers("redis")
    region = start_region(short_folder(), "--ephemeral", "--region", AN1)
    told = Story(region)
    for line in NETWORK.strip().splitlines():
        told.gcloud(line)
    told.gcloud(DEPLOY)
    describe = f"run services describe run-service --region={AN1} --format=value(status.url)"
    told.url = told.gcloud(describe).strip()
    told.read("without a token", "/", signed=False)
    told.read("deployed", "/")
    host = told.gcloud(
        f"redis instances describe run-memory-cache --region={AN1} --format=value(host)"
    ).strip()
    told.gcloud(CREATE_CONNECTOR)
    told.gcloud(f"{BY_CONNECTOR} VPC_REDISHOST={host},VPC_REDISPORT=6379")
    told.read("by the connector", "/redis")
    told.trace("by the connector", host)
    told.gcloud(BY_DIRECT_VPC)
    told.read("by Direct VPC egress", "/redis")
    told.trace("by Direct VPC egress", host)
    yield told
    end_region(region)


def test_nobody_gets_in_without_a_token(story: Story) -> None:
    assert "<title>403 Forbidden</title>" in story.pages["without a token"]


def test_the_application_answers_with_gclouds_identity_token(story: Story) -> None:
    assert json.loads(story.pages["deployed"]) == {"Hello": "World"}


def test_redis_counts_the_first_visitor_by_the_connector(story: Story) -> None:
    assert story.pages["by the connector"].strip() == "Visitor number: 1"
    assert IPv4Address(story.sources["by the connector"]) in CONNECTOR


def test_redis_counts_the_second_visitor_by_direct_vpc_egress(story: Story) -> None:
    assert story.pages["by Direct VPC egress"].strip() == "Visitor number: 2"
    assert IPv4Address(story.sources["by Direct VPC egress"]) in DIRECT


def test_direct_vpc_egress_takes_addresses_of_the_subnet_in_blocks(story: Story) -> None:
    listed = story.gcloud(
        "compute addresses list --filter=purpose=SERVERLESS --format=value(address,prefixLength)"
    )
    blocks = [IPv4Network("/".join(line.split())) for line in listed.splitlines()]
    assert blocks
    assert all(block.prefixlen == 28 and block.subnet_of(DIRECT) for block in blocks)


def test_a_connector_never_gets_smaller(story: Story) -> None:
    smaller = f"compute networks vpc-access connectors update run-connector --region={AN1} --max-instances 2"
    done = story.region.gcloud(*shlex.split(smaller), "--quiet", check=False)
    assert done.returncode != 0
