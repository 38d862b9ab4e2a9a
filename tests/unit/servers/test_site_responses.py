"""Third parties answer as the real ones do."""

import json
from ipaddress import IPv4Address, IPv4Network

import pytest

from fogbank.resources.sites import BUILTIN_SITES, Site
from fogbank.servers.site_responses import SiteRequest, answer

PARTNER = Site("partner.example.com", IPv4Address("192.0.2.32"), allow=(IPv4Network("203.0.113.0/24"),))


def get(host: str, target: str = "/", source: str = "203.0.113.5", **headers: str):
    site = BUILTIN_SITES.get(host, PARTNER)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer(site, SiteRequest(IPv4Address(source), 1024, "GET", target, {"accept": "*/*"} | named))


@pytest.mark.parametrize(
    ("host", "target", "body"),
    [
        ("ifconfig.me", "/", "203.0.113.5"),
        ("ifconfig.me", "/ip", "203.0.113.5"),
        ("ifconfig.me", "/port", "1024"),
        ("ifconfig.co", "/", "203.0.113.5\n"),
        ("ifconfig.io", "/ip", "203.0.113.5\n"),
        ("api.ipify.org", "/", "203.0.113.5"),
        ("api.ipify.org", "/?format=json", '{"ip":"203.0.113.5"}'),
        ("api.ipify.org", "/?format=jsonp&callback=f", 'f({"ip":"203.0.113.5"});'),
        ("checkip.amazonaws.com", "/", "203.0.113.5\n"),
        ("icanhazip.com", "/", "203.0.113.5\n"),
        ("ident.me", "/", "203.0.113.5"),
        ("ipinfo.io", "/ip", "203.0.113.5\n"),
        ("ipinfo.io", "/json", '{\n  "ip": "203.0.113.5",\n  "bogon": true\n}\n'),
        ("httpbin.org", "/ip", '{\n  "origin": "203.0.113.5"\n}\n'),
    ],
)
def test_the_address_comes_as_scripts_expect_it(host, target, body):
    answered = get(host, target)
    assert (answered.status, answered.body) == (200, body)


@pytest.mark.parametrize("host", BUILTIN_SITES)
def test_every_built_in_host_tells_the_address_and_refuses_nobody(host):
    target = "/ip" if host == "httpbin.org" else "/"
    assert "198.51.100.9" in get(host, target, source="198.51.100.9").body


def test_ifconfig_me_tells_everything_as_json():
    told = json.loads(get("ifconfig.me", "/all.json", user_agent="curl/8").body)
    assert told.items() >= {"ip_addr": "203.0.113.5", "user_agent": "curl/8", "method": "GET"}.items()


def test_a_browser_gets_a_page_and_no_header_can_write_into_it():
    page = get("ifconfig.me", accept="text/html", user_agent="<script>")
    assert page.content_type.startswith("text/html")
    assert "<script>" not in page.body


@pytest.mark.parametrize("host", sorted(set(BUILTIN_SITES) - {"api.ipify.org", "api64.ipify.org"}))
def test_an_unknown_path_is_not_found(host):
    assert get(host, "/no/such/page").status == 404


def test_httpbin_answers_with_the_status_asked_for():
    assert get("httpbin.org", "/status/503").status == 503


def test_a_partner_tells_whom_it_saw_on_any_path():
    assert json.loads(get("partner.example.com", "/api/v1?x=1").body) == {
        "host": "partner.example.com",
        "sourceIp": "203.0.113.5",
        "sourcePort": 1024,
        "method": "GET",
        "path": "/api/v1?x=1",
    }


def test_a_partner_refuses_who_is_not_on_its_list():
    assert get("partner.example.com", source="198.51.100.9").status == 403
