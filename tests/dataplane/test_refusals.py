"""When the machine refuses or a part has a bug, the rest is built and the next try works."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from tests.private_world import Lab

from fogbank.dataplane.linux.net.links_and_routes import LinksAndRoutes
from fogbank.network.topology import NetnsName, NetworkNamespace, Volume, Workload
from fogbank.planning.plan import Create

pytestmark = pytest.mark.netns

ROOM = NetworkNamespace(NetnsName("instance/a"))
WORKLOAD = Workload("a", ROOM.name, "sha256:" + "0" * 64, 8080, memory_bytes=1 << 28, cpu_millis=1000)


@dataclass
class Containers:
    """Containers whose start has a bug, or takes a while."""

    bug: Exception | None = None
    seconds: float = 0.0
    events: list[str] = field(default_factory=list)
    at_work: threading.Event = field(default_factory=threading.Event)

    def start(self, workload: Workload) -> None:
        self.at_work.set()
        time.sleep(self.seconds)
        self.events.append(f"started {workload.name}")
        if self.bug:
            raise self.bug

    def stop(self, name: str) -> None:
        self.events.append(f"stopped {name}")

    def running(self) -> Mapping[str, Workload]:
        return {}

    def volumes(self) -> Mapping[str, Volume]:
        return {}

    def close(self) -> None:
        self.events.append("closed")


def test_a_namespace_that_the_machine_refused_half_way_can_be_made_later(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: LinksAndRoutes, _netns: NetnsName) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(LinksAndRoutes, "watch", refuse)
        (outcome,) = lab.driver.apply([Create(ROOM)])
        assert "Too many open files" in str(outcome.error)
    lab.build(ROOM)


def test_a_bug_in_one_action_shows_on_it_and_stops_no_other(lab: Lab) -> None:
    driver = lab.use(containers=Containers(bug=KeyError("config")))
    other = NetworkNamespace(NetnsName("instance/b"))
    outcomes = driver.apply([Create(ROOM), Create(WORKLOAD), Create(other)])
    assert [str(outcome.error) if outcome.error else None for outcome in outcomes] == [
        None,
        "KeyError: 'config'",
        None,
    ]
    assert set(driver.observe().elements) == {ROOM.key, other.key}


def test_a_driver_that_is_closed_first_ends_what_it_does(lab: Lab) -> None:
    containers = Containers(seconds=0.2)
    driver = lab.use(containers=containers)
    working = threading.Thread(target=driver.apply, args=([Create(ROOM), Create(WORKLOAD)],))
    working.start()
    assert containers.at_work.wait(5)
    driver.close()
    working.join()
    assert containers.events == ["started a", "closed"]
