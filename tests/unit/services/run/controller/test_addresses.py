"""Instances with Direct VPC egress: none is built without its address, and what has none says so."""

import json
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests import worlds
from tests.cloud_calls import PLACE, PROJECT, REGION
from tests.unit.services.run.controller.test_instances import Region, eventually, port, running
from tests.worlds import link

from fogbank.dataplane.driver import WorkloadExited
from fogbank.resources.direct_vpc import NETWORK_INTERFACES, keep_as_of
from fogbank.resources.fleet import SubnetworkAttachment
from fogbank.resources.names import compute_name
from fogbank.resources.run import Readiness
from fogbank.resources.serverless_blocks import blocks_of
from fogbank.resources.world import Put
from fogbank.services.run.controller.instance_state import InstanceState
from fogbank.services.run.direct_vpc import LAUNCH_STAGE

__all__ = ["port"]

SUBNETWORK = compute_name("subnetworks", PROJECT, "regions", REGION, "run")
INTERFACE = {NETWORK_INTERFACES: json.dumps([{"subnetwork": "run", "tags": ["web"]}])}
EXHAUSTED = "Instance failed to start because of insufficient free IP addresses in the subnetwork"


def with_subnetwork(region: Region, cidr: str) -> Region:
    """Put a subnetwork into a region that has not started."""
    home = compute_name("networks", PROJECT, "global", None, "vpc")
    network = worlds.resource(home, worlds.network("vpc").body)
    body = worlds.subnetwork("run", cidr).body | {"network": link(home)}
    region.cloud.make([Put(network), Put(worlds.resource(SUBNETWORK, body))])
    return region


@pytest.fixture
async def region(tmp_path: Path) -> AsyncIterator[Region]:
    async with running(with_subnetwork(Region(tmp_path), "10.8.0.0/26")) as region:
        yield region


def address(instance: InstanceState) -> str:
    (found,) = [each for each in instance.spec.attachments if isinstance(each, SubnetworkAttachment)]
    return str(found.address)


def holders(region: Region) -> list[str]:
    """Name the instances that hold addresses now."""
    blocks = blocks_of(region.store.world, SUBNETWORK)
    return [slot.instance for block in blocks for slot in block.slots.values() if slot.ended is None]


async def test_an_instance_has_its_address_and_its_tags(region: Region, port: int) -> None:
    await region.deploy(port, annotations=INTERFACE)
    await region.until(Readiness.READY)
    (instance,) = region.instances.running.values()
    assert address(instance) == "10.8.0.16"
    assert holders(region) == [instance.id]
    assert instance.spec.attachments[-1].tags == ("web",)  # type: ignore[union-attr]
    (row,) = region.instances.subnetworks()
    assert row == {
        "subnetwork": SUBNETWORK.path,
        "revisions": instance.revision.name.id,
        "instances": 1,
        "blocks": 1,
        "freeBlocks": 1,
    }


async def test_an_ended_instance_holds_its_address_until_its_container_is_gone(
    region: Region, port: int
) -> None:
    await region.deploy(port, annotations=INTERFACE)
    await region.until(Readiness.READY)
    (old,) = region.instances.running.values()
    await region.deploy(port, annotations=INTERFACE, timeoutSeconds=7)
    await region.until(Readiness.READY)
    region.instances.reconcile()
    await eventually(lambda: old.id in region.instances.ending)
    assert old.id in holders(region)
    region.instances.exited(WorkloadExited(old.id, 0, requested=True))
    await eventually(lambda: old.id not in holders(region))
    (new,) = region.instances.running.values()
    assert address(new) == "10.8.0.18"


async def test_the_successor_of_an_instance_that_died_has_its_address(region: Region, port: int) -> None:
    await region.deploy(port, annotations=INTERFACE)
    await region.until(Readiness.READY)
    (old,) = region.instances.running.values()
    region.instances.exited(WorkloadExited(old.id, 1))
    region.clock.advance(timedelta(minutes=1))
    region.instances.reconcile()
    await eventually(lambda: bool(region.instances.running))
    (new,) = region.instances.running.values()
    await eventually(lambda: new.phase == "ready")
    assert address(new) == address(old)


