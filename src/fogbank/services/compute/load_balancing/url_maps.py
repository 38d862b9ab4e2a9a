"""URL maps, global and regional: which backend service gets a request, by host, path and rule.

What is accepted here is what the load balancer carries out; everything else is refused by its field.
See behaviour/load-balancing.md#url-maps.
"""

import re
from collections.abc import Mapping
from typing import Any

from fogbank.errors import ApiError, invalid_value, not_built, required_field
from fogbank.resources.names import ResourceName
from fogbank.resources.url_maps import chosen_action
from fogbank.resources.world import Json, World
from fogbank.services.compute.bodies import inputs, number, one_of, without_nulls
from fogbank.services.compute.load_balancing.collection import Kind
from fogbank.services.compute.load_balancing.references import find_part
from fogbank.services.compute.names import named
from fogbank.services.contract import Call, Method, Read

_HOST = re.compile(r"\*|(\*[.-]?)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]+)?", re.IGNORECASE)
_LONGEST_SECONDS = 315_576_000_000
"""The longest duration of Google's APIs, in seconds."""
_TARGETS = ("Service", "UrlRedirect", "RouteAction")
_ACTION = frozenset(
    {"weightedBackendServices", "urlRewrite", "timeout", "retryPolicy", "requestMirrorPolicy", "corsPolicy"}
)
_REDIRECT = frozenset(
    {"hostRedirect", "pathRedirect", "prefixRedirect", "redirectResponseCode", "httpsRedirect", "stripQuery"}
)
CODES = {
    "MOVED_PERMANENTLY_DEFAULT": 301,
    "FOUND": 302,
    "SEE_OTHER": 303,
    "TEMPORARY_REDIRECT": 307,
    "PERMANENT_REDIRECT": 308,
}
_HEADERS = frozenset({"requestHeadersToAdd", "requestHeadersToRemove", "responseHeadersToAdd",
                      "responseHeadersToRemove"})  # fmt: skip
_MATCH = frozenset({"prefixMatch", "fullPathMatch", "regexMatch", "pathTemplateMatch", "ignoreCase",
                    "headerMatches", "queryParameterMatches"})  # fmt: skip


def _complete(world: World, call: Call, _name: ResourceName, body: Json) -> Json:
    fields: Json = {"description": body["description"]} if body.get("description") else {}
    fields |= _target(world, call, "resource", body, "default")
    fields |= _header_action("resource", body)
    matchers = [
        _path_matcher(world, call, f"resource.pathMatchers[{place}]", each)
        for place, each in enumerate(body.get("pathMatchers") or ())
    ]
    rules = [
        _host_rule(f"resource.hostRules[{place}]", each)
        for place, each in enumerate(body.get("hostRules") or ())
    ]
    _check_names(rules, matchers)
    for key, value in (("hostRules", rules), ("pathMatchers", matchers)):
        if value:
            fields[key] = value
    if body.get("tests"):
        fields["tests"] = body["tests"]
        if failures := _failed_tests(fields):
            raise invalid_value("resource.tests", body["tests"], f"{failures} of the tests failed.")
    return fields


def _only(field: str, body: Json, known: frozenset[str]) -> None:
    for key, value in body.items():
        if key not in known and value:
            raise not_built(f"compute.urlMaps with {field.partition('.')[2] or field}.{key}")


def _check_names(rules: list[Json], matchers: list[Json]) -> None:
    names = [each["name"] for each in matchers]
    if twice := [each for each in names if names.count(each) > 1]:
        raise invalid_value("resource.pathMatchers", twice[0], "Duplicate path matcher name.")
    hosts: list[str] = [host.lower() for each in rules for host in each["hosts"]]
    if twice := [each for each in hosts if hosts.count(each) > 1]:
        raise invalid_value("resource.hostRules", twice[0], "Duplicate host.")
    used = {each["pathMatcher"] for each in rules}
    if missing := sorted(used - set(names)):
        raise invalid_value("resource.hostRules[0].pathMatcher", missing[0], "There is no such path matcher.")
    if unused := sorted(set(names) - used):
        raise invalid_value("resource.pathMatchers", unused[0], "No host rule uses the path matcher.")


def _host_rule(field: str, body: Json) -> Json:
    for each in ("hosts", "pathMatcher"):
        if not body.get(each):
            raise required_field(f"{field}.{each}")
    for host in body["hosts"]:
        if not _HOST.fullmatch(host):
            raise invalid_value(f"{field}.hosts", host, "Must be a host, or begin with an asterisk.")
    return {key: body[key] for key in ("description", "hosts", "pathMatcher") if body.get(key)}


