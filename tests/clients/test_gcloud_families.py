"""Every family of gcloud commands that the region's services answer, with the real gcloud, loaded once.

A test walks through the life of one kind of resource and reads what gcloud prints. Egress, credentials and
refusals of what is in use have their own tests.
"""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.loaded_gcloud import LoadedGcloud, LoadedRegion

from fogbank.dataplane.linux.spanner_emulator import emulator_folder
from fogbank.testing import RunningRegion

AN1, AN3 = "asia-northeast1", "asia-northeast3"
IN1, IN3 = f"--region={AN1}", f"--region={AN3}"
NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"
HELLO = "us-docker.pkg.dev/cloudrun/container/hello"
V1 = "https://www.googleapis.com/compute/v1/projects/demo"

pytestmark = [pytest.mark.slow(12), pytest.mark.netns]


@pytest.fixture
def region(region: RunningRegion, gcloud: LoadedGcloud) -> LoadedRegion:
    """Give the session's region with a gcloud that need not start anew for each command."""
    return LoadedRegion(region.name, region.home, region.environment, gcloud)


def values(region: RunningRegion, *command: str) -> list[list[str]]:
    """Run a command whose format is ``value(…)``; give its lines, split at tabs."""
    return [line.split("\t") for line in region.gcloud(*command).stdout.splitlines()]


def refused(region: RunningRegion, *command: str) -> str:
    """Run a command that must fail; give what gcloud says."""
    done = region.gcloud(*command, check=False)
    assert done.returncode == 1, done.stdout
    return done.stderr


def test_networks(region: RunningRegion) -> None:
    networks = ("compute", "networks")
    region.gcloud(*networks, "create", "fam-custom", "--subnet-mode=custom")
    (auto,) = region.gcloud_json(*networks, "create", "fam-auto", "--subnet-mode=auto", "--mtu=1500")
    assert auto["mtu"] == 1500
    assert auto["x_gcloud_subnet_mode"] == "AUTO"
    assert f"{V1}/regions/{AN3}/subnetworks/fam-auto" in auto["subnetworks"]
    region.gcloud(*networks, "update", "fam-custom", "--bgp-routing-mode=global")
    custom = region.gcloud_json(*networks, "describe", "fam-custom")
    assert (custom["x_gcloud_subnet_mode"], custom["x_gcloud_bgp_routing_mode"]) == ("CUSTOM", "GLOBAL")
    assert custom["selfLink"] == f"{V1}/global/networks/fam-custom"
    # gcloud asks before it changes an MTU, and takes silence for no.
    assert "Aborted" in refused(region, *networks, "update", "fam-custom", "--mtu=1500")
    region.gcloud(*networks, "delete", "fam-custom", "fam-auto")
    assert ["default"] in values(region, *networks, "list", "--format=value(name)")
    assert "was not found" in refused(region, *networks, "delete", "fam-auto")


def test_network_peerings(region: RunningRegion) -> None:
    networks, peerings = ("compute", "networks"), ("compute", "networks", "peerings")
    for number in (1, 2):
        region.gcloud(*networks, "create", f"fam-peer{number}", "--subnet-mode=custom")
        subnet = (f"fam-peer{number}", f"--network=fam-peer{number}", f"--range=10.{number}.0.0/24", IN3)
        region.gcloud(*networks, "subnets", "create", *subnet)
    one = ("--network=fam-peer1", "--peer-network=fam-peer2", "--import-custom-routes")
    region.gcloud(*peerings, "create", "one", *one)
    state = "--format=value(peerings[].name,peerings[].state)"
    assert values(region, *peerings, "list", "--network=fam-peer1", state) == [["one", "INACTIVE"]]
    region.gcloud(*peerings, "create", "two", "--network=fam-peer2", "--peer-network=fam-peer1")
    assert values(region, *peerings, "list", "--network=fam-peer2", state) == [["two", "ACTIVE"]]
    region.gcloud(*peerings, "update", "two", "--network=fam-peer2", "--export-custom-routes")
    routed = ("one", "--network=fam-peer1", f"--region={AN3}", "--direction=INCOMING")
    listed = region.gcloud(*peerings, "list-routes", *routed).stdout
    assert listed.splitlines()[1].split() == ["10.2.0.0/24", "SUBNET_PEERING_ROUTE", AN3, "0", "accepted"]
    assert "already being used by" in refused(region, *networks, "delete", "fam-peer1")
    clash = ("fam-clash", "--network=fam-peer1", "--range=10.2.0.0/28", IN3)
    assert "conflicts with" in refused(region, *networks, "subnets", "create", *clash)
    region.gcloud(*peerings, "delete", "two", "--network=fam-peer2")
    assert values(region, *peerings, "list", "--network=fam-peer1", state) == [["one", "INACTIVE"]]
    region.gcloud(*peerings, "delete", "one", "--network=fam-peer1")
    for number in (1, 2):
        region.gcloud(*networks, "subnets", "delete", f"fam-peer{number}", IN3)
        region.gcloud(*networks, "delete", f"fam-peer{number}")