async def test_a_revision_without_an_address_fails_with_googles_words(tmp_path: Path, port: int) -> None:
    async with running(with_subnetwork(Region(tmp_path), "10.8.0.0/28")) as region:
        await region.deploy(port, annotations=INTERFACE)
        await region.until(Readiness.FAILED)
        conditions = {each["type"]: each for each in region.latest().body["status"]["conditions"]}
        assert conditions["Ready"]["message"].startswith(f"{EXHAUSTED} {SUBNETWORK.self_link}")
        assert conditions["ResourcesAvailable"]["status"] == "False"
        assert region.instances.running == {}
        service = {each["type"]: each for each in region.service().body["status"]["conditions"]}
        assert EXHAUSTED in service["Ready"]["message"]


async def test_what_serves_goes_on_when_there_are_no_more_addresses(region: Region, port: int) -> None:
    await region.deploy(port, annotations=INTERFACE | {"autoscaling.knative.dev/minScale": "3"})
    await region.until(Readiness.READY)
    region.instances.reconcile()
    await eventually(lambda: len(region.instances.running) == 3)
    many = INTERFACE | {"autoscaling.knative.dev/maxScale": "30", "autoscaling.knative.dev/minScale": "30"}
    await region.deploy(port, annotations=many)
    await region.until(Readiness.READY)
    region.instances.reconcile()
    await eventually(lambda: bool(region.instances.explain()))
    (_, failure) = region.instances.explain()[0]
    assert failure.why.startswith(EXHAUSTED)
    ready = [each for each in region.instances.running.values() if each.phase == "ready"]
    assert ready
    async with region.instances.lease(region.latest().name) as lent:
        assert lent.port == port


async def test_in_2023_an_instance_holds_four_addresses_and_cloud_nat_serves_none(
    tmp_path: Path, port: int
) -> None:
    region = with_subnetwork(Region(tmp_path), "10.8.0.0/24")
    region.cloud.make(keep_as_of(region.cloud.world, "2023-08-24", worlds.NOW, region.cloud.new_id))
    async with running(region):
        two = INTERFACE | {"autoscaling.knative.dev/minScale": "2"}
        await region.deploy(port, annotations=two, own={LAUNCH_STAGE: "BETA"})
        await region.until(Readiness.READY)
        region.instances.reconcile()
        await eventually(lambda: len(holders(region)) == 2)
        found = list(region.instances.running.values())
        await eventually(lambda: all(len(each.spec.attachments) == 2 for each in found))
        assert [address(each) for each in found] == ["10.8.0.16", "10.8.0.20"]
        assert not any(map(_nat, found))


def _nat(instance: InstanceState) -> bool:
    return any(isinstance(each, SubnetworkAttachment) and each.nat for each in instance.spec.attachments)


async def test_an_instance_that_is_retired_before_it_has_an_address_leaves_nothing(
    region: Region, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = False

    async def delayed(decide, **options):
        nonlocal decided
        if "Addresses" in getattr(decide, "__qualname__", "") and not decided:
            decided = True
            await region.delete()
            region.instances.reconcile()
        return await commit(decide, **options)

    commit = region.store.commit
    monkeypatch.setattr(region.store, "commit", delayed)
    await region.deploy(port, annotations=INTERFACE)
    await eventually(lambda: decided)
    await eventually(lambda: region.instances.running == {})
    await eventually(lambda: bool(blocks_of(region.store.world, SUBNETWORK)) and holders(region) == [])
    assert region.loop.fleet.instances == {}


async def test_a_disk_that_refuses_once_fails_nothing(
    region: Region, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [sqlite3.OperationalError("disk full")]
    commit = region.store.commit

    async def refusing(decide, **options):
        if "Addresses" in getattr(decide, "__qualname__", "") and refusals:
            raise refusals.pop()
        return await commit(decide, **options)

    monkeypatch.setattr(region.store, "commit", refusing)
    await region.deploy(port, annotations=INTERFACE)
    await eventually(lambda: not refusals)
    region.instances.reconcile()
    await region.until(Readiness.READY)
    (instance,) = region.instances.running.values()
    assert holders(region) == [instance.id]


async def test_a_region_that_starts_again_gives_a_revision_its_addresses(tmp_path: Path, port: int) -> None:
    async with running(with_subnetwork(Region(tmp_path), "10.8.0.0/26")) as region:
        await region.deploy(port, annotations=INTERFACE | {"autoscaling.knative.dev/minScale": "1"})
        await region.until(Readiness.READY)
        (old,) = region.instances.running.values()
    async with running(Region(tmp_path)) as again:
        again.instances.reconcile()
        await eventually(lambda: any(each.phase == "ready" for each in again.instances.running.values()))
        (new,) = again.instances.running.values()
        assert new.id != old.id
        assert address(new) == address(old)
        assert holders(again) == [new.id]
        assert again.service().name.path == f"{PLACE}/services/s"
