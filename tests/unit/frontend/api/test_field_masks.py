"""Partial answers keep what they name."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.errors import ApiError
from fogbank.frontend.api.field_masks import check_mask, parse_mask

ANSWER = {"kind": "list", "items": [{"name": "a", "id": "1", "tags": {"x": 1, "y": 2}}], "nextPageToken": "t"}


@pytest.mark.parametrize(
    ("mask", "kept"),
    [
        ("kind", {"kind": "list"}),
        ("items(name,id),nextPageToken", {"items": [{"name": "a", "id": "1"}], "nextPageToken": "t"}),
        ("items/tags/x", {"items": [{"tags": {"x": 1}}]}),
        ("items.name", {"items": [{"name": "a"}]}),
        ("*", ANSWER),
        ("items/*", {"items": ANSWER["items"]}),
        ("nothing", {}),
    ],
)
def test_a_mask_keeps_what_it_names(mask, kept):
    assert parse_mask(mask).apply(ANSWER) == kept


@pytest.mark.parametrize(
    "mask",
    ["items(", "items)", ",a", "a,,b", "a(b", "()", "a/" * 30_000 + "b", "a(" * 30_000, "a" + ".a" * 100],
)
def test_a_malformed_mask_is_refused(mask):
    with pytest.raises(ApiError, match="Invalid field selection"):
        parse_mask(mask)


def check(mask, schema="SubnetworkList"):
    check_mask(parse_mask(mask), "compute.v1", f"#{schema}")


@pytest.mark.parametrize(
    "mask", ["kind", "items(name,secondaryIpRanges/rangeName),nextPageToken", "*", "items/*", "items.*.name"]
)
def test_a_mask_may_name_what_an_answer_can_have(mask):
    check(mask)


def test_a_mask_may_name_any_key_of_a_map():
    check("items/*/subnetworks(name)", "SubnetworkAggregatedList")
    check("items/global/warning", "SubnetworkAggregatedList")


@pytest.mark.parametrize(
    ("mask", "named"),
    [("bogus", "bogus"), ("items(name,bogus)", "bogus"), ("kind/x", "x"), ("kind,items/id/*", "*")],
)
def test_a_mask_that_names_anything_else_is_refused(mask, named):
    with pytest.raises(ApiError) as caught:
        check(mask)
    assert caught.value.message == f"Invalid field selection {named}"


@given(st.lists(st.sampled_from([*"(),/.*", "items", "name", "x y"]) | st.text(max_size=2)).map("".join))
def test_any_text_is_a_mask_or_is_refused(text):
    with suppress(ApiError):
        parse_mask(text).apply(ANSWER)
        check(text)
