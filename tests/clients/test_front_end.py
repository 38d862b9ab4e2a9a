"""Real HTTP clients through the proxy: CONNECT, TLS, HTTP/1.1 and HTTP/2."""

import asyncio
import json
import logging
import ssl

import aiohttp
import h2.connection
import h2.events
import pytest
from tests.serving import TOKEN, listener, serving

from fogbank.frontend.http.connections import ALPN

PROJECT = "https://compute.googleapis.com/compute/v1/projects/demo"
SUBNETS = f"{PROJECT}/regions/asia-northeast3/subnetworks"
BODY = {"name": "a", "network": "global/networks/default", "ipCidrRange": "10.0.0.0/24"}


@pytest.fixture
async def region(tmp_path):
    async with serving(tmp_path) as made:
        yield made


@pytest.fixture
async def call(region):
    """Call through the proxy; gives the status and the JSON."""
    connector = aiohttp.TCPConnector(ssl=region.client_context())
    async with aiohttp.ClientSession(headers={"Authorization": TOKEN}, connector=connector) as session:

        async def send(verb, url, **more):
            async with session.request(verb, url, proxy=region.url, **more) as response:
                return response.status, json.loads(await response.text())

        yield send


async def test_a_write_is_answered_with_an_operation_that_is_already_done(call, region):
    status, operation = await call("POST", SUBNETS, json=BODY)
    assert (status, operation["status"], operation["operationType"]) == (200, "DONE", "insert")
    assert (await call("GET", f"{SUBNETS}/a"))[1]["name"] == "a"
    assert "demo" in region.projects


async def test_an_operation_that_needs_longer_is_answered_running_and_can_be_awaited(call, region):
    region.settles = False
    _, operation = await call("POST", SUBNETS, json=BODY)
    assert (operation["status"], operation["progress"]) == ("RUNNING", 0)
    url = f"{PROJECT}/regions/asia-northeast3/operations/{operation['name']}"
    assert (await call("GET", url))[1]["status"] == "RUNNING"
    region.settles = True
    assert (await call("POST", f"{url}/wait"))[1]["status"] == "DONE"
    assert (await call("GET", url))[1]["endTime"]
    _, listed = await call("GET", f"{PROJECT}/regions/asia-northeast3/operations?filter=status=DONE")
    assert [o["name"] for o in listed["items"]] == [operation["name"]]
    _, everywhere = await call("GET", f"{PROJECT}/aggregated/operations")
    assert everywhere["items"]["regions/asia-northeast3"]["operations"]


async def test_the_same_request_id_gives_the_same_operation(call):
    url = f"{SUBNETS}?requestId=5a4b5c6d-0000-4000-8000-000000000001"
    first = await call("POST", url, json=BODY)
    again = await call("POST", url, json=BODY)
    assert first == again
    assert first[1]["clientOperationId"] == "5a4b5c6d-0000-4000-8000-000000000001"
    assert (await call("POST", SUBNETS, json=BODY))[0] == 409


async def test_another_call_with_the_same_request_id_is_another_request(call):
    again = "requestId=5a4b5c6d-0000-4000-8000-000000000003"
    await call("POST", f"{SUBNETS}?{again}", json=BODY)
    deleted = await call("DELETE", f"{SUBNETS}/a?{again}")
    assert deleted[1]["operationType"] == "delete"
    assert (await call("GET", f"{SUBNETS}/a"))[0] == 404
    assert await call("DELETE", f"{SUBNETS}/a?{again}") == deleted


async def test_two_calls_at_once_with_one_request_id_are_one_call(call):
    url = f"{SUBNETS}?requestId=5a4b5c6d-0000-4000-8000-000000000002"
    answers = await asyncio.gather(*(call("POST", url, json=BODY) for _ in range(5)))
    assert {status for status, _ in answers} == {200}
    assert len({operation["name"] for _, operation in answers}) == 1


