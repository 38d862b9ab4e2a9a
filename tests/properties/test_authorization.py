"""Laws of permissions: a caller has what some binding's role contains, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st
from tests.worlds import NOW, resource

from fogbank.resources.authorization import Policies, held
from fogbank.resources.names import ResourceName
from fogbank.resources.policies import policy_of
from fogbank.resources.predefined_roles import roles_with
from fogbank.resources.projects import custom_role_name, policy_name
from fogbank.resources.world import Put, Resource, World

ME, OTHER = "me@example.com", "other@elsewhere.example"
SERVICE = ResourceName("run.policies", "projects/p/locations/l/services/s")
CUSTOM = "projects/p/roles/deployer"
PERMISSIONS = (
    "run.services.create",
    "run.services.get",
    "run.services.setIamPolicy",
    "run.routes.invoke",
    "compute.subnetworks.use",
    "iam.serviceAccounts.actAs",
    "resourcemanager.projects.setIamPolicy",
)
ROLES = (
    "roles/owner",
    "roles/editor",
    "roles/viewer",
    "roles/run.developer",
    "roles/run.invoker",
    "roles/iam.serviceAccountUser",
    "roles/storage.objectViewer",
    CUSTOM,
    "projects/q/roles/deployer",
)
MEMBERS = (
    f"user:{ME}",
    f"user:{OTHER}",
    f"serviceAccount:{ME}",
    f"group:{ME}",
    "domain:example.com",
    "domain:elsewhere.example",
    "allUsers",
    "allAuthenticatedUsers",
    f"deleted:user:{ME}?uid=1",
)
MINE = {f"user:{ME}", "domain:example.com", "allUsers", "allAuthenticatedUsers"}

bindings = st.dictionaries(st.sampled_from(ROLES), st.sets(st.sampled_from(MEMBERS), max_size=3), max_size=4)
custom = st.sets(st.sampled_from(PERMISSIONS))


def world_of(project, service, permissions, *, deleted=False) -> World:
    body = {"name": CUSTOM, "includedPermissions": sorted(permissions)} | (
        {"deleted": True} if deleted else {}
    )
    elsewhere = custom_role_name("projects/q/roles/deployer")
    return World().after(
        [
            Put(resource(policy_name("p"), policy_of(project, 1))),
            Put(resource(SERVICE, policy_of(service, 2))),
            Put(resource(custom_role_name(CUSTOM), body)),
            Put(Resource(elsewhere, 9, NOW, {"includedPermissions": list(PERMISSIONS)})),
        ]
    )


@given(bindings, bindings, custom, st.booleans())
def test_a_permission_is_had_when_some_bindings_role_contains_it(project, service, permissions, deleted):
    world = world_of(project, service, permissions, deleted=deleted)
    mine = {role for each in (project, service) for role, members in each.items() if MINE & members}
    for permission in PERMISSIONS:
        expected = bool(mine & roles_with(permission))
        expected |= CUSTOM in mine and permission in permissions and not deleted
        assert Policies("nobody", lambda: NOW).allows(world, ME, permission, "p", SERVICE) == expected


@given(bindings, bindings, custom, st.data())
def test_to_take_a_member_away_gives_nobody_anything(project, service, permissions, data):
    before, access = world_of(project, service, permissions), Policies("nobody", lambda: NOW)
    role = data.draw(st.sampled_from(sorted(project) or ["roles/owner"]))
    fewer = {**project, role: set(list(project.get(role, ()))[1:])}
    after = world_of(fewer, service, permissions)
    for permission in PERMISSIONS:
        for who in (ME, OTHER, None):
            if access.allows(after, who, permission, "p", SERVICE):
                assert access.allows(before, who, permission, "p", SERVICE)


@given(bindings, bindings, custom)
def test_testing_permissions_agrees_with_having_them(project, service, permissions):
    world, access = world_of(project, service, permissions), Policies("nobody", lambda: NOW)
    tested = held(access, world, ME, PERMISSIONS, "p", SERVICE)
    assert tested == tuple(p for p in PERMISSIONS if access.allows(world, ME, p, "p", SERVICE))


@given(bindings, custom)
def test_another_projects_policy_counts_for_nothing(elsewhere, permissions):
    world = world_of({}, {}, permissions).after([Put(resource(policy_name("q"), policy_of(elsewhere, 3)))])
    for permission in PERMISSIONS:
        assert not Policies("nobody", lambda: NOW).allows(world, ME, permission, "p", SERVICE)


@given(st.lists(bindings, min_size=2, max_size=6))
def test_what_is_remembered_of_a_policy_is_never_anothers(policies):
    access = Policies("nobody", lambda: NOW)
    for each in (*policies, *policies):
        world = world_of(each, {}, ())
        for permission in PERMISSIONS:
            fresh = Policies("nobody", lambda: NOW).allows(world, ME, permission, "p")
            assert access.allows(world, ME, permission, "p") == fresh


def test_a_project_whose_policy_nobody_set_is_the_operators():
    access = Policies("robot@p.iam.gserviceaccount.com", lambda: NOW)
    assert access.allows(World(), "robot@p.iam.gserviceaccount.com", "run.services.create", "p")
    assert not access.allows(World(), ME, "run.services.get", "p")
    assert not access.allows(World(), None, "run.services.get", "p")
