"""Lists: every item once, however the pages fall."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.discovery.routes import find
from fogbank.discovery.schemas import check_response
from fogbank.errors import ApiError
from fogbank.frontend.api.lists import make_page, render_list, scope_of
from fogbank.resources.listings import listing
from fogbank.resources.names import compute_name
from fogbank.resources.places import REGIONS, ZONES
from fogbank.resources.world import Put, Resource, World

NOW = datetime(2026, 1, 2, tzinfo=UTC)

BASE = "https://www.googleapis.com/compute/v1/projects/p"


def subnet(name, region="us-east1"):
    return {"name": name, "selfLink": f"{BASE}/regions/{region}/subnetworks/{name}"}


def match(path):
    found = find("compute.googleapis.com", "GET", f"/compute/v1/projects/p/{path}")
    assert found is not None
    return found


def walk(items, size, query):
    token, seen = None, []
    while True:
        page = make_page(items, query | ({"pageToken": token} if token else {}), size, "a list")
        seen += [item["name"] for item in page.items]
        assert len(page.items) <= size
        if page.token is None:
            return seen
        token = page.token


@given(
    st.sets(st.text("abcdef-", min_size=1, max_size=4), max_size=30),
    st.integers(1, 7),
    st.sampled_from(["", "name desc", "creationTimestamp desc"]),
)
def test_pages_show_every_item_once_in_order(names, size, order_by):
    items = [subnet(n) | {"creationTimestamp": str(len(n))} for n in names]
    query = {"orderBy": order_by}
    whole = [item["name"] for item in make_page(items, query, 1000, "a list").items]
    assert walk(items, size, query) == whole
    assert sorted(whole) == sorted(names)


def rules(names):
    """Make a World of firewall rules, and the listing of them with what was rendered so far."""
    made = [
        Resource(compute_name("firewalls", "p", "global", None, name), number, NOW, {"name": name})
        for number, name in enumerate(names)
    ]
    world, rendered = World().after(map(Put, made)), []

    def render(rule):
        rendered.append(rule.name.id)
        return rule.body | {"selfLink": rule.name.self_link}

    return listing(world, "compute.firewalls", "projects/p/", render), rendered


@given(
    st.sets(st.text("abcdef-", min_size=1, max_size=4), max_size=30),
    st.integers(1, 7),
    st.sampled_from(["", "name desc", "creationTimestamp desc"]),
    st.sampled_from(["", "name:a*"]),
)
def test_a_listing_has_the_pages_of_the_same_items_in_a_list(names, size, order_by, filtered):
    query = {"orderBy": order_by, "filter": filtered}
    lazy, _ = rules(names)
    token = None
    while True:
        asked = query | ({"pageToken": token} if token else {})
        page = make_page(lazy, asked, size, "a list")
        assert page == make_page(list(lazy), asked, size, "a list")
        if (token := page.token) is None:
            break


def test_a_page_of_a_listing_costs_what_is_on_it():
    lazy, rendered = rules(f"{number:04}" for number in range(1000))
    first = make_page(lazy, {}, 5, "a list")
    second = make_page(lazy, {"pageToken": first.token}, 5, "a list")
    assert [item["name"] for item in second.items] == [f"{number:04}" for number in range(5, 10)]
    assert len(rendered) == 12  # each page looks at one more, to know that there is more


def test_an_item_that_comes_or_goes_between_two_pages_disturbs_no_other():
    items = [subnet(n) for n in "abcdef"]
    first = make_page(items, {}, 3, "a list")
    changed = [subnet(n) for n in ("aa", "bb", "c", "d", "e", "f")]
    second = make_page(changed, {"pageToken": first.token}, 10, "a list")
    assert [i["name"] for i in (*first.items, *second.items)] == list("abcdef")


@pytest.mark.parametrize("token", ["nonsense", "", None])
def test_a_token_of_another_list_is_refused(token):
    items = [subnet(n) for n in "abc"]
    other = make_page(items, {}, 1, "another list").token if token is None else token
    if other == "":
        assert make_page(items, {"pageToken": other}, 5, "a list").token is None
        return
    with pytest.raises(ApiError, match="pageToken"):
        make_page(items, {"pageToken": other}, 5, "a list")


def _sealed(value):
    return urlsafe_b64encode(json.dumps(value).encode()).decode()


def _seal():
    token = make_page([subnet(n) for n in "abc"], {}, 1, "a list").token
    assert token is not None
    return json.loads(urlsafe_b64decode(token))[0]


@pytest.mark.parametrize(
    "content",
    [None, 1, "text", {}, [], [1], [_seal(), 1], [_seal(), None, "a"], [[_seal()]], [_seal(), ["a"]]],
)
def test_a_token_of_any_other_json_is_refused(content):
    with pytest.raises(ApiError, match="pageToken"):
        make_page([subnet(n) for n in "abc"], {"pageToken": _sealed(content)}, 5, "a list")


@given(st.text(min_size=1) | st.binary(min_size=1).map(lambda b: urlsafe_b64encode(b).decode()))
def test_any_text_as_a_token_is_refused(token):
    with pytest.raises(ApiError, match="pageToken"):
        make_page([subnet("a")], {"pageToken": token}, 5, "a list")


def test_a_compute_list_has_its_envelope_and_no_items_when_empty():
    answer = render_list(match("regions/us-east1/subnetworks"), [], "items", {})
    assert answer == {
        "kind": "compute#subnetworkList",
        "id": "projects/p/regions/us-east1/subnetworks",
        "selfLink": f"{BASE}/regions/us-east1/subnetworks",
    }


def test_more_than_500_results_are_refused():
    with pytest.raises(ApiError, match="maxResults"):
        render_list(match("global/networks"), [], "items", {"maxResults": 501})


def test_an_aggregated_list_groups_by_scope_and_warns_of_empty_ones():
    items = [subnet("a"), subnet("b"), subnet("c", "asia-northeast3")]
    found = match("aggregated/subnetworks")
    answer = render_list(found, items, "items", {"includeAllScopes": True})
    scopes = answer["items"]
    assert [s["name"] for s in scopes["regions/us-east1"]["subnetworks"]] == ["a", "b"]
    assert scopes["global"] == {
        "warning": {
            "code": "NO_RESULTS_ON_PAGE",
            "message": "No results for the scope 'global'.",
            "data": [{"key": "scope", "value": "global"}],
        }
    }
    assert len(scopes) == 1 + len(REGIONS) + len(ZONES)
    assert check_response("compute.v1", found.method.response, answer) == []


def test_without_all_scopes_an_aggregated_list_has_those_where_the_resource_lives():
    answer = render_list(match("aggregated/addresses"), [], "items", {})
    assert set(answer["items"]) == {"global", *(f"regions/{name}" for name in REGIONS)}


def test_a_newer_api_lists_under_its_own_field():
    found = find("vpcaccess.googleapis.com", "GET", "/v1/projects/p/locations/r/connectors")
    assert found is not None
    assert render_list(found, [], "connectors", {}) == {}
    items = [{"name": f"projects/p/locations/r/connectors/{n}"} for n in "ab"]
    answer = render_list(found, items, "connectors", {"pageSize": 1})
    assert answer["connectors"] == items[:1]
    assert answer["nextPageToken"]


def test_a_resource_of_no_region_or_zone_is_global():
    assert scope_of({"selfLink": f"{BASE}/global/addresses/a"}) == "global"
    assert scope_of({"selfLink": f"{BASE}/zones/us-east1-b/instances/a"}) == "zones/us-east1-b"