async def test_a_list_filters_pages_and_masks(call):
    for name in ("a", "b", "c"):
        await call("POST", SUBNETS, json=BODY | {"name": name})
    url = f"{SUBNETS}?filter=name+ne+b&maxResults=1&fields=items(name),nextPageToken"
    _, first = await call("GET", url)
    assert first["items"] == [{"name": "a"}]
    _, second = await call("GET", f"{url}&pageToken={first['nextPageToken']}")
    assert second == {"items": [{"name": "c"}]}


async def test_what_gcloud_lists_is_aggregated_over_all_scopes(call):
    await call("POST", SUBNETS, json=BODY)
    query = "includeAllScopes=True&maxResults=500&returnPartialSuccess=True&alt=json"
    _, answer = await call("GET", f"{PROJECT}/aggregated/subnetworks?{query}")
    assert answer["items"]["regions/asia-northeast3"]["subnetworks"][0]["name"] == "a"
    assert answer["items"]["zones/us-central1-f"]["warning"]["code"] == "NO_RESULTS_ON_PAGE"


async def test_a_project_number_stands_for_its_id(call):
    await call("POST", SUBNETS.replace("demo", "123456789012"), json=BODY)
    assert (await call("GET", f"{SUBNETS}/a"))[0] == 200


async def test_the_region_of_a_run_host_is_the_location(call):
    url = "https://europe-west1-run.googleapis.com/apis/serving.knative.dev/v1/namespaces/demo/services/s"
    _, service = await call("GET", url)
    assert service["metadata"] == {"name": "namespaces/demo/services/s", "namespace": "europe-west1"}


async def test_compute_and_newer_apis_have_their_own_error_envelopes(call):
    status, body = await call("GET", f"{SUBNETS}/missing")
    message = "The resource 'projects/demo/regions/asia-northeast3/subnetworks/missing' was not found"
    errors = [{"message": message, "domain": "global", "reason": "notFound"}]
    assert (status, body) == (404, {"error": {"code": 404, "message": message, "errors": errors}})
    url = "https://vpcaccess.googleapis.com/v1/projects/demo/locations/r/operations/none"
    status, body = await call("GET", url)
    assert (status, body["error"]["status"]) == (404, "NOT_FOUND")
    assert "errors" not in body["error"]


async def test_what_is_not_built_is_refused_with_its_name(call):
    url = "https://redis.googleapis.com/v1/projects/demo/locations/r/instances"
    status, body = await call("GET", url)
    assert (status, body["error"]["status"]) == (400, "UNIMPLEMENTED")
    assert "redis.v1.projects.locations.instances.list" in body["error"]["message"]


@pytest.mark.parametrize("host", ["nothing", "asia-east1-nothing"])
async def test_an_api_that_nobody_built_is_named(call, host):
    status, body = await call("GET", f"https://{host}.googleapis.com/v1/things")
    assert (status, body["error"]["status"]) == (400, "UNIMPLEMENTED")
    assert f"{host}.googleapis.com (GET /v1/things)" in body["error"]["message"]


async def test_a_path_that_is_no_method_of_a_built_api_is_not_found(call):
    assert (await call("GET", "https://run.googleapis.com/v2/things"))[0] == 404


