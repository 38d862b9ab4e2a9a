"""Requests as they come over HTTP, asked without a socket."""

import json

import pytest
from tests.serving import TOKEN, Region

HOST = "compute.googleapis.com"
SUBNETS = "/compute/v1/projects/demo/regions/asia-northeast3/subnetworks"
BODY = {"name": "a", "network": "global/networks/default", "ipCidrRange": "10.0.0.0/24"}


@pytest.fixture
async def call(tmp_path):
    """Call the APIs; gives the status and the JSON."""
    region = Region(tmp_path)

    async def send(verb, target, body=b"", host=HOST, **headers):
        path, _, query = target.partition("?")
        headers = {"host": host, "authorization": TOKEN, "content-length": str(len(body)), **headers}
        scope = {
            "type": "http",
            "method": verb,
            "path": path,
            "query_string": query.encode(),
            "headers": [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()],
        }
        sent = []

        async def receive():
            return {"type": "http.request", "body": body}

        async def keep(message):
            sent.append(message)

        await region.api(scope, receive, keep)
        return sent[0]["status"], json.loads(sent[1]["body"])

    yield send
    await region.store.close()


async def test_only_a_post_can_stand_for_another_verb(call):
    assert (await call("POST", SUBNETS, json.dumps(BODY).encode()))[0] == 200
    status, answer = await call("GET", f"{SUBNETS}/a", x_http_method_override="DELETE")
    assert (status, answer["name"]) == (200, "a")
    status, answer = await call("POST", f"{SUBNETS}/a", x_http_method_override="delete")
    assert (status, answer["operationType"]) == (200, "delete")


async def test_a_hosts_full_name_ends_with_a_dot(call):
    assert (await call("GET", SUBNETS, host="Compute.GoogleAPIs.com.:443"))[0] == 200


@pytest.mark.parametrize(
    "body",
    [b'{"a":' * 100_000, b'{"name":"\\ud800"}', b"{'name'", b"\xff", b"[1]", b'{"mtu":' + b"1" * 5000 + b"}"],
)
async def test_a_malformed_body_is_refused(call, body):
    status, answer = await call("POST", SUBNETS, body)
    assert (status, answer["error"]["code"]) == (400, 400)
    assert answer["error"]["message"].startswith("Invalid JSON payload received. ")
    assert "char " not in answer["error"]["message"]


@pytest.mark.parametrize(
    "query",
    [
        "filter=" + "(" * 500 + "name=a" + ")" * 500,
        "filter=description%20eq%20(a+",
        "fields=" + "a(" * 500,
        "fields=bogus",
        "fields=items/bogus",
        "pageToken=bnVsbA==",
        "pageToken=MQ==",
        "maxResults=" + "1" * 5000,
    ],
)
async def test_a_malformed_query_is_refused(call, query):
    status, answer = await call("GET", f"{SUBNETS}?{query}")
    assert (status, answer["error"]["code"]) == (400, 400)


async def test_nothing_is_written_for_fields_that_the_answer_cannot_have(call):
    assert (await call("POST", f"{SUBNETS}?fields=bogus", json.dumps(BODY).encode()))[0] == 400
    assert (await call("GET", f"{SUBNETS}/a"))[0] == 404


async def test_parameters_of_every_method_are_taken_and_others_are_not(call):
    taken = ("prettyPrint=false", "quotaUser=me", "%24.xgafv=2", "options.requestedPolicyVersion=3")
    assert [(await call("GET", f"{SUBNETS}?{each}"))[0] for each in taken] == [200] * len(taken)
    status, answer = await call("GET", f"{SUBNETS}?option=3")
    assert (status, "option" in answer["error"]["message"]) == (400, True)
