"""Partial answers keep what they name."""

import pytest

from fogbank.errors import ApiError
from fogbank.frontend.masks import parse_mask

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


@pytest.mark.parametrize("mask", ["items(", "items)", ",a", "a,,b", "a(b", "()"])
def test_a_malformed_mask_is_refused(mask):
    with pytest.raises(ApiError, match="Invalid field selection"):
        parse_mask(mask)