async def test_without_credentials_everything_is_refused(call):
    status, body = await call("GET", SUBNETS, headers={"Authorization": "Bearer other"})
    assert (status, body["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert body["error"]["errors"][0]["reason"] == "authError"


async def test_compute_leaves_an_unknown_field_out_and_refuses_an_unknown_parameter(call):
    status, body = await call("POST", SUBNETS, json=BODY | {"name": "coloured", "color": "red"})
    assert (status, body["operationType"]) == (200, "insert")
    status, body = await call("GET", f"{SUBNETS}?color=red")
    assert status == 400
    assert "Cannot bind query parameter" in body["error"]["message"]


@pytest.mark.parametrize("body", ["[1]", "{", '"x"'])
async def test_a_body_that_is_no_object_is_refused(call, body):
    status, answer = await call("POST", SUBNETS, data=body)
    assert (status, "Invalid JSON payload" in answer["error"]["message"]) == (400, True)


async def test_a_bug_answers_500_and_its_traceback_is_logged(call, caplog):
    with caplog.at_level(logging.ERROR):
        status, body = await call("GET", PROJECT)
    assert status == 500
    reference = body["error"]["message"].rpartition(" ")[2].rstrip(".")
    assert reference in caplog.text
    assert "RuntimeError: a bug" in caplog.text


async def test_a_batch_answers_each_part(call, region):
    parts = "".join(
        f"--B\r\nContent-Type: application/http\r\nContent-ID: <x+{i}>\r\n\r\n"
        f"POST {SUBNETS.removeprefix('https://compute.googleapis.com')}?alt=json HTTP/1.1\r\n"
        f"Content-Type: application/json\r\n\r\n{json.dumps(BODY | {'name': name})}\r\n"
        for i, name in enumerate(["a", "b", "a"])
    )
    connector = aiohttp.TCPConnector(ssl=region.client_context())
    headers = {"Authorization": TOKEN, "Content-Type": "multipart/mixed; boundary=B"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        url = "https://compute.googleapis.com/batch/compute/v1"
        async with session.post(url, proxy=region.url, data=f"{parts}--B--\r\n") as response:
            assert response.status == 200
            reader = aiohttp.MultipartReader.from_response(response)
            answers = []
            async for part in reader:
                assert isinstance(part, aiohttp.BodyPartReader)
                answers.append((part.headers["Content-ID"], await part.text()))
    assert [i for i, _ in answers] == ["<response-x+0>", "<response-x+1>", "<response-x+2>"]
    assert [text.split()[1] for _, text in answers] == ["200", "200", "409"]
    assert {r.name.id for r in region.store.world.all("compute.subnetworks")} == {"a", "b"}


async def tunnel(region, host="compute.googleapis.com:443"):
    reader, writer = await asyncio.open_connection("127.0.0.1", region.port)
    writer.write(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return (await reader.readuntil(b"\r\n\r\n")).decode(), reader, writer


PARENT = b"projects/demo/locations/asia-northeast3"
CONNECTORS = bytes((0, 0, 0, 0, len(PARENT) + 2, 0x0A, len(PARENT))) + PARENT
"""A frame of gRPC with a ListConnectorsRequest."""


async def second(region, headers, body):
    """Call over HTTP/2; gives the answer's headers and content."""
    _, reader, writer = await tunnel(region)
    await writer.start_tls(region.client_context("h2"), server_hostname="compute.googleapis.com")
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    connection = h2.connection.H2Connection()
    connection.initiate_connection()
    first = {":method": "POST", ":scheme": "https", ":authority": "compute.googleapis.com"}
    connection.send_headers(1, list((first | headers).items()))
    connection.send_data(1, body, end_stream=True)
    writer.write(connection.data_to_send())
    answered: dict[bytes, bytes] = {}
    content, ended = b"", False
    while not ended:
        for event in connection.receive_data(await reader.read(65536)):
            if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                answered |= dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                content += event.data
            ended = ended or isinstance(event, h2.events.StreamEnded)
        writer.write(connection.data_to_send())
    writer.close()
    return answered, content


async def test_a_client_that_offers_only_http_2_gets_it(region):
    path = SUBNETS.removeprefix("https://compute.googleapis.com")
    headers = {":path": path, "authorization": TOKEN, "content-type": "application/json"}
    answered, content = await second(region, headers, json.dumps(BODY).encode())
    assert answered[b":status"] == b"200"
    assert json.loads(content)["kind"] == "compute#operation"


@pytest.mark.parametrize(
    ("path", "authorization", "body", "status"),
    [
        ("google.cloud.vpcaccess.v1.VpcAccessService/ListConnectors", TOKEN, CONNECTORS, b"0"),
        ("google.cloud.vpcaccess.v1.VpcAccessService/ListConnectors", "Bearer no", CONNECTORS, b"16"),
        ("google.cloud.vpcaccess.v1.VpcAccessService/ListConnectors", TOKEN, b"\0\0\0\0\0", b"3"),
        ("google.cloud.vpcaccess.v1.VpcAccessService/DeleteConnector", TOKEN, CONNECTORS, b"3"),
        ("google.cloud.nothing.v1.Nothing/Do", TOKEN, b"", b"12"),
    ],
)
async def test_a_call_of_grpc_ends_with_a_status(region, path, authorization, body, status):
    headers = {":authority": "vpcaccess.googleapis.com", ":path": f"/{path}", "authorization": authorization}
    answered, content = await second(region, headers | {"content-type": "application/grpc"}, body)
    assert (answered[b":status"], answered[b"grpc-status"]) == (b"200", status)
    assert content == (b"\0\0\0\0\0" if status == b"0" else b"")


async def test_a_client_that_offers_both_gets_http_1(region):
    _, _, writer = await tunnel(region)
    await writer.start_tls(region.client_context("h2", "http/1.1"), server_hostname="compute.googleapis.com")
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    writer.close()


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("ifconfig.me:443", "no packet leaves this machine"),
        ("registry.terraform.io:443", "NO_PROXY"),
        ("127.0.0.1:443", "does not stand for"),
        ("compute.googleapis.com:80", "port 443"),
        ("compute.googleapis.com", "not a host and a port"),
    ],
)
async def test_a_tunnel_to_a_host_that_is_not_ours_is_refused_with_the_reason(region, target, word):
    head, reader, writer = await tunnel(region, target)
    assert head.startswith("HTTP/1.1 403 Forbidden\r\n")
    assert word in (await reader.read()).decode()
    writer.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET http://metadata.google.internal/computeMetadata/v1/ HTTP/1.1", 502),
        ("GET http://example.com/ HTTP/1.1", 502),
        ("GET http://app-1.asia-northeast3.run.app/x?y=1 HTTP/1.1", 302),
        ("GET / HTTP/1.1", 400),
        ("nonsense", 400),
        ("GET /" + "x" * 20000, 431),
    ],
)
async def test_a_request_without_a_tunnel_is_answered_in_plain_words(region, request_, status):
    reader, writer = await asyncio.open_connection("127.0.0.1", region.port)
    writer.write(f"{request_}\r\n{'' if status == 431 else chr(13) + chr(10)}".encode())
    answer = (await reader.read()).decode()
    assert answer.startswith(f"HTTP/1.1 {status} ")
    if status == 302:
        assert "\r\nLocation: https://app-1.asia-northeast3.run.app/x?y=1\r\n" in answer
    writer.close()


async def test_a_client_that_trusts_other_roots_fails_and_harms_nobody(region, call):
    _, _, writer = await tunnel(region)
    with pytest.raises(OSError):  # noqa: PT011 - ssl's and the loop's differ
        await writer.start_tls(ssl.create_default_context(), server_hostname="run.googleapis.com")
    assert (await call("GET", SUBNETS))[0] == 200


async def test_run_hosts_go_to_their_own_application(region):
    connector = aiohttp.TCPConnector(ssl=region.client_context())
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("https://app-1.asia-northeast3.run.app/hello", proxy=region.url) as response,
    ):
        assert (response.status, await response.text()) == (200, "/hello")


async def test_the_same_hosts_are_served_on_a_tls_port(region):
    made = listener()
    port = made.getsockname()[1]
    await region.proxy.serve_tls(made, region.authority.listener_context(ALPN))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=region.client_context(), server_hostname="compute.googleapis.com"
    )
    path = SUBNETS.removeprefix("https://compute.googleapis.com")
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: compute.googleapis.com",
        f"Authorization: {TOKEN}",
        "Connection: close",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()
