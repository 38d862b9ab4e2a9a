"""Who is calling: tokens that the region issued, and those that it did not."""

import json
import stat
import subprocess
import sys
import time
from base64 import b64encode

import jwt as independent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.identities import ROBOT, region_in
from tests.worlds import resource

from fogbank.errors import ApiError, OperatorError
from fogbank.frontend.iam import jwt
from fogbank.frontend.iam.accounts import make_key
from fogbank.frontend.iam.jwt import BadTokenError
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import ACCOUNT_KEYS, unique_id
from fogbank.resources.world import Delete


def _claims(email, **changes):
    now = int(time.time())
    claims = {
        "iss": email,
        "sub": email,
        "aud": "https://redis.googleapis.com/",
        "iat": now,
        "exp": now + 3600,
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


def _refusal(region, header):
    with pytest.raises(ApiError) as refusal:
        region.identity.authenticate(header)
    assert (refusal.value.code, refusal.value.status) == (401, "UNAUTHENTICATED")
    return refusal.value


def test_an_access_token_names_its_owner(region):
    token = region.identity.access_token("me@example.com")
    assert token.startswith("ya29.")
    assert region.identity.authenticate(f"Bearer {token}") == "me@example.com"
    assert region.identity.authenticate(f"bearer {token}") == "me@example.com"


def test_a_token_outlives_a_restart(region, keys):
    header = f"Bearer {region.identity.access_token('me@example.com')}"
    assert region_in(keys).identity.authenticate(header) == "me@example.com"


def test_a_token_ends_after_an_hour_of_the_machines_clock(region):
    header = f"Bearer {region.identity.access_token('me@example.com')}"
    region.identity.authenticate(header)
    region.pass_time(3590)
    region.identity.authenticate(header)
    region.pass_time(11)
    _refusal(region, header)


def test_a_call_without_credentials_is_told_so(region):
    refusal = _refusal(region, None)
    assert refusal.message.startswith(
        "Request is missing required authentication credential. Expected OAuth 2"
    )
    assert refusal.reason == "required"


@pytest.mark.parametrize(
    "header", ["Bearer ya29.foreign", "Bearer x", "Basic YTpi", "Bearer", "Bearer a.b.c", "é"]
)
def test_foreign_credentials_are_refused_in_googles_words(region, header):
    refusal = _refusal(region, header)
    assert refusal.message == (
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or "
        "other valid authentication credential. See https://developers.google.com/identity/sign-in/web/"
        "devconsole-project."
    )


def test_a_token_of_another_region_is_foreign(region, tmp_path):
    other = region_in(tmp_path / "authority")
    _refusal(region, other.bearer)


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_a_token_with_any_character_changed_is_foreign(keys, place, character):
    region = region_in(keys)
    token = region.identity.access_token("me@example.com")
    place %= len(token)
    if token[place] != character:
        _refusal(region, f"Bearer {token[:place]}{character}{token[place + 1 :]}")


def test_a_refresh_token_is_no_access_token(region):
    refresh = region.identity.tokens.issue_refresh("me@example.com")
    _refusal(region, "Bearer ya29." + refresh.removeprefix("1//"))


def test_a_revoked_token_is_refused_also_after_a_restart(region, keys):
    token = region.identity.access_token("me@example.com")
    region.identity.authenticate(f"Bearer {token}")
    region.identity.revoke(token)
    _refusal(region, f"Bearer {token}")
    _refusal(region_in(keys), f"Bearer {token}")


def test_a_client_library_may_sign_its_own_token_with_the_operators_key(region):
    document = region.identity.operator_document()
    email = document["client_email"]
    token = independent.encode(
        _claims(email), document["private_key"], "RS256", headers={"kid": document["private_key_id"]}
    )
    assert region.identity.authenticate(f"Bearer {token}") == email


def test_a_client_library_may_sign_with_a_created_key(region):
    region.add_account()
    key = region.add_key()
    assert region.identity.authenticate(f"Bearer {jwt.sign(key, _claims(ROBOT))}") == ROBOT


def test_a_created_key_signs_for_its_account_until_it_is_deleted(region):
    account = region.add_account()
    key = make_key(account)
    name = ResourceName(ACCOUNT_KEYS, f"{account.name.path}/keys/{key.id}")
    region.put(resource(name, {"publicKeyData": b64encode(key.public).decode()}))
    document = json.loads(key.document)
    assert (document["client_email"], document["private_key_id"]) == (ROBOT, key.id)
    token = independent.encode(_claims(ROBOT), document["private_key"], "RS256", headers={"kid": key.id})
    assert region.identity.authenticate(f"Bearer {token}") == ROBOT
    region.world = region.world.after([Delete(name)])
    region.pass_time(31)
    _refusal(region, f"Bearer {token}")


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1000},
        {"exp": None},
        {"iat": None},
        {"iat": 4_000_000_000, "exp": 4_000_003_600},
        {"exp": 4_000_000_000},
        {"sub": "somebody@else.example"},
        {"aud": "https://example.com/"},
        {"aud": "https://googleapis.com.example.com/"},
        {"aud": "http://["},
        {"iss": "somebody@else.example"},
    ],
)
def test_a_self_signed_token_with_wrong_claims_is_refused(region, changes):
    region.add_account()
    key = region.add_key()
    _refusal(region, f"Bearer {jwt.sign(key, _claims(ROBOT, **changes))}")


