"""Services call services by their run.app names: by the egress pool, through a VPC, and themselves."""

import json
from collections.abc import Callable

import pytest
from tests.loaded_gcloud import LoadedGcloud, LoadedRegion

from fogbank.testing import RunningRegion

pytestmark = [pytest.mark.slow(12), pytest.mark.netns]

PLACE = "--region=asia-northeast3"
NETCHECK = "--image=us-docker.pkg.dev/fogbank/samples/netcheck"


@pytest.fixture
def region(new_region: Callable[..., RunningRegion], gcloud: LoadedGcloud) -> LoadedRegion:
    """Start a region of its own: the test makes a gateway for all ranges of the default network."""
    region = new_region("--ephemeral")
    return LoadedRegion(region.name, region.home, region.environment, gcloud)


def deploy(region: RunningRegion, name: str, *flags: str) -> str:
    shown = region.gcloud_json("run", "deploy", name, PLACE, *flags)
    url: str = shown["status"]["url"]
    return url


def test_services_call_services(region: RunningRegion) -> None:
    anybody, nobody = "--allow-unauthenticated", "--no-allow-unauthenticated"
    opened = deploy(region, "in-open", NETCHECK, anybody)
    private = deploy(region, "in-private", NETCHECK, nobody)
    internal = deploy(region, "in-internal", NETCHECK, anybody, "--ingress=internal")
    account = "in-caller@demo.iam.gserviceaccount.com"  # unlike the default account, it is no editor
    region.gcloud("iam", "service-accounts", "create", "in-caller")
    caller = deploy(region, "in-caller", NETCHECK, anybody, f"--service-account={account}")

    def ask(url: str, by: str = "", **more: str) -> int:
        query = "&".join(f"{key}={value}" for key, value in {"url": url, **more}.items())
        answer = json.loads(region.curl(f"{by or caller}/egress?{query}"))
        assert answer["ok"], answer
        status: int = answer["status"]
        return status

    assert ask(opened) == 200
    assert ask(caller) == 200, "a service cannot call itself"
    assert ask(opened.replace("https:", "http:")) == 302
    assert ask("https://nothing-abc-du.a.run.app") == 404
    assert ask("https://run.googleapis.com/v2/projects/demo/locations/-/services") == 401, (
        "an API needs a token"
    )
    assert ask(private) == 403
    assert ask(private, id_token="1") == 403, "the caller's account may not invoke it yet"
    region.gcloud("run", "services", "add-iam-policy-binding", "in-private", PLACE,
                  f"--member=serviceAccount:{account}", "--role=roles/run.invoker")  # fmt: skip
    assert ask(private, id_token="1") == 200
    assert ask(internal) == 404, "the egress pool is not inside"

    where = ("--network=default", PLACE)
    region.gcloud("compute", "networks", "vpc-access", "connectors", "create", "in", *where,
                  "--range=10.8.0.0/28", "--min-instances=2", "--max-instances=3")  # fmt: skip
    region.gcloud("compute", "routers", "create", "in", *where)
    region.gcloud("compute", "routers", "nats", "create", "in", "--router=in", PLACE,
                  "--auto-allocate-nat-external-ips", "--nat-all-subnet-ip-ranges")  # fmt: skip
    through = deploy(region, "in-vpc", NETCHECK, anybody, "--vpc-connector=in", "--vpc-egress=all-traffic")
    assert ask(internal, through) == 200
    partly = deploy(region, "in-vpc", NETCHECK, anybody, "--vpc-connector=in",
                    "--vpc-egress=private-ranges-only")  # fmt: skip
    assert ask(internal, partly) == 404, "run.app is no private range"
    region.gcloud("dns", "managed-zones", "create", "in", "--dns-name=corp.example.", "--description=",
                  "--visibility=private", "--networks=default")  # fmt: skip
    region.gcloud("dns", "record-sets", "create", "ip.corp.example.", "--zone=in", "--type=CNAME", "--ttl=60",
                  "--rrdatas=ifconfig.me.")  # fmt: skip

    def resolves(by: str) -> bool:
        answer = json.loads(region.curl(f"{by}/egress?url=http://ip.corp.example/"))
        return bool(answer["ok"])

    assert resolves(partly), "a network's private zone counts for services with a connector into it"
    assert not resolves(caller), "and for nobody else"
    region.gcloud("dns", "record-sets", "create", "db.corp.example.", "--zone=in", "--type=A", "--ttl=60",
                  "--rrdatas=10.8.0.3")  # fmt: skip
    assert "10.8.0.3" in region.fogbank("trace", "run/in-vpc", "db.corp.example:6379")
    traced = region.fogbank("trace", "run/in-caller", opened, "--probe")
    assert "192.0.2.1" in traced


def test_a_subnetwork_with_private_google_access_needs_no_gateway(region: RunningRegion) -> None:
    internal = deploy(region, "pg-internal", NETCHECK, "--allow-unauthenticated", "--ingress=internal")
    subnet = ("pg-subnet", PLACE)
    region.gcloud("compute", "networks", "subnets", "create", *subnet, "--network=default",
                  "--range=10.8.1.0/28")  # fmt: skip
    region.gcloud("compute", "networks", "vpc-access", "connectors", "create", "pg", PLACE,
                  "--subnet=pg-subnet", "--min-instances=2", "--max-instances=3")  # fmt: skip
    through = deploy(region, "pg-caller", NETCHECK, "--allow-unauthenticated", "--vpc-connector=pg",
                     "--vpc-egress=all-traffic")  # fmt: skip

    def ask(url: str) -> object:
        answer = json.loads(region.curl(f"{through}/egress?timeout=2&url={url}"))
        return answer["status"] if answer["ok"] else None

    assert ask(internal) is None
    region.gcloud("compute", "networks", "subnets", "update", *subnet, "--enable-private-ip-google-access")
    assert ask(internal) == 200
    assert ask("https://run.googleapis.com/v2/projects/demo/locations/-/services") == 401
    assert ask("http://ifconfig.me") is None, "the internet still needs a gateway"
    traced = region.fogbank("trace", "run/pg-caller", internal, "--probe")
    assert "10.8.1." in traced
    region.gcloud("compute", "networks", "subnets", "update", *subnet, "--no-enable-private-ip-google-access")
    assert ask(internal) is None
