"""Projects in both versions of their API, and what every project has."""

import pytest
from tests.cloud_calls import ME, NOW, PROJECT, Cloud

from fogbank.resources.projects import (
    compute_account,
    is_googles_own,
    is_usable_id,
    service_agent,
    usual_number,
)
from fogbank.resources.world import World
from fogbank.services.cloudresourcemanager import SERVICE, new_project
from fogbank.services.contract import Call, Write
from fogbank.services.serviceusage.identities import agent

V1 = "cloudresourcemanager.v1.projects"
V3 = "cloudresourcemanager.v3.projects"


@pytest.fixture
def cloud():
    return Cloud()


def test_a_project_has_a_number_that_follows_from_its_id(cloud):
    shown = cloud(f"{V1}.get", projectId=PROJECT)
    assert shown["projectNumber"] == usual_number(PROJECT)
    assert len(usual_number("a")) == 12
    assert usual_number("a") != usual_number("b")


def test_a_project_comes_with_its_default_service_account(cloud):
    cloud.make(new_project("p", NOW, cloud.new_id))
    listed = cloud("iam.v1.projects.serviceAccounts.list", name="projects/p")
    assert [account["email"] for account in listed] == [compute_account(usual_number("p"))]


def test_whoever_creates_a_project_owns_it(cloud):
    operation = cloud(f"{V1}.create", {"projectId": "second-project", "name": "Second"})
    assert operation.status == "DONE"
    assert operation.name.path.startswith("operations/")
    assert operation.response["projectId"] == "second-project"
    policy = cloud(f"{V1}.getIamPolicy", {}, resource="second-project")
    assert {"role": "roles/owner", "members": [f"user:{ME}"]} in policy["bindings"]


def test_a_new_projects_default_account_is_editor_as_at_google(cloud):
    cloud(f"{V1}.create", {"projectId": "second-project"})
    number = cloud(f"{V1}.get", projectId="second-project")["projectNumber"]
    bindings = {
        b["role"]: b["members"]
        for b in cloud(f"{V1}.getIamPolicy", {}, resource="second-project")["bindings"]
    }
    assert bindings["roles/editor"] == [f"serviceAccount:{number}-compute@developer.gserviceaccount.com"]
    assert bindings["roles/run.serviceAgent"] == [
        f"serviceAccount:service-{number}@serverless-robot-prod.iam.gserviceaccount.com"
    ]


def test_v3_is_another_view_of_the_same(cloud):
    body = {"projectId": "second-project", "displayName": "Second", "parent": "organizations/12"}
    cloud(f"{V3}.create", body)
    assert cloud(f"{V1}.get", projectId="second-project")["parent"] == {"type": "organization", "id": "12"}
    shown = cloud(f"{V3}.get", name="projects/second-project")
    assert (shown["displayName"], shown["parent"]) == ("Second", "organizations/12")
    assert shown["name"] == f"projects/{usual_number('second-project')}"
    assert cloud(f"{V3}.get", name=shown["name"]) == shown


def test_a_project_that_does_not_exist_is_like_one_that_may_not_be_seen(cloud):
    error = cloud.refused(f"{V1}.get", projectId="missing-project")
    assert (error.code, error.message) == (403, "The caller does not have permission")


@pytest.mark.parametrize(
    "identifier", ["", "short", "Upper-case", "ends-with-", "1-first-digit", "line-break\n"]
)
def test_an_id_outside_the_pattern_is_refused(cloud, identifier):
    assert cloud.refused(f"{V1}.create", {"projectId": identifier}).code == 400


def test_an_id_is_taken_once(cloud):
    assert cloud.refused(f"{V1}.create", {"projectId": PROJECT}).code == 409


def test_a_deleted_project_can_be_brought_back(cloud):
    cloud(f"{V1}.delete", projectId=PROJECT)
    assert cloud(f"{V1}.get", projectId=PROJECT)["lifecycleState"] == "DELETE_REQUESTED"
    assert cloud.refused(f"{V1}.delete", projectId=PROJECT).status == "FAILED_PRECONDITION"
    assert cloud(f"{V3}.list") == []
    cloud(f"{V3}.undelete", {}, name=f"projects/{PROJECT}")
    assert cloud(f"{V1}.get", projectId=PROJECT)["lifecycleState"] == "ACTIVE"


