"""URL maps as data: which of its parts decides about a request.

The order is Google's: the host rule with the longest match, then the path rule with the longest path, or the
first route rule that matches (behaviour/load-balancing.md#url-maps).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fogbank.resources.world import Json


def chosen_action(url_map: Json, host: str, path: str) -> tuple[str, Json]:
    """Return the name of the path matcher (empty for none) and the action for a request without headers.

    An action has ``service``, ``urlRedirect`` or ``routeAction``.
    """
    matcher = _matcher(url_map, host.lower())
    if matcher is None:
        return "", default_action(url_map)
    return str(matcher["name"]), _by_path(matcher, path.partition("?")[0]) or default_action(matcher)


def default_action(holder: Mapping[str, Any]) -> Json:
    """Return what a map or a path matcher does when nothing else decides, as rules say it."""
    names = {
        "defaultService": "service",
        "defaultUrlRedirect": "urlRedirect",
        "defaultRouteAction": "routeAction",
    }
    return {name: holder[key] for key, name in names.items() if key in holder}


def host_rules(url_map: Json) -> Iterator[tuple[str, Json]]:
    """List the hosts of a map, each with its path matcher."""
    matchers = {each["name"]: each for each in url_map.get("pathMatchers", ())}
    for rule in url_map.get("hostRules", ()):
        for host in rule["hosts"]:
            yield host.lower(), matchers[rule["pathMatcher"]]


def _matcher(url_map: Json, host: str) -> Json | None:
    best: tuple[int, Json] | None = None
    for pattern, matcher in host_rules(url_map):
        if pattern == host:
            return matcher
        suffix = pattern.removeprefix("*")
        longer = best is None or len(pattern) > best[0]
        if pattern.startswith("*") and host.endswith(suffix) and longer:
            best = len(pattern), matcher
    return best[1] if best else None


def _by_path(matcher: Json, path: str) -> Json | None:
    if "routeRules" in matcher:
        return next(
            (each for each in matcher["routeRules"] if any(_fits(m, path) for m in each["matchRules"])), None
        )
    best: tuple[int, Json] | None = None
    for rule in matcher.get("pathRules", ()):
        for pattern in rule["paths"]:
            if pattern == path:
                return dict(rule)
            prefix = pattern.removesuffix("*")
            fits = pattern.endswith("/*") and path.startswith(prefix)
            if fits and (best is None or len(pattern) > best[0]):
                best = len(pattern), rule
    return best[1] if best else None


def _fits(match: Json, path: str) -> bool:
    if match.get("headerMatches") or match.get("queryParameterMatches"):
        return False
    if "fullPathMatch" in match:
        return bool(match["fullPathMatch"] == path)
    return path.startswith(match.get("prefixMatch", "/"))
