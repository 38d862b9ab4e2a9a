"""What follows when a server has done what calls have left for it, has refused it, or does not come up."""

import pytest
from tests.cloud_calls import PROJECT
from tests.unit.services.sqladmin.test_instances import body, connected, insert, stored

from fogbank.services.sqladmin.model import instance_name, read_instance
from fogbank.services.sqladmin.work import finished, given_up

MOMENT = "2026-11-29T00:00:00Z"
NAME = instance_name(PROJECT, "db")
WHERE = {"project": PROJECT, "instance": "db"}
KINDS = ("databases", "users")


def do(cloud, error=""):
    """Do the first piece of work, or refuse it."""
    work = read_instance(stored(cloud)).work[0]
    cloud.make(finished(cloud.world, NAME, work, {}, MOMENT, error=error))


def instance():
    cloud = connected()
    operation = insert(cloud)
    do(cloud)
    assert shown(cloud, operation)["status"] == "DONE"
    return cloud


def shown(cloud, operation):
    return cloud("sqladmin.v1.sql.operations.get", project=PROJECT, operation=operation["name"])


def listed(cloud, kind):
    return {each["name"] for each in cloud(f"sqladmin.v1.sql.{kind}.list", **WHERE)}


def drop(cloud, kind):
    query = {"name": "app"} if kind == "users" else {"database": "app"}
    return cloud(f"sqladmin.v1.sql.{kind}.delete", **WHERE, **query)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_server_refuses_to_make_is_not_listed(kind):
    cloud = instance()
    operation = cloud(f"sqladmin.v1.sql.{kind}.insert", {"name": "app"}, **WHERE)
    do(cloud, "no")
    assert listed(cloud, kind) == {"postgres"}
    assert shown(cloud, operation)["error"]["errors"][0]["message"] == "no"
    assert stored(cloud).body["state"] == "RUNNABLE"


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_server_refuses_to_drop_stays_listed(kind):
    cloud = instance()
    cloud(f"sqladmin.v1.sql.{kind}.insert", {"name": "app"}, **WHERE)
    do(cloud)
    drop(cloud, kind)
    do(cloud, "no")
    assert listed(cloud, kind) == {"app", "postgres"}
    drop(cloud, kind)
    do(cloud)
    assert listed(cloud, kind) == {"postgres"}


def test_an_instance_that_begins_stopped_is_told_its_password_first():
    cloud = connected()
    operation = insert(cloud, settings=body(activationPolicy="NEVER")["settings"])
    assert read_instance(stored(cloud)).wanted
    do(cloud)
    assert not read_instance(stored(cloud)).wanted
    assert (stored(cloud).body["state"], shown(cloud, operation)["status"]) == ("PENDING_CREATE", "PENDING")
    do(cloud)
    assert (stored(cloud).body["state"], shown(cloud, operation)["status"]) == ("RUNNABLE", "DONE")


def test_a_server_stops_when_it_has_done_what_calls_have_left_for_it():
    cloud = instance()
    cloud("sqladmin.v1.sql.users.insert", {"name": "app"}, **WHERE)
    cloud("sqladmin.v1.sql.instances.patch", {"settings": {"activationPolicy": "NEVER"}}, **WHERE)
    assert read_instance(stored(cloud)).wanted
    do(cloud)
    assert not read_instance(stored(cloud)).wanted


def test_a_server_that_does_not_come_up_fails_its_instance_and_another_change_mends_it():
    cloud = connected()
    operation = insert(cloud)
    made = cloud("sqladmin.v1.sql.databases.insert", {"name": "app"}, **WHERE)
    cloud.make(given_up(cloud.world, NAME, MOMENT, "it ended"))
    for each in (operation, made):
        assert shown(cloud, each)["error"]["errors"][0]["message"] == "it ended"
    assert (stored(cloud).body["state"], listed(cloud, "databases")) == ("FAILED", {"postgres"})
    assert "not running" in cloud.refused("sqladmin.v1.sql.users.insert", {"name": "app"}, **WHERE).message
    patched = cloud("sqladmin.v1.sql.instances.patch", {"settings": {"databaseFlags": []}}, **WHERE)
    assert [each["do"] for each in read_instance(stored(cloud)).work] == ["set up", "configure"]
    do(cloud)
    do(cloud)
    assert (stored(cloud).body["state"], shown(cloud, patched)["status"]) == ("RUNNABLE", "DONE")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("users", "cloudsqladmin"), ("users", "cloudsqlsuperuser"), ("users", "pg_monitor"),
        ("users", "public"),
        ("databases", "template0"), ("databases", "template1"), ("databases", "cloudsqladmin"),
    ],
)  # fmt: skip
def test_names_of_the_servers_own_are_refused(kind, name):
    cloud = instance()
    assert "is reserved" in cloud.refused(f"sqladmin.v1.sql.{kind}.insert", {"name": name}, **WHERE).message


def test_a_disk_does_not_shrink():
    cloud = instance()
    patch = {"settings": {"dataDiskSizeGb": "9"}}
    assert "shrink" in cloud.refused("sqladmin.v1.sql.instances.patch", patch, **WHERE).message
