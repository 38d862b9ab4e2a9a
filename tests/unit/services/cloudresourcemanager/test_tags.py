"""Tags: keys and values, what they are bound to, and who may do it."""

from urllib.parse import quote

import pytest
from tests import worlds
from tests.cloud_calls import NOW, PLACE, PROJECT, REGION, Cloud, with_project

from fogbank.resources.world import Put
from fogbank.services.cloudresourcemanager import new_project

V3 = "cloudresourcemanager.v3."
OTHER = "other@example.com"


@pytest.fixture
def cloud():
    return Cloud()


def made(cloud, kind, **body):
    """Make a key or a value; return it as the operation shows it."""
    operation = cloud(f"{V3}{kind}.create", body)
    assert operation.status == "DONE"
    return operation.response


def key(cloud, name="env", parent=f"projects/{PROJECT}", **more):
    return made(cloud, "tagKeys", parent=parent, shortName=name, **more)


def value(cloud, of, name="prod"):
    return made(cloud, "tagValues", parent=of["name"], shortName=name)


def whole_project(cloud):
    number = cloud(f"{V3}projects.get", name=f"projects/{PROJECT}")["name"].partition("/")[2]
    return f"//cloudresourcemanager.googleapis.com/projects/{number}"


def bound(cloud, resource, of):
    return cloud(f"{V3}tagBindings.create", {"parent": resource, "tagValue": of["name"]}).response


def test_a_key_and_its_values_are_found_by_number_and_by_their_names(cloud):
    one = key(cloud, description="Where it runs")
    two = value(cloud, one)
    assert cloud(f"{V3}tagKeys.get", name=one["name"]) == cloud(
        f"{V3}tagKeys.getNamespaced", name=f"{PROJECT}/env"
    )
    shown = cloud(f"{V3}tagValues.getNamespaced", name=f"{PROJECT}/env/prod")
    assert shown == cloud(f"{V3}tagValues.get", name=two["name"])
    assert (shown["namespacedName"], shown["parent"]) == (f"{PROJECT}/env/prod", one["name"])
    assert cloud(f"{V3}tagKeys.list", parent=f"projects/{PROJECT}") == [
        cloud(f"{V3}tagKeys.get", name=one["name"])
    ]
    assert cloud(f"{V3}tagValues.list", parent=one["name"]) == [shown]


def test_a_short_name_is_used_once_and_has_googles_form(cloud):
    one = key(cloud)
    value(cloud, one)
    again = {"parent": f"projects/{PROJECT}", "shortName": "env"}
    assert cloud.refused(f"{V3}tagKeys.create", again).code == 409
    assert cloud.refused(f"{V3}tagValues.create", {"parent": one["name"], "shortName": "prod"}).code == 409
    for wrong in ("", "-env", "env-", "a b", "x" * 257):
        assert cloud.refused(f"{V3}tagKeys.create", {**again, "shortName": wrong}).code == 400
    assert (
        cloud.refused(f"{V3}tagKeys.create", {**again, "parent": "folders/1", "shortName": "b"}).code == 400
    )


def test_a_key_says_which_values_it_may_have(cloud):
    one = key(cloud, allowedValuesRegex="[a-z]+-[0-9]")
    assert value(cloud, one, "abc-1")["shortName"] == "abc-1"
    refused = cloud.refused(f"{V3}tagValues.create", {"parent": one["name"], "shortName": "abc-12"})
    assert "allowed values" in refused.message


def test_a_resource_has_its_own_tags_and_those_of_its_project(cloud):
    env, team = key(cloud), key(cloud, "team")
    prod, dev, red = value(cloud, env), value(cloud, env, "dev"), value(cloud, team, "red")
    secret = cloud(
        "secretmanager.v1.projects.secrets.create",
        {"replication": {"automatic": {}}},
        parent=f"projects/{PROJECT}",
        secretId="s",
    )["name"]
    parent = f"//secretmanager.googleapis.com/{secret}"
    bound(cloud, whole_project(cloud), prod)
    bound(cloud, whole_project(cloud), red)
    binding = bound(cloud, parent, dev)
    effective = cloud(f"{V3}effectiveTags.list", parent=parent)
    assert {(each["namespacedTagValue"], each["inherited"]) for each in effective} == {
        (f"{PROJECT}/env/dev", False),
        (f"{PROJECT}/team/red", True),
    }
    listed = cloud(f"{V3}tagBindings.list", parent=parent)
    assert [each["tagValue"] for each in listed] == [dev["name"]]
    assert (
        listed[0]["name"]
        == binding["name"]
        == f"tagBindings/{quote(listed[0]['parent'], safe='')}/{dev['name']}"
    )
    cloud(f"{V3}tagBindings.delete", name=binding["name"])
    assert cloud(f"{V3}tagBindings.list", parent=parent) == []