def test_a_self_signed_token_of_a_disabled_account_is_refused(region):
    region.add_account(disabled=True)
    key = region.add_key()
    _refusal(region, f"Bearer {jwt.sign(key, _claims(ROBOT))}")


def test_a_disabled_account_stops_at_once_and_goes_on_when_enabled(region):
    account = region.add_account()
    header = f"Bearer {region.identity.access_token(ROBOT)}"
    assert region.identity.authenticate(header) == ROBOT
    region.put(account.with_body(disabled=True))
    assert _refusal(region, header).details[0]["reason"] == "ACCOUNT_STATE_INVALID"
    region.put(account)
    assert region.identity.authenticate(header) == ROBOT


def test_a_deleted_account_stops_at_once_and_one_made_anew_is_another(region):
    account = region.add_account()
    header = f"Bearer {region.identity.access_token(ROBOT)}"
    assert region.identity.authenticate(header) == ROBOT
    region.world = region.world.after([Delete(account.name)])
    _refusal(region, header)
    region.put(account.with_body(uniqueId="100000000000000000042"))
    _refusal(region, header)


def test_what_a_deleted_key_signed_is_refused_at_once_though_it_was_believed(region):
    region.add_account()
    key = region.add_key()
    header = f"Bearer {jwt.sign(key, _claims(ROBOT))}"
    assert region.identity.authenticate(header) == ROBOT
    name = ResourceName(ACCOUNT_KEYS, f"projects/demo/serviceAccounts/{ROBOT}/keys/{key.kid}")
    region.world = region.world.after([Delete(name)])
    _refusal(region, header)


def test_a_users_tokens_end_with_the_refresh_token_that_they_were_made_of(region):
    refresh = region.identity.tokens.issue_refresh("left@example.com")
    header = f"Bearer {region.identity.access_token('left@example.com', refresh=refresh)}"
    other = f"Bearer {region.identity.access_token('you@example.com')}"
    assert region.identity.authenticate(header) == "left@example.com"
    region.identity.revoke(refresh)
    _refusal(region, header)
    assert region.identity.authenticate(other) == "you@example.com"


def test_a_user_whose_refresh_token_was_revoked_gets_another_that_works(region):
    tokens = region.identity.tokens
    first = tokens.issue_refresh("me@example.com")
    assert tokens.issue_refresh("me@example.com") == first
    for _ in range(3):
        tokens.revoke(tokens.issue_refresh("me@example.com"))
    again = tokens.issue_refresh("me@example.com")
    assert tokens.read_refresh(again).email == "me@example.com"
    assert tokens.issue_refresh("me@example.com") == again
    with pytest.raises(BadTokenError):
        tokens.read_refresh(first)


