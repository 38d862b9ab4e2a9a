"""Virtual machines as clients have them: created, stopped, killed; what they wrote stays on their disks."""

import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.loaded_gcloud import LoadedGcloud, LoadedRegion

from fogbank.frontend.client_environment import applied
from fogbank.testing import RunningRegion, end_region, fetch_servers, short_folder, start_region

pytestmark = [pytest.mark.netns, pytest.mark.slow(20), pytest.mark.xdist_group("machines")]

ZONE = "asia-northeast1-a"
COMPUTE = "https://compute.googleapis.com/compute/v1/projects/demo"
INSTANCES = f"{COMPUTE}/zones/{ZONE}/instances"
COUNT_BOOTS = "echo boot >> /srv/boots; echo boots=$(wc -l < /srv/boots)"


class Machines:
    """A region, and its virtual machines."""

    def __init__(self, region: RunningRegion) -> None:
        self.region = region

    def call(self, method: str, url: str, body: Any = None) -> Any:
        """Call the API; an operation is waited for, and its error fails."""
        status, answer = self.region.api(method, url, body)
        assert status == 200, answer
        if answer.get("kind") == "compute#operation":
            link = f"{answer['selfLink'].replace('www.googleapis', 'compute.googleapis')}/wait"
            while answer["status"] != "DONE":
                status, answer = self.region.api("POST", link)
                assert status == 200, answer
            assert "error" not in answer, answer["error"]
        return answer

    def create(self, name: str, *, external: bool = False, **metadata: str) -> None:
        items = [{"key": key.replace("_", "-"), "value": value} for key, value in metadata.items()]
        access = [{"type": "ONE_TO_ONE_NAT"}] if external else []
        image = "projects/debian-cloud/global/images/family/debian-12"
        body = {
            "name": name,
            "machineType": f"zones/{ZONE}/machineTypes/e2-small",
            "disks": [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": image}}],
            "networkInterfaces": [{"network": "global/networks/default", "accessConfigs": access}],
            "metadata": {"items": items},
        }
        self.call("POST", INSTANCES, body)

    def do(self, name: str, verb: str) -> None:
        self.call("POST", f"{INSTANCES}/{name}/{verb}", {})

    def set_metadata(self, name: str, **metadata: str) -> None:
        """Give a machine that runs further metadata."""
        found = self.get(name)["metadata"]
        new = [{"key": key.replace("_", "-"), "value": value} for key, value in metadata.items()]
        body = {"fingerprint": found["fingerprint"], "items": [*found.get("items", []), *new]}
        self.call("POST", f"{INSTANCES}/{name}/setMetadata", body)

    def get(self, name: str) -> Any:
        return self.call("GET", f"{INSTANCES}/{name}")

    def status(self, name: str) -> str:
        return str(self.get(name)["status"])

    def serial(self, name: str) -> str:
        return str(self.call("GET", f"{INSTANCES}/{name}/serialPort?port=1")["contents"])

    def wrote(self, name: str, text: str) -> None:
        """Wait until a machine has written something."""
        self.until(lambda: text in self.serial(name))

    def until(self, condition: Callable[[], object], within: float = 60.0) -> None:
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)

    def init_of(self, name: str) -> int:
        """Return the process of a machine's init, as this machine sees it."""
        found = [
            int(each.name)
            for each in Path("/proc").iterdir()
            if each.name.isdecimal()
            and "/usr/sbin/init" in read(each / "cmdline")
            and read(each / "root/etc/hostname").strip() == name
        ]
        assert len(found) == 1, found
        return found[0]

    def kill_region(self) -> None:
        (running,) = self.region.home.glob("state/fogbank/*/running.json")
        os.kill(json.loads(running.read_text())["pid"], signal.SIGKILL)

    def start(self) -> None:
        self.region.fogbank("up", "--detach", "--port", "0", timeout=60)
        self.region.environment = applied(
            json.loads(self.region.fogbank("env", "--format", "json")), os.environ
        )

    def disks(self) -> set[str]:
        """Name the folders of disks that are kept."""
        folder = self.region.home / "state/fogbank" / self.region.name / "data"
        return {each.name for each in folder.glob("vm-disk-*")}


def named(text: str) -> str:
    """Make a name that no other run's machine has: processes of all are seen here."""
    return f"{text}-{secrets.token_hex(3)}"


def read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    fetch_servers("machine")
    region = start_region(short_folder(), "--region", "asia-northeast1")
    yield Machines(region)
    end_region(region)


