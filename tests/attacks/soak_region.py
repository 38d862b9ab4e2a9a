"""The region of the soak: what runs in it, how to hurt it, and what it holds of the machine."""

import http.client
import json
import random
import re
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fogbank.dataplane.linux.net.namespaces import POOL_SIZE
from fogbank.testing import RunningRegion

HERE = "projects/demo/locations/asia-northeast3"
RUN = f"https://run.googleapis.com/v2/{HERE}/services"
REDIS = f"https://redis.googleapis.com/v1/{HERE}/instances"
CONNECTORS = f"https://vpcaccess.googleapis.com/v1/{HERE}/connectors"
SECRETS = "https://secretmanager.googleapis.com/v1/projects/demo/secrets"
NETCHECK, VISITORS = (f"us-docker.pkg.dev/fogbank/samples/{name}" for name in ("netcheck", "visitors"))
SETTLE_SECONDS = 60.0

Footprint = dict[str, int]
"""What a region holds: counts by kind."""


class SoakRegion:
    """A running region, and what the soak does to it."""

    def __init__(self, running: RunningRegion) -> None:
        self.running = running
        self.hosts: dict[str, str] = {}
        self.memory_before = self.memory_after = 0.0

    def fogbank(self, *words: str) -> str:
        return self.running.fogbank(*words)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.fogbank("status", "--format", "json"))
        return found

    @property
    def pid(self) -> int:
        """The region's own process; what started it is its ancestors, of the same name."""
        outer = self.status()["pid"]
        return [pid for pid in [outer, *below(outer)] if b"fogbank.app" in _read(pid, "cmdline")][-1]

    # What runs in it.

    def prepare(self) -> None:
        """Make the services, a connector and a Redis instance, and wait until they serve."""
        connector = {"network": "default", "ipCidrRange": "10.9.0.0/28", "minInstances": 2, "maxInstances": 3}
        self.call("POST", f"{CONNECTORS}?connectorId=soak", connector)
        host = self.call("POST", f"{REDIS}?instanceId=soak", {"tier": "BASIC", "memorySizeGb": 1})["host"]
        self.service("steady", {"containers": [{"image": NETCHECK}], "scaling": {"minInstanceCount": 1}})
        self.service("victim", {"containers": [{"image": NETCHECK}], "scaling": {"minInstanceCount": 1}})
        crowded = {"containers": [{"image": NETCHECK}], "maxInstanceRequestConcurrency": 2}
        self.service("crowd", crowded | {"scaling": {"maxInstanceCount": 10}})
        counting = {"image": VISITORS, "env": [{"name": "REDISHOST", "value": host}]}
        access = {"connector": f"{HERE}/connectors/soak"}
        self.service("visitors", {"containers": [counting], "vpcAccess": access})

    def remove(self) -> None:
        """Delete everything that was made, and let all time pass that anything is kept for."""
        for name in ("steady", "victim", "crowd", "visitors"):
            self.call("DELETE", f"{RUN}/{name}")
        self.call("DELETE", f"{REDIS}/soak")
        self.call("DELETE", f"{CONNECTORS}/soak")
        for name in self.secrets():
            self.call("DELETE", f"{SECRETS}/{name}")
        self.fogbank("clock", "advance", "3h")

    def service(self, name: str, template: dict[str, Any]) -> None:
        body = {"template": template, "invokerIamDisabled": True}
        self.hosts[name] = urlsplit(self.call("POST", f"{RUN}?serviceId={name}", body)["uri"]).netloc

    def deploy_again(self, name: str, number: int) -> str:
        """Deploy a new revision; return its id when it serves."""
        container = {"image": NETCHECK, "env": [{"name": "N", "value": str(number)}]}
        template = {"containers": [container], "scaling": {"minInstanceCount": 1}}
        body = {"template": template, "invokerIamDisabled": True}
        return str(self.call("PATCH", f"{RUN}/{name}", body)["latestReadyRevision"]).rpartition("/")[2]

    def call(self, method: str, url: str, body: Any = None) -> Any:
        """Call an API, and wait for the operation when it opens one; give the answer."""
        status, answer = self.running.api(method, url, body)
        assert status == 200, (method, url, answer)
        host, version = url.split("/")[2:4]
        until = time.monotonic() + SETTLE_SECONDS
        while "/operations/" in str(answer.get("name", "")) and not answer.get("done"):
            assert time.monotonic() < until, answer
            time.sleep(0.02)
            _, answer = self.running.api("GET", f"https://{host}/{version}/{answer['name']}")
        assert "error" not in answer, answer
        return answer.get("response", answer)

    def add_secret(self, name: str) -> bool:
        """Write a secret; tell whether that was acknowledged."""
        body: dict[str, Any] = {"replication": {"automatic": {}}}
        return self.running.api("POST", f"{SECRETS}?secretId={name}", body)[0] == 200

    def secrets(self) -> set[str]:
        """Name the secrets that there are."""
        found: set[str] = set()
        token = ""
        while True:
            answer = self.call("GET", f"{SECRETS}?pageSize=1000&pageToken={token}")
            found |= {each["name"].rpartition("/")[2] for each in answer.get("secrets", ())}
            token = answer.get("nextPageToken", "")
            if not token:
                return found

    # How it is asked.

    def connect(self, service: str) -> http.client.HTTPSConnection:
        return self.running.connect(self.hosts[service])

    def once(self, service: str, path: str) -> str:
        """Ask once, on a connection of its own; give status and text, or the error."""
        connection = self.connect(service)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return f"{answer.status} {answer.read().decode()[:80]}"
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        finally:
            connection.close()

    # How it is hurt.

    def containers(self, variable: bytes) -> list[int]:
        """Find the processes whose environment has ``variable``."""
        return [pid for pid in below(self.pid) if variable in _read(pid, "environ").split(b"\0")]

    def programs(self, name: bytes) -> list[int]:
        """Find the processes whose command begins with ``name``."""
        return [pid for pid in below(self.pid) if name in _read(pid, "cmdline").partition(b"\0")[0]]

    def cut_machine(self, chance: random.Random) -> int:
        """Delete a link of a machine of the connector; return how many were deleted."""
        pid = self.pid
        for entry in chance.sample(folder := list(Path(f"/proc/{pid}/fd").iterdir()), len(folder)):
            try:
                if not str(entry.readlink()).startswith("net:["):
                    continue
            except OSError:
                continue
            inside = ["nsenter", f"--net={entry}"]
            shown = subprocess.run(
                [*inside, "ip", "-br", "address"], capture_output=True, text=True, check=False
            )
            links = re.findall(r"^(\S+?)(?:@\S+)? +UP .*\b10\.9\.0\.", shown.stdout, re.MULTILINE)
            if links and not links[0].startswith("lo"):
                cut = subprocess.run(
                    [*inside, "ip", "link", "delete", links[0]], capture_output=True, check=False
                )
                return int(cut.returncode == 0)
        return 0


