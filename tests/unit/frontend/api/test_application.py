"""The API from a request to the services and back, where it is the same for all of them."""

import json
from itertools import count

import pytest
from tests.serving import NOW, OPERATOR, TOKEN, Region

from fogbank.app.projects import Projects
from fogbank.app.registry import services
from fogbank.frontend.api.messages import ApiRequest
from fogbank.services.contract import catalogue_of

COMPUTE = "compute.googleapis.com/compute/v1/projects/demo"
PROJECT = "cloudresourcemanager.googleapis.com/v1/projects/demo"
CALLS_OF_A_PROJECT = [
    ("POST", f"{COMPUTE}/global/networks", {"name": "net", "autoCreateSubnetworks": False}),
    ("GET", f"{COMPUTE}/global/networks", None),
    ("GET", COMPUTE, None),
    ("GET", "vpcaccess.googleapis.com/v1/projects/demo/locations/asia-northeast3/connectors", None),
    ("GET", "run.googleapis.com/v2/projects/demo/locations/asia-northeast3/services", None),
    ("POST", "iam.googleapis.com/v1/projects/demo/serviceAccounts", {"accountId": "runner"}),
    ("POST", "serviceusage.googleapis.com/v1/projects/demo/services/redis.googleapis.com:enable", {}),
]


@pytest.fixture
async def call(tmp_path):
    """Call a region with all services; gives the status and the JSON."""
    region = Region(tmp_path, services())
    ids = count(10**18)
    projects = Projects(
        region.store, owner=OPERATOR, strict=False, defaults=catalogue_of(services()).new_project,
        now=lambda: NOW, new_id=lambda: next(ids),
    )  # fmt: skip
    await projects.ensure("demo")

    async def send(verb, url, body=None):
        host, _, rest = url.partition("/")
        path, _, query = rest.partition("?")
        content = b"" if body is None else json.dumps(body).encode()
        request = ApiRequest(verb, host, f"/{path}", query.encode(), TOKEN, "application/json", content)
        reply = await region.api.answer(request)
        return reply.status, json.loads(reply.content)

    yield send
    await region.store.close()


@pytest.mark.parametrize(("verb", "url", "body"), CALLS_OF_A_PROJECT)
async def test_a_project_that_waits_for_its_deletion_is_used_by_no_api_until_it_is_back(
    call, verb, url, body
):
    assert (await call("DELETE", PROJECT))[0] == 200
    status, answer = await call(verb, url, body)
    assert status == 403
    assert "Project 'demo' has been scheduled for deletion" in answer["error"]["message"]
    assert (await call("GET", PROJECT))[1]["lifecycleState"] == "DELETE_REQUESTED"
    assert (await call("POST", f"{PROJECT}:undelete", {}))[0] == 200
    assert (await call(verb, url, body))[0] == 200


async def test_projects_are_filtered_in_the_language_of_their_own_api(call):
    listed = await call("GET", f"{PROJECT.removesuffix('/demo')}?filter=id:demo%20name:nobody")
    assert [each["projectId"] for each in listed[1]["projects"]] == ["demo"]


async def test_operations_are_called_by_name_or_by_id(call):
    networks = f"{COMPUTE}/global/networks"
    _, operation = await call("POST", networks, {"name": "net", "autoCreateSubnetworks": False})
    by_id = f"{COMPUTE}/global/operations/{operation['id']}"
    assert (await call("GET", by_id))[1]["name"] == operation["name"]
    assert (await call("POST", f"{by_id}/wait"))[1]["status"] == "DONE"
    assert (await call("GET", f"{COMPUTE}/global/operations/12"))[0] == 404
    assert (await call("DELETE", by_id))[0] == 200
    assert (await call("GET", by_id))[0] == 404


@pytest.mark.parametrize("version", ["beta", "alpha"])
async def test_a_caller_of_beta_gets_links_of_beta(call, version):
    beta = f"compute.googleapis.com/compute/{version}/projects/demo"
    links = f"https://www.googleapis.com/compute/{version}/projects/demo"
    network = f"{links}/global/networks/net"
    body = {"name": "net", "autoCreateSubnetworks": False}
    _, operation = await call("POST", f"{beta}/global/networks", body)
    assert operation["targetLink"] == network
    assert operation["selfLink"] == f"{links}/global/operations/{operation['name']}"
    router = {"name": "router", "network": network}
    assert (await call("POST", f"{beta}/regions/us-central1/routers", router))[0] == 200
    listed = await call("GET", f'{beta}/regions/us-central1/routers?filter=network%20eq%20"{network}"')
    assert [(each["network"], each["region"]) for each in listed[1]["items"]] == [
        (network, f"{links}/regions/us-central1")
    ]
    assert "compute/v1" not in json.dumps(listed)
    assert (await call("GET", f"{COMPUTE}/global/networks/net"))[1]["selfLink"] == network.replace(
        version, "v1"
    )


@pytest.mark.parametrize("place", ["regions", "zones"])
@pytest.mark.parametrize("rest", ["", "/operation-1"])
async def test_operations_of_a_place_that_google_does_not_have_are_refused_like_anything_there(
    call, place, rest
):
    status, answer = await call("GET", f"{COMPUTE}/{place}/nope/operations{rest}")
    assert status == 400
    field = place.removesuffix("s")
    assert answer["error"]["message"] == f"Invalid value for field '{field}': 'nope'. Unknown {field}."
