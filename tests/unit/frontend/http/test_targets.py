"""Targets and hosts: what is a path, and what may never become an address."""

import pytest

from fogbank.frontend.http.targets import BadTargetError, RequestTarget, read_authority, read_target


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
