"""Secrets and their versions: what Secret Manager answers and refuses."""

from base64 import b64encode
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cloud_calls import PROJECT, Cloud

from fogbank.discovery.routes import methods
from fogbank.frontend.api.coverage import handled
from fogbank.resources.projects import project_number
from fogbank.services.secretmanager import SERVICE
from fogbank.services.secretmanager.checksums import crc32c
from fogbank.services.secretmanager.expiry import due

SECRETS = "secretmanager.v1.projects.secrets"
PARENT = f"projects/{PROJECT}"
NAME = f"{PARENT}/secrets/token"
AUTOMATIC: dict[str, object] = {"replication": {"automatic": {}}}


@pytest.fixture
def cloud():
    cloud = Cloud()
    cloud(f"{SECRETS}.create", AUTOMATIC, parent=PARENT, secretId="token")
    return cloud


def add(cloud, text="one"):
    body = {"payload": {"data": b64encode(text.encode()).decode()}}
    return cloud(f"{SECRETS}.addVersion", body, parent=NAME)


def access(cloud, version="latest"):
    return cloud(f"{SECRETS}.versions.access", name=f"{NAME}/versions/{version}")


def change(cloud, verb, version="1", **body):
    return cloud(f"{SECRETS}.versions.{verb}", body, name=f"{NAME}/versions/{version}")


def refused(cloud, verb, version="1", **body):
    error = cloud.refused(f"{SECRETS}.versions.{verb}", body, name=f"{NAME}/versions/{version}")
    return error.code, error.message


def shown(cloud, rest=""):
    return f"projects/{project_number(cloud.world, PROJECT)}/secrets/token{rest}"


def test_a_secret_is_named_by_the_number_of_its_project(cloud):
    found = cloud(f"{SECRETS}.get", name=NAME)
    assert (found["name"], found["replication"]) == (shown(cloud), {"automatic": {}})
    again = cloud.refused(f"{SECRETS}.create", AUTOMATIC, parent=PARENT, secretId="token")
    assert (again.code, again.message) == (409, f"Secret [{shown(cloud)}] already exists.")


def test_a_secret_with_a_bad_name_or_without_replication_is_refused(cloud):
    for identifier in ("", "a b", "ü", "x" * 256):
        error = cloud.refused(f"{SECRETS}.create", AUTOMATIC, parent=PARENT, secretId=identifier)
        assert error.status == "INVALID_ARGUMENT"
    assert cloud.refused(f"{SECRETS}.create", {}, parent=PARENT, secretId="other").code == 400
    nowhere = {"replication": {"userManaged": {"replicas": [{"location": "moon"}]}}}
    assert cloud.refused(f"{SECRETS}.create", nowhere, parent=PARENT, secretId="other").code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"topics": [{"name": "projects/p/topics/t"}]},
        {"rotation": {"rotationPeriod": "3600s"}},
        {"replication": {"automatic": {"customerManagedEncryption": {"kmsKeyName": "k"}}}},
    ],
)
def test_what_no_secret_here_can_do_is_refused_by_name(cloud, body):
    error = cloud.refused(f"{SECRETS}.create", AUTOMATIC | body, parent=PARENT, secretId="other")
    assert error.status == "UNIMPLEMENTED"
    assert "secrets" in error.message


def test_secrets_of_one_location_are_refused_by_the_name_of_the_method():
    regional = [m for m in methods("secretmanager.v1").values() if "locations.secrets" in m.name]
    assert regional
    assert not any(handled(SERVICE, each) for each in regional)


def test_the_newest_version_is_the_latest_and_versions_are_listed_from_it(cloud):
    for text in ("one", "two", "three"):
        add(cloud, text)
    assert access(cloud)["payload"]["data"] == b64encode(b"three").decode()
    assert access(cloud, "1")["payload"] == {
        "data": b64encode(b"one").decode(),
        "dataCrc32c": str(crc32c(b"one")),
    }
    listed = cloud(f"{SECRETS}.versions.list", parent=NAME)
    assert [each["name"] for each in listed] == [shown(cloud, f"/versions/{n}") for n in (3, 2, 1)]


def test_a_version_that_is_not_there_is_refused_in_googles_words(cloud):
    nothing = f"Secret [{shown(cloud)}] not found or has no versions."
    assert refused(cloud, "access", "latest") == (404, nothing)
    add(cloud)
    assert refused(cloud, "access", "7") == (
        404,
        f"Secret Version [{shown(cloud, '/versions/7')}] not found.",
    )


def test_only_an_enabled_version_can_be_read(cloud):
    add(cloud)
    path = shown(cloud, "/versions/1")
    assert change(cloud, "disable")["state"] == "DISABLED"
    assert refused(cloud, "access") == (400, f"Secret Version [{path}] is in DISABLED state.")
    assert change(cloud, "enable")["state"] == "ENABLED"
    assert access(cloud, "1")["name"] == path
    gone = change(cloud, "destroy")
    assert (gone["state"], "destroyTime" in gone) == ("DESTROYED", True)
    for verb in ("access", "enable", "disable", "destroy"):
        assert refused(cloud, verb) == (400, f"Secret Version [{path}] is in DESTROYED state.")


