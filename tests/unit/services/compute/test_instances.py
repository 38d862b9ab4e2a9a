"""Instances as clients make, change and stop them."""

import pytest
from tests.compute_calls import LINK, NOW, PROJECT, REGION, with_default_network

from fogbank.resources.instances import VirtualMachine, instance_at, project_metadata
from fogbank.resources.names import ResourceName, compute_name
from fogbank.services.compute.instances.lifecycle import (
    machine_crashed,
    machine_powered_off,
    machine_started,
    machine_stopped,
    machine_suspended,
)

ZONE = f"{REGION}-a"
DEBIAN = "projects/debian-cloud/global/images/family/debian-12"
ACCOUNT = "123456789012-compute@developer.gserviceaccount.com"


def body(name="vm", **more):
    """Return what gcloud sends to make an instance."""
    return {
        "name": name,
        "machineType": f"zones/{ZONE}/machineTypes/e2-micro",
        "disks": [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": DEBIAN}}],
        "networkInterfaces": [{"network": "global/networks/default"}],
        "serviceAccounts": [
            {"email": "default", "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}
        ],
    } | more


def nic(**fields):
    return [{"network": "global/networks/default"} | fields]


def external(**fields):
    return nic(accessConfigs=[{"type": "ONE_TO_ONE_NAT"} | fields])


def named(name="vm", kind="instances"):
    return compute_name(kind, PROJECT, "zones", ZONE, name)


@pytest.fixture(scope="module")
def _new():
    return with_default_network()


@pytest.fixture
def compute(_new):
    return _new.branch()


def insert(compute, name="vm", *, up=True, **more):
    operation = compute("instances.insert", body(name, **more), zone=ZONE)
    assert operation.error is None
    if up:
        boots(compute, name)
    return operation


def boots(compute, name="vm"):
    boot = compute.world.find(named(name)).private["boot"]
    compute.world = compute.world.after(machine_started(compute.world, named(name), boot, NOW))


def get(compute, name="vm", kind="instances"):
    return compute(f"{kind}.get", zone=ZONE, **{kind[:-1]: name})


def change(compute, verb, content=None, name="vm", **more):
    return compute(f"instances.{verb}", content, zone=ZONE, instance=name, **more)


def error_of(operation):
    assert operation.status == "DONE"
    return operation.error.code, operation.error.message


def test_an_instance_with_gclouds_defaults_has_googles(compute):
    operation = insert(compute, up=False)
    shown = get(compute)
    assert operation.status == "RUNNING"
    assert operation.name.path.startswith(f"projects/{PROJECT}/zones/{ZONE}/operations/")
    assert shown["status"] == "PROVISIONING"
    boots(compute)
    shown = get(compute)
    assert (shown["status"], shown["zone"]) == ("RUNNING", f"{LINK}/zones/{ZONE}")
    assert shown["networkInterfaces"][0] | {"fingerprint": ""} == {
        "kind": "compute#networkInterface",
        "name": "nic0",
        "network": f"{LINK}/global/networks/default",
        "subnetwork": f"{LINK}/regions/{REGION}/subnetworks/default",
        "networkIP": "10.178.0.2",
        "stackType": "IPV4_ONLY",
        "fingerprint": "",
    }
    assert shown["serviceAccounts"][0]["email"] == ACCOUNT
    assert shown["scheduling"] == {
        "onHostMaintenance": "MIGRATE",
        "automaticRestart": True,
        "preemptible": False,
        "provisioningModel": "STANDARD",
    }
    disk = get(compute, kind="disks")
    assert shown["disks"][0]["source"] == disk["selfLink"]
    assert (disk["sizeGb"], disk["users"]) == ("10", [shown["selfLink"]])
    assert disk["sourceImage"].startswith("https://www.googleapis.com/compute/v1/projects/debian-cloud/")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"machineType": "e9-huge"}, "Machine type with name 'e9-huge' does not exist in zone"),
        ({"machineType": "zones/us-central1-a/machineTypes/e2-micro"}, "must be in zone"),
        ({"disks": []}, "No disks are specified."),
        ({"networkInterfaces": []}, "At least one network interface is required."),
        ({"networkInterfaces": nic() + nic()}, "Networks must be distinct for NICs attached to a VM."),
        ({"networkInterfaces": nic() * 3}, "Too many network interfaces"),
        ({"networkInterfaces": nic(networkIP="10.0.0.1")}, "outside the subnetwork/network range"),
        ({"networkInterfaces": nic(networkIP="10.178.0.1")}, "outside the subnetwork/network range"),
        ({"networkInterfaces": external(natIP="203.0.113.9")}, "was not found in region"),
        ({"guestAccelerators": [{"acceleratorCount": 1}]}, "does not implement"),
        ({"tags": {"items": ["Web"]}}, "Must be a match of regex"),
        ({"metadata": {"items": [{"key": "a b", "value": ""}]}}, "Must be a match of regex"),
        ({"metadata": {"items": [{"key": "a", "value": ""}] * 2}}, "duplicate key"),
        ({"scheduling": {"preemptible": True, "automaticRestart": True}}, "automaticRestart be false"),
        ({"serviceAccounts": [{"email": "nobody@demo.iam.gserviceaccount.com"}]}, "was not found"),
        ({"hostname": "short"}, "fully qualified"),
    ],
)  # fmt: skip
def test_what_google_refuses_is_refused_at_once(compute, more, words):
    assert words in compute.refused("instances.insert", body(**more), zone=ZONE).message


