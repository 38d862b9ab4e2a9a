"""Targets and hosts: what is a path, and what may never become an address."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from fogbank.frontend.http.targets import BadTargetError, RequestTarget, read_authority, read_target
from fogbank.frontend.ingress.application import upstream_url

ADDRESS, PORT = IPv4Address("169.254.16.1"), 8080


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/", RequestTarget(b"/")),
        (b"/a%20b?c=d?e", RequestTarget(b"/a%20b", b"c=d?e")),
        (b"//x/y", RequestTarget(b"//x/y")),
        (b"/@x:1/", RequestTarget(b"/@x:1/")),
        (b"http://h", RequestTarget(b"/", b"", b"h")),
        (b"HTTPS://h.x:8/a?b", RequestTarget(b"/a", b"b", b"h.x:8")),
    ],
)
def test_a_target_is_a_path_or_a_url(target, expected):
    assert read_target("GET", target) == expected


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"1/",
        b"@h:80/",
        b"*",
        b"http://[::1/",
        b"http://u@h/",
        b"ftp://h/",
        b"/#a",
        b"/\0",
        b"/ ",
        b"/\xff",
    ],
)
def test_anything_else_is_refused(target):
    with pytest.raises(BadTargetError):
        read_target("GET", target)


def test_a_star_is_for_options_alone():
    assert read_target("OPTIONS", b"*") == RequestTarget(b"*")


@pytest.mark.parametrize(
    "host",
    [
        "-hold.run.app",
        "..run.app",
        "%2e.run.app",
        "a\0b",
        "a" * 64 + ".x",
        "a." * 200,
        "x:99999",
        "x:y",
        "",
        "[::1",
    ],
)
def test_what_is_no_host_is_refused(host):
    with pytest.raises(BadTargetError):
        read_authority(host)


@given(st.one_of(st.binary(max_size=60), st.text("/@:.?#[]%a1\\", max_size=60).map(str.encode)))
def test_whatever_a_request_says_its_instance_is_the_one_that_was_leased(target):
    try:
        read = read_target("GET", target)
    except BadTargetError:
        return
    scope = {"raw_path": read.path, "query_string": read.query, "path": ""}
    url = upstream_url(ADDRESS, PORT, scope)
    assert (url.raw_host, url.port, url.user, url.raw_fragment) == (str(ADDRESS), PORT, None, "")
    again = URL(str(url), encoded=True)
    assert (again.raw_host, again.port) == (str(ADDRESS), PORT)
