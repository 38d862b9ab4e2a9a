"""IAM policy documents."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.errors import ApiError
from fogbank.resources.policies import (
    INVOKE,
    NEVER_SET,
    allows,
    bind,
    etag,
    granted,
    grants,
    policy_of,
    replaced,
)

EVERYONE_INVOKES = policy_of({"roles/run.invoker": ["allUsers"]}, 1)


def test_allow_unauthenticated_lets_anybody_in():
    assert allows([EVERYONE_INVOKES], INVOKE, None, authenticated=False)


def test_a_policy_that_nobody_set_lets_nobody_in():
    assert not allows([None, NEVER_SET], INVOKE, "me@example.com")


def test_all_authenticated_users_are_those_with_a_name():
    policy = policy_of({"roles/run.invoker": ["allAuthenticatedUsers"]}, 1)
    assert allows([policy], INVOKE, "me@example.com")
    assert not allows([policy], INVOKE, None, authenticated=False)


@pytest.mark.parametrize(
    ("member", "email"),
    [
        ("user:me@example.com", "me@example.com"),
        ("domain:example.com", "me@example.com"),
        ("serviceAccount:robot@demo.iam.gserviceaccount.com", "robot@demo.iam.gserviceaccount.com"),
    ],
)
def test_a_member_is_found_by_kind_and_name(member, email):
    policy = policy_of({"roles/run.invoker": [member]}, 1)
    assert allows([policy], INVOKE, email)
    assert not allows([policy], INVOKE, "someone@else.org")


def test_a_projects_policy_grants_what_the_resources_own_does_not():
    project = policy_of({"roles/owner": ["user:me@example.com"]}, 1)
    assert allows([None, project], INVOKE, "me@example.com")


def test_a_developer_deploys_but_neither_opens_nor_invokes():
    assert grants("roles/run.developer", "run.services.create")
    assert not grants("roles/run.developer", "run.services.setIamPolicy")
    assert not grants("roles/run.developer", INVOKE)


def test_a_viewer_only_reads():
    assert grants("roles/viewer", "run.services.get")
    assert not grants("roles/viewer", "run.services.delete")
    assert not grants("roles/viewer", INVOKE)


def test_a_role_that_nobody_knows_grants_nothing():
    assert not grants("roles/made.up", INVOKE)


def test_test_iam_permissions_answers_in_the_order_asked():
    asked = ["run.services.setIamPolicy", "run.services.get", INVOKE]
    policy = policy_of({"roles/run.developer": ["user:me@example.com"]}, 1)
    assert granted([policy], asked, "me@example.com") == ("run.services.get",)


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