def _target(world: World, call: Call, field: str, body: Json, prefix: str) -> Json:
    """Read where requests go: a service, a redirect or an action; just one of the first two."""
    names = {kind: f"{prefix}{kind}" if prefix else kind[0].lower() + kind[1:] for kind in _TARGETS}
    service, redirect, action = (body.get(names[kind]) for kind in _TARGETS)
    weighted = (action or {}).get("weightedBackendServices")
    if sum(map(bool, (service, redirect, weighted))) != 1:
        raise invalid_value(
            f"{field}.{names['Service']}", service or "",
            f"Exactly one of {names['Service']}, {names['UrlRedirect']} and weightedBackendServices must be "
            "set.",
        )  # fmt: skip
    found: Json = {}
    if service:
        found[names["Service"]] = _service(world, call, f"{field}.{names['Service']}", service)
    if redirect:
        found[names["UrlRedirect"]] = _redirect(f"{field}.{names['UrlRedirect']}", redirect)
    if action:
        found[names["RouteAction"]] = _action(world, call, f"{field}.{names['RouteAction']}", action)
    return found


def _service(world: World, call: Call, field: str, reference: object) -> str:
    if "backendBuckets" in str(reference):
        raise not_built("compute.backendBuckets")
    return find_part(world, call, field, reference, "backendServices").name.self_link


def _redirect(field: str, body: Json) -> Json:
    _only(field, body, _REDIRECT)
    found = {key: value for key, value in body.items() if value}
    found.setdefault("redirectResponseCode", "MOVED_PERMANENTLY_DEFAULT")
    one_of(f"{field}.redirectResponseCode", found["redirectResponseCode"], CODES)
    if found.get("pathRedirect") and found.get("prefixRedirect"):
        raise invalid_value(f"{field}.pathRedirect", found["pathRedirect"], "prefixRedirect is set, too.")
    return found | {
        "httpsRedirect": bool(body.get("httpsRedirect")),
        "stripQuery": bool(body.get("stripQuery")),
    }


def _action(world: World, call: Call, field: str, body: Json) -> Json:
    _only(field, body, _ACTION)
    found: Json = {}
    if weighted := body.get("weightedBackendServices"):
        found["weightedBackendServices"] = [
            {
                "backendService": _service(
                    world,
                    call,
                    f"{field}.weightedBackendServices[{place}].backendService",
                    each.get("backendService"),
                ),
                "weight": _weight(f"{field}.weightedBackendServices[{place}].weight", each),
                **_header_action(f"{field}.weightedBackendServices[{place}]", each),
            }
            for place, each in enumerate(weighted)
        ]
        if not sum(each["weight"] for each in found["weightedBackendServices"]):
            raise invalid_value(
                f"{field}.weightedBackendServices", weighted, "The weights add up to nothing."
            )
    if rewrite := body.get("urlRewrite"):
        _only(f"{field}.urlRewrite", rewrite, frozenset({"hostRewrite", "pathPrefixRewrite"}))
        found["urlRewrite"] = rewrite
    if mirror := body.get("requestMirrorPolicy"):
        _only(f"{field}.requestMirrorPolicy", mirror, frozenset({"backendService"}))
        service = _service(
            world, call, f"{field}.requestMirrorPolicy.backendService", mirror.get("backendService")
        )
        found["requestMirrorPolicy"] = {"backendService": service}
    if retry := body.get("retryPolicy"):
        _only(f"{field}.retryPolicy", retry, frozenset({"numRetries", "perTryTimeout", "retryConditions"}))
        if "perTryTimeout" in retry:
            _check_duration(f"{field}.retryPolicy.perTryTimeout", retry["perTryTimeout"])
        found["retryPolicy"] = retry
    if body.get("corsPolicy"):
        raise not_built(f"compute.urlMaps with {field.partition('.')[2]}.corsPolicy")
    if body.get("timeout"):
        _check_duration(f"{field}.timeout", body["timeout"])
        found["timeout"] = body["timeout"]
    return found


def _check_duration(field: str, value: object) -> None:
    """Refuse what is no duration of seconds and nanoseconds: the proxy's controller reads it later."""
    try:
        parts = (
            [int(value.get(each) or 0) for each in ("seconds", "nanos")] if isinstance(value, dict) else []
        )
    except (TypeError, ValueError):
        parts = []
    if not parts or not 0 <= parts[0] <= _LONGEST_SECONDS or not 0 <= parts[1] < 1_000_000_000:
        raise invalid_value(field, value, "Must be a duration of seconds and nanos.")


def _weight(field: str, body: Json) -> int:
    weight = number(body.get("weight") or 0)
    if not 0 <= weight <= 1000:
        raise invalid_value(field, weight, "Must be between 0 and 1000.")
    return weight


def _header_action(field: str, body: Json) -> Json:
    action = body.get("headerAction")
    if not action:
        return {}
    _only(f"{field}.headerAction", action, _HEADERS)
    for key in ("requestHeadersToAdd", "responseHeadersToAdd"):
        for each in action.get(key) or ():
            if not each.get("headerName"):
                raise required_field(f"{field}.headerAction.{key}.headerName")
    return {"headerAction": action}