def test_an_image_or_a_family_that_is_not_there_is_a_404(compute):
    disks = [
        {"boot": True, "initializeParams": {"sourceImage": "projects/debian-cloud/global/images/family/x"}}
    ]
    assert compute.refused("instances.insert", body(disks=disks), zone=ZONE).code == 404


def test_a_custom_network_wants_a_subnetwork(compute):
    compute.network("net")
    refusal = compute.refused(
        "instances.insert", body(networkInterfaces=[{"network": "global/networks/net"}]), zone=ZONE
    )
    assert "Subnetwork should be specified for custom subnetmode network" in refusal.message


def test_addresses_are_the_lowest_that_nobody_has(compute):
    compute.address("kept", addressType="INTERNAL", subnetwork="default", address="10.178.0.3")
    insert(compute, "a")
    insert(compute, "b")
    insert(compute, "c", networkInterfaces=nic(networkIP="10.178.0.6"))
    insert(compute, "d")
    insert(compute, "e")
    found = [get(compute, name)["networkInterfaces"][0]["networkIP"] for name in "abcde"]
    assert found == ["10.178.0.2", "10.178.0.4", "10.178.0.6", "10.178.0.5", "10.178.0.7"]
    assert compute.address("next", addressType="INTERNAL", subnetwork="default") == "10.178.0.8"


def test_a_reserved_internal_address_is_in_use_by_its_instance(compute):
    kept = compute.address("kept", addressType="INTERNAL", subnetwork="default")
    insert(compute, networkInterfaces=nic(networkIP=kept))
    shown = compute("addresses.get", region=REGION, address="kept")
    assert (shown["status"], shown["users"]) == ("IN_USE", [get(compute)["selfLink"]])
    assert "already being used by" in compute.in_use("addresses.delete", region=REGION, address="kept")


def test_an_address_that_an_instance_has_is_an_error_of_the_operation(compute):
    insert(compute, "a")
    before = compute.world
    operation = compute(
        "instances.insert", body("b", networkInterfaces=nic(networkIP="10.178.0.2")), zone=ZONE
    )
    assert error_of(operation) == (
        "IP_IN_USE_BY_ANOTHER_RESOURCE",
        "IP '10.178.0.2' is already being used by another resource.",
    )
    assert compute.world == before


def test_an_address_in_use_can_be_reserved_for_its_instance(compute):
    insert(compute, networkInterfaces=external())
    interface = get(compute)["networkInterfaces"][0]
    compute.address("in", addressType="INTERNAL", subnetwork="default", address=interface["networkIP"])
    compute.address("out", address=interface["accessConfigs"][0]["natIP"])
    for name in ("in", "out"):
        assert compute("addresses.get", region=REGION, address=name)["status"] == "IN_USE"


def test_an_external_address_comes_from_the_pool_and_goes_with_the_machine(compute):
    insert(compute, networkInterfaces=external())
    assert get(compute)["networkInterfaces"][0]["accessConfigs"][0] == {
        "kind": "compute#accessConfig",
        "type": "ONE_TO_ONE_NAT",
        "name": "External NAT",
        "natIP": "203.0.113.1",
        "networkTier": "PREMIUM",
    }
    assert compute.address("other") == "203.0.113.2"
    change(compute, "stop")
    compute.world = compute.world.after(machine_stopped(compute.world, named(), NOW))
    assert "natIP" not in get(compute)["networkInterfaces"][0]["accessConfigs"][0]
    assert compute.address("first") == "203.0.113.1"
    change(compute, "start")
    assert get(compute)["networkInterfaces"][0]["accessConfigs"][0]["natIP"] == "203.0.113.3"