def test_network_firewall_policies(region: RunningRegion) -> None:
    policies = ("compute", "network-firewall-policies")
    region.gcloud("compute", "networks", "create", "fam-policies", "--subnet-mode=custom")
    for scope, where in (("--global", "--global-firewall-policy"), (IN3, f"--firewall-policy-region={AN3}")):
        rule = ("--firewall-policy=fam", where)
        region.gcloud(*policies, "create", "fam", scope, "--description=first")
        region.gcloud(
            *policies, "rules", "create", "100", *rule, "--action=deny", "--direction=EGRESS",
            "--layer4-configs=tcp:25,udp", "--dest-ip-ranges=0.0.0.0/0", "--enable-logging",
        )  # fmt: skip
        region.gcloud(*policies, "rules", "update", "100", *rule, "--action=goto_next", "--new-priority=90")
        (changed,) = region.gcloud_json(*policies, "rules", "describe", "90", *rule)
        assert changed["action"] == "goto_next"
        assert changed["match"]["layer4Configs"] == [
            {"ipProtocol": "tcp", "ports": ["25"]},
            {"ipProtocol": "udp"},
        ]
        association = (*policies, "associations", "create", *rule, "--network=fam-policies", "--name=fam")
        region.gcloud(*association)
        assert "already being used by" in refused(region, *policies, "delete", "fam", scope)
        region.gcloud(*policies, "update", "fam", scope, "--description=second")
        shown = region.gcloud_json(*policies, "describe", "fam", scope)
        shown = shown[0] if isinstance(shown, list) else shown
        assert (shown["description"], shown["associations"][0]["name"]) == ("second", "fam")
    effective = region.gcloud_json("compute", "networks", "get-effective-firewalls", "fam-policies")
    assert [each["type"] for each in effective["firewallPolicys"]] == ["NETWORK"]
    effective = region.gcloud_json(*policies, "get-effective-firewalls", "--network=fam-policies", IN3)
    assert {each["type"] for each in effective["firewallPolicys"]} == {"NETWORK", "NETWORK_REGIONAL"}
    assert len(values(region, *policies, "list", "--format=value(name)", "--filter=name=fam")) == 2
    for scope, where in (("--global", "--global-firewall-policy"), (IN3, f"--firewall-policy-region={AN3}")):
        region.gcloud(*policies, "associations", "delete", "--name=fam", "--firewall-policy=fam", where)
        region.gcloud(*policies, "delete", "fam", scope)
    region.gcloud("compute", "networks", "delete", "fam-policies")


def test_subnets(region: RunningRegion) -> None:
    subnets, table = ("compute", "networks", "subnets"), "--format=value(name,ipCidrRange)"
    region.gcloud("compute", "networks", "create", "fam-subnets", "--subnet-mode=custom")
    region.gcloud(
        *subnets, "create", "fam-a", "--network=fam-subnets", "--range=10.5.0.0/24", IN1,
        "--enable-flow-logs", "--logging-aggregation-interval=interval-10-min",
        "--logging-flow-sampling=0.5", "--logging-metadata=include-all",
        "--secondary-range=pods=10.8.0.0/20,services=10.9.0.0/24",
    )  # fmt: skip
    region.gcloud(*subnets, "create", "fam-b", "--network=fam-subnets", "--range=10.6.0.0/24", IN3)
    made = region.gcloud_json(*subnets, "describe", "fam-a", IN1)
    assert made["gatewayAddress"] == "10.5.0.1"
    assert made["logConfig"]["aggregationInterval"] == "INTERVAL_10_MIN"
    assert [each["rangeName"] for each in made["secondaryIpRanges"]] == ["pods", "services"]
    region.gcloud(*subnets, "update", "fam-a", IN1, "--enable-private-ip-google-access")
    region.gcloud(*subnets, "update", "fam-a", IN1, "--no-enable-flow-logs")
    region.gcloud(*subnets, "expand-ip-range", "fam-a", IN1, "--prefix-length=20")
    assert values(region, *subnets, "list", f"--regions={AN3}", "--filter=name~^fam", table) == [
        ["fam-b", "10.6.0.0/24"]
    ]
    changed, other = region.gcloud_json(*subnets, "list", "--network=fam-subnets", "--sort-by=name")
    assert (changed["ipCidrRange"], changed["privateIpGoogleAccess"]) == ("10.5.0.0/20", True)
    assert changed["logConfig"]["enable"] is False
    assert other["region"] == f"{V1}/regions/{AN3}"
    said = refused(region, *subnets, "create", "fam-c", "--network=fam-subnets", "--range=10.5.1.0/24", IN3)
    assert "10.5.1.0/24" in said
    region.gcloud(*subnets, "delete", "fam-a", IN1)
    region.gcloud(*subnets, "delete", "fam-b", IN3)
    region.gcloud("compute", "networks", "delete", "fam-subnets")


