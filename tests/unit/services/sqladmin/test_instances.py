"""Cloud SQL's methods: what is accepted, refused and left for the server to do."""

import pytest
from tests.cloud_calls import NOW, PROJECT, Cloud

from fogbank.resources.names import ResourceName
from fogbank.resources.private_services import connection_name
from fogbank.resources.world import Put, Resource
from fogbank.services.sqladmin.model import instance_name, read_instance
from fogbank.services.sqladmin.operations import end

NETWORK = ResourceName("compute.networks", f"projects/{PROJECT}/global/networks/app")
IP = {"ipv4Enabled": False, "privateNetwork": NETWORK.path}


def connected():
    """A World whose network has private services access with one /28."""
    cloud = Cloud()
    cloud("compute.v1.networks.insert", {"name": "app", "autoCreateSubnetworks": False}, project=PROJECT)
    address = {
        "name": "psa", "purpose": "VPC_PEERING", "addressType": "INTERNAL", "address": "10.200.0.0",
        "prefixLength": 28, "network": NETWORK.path,
    }  # fmt: skip
    cloud("compute.v1.globalAddresses.insert", address, project=PROJECT)
    body = {"network": NETWORK.path, "reservedPeeringRanges": ["psa"]}
    cloud.make((Put(Resource(connection_name(NETWORK), 7, NOW, body)),))
    return cloud


def body(name="db", **settings):
    return {
        "name": name, "region": "asia-northeast3", "databaseVersion": "POSTGRES_15",
        "settings": {"tier": "db-f1-micro", "ipConfiguration": IP, **settings},
    }  # fmt: skip


def insert(cloud, **changes):
    return cloud("sqladmin.v1.sql.instances.insert", body() | changes, project=PROJECT)


def stored(cloud, name="db"):
    return cloud.world.get(instance_name(PROJECT, name))


def settle(cloud, name="db"):
    """Do as the controller does when the server has been told everything."""
    found = stored(cloud, name)
    ended = [
        change for each in found.private["work"] for change in end(cloud.world, each["operation"], "now")
    ]
    done = Resource(
        found.name, found.id, found.created, found.body | {"state": "RUNNABLE"}, found.private | {"work": []}
    )
    cloud.make((Put(done), *ended))


def test_a_new_instance_has_an_address_and_work_for_its_server():
    cloud = connected()
    operation = insert(cloud, rootPassword="secret")
    assert (operation["operationType"], operation["status"]) == ("CREATE", "PENDING")
    read = read_instance(stored(cloud))
    assert (str(read.address), read.state) == ("10.200.0.3", "PENDING_CREATE")
    assert [each["do"] for each in read.work] == ["set up"]
    assert "secret" not in str(stored(cloud).body)
    users = cloud("sqladmin.v1.sql.users.list", project=PROJECT, instance="db")
    assert [each["name"] for each in users] == ["postgres"]


def test_two_instances_have_different_ranges_and_a_third_finds_none():
    cloud = connected()
    insert(cloud)
    insert(cloud, name="second")
    first, second = (read_instance(stored(cloud, name)).range for name in ("db", "second"))
    assert not first.overlaps(second)
    error = cloud.refused("sqladmin.v1.sql.instances.insert", body("third"), project=PROJECT)
    assert "Couldn't find free blocks in allocated IP ranges" in error.message


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "UPPER"}, "Invalid instance name (UPPER)"),
        ({"databaseVersion": "MYSQL_8_0"}, "Cloud SQL instances of MYSQL_8_0"),
        ({"region": "mars"}, "Invalid region (mars)"),
        ({"masterInstanceName": "db"}, "masterInstanceName"),
        ({"settings": {"tier": "x", "ipConfiguration": IP}}, "Invalid Tier (x)"),
        ({"settings": {"tier": "db-f1-micro"}}, "public addresses of Cloud SQL instances"),
        (
            {"settings": {"tier": "db-f1-micro", "ipConfiguration": IP, "availabilityType": "REGIONAL"}},
            "REGIONAL",
        ),
        (
            {
                "settings": {
                    "tier": "db-f1-micro",
                    "ipConfiguration": IP,
                    "backupConfiguration": {"enabled": True},
                }
            },
            "backups of Cloud SQL",
        ),
        (
            {"settings": {"tier": "db-f1-micro", "ipConfiguration": IP, "databaseFlags": [{"name": "x"}]}},
            "Invalid flag name x",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_by_its_name_and_nothing_changes(changes, text):
    cloud = connected()
    before = cloud.world
    error = cloud.refused("sqladmin.v1.sql.instances.insert", body() | changes, project=PROJECT)
    assert (error.code, text in error.message) == (400, True), error.message
    assert cloud.world is before


def test_one_change_waits_for_the_other_and_a_stale_one_is_refused():
    cloud = connected()
    insert(cloud)
    patch = {"settings": {"activationPolicy": "NEVER"}}
    error = cloud.refused("sqladmin.v1.sql.instances.patch", patch, project=PROJECT, instance="db")
    assert error.code == 409
    settle(cloud)
    cloud("sqladmin.v1.sql.instances.patch", patch, project=PROJECT, instance="db")
    assert not read_instance(stored(cloud)).wanted
    settle(cloud)
    stale = {"settings": {"settingsVersion": "1", "activationPolicy": "ALWAYS"}}
    error = cloud.refused("sqladmin.v1.sql.instances.patch", stale, project=PROJECT, instance="db")
    assert error.code == 412


def test_a_protected_instance_stays_until_it_is_not():
    cloud = connected()
    insert(cloud, settings=body()["settings"] | {"deletionProtectionEnabled": True})
    settle(cloud)
    where = {"project": PROJECT, "instance": "db"}
    assert "is protected" in cloud.refused("sqladmin.v1.sql.instances.delete", **where).message
    cloud("sqladmin.v1.sql.instances.patch", {"settings": {"deletionProtectionEnabled": False}}, **where)
    settle(cloud)
    cloud("sqladmin.v1.sql.instances.delete", **where)
    assert not read_instance(stored(cloud)).wanted
    assert cloud.refused("sqladmin.v1.sql.instances.get", **where).code == 404


def test_databases_and_users_are_work_in_order_and_passwords_are_not_shown():
    cloud = connected()
    insert(cloud)
    settle(cloud)
    where = {"project": PROJECT, "instance": "db"}
    cloud("sqladmin.v1.sql.databases.insert", {"name": "app"}, **where)
    cloud("sqladmin.v1.sql.users.insert", {"name": "alice", "password": "secret"}, **where)
    assert [each["do"] for each in read_instance(stored(cloud)).work] == ["create database", "create user"]
    assert cloud.refused("sqladmin.v1.sql.databases.insert", {"name": "app"}, **where).code == 409
    user = cloud("sqladmin.v1.sql.users.get", name="alice", **where)
    assert "secret" not in str(user)
    assert cloud.refused("sqladmin.v1.sql.users.insert", {"name": "a'b"}, **where).code == 400
