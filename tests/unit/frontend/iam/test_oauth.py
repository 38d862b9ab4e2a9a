"""Google's account servers, asked by Google's own library and by hand."""

import json
import time

import google.auth.transport
import google.oauth2.credentials
import google.oauth2.id_token
import google.oauth2.service_account
import pytest
from cryptography import x509
from tests.identities import ROBOT, ask

from fogbank.frontend.iam import jwt
from fogbank.frontend.iam.accounts import GCLOUD_CLIENT, TOKEN_URI
from fogbank.frontend.iam.oauth import OAuth, owns

BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


class Wire(google.auth.transport.Request):
    """What google-auth sends its requests over; here it ends at our handlers."""

    def __init__(self, region):
        self.oauth = OAuth(region.identity)

    def __call__(self, url, method="GET", body=None, headers=None, timeout=None, **_):
        request = ask(method, url, headers={k.lower(): v for k, v in (headers or {}).items()})
        content = body if isinstance(body, bytes) else (body or "").encode()
        return Response(self.oauth.answer(request.__class__(**{**request.__dict__, "body": content})))


class Response(google.auth.transport.Response):
    def __init__(self, answer):
        self._answer = answer

    status = property(lambda self: self._answer.status)
    headers = property(lambda self: {"content-type": self._answer.type})
    data = property(lambda self: self._answer.body)


@pytest.fixture
def wire(region):
    return Wire(region)


def _token(wire, **form):
    answer = wire.oauth.answer(ask("POST", TOKEN_URI, form=form))
    return answer.status, json.loads(answer.body)


def _get(wire, url, **headers):
    answer = wire.oauth.answer(ask("GET", url, headers=headers))
    return answer.status, json.loads(answer.body)


def test_the_key_file_gets_an_access_token(region, wire):
    document = region.identity.operator_document()
    credentials = google.oauth2.service_account.Credentials.from_service_account_info(document, scopes=SCOPES)
    credentials.refresh(wire)
    assert region.identity.authenticate(f"Bearer {credentials.token}") == document["client_email"]
    assert credentials.valid


def test_the_librarys_self_signed_token_is_believed(region):
    document = region.identity.operator_document()
    credentials = google.oauth2.service_account.Credentials.from_service_account_info(document)
    credentials._create_self_signed_jwt("https://compute.googleapis.com/")
    credentials.refresh(None)
    assert region.identity.authenticate(f"Bearer {credentials.token}") == document["client_email"]


def test_the_key_file_gets_an_id_token_that_the_library_verifies(region, wire):
    document = region.identity.operator_document()
    credentials = google.oauth2.service_account.IDTokenCredentials.from_service_account_info(
        document, target_audience="https://example.com"
    )
    credentials.refresh(wire)
    claims = google.oauth2.id_token.verify_oauth2_token(credentials.token, wire, "https://example.com")
    assert claims["email"] == document["client_email"]
    assert claims["iss"] == "https://accounts.google.com"


def test_a_user_gets_both_tokens_for_a_refresh_token(region, wire):
    document = region.identity.user_document("me@example.com")
    credentials = google.oauth2.credentials.Credentials.from_authorized_user_info(document)
    credentials.refresh(wire)
    assert region.identity.authenticate(f"Bearer {credentials.token}") == "me@example.com"
    claims = google.oauth2.id_token.verify_oauth2_token(credentials.id_token, wire, GCLOUD_CLIENT)
    assert claims["email"] == "me@example.com"


def test_a_foreign_refresh_token_is_an_invalid_grant(wire):
    status, body = _token(wire, grant_type="refresh_token", refresh_token="1//fake")
    assert (status, body["error"]) == (400, "invalid_grant")


def _assertion(region, key=None, **changes):
    email, now = region.identity.operator.email, int(time.time())
    claims = {"iss": email, "aud": TOKEN_URI, "iat": now, "exp": now + 3600, "scope": SCOPES[0]} | changes
    return jwt.sign(key or region.identity._keys.operator, {k: v for k, v in claims.items() if v is not None})


def test_a_wrong_signature_is_an_invalid_grant(region, wire):
    status, body = _token(wire, grant_type=BEARER, assertion=_assertion(region, jwt.new_key_pair()))
    assert (status, body) == (
        400,
        {"error": "invalid_grant", "error_description": "Invalid JWT Signature."},
    )


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"exp": 1000}, 400, "invalid_grant"),
        ({"aud": "https://example.com/token"}, 400, "invalid_grant"),
        ({"scope": None}, 400, "invalid_scope"),
        ({"sub": "somebody@else.example"}, 401, "unauthorized_client"),
        ({"iss": ROBOT}, 400, "invalid_grant"),
    ],
)
def test_an_assertion_with_wrong_claims_is_refused(region, wire, changes, status, error):
    got = _token(wire, grant_type=BEARER, assertion=_assertion(region, **changes))
    assert (got[0], got[1]["error"]) == (status, error)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"x": "y"}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": BEARER, "assertion": "nonsense"}, "invalid_grant"),
    ],
)
def test_what_is_no_grant_is_refused(wire, form, error):
    status, body = _token(wire, **form)
    assert (status, body["error"]) == (400, error)