def test_addresses(region: RunningRegion) -> None:
    addresses = ("compute", "addresses")
    region.gcloud(*addresses, "create", "fam-1", "fam-2", IN3)
    region.gcloud(*addresses, "create", "fam-global", "--global")
    region.gcloud(*addresses, "create", "fam-inside", IN3, "--subnet=default", "--addresses=10.178.0.50")
    listed = region.gcloud_json(*addresses, "list", "--filter=name~^fam")
    kinds = {each["name"]: (each["addressType"], each["status"]) for each in listed}
    assert kinds == {
        "fam-1": ("EXTERNAL", "RESERVED"),
        "fam-2": ("EXTERNAL", "RESERVED"),
        "fam-global": ("EXTERNAL", "RESERVED"),
        "fam-inside": ("INTERNAL", "RESERVED"),
    }
    assert len({each["address"] for each in listed}) == 4
    only = "--format=value(address,networkTier)"
    [[address, tier]] = values(region, *addresses, "describe", "fam-1", IN3, only)
    assert address.startswith("203.0.113.")
    assert tier == "PREMIUM"
    inside = ("--filter=addressType=INTERNAL AND region:" + AN3, "--format=value(name,address)")
    assert ["fam-inside", "10.178.0.50"] in values(region, *addresses, "list", *inside)
    # Several at once go to the batch endpoint; one that fails does not keep the others.
    assert "'projects/demo/regions/asia-northeast3/addresses/fam-3' was not found" in refused(
        region, *addresses, "delete", "fam-1", "fam-2", "fam-3", "fam-inside", IN3
    )
    region.gcloud(*addresses, "delete", "fam-global", "--global")
    assert values(region, *addresses, "list", "--filter=name~^fam", "--format=value(name)") == []


def test_routers_and_nats(region: RunningRegion) -> None:
    # Not where the article has its gateway: one that serves all subnetworks tolerates no other.
    routers, nat = ("compute", "routers"), ("--router=fam-router", IN1)
    region.gcloud(*routers, "create", "fam-router", "--network=default", IN1, "--asn=64512")
    region.gcloud("compute", "addresses", "create", "fam-nat", IN1)
    region.gcloud(
        *routers, "nats", "create", "fam", *nat, "--auto-allocate-nat-external-ips",
        "--nat-all-subnet-ip-ranges", "--enable-logging", "--log-filter=ERRORS_ONLY",
    )  # fmt: skip
    (listed,) = region.gcloud_json(*routers, "nats", "list", *nat)
    assert listed["natIpAllocateOption"] == "AUTO_ONLY"
    assert listed["logConfig"] == {"enable": True, "filter": "ERRORS_ONLY"}
    region.gcloud(
        *routers, "nats", "update", "fam", *nat, "--nat-external-ip-pool=fam-nat",
        "--nat-custom-subnet-ip-ranges=default", "--min-ports-per-vm=128", "--udp-idle-timeout=40s",
        "--tcp-time-wait-timeout=60s", "--tcp-established-idle-timeout=300s",
        "--tcp-transitory-idle-timeout=31s", "--icmp-idle-timeout=20s", "--no-enable-logging",
    )  # fmt: skip
    changed = region.gcloud_json(*routers, "nats", "describe", "fam", *nat)
    assert changed["natIps"] == [f"{V1}/regions/{AN1}/addresses/fam-nat"]
    assert changed["sourceSubnetworkIpRangesToNat"] == "LIST_OF_SUBNETWORKS"
    assert changed["subnetworks"][0]["name"].endswith(f"regions/{AN1}/subnetworks/default")
    assert (changed["minPortsPerVm"], changed["tcpTimeWaitTimeoutSec"]) == (128, 60)
    assert changed["logConfig"]["enable"] is False
    assert region.gcloud_json(*routers, "get-nat-mapping-info", "fam-router", IN1) == []
    about = region.gcloud_json(*routers, "get-nat-ip-info", "fam-router", IN1)["result"]
    [[used]] = [each["natIpInfoMappings"] for each in about]
    assert (used["mode"], used["usage"]) == ("MANUAL", "UNUSED")
    status = region.gcloud_json(*routers, "get-status", "fam-router", IN1)["result"]["natStatus"]
    assert status[0]["userAllocatedNatIps"] == [used["natIp"]]
    region.gcloud(*routers, "nats", "delete", "fam", *nat)
    assert region.gcloud_json(*routers, "describe", "fam-router", IN1)["bgp"]["asn"] == 64512
    assert "fam-router" in region.gcloud(*routers, "list", "--filter=network:default").stdout
    region.gcloud(*routers, "delete", "fam-router", IN1)
    region.gcloud("compute", "addresses", "delete", "fam-nat", IN1)