def footprint(region: SoakRegion, like: Footprint | None = None) -> Footprint:
    """Count what the region holds, when it has come to rest: when it is no more than ``like``, or in time."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found, pid = _count(region), region.pid
        rests = like is not None and all(count <= like.get(name, 0) for name, count in found.items())
        if rests or time.monotonic() > deadline or (like is None and not found["containers"]):
            break
        time.sleep(0.5)
    memory = sum(
        int(line.split()[1]) for line in _read(pid, "status").decode().splitlines() if "VmRSS" in line
    )
    if like is None:
        region.memory_before = memory / 1000
    else:
        region.memory_after = memory / 1000
    return found


def _count(region: SoakRegion) -> Footprint:
    status, pid = region.status(), region.pid
    folder = Path(f"/proc/{pid}/root/run/fogbank/containers")
    resources = {f"resource {name}": count for name, count in status["resources"].items()}
    return {
        **dict.fromkeys(_KINDS, 0),
        **{name: count for name, count in resources.items() if name in _KINDS},
        "network namespaces": status["namespaces"],
        "processes": len(below(pid)),
        "containers": sum(each.is_dir() for each in folder.iterdir()),
        "mounts": len(_read(pid, "mountinfo").splitlines()),
        **_open_files(pid, status["namespaces"]),
        "threads": _entries(pid, "task"),
        "files": sum(1 for path in region.running.home.rglob("*") if path.is_file()),
    }


def _open_files(pid: int, namespaces: int) -> Footprint:
    """Count what the region has open, by kind: sockets, files by their name.

    Of network namespaces those beyond the ones in use and the ones that wait to be used, up to POOL_SIZE.
    """
    found: Counter[str] = Counter()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:  # it has just been closed
            continue
        found[f"open {target.partition(':')[0] if ':[' in target else Path(target).name}"] += 1
    found["open net"] = max(0, found["open net"] - namespaces - POOL_SIZE)
    return dict(found)


def _entries(pid: int, folder: str) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}", folder).iterdir())


_KINDS = (
    "resource compute.addresses",
    "resource run.services",
    "resource run.revisions",
    "resource run.policies",
    "resource redis.instances",
    "resource vpcaccess.connectors",
    "resource secretmanager.secrets",
)


def below(pid: int) -> list[int]:
    """Return the descendants of a process, itself left out."""
    found, new = [], [pid]
    while new:
        parent = new.pop()
        try:
            children = [
                int(child)
                for task in Path(f"/proc/{parent}/task").iterdir()
                for child in task.joinpath("children").read_text().split()
            ]
        except OSError:  # it has ended just now
            continue
        found += children
        new += children
    return found


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}", name).read_bytes()
    except OSError:  # it has ended just now
        return b""
