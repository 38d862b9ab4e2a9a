"""The life of regions: projects, neighbours, restarts, containers that fail, a host that never notices."""

import contextlib
import http.client
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.dataplane.test_world import family, gone
from tests.stand_in_host import StandInHost, group_of
from tests.waiting import wait_until

from fogbank.frontend.client_environment import applied
from fogbank.testing import RunningRegion, end_region, short_folder, start_region

AN3 = "asia-northeast3"
NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"
COMPUTE = "https://compute.googleapis.com/compute/v1/projects"
RUN_V2 = f"https://run.googleapis.com/v2/projects/demo/locations/{AN3}/services"

pytestmark = [pytest.mark.slow(4), pytest.mark.netns]
NewRegion = Callable[..., RunningRegion]


def deploy(region: RunningRegion, name: str, **template: object) -> str:
    """Make a service that everybody may invoke; give its URL when it serves."""
    body = {"template": {"containers": [{"image": NETCHECK}], **template}, "invokerIamDisabled": True}
    status, operation = region.api("POST", f"{RUN_V2}?serviceId={name}", body)
    assert status == 200, operation

    def ready() -> str | None:
        service = region.api("GET", f"{RUN_V2}/{name}")[1]
        done = service["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
        return str(service["uri"]) if done else None

    return str(wait_until(ready))


def egress(region: RunningRegion, url: str, path: str = "") -> dict[str, Any]:
    """Have the service at ``url`` ask the third party who it is."""
    found: dict[str, Any] = json.loads(
        region.curl("--max-time", "20", f"{url}/egress?url=http://ifconfig.me/{path}&timeout=3")
    )
    return found


def process_of(region: RunningRegion) -> int:
    return int(json.loads(region.fogbank("status", "--format", "json"))["pid"])


def start_again(region: RunningRegion) -> None:
    region.fogbank("up", "--detach", "--port", "0")
    region.environment = applied(json.loads(region.fogbank("env", "--format", "json")), os.environ)


def test_a_strict_region_knows_created_projects_alone(new_region: NewRegion) -> None:
    region = new_region("--ephemeral", "--strict-projects")
    refused = region.gcloud("compute", "networks", "list", "--project=stranger-1", check=False)
    assert refused.returncode == 1
    assert "Permission denied on resource project stranger-1" in refused.stderr
    status, answer = region.api("GET", f"{COMPUTE}/stranger-1/global/networks")
    assert (status, answer["error"]["code"]) == (403, 403)
    assert region.api("GET", f"{COMPUTE}/demo/global/networks/default")[0] == 200
    region.gcloud("projects", "create", "stranger-1")
    region.gcloud("services", "enable", "compute.googleapis.com", "--project=stranger-1")
    listed = region.gcloud_json("compute", "networks", "list", "--project=stranger-1")
    assert [network["name"] for network in listed] == ["default"]


def test_elsewhere_a_project_comes_to_be_when_it_is_first_used(region: RunningRegion) -> None:
    projects = "https://cloudresourcemanager.googleapis.com/v1/projects"
    assert region.api("GET", f"{projects}/first-use-1")[0] == 403
    status, listed = region.api("GET", f"{COMPUTE}/first-use-1/global/networks")
    assert (status, [network["name"] for network in listed["items"]]) == (200, ["default"])
    assert region.api("GET", f"{projects}/first-use-1")[1]["lifecycleState"] == "ACTIVE"


def test_third_parties_see_the_traffic_of_their_own_region_alone(new_region: NewRegion) -> None:
    regions = {name: new_region("--ephemeral") for name in ("left", "right")}
    for name, region in regions.items():
        answer = egress(region, deploy(region, "teller"), path=f"i-am-{name}")
        assert answer["ok"], answer
    for name, region in regions.items():
        assert [line["path"] for line in region.site_access_log("ifconfig.me")] == [f"/i-am-{name}"]
    first, second = (json.loads(r.fogbank("env", "--format", "json")) for r in regions.values())
    assert first["HTTPS_PROXY"] != second["HTTPS_PROXY"]
    assert Path(first["SSL_CERT_FILE"]).read_bytes() != Path(second["SSL_CERT_FILE"]).read_bytes()
    # A token of one region is worth nothing in another.
    token, (_, stranger) = regions["left"].gcloud("auth", "print-access-token"), regions.values()
    header = f"Authorization: Bearer {token.stdout.strip()}"
    answer = json.loads(stranger.curl("-H", header, f"{COMPUTE}/demo/global/networks"))
    assert answer["error"]["status"] == "UNAUTHENTICATED"


def test_all_is_back_after_down_and_up(new_region: NewRegion) -> None:
    region = new_region()
    place = f"{COMPUTE}/demo/regions/{AN3}"
    subnet = {"name": "sub", "network": "global/networks/default", "ipCidrRange": "10.124.0.0/28"}
    nat = {
        "name": "nat", "natIpAllocateOption": "MANUAL_ONLY", "natIps": [f"{place}/addresses/reserved"],
        "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
    }  # fmt: skip
    for collection, body in (
        ("subnetworks", subnet),
        ("addresses", {"name": "reserved"}),
        ("routers", {"name": "router", "network": "global/networks/default", "nats": [nat]}),
    ):
        status, answer = region.api("POST", f"{place}/{collection}", body)
        assert status == 200, answer
    connectors = f"https://vpcaccess.googleapis.com/v1/projects/demo/locations/{AN3}/connectors"
    connector = {"subnet": {"name": "sub"}, "minInstances": 2, "maxInstances": 3}
    status, answer = region.api("POST", f"{connectors}?connectorId=con", connector)
    assert status == 200, answer
    access = {"connector": f"projects/demo/locations/{AN3}/connectors/con", "egress": "ALL_TRAFFIC"}
    url = deploy(region, "lasting", vpcAccess=access)
    reserved = region.api("GET", f"{place}/addresses/reserved")[1]["address"]
    assert egress(region, url)["body"].strip() == reserved
    lists = [f"{place}/{name}" for name in ("subnetworks", "addresses", "routers")]
    lists += [f"{COMPUTE}/demo/global/{name}" for name in ("networks", "firewalls", "routes")]
    before = [region.api("GET", each) for each in (*lists, connectors, f"{RUN_V2}/lasting")]
    region.gcloud("run", "services", "list")
    region.fogbank("clock", "advance", "61m")
    region.gcloud("run", "services", "list")  # its token is good for an hour of its own clock
    region.fogbank("down")
    refused = region.fogbank("status", check=False)
    assert refused == ""
    start_again(region)
    assert json.loads(region.fogbank("clock", "show", "--format", "json"))["advancedSeconds"] == 3660
    assert [region.api("GET", each) for each in (*lists, connectors, f"{RUN_V2}/lasting")] == before
    assert egress(region, url)["body"].strip() == reserved
    assert [line["sourceIp"] for line in region.site_access_log("ifconfig.me")] == [reserved] * 2


def test_what_a_region_keeps_is_its_owners_alone(region: RunningRegion) -> None:
    root = Path(region.environment["CLOUDSDK_CONFIG"]).parent
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    own = (path for path in root.iterdir() if path.name != "docker")  # whose mode its engine sets, to 0710
    assert [path.name for path in own if path.lstat().st_mode & 0o077] == []
    assert stat.S_ISSOCK((root / "operator.sock").stat().st_mode)


def test_a_region_listens_on_loopback_alone(region: RunningRegion) -> None:
    pids = {str(pid) for pid in family(process_of(region))}
    lines = subprocess.run(["ss", "-Hlntup"], capture_output=True, text=True, check=True).stdout.splitlines()
    ours = [line.split() for line in lines if any(f"pid={pid}," in line for pid in pids)]
    port = region.environment["HTTPS_PROXY"].rpartition(":")[2]
    assert {fields[4] for fields in ours} == {f"127.0.0.1:{port}"}
    elsewhere = http.client.HTTPConnection("127.0.0.2", int(port), timeout=2)
    with pytest.raises(ConnectionRefusedError):
        elsewhere.request("GET", "/")


@pytest.mark.parametrize("end", ["down", "kill -9"])
def test_the_host_is_as_it_was_while_a_region_serves_and_after_it_ended(
    machine: StandInHost, end: str
) -> None:
    before = machine.state()
    region = start_region(short_folder())
    try:
        assert egress(region, deploy(region, "guest"))["ok"]
        assert machine.state() == before
        pids = family(process_of(region))
        assert len(pids) > 3
        assert {group_of(pid) for pid in pids} == {group_of(os.getpid())}
        if end == "down":
            region.fogbank("down")
        else:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):  # the death of one takes the others along
                    os.kill(pid, signal.SIGKILL)
        assert gone(pids)
        assert machine.state() == before
        assert not [line for line in processes() if region.name in line]
    finally:
        end_region(region)