def test_routes(region: RunningRegion) -> None:
    region.gcloud(
        "compute", "routes", "create", "fam-route", "--network=default",
        "--destination-range=172.20.0.0/16", "--next-hop-gateway=default-internet-gateway",
        "--priority=500", "--tags=web",
    )  # fmt: skip
    table = "--format=value(destRange,nextHopGateway.basename(),priority)"
    listed = values(region, "compute", "routes", "list", "--filter=network:default", table)
    assert ["172.20.0.0/16", "default-internet-gateway", "500"] in listed
    assert ["0.0.0.0/0", "default-internet-gateway", "1000"] in listed
    assert ["10.178.0.0/20", "", "0"] in listed
    assert region.gcloud_json("compute", "routes", "describe", "fam-route")["tags"] == ["web"]
    region.gcloud("compute", "routes", "delete", "fam-route")


def test_firewall_rules(region: RunningRegion) -> None:
    rules = ("compute", "firewall-rules")
    region.gcloud(
        *rules, "create", "fam-allow", "--network=default", "--allow=tcp:80,tcp:443,icmp",
        "--source-ranges=10.0.0.0/8", "--target-tags=web", "--priority=900", "--enable-logging",
    )  # fmt: skip
    region.gcloud(
        *rules, "create", "fam-out", "--direction=EGRESS", "--action=DENY", "--rules=all",
        "--destination-ranges=192.0.2.0/25", "--disabled",
    )  # fmt: skip
    region.gcloud(*rules, "create", "fam-deny", "--action=DENY", "--rules=udp:53", "--source-tags=a,b")
    region.gcloud(*rules, "update", "fam-allow", "--allow=tcp:8080", "--description=changed")
    table = region.gcloud(*rules, "list", "--filter=name~^fam", "--sort-by=name").stdout.splitlines()
    assert [line.split() for line in table[1:4]] == [
        ["fam-allow", "default", "INGRESS", "900", "tcp:8080", "False"],
        ["fam-deny", "default", "INGRESS", "1000", "udp:53", "False"],
        ["fam-out", "default", "EGRESS", "1000", "all", "True"],
    ]
    changed = region.gcloud_json(*rules, "describe", "fam-allow")
    assert (changed["description"], changed["targetTags"]) == ("changed", ["web"])
    assert changed["allowed"] == [{"IPProtocol": "tcp", "ports": ["8080"]}]
    assert changed["logConfig"]["enable"] is True
    region.gcloud(*rules, "delete", "fam-allow", "fam-out", "fam-deny")


def test_connectors(region: RunningRegion) -> None:
    connectors = ("compute", "networks", "vpc-access", "connectors")
    region.gcloud("compute", "networks", "subnets", "create", "fam-28", "--network=default",
                  "--range=10.9.0.0/28", IN3)  # fmt: skip
    region.gcloud(*connectors, "create", "fam-range", IN3, "--range=10.8.0.0/28", "--network=default",
                  "--min-instances=2", "--max-instances=4", "--machine-type=f1-micro")  # fmt: skip
    region.gcloud(*connectors, "create", "fam-subnet", IN3, "--subnet=fam-28")
    listed = region.gcloud_json(*connectors, "list", IN3, "--filter=name:fam")
    known = {each["name"].rpartition("/")[2]: each for each in listed}
    assert {each["state"] for each in known.values()} == {"READY"}
    assert known["fam-range"]["ipCidrRange"] == "10.8.0.0/28"
    assert (known["fam-subnet"]["minInstances"], known["fam-subnet"]["maxInstances"]) == (2, 10)
    region.gcloud(*connectors, "update", "fam-range", IN3, "--max-instances=6", "--machine-type=e2-micro")
    changed = region.gcloud_json(*connectors, "describe", "fam-range", IN3)
    assert (changed["maxInstances"], changed["machineType"]) == (6, "e2-micro")
    operations = values(
        region, "compute", "networks", "vpc-access", "operations", "list", IN3,
        "--format=value(metadata.method.basename(),done)",
    )  # fmt: skip
    assert {line[1] for line in operations} == {"True"}
    for name in ("fam-range", "fam-subnet"):
        region.gcloud(*connectors, "delete", name, IN3)
    region.gcloud("compute", "networks", "subnets", "delete", "fam-28", IN3)


