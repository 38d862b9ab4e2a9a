"""How each third party answers, as the real one does: functions from a request to an answer, purely.

``curl ifconfig.me`` prints an address without a newline and ``curl icanhazip.com`` one with it; scripts
depend on such things. Nothing about a place is made up: to ipinfo.io a documentation address is a ``bogon``.
"""

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import assert_never
from urllib.parse import parse_qsl, urlsplit

from fogbank.resources.sites import Site


@dataclass(frozen=True, slots=True)
class SiteRequest:
    """A request as a third party sees it; header names are in lower case, ``scheme`` is http or https."""

    source: IPv4Address
    source_port: int
    method: str
    target: str
    headers: Mapping[str, str]
    scheme: str = "http"

    @property
    def path(self) -> str:
        """The path without its query."""
        return urlsplit(self.target).path or "/"

    @property
    def query(self) -> dict[str, str]:
        """The query, decoded."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class SiteResponse:
    """What a third party sends back."""

    body: str
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200


_NOT_FOUND = SiteResponse("404 page not found\n", status=404)
REFUSED = SiteResponse("Forbidden: your address is not on the allow-list.\n", status=403)


def answer(site: Site, seen: SiteRequest) -> SiteResponse:
    """Answer a request as ``site`` does."""
    if not site.admits(seen.source):
        return REFUSED
    match site.kind:
        case "ifconfig":
            return _ifconfig(seen)
        case "ifconfig-line":
            return _ifconfig_line(site, seen)
        case "ipify":
            return _ipify(seen)
        case "line":
            return SiteResponse(f"{seen.source}\n") if seen.path == "/" else _NOT_FOUND
        case "bare":
            return _bare(seen)
        case "ipinfo":
            return _ipinfo(seen)
        case "httpbin":
            return _httpbin(site, seen)
        case "partner":
            return _partner(site, seen)
        case _:
            assert_never(site.kind)


def _json(value: object, indent: int | None = None, end: str = "") -> SiteResponse:
    compact = (",", ":") if indent is None else None
    return SiteResponse(json.dumps(value, indent=indent, separators=compact) + end, "application/json")


def _ifconfig(seen: SiteRequest) -> SiteResponse:
    """Answer as ifconfig.me: every fact has a path of its own, without a newline."""
    header = seen.headers.get
    facts = {
        "ip": str(seen.source),
        "host": "unavailable",
        "ua": header("user-agent", ""),
        "port": str(seen.source_port),
        "lang": header("accept-language", ""),
        "ref": header("referer", ""),
        "encoding": header("accept-encoding", ""),
        "mime": header("accept", ""),
        "charset": header("accept-charset", ""),
        "via": header("via", ""),
        "forwarded": header("x-forwarded-for", ""),
        "method": seen.method,
    }
    name = seen.path.strip("/")
    if name in facts:
        return SiteResponse(facts[name])
    everything = {"ip_addr": facts["ip"], "remote_host": facts["host"], "user_agent": facts["ua"]}
    everything |= {k: v for k, v in facts.items() if k not in {"ip", "host", "ua"}}
    match name:
        case "" if "text/html" in header("accept", ""):
            rows = "".join(f"<tr><th>{html.escape(k)}<td>{html.escape(v)}" for k, v in everything.items())
            title = f"<title>What is my address?</title><h1>{facts['ip']}</h1>"
            page = f"<!doctype html>{title}<table>{rows}</table>\n"
            return SiteResponse(page, "text/html; charset=utf-8")
        case "":
            return SiteResponse(facts["ip"])
        case "all":
            return SiteResponse("".join(f"{key}: {value}\n" for key, value in everything.items()))
        case "all.json":
            return _json(everything)
        case _:
            return _NOT_FOUND


def _ifconfig_line(site: Site, seen: SiteRequest) -> SiteResponse:
    """Answer as ifconfig.co and ifconfig.io: the address and a newline, JSON under either's name."""
    ip = str(seen.source)
    match seen.path:
        case "/" if "application/json" in seen.headers.get("accept", ""):
            return _json({"ip": ip, "ip_decimal": int(seen.source)}, indent=2)
        case "/" | "/ip":
            return SiteResponse(f"{ip}\n")
        case "/json" if site.host == "ifconfig.co":
            return _json({"ip": ip, "ip_decimal": int(seen.source)}, indent=2)
        case "/all.json" if site.host == "ifconfig.io":
            return _json({"ip": ip, "port": str(seen.source_port), "ua": seen.headers.get("user-agent", "")})
        case _:
            return _NOT_FOUND


def _ipify(seen: SiteRequest) -> SiteResponse:
    """Answer as api.ipify.org: on any path, in the format that the query asks for."""
    address = {"ip": str(seen.source)}
    match seen.query.get("format"):
        case "json":
            return _json(address)
        case "jsonp":
            call = f"{seen.query.get('callback', 'callback')}({json.dumps(address, separators=(',', ':'))});"
            return SiteResponse(call, "application/javascript")
        case _:
            return SiteResponse(str(seen.source), "text/plain")


def _bare(seen: SiteRequest) -> SiteResponse:
    """Answer as ident.me: the address and nothing else."""
    match seen.path:
        case "/":
            return SiteResponse(str(seen.source))
        case "/json":
            return _json({"ip": str(seen.source)})
        case _:
            return _NOT_FOUND


def _ipinfo(seen: SiteRequest) -> SiteResponse:
    """Answer as ipinfo.io does about an address that belongs to nobody."""
    match seen.path:
        case "/ip":
            return SiteResponse(f"{seen.source}\n")
        case "/" | "/json":
            return _json({"ip": str(seen.source), "bogon": True}, indent=2, end="\n")
        case _:
            return _NOT_FOUND


def _httpbin(site: Site, seen: SiteRequest) -> SiteResponse:
    """Answer as httpbin.org, for the few paths that are about the caller."""
    origin = {"origin": str(seen.source)}
    headers = {"headers": {name.title(): value for name, value in sorted(seen.headers.items())}}
    match seen.path.split("/"):
        case ["", "ip"]:
            return _json(origin, indent=2, end="\n")
        case ["", "headers"]:
            return _json(headers, indent=2, end="\n")
        case ["", "user-agent"]:
            return _json({"user-agent": seen.headers.get("user-agent", "")}, indent=2, end="\n")
        case ["", "get"] if seen.method in {"GET", "HEAD"}:
            url = f"{seen.scheme}://{site.host}{seen.target}"
            return _json({"args": seen.query} | headers | origin | {"url": url}, indent=2, end="\n")
        case ["", "status", code] if code.isdigit() and 200 <= int(code) <= 599:
            return SiteResponse("", status=int(code))
        case _:
            return _NOT_FOUND


def _partner(site: Site, seen: SiteRequest) -> SiteResponse:
    """Answer as a partner of the operator's: who was seen, on any path."""
    facts = {
        "host": site.host,
        "sourceIp": str(seen.source),
        "sourcePort": seen.source_port,
        "method": seen.method,
        "path": seen.target,
    }
    return _json(facts, indent=2, end="\n")
