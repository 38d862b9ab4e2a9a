"""The lists of Cloud Run's v1 API: by label selector, newest first, in pages as Kubernetes has them.

A page says in its ``metadata`` how to go on. What follows is found by its place in the order, so that nothing
is shown twice or left out when something else is deleted in between.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping

from fogbank.resources.world import Json, Resource, World
from fogbank.services.contract import Call, Method, Read
from fogbank.services.run.naming import check_location
from fogbank.services.run.objects import API_VERSION, bad_request
from fogbank.services.segments import location_of, project_of

_Place = tuple[str, int]
"""Where something stands in a list: when it was made, and its number."""

_SELECTOR = re.compile(r"(!?)([\w./-]+)\s*(?:(==?|!=|in|notin)\s*(.*))?", re.DOTALL)
_REQUIREMENT = re.compile(r"(?:[^,(]|\([^)]*\)?)+")
"""What stands between commas that are in no parentheses; it takes time in proportion to the text."""


def listing(
    collection: str,
    kind: str,
    permission: str,
    show: Callable[[Json], Json] = lambda body: body,
    version: str = API_VERSION,
) -> Method:
    """Make a method that lists ``collection`` as a Knative list of ``kind``, by label.

    ``version`` is its apiVersion. ``limit`` bounds a page (0: everything), ``continue`` is the token of the
    page before; else a 400.
    """

    def list_(world: World, call: Call) -> Json:
        selector = str(call.parameters.get("labelSelector") or "")
        shown = [(_place(r), show(r.body)) for r in in_place(world, call, collection)]
        items = [one for one in shown if selects(selector, one[1]["metadata"]["labels"])]
        items, metadata = _page(items, call)
        return {
            "apiVersion": version,
            "kind": f"{kind}List",
            "metadata": metadata,
            "items": [body for _, body in items],
        }

    return Read(list_, permission)


def _place(resource: Resource) -> _Place:
    return (resource.created.isoformat(), resource.id)


def _page(items: list[tuple[_Place, Json]], call: Call) -> tuple[list[tuple[_Place, Json]], Json]:
    """Take the page that the call asks for; its metadata has a token when something is left."""
    limit = int(call.parameters.get("limit") or 0)
    if limit < 0:
        raise bad_request(f"Invalid value for limit: {limit}. It must not be negative.")
    if token := str(call.parameters.get("continue") or ""):
        before = _open(token)
        items = [item for item in items if item[0] < before]
    if not limit or len(items) <= limit:
        return items, {}
    return items[:limit], {"continue": _seal(items[limit - 1][0])}


def _seal(place: _Place) -> str:
    created, number = place
    return urlsafe_b64encode(f"{created} {number}".encode()).decode()


def _open(token: str) -> _Place:
    try:
        created, number = urlsafe_b64decode(token).decode().split(" ")
        return (created, int(number))
    except ValueError:
        raise bad_request(f"Invalid value for continue: '{token}' is not from a list.") from None


def in_place(world: World, call: Call, collection: str) -> list[Resource]:
    """Find everything of ``collection`` in the call's project and location, newest first."""
    return sorted(world.all(collection, under_place(world, call)), key=_place, reverse=True)


def under_place(world: World, call: Call) -> str:
    """Return the beginning of the paths of everything in the call's project and location.

    A location that does not exist is a 404; ``-`` is all of them.
    """
    under = f"projects/{project_of(world, call)}/locations/"
    location = location_of(call)
    if location == "-":
        return under
    check_location(location)
    return f"{under}{location}/"


def selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Return whether a Kubernetes label selector (``a = b, c in (d,e), !f``) picks ``labels``."""
    requirements = (one.strip() for one in _REQUIREMENT.findall(selector))
    return all(_selects(one, labels) for one in requirements if one)


def _selects(requirement: str, labels: Mapping[str, str]) -> bool:
    match = _SELECTOR.fullmatch(requirement)
    if match is None:
        raise bad_request(f"Invalid label selector '{requirement}'.")
    negated, key, operator, operand = match.groups()
    value = labels.get(key)
    match operator:
        case None:
            return (value is None) == bool(negated)
        case "=" | "==":
            return value == operand
        case "!=":
            return value != operand
        case _:
            members = {member.strip() for member in operand.strip("()").split(",")}
            return (value in members) == (operator == "in")
