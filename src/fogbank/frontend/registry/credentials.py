"""Who speaks to the registry: tokens, and the names and passwords that docker has for them.

docker sends a name and a password to ``/v2/token`` and gets a bearer token for them, or without any the token
of nobody; both are accepted everywhere (behaviour/artifact-registry.md#the-registry).
"""

import base64
import binascii
from http import HTTPStatus

from fogbank.errors import ApiError
from fogbank.frontend.http.asgi import HttpRequest, HttpResponse, json_answer
from fogbank.frontend.http.json_bodies import parse_json
from fogbank.frontend.iam import jwt
from fogbank.frontend.iam.identity import Identity
from fogbank.frontend.iam.jwt import BadTokenError
from fogbank.frontend.iam.tokens import CLOUD_PLATFORM, LIFETIME_SECONDS
from fogbank.frontend.registry.errors import RegistryError, no_credentials

ANONYMOUS = "anonymous"
"""The token of nobody: it gives what allUsers have."""

_TOKEN_USERS = frozenset({"oauth2accesstoken", "_dcgcloud_token"})
_LONGEST_KEY = 16 * 1024
_KEY_USERS = frozenset({"_json_key", "_json_key_base64"})


def principal_of(identity: Identity, authorization: str | None, host: str) -> str | None:
    """Return whose an ``Authorization`` header is; None for nobody's, RegistryError when it is no good."""
    if not authorization or authorization == f"Bearer {ANONYMOUS}":
        return None
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "basic":
        return _authenticated(identity, _token_for(identity, given, host), host)
    return _authenticated(identity, given.strip(), host)


def answer_token(identity: Identity, request: HttpRequest) -> HttpResponse:
    """Give a token for a name and a password, from a header or, as OAuth does, from a form."""
    authorization = request.headers.get("authorization")
    if request.method == "POST" and not authorization:
        authorization = _from_form(request)
    scheme, _, given = (authorization or "").partition(" ")
    match scheme.lower():
        case "":
            token = ANONYMOUS
        case "basic":
            token = _token_for(identity, given, request.host)
        case _:
            token = given.strip()
    if token != ANONYMOUS:
        _authenticated(identity, token, request.host)
    return json_answer({"token": token, "access_token": token, "expires_in": LIFETIME_SECONDS - 1})


def _from_form(request: HttpRequest) -> str:
    """Read OAuth's password and refresh grants as docker sends them."""
    form = request.form
    password = form.get("password") or form.get("refresh_token") or ""
    pair = f"{form.get('username') or 'oauth2accesstoken'}:{password}"
    return "Basic " + base64.b64encode(pair.encode()).decode() if password else ""


def _token_for(identity: Identity, given: str, host: str) -> str:
    """Turn a name and a password into an access token."""
    try:
        name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        if name in _TOKEN_USERS:
            return password.strip()
        if name in _KEY_USERS:
            document = base64.b64decode(password) if name.endswith("base64") else password
            return _token_of_key(identity, parse_json(document))
    except (binascii.Error, ValueError, BadTokenError) as error:
        raise _refused(host) from error
    raise _refused(host)


def _token_of_key(identity: Identity, document: object) -> str:
    """Give a token for a service account's key: whoever has its private half is the account."""
    match document:
        case {"client_email": str(email), "private_key": str(pem)} if len(pem) <= _LONGEST_KEY:
            account = identity.account(email)
            known = (identity.account_keys(email) or {}).values()
            if account is not None and not account.disabled and jwt.is_key_of(pem.encode(), set(known)):
                return identity.access_token(email, (CLOUD_PLATFORM,))
    raise BadTokenError("not a key of a service account")


def _authenticated(identity: Identity, token: str, host: str) -> str:
    try:
        return identity.authenticate(f"Bearer {token}")
    except ApiError as error:
        raise _refused(host) from error


def _refused(host: str) -> RegistryError:
    refusal = no_credentials(host, message="Authentication failed: the credentials are not valid.")
    return RegistryError(HTTPStatus.UNAUTHORIZED, refusal.code, str(refusal), refusal.headers)
