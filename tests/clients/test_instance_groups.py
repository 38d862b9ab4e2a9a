"""Managed and unmanaged instance groups with the real gcloud and real machines."""

import secrets
from collections.abc import Iterator

import pytest
from tests.loaded_gcloud import LoadedGcloud, LoadedRegion
from tests.waiting import wait_until

from fogbank.testing import end_region, fetch_servers, short_folder, start_region

pytestmark = [pytest.mark.netns, pytest.mark.slow(20), pytest.mark.xdist_group("machines")]

ZONE = "--zone=asia-northeast1-a"
GROUPS = ("compute", "instance-groups")
MANAGED = (*GROUPS, "managed")


@pytest.fixture(scope="module")
def region(gcloud: LoadedGcloud) -> Iterator[LoadedRegion]:
    fetch_servers("machine")
    started = start_region(short_folder(), "--region", "asia-northeast1")
    yield LoadedRegion(started.name, started.home, started.environment, gcloud)
    end_region(started)


def names(region: LoadedRegion, group: str) -> set[str]:
    listed = region.gcloud_json(*MANAGED, "list-instances", group, ZONE)
    return {each["instance"].rpartition("/")[2] for each in listed}


def test_gcloud_makes_mends_rolls_and_removes_a_managed_group(region: LoadedRegion) -> None:
    mark = secrets.token_hex(3)
    group, first, second = f"web-{mark}", f"one-{mark}", f"two-{mark}"
    for template in (first, second):
        region.gcloud(
            "compute", "instance-templates", "create", template, "--machine-type=e2-micro",
            "--no-address", f"--metadata=startup-script=echo i-am-{template}",
        )  # fmt: skip
    listed = region.gcloud("compute", "instance-templates", "list", "--format=value(name)").stdout
    assert listed.split() == [first, second]
    region.gcloud(*MANAGED, "create", group, ZONE, f"--template={first}", "--size=2")
    region.gcloud(*MANAGED, "wait-until", group, ZONE, "--stable", "--timeout=60")
    made = names(region, group)
    assert len(made) == 2
    region.gcloud(*MANAGED, "set-named-ports", group, ZONE, "--named-ports=web:80")
    described = region.gcloud_json(*GROUPS, "describe", group, ZONE)
    assert (described["size"], described["namedPorts"]) == (2, [{"name": "web", "port": 80}])

    # One that somebody deletes comes back under its name.
    lost = min(made)
    before = region.gcloud_json("compute", "instances", "describe", lost, ZONE)["id"]
    region.gcloud("compute", "instances", "delete", lost, ZONE, "--quiet")
    wait_until(lambda: states(region, group) == {"RUNNING NONE"}, 60)
    assert names(region, group) == made
    assert region.gcloud_json("compute", "instances", "describe", lost, ZONE)["id"] != before

    region.gcloud(
        *MANAGED, "rolling-action", "start-update", group, ZONE, f"--version=template={second}",
        "--max-surge=1", "--max-unavailable=0",
    )  # fmt: skip
    region.gcloud(*MANAGED, "wait-until", group, ZONE, "--version-target-reached", "--timeout=60")
    region.gcloud(*MANAGED, "wait-until", group, ZONE, "--stable", "--timeout=60")
    updated = names(region, group)
    assert updated.isdisjoint(made)
    for each in updated:
        wait_until_written(region, each, f"i-am-{second}")

    region.gcloud(*MANAGED, "resize", group, ZONE, "--size=1")
    region.gcloud(*MANAGED, "wait-until", group, ZONE, "--stable", "--timeout=60")
    assert len(names(region, group)) == 1
    region.gcloud(*MANAGED, "delete", group, ZONE, "--quiet")
    assert region.gcloud_json("compute", "instances", "list") == []
    assert region.gcloud_json(*GROUPS, "list") == []
    region.gcloud("compute", "instance-templates", "delete", first, second, "--quiet")


def states(region: LoadedRegion, group: str) -> set[str]:
    listed = region.gcloud_json(*MANAGED, "list-instances", group, ZONE)
    return {f"{each.get('instanceStatus')} {each['currentAction']}" for each in listed}


def wait_until_written(region: LoadedRegion, name: str, text: str) -> None:
    command = ("compute", "instances", "get-serial-port-output", name, ZONE)
    wait_until(lambda: text in region.gcloud(*command).stdout, 60)


def test_gcloud_fills_and_empties_an_unmanaged_group(region: LoadedRegion) -> None:
    group, machine = f"plain-{secrets.token_hex(3)}", f"vm-{secrets.token_hex(3)}"
    unmanaged = (*GROUPS, "unmanaged")
    region.gcloud("compute", "instances", "create", machine, ZONE, "--machine-type=e2-micro", "--no-address")
    region.gcloud(*unmanaged, "create", group, ZONE)
    region.gcloud(*unmanaged, "add-instances", group, ZONE, f"--instances={machine}")
    region.gcloud(*unmanaged, "set-named-ports", group, ZONE, "--named-ports=http:8080,https:8443")
    (listed,) = region.gcloud_json(*unmanaged, "list-instances", group, ZONE)
    assert listed["instance"].endswith(f"/{machine}")
    assert listed["status"] == "RUNNING"
    again = region.gcloud(*unmanaged, "add-instances", group, ZONE, f"--instances={machine}", check=False)
    assert "is already a member of" in again.stderr
    region.gcloud(*unmanaged, "remove-instances", group, ZONE, f"--instances={machine}")
    assert region.gcloud_json(*unmanaged, "list-instances", group, ZONE) == []
    region.gcloud(*unmanaged, "delete", group, ZONE, "--quiet")
    region.gcloud("compute", "instances", "delete", machine, ZONE, "--quiet")