def test_run_services(region: RunningRegion, tmp_path: Path) -> None:
    services, where = ("run", "services"), ("fam", IN3)
    deployed = region.gcloud(
        "run", "deploy", *where, f"--image={NETCHECK}", "--no-allow-unauthenticated", "--set-env-vars=A=1,B=2"
    )
    assert "is serving 100 percent of traffic" in plain(deployed.stderr)
    region.gcloud(
        *services, "update", *where, "--update-env-vars=C=3", "--memory=1Gi", "--cpu=2",
        "--min-instances=1", "--max-instances=5", "--concurrency=10", "--timeout=60",
    )  # fmt: skip
    shown = region.gcloud_json(*services, "describe", *where)
    template = shown["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert [(each["name"], each["value"]) for each in container["env"]] == [
        ("A", "1"),
        ("B", "2"),
        ("C", "3"),
    ]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "1Gi"}
    assert "Total cpu < 1 is not supported" in refused(region, *services, "update", *where, "--cpu=0.5")
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/maxScale"] == "5"
    assert (template["spec"]["containerConcurrency"], template["spec"]["timeoutSeconds"]) == (10, 60)
    revisions = values(region, "run", "revisions", "list", "--service=fam", IN3, "--format=value(name)")
    (new,), (old,) = revisions
    region.gcloud(*services, "update-traffic", *where, f"--to-revisions={old}=100")
    region.gcloud(*services, "update-traffic", *where, f"--to-revisions={new}=30,{old}=70")
    traffic = region.gcloud_json(*services, "describe", *where)["status"]["traffic"]
    assert {each["revisionName"]: each["percent"] for each in traffic} == {new: 30, old: 70}
    region.gcloud(*services, "update-traffic", *where, "--to-latest", "--update-tags=blue=LATEST")
    revision = region.gcloud_json("run", "revisions", "describe", old, IN3)
    assert revision["metadata"]["labels"]["serving.knative.dev/service"] == "fam"
    assert revision["status"]["imageDigest"].startswith(f"{NETCHECK}@sha256:")
    region.gcloud("run", "revisions", "delete", old, IN3)
    assert "is serving" not in refused(region, "run", "revisions", "delete", new, IN3)
    for place in ((), (IN3,)):
        assert shown["status"]["url"] in region.gcloud(*services, "list", *place).stdout


def test_run_policies_yaml_and_deletion(region: RunningRegion, tmp_path: Path) -> None:
    services = ("run", "services")
    document = tmp_path / "service.yaml"
    document.write_text(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: fam-yaml}\nspec:\n  template:\n"
        "    metadata: {annotations: {autoscaling.knative.dev/maxScale: '3'}}\n    spec:\n"
        f"      containers: [{{image: {HELLO}, env: [{{name: A, value: x}}]}}]\n"
    )
    region.gcloud(*services, "replace", str(document), IN3)
    grant = ("fam-yaml", IN3, "--member=allUsers", "--role=roles/run.invoker")
    region.gcloud(*services, "add-iam-policy-binding", *grant)
    shown = region.gcloud(*services, "describe", "fam-yaml", IN3, "--format=export").stdout
    document.write_text(shown.replace("value: x", "value: z"))
    region.gcloud(*services, "replace", str(document), IN3)
    assert region.gcloud_json(*services, "get-iam-policy", "fam-yaml", IN3)["bindings"] == [
        {"members": ["allUsers"], "role": "roles/run.invoker"}
    ]
    region.gcloud(*services, "remove-iam-policy-binding", *grant)
    assert "bindings" not in region.gcloud_json(*services, "get-iam-policy", "fam-yaml", IN3)
    region.gcloud(*services, "delete", "fam-yaml", IN3)
    assert "Cannot find service [fam-yaml]" in refused(region, *services, "describe", "fam-yaml", IN3)
    assert [AN3] in values(region, "run", "regions", "list", "--format=value(locationId)")


