"""IAM policy documents."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.errors import ApiError
from fogbank.resources.policies import (
    as_version,
    bind,
    etag,
    policy_of,
    replaced,
    without_account,
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


UNTIL = {"title": "until 2027", "expression": "request.time < timestamp('2027-01-01T00:00:00Z')"}
INVOKER_UNTIL = {"role": "roles/run.invoker", "members": ["user:me@example.com"], "condition": UNTIL}


def test_a_binding_with_a_condition_stands_beside_the_one_without():
    plain = {"role": "roles/run.invoker", "members": ["user:b@x.org"]}
    more = INVOKER_UNTIL | {"members": ["user:c@x.org"]}
    kept = replaced(None, {"version": 3, "bindings": [plain, INVOKER_UNTIL, more]}, 1)
    assert kept["version"] == 3
    assert kept["bindings"] == [plain, INVOKER_UNTIL | {"members": ["user:c@x.org", "user:me@example.com"]}]
    added = bind(kept, "roles/run.invoker", "user:z@x.org", 2)
    assert added["bindings"][1] == kept["bindings"][1]
    assert without_account(kept, "sa@p.iam.gserviceaccount.com", "1", 3) is None


def test_who_did_not_ask_for_version_3_sees_that_there_is_a_condition_but_not_which():
    policy = replaced(None, {"version": 3, "bindings": [INVOKER_UNTIL]}, 1)
    shown = as_version(policy, 0)
    assert (shown["version"], shown["etag"]) == (1, policy["etag"])
    assert re.fullmatch(r"roles/run.invoker_withcond_[0-9a-f]{20}", shown["bindings"][0]["role"])
    assert "condition" not in shown["bindings"][0]
    assert as_version(policy, 3) == policy
    with pytest.raises(ApiError, match="not one of 0, 1 and 3"):
        as_version(policy, 2)


def test_conditions_are_set_and_kept_by_version_3_alone():
    with pytest.raises(ApiError, match="policy version 3"):
        replaced(None, {"bindings": [INVOKER_UNTIL]}, 1)
    current = replaced(None, {"version": 3, "bindings": [INVOKER_UNTIL]}, 1)
    with pytest.raises(ApiError, match="policy version 3"):
        replaced(current, {"version": 1, "etag": current["etag"], "bindings": []}, 2)
    assert replaced(current, {"version": 3, "etag": current["etag"]}, 2)["version"] == 1
    assert replaced(current, {"bindings": []}, 2)["bindings"] == []  # without an etag it is overwritten


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"condition": {"expression": "true"}}, "title"),
        ({"condition": {"title": "t" * 101, "expression": "true"}}, "title"),
        ({"condition": UNTIL | {"description": "d" * 257}}, "description"),
        ({"condition": UNTIL | {"expression": "request.time <"}}, "compilation failed"),
        ({"role": "roles/owner"}, "basic role"),
        ({"members": ["allUsers"]}, "allUsers"),
    ],
)
def test_a_condition_that_could_not_be_kept_is_refused(change, why):
    with pytest.raises(ApiError, match=why) as refusal:
        replaced(None, {"version": 3, "bindings": [INVOKER_UNTIL | change]}, 1)
    assert refusal.value.code == 400


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