def test_a_reserved_external_address_stays_and_serves_one_instance(compute):
    kept = compute.address("kept")
    insert(compute, "a", networkInterfaces=external(natIP=kept))
    _, message = error_of(
        compute("instances.insert", body("b", networkInterfaces=external(natIP=kept)), zone=ZONE)
    )
    assert message == f"External IP address: {kept} is already in-use."
    change(compute, "stop", name="a")
    compute.world = compute.world.after(machine_stopped(compute.world, named("a"), NOW))
    assert get(compute, "a")["networkInterfaces"][0]["accessConfigs"][0]["natIP"] == kept
    assert compute("addresses.get", region=REGION, address="kept")["status"] == "IN_USE"


def test_alias_ranges_are_taken_from_the_primary_range_or_a_secondary_one(compute):
    compute.network("net")
    secondary = [{"rangeName": "pods", "ipCidrRange": "10.9.0.0/22"}]
    compute.subnetwork("s", "10.0.0.0/26", secondaryIpRanges=secondary)
    place = {"subnetwork": f"regions/{REGION}/subnetworks/s"}
    aliases = [{"ipCidrRange": "/24", "subnetworkRangeName": "pods"}, {"ipCidrRange": "/32"}]
    for name in ("a", "b"):
        insert(compute, name, networkInterfaces=[place | {"aliasIpRanges": aliases}])
    found = [get(compute, name)["networkInterfaces"][0] for name in ("a", "b")]
    assert [each["networkIP"] for each in found] == ["10.0.0.2", "10.0.0.4"]
    assert [[alias["ipCidrRange"] for alias in each["aliasIpRanges"]] for each in found] == [
        ["10.9.0.0/24", "10.0.0.3/32"],
        ["10.9.1.0/24", "10.0.0.5/32"],
    ]
    wanted = [place | {"aliasIpRanges": [{"ipCidrRange": "10.9.1.0/25", "subnetworkRangeName": "pods"}]}]
    code, _ = error_of(compute("instances.insert", body("c", networkInterfaces=wanted), zone=ZONE))
    assert code == "IP_IN_USE_BY_ANOTHER_RESOURCE"


def test_a_machine_with_two_interfaces_is_in_two_networks(compute):
    compute.network("net")
    compute.subnetwork("s", "10.0.0.0/24")
    insert(compute, networkInterfaces=[*nic(), {"subnetwork": f"regions/{REGION}/subnetworks/s"}])
    machine = VirtualMachine.of(compute.world.get(named()))
    assert [(each.name, each.device, str(each.gateway)) for each in machine.interfaces] == [
        ("nic0", "ens4", "10.178.0.1"),
        ("nic1", "ens5", "10.0.0.1"),
    ]
    network = ResourceName("compute.networks", f"projects/{PROJECT}/global/networks/net")
    found = instance_at(compute.world, network, machine.interfaces[1].address)
    assert found is not None
    assert found.name == named()


def test_a_subnetwork_or_network_with_an_instance_is_kept(compute):
    compute.network("net")
    compute.subnetwork("s", "10.0.0.0/24")
    insert(compute, networkInterfaces=[{"subnetwork": f"regions/{REGION}/subnetworks/s"}])
    message = compute.in_use("subnetworks.delete", region=REGION, subnetwork="s")
    assert message.endswith(f"is already being used by '{named().path}'")


def test_power_states_follow_the_machine(compute):
    insert(compute, up=False)
    assert compute.refused("instances.stop", zone=ZONE, instance="vm").reason == "resourceNotReady"
    boots(compute)
    assert change(compute, "start").status == "DONE"
    assert change(compute, "suspend").status == "RUNNING"
    assert get(compute)["status"] == "SUSPENDING"
    compute.world = compute.world.after(machine_suspended(compute.world, named(), NOW))
    assert get(compute)["status"] == "SUSPENDED"
    assert "resumed" in compute.refused("instances.start", zone=ZONE, instance="vm").message
    change(compute, "resume")
    boots(compute)
    before = compute.world.find(named()).private["boot"]
    change(compute, "reset")
    assert (get(compute)["status"], compute.world.find(named()).private["boot"]) == ("RUNNING", before + 1)
    boots(compute)
    change(compute, "stop")
    assert get(compute)["status"] == "STOPPING"
    compute.world = compute.world.after(machine_stopped(compute.world, named(), NOW))
    assert (get(compute)["status"], change(compute, "stop").status) == ("TERMINATED", "DONE")
    assert not compute.world.running