def plain(text: str) -> str:
    """Take gcloud's bold type off."""
    return text.replace("\x1b[1m", "").replace("\x1b[m", "")


def test_projects_and_services(region: RunningRegion) -> None:
    region.gcloud("projects", "create", "fam-project", "--name=Of a family", "--labels=env=test")
    assert ["fam-project", "Of a family"] in values(
        region, "projects", "list", "--format=value(projectId,name)"
    )
    shown = region.gcloud_json("projects", "describe", "fam-project")
    assert (shown["lifecycleState"], shown["labels"]) == ("ACTIVE", {"env": "test"})
    grant = ("fam-project", "--member=user:me@example.com", "--role=roles/run.developer")
    bound = region.gcloud_json("projects", "add-iam-policy-binding", *grant)["bindings"]
    assert {"members": ["user:me@example.com"], "role": "roles/run.developer"} in bound
    assert region.gcloud_json("projects", "get-iam-policy", "fam-project")["bindings"] == bound
    left = region.gcloud_json("projects", "remove-iam-policy-binding", *grant)["bindings"]
    assert [each["role"] for each in left] == ["roles/editor", "roles/owner", "roles/run.serviceAgent"]
    project, enabled = (
        "--project=fam-project",
        ("services", "list", "--enabled", "--format=value(config.name)"),
    )
    region.gcloud("services", "enable", "run.googleapis.com", "redis.googleapis.com", project)
    assert {"run.googleapis.com", "redis.googleapis.com"} <= {
        line[0] for line in values(region, *enabled, project)
    }
    region.gcloud("services", "disable", "redis.googleapis.com", project)
    assert ["redis.googleapis.com"] not in values(region, *enabled, project)
    region.gcloud("projects", "delete", "fam-project")
    assert region.gcloud_json("projects", "describe", "fam-project")["lifecycleState"] == "DELETE_REQUESTED"


def test_a_condition_on_names_lets_an_account_read_some_secrets_alone(
    region: RunningRegion, tmp_path: Path
) -> None:
    content, email = tmp_path / "content", "fam-reader@demo.iam.gserviceaccount.com"
    content.write_text("hush")
    for name in ("fam-dev", "fam-prod"):
        region.gcloud("secrets", "create", name, f"--data-file={content}")
    region.gcloud("iam", "service-accounts", "create", "fam-reader")
    me = "--member=serviceAccount:fogbank@demo.iam.gserviceaccount.com"
    impersonate = ("iam", "service-accounts", "add-iam-policy-binding", email, me)
    region.gcloud(*impersonate, "--role=roles/iam.serviceAccountTokenCreator")
    condition = (
        "--condition=title=development,expression=resource.name.extract('/secrets/{name}/') == 'fam-dev'"
    )
    grant = ("demo", f"--member=serviceAccount:{email}", "--role=roles/secretmanager.secretAccessor")
    bound = region.gcloud_json("projects", "add-iam-policy-binding", *grant, condition)
    assert bound["version"] == 3
    read = ("secrets", "versions", "access", "latest", f"--impersonate-service-account={email}")
    assert region.gcloud(*read, "--secret=fam-dev").stdout == "hush"
    assert "secretmanager.versions.access" in refused(region, *read, "--secret=fam-prod")
    wrong = "--condition=title=development,expression=resource.nam == 'fam-dev'"
    why = refused(region, "projects", "add-iam-policy-binding", *grant, wrong)
    assert "undeclared reference to 'resource.nam'" in why
    left = region.gcloud_json("projects", "remove-iam-policy-binding", *grant, condition)
    assert left["version"] == 1
    assert "secretmanager.versions.access" in refused(region, *read, "--secret=fam-dev")


def test_service_accounts_and_their_keys(region: RunningRegion, tmp_path: Path) -> None:
    accounts, email = ("iam", "service-accounts"), "fam-robot@demo.iam.gserviceaccount.com"
    region.gcloud(*accounts, "create", "fam-robot", "--display-name=First")
    region.gcloud(*accounts, "update", email, "--display-name=Second")
    assert region.gcloud_json(*accounts, "describe", email)["displayName"] == "Second"
    assert [email] in values(region, *accounts, "list", "--format=value(email)")
    key = tmp_path / "key.json"
    region.gcloud(*accounts, "keys", "create", str(key), f"--iam-account={email}")
    number = json.loads(key.read_text())["private_key_id"]
    keys = ("keys", "list", f"--iam-account={email}", "--format=value(name.basename())")
    assert [number] in values(region, *accounts, *keys)
    credentials = {"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": str(key)}
    as_robot = replace(region, environment={**region.environment, **credentials})
    assert "Required 'compute.networks.list' permission" in refused(as_robot, "compute", "networks", "list")
    grant = ("demo", f"--member=serviceAccount:{email}", "--role=roles/compute.networkViewer")
    region.gcloud("projects", "add-iam-policy-binding", *grant)
    assert values(as_robot, "compute", "networks", "list", "--filter=name=default", "--format=value(name)")
    region.gcloud(*accounts, "keys", "delete", number, f"--iam-account={email}")
    # gcloud keeps tokens for an hour; without them it has to prove who it is again.
    as_robot.environment = {**as_robot.environment, "CLOUDSDK_CONFIG": str(tmp_path / "forgetful")}
    assert "invalid_grant" in refused(as_robot, "auth", "print-access-token")
    region.gcloud(*accounts, "delete", email)
    assert "NOT_FOUND" in refused(region, *accounts, "describe", email)


