"""Instance groups, unmanaged and managed, and instance templates, without machines."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compute_calls import LINK, NOW, PROJECT, REGION, with_default_network

from fogbank.resources.instance_groups import group_of, groups_with, members_of, named_ports
from fogbank.resources.names import compute_name
from fogbank.services.compute.groups.machines import available, step
from fogbank.services.compute.instances.lifecycle import machine_powered_off, machine_started, machine_stopped
from fogbank.services.contract import Call

ZONE = f"{REGION}-a"
DEBIAN = "projects/debian-cloud/global/images/family/debian-12"
DISK = {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": DEBIAN}}


def template(name="small", **more):
    nic = {"network": "global/networks/default"}
    properties = {"machineType": "e2-micro", "disks": [DISK], "networkInterfaces": [nic]}
    return {"name": name, "properties": properties | more}


class Groups:
    """A project whose groups somebody looks after; machines come up and go when it is asked to."""

    def __init__(self, compute):
        self.compute = compute
        self.now = NOW
        self.worst = (0, 10**6)
        """The most instances that there were at one time, and the fewest that ran."""

    def __call__(self, method, body=None, **parameters):
        return self.compute(method, body, **({"zone": ZONE} | parameters))

    def manager(self, name="web", size=3, **more):
        body = {"name": name, "baseInstanceName": "web", "targetSize": size} | more
        body.setdefault("instanceTemplate", "global/instanceTemplates/small")
        return self("instanceGroupManagers.insert", body)

    def name(self, manager="web"):
        return compute_name("instanceGroupManagers", PROJECT, "zones", ZONE, manager)

    def look(self, name=None):
        """Take one step of a manager; return whether there was one to take."""
        call = Call("compute.v1.instanceGroupManagers.patch", {}, {}, "", self.now, self.compute.new_id)
        changes = step(self.compute.world, call, name or self.name())
        self.compute.world = self.compute.world.after(changes)
        return bool(changes)

    def instances(self):
        return list(self.compute.world.all("compute.instances"))

    def machines_follow(self):
        """Have each machine that is to come up do so, and each that is to go; one after the other."""
        for each in self.instances():
            world, boot = self.compute.world, each.private["boot"]
            if each.private["wanted"] == "DELETED":
                self.compute.world = world.after(machine_stopped(world, each.name, self.now))
            elif each.private.get("booted") != boot:
                self.compute.world = world.after(machine_started(world, each.name, boot, self.now))

    def settle(self, name=None):
        """Go on until nothing is left to do."""
        for _ in range(200):
            moved = self.look(name)
            most, fewest = self.worst
            running = sum(map(available, self.instances()))
            wanted = [each for each in self.instances() if each.private["wanted"] != "DELETED"]
            self.worst = max(most, len(wanted)), min(fewest, running)
            before = self.compute.world
            self.machines_follow()
            if not moved and self.compute.world is before:
                return
        raise AssertionError("the group never settles")

    def shown(self, name="web"):
        return self("instanceGroupManagers.get", instanceGroupManager=name)

    def managed(self, name="web"):
        return self("instanceGroupManagers.listManagedInstances", instanceGroupManager=name)

    def change(self, verb, body=None, **parameters):
        return self(f"instanceGroupManagers.{verb}", body, instanceGroupManager="web", **parameters)


@pytest.fixture(scope="module")
def base():
    compute = with_default_network()
    for name in ("small", "other"):
        compute("instanceTemplates.insert", template(name))
    return compute


@pytest.fixture
def groups(base):
    return Groups(base.branch())


def instance(groups, name="vm", network="default", **nic):
    nics = [{"network": f"global/networks/{network}"} | nic]
    body = {"name": name, "machineType": "e2-micro", "disks": [DISK], "networkInterfaces": nics}
    assert groups("instances.insert", body).error is None
    groups.machines_follow()


def members(*names):
    return {"instances": [{"instance": f"zones/{ZONE}/instances/{each}"} for each in names]}


def unmanaged(groups, name="group", **more):
    return groups("instanceGroups.insert", {"name": name} | more)


def group(groups, name="group"):
    return groups("instanceGroups.get", instanceGroup=name)


def test_a_group_takes_the_network_of_its_first_member_and_keeps_it(groups):
    unmanaged(groups)
    assert "network" not in group(groups)
    instance(groups)
    groups("instanceGroups.addInstances", members("vm"), instanceGroup="group")
    shown = group(groups)
    assert (shown["size"], shown["network"]) == (1, f"{LINK}/global/networks/default")
    groups.compute.network("other")
    groups.compute.subnetwork("sub", "10.9.0.0/24", "other")
    instance(groups, "far", "other", subnetwork=f"regions/{REGION}/subnetworks/sub")
    refused = groups.compute.refused(
        "instanceGroups.addInstances", members("far"), instanceGroup="group", zone=ZONE
    )
    assert "is expected to be in the network" in refused.message
    assert groups("instances.listReferrers", instance="vm")[0]["referrer"] == shown["selfLink"]
    groups("instanceGroups.removeInstances", members("vm"), instanceGroup="group")
    assert group(groups)["size"] == 0


def test_what_is_no_member_cannot_be_removed_and_a_member_not_added(groups):
    unmanaged(groups)
    instance(groups)
    call = {"instanceGroup": "group", "zone": ZONE}
    not_there = groups.compute.refused("instanceGroups.removeInstances", members("vm"), **call)
    assert (not_there.reason, not_there.code) == ("memberNotFound", 400)
    groups("instanceGroups.addInstances", members("vm"), instanceGroup="group")
    again = groups.compute.refused("instanceGroups.addInstances", members("vm"), **call)
    assert again.reason == "memberAlreadyExists"


def test_a_deleted_instance_is_no_member_even_when_its_name_is_used_again(groups):
    unmanaged(groups)
    for _ in range(2):
        instance(groups)
        assert group(groups)["size"] == 0
        groups("instanceGroups.addInstances", members("vm"), instanceGroup="group")
        assert group(groups)["size"] == 1
        groups("instances.delete", instance="vm")
        groups.machines_follow()
        assert group(groups)["size"] == 0


def test_readers_tell_members_with_addresses_and_ports_by_name(groups):
    ports = [{"name": "web", "port": 80}, {"name": "web", "port": 8080}, {"name": "db", "port": 5432}]
    unmanaged(groups, namedPorts=ports)
    instance(groups)
    groups("instanceGroups.addInstances", members("vm"), instanceGroup="group")
    found = groups.compute.world.get(group_of(group(groups)["selfLink"]))
    (member,) = members_of(groups.compute.world, found)
    assert (str(member.address), member.network.id, member.running) == ("10.178.0.2", "default", True)
    assert named_ports(found) == {"web": (80, 8080), "db": (5432,)}
    listed = groups("instanceGroups.listInstances", {"instanceState": "RUNNING"}, instanceGroup="group")
    assert listed[0]["namedPorts"] == ports


def test_a_stale_fingerprint_does_not_set_named_ports(groups):
    unmanaged(groups)
    body = {"namedPorts": [{"name": "web", "port": 80}], "fingerprint": group(groups)["fingerprint"]}
    groups("instanceGroups.setNamedPorts", body, instanceGroup="group")
    refused = groups.compute.refused("instanceGroups.setNamedPorts", body, instanceGroup="group", zone=ZONE)
    assert refused.code == 412


def test_an_instance_is_made_of_a_template_with_what_the_call_says_instead(groups):
    source = "global/instanceTemplates/small"
    groups("instances.insert", {"name": "one", "tags": {"items": ["a"]}}, sourceInstanceTemplate=source)
    made = groups("instances.get", instance="one")
    assert made["machineType"].endswith("/e2-micro")
    assert made["tags"]["items"] == ["a"]
    bulk = {"count": "2", "namePattern": "many-#", "sourceInstanceTemplate": source}
    groups("instances.bulkInsert", bulk)
    assert groups("instances.get", instance="many-2")["machineType"].endswith("/e2-micro")


def test_a_manager_makes_its_instances_and_is_stable_then(groups):
    groups.manager(namedPorts=[{"name": "web", "port": 80}])
    assert groups.shown()["status"]["isStable"] is False
    groups.settle()
    shown = groups.shown()
    assert shown["status"]["isStable"] is True
    assert shown["status"]["versionTarget"] == {"isReached": True}
    assert shown["currentActions"]["none"] == 3
    rows = groups.managed()
    assert {each["currentAction"] for each in rows} == {"NONE"}
    assert {each["instanceStatus"] for each in rows} == {"RUNNING"}
    assert group(groups, "web")["size"] == 3
    one = groups.instances()[0]
    keys = {each["key"]: each["value"] for each in one.body["metadata"]["items"]}
    assert keys["created-by"] == f"projects/123456789012/zones/{ZONE}/instanceGroupManagers/web"
    assert [each.name.id for each in groups_with(groups.compute.world, one)] == ["web"]


@pytest.mark.parametrize("sizes", [(1, 4, 2), (5, 0, 3)])
def test_a_group_has_the_size_that_was_asked_for_last(groups, sizes):
    groups.manager(size=sizes[0])
    groups.settle()
    for size in sizes[1:]:
        groups.change("resize", size=size)
        groups.settle()
        assert len(groups.instances()) == size
        assert groups.shown()["status"]["isStable"] is True


def test_an_instance_that_is_deleted_or_switched_off_is_made_again_under_its_name(groups):
    groups.manager(size=2)
    groups.settle()
    first, second = groups.instances()
    groups("instances.delete", instance=first.name.id)
    world = groups.compute.world
    groups.compute.world = world.after(machine_powered_off(world, second.name, NOW))
    groups.now += timedelta(minutes=1)
    groups.settle()
    after = groups.instances()
    assert [each.name for each in after] == [first.name, second.name]
    assert {each.id for each in after}.isdisjoint({first.id, second.id})
    assert all(map(available, after))


def test_chosen_instances_are_recreated_deleted_or_abandoned(groups):
    groups.manager(size=3)
    groups.settle()
    first, second, third = groups.instances()
    groups.change("recreateInstances", {"instances": [first.name.self_link]})
    groups.change("deleteInstances", {"instances": [second.name.self_link]})
    groups.change("abandonInstances", {"instances": [third.name.self_link]})
    groups.settle()
    assert groups.shown()["targetSize"] == 1
    names = {each.name for each in groups.instances()}
    assert names == {first.name, third.name}
    assert [each["name"] for each in groups.managed()] == [first.name.id]
    assert groups.compute.world.get(first.name).id != first.id
    assert groups.compute.world.get(third.name).id == third.id
    groups("instances.delete", instance=third.name.id)
    groups.settle()
    assert len(groups.instances()) == 1


def test_deleting_a_manager_takes_all_its_instances_and_its_operation_ends_with_the_last(groups):
    groups.manager(size=2)
    groups.settle()
    operation = groups.change("delete")
    assert operation.status == "RUNNING"
    groups.settle()
    assert groups.instances() == []
    assert groups.compute.world.find(groups.name()) is None
    assert list(groups.compute.world.all("compute.instanceGroups")) == []
    assert list(groups.compute.world.all("compute.disks")) == []


def test_a_template_that_a_manager_has_is_in_use(groups):
    groups.manager()
    message = groups.compute.in_use("instanceTemplates.delete", instanceTemplate="small")
    assert "already being used by" in message
    groups.compute("instanceTemplates.delete", instanceTemplate="other")


def test_a_new_template_waits_for_new_instances_unless_the_policy_is_proactive(groups):
    groups.manager(size=2)
    groups.settle()
    before = {each.id for each in groups.instances()}
    groups.change("setInstanceTemplate", {"instanceTemplate": "global/instanceTemplates/other"})
    groups.settle()
    assert {each.id for each in groups.instances()} == before
    assert groups.shown()["status"] | {"stateful": 0, "allInstancesConfig": 0} == {
        "isStable": True,
        "versionTarget": {"isReached": False},
        "stateful": 0,
        "allInstancesConfig": 0,
    }
    groups.change("applyUpdatesToInstances", {"allInstances": True})
    groups.settle()
    assert {each["version"]["instanceTemplate"].rpartition("/")[2] for each in groups.managed()} == {"other"}


@given(
    size=st.integers(1, 6),
    surge=st.integers(0, 3),
    unavailable=st.integers(0, 3),
    recreate=st.booleans(),
)
def test_a_rolling_update_keeps_its_limits_and_ends_with_new_instances_only(
    base, size, surge, unavailable, recreate
):
    if recreate:
        surge, unavailable = 0, max(1, unavailable)
    unavailable = unavailable if surge else max(1, unavailable)
    groups = Groups(base.branch())
    groups.manager(size=size)
    groups.settle()
    policy = {
        "type": "PROACTIVE",
        "maxSurge": {"fixed": surge},
        "maxUnavailable": {"fixed": unavailable},
        "replacementMethod": "RECREATE" if recreate else "SUBSTITUTE",
    }
    old = {each.id for each in groups.instances()}
    names = {each.name for each in groups.instances()}
    versions = [{"instanceTemplate": "global/instanceTemplates/other"}]
    groups.change("patch", {"versions": versions, "updatePolicy": policy})
    groups.worst = (0, 10**6)
    groups.settle()
    most, fewest = groups.worst
    assert most <= size + surge
    assert fewest >= size - unavailable
    after = groups.instances()
    assert len(after) == size
    assert old.isdisjoint({each.id for each in after})
    assert ({each.name for each in after} == names) is recreate
    assert groups.shown()["status"]["isStable"] is True


def test_a_canary_has_its_share_of_the_instances(groups):
    groups.manager(size=4, updatePolicy={"type": "PROACTIVE"})
    groups.settle()
    canary = {"instanceTemplate": "global/instanceTemplates/other", "targetSize": {"percent": 25}}
    groups.change("patch", {"versions": [{"instanceTemplate": "global/instanceTemplates/small"}, canary]})
    groups.settle()
    templates = [each["version"]["instanceTemplate"].rpartition("/")[2] for each in groups.managed()]
    assert sorted(templates) == ["other", "small", "small", "small"]


def test_a_restart_keeps_the_instances(groups):
    groups.manager(size=2, updatePolicy={"type": "PROACTIVE"})
    groups.settle()
    before = {each.id: each.private["boot"] for each in groups.instances()}
    versions = [{"instanceTemplate": "global/instanceTemplates/small", "name": "0-1"}]
    groups.change("patch", {"versions": versions, "updatePolicy": {"minimalAction": "RESTART"}})
    groups.settle()
    assert {each.id: each.private["boot"] for each in groups.instances()} == {
        number: boot + 1 for number, boot in before.items()
    }


def test_an_instance_that_cannot_be_made_is_tried_again_later_and_its_error_listed(groups):
    groups.compute.network("tiny")
    groups.compute.subnetwork("sub", "10.9.0.0/29", "tiny")
    nic = {"subnetwork": f"regions/{REGION}/subnetworks/sub"}
    groups.compute("instanceTemplates.insert", template("tiny", networkInterfaces=[nic]))
    groups.manager(size=5, instanceTemplate="global/instanceTemplates/tiny")
    groups.settle()
    assert len(groups.instances()) == 4
    errors = groups("instanceGroupManagers.listErrors", instanceGroupManager="web")
    assert len(errors) == 1
    assert groups.shown()["status"]["isStable"] is False
    assert groups.look() is False
    groups.compute(
        "subnetworks.expandIpCidrRange", {"ipCidrRange": "10.9.0.0/24"}, subnetwork="sub", region=REGION
    )
    groups.now += timedelta(seconds=11)
    groups.settle()
    assert groups.shown()["status"]["isStable"] is True


def test_a_regional_group_spreads_over_its_zones(groups):
    body = {"name": "wide", "targetSize": 5, "instanceTemplate": "global/instanceTemplates/small"}
    groups.compute("regionInstanceGroupManagers.insert", body, region=REGION)
    name = compute_name("instanceGroupManagers", PROJECT, "regions", REGION, "wide")
    groups.settle(name)
    zones = [each.name.segment("zones") for each in groups.instances()]
    assert sorted(map(zones.count, set(zones))) == [1, 2, 2]
    shown = groups.compute("regionInstanceGroups.get", instanceGroup="wide", region=REGION)
    assert shown["size"] == 5


def test_a_stateful_policy_that_keeps_nothing_is_none(groups):
    # Terraform's provider sends one with every manager.
    assert groups.manager(statefulPolicy={"preservedState": {}}, targetPools=[]).error is None
    assert "statefulPolicy" not in groups.shown()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"statefulPolicy": {"preservedState": {"disks": {"data": {}}}}}, "statefulPolicy"),
        ({"autoHealingPolicies": [{"healthCheck": "x"}]}, "autoHealingPolicies"),
        ({"targetPools": ["x"]}, "targetPools"),
        ({"updatePolicy": {"maxSurge": {"fixed": 0}, "maxUnavailable": {"fixed": 0}}}, "cannot both be 0"),
        ({"updatePolicy": {"type": "SOON"}}, "Must be one of"),
        ({"instanceTemplate": "global/instanceTemplates/none"}, "was not found"),
    ],
)
def test_what_a_manager_cannot_do_is_refused_by_name(groups, more, words):
    body = {"name": "web", "targetSize": 1, "instanceTemplate": "global/instanceTemplates/small"} | more
    assert words in groups.compute.refused("instanceGroupManagers.insert", body, zone=ZONE).message


def test_the_world_of_a_group_is_the_same_whoever_looks_twice(groups):
    groups.manager()
    groups.settle()
    before = groups.compute.world
    assert groups.look() is False
    assert groups.compute.world is before or replace(before, version=0) == replace(
        groups.compute.world, version=0
    )