def processes() -> list[str]:
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()


PYTHON = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
"""The images that are built in hold this machine's own Python, where it is here."""


@pytest.fixture(scope="module")
def good(region: RunningRegion) -> str:
    """A service whose first revision is good; gives its URL."""
    region.gcloud(
        "run", "deploy", "patient", f"--image={NETCHECK}", f"--region={AN3}", "--allow-unauthenticated",
        "--set-env-vars=COLOUR=good",
    )  # fmt: skip
    shown = ("run", "services", "describe", "patient", f"--region={AN3}", "--format=value(status.url)")
    return region.gcloud(*shown).stdout.strip()


FAILED = (
    "The user-provided container failed to start and listen on the port defined provided by the PORT=8080 "
    "environment variable within the allocated timeout."
)

PROBE_FAILED = "The user-provided container failed the configured startup probe checks."

CASES = {
    "exits at once": (
        (f"--image={NETCHECK}", f"--command={PYTHON}", "--args=-c,print('giving up'); raise SystemExit(3)"),
        "HealthCheckContainerError", FAILED, ("giving up", "Container exited with status 3."),
    ),
    "never listens": (
        (
            f"--image={NETCHECK}", f"--command={PYTHON}", "--args=-c,import time; time.sleep(60)",
            "--startup-probe=tcpSocket.port=8080,periodSeconds=1,timeoutSeconds=1,failureThreshold=2",
        ),
        "HealthCheckContainerError", PROBE_FAILED, (),
    ),
    "does not exist": (
        (f"--image={NETCHECK}-of-nobody", "--command=", "--args="),
        "ContainerMissing", f"Image '{NETCHECK}-of-nobody' not found.", (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_container_that_fails_is_told_and_traffic_stays_on_the_last_good_revision(
    region: RunningRegion, good: str, case: str
) -> None:
    options, reason, message, logged = CASES[case]
    colour = json.loads(region.curl(f"{good}/info"))["environment"]["COLOUR"]
    failed = region.gcloud(
        "run", "deploy", "patient", f"--region={AN3}", "--update-env-vars=COLOUR=bad", *options, check=False
    )
    assert failed.returncode == 1
    assert "is not ready and cannot serve traffic" in failed.stderr
    assert message in failed.stderr
    shown = region.gcloud_json("run", "services", "describe", "patient", f"--region={AN3}")
    [ready] = [each for each in shown["status"]["conditions"] if each["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert message in ready["message"]
    last = shown["status"]["latestReadyRevisionName"]
    assert last != shown["status"]["latestCreatedRevisionName"]
    assert [(each["revisionName"], each["percent"]) for each in shown["status"]["traffic"]] == [(last, 100)]
    assert json.loads(region.curl(f"{good}/info"))["environment"]["COLOUR"] == colour
    log = region.fogbank("logs", "run/patient")
    assert [words for words in logged if words not in log] == []


def test_after_failures_a_good_revision_serves_again(region: RunningRegion, good: str) -> None:
    region.gcloud(
        "run", "deploy", "patient", f"--region={AN3}", f"--image={NETCHECK}", "--command=", "--args=",
        "--startup-probe=", "--update-env-vars=COLOUR=better",
    )  # fmt: skip
    assert json.loads(region.curl(f"{good}/info"))["environment"]["COLOUR"] == "better"


def test_logs_show_what_instances_wrote_and_what_they_served(region: RunningRegion) -> None:
    url = deploy(region, "talkative")
    region.curl(f"{url}/info?who=somebody")

    def served() -> list[str] | None:
        lines = region.fogbank("logs", "run/talkative").splitlines()
        return lines if any("/info?who=somebody" in line for line in lines) else None

    lines = wait_until(served)
    assert any(line.endswith("netcheck listens on port 8080") for line in lines)
    [request] = [line for line in lines if f"GET {url}/info?who=somebody 200 " in line]
    assert request.split()[1] == "run/talkative"
    entries = json.loads(region.fogbank("logs", "run/talkative", "--format", "json"))
    [entry] = [each for each in entries if each["stream"] == "requests"]
    assert (entry["status"], entry["severity"]) == (200, "INFO")
    assert entry["revision"].startswith("talkative-00001-")
    assert region.fogbank("logs", "run/talk", check=False) == ""
    assert region.api("DELETE", f"{RUN_V2}/talkative")[0] == 200
    wait_until(lambda: region.fogbank("logs", "run/talkative").endswith("  stopped\n"))


FAREWELL = """
import os, signal, socket

def leave(*_):
    with socket.create_connection((b"ifconfig.me", 80)) as called:
        called.sendall(b"GET /goodbye HTTP/1.0\\r\\nHost: ifconfig.me\\r\\n\\r\\n")
        called.recv(1)
    os._exit(0)

signal.signal(signal.SIGTERM, leave)
listening = socket.create_server(("", 8080))
while True:
    listening.accept()[0].close()
"""


def test_a_container_that_is_told_to_end_still_has_its_network(region: RunningRegion) -> None:
    def goodbyes() -> list[Any]:
        return [line for line in region.site_access_log("ifconfig.me") if line["path"] == "/goodbye"]

    region.gcloud(
        "run", "deploy", "polite", f"--image={NETCHECK}", f"--region={AN3}", "--no-allow-unauthenticated",
        f"--command={PYTHON}", f"--args=^@^-c@{FAREWELL}",
    )  # fmt: skip
    assert goodbyes() == []
    region.gcloud("run", "services", "delete", "polite", f"--region={AN3}", "--quiet")
    assert wait_until(goodbyes)