def test_the_keys_are_served_in_both_forms_under_one_name(region, wire):
    (kid,) = region.identity.public_keys()
    _, jwks = _get(wire, "https://www.googleapis.com/oauth2/v3/certs")
    assert [key["kid"] for key in jwks["keys"]] == [kid]
    _, certificates = _get(wire, "https://www.googleapis.com/oauth2/v1/certs")
    assert list(certificates) == [kid]
    x509.load_pem_x509_certificate(certificates[kid].encode())


def test_discovery_leads_to_the_keys(wire):
    _, configuration = _get(wire, "https://accounts.google.com/.well-known/openid-configuration")
    assert configuration["issuer"] == "https://accounts.google.com"
    assert _get(wire, configuration["jwks_uri"])[0] == 200


@pytest.mark.parametrize(
    ("url", "number"),
    [
        ("https://openidconnect.googleapis.com/v1/userinfo", "sub"),
        ("https://www.googleapis.com/oauth2/v3/userinfo", "sub"),
        ("https://www.googleapis.com/oauth2/v2/userinfo", "id"),
    ],
)
def test_userinfo_tells_the_callers_address(region, wire, url, number):
    status, body = _get(wire, url, authorization=region.bearer)
    assert (status, body["email"]) == (200, region.identity.operator.email)
    assert body[number] == region.identity.operator.unique_id
    assert _get(wire, url)[0] == 401


def test_tokeninfo_tells_what_a_token_is_good_for(region, wire):
    token = region.identity.access_token("me@example.com", SCOPES)
    _, body = _get(wire, f"https://oauth2.googleapis.com/tokeninfo?access_token={token}")
    assert (body["email"], body["scope"]) == ("me@example.com", SCOPES[0])
    assert 3590 < int(body["expires_in"]) <= 3600
    id_token = region.identity.id_token(region.identity.operator, "x")
    assert _get(wire, f"https://oauth2.googleapis.com/tokeninfo?id_token={id_token}")[1]["aud"] == "x"
    assert _get(wire, "https://oauth2.googleapis.com/tokeninfo?access_token=foreign")[0] == 400


def test_a_revoked_token_is_good_no_longer(region, wire):
    token = region.identity.access_token("me@example.com")
    assert (
        wire.oauth.answer(ask("POST", "https://oauth2.googleapis.com/revoke", form={"token": token})).status
        == 200
    )
    assert _get(wire, f"https://oauth2.googleapis.com/tokeninfo?access_token={token}")[0] == 400


@pytest.mark.parametrize("place", ["robot/v1/metadata", "service_accounts/v1/metadata"])
def test_an_accounts_keys_are_public(region, wire, place):
    region.add_account()
    key = region.add_key()
    assert owns("www.googleapis.com", f"/{place}/raw/{ROBOT}")
    _, jwks = _get(wire, f"https://www.googleapis.com/{place}/jwk/{ROBOT}")
    assert key.kid in [each["kid"] for each in jwks["keys"]]
    _, wrapped = _get(wire, f"https://www.googleapis.com/{place}/x509/{ROBOT}")
    x509.load_pem_x509_certificate(wrapped[key.kid].encode())
    _, raw = _get(wire, f"https://www.googleapis.com/{place}/raw/{ROBOT}")
    assert raw[key.kid].encode() == key.public


def test_an_accounts_keys_have_a_shorter_address_for_one_form(region, wire):
    region.add_account()
    base = "https://www.googleapis.com/service_accounts/v1"
    assert _get(wire, f"{base}/jwk/{ROBOT}") == _get(wire, f"{base}/metadata/jwk/{ROBOT}")
    assert _get(wire, f"{base}/x509/{ROBOT}")[0] == 404
    assert _get(wire, f"{base}/jwk/nobody@demo.iam.gserviceaccount.com")[0] == 404


def test_unknown_paths_are_not_found(wire):
    assert _get(wire, "https://oauth2.googleapis.com/nothing")[0] == 404


def test_only_the_account_paths_of_a_shared_host_are_served_here():
    assert owns("www.googleapis.com", "/oauth2/v3/certs")
    assert not owns("www.googleapis.com", "/compute/v1/projects")
    assert owns("oauth2.googleapis.com", "/token")