def test_a_resource_has_one_value_of_each_key(cloud):
    env = key(cloud)
    bound(cloud, whole_project(cloud), value(cloud, env))
    second = {"parent": whole_project(cloud), "tagValue": value(cloud, env, "dev")["name"]}
    assert cloud.refused(f"{V3}tagBindings.create", second).code == 409


def test_what_is_used_is_not_deleted(cloud):
    env = key(cloud)
    prod = value(cloud, env)
    binding = bound(cloud, whole_project(cloud), prod)
    attached = cloud.refused(f"{V3}tagValues.delete", name=prod["name"])
    assert attached.message == "Cannot delete tag value still attached to resources"
    assert cloud.refused(f"{V3}tagKeys.delete", name=env["name"]).status == "FAILED_PRECONDITION"
    cloud(f"{V3}tagBindings.delete", name=binding["name"])
    cloud(f"{V3}tagValues.delete", name=prod["name"])
    cloud(f"{V3}tagKeys.delete", name=env["name"])
    assert cloud.refused(f"{V3}tagKeys.getNamespaced", name=f"{PROJECT}/env").code == 403


def test_a_binding_goes_with_its_resource(cloud):
    env = key(cloud)
    prod = value(cloud, env)
    where = {"parent": f"projects/{PROJECT}", "secretId": "s"}
    make = "secretmanager.v1.projects.secrets.create"
    secret = cloud(make, {"replication": {"automatic": {}}}, **where)["name"]
    bound(cloud, f"//secretmanager.googleapis.com/{secret}", prod)
    cloud("secretmanager.v1.projects.secrets.delete", name=f"projects/{PROJECT}/secrets/s")
    again = cloud(make, {"replication": {"automatic": {}}}, **where)["name"]
    assert cloud(f"{V3}tagBindings.list", parent=f"//secretmanager.googleapis.com/{again}") == []
    assert cloud(f"{V3}tagValues.delete", name=prod["name"]).status == "DONE"
    assert not tuple(cloud.world.all("cloudresourcemanager.tagBindings"))


def test_a_change_names_its_fields_and_may_name_the_version_that_it_is_made_against(cloud):
    one = key(cloud)
    changed = cloud(
        f"{V3}tagKeys.patch", {"description": "d", "etag": one["etag"]}, name=one["name"]
    ).response
    assert (changed["description"], changed["etag"] == one["etag"]) == ("d", False)
    late = cloud.refused(f"{V3}tagKeys.patch", {"description": "e", "etag": one["etag"]}, name=one["name"])
    assert (late.code, late.status) == (409, "ABORTED")
    fixed = cloud.refused(f"{V3}tagKeys.patch", {"shortName": "x"}, name=one["name"], updateMask="shortName")
    assert "shortName" in fixed.message


def test_strangers_hear_the_same_of_tags_that_exist_and_of_others(cloud):
    env = key(cloud)
    prod = value(cloud, env)
    cloud.make(new_project("theirs", NOW, cloud.new_id, owner=OTHER))
    cloud.caller = OTHER
    hidden = cloud.refused(f"{V3}tagKeys.getNamespaced", name=f"{PROJECT}/env")
    absent = cloud.refused(f"{V3}tagKeys.getNamespaced", name=f"{PROJECT}/none")
    assert (
        (hidden.code, hidden.message)
        == (absent.code, absent.message)
        == (403, "The caller does not have permission")
    )
    for parent, of in ((whole_project_of(cloud, PROJECT), prod), (whole_project_of(cloud, "theirs"), prod)):
        refused = cloud.refused(f"{V3}tagBindings.create", {"parent": parent, "tagValue": of["name"]})
        assert refused.code == 403
    refused = cloud.refused(f"{V3}tagValues.create", {"parent": env["name"], "shortName": "x"})
    assert refused.code == 403