def test_an_instance_that_is_deleted_goes_when_its_machine_has_stopped(compute):
    extra = {"initializeParams": {"diskSizeGb": "20"}}
    disks = [*body()["disks"], extra]
    insert(compute, disks=disks)
    operation = change(compute, "delete")
    assert (operation.status, get(compute)["status"]) == ("RUNNING", "STOPPING")
    compute.world = compute.world.after(machine_stopped(compute.world, named(), NOW))
    assert compute.refused("instances.get", zone=ZONE, instance="vm").code == 404
    assert compute.refused("disks.get", zone=ZONE, disk="vm").code == 404
    assert get(compute, "vm-1", "disks")["sizeGb"] == "20"


def test_a_protected_instance_is_not_deleted(compute):
    insert(compute, deletionProtection=True)
    assert (
        "protected against deletion" in compute.refused("instances.delete", zone=ZONE, instance="vm").message
    )
    compute("instances.setDeletionProtection", zone=ZONE, resource="vm", deletionProtection=False)
    change(compute, "delete")


def test_a_machine_that_dies_is_started_again_unless_nobody_wants_it(compute):
    insert(compute, "a")
    insert(compute, "b", scheduling={"automaticRestart": False})
    insert(compute, "c")
    for name in "ab":
        compute.world = compute.world.after(machine_crashed(compute.world, named(name), NOW))
    compute.world = compute.world.after(machine_powered_off(compute.world, named("c"), NOW))
    assert [get(compute, name)["status"] for name in "abc"] == ["PROVISIONING", "TERMINATED", "TERMINATED"]


def test_changes_are_held_to_the_fingerprint_that_the_client_read(compute):
    insert(compute)
    shown = get(compute)
    for verb, content, present in (
        ("setTags", {"items": ["web"]}, shown["tags"]["fingerprint"]),
        ("setMetadata", {"items": [{"key": "a", "value": "b"}]}, shown["metadata"]["fingerprint"]),
    ):
        stale = compute.refused(
            f"instances.{verb}", content | {"fingerprint": "AAAA"}, zone=ZONE, instance="vm"
        )
        assert stale.code == 412
        change(compute, verb, content | {"fingerprint": present})
    change(compute, "setLabels", {"labels": {"a": "b"}, "labelFingerprint": shown["labelFingerprint"]})
    shown = get(compute)
    assert shown["tags"]["items"] == ["web"]
    assert shown["metadata"]["items"] == [{"key": "a", "value": "b"}]
    assert shown["labels"] == {"a": "b"}


def test_some_changes_want_a_stopped_instance(compute):
    insert(compute)
    for verb, content in (
        ("setMachineType", {"machineType": f"zones/{ZONE}/machineTypes/n2-standard-4"}),
        ("setServiceAccount", {"email": "", "scopes": []}),
    ):
        refusal = compute.refused(f"instances.{verb}", content, zone=ZONE, instance="vm")
        assert "must be stopped" in refusal.message
    change(compute, "stop")
    compute.world = compute.world.after(machine_stopped(compute.world, named(), NOW))
    change(compute, "setMachineType", {"machineType": f"zones/{ZONE}/machineTypes/e2-custom-2-4096"})
    change(compute, "setServiceAccount", {"email": "", "scopes": []})
    machine = VirtualMachine.of(compute.world.get(named()))
    assert (machine.machine_type.cpus, machine.machine_type.memory_mb, machine.accounts) == (2, 4096, ())


def test_a_disk_is_written_by_one_instance(compute):
    compute("disks.insert", {"name": "data", "sizeGb": "20"}, zone=ZONE)
    insert(compute, "a")
    insert(compute, "b")
    change(compute, "attachDisk", {"source": f"zones/{ZONE}/disks/data", "deviceName": "d"}, name="a")
    operation = change(compute, "attachDisk", {"source": f"zones/{ZONE}/disks/data"}, name="b")
    assert error_of(operation)[0] == "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"
    assert "already being used by" in compute.in_use("disks.delete", zone=ZONE, disk="data")
    change(compute, "setDiskAutoDelete", name="a", deviceName="d", autoDelete=True)
    assert get(compute, "a")["disks"][1]["autoDelete"] is True
    change(compute, "detachDisk", name="a", deviceName="d")
    compute("disks.delete", zone=ZONE, disk="data")


def test_a_disk_grows_and_never_shrinks(compute):
    compute("disks.insert", {"name": "data", "sizeGb": "20"}, zone=ZONE)
    compute("disks.resize", {"sizeGb": "30"}, zone=ZONE, disk="data")
    assert (
        "must be larger" in compute.refused("disks.resize", {"sizeGb": "30"}, zone=ZONE, disk="data").message
    )
    small = {"name": "small", "sizeGb": "5", "sourceImage": DEBIAN}
    assert "image size" in compute.refused("disks.insert", small, zone=ZONE).message


