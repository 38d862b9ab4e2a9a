"""Lists: filter, order, pages and the envelope, for every API alike (behaviour/api.md#lists).

A page token says after which item the next page starts, not at which number, so what comes and goes between
two pages neither repeats nor hides an item.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import Any

from fogbank.discovery.routes import DiscoveryMethod, Match, methods
from fogbank.discovery.schemas import fields_of
from fogbank.errors import ApiError, invalid_value
from fogbank.frontend.api.filters import parse_filter
from fogbank.frontend.http.json_bodies import parse_json
from fogbank.resources.listings import Listing
from fogbank.resources.names import COMPUTE_PREFIX
from fogbank.resources.places import REGIONS, ZONES
from fogbank.resources.world import Json

COMPUTE_PAGE = 500
"""Compute's default and largest page."""

LARGEST_PAGE = 1000
"""What other APIs give at most, and by default."""

Key = tuple[str, ...]

_NEWEST_FIRST = ["creationTimestamp", "desc"]


@dataclass(frozen=True, slots=True)
class Page:
    """The items of one page, and the token of the next."""

    items: Sequence[Json]
    token: str | None


def item_key(item: Json) -> Key:
    """Return what places an item in a list: its name, then whatever tells it from one of the same name."""
    metadata = item.get("metadata")
    inner = metadata.get("name") if isinstance(metadata, dict) else None
    identity = item.get("selfLink") or item.get("id") or item.get("projectId") or item.get("type") or ""
    if not (name := item.get("name") or inner) and not identity:
        return ("", json.dumps(item, sort_keys=True))
    return (str(name or ""), str(identity))


def order(items: Iterable[Json], order_by: str) -> tuple[list[tuple[Key, Json]], bool]:
    """Sort items by name or, with ``creationTimestamp desc``, newest first; tells whether it is reversed."""
    words = order_by.split()
    if words not in ([], ["name"], ["name", "asc"], ["name", "desc"], _NEWEST_FIRST):
        raise invalid_value("orderBy", order_by, "Only 'name' and 'creationTimestamp desc' are supported.")
    descending = words[-1:] == ["desc"]
    keyed = [(_place(item, order_by), item) for item in items]
    return sorted(keyed, key=lambda pair: pair[0], reverse=descending), descending


def _place(item: Json, order_by: str) -> Key:
    """Return what an item is sorted by."""
    if order_by.split() == _NEWEST_FIRST:
        return (str(item.get("creationTimestamp", "")), *item_key(item))
    return item_key(item)


def make_page(items: Iterable[Json], query: Mapping[str, Any], size: int, about: str) -> Page:
    """Filter and sort ``items`` and take one page of ``size``.

    ``about`` is what list this is: a token of another one is refused.
    """
    text, order_by = str(query.get("filter") or ""), str(query.get("orderBy") or "")
    seal = blake2b(json.dumps([about, text, order_by]).encode(), digest_size=6).hexdigest()
    token = query.get("pageToken")
    after = _open_token(str(token), seal) if token else None
    keep = _filter(text) if text else None
    if isinstance(items, Listing) and not order_by:
        items = items.after(_path_of(after)) if after else iter(items)
        found = list(islice(filter(keep, items) if keep else items, size + 1))
    else:
        found = _following(filter(keep, items) if keep else items, order_by, after)
    if len(found) <= size:
        return Page(found, None)
    last = _place(found[size - 1], order_by)
    return Page(found[:size], urlsafe_b64encode(json.dumps([seal, *last]).encode()).decode())


def _path_of(key: Key) -> str:
    """Return the path of the item that :func:`item_key` placed, in a list that is in the order of paths."""
    name, identity = key[0], key[-1]
    return identity.removeprefix(COMPUTE_PREFIX) if identity.startswith(COMPUTE_PREFIX) else name


def _following(items: Iterable[Json], order_by: str, after: Key | None) -> list[Json]:
    """Sort ``items`` and return those that come after the place ``after``."""
    keyed, descending = order(items, order_by)
    if after is not None:
        keyed = [pair for pair in keyed if (pair[0] < after if descending else pair[0] > after)]
    return [item for _, item in keyed]


_filter = lru_cache(256)(parse_filter)


def _open_token(token: str, seal: str) -> Key:
    try:
        found = parse_json(urlsafe_b64decode(token.encode()))
    except ValueError:
        found = None
    match found:
        case [sealed, *key] if sealed == seal and all(isinstance(part, str) for part in key):
            return tuple(key)
    raise invalid_value("pageToken", token, "The token is not from this list.")


