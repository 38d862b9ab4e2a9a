"""What was acknowledged survives kill -9, and the next start builds the network from it again."""

import json
import os
import random
import secrets
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from fogbank.frontend.client_environment import applied
from fogbank.testing import RunningRegion, end_region, short_folder

KILLS = 50
COMPUTE = "https://compute.googleapis.com/compute/v1/projects/demo"
pytestmark = [pytest.mark.slow(60), pytest.mark.netns, pytest.mark.timeout(400)]


class Writer(threading.Thread):
    """Creates and deletes rules until the region dies; remembers what was acknowledged."""

    def __init__(self, region: RunningRegion, turn: int, known: dict[str, bool]) -> None:
        super().__init__(daemon=True)
        self.region, self.turn, self.known = region, turn, known
        self.acknowledged = threading.Event()

    def run(self) -> None:
        try:
            for number in range(200):
                name = f"rule-{self.turn}-{number}"
                rule = {"name": name, "allowed": [{"IPProtocol": "tcp"}], "sourceTags": [name]}
                status, _ = self.region.api("POST", f"{COMPUTE}/global/firewalls", rule)
                assert status == 200
                self.known[name] = True
                self.acknowledged.set()
                if number % 3 == 2:
                    # Between this line and the answer either is right: the rule is neither promised nor gone.
                    del self.known[name]
                    status, _ = self.region.api("DELETE", f"{COMPUTE}/global/firewalls/{name}")
                    assert status == 200
                    self.known[name] = False
        except (OSError, ValueError):
            return


def start(region: RunningRegion) -> int:
    region.fogbank("up", "--detach", "--port", "0", timeout=60)
    region.environment = applied(json.loads(region.fogbank("env", "--format", "json")), os.environ)
    return int(json.loads(region.fogbank("status", "--format", "json"))["pid"])


@pytest.fixture
def region() -> Iterator[RunningRegion]:
    """Return a region that keeps its state, not started yet."""
    region = RunningRegion(f"test-{secrets.token_hex(4)}", short_folder())
    yield region
    end_region(region)


def test_fifty_kills_at_random_points_lose_no_acknowledged_write(region: RunningRegion) -> None:
    chance = random.Random(2)
    known: dict[str, bool] = {}
    for turn in range(KILLS):
        pid = start(region)
        check(region, known)
        writer = Writer(region, turn, known)
        writer.start()
        if turn % 2:  # the other half may die before anything was acknowledged
            assert writer.acknowledged.wait(30)
        time.sleep(chance.uniform(0.0, 0.2))
        os.kill(pid, signal.SIGKILL)
        writer.join(30)
        assert not writer.is_alive()
    start(region)
    check(region, known)
    assert len(known) >= KILLS // 2
    status = json.loads(region.fogbank("status", "--format", "json"))
    assert status["appliedVersion"] == status["worldVersion"]
    assert status["converging"] == []
    assert status["namespaces"] >= 3


def check(region: RunningRegion, known: dict[str, bool]) -> None:
    names: set[str] = set()
    page = ""
    while True:
        status, listed = region.api("GET", f"{COMPUTE}/global/firewalls?maxResults=500&pageToken={page}")
        assert status == 200
        names |= {rule["name"] for rule in listed.get("items", ())}
        page = listed.get("nextPageToken", "")
        if not page:
            break
    assert not [name for name, exists in known.items() if exists != (name in names)]