def _path_matcher(world: World, call: Call, field: str, body: Json) -> Json:
    known = frozenset(
        {"name", "description", "pathRules", "routeRules", "headerAction", *(f"default{t}" for t in _TARGETS)}
    )
    _only(field, body, known)
    if not body.get("name"):
        raise required_field(f"{field}.name")
    if body.get("pathRules") and body.get("routeRules"):
        raise invalid_value(f"{field}.pathRules", body["pathRules"], "routeRules are set, too.")
    found: Json = {"name": body["name"], **_target(world, call, field, body, "default")}
    found |= _header_action(field, body)
    if body.get("description"):
        found["description"] = body["description"]
    if body.get("pathRules"):
        found["pathRules"] = _path_rules(world, call, field, body["pathRules"])
    if body.get("routeRules"):
        found["routeRules"] = _route_rules(world, call, field, body["routeRules"])
    return found


def _path_rules(world: World, call: Call, field: str, rules: list[Json]) -> list[Json]:
    found, seen = [], set[str]()
    for place, rule in enumerate(rules):
        where = f"{field}.pathRules[{place}]"
        _only(where, rule, frozenset({"paths", "service", "urlRedirect", "routeAction"}))
        for path in rule.get("paths") or ():
            if not path.startswith("/") or "*" in path.removesuffix("/*"):
                raise invalid_value(
                    f"{where}.paths",
                    path,
                    "Must begin with / and may have an asterisk only after the last /.",
                )
            if path in seen:
                raise invalid_value(f"{where}.paths", path, "Duplicate path.")
            seen.add(path)
        if not rule.get("paths"):
            raise required_field(f"{where}.paths")
        found.append({"paths": rule["paths"], **_target(world, call, where, rule, "")})
    return found


def _route_rules(world: World, call: Call, field: str, rules: list[Json]) -> list[Json]:
    found, priorities = [], set[int]()
    for place, rule in enumerate(rules):
        where = f"{field}.routeRules[{place}]"
        known = {
            "priority",
            "description",
            "matchRules",
            "service",
            "urlRedirect",
            "routeAction",
            "headerAction",
        }
        _only(where, rule, frozenset(known))
        priority = number(rule.get("priority") or 0)
        if priority in priorities:
            raise invalid_value(f"{where}.priority", priority, "Duplicate priority.")
        priorities.add(priority)
        made: Json = {
            "priority": priority,
            **_target(world, call, where, rule, ""),
            **_header_action(where, rule),
        }
        made["matchRules"] = [_match(f"{where}.matchRules", each) for each in rule.get("matchRules") or ()]
        if not made["matchRules"]:
            raise required_field(f"{where}.matchRules")
        found.append(made)
    return sorted(found, key=lambda each: int(each["priority"]))


def _match(field: str, body: Json) -> Json:
    _only(field, body, _MATCH)
    if body.get("pathTemplateMatch"):
        raise not_built("compute.urlMaps with matchRules.pathTemplateMatch")
    for each in body.get("headerMatches") or ():
        if not each.get("headerName"):
            raise required_field(f"{field}.headerMatches.headerName")
    for each in body.get("queryParameterMatches") or ():
        if not each.get("name"):
            raise required_field(f"{field}.queryParameterMatches.name")
    return body


def _failed_tests(fields: Json) -> int:
    return sum(not _passes(fields, each) for each in fields["tests"])


def _actual(fields: Json, test: Mapping[str, Any]) -> Any:
    _, action = chosen_action(fields, str(test.get("host", "")), str(test.get("path", "/")))
    return action.get("service")


def _passes(fields: Json, test: Mapping[str, Any]) -> bool:
    wanted, actual = test.get("service"), str(_actual(fields, test) or "")
    return wanted is None or actual.endswith(str(wanted).partition("/projects/")[2] or str(wanted))


def validate(world: World, call: Call) -> Json:
    """Say whether a URL map could be made, and which of its tests fail."""
    found = KIND.find(world, call) if "urlMap" in call.parameters else None
    body = inputs((without_nulls(call.body).get("resource") or {}), ("fingerprint", "region"))
    name = found.name if found else named(world, call, "urlMaps", str(body.get("name") or "map"))
    tests = body.pop("tests", [])
    try:
        KIND.refuse_unknown(body)
        fields = _complete(world, call, name, body)
    except ApiError as error:
        return {"result": {"loadSucceeded": False, "loadErrors": [error.message]}}
    failures = [
        {
            "host": each.get("host"),
            "path": each.get("path"),
            "expectedService": each.get("service"),
            "actualService": _actual(fields, each),
        }
        for each in tests
        if not _passes(fields, each)
    ]
    result: Json = {"loadSucceeded": True, "testPassed": not failures}
    return {"result": result | ({"testFailures": failures} if failures else {})}


KIND = Kind(
    "urlMaps",
    "urlMap",
    "url_map",
    frozenset(
        {"name", "description", "hostRules", "pathMatchers", "tests", "headerAction",
         *(f"default{kind}" for kind in _TARGETS)}
    ),
    _complete,
    methods_global="urlMaps",
    methods_regional="regionUrlMaps",
    fingerprinted=True,
    untested=frozenset({"regionUrlMaps"}),
)  # fmt: skip
METHODS: dict[str, Method] = {
    **KIND.methods(),
    "urlMaps.validate": Read(validate, "compute.urlMaps.validate"),
    "regionUrlMaps.validate": Read(validate, "compute.regionUrlMaps.validate"),
}