def test_an_id_token_names_nobody_once_its_account_is_disabled_or_another(region):
    account = region.add_account()
    claims = region.identity.verify_id_token(
        region.identity.id_token(region.identity.account(ROBOT), "https://a.example")
    )
    assert region.identity.principal(claims) == ROBOT
    region.put(account.with_body(disabled=True))
    assert region.identity.principal(claims) is None
    region.put(account.with_body(uniqueId="100000000000000000042"))
    assert region.identity.principal(claims) is None


def test_a_key_that_nobody_created_signs_for_nobody(region):
    region.add_account()
    _refusal(region, f"Bearer {jwt.sign(jwt.new_key_pair(), _claims(ROBOT))}")


def test_one_account_cannot_sign_for_another(region):
    region.add_account()
    region.add_account("other@demo.iam.gserviceaccount.com")
    key = region.add_key()
    _refusal(region, f"Bearer {jwt.sign(key, _claims('other@demo.iam.gserviceaccount.com'))}")


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_other_algorithms_are_not_tried(region, algorithm):
    key = "" if algorithm == "none" else "k" * 32
    token = independent.encode(_claims(region.identity.operator.email), key, algorithm)
    _refusal(region, f"Bearer {token}")


def test_an_id_token_opens_no_api(region):
    _refusal(region, f"Bearer {region.identity.id_token(region.identity.operator, 'x')}")


def test_an_id_token_verifies_independently(region):
    token = region.identity.id_token(region.identity.operator, "https://example.com")
    ((kid, public),) = region.identity.public_keys().items()
    assert independent.get_unverified_header(token) == {"alg": "RS256", "kid": kid, "typ": "JWT"}
    claims = independent.decode(
        token, public, ["RS256"], audience="https://example.com", issuer="https://accounts.google.com"
    )
    assert claims["email"] == region.identity.operator.email
    assert claims["exp"] - claims["iat"] == 3600
    assert region.identity.verify_id_token(token) == claims


def test_what_a_key_file_signs_verifies_independently():
    key = jwt.new_key_pair()
    token = jwt.sign_with_pem(key.private, "number", {"iss": ROBOT})
    assert independent.get_unverified_header(token) == {"alg": "RS256", "kid": "number", "typ": "JWT"}
    assert independent.decode(token, key.public, ["RS256"]) == {"iss": ROBOT}


def test_a_foreign_id_token_is_not_believed(region):
    key = jwt.new_key_pair()
    token = jwt.sign(key, {"iss": "https://accounts.google.com", "exp": time.time() + 60})
    with pytest.raises(BadTokenError):
        region.identity.verify_id_token(token)


def test_the_credential_file_is_a_key_file_for_the_owner_alone(region, keys):
    path = keys / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    document = json.loads(path.read_text())
    assert document["type"] == "service_account"
    assert document["project_id"] == "demo"
    assert document["token_uri"] == "https://oauth2.googleapis.com/token"
    assert document == region.identity.operator_document()
    assert {stat.S_IMODE(file.stat().st_mode) for file in keys.iterdir()} == {0o600}


def test_the_second_start_needs_no_cryptography(keys):
    script = (
        "import sys, pathlib; from fogbank.frontend.iam.identity import open_identity;"
        "folder = pathlib.Path(sys.argv[1]);"
        "open_identity(folder, folder / 'credentials.json', 'demo', None);"
        "sys.exit('cryptography' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, keys], check=True)


def test_a_damaged_key_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "account.key").write_text("nonsense")
    with pytest.raises(OperatorError, match="Delete it and start"):
        region_in(tmp_path)


def test_believing_a_known_header_costs_microseconds(region):
    header = region.bearer
    region.identity.authenticate(header)
    began = time.perf_counter()
    for _ in range(1000):
        region.identity.authenticate(header)
    assert (time.perf_counter() - began) / 1000 < 50e-6


@given(st.binary(max_size=100))
def test_base64url_reads_back(content):
    assert jwt.decode_part(jwt.encode_part(content)) == content


def test_accounts_have_numbers_of_twenty_one_digits():
    one, other = unique_id("a@example.com"), unique_id("b@example.com")
    assert (len(one), len(other)) == (21, 21)
    assert one != other
