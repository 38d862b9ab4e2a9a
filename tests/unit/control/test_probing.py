"""Start-up probes: what they ask a container."""

import socket
from ipaddress import IPv4Address

from fogbank.control.probing import fails, follow, probe_request
from fogbank.network.topology import NetnsName
from fogbank.resources.run_containers import ContainerProbe

ADDRESS = IPv4Address("169.254.16.1")


def head(**fields):
    request = probe_request(ContainerProbe("http", 8080, **fields), ADDRESS).decode()
    assert request.endswith("\r\n\r\n")
    return request.split("\r\n")[:-2]


def test_an_http_probe_sends_its_own_headers():
    lines = head(path="/healthz", headers=(("X-Probe", "startup"), ("Accept", "text/plain")))
    assert lines == [
        "GET /healthz HTTP/1.1",
        "Host: 169.254.16.1:8080",
        "X-Probe: startup",
        "Accept: text/plain",
        "Connection: close",
    ]


def test_a_host_among_its_headers_replaces_the_address():
    assert head(headers=(("host", "own.example"),)) == [
        "GET / HTTP/1.1",
        "host: own.example",
        "Connection: close",
    ]


async def test_a_container_may_fail_less_than_its_threshold_in_a_row():
    verdicts = iter([False, False, True, False, False, False])
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    def open_socket(_netns, kind):
        if next(verdicts):
            return socket.socket(socket.AF_INET, kind)
        raise OSError("no socket")

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        probe = ContainerProbe("tcp", port, initial_delay=5, period=7, failure_threshold=3)
        await fails(probe, NetnsName("fabric"), IPv4Address("127.0.0.1"), open_socket, sleep)
    assert slept == [5, *[7] * 6]
    assert next(verdicts, None) is None


async def test_a_container_that_failed_is_ready_after_as_many_successes_in_a_row_as_asked():
    answers = [True, False, True, False, False, True, False, True, True, False, False]
    attempts = iter(answers)
    made, verdicts = 0, []

    async def sleep(_seconds):
        pass

    def open_socket(_netns, kind):
        nonlocal made
        made += 1
        if next(attempts):
            return socket.socket(socket.AF_INET, kind)
        raise OSError("no socket")

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        probe = ContainerProbe("tcp", port, failure_threshold=2, success_threshold=2)
        async for ready in follow(probe, NetnsName("fabric"), IPv4Address("127.0.0.1"), open_socket, sleep):
            verdicts.append((made, ready))
            if made == len(answers):
                break
    assert verdicts == [(1, True), (5, False), (9, True), (11, False)]
