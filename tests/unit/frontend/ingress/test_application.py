"""The way in to services: from a URL to an instance's socket and back."""

import asyncio
import socket
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.containers import HOST, OK, Container, NoInstanceError, add_service, open_to, says
from tests.worlds import revision

from fogbank.clock import Clock
from fogbank.frontend.iam.accounts import GCLOUD_CLIENT
from fogbank.frontend.ingress.application import VPC_PROJECT, Ingress, pick
from fogbank.frontend.ingress.exchange import RequestRecord
from fogbank.resources.names import ResourceName
from fogbank.resources.run import Target

FORBIDDEN = (
    b'<html><head>\n<meta http-equiv="content-type" content="text/html;charset=utf-8">\n'
    b"<title>403 Forbidden</title>\n</head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>Error: Forbidden</h1>\n"
    b"<h2>Your client does not have permission to get URL <code>/</code> from this server.</h2>\n"
    b"<h2></h2>\n</body></html>"
)


@dataclass
class Reply:
    """What the caller got."""

    status: int = 0
    headers: list = field(default_factory=list)
    body: bytes = b""

    def __getitem__(self, name):
        return dict(self.headers)[name.encode()].decode()


@dataclass
class Stage:
    """A service with one revision, its container and the ingress before it."""

    region: object
    container: Container
    ingress: Ingress
    records: list

    async def get(
        self,
        path="/",
        *,
        host=HOST,
        method="GET",
        headers=(),
        chunks=(b"",),
        scheme="https",
        gone=None,
        **connection,
    ):
        raw, _, query = path.partition("?")
        named = [(b"host", host.encode()), *((n.encode(), v.encode()) for n, v in headers)]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": scheme,
            "path": raw,
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "headers": named,
            "client": ("127.0.0.1", 4242),
            **connection,
        }
        left = list(chunks)

        async def receive():
            if left:
                chunk = left.pop(0)
                return {"type": "http.request", "body": chunk, "more_body": bool(left)}
            await (gone or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        reply = Reply()

        async def send(message):
            if message["type"] == "http.response.start":
                reply.status, reply.headers = message["status"], message["headers"]
            else:
                reply.body += message["body"]

        await self.ingress(scope, receive, send)
        return reply


@pytest.fixture
async def stage(region):
    stages = []

    async def make(script=OK, *members, draw=0.0, vpc=None, sender=None, **service):
        add_service(region, **service)
        if members:
            open_to(region, *members)
        container = Container(script)
        records: list[RequestRecord] = []
        server = await asyncio.start_server(container.serve, "127.0.0.1", 0)
        container.port = server.sockets[0].getsockname()[1]
        ingress = Ingress(
            lambda: region.world,
            region.identity,
            Clock(),
            container,
            exhausted=NoInstanceError,
            open_socket=lambda _netns, kind: socket.socket(socket.AF_INET, kind),
            draw=lambda: draw,
            record=records.append,
            vpc_project=lambda address: vpc if address == "127.0.0.1" else None,
            google_project=lambda address, port: sender if (address, port) == ("192.0.2.1", 4711) else None,
        )
        stages.append((ingress, server, container))
        return Stage(region, container, ingress, records)

    yield make
    for ingress, server, container in stages:
        await ingress.close()
        server.close()
        await container.close()


async def test_a_request_reaches_the_container_and_its_answer_comes_back(stage):
    web = await stage(OK, "allUsers")
    reply = await web.get("/a%20b?c=%2F&d")
    assert (reply.status, reply.body) == (200, b"hello")
    assert web.container.seen[0][0].startswith("GET /a%20b?c=%2F&d HTTP/1.1\r\n")
    assert reply["server"] == "Google Frontend"
    assert reply["x-own"] == "yes"
    assert reply["x-cloud-trace-context"].endswith(";o=1")


@pytest.mark.parametrize("host", [HOST, HOST.upper(), HOST + ":443", "web-abcdefghij-du.a.run.app"])
async def test_both_urls_serve(stage, host):
    web = await stage(OK, "allUsers")
    assert (await web.get(host=host)).status == 200


async def test_the_container_is_told_of_its_caller(stage):
    web = await stage(OK, "allUsers")
    trace = "ab" * 16
    await web.get(headers=[("x-forwarded-for", "198.51.100.7"), ("traceparent", f"00-{trace}-{'cd' * 8}-01")])
    seen = web.container.headers
    assert seen["host"] == HOST
    assert seen["x-forwarded-for"] == "198.51.100.7,127.0.0.1"
    assert seen["x-forwarded-proto"] == "https"
    assert seen["forwarded"] == 'for="127.0.0.1";proto=https'
    assert seen["traceparent"].startswith(f"00-{trace}-")
    assert seen["x-cloud-trace-context"].startswith(f"{trace}/")
    assert "accept-encoding" not in seen


async def test_a_body_is_streamed_to_the_container(stage):
    web = await stage(OK, "allUsers")
    await web.get(method="POST", headers=[("content-length", "10")], chunks=[b"hello", b"world"])
    assert web.container.seen[0][1] == b"helloworld"
    assert web.records[0].request_size == 10


async def test_an_answer_is_streamed_while_it_is_made(stage):
    async def script(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in (b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"):
            writer.write(part)
            await writer.drain()

    web = await stage(script, "allUsers")
    reply = await web.get()
    assert reply.body == b"onetwo"
    assert b"transfer-encoding" not in dict(reply.headers)


async def test_errors_and_redirects_of_the_container_are_its_own(stage):
    web = await stage(says(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"), "allUsers")
    reply = await web.get()
    assert (reply.status, reply["location"]) == (302, "/x")


async def test_a_compressed_answer_stays_compressed(stage):
    raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x00\x00"
    web = await stage(says(raw), "allUsers")
    assert (await web.get()).body == b"\x1f\x8b\x00\x00"


async def test_an_answer_with_a_cookie_is_private(stage):
    raw = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nCache-Control: public\r\nContent-Length: 0\r\n\r\n"
    web = await stage(says(raw), "allUsers")
    reply = await web.get()
    assert [value for name, value in reply.headers if name == b"cache-control"] == [b"private"]


async def test_without_a_token_a_private_service_shows_googles_page(stage):
    web = await stage()
    reply = await web.get()
    assert (reply.status, reply.body) == (403, FORBIDDEN)
    assert web.container.seen == []
    assert "not authenticated" in web.records[0].message


@pytest.mark.parametrize(
    "audience", [f"https://{HOST}", "https://web-abcdefghij-du.a.run.app", GCLOUD_CLIENT]
)
@pytest.mark.parametrize("header", ["authorization", "x-serverless-authorization"])
async def test_an_id_token_of_the_projects_owner_opens_a_private_service(stage, region, audience, header):
    web = await stage()
    token = region.identity.id_token(region.identity.operator, audience)
    assert (await web.get(headers=[(header, f"Bearer {token}")])).status == 200
    seen = web.container.headers
    if header == "authorization":
        assert seen[header] == f"Bearer {token.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"
    else:
        assert header not in seen


async def test_a_custom_audience_is_accepted(stage, region):
    custom = {"run.googleapis.com/custom-audiences": '["https://own.example"]'}
    web = await stage(**custom)
    token = region.identity.id_token(region.identity.operator, "https://own.example")
    assert (await web.get(headers=[("authorization", f"Bearer {token}")])).status == 200


async def test_a_token_that_cannot_be_believed_gets_401(stage, region):
    web = await stage()
    wrong = region.identity.id_token(region.identity.operator, "https://other.example")
    access = region.identity.access_token(region.identity.operator.email)
    for header in (f"Bearer {wrong}", f"Bearer {access}", "Bearer x", "Basic YTpi"):
        reply = await web.get(headers=[("authorization", header)])
        assert reply.status == 401
        assert reply["www-authenticate"].startswith('Bearer error="invalid_token"')


async def test_a_caller_without_the_role_gets_403(stage, region):
    region.add_account()
    web = await stage(OK, "user:somebody@example.com")
    robot = region.identity.account("robot@demo.iam.gserviceaccount.com")
    header = [("authorization", f"Bearer {region.identity.id_token(robot, GCLOUD_CLIENT)}")]
    assert (await web.get(headers=header)).status == 403
    open_to(region, f"serviceAccount:{robot.email}")
    assert (await web.get(headers=header)).status == 200


async def test_a_service_may_switch_the_check_off(stage):
    web = await stage(**{"run.googleapis.com/invoker-iam-disabled": "true"})
    assert (await web.get()).status == 200


async def test_a_service_for_inside_callers_is_not_found_from_outside(stage):
    web = await stage(OK, "allUsers", **{"run.googleapis.com/ingress": "internal"})
    assert (await web.get()).status == 404


@pytest.mark.parametrize(
    ("ingress", "vpc", "status"),
    [
        ("internal", "demo", 200),
        ("internal-and-cloud-load-balancing", "demo", 200),
        ("internal", "other", 404),
        ("none", "demo", 404),
        ("all", "demo", 200),
        ("all", "other", 200),
    ],
)
async def test_inside_are_the_networks_of_the_services_own_project(stage, ingress, vpc, status):
    web = await stage(OK, "allUsers", vpc=vpc, **{"run.googleapis.com/ingress": ingress})
    assert (await web.get()).status == status


@pytest.mark.parametrize(("project", "status"), [("demo", 200), ("other", 404), (None, 404)])
async def test_inside_is_who_comes_by_private_google_access_from_the_services_project(stage, project, status):
    web = await stage(OK, "allUsers", **{"run.googleapis.com/ingress": "internal"})
    assert (await web.get(**{VPC_PROJECT: project})).status == status


@pytest.mark.parametrize(
    ("client", "sender", "status"),
    [
        (("192.0.2.1", 4711), "demo", 200),
        (("192.0.2.1", 4711), "other", 404),
        (("192.0.2.1", 4712), "demo", 404),
        (("198.51.100.7", 4711), "demo", 404),
    ],
)
async def test_inside_is_what_google_sends_for_the_services_project(stage, client, sender, status):
    web = await stage(OK, "allUsers", sender=sender, **{"run.googleapis.com/ingress": "internal"})
    forged = [("x-cloudscheduler", "true")]
    assert (await web.get(client=client, headers=forged)).status == status


@pytest.mark.parametrize("host", ["other-123.asia-northeast3.run.app", "run.app", f"tag---{HOST}", ""])
async def test_a_host_without_a_service_is_not_found(stage, host):
    web = await stage(OK, "allUsers")
    reply = await web.get(host=host)
    assert reply.status == 404
    assert b"The requested URL was not found on this server." in reply.body


async def test_plain_http_is_sent_to_https(stage):
    web = await stage(OK, "allUsers")
    reply = await web.get("/x?y", scheme="http")
    assert (reply.status, reply["location"]) == (302, f"https://{HOST}/x?y")


async def test_a_tag_has_a_url_of_its_own(stage, region):
    traffic = [
        {"revisionName": "web-00001-abc", "percent": 100},
        {"revisionName": "web-00002-def", "tag": "blue"},
    ]
    web = await stage(OK, "allUsers", traffic=traffic)
    region.put(revision("web-00002-def"))
    await web.get(host=f"blue---{HOST}")
    await web.get()
    assert [record.revision.id for record in web.records] == ["web-00002-def", "web-00001-abc"]


async def test_without_an_instance_the_answer_is_429(stage):
    web = await stage(None, "allUsers")
    reply = await web.get()
    assert (reply.status, reply.body) == (
        429,
        b"The request was aborted because there was no available instance.",
    )


async def test_an_instance_that_says_nothing_gives_503(stage):
    web = await stage(says(b""), "allUsers")
    reply = await web.get()
    assert reply.status == 503
    assert b"not available" in reply.body


async def test_an_instance_that_refuses_gives_503(stage):
    web = await stage(OK, "allUsers")
    with socket.create_server(("127.0.0.1", 0)) as free:
        web.container.port = free.getsockname()[1]
    assert (await web.get()).status == 503
    assert web.container.leases == 0


@pytest.mark.slow(1)
async def test_an_instance_that_takes_too_long_gives_504(stage, region):
    async def script(_):
        await asyncio.sleep(30)

    web = await stage(script, "allUsers")
    slow = revision("web-00001-abc")
    slow.body["spec"]["timeoutSeconds"] = 1
    region.put(slow)
    reply = await web.get()
    assert (reply.status, reply.body) == (504, b"upstream request timeout")
    assert web.container.leases == 0


async def test_when_the_caller_leaves_the_instance_is_given_back(stage):
    hung = asyncio.Event()

    async def script(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await writer.drain()
        hung.set()
        await asyncio.sleep(30)

    web = await stage(script, "allUsers")
    await asyncio.wait_for(web.get(gone=hung), 5)
    assert web.container.leases == 0


async def test_every_request_is_recorded(stage):
    web = await stage(OK, "allUsers")
    await web.get("/a?b", headers=[("user-agent", "curl/8")])
    (record,) = web.records
    assert record.url == f"https://{HOST}/a?b"
    assert (record.method, record.status, record.severity) == ("GET", 200, "INFO")
    assert (record.user_agent, record.remote_ip, record.response_size) == ("curl/8", "127.0.0.1", 5)
    assert record.service.id == "web"
    assert isinstance(record.revision, ResourceName)
    assert record.latency > 0


async def test_websockets_are_refused_and_not_ignored(stage):
    web = await stage(OK, "allUsers")
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    await web.ingress({"type": "websocket", "headers": [], "extensions": {}}, receive, send)
    assert sent[0]["type"] == "websocket.close"


TARGETS = st.lists(st.integers(0, 100), min_size=1, max_size=5).filter(any)


@given(TARGETS, st.floats(0, 1, exclude_max=True))
def test_no_target_without_a_share_is_ever_picked(percents, draw):
    targets = [Target(f"r{n}", percent) for n, percent in enumerate(percents)]
    picked = pick(targets, None, draw)
    assert picked is not None
    assert picked.percent > 0


@given(TARGETS)
def test_targets_are_picked_by_their_share(percents):
    targets = [Target(f"r{n}", percent) for n, percent in enumerate(percents)]
    total = sum(percents)
    picked = [pick(targets, None, (n + 0.5) / total) for n in range(total)]
    assert [picked.count(target) for target in targets] == percents


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-\x01: a\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_an_answer_that_no_server_may_send_on_gives_503(stage, raw):
    web = await stage(says(raw), "allUsers")
    assert (await web.get()).status == 503


async def test_an_answer_without_a_body_has_no_length(stage):
    web = await stage(says(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"), "allUsers")
    reply = await web.get()
    assert (reply.status, reply.body) == (304, b"")
    assert b"content-length" not in dict(reply.headers)


async def test_headers_that_a_caller_declares_its_connections_own_stay_behind(stage):
    web = await stage(OK, "allUsers")
    await web.get(headers=[("connection", "close, X-Own"), ("x-own", "a"), ("x-other", "b")])
    assert "x-own" not in web.container.headers
    assert web.container.headers["x-other"] == "b"


async def test_a_question_to_the_whole_server_reaches_no_container(stage):
    web = await stage(OK, "allUsers")
    assert (await web.get("*")).status == 400
    assert web.container.seen == []
