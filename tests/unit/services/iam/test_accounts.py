"""Service accounts, their keys, and roles."""

import base64
from dataclasses import replace

import pytest
from tests.cloud_calls import PROJECT, Cloud

from fogbank.frontend.iam.accounts import operator_account
from fogbank.resources.authorization import Policies
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Put
from fogbank.services.iam import SERVICE

ACCOUNTS = "iam.v1.projects.serviceAccounts"
ROLES = "iam.v1.projects.roles"
PARENT = f"projects/{PROJECT}"
EMAIL = f"runner-account@{PROJECT}.iam.gserviceaccount.com"
NAME = f"{PARENT}/serviceAccounts/{EMAIL}"


@pytest.fixture
def cloud():
    cloud = Cloud()
    body = {"accountId": "runner-account", "serviceAccount": {"displayName": "Runner"}}
    cloud(f"{ACCOUNTS}.create", body, name=PARENT)
    return cloud


def test_an_account_can_be_called_by_address_or_number_in_any_project(cloud):
    shown = cloud(f"{ACCOUNTS}.get", name=NAME)
    assert (shown["email"], shown["displayName"], len(shown["uniqueId"])) == (EMAIL, "Runner", 21)
    assert cloud(f"{ACCOUNTS}.get", name=f"projects/-/serviceAccounts/{EMAIL}") == shown
    assert cloud(f"{ACCOUNTS}.get", name=f"projects/-/serviceAccounts/{shown['uniqueId']}") == shown


def test_an_account_is_made_once(cloud):
    error = cloud.refused(f"{ACCOUNTS}.create", {"accountId": "runner-account"}, name=PARENT)
    assert (error.code, error.message) == (
        409,
        f"Service account runner-account already exists within project projects/{PROJECT}.",
    )
    for wrong in ("x", "with-a-line-break\n"):
        assert cloud.refused(f"{ACCOUNTS}.create", {"accountId": wrong}, name=PARENT).code == 400


def test_an_unknown_account_is_not_found(cloud):
    error = cloud.refused(f"{ACCOUNTS}.get", name=f"{PARENT}/serviceAccounts/nobody@example.com")
    assert (error.code, error.message) == (404, "Unknown service account")


def test_an_account_is_changed_by_mask_or_by_body(cloud):
    etag = cloud(f"{ACCOUNTS}.get", name=NAME)["etag"]
    body = {"serviceAccount": {"description": "new", "etag": etag}, "updateMask": "description"}
    changed = cloud(f"{ACCOUNTS}.patch", body, name=NAME)
    assert (changed["description"], changed["displayName"]) == ("new", "Runner")
    assert cloud.refused(f"{ACCOUNTS}.patch", body, name=NAME).code == 409
    assert cloud(f"{ACCOUNTS}.update", {"displayName": "Other"}, name=NAME)["displayName"] == "Other"
    assert cloud.refused(f"{ACCOUNTS}.patch", {"updateMask": "email"}, name=NAME).code == 400


def test_a_disabled_account_says_so(cloud):
    cloud(f"{ACCOUNTS}.disable", {}, name=NAME)
    assert cloud(f"{ACCOUNTS}.get", name=NAME)["disabled"] is True
    cloud(f"{ACCOUNTS}.enable", {}, name=NAME)
    assert "disabled" not in cloud(f"{ACCOUNTS}.get", name=NAME)


def test_a_key_is_given_away_once_and_its_public_half_is_kept(cloud):
    made = cloud(f"{ACCOUNTS}.keys.create", {}, name=NAME)
    assert base64.b64decode(made["privateKeyData"]) == b'{"for": "me"}'
    assert "privateKeyData" not in cloud(f"{ACCOUNTS}.keys.get", name=made["name"])
    public = cloud(f"{ACCOUNTS}.keys.get", name=made["name"], publicKeyType="TYPE_RAW_PUBLIC_KEY")
    assert base64.b64decode(public["publicKeyData"]) == b"public"
    wrapped = cloud(f"{ACCOUNTS}.keys.get", name=made["name"], publicKeyType="TYPE_X509_PEM_FILE")
    assert base64.b64decode(wrapped["publicKeyData"]) == b"certificate"
    assert [k["name"] for k in cloud(f"{ACCOUNTS}.keys.list", name=NAME)["keys"]] == [made["name"]]
    cloud(f"{ACCOUNTS}.keys.delete", name=made["name"])
    assert cloud.refused(f"{ACCOUNTS}.keys.get", name=made["name"]).code == 404


def test_an_account_has_at_most_ten_keys(cloud):
    first = cloud(f"{ACCOUNTS}.keys.create", {}, name=NAME)["name"]
    known = cloud.world.get(ResourceName("iam.keys", first))
    others = [ResourceName("iam.keys", f"{NAME}/keys/other-{number}") for number in range(9)]
    cloud.make([Put(replace(known, name=name)) for name in others])
    refused = cloud.refused(f"{ACCOUNTS}.keys.create", {}, name=NAME)
    assert (refused.code, refused.status) == (400, "FAILED_PRECONDITION")
    assert refused.message == "Precondition check failed."
    cloud(f"{ACCOUNTS}.keys.delete", name=first)
    assert cloud(f"{ACCOUNTS}.keys.create", {}, name=NAME)["name"] == first


