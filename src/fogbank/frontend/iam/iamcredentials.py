"""Short-lived credentials of service accounts, for those who may act as one: iamcredentials.googleapis.com.

It stands beside the other services because its answers need the region's secrets, which no service sees.
"""

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime

from fogbank.discovery.routes import Match
from fogbank.errors import ApiError, not_implemented
from fogbank.frontend.api.error_envelopes import challenge, error_body
from fogbank.frontend.api.query import bad_json
from fogbank.frontend.http.asgi import Application, HttpRequest, HttpResponse, application, json_answer
from fogbank.frontend.http.json_bodies import BadJsonError, parse_json
from fogbank.frontend.iam import jwt
from fogbank.frontend.iam.accounts import Account
from fogbank.frontend.iam.identity import Identity
from fogbank.frontend.iam.tokens import LIFETIME_SECONDS
from fogbank.resources.world import Json
from fogbank.services.iamcredentials import ACCOUNTS, SERVICE

HOST = SERVICE.host

_PREFIX = "/v1/projects/"
_NO_LOCATIONS: Json = {"locations": [], "encodedLocations": "0x0"}
"""No boundary: the account may be used from everywhere (behaviour/clients.md#credentials)."""


def iamcredentials_application(identity: Identity) -> Application:
    """Make the ASGI application."""
    return application(IamCredentials(identity).answer)


class IamCredentials:
    """The methods, by the verb after the account's name."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._methods: dict[str, Callable[[Account, Json], Json]] = {
            "generateAccessToken": self._access_token,
            "generateIdToken": self._id_token,
            "signJwt": self._sign_jwt,
            "signBlob": self._sign_blob,
        }

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        sent = request.headers.get("authorization")
        try:
            principal = self._identity.authenticate(sent)
            return json_answer(self._dispatch(request, principal))
        except ApiError as error:
            wanted = {"WWW-Authenticate": challenge(sent=bool(sent))} if error.code == 401 else None
            return json_answer(error_body(None, error), error.code, wanted)

    def _dispatch(self, request: HttpRequest, principal: str) -> Json:
        project, _, rest = request.path.removeprefix(_PREFIX).partition("/serviceAccounts/")
        if not request.path.startswith(_PREFIX) or not project or not rest:
            raise _no_method(request)
        if request.method == "GET" and rest.endswith("/allowedLocations"):
            self._account(rest.removesuffix("/allowedLocations"))
            return _NO_LOCATIONS
        reference, _, verb = rest.rpartition(":")
        if request.method != "POST" or verb not in self._methods:
            raise _no_method(request)
        self._demand(principal, SERVICE.methods[ACCOUNTS + verb].permission, reference)
        return self._methods[verb](self._account(reference), _body(request))

    def call(self, principal: str, match: Match, body: Json) -> Json:
        """Answer a method that was found by other means than HTTP; ApiError when it is refused."""
        verb = match.method.name.removeprefix(ACCOUNTS)
        reference = match.parameters["name"].partition("/serviceAccounts/")[2]
        if verb not in self._methods:
            raise not_implemented(match.method.id)
        self._demand(principal, SERVICE.methods[ACCOUNTS + verb].permission, reference)
        return self._methods[verb](self._account(reference), body)

    def _account(self, reference: str) -> Account:
        account = self._identity.account(reference)
        if account is None or account.disabled:
            raise ApiError(
                404, "Not found; Gaia id not found for email " + reference, "NOT_FOUND", "notFound"
            )
        return account

    def _demand(self, principal: str, permission: str, reference: str) -> None:
        account = self._identity.account(reference)
        if account is None or not self._identity.directory.allows(principal, permission, account.email):
            raise ApiError(
                403,
                f"Permission '{permission}' denied on resource (or it may not exist).",
                "PERMISSION_DENIED",
                "forbidden",
            )

    def _access_token(self, account: Account, body: Json) -> Json:
        scopes = body.get("scope")
        if not isinstance(scopes, list) or not scopes:
            raise _bad("Scope required.")
        lifetime = _seconds(body.get("lifetime") or f"{LIFETIME_SECONDS}s")
        end = datetime.fromtimestamp(int(self._identity.now()) + lifetime, UTC)
        token = self._identity.access_token(account.email, [str(scope) for scope in scopes], lifetime)
        return {"accessToken": token, "expireTime": end.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def _id_token(self, account: Account, body: Json) -> Json:
        audience = body.get("audience")
        if not isinstance(audience, str) or not audience:
            raise _bad("Audience required.")
        include_email = body.get("includeEmail") is True
        return {"token": self._identity.id_token(account, audience, include_email=include_email)}

    def _sign_jwt(self, account: Account, body: Json) -> Json:
        try:
            claims = parse_json(body.get("payload") or "")
        except (TypeError, ValueError) as error:
            raise _bad("The payload is not valid JSON.") from error
        if not isinstance(claims, dict):
            raise _bad("The payload is not a JSON object.")
        key = self._identity.system_key(account.email)
        return {"keyId": key.kid, "signedJwt": jwt.sign(key, claims)}

    def _sign_blob(self, account: Account, body: Json) -> Json:
        try:
            content = base64.b64decode(body.get("payload") or "", validate=True)
        except (TypeError, ValueError) as error:
            raise _bad("The payload is not base64.") from error
        key = self._identity.system_key(account.email)
        return {"keyId": key.kid, "signedBlob": base64.b64encode(jwt.sign_bytes(key, content)).decode()}


def _body(request: HttpRequest) -> Json:
    try:
        content = parse_json(request.body or b"{}")
    except BadJsonError as error:
        raise bad_json(str(error)) from error
    if not isinstance(content, dict):
        raise bad_json("Root element must be a message.")
    return content


def _seconds(lifetime: object) -> int:
    text = str(lifetime)
    if not re.fullmatch(r"[0-9]{1,9}s", text) or not 0 < int(text[:-1]) <= LIFETIME_SECONDS:
        raise _bad("The access token lifetime must be from 1 to 3600 seconds, like 3600s.")
    return int(text[:-1])


def _bad(message: str) -> ApiError:
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest")


def _no_method(request: HttpRequest) -> ApiError:
    return ApiError(404, f"Method not found: {request.method} {request.path}", "NOT_FOUND", "notFound")