def whole_project_of(cloud, project):
    del cloud
    return f"//cloudresourcemanager.googleapis.com/projects/{project}"


def test_a_user_of_a_tag_may_bind_it_to_what_is_theirs(cloud):
    env = key(cloud)
    prod = value(cloud, env)
    policy = {
        "policy": {"bindings": [{"role": "roles/resourcemanager.tagUser", "members": [f"user:{OTHER}"]}]}
    }
    cloud(f"{V3}tagKeys.setIamPolicy", policy, resource=env["name"])
    cloud.make(new_project("theirs", NOW, cloud.new_id, owner=OTHER))
    cloud.caller = OTHER
    parent = whole_project_of(cloud, "theirs")
    assert bound(cloud, parent, prod)["tagValueNamespacedName"] == f"{PROJECT}/env/prod"


@pytest.mark.parametrize(
    ("kind", "body", "place"),
    [
        ("networks", {"name": "n", "autoCreateSubnetworks": False}, {}),
        (
            "firewalls",
            {"name": "n", "network": "global/networks/default", "allowed": [{"IPProtocol": "icmp"}]},
            {},
        ),
        ("routers", {"name": "n", "network": "global/networks/default"}, {"region": REGION}),
        ("disks", {"name": "n", "sizeGb": "10"}, {"zone": f"{REGION}-a"}),
    ],
)
def test_compute_binds_the_tags_of_what_it_makes(cloud, kind, body, place):
    with_project(PROJECT)
    try:
        cloud.make([Put(worlds.network())])
    finally:
        with_project("demo")
    env = key(cloud)
    prod = value(cloud, env)
    params = {"resourceManagerTags": {env["name"]: prod["name"]}}
    before = cloud.world
    made = cloud(f"compute.v1.{kind}.insert", {**body, "params": params}, project=PROJECT, **place)
    parent = made.target.path.rpartition("/")[0]
    bindings = cloud(f"{V3}tagBindings.list", parent=f"//compute.googleapis.com/{parent}/n")
    (resource,) = (each for each in cloud.world.all(f"compute.{kind}") if each.name == made.target)
    assert [each["tagValue"] for each in bindings] == [prod["name"]]
    assert bindings[0]["parent"].endswith(f"/{kind}/{resource.id}")
    assert "params" not in resource.body
    assert cloud(f"{V3}tagBindings.list", parent=bindings[0]["parent"]) == bindings
    cloud.world = before
    wrong = {**body, "params": {"resourceManagerTags": {env["name"]: "tagValues/1"}}}
    assert cloud.refused(f"compute.v1.{kind}.insert", wrong, project=PROJECT, **place).code == 400


def test_a_secret_is_bound_to_the_tags_that_it_is_made_with(cloud):
    value(cloud, key(cloud))
    body = {"replication": {"automatic": {}}, "tags": {f"{PROJECT}/env": "prod"}}
    where = {"parent": f"projects/{PROJECT}", "secretId": "s"}
    secret = cloud("secretmanager.v1.projects.secrets.create", body, **where)["name"]
    (shown,) = cloud(f"{V3}effectiveTags.list", parent=f"//secretmanager.googleapis.com/{secret}")
    assert (shown["namespacedTagValue"], shown["inherited"]) == (f"{PROJECT}/env/prod", False)


@pytest.mark.parametrize(("kind", "body"), [("services", {}), ("jobs", {"template": {}})])
def test_services_and_jobs_are_bound_to_the_tags_that_they_are_made_with(cloud, kind, body):
    env = key(cloud)
    prod = value(cloud, env)
    containers = {"containers": [{"image": "us-docker.pkg.dev/p/r/app:v1"}]}
    template = {"template": {"template": containers}} if "template" in body else {"template": containers}
    make, identifier = f"run.v2.projects.locations.{kind}.create", {f"{kind[:-1]}Id": "made"}
    tags = {"tags": {env["name"]: prod["name"]}}
    where = {"parent": PLACE, **identifier}
    made = cloud(make, {**template, **tags}, **where).target
    (binding,) = cloud(f"{V3}tagBindings.list", parent=f"//run.googleapis.com/{made.path}")
    assert binding["tagValue"] == prod["name"]
    shown = cloud(f"run.v2.projects.locations.{kind}.get", name=made.path)
    assert "tags" not in shown