def test_a_project_that_waits_for_its_deletion_cannot_be_changed(cloud):
    cloud(f"{V1}.delete", projectId=PROJECT)
    refusals = (
        cloud.refused(f"{V1}.update", {"name": "New"}, projectId=PROJECT),
        cloud.refused(f"{V3}.patch", {"displayName": "New"}, name=f"projects/{PROJECT}"),
    )
    assert [(each.code, each.status) for each in refusals] == [(400, "FAILED_PRECONDITION")] * 2


def test_a_project_can_be_renamed(cloud):
    cloud(f"{V1}.update", {"name": "New", "labels": {"a": "b"}}, projectId=PROJECT)
    assert cloud(f"{V3}.get", name=f"projects/{PROJECT}")["displayName"] == "New"
    cloud(f"{V3}.patch", {"displayName": "Newer"}, name=f"projects/{PROJECT}", updateMask="display_name")
    shown = cloud(f"{V1}.get", projectId=PROJECT)
    assert (shown["name"], shown["labels"]) == ("Newer", {"a": "b"})


def test_projects_are_found_by_their_fields(cloud):
    cloud(f"{V1}.create", {"projectId": "second-project", "labels": {"env": "test"}})
    for query in ("id:second-project", "projectId=sec*", "labels.env:test AND state:ACTIVE"):
        assert [p["projectId"] for p in cloud(f"{V3}.search", query=query)] == ["second-project"]
    assert len(cloud(f"{V1}.list")) == 2


HOWL = {"name": "Howl Castle", "labels": {"color": "red"}, "parent": {"type": "folder", "id": "12"}}


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ("id:proj-one", {"one"}),
        ("id=proj-one", {"one"}),
        ("projectId:PROJ-ONE", {"one"}),
        ("id:proj-*", {"one", "two"}),
        ("id:p*j*o*e", {"one"}),
        ("id:p*z*e", set()),
        ('NAME:"howl castle"', {"one"}),
        ("name:how*", {"one"}),
        ("labels.color:*", {"one", "two"}),
        ("labels.color:red labels.size:big", {"one", "two"}),
        ("labels:size", {"two"}),
        ("labels.color:red AND labels.size:big", set()),
        ("parent.type:folder parent.id:12", {"one"}),
        ("parent.type:folder parent.id:12 lifecycleState:DELETE_REQUESTED", set()),
        ("parent=folders/*", {"one", "two"}),
        ("parent.id!=12", {"two", "rest"}),
        ("lifecycleState:ACTIVE AND (( id:proj-one OR id:proj-two ) AND NOT (id=proj-one))", {"two"}),
    ],
)
def test_a_filter_of_projects_means_what_googles_description_says(cloud, filter_, found):
    parent = {"type": "folder", "id": "13"}
    cloud(f"{V1}.create", {"projectId": "proj-one", **HOWL})
    cloud(
        f"{V1}.create",
        {"projectId": "proj-two", "labels": {"color": "blue", "size": "big"}, "parent": parent},
    )
    short = {"proj-one": "one", "proj-two": "two", PROJECT: "rest"}
    assert {short[p["projectId"]] for p in cloud(f"{V1}.list", filter=filter_)} == found
    assert {short[p["projectId"]] for p in cloud(f"{V3}.search", query=filter_)} == found


@pytest.mark.parametrize("wrong", ["id", "id:", "(id:a", "id:a)", "AND id:a", "colour:red", "(" * 200])
def test_a_malformed_filter_of_projects_is_refused(cloud, wrong):
    assert cloud.refused(f"{V1}.list", filter=wrong).code == 400