def test_a_machine_keeps_what_it_wrote_through_every_kind_of_end(machines: Machines) -> None:
    name = named("kept")
    machines.create(name, startup_script=COUNT_BOOTS)
    assert machines.status(name) == "RUNNING"
    machines.wrote(name, "boots=1")
    machines.do(name, "stop")
    assert machines.status(name) == "TERMINATED"
    machines.do(name, "start")
    machines.wrote(name, "boots=2")
    machines.do(name, "reset")
    machines.wrote(name, "boots=3")
    os.kill(machines.init_of(name), signal.SIGKILL)
    machines.wrote(name, "boots=4")
    machines.until(lambda: machines.status(name) == "RUNNING")
    machines.region.fogbank("down")
    machines.start()
    machines.wrote(name, "boots=5")
    machines.kill_region()
    machines.start()
    machines.wrote(name, "boots=6")
    kept = machines.disks()
    machines.call("DELETE", f"{INSTANCES}/{name}")
    machines.until(lambda: len(machines.disks()) == len(kept) - 1)


def test_a_crash_without_automatic_restart_and_a_shutdown_from_inside_end_a_machine(
    machines: Machines,
) -> None:
    name = named("ends")
    machines.create(name, startup_script="echo up; [ -e /srv/off ] && rm /srv/off && poweroff; true")
    machines.call("POST", f"{INSTANCES}/{name}/setScheduling", {"automaticRestart": False})
    machines.wrote(name, "startup-script: up")
    os.kill(machines.init_of(name), signal.SIGKILL)
    machines.until(lambda: machines.status(name) == "TERMINATED")
    items = [{"key": "startup-script", "value": "echo bye; poweroff"}]
    fingerprint = machines.get(name)["metadata"]["fingerprint"]
    machines.call("POST", f"{INSTANCES}/{name}/setMetadata", {"items": items, "fingerprint": fingerprint})
    machines.do(name, "start")
    machines.wrote(name, "startup-script: bye")
    machines.until(lambda: machines.status(name) == "TERMINATED")
    machines.call("DELETE", f"{INSTANCES}/{name}")


def test_a_suspended_machine_goes_on_where_it_was(machines: Machines) -> None:
    name = named("sleeps")
    machines.create(name, startup_script="echo ready; for i in $(seq 1000); do sleep 0.02; done; echo woken")
    machines.wrote(name, "startup-script: ready")
    init = machines.init_of(name)
    machines.do(name, "suspend")
    assert machines.status(name) == "SUSPENDED"
    machines.until(lambda: read(Path(f"/proc/{init}/stat")).rpartition(")")[2].split()[0] == "T")
    machines.do(name, "resume")
    assert machines.status(name) == "RUNNING"
    assert machines.init_of(name) == init, "the same init, which was not started anew"
    machines.until(lambda: read(Path(f"/proc/{init}/stat")).rpartition(")")[2].split()[0] != "T")
    machines.call("DELETE", f"{INSTANCES}/{name}")


def test_gcloud_reads_the_serial_port_and_guest_attributes(machines: Machines, gcloud: LoadedGcloud) -> None:
    name = named("shown")
    region = LoadedRegion(machines.region.name, machines.region.home, machines.region.environment, gcloud)
    instances, zone = ("compute", "instances"), f"--zone={ZONE}"
    metadata = "--metadata=enable-guest-attributes=TRUE,startup-script=echo hello"
    region.gcloud(*instances, "create", name, zone, metadata)
    machines.wrote(name, "startup-script exit status 0")
    printed = region.gcloud(*instances, "get-serial-port-output", name, zone)
    assert "google_metadata_script_runner: startup-script: hello" in printed.stdout
    start = len(printed.stdout.encode())
    assert (
        "hello"
        not in region.gcloud(*instances, "get-serial-port-output", name, zone, f"--start={start}").stdout
    )
    published = region.gcloud_json(*instances, "get-guest-attributes", name, zone, "--query-path=hostkeys/")
    assert {each["key"] for each in published} == {"ssh-ed25519", "ecdsa-sha2-nistp256"}
    region.gcloud(*instances, "delete", name, zone)


def test_without_the_root_on_this_machine_creation_fails_with_the_command_that_fetches_it(
    new_region: Callable[..., RunningRegion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machines = Machines(new_region("--ephemeral", "--region", "asia-northeast1"))
    with pytest.raises(AssertionError, match="fogbank images fetch machine"):
        machines.create("none")
    assert machines.call("GET", INSTANCES).get("items", []) == []