def test_a_destroyed_payload_is_nowhere(cloud):
    add(cloud, "very-secret")
    change(cloud, "destroy")
    assert b64encode(b"very-secret").decode() not in repr(list(cloud.world.all("secretmanager.versions")))


def test_latest_is_the_newest_version_even_when_it_cannot_be_read(cloud):
    add(cloud, "one")
    add(cloud, "two")
    change(cloud, "disable", "2")
    assert refused(cloud, "access", "latest")[0] == 400


def test_the_checksum_of_a_payload_is_verified(cloud):
    data = b64encode(b"123456789").decode()
    body = {"payload": {"data": data, "dataCrc32c": str(0xE3069283)}}  # the check value of RFC 3720
    assert cloud(f"{SECRETS}.addVersion", body, parent=NAME)["clientSpecifiedPayloadChecksum"] is True
    body["payload"]["dataCrc32c"] = "1"
    assert cloud.refused(f"{SECRETS}.addVersion", body, parent=NAME).status == "INVALID_ARGUMENT"


def test_a_payload_has_between_one_byte_and_64_kib(cloud):
    for size in (0, 65537):
        body = {"payload": {"data": b64encode(b"x" * size).decode()}}
        assert cloud.refused(f"{SECRETS}.addVersion", body, parent=NAME).code == 400
    add(cloud, "x" * 65536)


def test_an_alias_points_to_a_version(cloud):
    add(cloud, "one")
    add(cloud, "two")
    wrong = {"versionAliases": {"old": "9"}}
    assert cloud.refused(f"{SECRETS}.patch", wrong, name=NAME, updateMask="versionAliases").code == 400
    cloud(f"{SECRETS}.patch", {"versionAliases": {"old": "1"}}, name=NAME, updateMask="version_aliases")
    assert access(cloud, "old")["name"] == shown(cloud, "/versions/1")
    kept = cloud(f"{SECRETS}.patch", {"labels": {"a": "b"}}, name=NAME, updateMask="labels")
    assert (kept["labels"], kept["versionAliases"]) == ({"a": "b"}, {"old": "1"})


def test_a_change_needs_a_mask_and_the_present_etag(cloud):
    etag = cloud(f"{SECRETS}.get", name=NAME)["etag"]
    assert cloud.refused(f"{SECRETS}.patch", {}, name=NAME).code == 400
    body = {"labels": {"a": "b"}, "etag": etag}
    cloud(f"{SECRETS}.patch", body, name=NAME, updateMask="labels")
    assert cloud.refused(f"{SECRETS}.patch", body, name=NAME, updateMask="labels").code == 400
    assert cloud.refused(f"{SECRETS}.delete", name=NAME, etag=etag).status == "FAILED_PRECONDITION"
    assert cloud(f"{SECRETS}.delete", name=NAME) == {}
    assert cloud.refused(f"{SECRETS}.get", name=NAME).message == f"Secret [{shown(cloud)}] not found."


def test_a_secret_is_gone_when_it_expires(cloud):
    cloud(f"{SECRETS}.patch", {"ttl": "3600s"}, name=NAME, updateMask="ttl")
    add(cloud)
    cloud.now += timedelta(hours=2)
    assert cloud.refused(f"{SECRETS}.get", name=NAME).code == 404
    assert cloud(f"{SECRETS}.list", parent=PARENT) == []
    cloud.make(due(cloud.world, cloud.now))
    assert not list(cloud.world.all("secretmanager.versions"))
    past = {"expireTime": "2020-01-01T00:00:00Z"}
    assert cloud.refused(f"{SECRETS}.create", AUTOMATIC | past, parent=PARENT, secretId="b").code == 400


def test_a_delayed_destruction_disables_first_and_can_be_called_off(cloud):
    body = {"versionDestroyTtl": "86400s"}
    cloud(f"{SECRETS}.patch", body, name=NAME, updateMask="versionDestroyTtl")
    add(cloud)
    planned = change(cloud, "destroy")
    assert (planned["state"], "scheduledDestroyTime" in planned) == ("DISABLED", True)
    assert "scheduledDestroyTime" not in change(cloud, "enable")
    change(cloud, "destroy")
    cloud.now += timedelta(days=2)
    cloud.make(due(cloud.world, cloud.now))
    assert cloud(f"{SECRETS}.versions.get", name=f"{NAME}/versions/1")["state"] == "DESTROYED"


def test_a_policy_of_a_secret_counts_for_its_versions(cloud):
    policy = {"bindings": [{"role": "roles/secretmanager.secretAccessor", "members": ["allUsers"]}]}
    cloud(f"{SECRETS}.setIamPolicy", {"policy": policy}, resource=NAME)
    assert cloud(f"{SECRETS}.getIamPolicy", resource=NAME)["bindings"] == policy["bindings"]


@given(st.binary(min_size=1, max_size=300))
def test_what_was_added_is_what_is_read(payload):
    cloud = Cloud()
    cloud(f"{SECRETS}.create", AUTOMATIC, parent=PARENT, secretId="token")
    data = b64encode(payload).decode()
    cloud(f"{SECRETS}.addVersion", {"payload": {"data": data}}, parent=NAME)
    assert access(cloud)["payload"] == {"data": data, "dataCrc32c": str(crc32c(payload))}