def test_access_configs_come_and_go(compute):
    insert(compute)
    change(compute, "addAccessConfig", {"name": "external-nat"}, networkInterface="nic0")
    assert get(compute)["networkInterfaces"][0]["accessConfigs"][0]["name"] == "external-nat"
    twice = compute.refused(
        "instances.addAccessConfig", {}, zone=ZONE, instance="vm", networkInterface="nic0"
    )
    assert "At most one access config" in twice.message
    change(compute, "deleteAccessConfig", networkInterface="nic0", accessConfig="external-nat")
    assert "accessConfigs" not in get(compute)["networkInterfaces"][0]


def test_alias_ranges_of_an_interface_are_replaced(compute):
    insert(compute, networkInterfaces=nic(aliasIpRanges=[{"ipCidrRange": "10.178.1.0/28"}]))
    before = get(compute)["networkInterfaces"][0]
    wanted = {"fingerprint": before["fingerprint"], "aliasIpRanges": [{"ipCidrRange": "10.178.1.0/27"}]}
    change(compute, "updateNetworkInterface", wanted, networkInterface="nic0")
    assert get(compute)["networkInterfaces"][0]["aliasIpRanges"] == [{"ipCidrRange": "10.178.1.0/27"}]
    stale = compute.refused(
        "instances.updateNetworkInterface", wanted, zone=ZONE, instance="vm", networkInterface="nic0"
    )
    assert stale.code == 412


def test_several_instances_are_made_at_once(compute):
    properties = {key: value for key, value in body().items() if key != "name"}
    content = {"count": "3", "namePattern": "vm-##", "instanceProperties": properties}
    compute("instances.bulkInsert", content, zone=ZONE)
    listed = compute("instances.list", zone=ZONE)
    assert [each["name"] for each in listed] == ["vm-01", "vm-02", "vm-03"]
    addresses = {each["networkInterfaces"][0]["networkIP"] for each in listed}
    assert addresses == {"10.178.0.2", "10.178.0.3", "10.178.0.4"}


def test_a_project_has_metadata_for_all_its_instances(compute):
    empty = compute("projects.get")["commonInstanceMetadata"]
    content = {"fingerprint": empty["fingerprint"], "items": [{"key": "ssh-keys", "value": "me:ssh-rsa A"}]}
    compute("projects.setCommonInstanceMetadata", content)
    assert compute("projects.get")["commonInstanceMetadata"]["items"] == content["items"]
    assert project_metadata(compute.world, PROJECT) == {"ssh-keys": "me:ssh-rsa A"}
    assert compute.refused("projects.setCommonInstanceMetadata", content).code == 412


def test_tables_of_machine_and_disk_types(compute):
    names = {each["name"]: each for each in compute("machineTypes.list", zone=ZONE)}
    assert (names["e2-medium"]["guestCpus"], names["e2-medium"]["memoryMb"]) == (2, 4096)
    assert (names["n1-standard-1"]["guestCpus"], names["n1-standard-1"]["memoryMb"]) == (1, 3840)
    assert compute("machineTypes.get", zone=ZONE, machineType="n2-custom-4-8192")["memoryMb"] == 8192
    assert compute.refused("machineTypes.get", zone=ZONE, machineType="x1-one").code == 404
    assert {each["name"] for each in compute("diskTypes.list", zone=ZONE)} >= {"pd-balanced", "pd-ssd"}
    assert compute("acceleratorTypes.list", zone=ZONE) == []


def test_public_images_are_read_by_name_family_and_family_view(compute):
    family = compute("images.getFromFamily", project="debian-cloud", family="debian-12")
    assert compute("images.get", project="debian-cloud", image=family["name"]) == family
    view = compute("imageFamilyViews.get", project="debian-cloud", zone="-", family="debian-12")
    assert view["image"] == family
    assert "small Debian root" in family["description"]
    assert len(compute("images.list", project="ubuntu-os-cloud")) >= 2


def test_an_image_of_a_projects_own_is_made_of_a_disk(compute):
    compute("disks.insert", {"name": "data", "sizeGb": "20", "sourceImage": DEBIAN}, zone=ZONE)
    compute("images.insert", {"name": "mine", "family": "mine", "sourceDisk": f"zones/{ZONE}/disks/data"})
    assert compute("images.getFromFamily", family="mine")["diskSizeGb"] == "20"
    boots_from = [{"boot": True, "initializeParams": {"sourceImage": "global/images/mine"}}]
    refusal = compute.refused("instances.insert", body(disks=boots_from), zone=ZONE)
    assert refusal.status == "UNIMPLEMENTED"
