"""IAM policy documents."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.errors import ApiError
from fogbank.resources.policies import (
    bind,
    etag,
    policy_of,
    replaced,
)

EVERYONE_INVOKES = policy_of({"roles/run.invoker": ["allUsers"]}, 1)


def test_bindings_of_one_role_become_one_and_empty_ones_go():
    proposed = {
        "bindings": [
            {"role": "roles/run.invoker", "members": ["allUsers", "user:b@x.org"]},
            {"role": "roles/run.invoker", "members": ["allUsers"]},
            {"role": "roles/viewer", "members": []},
        ]
    }
    assert replaced(None, proposed, 2)["bindings"] == [
        {"role": "roles/run.invoker", "members": ["allUsers", "user:b@x.org"]}
    ]


def test_a_stale_etag_is_refused_and_the_current_one_is_not():
    current = policy_of({}, 1)
    with pytest.raises(ApiError, match="concurrent policy changes") as refusal:
        replaced(current, {"etag": etag(0)}, 2)
    assert (refusal.value.code, refusal.value.status) == (409, "ABORTED")
    assert replaced(current, {"etag": current["etag"]}, 2)["etag"] == etag(2)
    assert replaced(None, {"etag": "ACAB"}, 1)["etag"] == etag(1)


@pytest.mark.parametrize("member", ["me@example.com", "robot:x", "user:", "allusers"])
def test_a_member_without_a_known_kind_is_refused(member):
    with pytest.raises(ApiError, match="unknown type") as refusal:
        replaced(None, {"bindings": [{"role": "roles/viewer", "members": [member]}]}, 1)
    assert refusal.value.code == 400


def test_a_role_that_may_not_be_bound_is_refused():
    binding = {"role": "roles/made.up", "members": ["allUsers"]}
    with pytest.raises(ApiError, match=r"Role \(roles/made.up\) does not exist") as refusal:
        replaced(None, {"bindings": [binding]}, 1, lambda role: role == "roles/viewer")
    assert refusal.value.code == 400


def test_conditions_are_refused_because_nothing_would_check_them():
    binding = {"role": "roles/viewer", "members": ["allUsers"], "condition": {"expression": "true"}}
    with pytest.raises(ApiError, match="does not implement"):
        replaced(None, {"bindings": [binding]}, 1)


def test_adding_a_member_keeps_the_others():
    policy = bind(EVERYONE_INVOKES, "roles/run.invoker", "user:me@example.com", 2)
    assert policy["bindings"][0]["members"] == ["allUsers", "user:me@example.com"]
    assert policy["etag"] != EVERYONE_INVOKES["etag"]


@given(st.integers(0, 2**64 - 1))
def test_gclouds_alphabet_writes_an_etag_alike(serial):
    content = base64.b64decode(etag(serial))
    assert base64.urlsafe_b64encode(content) == base64.b64encode(content)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_etags_are_eight_bytes_and_differ_when_versions_do(one, other):
    assert len(base64.b64decode(etag(one), validate=True)) == 8
    assert (etag(one) == etag(other)) == (one == other)


def test_a_policy_has_1500_members_at_most():
    def proposed(count):
        return {"bindings": [{"role": "roles/viewer", "members": [f"user:{n}@x.org" for n in range(count)]}]}

    assert len(replaced(None, proposed(1500), 2)["bindings"][0]["members"]) == 1500
    with pytest.raises(ApiError, match=r"\(1,501\) is larger than the maximum allowed size 1,500"):
        replaced(None, proposed(1501), 2)