def test_a_policy_that_changed_meanwhile_is_not_overwritten(cloud):
    policy = cloud(f"{V1}.getIamPolicy", {}, resource=PROJECT)
    policy["bindings"].append({"role": "roles/run.developer", "members": ["user:you@example.com"]})
    changed = cloud(f"{V1}.setIamPolicy", {"policy": policy}, resource=PROJECT)
    assert changed["etag"] != policy["etag"]
    error = cloud.refused(f"{V1}.setIamPolicy", {"policy": policy}, resource=PROJECT)
    assert (error.code, error.status) == (409, "ABORTED")


def test_an_owner_has_every_permission_of_the_project(cloud):
    wanted = {"permissions": ["resourcemanager.projects.get", "run.services.create"]}
    assert cloud(f"{V3}.testIamPermissions", wanted, resource=f"projects/{PROJECT}") == wanted


def test_a_project_is_in_nothing_but_itself(cloud):
    ancestry = cloud(f"{V1}.getAncestry", {}, projectId=PROJECT)
    assert ancestry == {"ancestor": [{"resourceId": {"type": "project", "id": PROJECT}}]}


def test_what_other_services_put_into_a_project_is_there_at_once(cloud):
    cloud(f"{V1}.create", {"projectId": "second-project"})
    cloud(f"{V3}.create", {"projectId": "third-project"})
    assert {r.name.id for r in cloud.world.all("compute.networks")} == {"second-project", "third-project"}


def test_a_project_of_a_region_without_other_services_has_nothing_of_theirs():
    create = SERVICE.methods["v1.projects.create"]
    assert isinstance(create, Write)
    made = create.decide(
        World(), Call(f"{V1}.create", {}, {"projectId": "lonely-project"}, ME, NOW, lambda: 7)
    )
    assert not World().after(made.changes).collections.get("compute.networks")


@pytest.mark.parametrize("project", ["serverless-robot-prod", "gcp-sa-vpcaccess", "compute-system"])
def test_nobody_gets_a_project_of_googles_service_agents(cloud, project):
    for create in (f"{V1}.create", f"{V3}.create"):
        assert cloud.refused(create, {"projectId": project}).code == 409
    assert not is_usable_id(project)


def test_every_service_agent_belongs_to_a_project_that_nobody_gets():
    for api in (
        "run",
        "compute",
        "container",
        "redis",
        "bigquery",
        "servicenetworking",
        "sqladmin",
        "vpcaccess",
    ):
        assert is_googles_own(agent("1", f"{api}.googleapis.com").partition("@")[2].partition(".")[0])
    assert is_googles_own(service_agent("1").partition("@")[2].partition(".")[0])


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": {f"k{n}": "v" for n in range(65)}},
        {"labels": {"k": "v" * 64}},
        {"labels": {"k" * 400: "v"}},
        {"name": "n" * 31},
    ],
)
def test_a_name_or_labels_beyond_googles_limits_are_refused(cloud, fields):
    assert cloud.refused(f"{V1}.create", {"projectId": "second-project", **fields}).code == 400
    assert cloud.refused(f"{V1}.update", fields, projectId=PROJECT).code == 400
    v3 = {"displayName": fields["name"]} if "name" in fields else fields
    assert cloud.refused(f"{V3}.patch", v3, name=f"projects/{PROJECT}").code == 400


def test_a_hundred_permissions_can_be_tested_at_once(cloud):
    test, names = f"{V1}.testIamPermissions", ["resourcemanager.projects.get"]
    assert cloud(test, {"permissions": names * 100}, resource=PROJECT)["permissions"]
    assert cloud.refused(test, {"permissions": names * 101}, resource=PROJECT).code == 400


def test_a_service_agents_role_that_iam_does_not_list_may_be_bound(cloud):
    agents = {"role": "roles/serviceextensions.serviceAgent", "members": ["serviceAccount:a@example.com"]}
    policy = {"bindings": [agents]}
    assert cloud(f"{V1}.setIamPolicy", {"policy": policy}, resource=PROJECT)["bindings"] == [agents]
    assert agents["role"] not in {each["name"] for each in cloud("iam.v1.roles.list")}
    unknown = {"bindings": [agents | {"role": "roles/made.up"}]}
    assert cloud.refused(f"{V1}.setIamPolicy", {"policy": unknown}, resource=PROJECT).code == 400
