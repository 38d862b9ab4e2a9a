"""A URL map as Envoy's routes, purely.

Envoy takes the first route that matches; so exact paths come first and then prefixes, the longest first, as
Google's rules have it (behaviour/load-balancing.md#url-maps).
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from fogbank.resources.url_maps import default_action, host_rules
from fogbank.resources.world import Json, Resource

Services = Callable[[str], Resource | None]
"""Finds a backend service by its link."""

_CODES = {
    "MOVED_PERMANENTLY_DEFAULT": "MOVED_PERMANENTLY",
    "FOUND": "FOUND",
    "SEE_OTHER": "SEE_OTHER",
    "TEMPORARY_REDIRECT": "TEMPORARY_REDIRECT",
    "PERMANENT_REDIRECT": "PERMANENT_REDIRECT",
}
_VARIABLES = {
    "client_ip_address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "client_port": "%DOWNSTREAM_REMOTE_PORT%",
    "server_ip_address": "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
    "server_port": "%DOWNSTREAM_LOCAL_PORT%",
    "tls_version": "%DOWNSTREAM_TLS_VERSION%",
    "tls_sni_hostname": "%REQUESTED_SERVER_NAME%",
    "tls_cipher_suite": "%DOWNSTREAM_TLS_CIPHER%",
}
"""https://cloud.google.com/load-balancing/docs/https/custom-headers-global; others become nothing."""

_COOKIE = "GCLB"
_FORWARDED_FOR: Json = {
    "header": {"key": "x-forwarded-for", "value": "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%"},
    "append_action": "APPEND_IF_EXISTS_OR_ADD",
}
"""After the client's address comes the load balancer's."""

_OWN_HEADER = "x-envoy-external-address"
"""What the proxy would add of its own."""


def cluster_name(service: Resource, variant: str = "") -> str:
    """Name the cluster of a backend service."""
    return f"b-{service.id:x}{variant}"


def route_name(url_map: Resource) -> str:
    """Name the routes of a URL map."""
    return f"m-{url_map.id:x}"


def route_configuration(url_map: Resource, services: Services) -> Json:
    """Render the routes of a URL map."""
    body = url_map.body
    virtual_hosts: list[Json] = []
    by_matcher: dict[str, list[str]] = {}
    matchers: dict[str, Json] = {}
    for host, matcher in host_rules(body):
        by_matcher.setdefault(matcher["name"], []).append(host)
        matchers[matcher["name"]] = matcher
    for name, hosts in by_matcher.items():
        routes = list(_matcher_routes(matchers[name], services))
        virtual_hosts.append({"name": name, "domains": hosts, "routes": routes, **_headers(matchers[name])})
    if not any("*" in hosts for hosts in by_matcher.values()):
        routes = [_route({"prefix": "/"}, default_action(body), services)]
        virtual_hosts.append({"name": "*", "domains": ["*"], "routes": routes})
    found = _headers(body)
    found["request_headers_to_add"] = [_FORWARDED_FOR, *found.get("request_headers_to_add", ())]
    found["request_headers_to_remove"] = [_OWN_HEADER, *found.get("request_headers_to_remove", ())]
    return {
        "name": route_name(url_map),
        "virtual_hosts": virtual_hosts,
        "ignore_port_in_host_matching": True,
        **found,
    }


def _matcher_routes(matcher: Json, services: Services) -> Iterator[Json]:
    for rule in matcher.get("routeRules", ()):
        for match in rule["matchRules"]:
            prefix = match.get("prefixMatch", "/")
            yield {**_route(_match(match), rule, services, prefix), **_headers(rule)}
    rules = [(path, rule) for rule in matcher.get("pathRules", ()) for path in rule["paths"]]
    for path, rule in sorted(rules, key=_precedence):
        prefix = path.removesuffix("*")
        match = {"prefix": prefix} if path.endswith("*") else {"path": path}
        yield _route(match, rule, services, prefix)
    yield _route({"prefix": "/"}, default_action(matcher), services)


def _precedence(rule: tuple[str, Json]) -> tuple[bool, int]:
    return rule[0].endswith("*"), -len(rule[0])


def _match(match: Json) -> Json:
    found: Json = {}
    if "fullPathMatch" in match:
        found["path"] = match["fullPathMatch"]
    elif "regexMatch" in match:
        found["safe_regex"] = {"regex": match["regexMatch"]}
    else:
        found["prefix"] = match.get("prefixMatch", "/")
    if match.get("ignoreCase"):
        found["case_sensitive"] = False
    if headers := [_header_match(each) for each in match.get("headerMatches", ())]:
        found["headers"] = headers
    if parameters := [_parameter_match(each) for each in match.get("queryParameterMatches", ())]:
        found["query_parameters"] = parameters
    return found


def _header_match(match: Json) -> Json:
    found: Json = {"name": match["headerName"]}
    if match.get("invertMatch"):
        found["invert_match"] = True
    if within := match.get("rangeMatch"):
        return found | {"range_match": {"start": within["rangeStart"], "end": within["rangeEnd"]}}
    return found | _string_match(match)


def _parameter_match(match: Json) -> Json:
    return {"name": match["name"], **_string_match(match)}


def _string_match(match: Json) -> Json:
    for key, word in (("exactMatch", "exact"), ("prefixMatch", "prefix"), ("suffixMatch", "suffix")):
        if key in match:
            return {"string_match": {word: match[key]}}
    if "regexMatch" in match:
        return {"string_match": {"safe_regex": {"regex": match["regexMatch"]}}}
    return {"present_match": True}


