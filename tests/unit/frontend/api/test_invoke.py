"""Calls without HTTP: a method's id, parameters and a body in, JSON or a refusal out."""

from itertools import count

import pytest
from tests.serving import NOW, OPERATOR, Region

from fogbank.app.projects import Projects
from fogbank.app.registry import services
from fogbank.errors import ApiError
from fogbank.frontend.api.invoke import Api
from fogbank.services.contract import catalogue_of

PLACE = {"project": "demo", "region": "asia-northeast3"}
LOCATION = "projects/demo/locations/asia-northeast3"


@pytest.fixture
async def asked():
    """Gather what permissions are asked for; whoever is named in ``asked.refused`` lacks them."""

    class Asked(list):
        refused = ""

        def allows(self, world, principal, permission, project, *guarded):
            self.append((principal, permission, project))
            return permission != self.refused

        def allows_everywhere(self, world, principal, permission, project):
            return False

    return Asked()


@pytest.fixture
async def api(tmp_path, asked):
    region = Region(tmp_path)
    ids = count(10**18)
    projects = Projects(
        region.store, owner=OPERATOR, strict=False, defaults=catalogue_of(services()).new_project,
        now=lambda: NOW, new_id=lambda: next(ids),
    )  # fmt: skip
    yield Api(
        store=region.store,
        services=services(),
        now=lambda: NOW,
        new_id=lambda: next(ids),
        ensure_project=projects.ensure,
        settle=region.settle,
        access=asked,
        operator=OPERATOR,
        check_answers=True,
    )
    await region.store.close()


async def test_a_method_is_called_by_its_id_with_parameters_and_a_body(api):
    operation = await api.invoke(OPERATOR, "compute.v1.addresses.insert", PLACE, {"name": "a"})
    assert (operation["kind"], operation["status"]) == ("compute#operation", "DONE")
    found = await api.invoke(OPERATOR, "compute.v1.addresses.get", PLACE | {"address": "a"})
    assert found["name"] == "a"
    page = await api.invoke(OPERATOR, "compute.v1.networks.list", {"project": "demo", "maxResults": 1})
    assert [each["name"] for each in page["items"]] == ["default"]


async def test_bodies_are_checked_and_what_is_not_built_is_named(api):
    with pytest.raises(ApiError, match='Unknown name "colour"'):
        await api.invoke(
            OPERATOR, "iam.v1.projects.serviceAccounts.create", {"name": "projects/demo"}, {"colour": "red"}
        )
    with pytest.raises(ApiError, match=r"compute\.v1\.targetPools\.list") as caught:
        await api.invoke(OPERATOR, "compute.v1.targetPools.list", {"project": "demo"})
    assert caught.value.code == 400


async def test_an_operation_is_shown_in_its_apis_dialect(api):
    name = "projects/demo/services/redis.googleapis.com"
    enabled = await api.invoke(OPERATOR, "serviceusage.v1.services.enable", {"name": name}, {})
    assert enabled["response"]["service"]["state"] == "ENABLED"
    assert "kind" not in enabled


@pytest.mark.parametrize(
    ("method", "parameters", "asked_for"),
    [
        ("compute.v1.networks.get", {"project": "demo", "network": "default"},
         "compute.networks.get"),
        ("compute.v1.addresses.aggregatedList", {"project": "demo"},
         "compute.addresses.list"),
        ("vpcaccess.v1.projects.locations.connectors.list", {"parent": LOCATION},
         "vpcaccess.connectors.list"),
        ("compute.v1.regionOperations.list", PLACE,
         "compute.regionOperations.list"),
    ],
)  # fmt: skip
async def test_the_permission_of_a_method_is_asked_for_on_its_resource(
    api, asked, method, parameters, asked_for
):
    await api.invoke(OPERATOR, method, parameters)
    assert asked == [(OPERATOR, asked_for, "demo")]


async def test_what_needs_no_permission_asks_for_none(api, asked):
    await api.invoke(OPERATOR, "iam.v1.roles.list", {})
    assert asked == []


async def test_a_refused_call_changes_nothing(api, asked):
    asked.refused = "compute.addresses.create"
    with pytest.raises(ApiError, match=r"compute\.addresses\.create"):
        await api.invoke(OPERATOR, "compute.v1.addresses.insert", PLACE, {"name": "a"})
    listed = await api.invoke(OPERATOR, "compute.v1.addresses.list", PLACE)
    assert "items" not in listed