def test_regions_zones_project_and_operations(region: RunningRegion) -> None:
    assert [AN3, "UP"] in values(region, "compute", "regions", "list", "--format=value(name,status)")
    zones = ("compute", "zones", "list", f"--filter=region:{AN3}", "--format=value(name)")
    assert values(region, *zones) == [[f"{AN3}-{letter}"] for letter in "abc"]
    project = region.gcloud_json("compute", "project-info", "describe")
    assert project["name"] == "demo"
    assert project["defaultServiceAccount"].endswith("-compute@developer.gserviceaccount.com")
    region.gcloud("compute", "addresses", "create", "fam-done", IN1)
    region.gcloud("compute", "addresses", "delete", "fam-done", IN1)
    operations = region.gcloud_json("compute", "operations", "list", "--filter=targetLink~fam-done$")
    assert sorted(each["operationType"] for each in operations) == ["delete", "insert"]
    assert {(each["status"], each["progress"]) for each in operations} == {("DONE", 100)}
    name = operations[0]["name"]
    assert region.gcloud_json("compute", "operations", "describe", name, IN1) == operations[0]


@pytest.mark.parametrize(
    ("command", "method"),
    [
        (("pubsub", "topics", "list"), "pubsub.v1.projects.topics.list"),
        (("storage", "buckets", "list"), "storage.v1.buckets.list"),
        (("sql", "backups", "list", "--instance=none"), "sqladmin.v1beta4.sql.backupRuns.list"),
        (
            ("memcache", "instances", "list", "--region=us-central1"),
            "memcache.googleapis.com (GET /v1/projects/demo/locations/us-central1/instances)",
        ),
    ],
)
def test_what_is_not_built_is_named_at_once(
    region: RunningRegion, command: tuple[str, ...], method: str
) -> None:
    began = time.monotonic()
    assert f"Fogbank does not implement {method} yet" in refused(region, *command)
    assert time.monotonic() - began < 2


def test_logging(region: RunningRegion) -> None:
    region.gcloud("logging", "write", "fam-log", "hello world", "--severity=ERROR")
    region.gcloud("logging", "write", "fam-log", '{"a": {"b": 7}}', "--payload-type=json")
    (found,) = region.gcloud_json("logging", "read", 'jsonPayload.a.b>6 AND log_id("fam-log")')
    assert found["jsonPayload"] == {"a": {"b": 7}}
    wanted = 'severity>=ERROR AND logName:"fam-log" AND textPayload:HELLO'
    (error,) = region.gcloud_json("logging", "read", wanted)
    assert (error["textPayload"], error["resource"]["type"]) == ("hello world", "global")
    newest = region.gcloud_json("logging", "read", 'log_id("fam-log")', "--limit=1")
    assert [each["jsonPayload"] for each in newest] == [{"a": {"b": 7}}]
    oldest = region.gcloud_json("logging", "read", 'log_id("fam-log")', "--limit=1", "--order=asc")
    assert [each["textPayload"] for each in oldest] == ["hello world"]
    assert "syntax error at line 1" in refused(region, "logging", "read", "severity>=")
    names = values(region, "logging", "logs", "list", "--format=value(.)")
    assert ["projects/demo/logs/fam-log"] in names
    region.gcloud("logging", "logs", "delete", "fam-log")
    assert region.gcloud_json("logging", "read", 'log_id("fam-log")') == []
    buckets = values(region, "logging", "buckets", "list", "--format=value(name.basename(), retentionDays)")
    assert buckets == [["_Default", "30"], ["_Required", "400"]]
    assert "does not implement logging.v2.projects.sinks.list" in refused(region, "logging", "sinks", "list")


