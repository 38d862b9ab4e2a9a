"""The web server inside the built-in images."""

import contextlib
import http.client
import io
import threading
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.samples.web import SampleRequest, SampleResponse, Server, parse_query, read_request, unquote


@pytest.fixture
def serve():
    """Serve a handler on a free port; give a client's connection."""
    opened, clients = [], []

    def start(handler) -> http.client.HTTPConnection:
        server = Server(handler, 0)
        opened.append(server)
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        clients.append(http.client.HTTPConnection("127.0.0.1", server.socket.getsockname()[1], timeout=5))
        return clients[-1]

    yield start
    for client in clients:
        client.close()
    for server in opened:
        with contextlib.suppress(OSError):
            server.socket.shutdown(2)
        server.socket.close()


def _accept(server: Server) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = server.socket.accept()
            threading.Thread(target=server._converse, args=(connection,), daemon=True).start()


@given(st.text())
def test_what_urllib_quotes_is_unquoted(text):
    assert unquote(quote(text.encode("utf-8", "replace"))) == text.encode("utf-8", "replace").decode()


@given(st.text(alphabet="%abcXYZ019 +"))
def test_no_text_breaks_the_decoding(text):
    assert isinstance(unquote(text), str)


def test_a_query_is_decoded():
    assert parse_query("url=http%3A%2F%2Fa%2Fb%3Fc%3Dd&command=INCR+x&flag") == {
        "url": "http://a/b?c=d",
        "command": "INCR x",
        "flag": "",
    }


def test_something_else_than_http_is_not_answered():
    assert read_request(io.BufferedReader(io.BytesIO(b"\x16\x03\x01 hello there\r\n\r\n"))) is None
    assert read_request(io.BufferedReader(io.BytesIO(b""))) is None


def test_one_connection_carries_many_requests_with_bodies(serve):
    client = serve(lambda request: SampleResponse(f"{request.method} {request.path} {request.query}"))
    for number in range(3):
        client.request("POST", f"/p{number}?a={number}", body=b"x" * 100_000)
        assert client.getresponse().read().decode() == f"POST /p{number} {{'a': '{number}'}}"


def test_a_head_request_has_no_body(serve):
    client = serve(lambda _: SampleResponse("hello"))
    client.request("HEAD", "/")
    answer = client.getresponse()
    assert (answer.headers["Content-Length"], answer.read()) == ("5", b"")


def test_a_broken_handler_is_a_500_and_a_wrong_parameter_a_400(serve):
    def handler(request: SampleRequest) -> SampleResponse:
        raise {"/bad": ValueError}.get(request.path, RuntimeError)("why")

    client = serve(handler)
    client.request("GET", "/bad")
    assert (client.getresponse().read(), 400) == (b"why\n", 400)
    client.request("GET", "/broken")
    answer = client.getresponse()
    assert (answer.status, answer.read()) == (500, b"RuntimeError: why\n")


def test_eighty_requests_wait_side_by_side(serve):
    all_there = threading.Barrier(80)

    def handler(_: SampleRequest) -> SampleResponse:
        all_there.wait(10)
        return SampleResponse("done")

    first = serve(handler)
    clients = [http.client.HTTPConnection(first.host, first.port, timeout=15) for _ in range(80)]
    for client in clients:
        client.request("GET", "/")
    assert {client.getresponse().read() for client in clients} == {b"done"}
    for client in clients:
        client.close()
