"""Acting as a service account: who may, and what comes of it."""

import base64
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from tests.identities import ROBOT, ask

from fogbank.frontend.iam import jwt
from fogbank.frontend.iam.iamcredentials import IamCredentials

ACCOUNT = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ROBOT}"


@pytest.fixture
def own(region):
    """A region where the operator may act as the robot."""
    region.add_account()
    operator = f"serviceAccount:{region.identity.operator.email}"
    path = f"projects/demo/serviceAccounts/{ROBOT}"
    region.set_policy("iam.policies", path, roles__iam_serviceAccountTokenCreator=[operator])
    return region


def _call(region, verb, body, account=ACCOUNT, bearer=None):
    headers = {"authorization": bearer or region.bearer}
    answer = IamCredentials(region.identity).answer(
        ask("POST", f"{account}:{verb}", headers=headers, body=body)
    )
    return answer.status, json.loads(answer.body)


def test_an_access_token_is_the_accounts(own):
    status, body = _call(own, "generateAccessToken", {"scope": ["x"], "lifetime": "600s"})
    assert status == 200
    assert own.identity.authenticate(f"Bearer {body['accessToken']}") == ROBOT
    assert body["expireTime"].endswith("Z")


def test_an_id_token_has_the_address_only_when_asked(own):
    _, body = _call(own, "generateIdToken", {"audience": "a", "includeEmail": True})
    assert own.identity.verify_id_token(body["token"])["email"] == ROBOT
    _, body = _call(own, "generateIdToken", {"audience": "a"})
    claims = own.identity.verify_id_token(body["token"])
    assert "email" not in claims
    assert own.identity.principal(claims) == ROBOT


def test_a_signed_jwt_is_believed_of_its_account_only(own):
    operator = own.identity.operator.email
    for issuer, believed in ((ROBOT, True), (operator, False)):
        now = int(own.identity.now())
        claims = {"iss": issuer, "aud": "https://run.googleapis.com/", "iat": now, "exp": now + 60}
        _, body = _call(own, "signJwt", {"payload": json.dumps(claims)})
        if believed:
            assert own.identity.verify_assertion(body["signedJwt"])["iss"] == ROBOT
        else:
            with pytest.raises(jwt.BadTokenError):
                own.identity.verify_assertion(body["signedJwt"])


def test_a_signed_blob_verifies_with_the_accounts_public_key(own):
    _, body = _call(own, "signBlob", {"payload": base64.b64encode(b"blob").decode()})
    public = serialization.load_pem_public_key(own.identity.account_keys(ROBOT)[body["keyId"]])
    assert isinstance(public, rsa.RSAPublicKey)
    signature = base64.b64decode(body["signedBlob"])
    public.verify(signature, b"blob", padding.PKCS1v15(), hashes.SHA256())


def test_an_owner_without_the_role_may_not(region):
    region.add_account()
    status, body = _call(region, "generateAccessToken", {"scope": ["x"]})
    assert (status, body["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert "iam.serviceAccounts.getAccessToken" in body["error"]["message"]


def test_an_account_that_does_not_exist_is_refused_alike(own):
    status, _ = _call(
        own, "generateAccessToken", {"scope": ["x"]}, account=ACCOUNT.replace("robot", "nobody")
    )
    assert status == 403


def test_a_foreign_token_is_refused(own):
    assert _call(own, "generateAccessToken", {"scope": ["x"]}, bearer="Bearer x")[0] == 401


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("generateAccessToken", {}),
        ("generateAccessToken", {"scope": ["x"], "lifetime": "7200s"}),
        ("generateAccessToken", {"scope": ["x"], "lifetime": "soon"}),
        ("generateIdToken", {}),
        ("signJwt", {"payload": "nonsense"}),
        ("signJwt", {"payload": "[]"}),
        ("signBlob", {"payload": "!"}),
        ("signJwt", []),
    ],
)
def test_requests_that_make_no_sense_are_refused(own, verb, body):
    assert _call(own, verb, body)[0] == 400


def test_no_account_is_bound_to_a_place(own):
    answer = IamCredentials(own.identity).answer(
        ask("GET", f"{ACCOUNT}/allowedLocations", headers={"authorization": own.bearer})
    )
    assert json.loads(answer.body) == {"locations": [], "encodedLocations": "0x0"}


def test_unknown_methods_are_not_found(own):
    assert _call(own, "generateFun", {})[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' * 100_000,
        b'{"scope":["\\ud800"], "payload":"{}"}',
        b'{"payload":"{\\"a\\":NaN}"}',
        b'{"scope":["x"], "lifetime":"\xc2\xb2s"}',
        b'{"scope":["x"], "lifetime":"' + b"1" * 5000 + b's"}',
        b"[]",
    ],
)
@pytest.mark.parametrize("verb", ["generateAccessToken", "signJwt"])
def test_a_malformed_body_is_refused(own, verb, body):
    request = ask("POST", f"{ACCOUNT}:{verb}", headers={"authorization": own.bearer})
    answer = IamCredentials(own.identity).answer(replace(request, body=body))
    assert (answer.status, json.loads(answer.body)["error"]["status"]) == (400, "INVALID_ARGUMENT")