def page_size(method: DiscoveryMethod, query: Mapping[str, Any]) -> int:
    """Return how many items a page has; Google's 400 for a size that it refuses."""
    if "maxResults" in method.query:
        wanted = int(query.get("maxResults", COMPUTE_PAGE))
        if wanted < 0 or (wanted > COMPUTE_PAGE and method.api != "sqladmin"):
            why = "Value must be between 0 and 500."
            raise invalid_value("maxResults", wanted, why)
        return min(wanted or COMPUTE_PAGE, COMPUTE_PAGE)
    wanted = int(query.get("pageSize") or query.get("limit") or LARGEST_PAGE)
    if wanted < 0:
        raise ApiError(400, "The page size must not be negative.", "INVALID_ARGUMENT", "invalid")
    return min(wanted, LARGEST_PAGE)


def list_path(match: Match) -> str:
    """Return the path of a list as self links have it: ``projects/p/regions/r/subnetworks``."""
    path = match.method.path.removeprefix("compute/v1/")
    for name, value in match.parameters.items():
        path = path.replace(f"{{{name}=*}}", value)
    return path


def render_list(match: Match, items: Iterable[Json], field: str, query: Mapping[str, Any]) -> Json:
    """Answer a list method with a page of ``items`` under ``field``."""
    method = match.method
    about = f"{method.id} {sorted(match.parameters.items())}"
    page = make_page(items, query, page_size(method, query), about)
    if method.name.endswith(".aggregatedList"):
        answer = _aggregate(match, page.items, query)
    elif method.api == "compute":
        answer = _compute_list(match, page.items, field)
    else:
        answer = _kind(fields_of(method.document, method.response))
        answer |= {field: list(page.items)} if page.items else {}
    if page.token:
        answer["nextPageToken"] = page.token
    return answer


def _kind(response: Mapping[str, Any]) -> Json:
    """Return the ``kind`` of an answer, in the APIs that have it."""
    kind = response.get("kind")
    return {"kind": kind["="]} if isinstance(kind, dict) and "=" in kind else {}


def _head(match: Match, response: Mapping[str, Any]) -> Json:
    path = list_path(match)
    head = _kind(response)
    if "id" in response:
        head["id"] = path
    if "selfLink" in response:
        head["selfLink"] = COMPUTE_PREFIX + path
    return head


def _compute_list(match: Match, items: Sequence[Json], field: str) -> Json:
    response = fields_of(match.method.document, match.method.response)
    answer = _head(match, response)
    if items:
        answer[field] = list(items)
    return answer


def _aggregate(match: Match, items: Sequence[Json], query: Mapping[str, Any]) -> Json:
    """Group items by scope; scopes without any carry a warning."""
    method = match.method
    response = fields_of(method.document, method.response)
    inner = _scoped_field(method, response)
    scopes: dict[str, Json] = {}
    for item in items:
        scopes.setdefault(scope_of(item), {inner: []})[inner].append(item)
    for scope in _expected(method, everything=bool(query.get("includeAllScopes"))):
        scopes.setdefault(scope, _nothing(scope))
    return _head(match, response) | {"items": scopes}


@lru_cache
def _field_of_scope(document: str, name: str) -> str:
    return next(field for field in fields_of(document, name) if field != "warning")


def _scoped_field(method: DiscoveryMethod, response: Mapping[str, Any]) -> str:
    return _field_of_scope(method.document, response["items"]["*"].removeprefix("#"))


def scope_of(item: Json) -> str:
    """Return a compute resource's scope in aggregated lists: ``regions/r``, ``zones/z`` or ``global``."""
    parts = str(item.get("selfLink", "")).removeprefix(COMPUTE_PREFIX).split("/")
    return "/".join(parts[2:4]) if len(parts) > 3 and parts[2] in {"regions", "zones"} else "global"


def _nothing(scope: str) -> Json:
    warning = {
        "code": "NO_RESULTS_ON_PAGE",
        "message": f"No results for the scope '{scope}'.",
        "data": [{"key": "scope", "value": scope}],
    }
    return {"warning": warning}


def _expected(method: DiscoveryMethod, *, everything: bool) -> Iterable[str]:
    collection = method.name.rpartition(".")[0]
    kinds = {"global", "regions", "zones"} if everything else _kinds(method.document, collection)
    if "global" in kinds:
        yield "global"
    if "regions" in kinds:
        yield from (f"regions/{name}" for name in REGIONS)
    if "zones" in kinds:
        yield from (f"zones/{name}" for name in ZONES)


@lru_cache
def _kinds(document: str, collection: str) -> frozenset[str]:
    """Return in which scopes a collection's resources live: where its list methods are."""
    known = methods(document)
    kinds = set()
    for name in (collection, "global" + collection[0].upper() + collection[1:]):
        path = known[f"{name}.list"].path if f"{name}.list" in known else ""
        kinds |= {kind for kind in ("regions", "zones", "global") if f"/{kind}/" in path}
    return frozenset(kinds)