def test_logs_of_a_service(region: RunningRegion) -> None:
    service = ("fam-logs", IN3)
    region.gcloud("run", "deploy", service[0], f"--image={NETCHECK}", service[1], "--allow-unauthenticated")
    url = region.gcloud("run", "services", "describe", *service, "--format=value(status.url)").stdout.strip()
    region.curl(f"{url}/no-such-page")
    began = time.monotonic()
    shown = region.gcloud("run", "services", "logs", "read", *service).stdout
    assert time.monotonic() - began < 10
    assert f"GET 404 {url}/no-such-page" in shown
    assert "netcheck listens on port 8080" in shown
    of_service = f'resource.labels.service_name="{service[0]}"'
    system = region.gcloud_json("logging", "read", f'log_id("run.googleapis.com/varlog/system") {of_service}')
    texts = [each["textPayload"] for each in reversed(system)]
    assert texts[0].startswith("Starting new instance. Reason: DEPLOYMENT_ROLLOUT - ")
    assert texts[1] == (
        'Default STARTUP TCP probe succeeded after 1 attempt for container "fam-logs-1" on port 8080.'
    )
    (request,) = region.gcloud_json("logging", "read", f"httpRequest.status=404 AND {of_service}")
    assert request["httpRequest"]["requestUrl"] == f"{url}/no-such-page"
    assert request["trace"].startswith("projects/demo/traces/")


def test_dns_zones_and_records(region: RunningRegion, tmp_path: Path) -> None:
    zones, records = ("dns", "managed-zones"), ("dns", "record-sets")
    private = ("--visibility=private", "--networks=default")
    region.gcloud(*zones, "create", "fam-zone", "--dns-name=corp.example.", "--description=x", *private)
    (zone,) = region.gcloud_json(*zones, "list", "--filter=name=fam-zone")
    (seen,) = zone["privateVisibilityConfig"]["networks"]
    assert seen["networkUrl"] == f"{V1}/global/networks/default"
    region.gcloud(*zones, "update", "fam-zone", "--description=y", "--update-labels=a=b")
    changed = region.gcloud_json(*zones, "describe", "fam-zone")
    assert (changed["description"], changed["labels"]) == ("y", {"a": "b"})

    here = "--zone=fam-zone"
    www = ("www.corp.example.", here, "--type=A")
    region.gcloud(*records, "create", *www, "--ttl=60", "--rrdatas=10.0.0.5,10.0.0.6")
    region.gcloud(*records, "update", *www, "--ttl=30", "--rrdatas=10.0.0.7")
    started = ("--transaction-file", str(tmp_path / "transaction.yaml"))
    transaction = (*records, "transaction")
    region.gcloud(*transaction, "start", here, *started)
    region.gcloud(*transaction, "add", "hello", here, "--name=txt.corp.example.", "--ttl=300", "--type=TXT",
                  *started)  # fmt: skip
    region.gcloud(*transaction, "execute", here, *started)
    shown = values(region, *records, "list", here, "--format=value(name,type,ttl,rrdatas[0])")
    assert ["www.corp.example.", "A", "30", "10.0.0.7"] in shown
    assert ["txt.corp.example.", "TXT", "300", '"hello"'] in shown
    assert "contains one or more" in refused(region, *zones, "delete", "fam-zone")
    region.gcloud(*records, "delete", *www)
    region.gcloud(*records, "delete", "txt.corp.example.", here, "--type=TXT")
    region.gcloud(*zones, "delete", "fam-zone")


def test_spanner_by_googles_emulator(region: RunningRegion) -> None:
    here, create = ("--instance=fam", "--database=db"), ("spanner", "instances", "create", "fam")
    size = ("--config=regional-asia-northeast3", "--description=x", "--nodes=1")
    if emulator_folder() is None:
        assert "gcloud components install cloud-spanner-emulator" in refused(region, *create, *size)
        return
    region.gcloud(*create, *size)
    table = "CREATE TABLE visits (id INT64 NOT NULL, who STRING(64)) PRIMARY KEY (id)"
    region.gcloud("spanner", "databases", "create", "db", "--instance=fam", f"--ddl={table}")
    region.gcloud("spanner", "rows", "insert", *here, "--table=visits", "--data=id=1,who=me")
    found = region.gcloud_json("spanner", "databases", "execute-sql", "db", "--instance=fam",
                               "--sql=SELECT * FROM visits")  # fmt: skip
    assert found["rows"] == [["1", "me"]]
    assert "not found" in refused(region, "spanner", "databases", "describe", "gone", "--instance=fam")
    region.gcloud("spanner", "instances", "delete", "fam", "--quiet")