def test_keys_cannot_be_made_without_chance():
    assert "projects.serviceAccounts.keys.create" not in SERVICE.methods


def test_deleting_an_account_takes_its_keys_and_its_policy(cloud):
    cloud(f"{ACCOUNTS}.keys.create", {}, name=NAME)
    policy = {"bindings": [{"role": "roles/iam.serviceAccountUser", "members": ["user:a@example.com"]}]}
    cloud(f"{ACCOUNTS}.setIamPolicy", {"policy": policy}, resource=NAME)
    assert cloud(f"{ACCOUNTS}.getIamPolicy", resource=NAME)["bindings"] == policy["bindings"]
    assert cloud(f"{ACCOUNTS}.delete", name=NAME) == {}
    for collection in ("iam.keys", "iam.policies"):
        assert list(cloud.world.all(collection)) == []


def test_a_service_may_run_as_an_account_that_exists(cloud):
    body = {"template": {"serviceAccount": EMAIL, "containers": [{"image": "app"}]}}
    place = f"{PARENT}/locations/us-central1"
    cloud("run.v2.projects.locations.services.create", body, parent=place, serviceId="hello")
    shown = cloud("run.v2.projects.locations.services.get", name=f"{place}/services/hello")
    assert shown["template"]["serviceAccount"] == EMAIL


def test_googles_roles_list_the_permissions_that_the_region_knows(cloud):
    role = cloud("iam.v1.roles.get", name="roles/run.developer")
    assert "run.services.create" in role["includedPermissions"]
    assert "run.services.setIamPolicy" not in role["includedPermissions"]
    assert "roles/run.invoker" in {r["name"] for r in cloud("iam.v1.roles.list")}
    assert cloud.refused("iam.v1.roles.get", name="roles/none").code == 404


def test_a_project_keeps_roles_of_its_own(cloud):
    body = {"roleId": "mine", "role": {"title": "Mine", "includedPermissions": ["iam.roles.get"]}}
    made = cloud(f"{ROLES}.create", body, parent=PARENT)
    name = made["name"]
    assert cloud(f"{ROLES}.get", name=name) == made
    changed = cloud(f"{ROLES}.patch", {"title": "New", "etag": made["etag"]}, name=name, updateMask="title")
    assert (changed["title"], changed["includedPermissions"]) == ("New", ["iam.roles.get"])
    assert cloud.refused(f"{ROLES}.patch", {"title": "x", "etag": made["etag"]}, name=name).code == 409
    assert cloud(f"{ROLES}.delete", name=name)["deleted"] is True
    assert cloud(f"{ROLES}.list", parent=PARENT) == []
    assert "deleted" not in cloud(f"{ROLES}.undelete", {}, name=name)
    assert "includedPermissions" not in cloud(f"{ROLES}.list", parent=PARENT)[0]
    assert cloud.refused(f"{ROLES}.create", body, parent=PARENT).code == 409


def test_an_account_that_is_made_anew_does_not_get_the_roles_of_the_deleted_one(cloud):
    number = cloud(f"{ACCOUNTS}.get", name=NAME)["uniqueId"]
    cloud.bind(PROJECT, "roles/owner", f"serviceAccount:{EMAIL}")
    cloud.bind("other-project", "roles/viewer", f"serviceAccount:{EMAIL}")
    projects = "cloudresourcemanager.v1.projects"
    before = cloud(f"{projects}.getIamPolicy", {}, resource=PROJECT)
    cloud(f"{ACCOUNTS}.delete", name=NAME)
    after = cloud(f"{projects}.getIamPolicy", {}, resource=PROJECT)
    owners = {"role": "roles/owner", "members": [f"deleted:serviceAccount:{EMAIL}?uid={number}"]}
    assert owners in after["bindings"]
    assert after["etag"] != before["etag"]
    policies = [each.body for each in cloud.world.all("resourcemanager.policies")]
    assert f"serviceAccount:{EMAIL}" not in {m for p in policies for b in p["bindings"] for m in b["members"]}
    cloud(f"{ACCOUNTS}.create", {"accountId": "runner-account"}, name=PARENT)
    assert not Policies("", lambda: cloud.now).allows(cloud.world, EMAIL, "run.services.get", PROJECT)


@pytest.mark.parametrize(
    "role",
    [
        {"title": "t" * 101},
        {"description": "d" * 301},
        {"includedPermissions": ["run.services.get"] * 3001},
    ],
)
def test_a_role_beyond_googles_limits_is_refused(cloud, role):
    assert cloud.refused(f"{ROLES}.create", {"roleId": "large", "role": role}, parent=PARENT).code == 400
    cloud(f"{ROLES}.create", {"roleId": "large", "role": {}}, parent=PARENT)
    assert cloud.refused(f"{ROLES}.patch", role, name=f"{PARENT}/roles/large").code == 400


def test_nobody_makes_the_regions_own_account(cloud):
    assert operator_account(PROJECT).partition("@")[0] == "fogbank"
    assert cloud.refused(f"{ACCOUNTS}.create", {"accountId": "fogbank"}, name=PARENT).code == 409