def _route(match: Json, rule: Json, services: Services, prefix: str = "/") -> Json:
    if redirect := rule.get("urlRedirect"):
        return {"match": match, "redirect": _redirect(redirect)}
    action = rule.get("routeAction", {})
    weighted = action.get("weightedBackendServices")
    route: Json = {}
    if weighted:
        clusters = [
            {"name": cluster_name(service), "weight": each["weight"], **_headers(each, service)}
            for each in weighted
            if (service := services(each["backendService"]))
        ]
        route["weighted_clusters"] = {"clusters": clusters}
        first = services(weighted[0]["backendService"])
        own: Json = {}
    else:
        first = services(rule["service"])
        if first is None:
            return {"match": match, "direct_response": {"status": 503}}
        route["cluster"] = cluster_name(first)
        own = _headers({}, first)
    route |= _from_service(first)
    route |= _from_action(action, services, prefix)
    return {"match": match, "route": route, **own}


def _redirect(redirect: Json) -> Json:
    found: Json = {
        "response_code": _CODES[redirect.get("redirectResponseCode", "MOVED_PERMANENTLY_DEFAULT")],
        "strip_query": redirect.get("stripQuery", False),
    }
    if redirect.get("httpsRedirect"):
        found["https_redirect"] = True
    for key, word in (
        ("hostRedirect", "host_redirect"),
        ("pathRedirect", "path_redirect"),
        ("prefixRedirect", "prefix_rewrite"),
    ):
        if redirect.get(key):
            found[word] = redirect[key]
    return found


def _from_service(service: Resource | None) -> Json:
    """Render what a backend service says of its requests: the timeout, and what is hashed for affinity."""
    if service is None:
        return {}
    body = service.body
    found: Json = {"timeout": f"{body['timeoutSec']}s"}
    if any("/regions/" in each["group"] for each in body["backends"]):  # Cloud Run
        found |= {"auto_host_rewrite": True, "append_x_forwarded_host": True, "timeout": "3600s"}
    ttl = f"{body['affinityCookieTtlSec']}s"
    hashing = body.get("consistentHash", {})
    match body["sessionAffinity"]:
        case "CLIENT_IP":
            found["hash_policy"] = [{"connection_properties": {"source_ip": True}}]
        case "GENERATED_COOKIE":
            found["hash_policy"] = [{"cookie": {"name": _COOKIE, "ttl": ttl, "path": "/"}}]
        case "HTTP_COOKIE":
            cookie = hashing["httpCookie"]
            seconds = cookie.get("ttl", {}).get("seconds", 0)
            found["hash_policy"] = [
                {"cookie": {"name": cookie["name"], "path": cookie.get("path", "/"), "ttl": f"{seconds}s"}}
            ]
        case "HEADER_FIELD":
            found["hash_policy"] = [{"header": {"header_name": hashing["httpHeaderName"]}}]
        case _:
            pass
    return found


def _from_action(action: Json, services: Services, prefix: str) -> Json:
    found: Json = {}
    rewrite = action.get("urlRewrite", {})
    if "pathPrefixRewrite" in rewrite:
        new = rewrite["pathPrefixRewrite"]
        found["prefix_rewrite"] = new if not prefix.endswith("/") or new.endswith("/") else f"{new}/"
    if "hostRewrite" in rewrite:
        found["host_rewrite_literal"] = rewrite["hostRewrite"]
    if mirror := action.get("requestMirrorPolicy"):
        service = services(mirror["backendService"])
        if service is not None:
            found["request_mirror_policies"] = [{"cluster": cluster_name(service)}]
    if retry := action.get("retryPolicy"):
        found["retry_policy"] = _retry(retry)
    if timeout := action.get("timeout"):
        found["timeout"] = _duration(timeout)
    return found


def _retry(retry: Json) -> Json:
    found: Json = {
        "retry_on": ",".join(retry.get("retryConditions", ())) or "5xx",
        "num_retries": retry.get("numRetries", 1),
    }
    if "perTryTimeout" in retry:
        found["per_try_timeout"] = _duration(retry["perTryTimeout"])
    return found


def _duration(body: Json) -> str:
    nanos = int(body.get("nanos", 0))
    return f"{int(body.get('seconds', 0))}{f'.{nanos:09}' if nanos else ''}s"


def _headers(holder: Json, service: Resource | None = None) -> Json:
    """Render header actions of a part of a map, and the custom headers of a service."""
    action = holder.get("headerAction", {})
    found: Json = {}
    for way in ("request", "response"):
        added = [
            _added(each["headerName"], each.get("headerValue", ""), replace=bool(each.get("replace")))
            for each in action.get(f"{way}HeadersToAdd", ())
        ]
        for text in service.body.get(f"custom{way.capitalize()}Headers", ()) if service else ():
            name, _, value = text.partition(":")
            added.append(_added(name.strip(), value.strip(), replace=True))
        if added:
            found[f"{way}_headers_to_add"] = added
        if removed := action.get(f"{way}HeadersToRemove"):
            found[f"{way}_headers_to_remove"] = removed
    return found


def _added(name: str, value: str, *, replace: bool) -> Json:
    how = "OVERWRITE_IF_EXISTS_OR_ADD" if replace else "APPEND_IF_EXISTS_OR_ADD"
    return {"header": {"key": name, "value": _value(value)}, "append_action": how, "keep_empty_value": True}


def _value(text: str) -> str:
    def variable(found: re.Match[str]) -> str:
        return _VARIABLES.get(found[1], "")

    return re.sub(r"\{([a-z_]+)\}", variable, text.replace("%", "%%"))


def links_of(value: Any) -> Iterator[str]:
    """List the links to backend services anywhere in a URL map or a proxy."""
    match value:
        case str() if "/backendServices/" in value:
            yield value
        case dict():
            for each in value.values():
                yield from links_of(each)
        case list():
            for each in value:
                yield from links_of(each)
        case _:
            return
