"""netcheck's own answers; what needs a network of its own is in tests/dataplane."""

import contextlib
import json
import socket
import threading

import pytest

from fogbank.samples import hello
from fogbank.samples.http import parse_answer, split_url
from fogbank.samples.netcheck import answer, routes
from fogbank.samples.web import SampleRequest


def ask(target: str, headers=None) -> dict:
    response = answer(SampleRequest("GET", target, headers or {}))
    assert response.content_type == "application/json"
    return json.loads(response.body)


@contextlib.contextmanager
def server(handle):
    """Call ``handle(connection)`` for each connection, in a thread; give the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        handle(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def says(content: bytes):
    def handle(connection):
        connection.recv(65536)
        connection.sendall(content)

    return handle


@pytest.fixture
def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def test_the_first_page_tells_who_asks():
    page = answer(SampleRequest("GET", "/", {"x-forwarded-for": "203.0.113.9, 10.0.0.1"}))
    assert "/egress?url=" in page.body
    assert "asked by 203.0.113.9" in page.body


def test_an_unknown_path_says_what_there_is():
    assert answer(SampleRequest("GET", "/nope", {})).status == 404


@pytest.mark.parametrize("target", ["/egress", "/tcp", "/tcp?host=a&port=x", "/sleep?seconds=-1", "/dns"])
def test_a_wrong_parameter_is_named(target):
    with pytest.raises(ValueError, match=r"missing|number"):
        answer(SampleRequest("GET", target, {}))


def test_info_tells_addresses_and_environment(monkeypatch):
    monkeypatch.setenv("K_SERVICE", "production")
    told = ask("/info")
    assert told["environment"]["K_SERVICE"] == "production"
    assert told["addresses"]["lo"] == "127.0.0.1"


def test_routes_are_read_as_the_kernel_prints_them():
    lines = [
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
        "eth0\t00000000\t0110FEA9\t0003\t0\t0\t0\t00000000\t0\t0\t0",
        "eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0",
    ]
    assert routes(lines) == [
        {"destination": "0.0.0.0/0", "device": "eth0", "via": "169.254.16.1"},
        {"destination": "10.0.0.0/8", "device": "eth1"},
    ]


def test_egress_shows_the_body_and_both_ends():
    with server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n203.0.113.5")) as port:
        told = ask(f"/egress?url=http://127.0.0.1:{port}/")
    assert told.items() >= {"ok": True, "status": 200, "body": "203.0.113.5"}.items()
    assert told["peer"] == f"127.0.0.1:{port}"
    assert told["localAddress"].startswith("127.0.0.1:")


def test_egress_tells_a_closed_port_from_a_silent_one(closed_port):
    assert ask(f"/egress?url=http://127.0.0.1:{closed_port}")["error"] == "refused"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        told = ask(f"/egress?url=http://127.0.0.1:{silent.getsockname()[1]}&timeout=0.1")
    assert (told["ok"], told["error"]) == (False, "timeout")


def test_egress_tells_an_unknown_name():
    assert ask("/egress?url=http://nowhere.invalid/&timeout=1")["ok"] is False


def test_tcp_opens_many_connections_at_once():
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        told = ask(f"/tcp?host=127.0.0.1&port={listening.getsockname()[1]}&count=20")
    assert (told["ok"], told["failed"], len(set(told["localPorts"]))) == (20, 0, 20)


def test_tcp_counts_what_failed_and_why(closed_port):
    told = ask(f"/tcp?host=127.0.0.1&port={closed_port}&count=3")
    assert (told["ok"], told["failed"], told["errors"]) == (0, 3, {"refused": 3})


def test_udp_collects_replies():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.bind(("127.0.0.1", 0))

        def answer_two():
            for _ in range(2):
                data, peer = echo.recvfrom(100)
                echo.sendto(data.upper(), peer)

        threading.Thread(target=answer_two, daemon=True).start()
        told = ask(f"/udp?host=127.0.0.1&port={echo.getsockname()[1]}&count=2&payload=abc")
    assert (told["ok"], told["sent"], told["received"], told["replies"]) == (True, 2, 2, ["ABC", "ABC"])


def test_dns_lists_addresses():
    assert ask("/dns?name=localhost")["addresses"] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (b":42\r\n", 42),
        (b"+PONG\r\n", "PONG"),
        (b"$5\r\nhello\r\n", "hello"),
        (b"$-1\r\n", None),
        (b"*2\r\n:1\r\n$1\r\na\r\n", [1, "a"]),
    ],
)
def test_redis_replies_are_read(reply, told):
    with server(says(reply)) as port:
        assert ask(f"/redis?host=127.0.0.1&port={port}&command=INCR%20counter")["reply"] == told


def test_a_redis_error_is_an_error():
    with server(says(b"-WRONGPASS no\r\n")) as port:
        assert ask(f"/redis?host=127.0.0.1&port={port}")["error"] == "redis: WRONGPASS no"


def test_sleep_answers_later():
    assert ask("/sleep?seconds=0.01") == {"ok": True, "slept": 0.01}


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://ifconfig.me", ("http", "ifconfig.me", 80, "/")),
        ("ifconfig.me/ip", ("http", "ifconfig.me", 80, "/ip")),
        ("https://a.example.com:8443/x?y=/z", ("https", "a.example.com", 8443, "/x?y=/z")),
        ("http://api.ipify.org?format=json", ("http", "api.ipify.org", 80, "/?format=json")),
    ],
)
def test_urls_are_split(url, parts):
    assert split_url(url) == parts


@pytest.mark.parametrize("url", ["ftp://a", "http://", "http://a:b/", "http://ä.example.com/"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(ValueError, match=r"neither|names no host"):
        split_url(url)


def test_chunked_answers_are_joined():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert parse_answer(chunked) == (200, "abcde")


def test_hello_shows_service_and_revision(monkeypatch):
    monkeypatch.setenv("K_SERVICE", "shop")
    monkeypatch.setenv("K_REVISION", "shop-00001-<b>")
    page = hello.answer(SampleRequest("GET", "/", {})).body
    assert "<dd>shop</dd>" in page
    assert "shop-00001-&lt;b>" in page
