"""Bindings with conditions: what they grant, of which resource, and until when."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.worlds import resource

from fogbank.resources.authorization import Policies, attributes
from fogbank.resources.names import ResourceName
from fogbank.resources.policies import replaced
from fogbank.resources.projects import custom_role_name, policy_name, usual_number
from fogbank.resources.world import Put, World

ME = "me@example.com"
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
NUMBER = usual_number("p")
ACCESS = "secretmanager.versions.access"
ROLE = "roles/secretmanager.secretAccessor"


def secret(name):
    return ResourceName("secretmanager.policies", f"projects/p/secrets/{name}")


class Conditional(Policies):
    """A World with one conditional binding, on the project or beside the secret ``dev``."""

    def __init__(self, expression, where=None, role=ROLE):
        super().__init__("nobody", lambda: self.time)
        self.time = NOON
        binding = {
            "role": role,
            "members": [f"user:{ME}"],
            "condition": {"title": "t", "expression": expression},
        }
        policy = replaced(None, {"version": 3, "bindings": [binding]}, 1)
        custom = {"name": "projects/p/roles/reader", "includedPermissions": [ACCESS]}
        self.world = World().after(
            [
                Put(resource(where or policy_name("p"), policy)),
                Put(resource(custom_role_name("projects/p/roles/reader"), custom)),
            ]
        )

    def may(self, *guarded, permission=ACCESS):
        return self.allows(self.world, ME, permission, "p", *guarded)


@pytest.mark.parametrize("where", [None, secret("dev")])
@pytest.mark.parametrize("role", [ROLE, "projects/p/roles/reader"])
def test_access_ends_when_its_condition_does(where, role):
    access = Conditional("request.time < timestamp('2026-11-29T13:00:00Z')", where, role)
    assert access.may(secret("dev"))
    access.time += timedelta(hours=1)
    assert not access.may(secret("dev"))
    access.time -= timedelta(seconds=1)
    assert access.may(secret("dev"))


def test_a_condition_on_the_name_counts_for_those_resources_alone():
    access = Conditional(f"resource.name.startsWith('projects/{NUMBER}/secrets/dev')")
    assert access.may(secret("dev"))
    assert access.may(secret("dev"), secret("dev/versions/1"))
    assert not access.may(secret("prod"))
    assert not access.may()


def test_a_condition_that_excludes_a_type_does_not_grant_it_by_way_of_the_project():
    access = Conditional("resource.type != 'secretmanager.googleapis.com/Secret'")
    assert access.may()
    assert not access.may(secret("dev"))


def test_what_an_unconditional_binding_of_the_same_role_gives_stays():
    access = Conditional("false")
    policy = access.world.get(policy_name("p")).body
    bindings = [*policy["bindings"], {"role": ROLE, "members": ["domain:example.com"]}]
    access.world = access.world.after([Put(resource(policy_name("p"), policy | {"bindings": bindings}))])
    assert access.may(secret("dev"))


@pytest.mark.parametrize(
    ("path", "service", "name", "kind"),
    [
        ("projects/p/global/networks/n", "compute", "projects/p/global/networks/n", "Network"),
        ("projects/p/global/networks/n/addPeering", "compute", "projects/p/global/networks/n", "Network"),
        ("projects/p/regions/r/addresses/a", "compute", "projects/p/regions/r/addresses/a", "Address"),
        ("projects/p/zones/z/instances/i", "compute", "projects/p/zones/z/instances/i", "Instance"),
        ("projects/p/locations/l/services/s", "run", "projects/p/locations/l/services/s", "Service"),
        (
            "projects/p/secrets/s/versions/1",
            "secretmanager",
            f"projects/{NUMBER}/secrets/s/versions/1",
            "SecretVersion",
        ),
        (
            "projects/p/locations/l/repositories/r",
            "artifactregistry",
            "projects/p/locations/l/repositories/r",
            "Repository",
        ),
    ],
)
def test_a_resource_goes_by_the_name_and_type_that_google_gives_it(path, service, name, kind):
    about = attributes(World(), "p", [ResourceName(f"{service}.policies", path)], NOON)
    assert (about.name, about.type) == (name, f"{service}.googleapis.com/{kind}")
    assert about.service == f"{service}.googleapis.com"


@pytest.mark.parametrize(
    "path",
    [
        "projects/p/regions/r/subnetworks",
        "projects/p/global/networks",
        "projects/p/locations/l/services",
        "projects/p",
    ],
)
def test_a_list_is_about_the_project(path):
    about = attributes(World(), "p", [ResourceName("compute.policies", path)], NOON)
    assert (about.name, about.type) == (f"projects/{NUMBER}", "cloudresourcemanager.googleapis.com/Project")
