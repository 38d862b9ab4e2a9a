"""Start-up probes: what they ask a container."""

from ipaddress import IPv4Address

from fogbank.control.probing import probe_request
from fogbank.resources.run import ContainerProbe

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
