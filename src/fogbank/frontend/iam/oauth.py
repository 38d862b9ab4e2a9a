"""Google's account servers: tokens for service accounts and users, and the keys that verify ID tokens.

It serves oauth2.googleapis.com, accounts.google.com and openidconnect.googleapis.com, and the paths below
``/oauth2/``, ``/robot/`` and ``/service_accounts/`` of www.googleapis.com. Errors here have OAuth's own
shape, not that of the APIs.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping

from fogbank.errors import ApiError
from fogbank.frontend.http.asgi import Application, HttpRequest, HttpResponse, application, json_answer
from fogbank.frontend.iam import jwt
from fogbank.frontend.iam.accounts import GCLOUD_CLIENT, TOKEN_URI, Account
from fogbank.frontend.iam.identity import ISSUER, Identity
from fogbank.frontend.iam.jwt import BadTokenError
from fogbank.frontend.iam.tokens import CLOUD_PLATFORM, LIFETIME_SECONDS
from fogbank.resources.projects import unique_id

HOSTS = frozenset({"oauth2.googleapis.com", "accounts.google.com", "openidconnect.googleapis.com"})
"""Hosts that are served here whole."""

_SHARED_HOSTS = frozenset({"www.googleapis.com", "googleapis.com"})
_SHARED_PATHS = ("/oauth2/", "/robot/", "/service_accounts/")
_ACCOUNT_KEYS = re.compile(
    r"/(?:robot/v1/metadata|service_accounts/v1(?:/metadata|(?=/jwk/)))/(?P<kind>jwk|raw|x509)/(?P<email>.+)"
)

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_TOKEN_AUDIENCES = frozenset(
    {TOKEN_URI, "https://www.googleapis.com/oauth2/v4/token", "https://accounts.google.com/o/oauth2/token"}
)
_USER_SCOPES = ("openid", "https://www.googleapis.com/auth/userinfo.email", CLOUD_PLATFORM)


def owns(host: str, path: str) -> bool:
    """Return whether a request to ``host`` and ``path`` belongs here."""
    return host in HOSTS or (host in _SHARED_HOSTS and path.startswith(_SHARED_PATHS))


def oauth_application(identity: Identity) -> Application:
    """Make the ASGI application."""
    return application(OAuth(identity).answer)


class OAuth:
    """The handlers, by path."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        get: dict[str, Callable[[HttpRequest], HttpResponse]] = {
            "/oauth2/v3/certs": self._jwks,
            "/oauth2/v1/certs": self._certificates,
            "/certs": self._jwks,
            "/.well-known/openid-configuration": self._configuration,
            "/v1/userinfo": self._userinfo,
            "/oauth2/v1/userinfo": self._userinfo,
            "/oauth2/v2/userinfo": self._userinfo,
            "/oauth2/v3/userinfo": self._userinfo,
            "/tokeninfo": self._tokeninfo,
            "/oauth2/v1/tokeninfo": self._tokeninfo,
            "/oauth2/v2/tokeninfo": self._tokeninfo,
            "/oauth2/v3/tokeninfo": self._tokeninfo,
        }
        post = {
            "/token": self._token,
            "/o/oauth2/token": self._token,
            "/oauth2/v4/token": self._token,
            "/revoke": self._revoke,
            "/o/oauth2/revoke": self._revoke,
        }
        both = ("/tokeninfo", "/v1/userinfo", "/revoke", "/o/oauth2/revoke")
        self._routes = {("GET", path): handler for path, handler in get.items()}
        self._routes |= {("POST", path): handler for path, handler in post.items()}
        for path in both:
            handler = get.get(path) or post[path]
            self._routes |= {("GET", path): handler, ("POST", path): handler}

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        handler = self._routes.get((request.method, request.path))
        if request.method == "GET" and (found := _ACCOUNT_KEYS.fullmatch(request.path)):
            return self._account_keys(found["kind"], found["email"])
        if handler is None:
            return _refuse(404, "not_found", f"Nothing is served at {request.method} {request.path}.")
        return handler(request)

    def _token(self, request: HttpRequest) -> HttpResponse:
        kind = request.form.get("grant_type", "")
        if kind == _JWT_BEARER:
            return self._for_assertion(request.form.get("assertion", ""))
        if kind == "refresh_token":
            return self._for_refresh_token(request.form)
        if not kind:
            return _refuse(400, "invalid_request", "Required parameter is missing: grant_type")
        return _refuse(400, "unsupported_grant_type", f"Invalid grant_type: {kind}")

    def _for_assertion(self, assertion: str) -> HttpResponse:
        try:
            claims = self._identity.verify_assertion(assertion)
        except BadTokenError as error:
            return _invalid_grant(error)
        account = self._identity.account(str(claims["iss"]))
        if account is None:
            return _refuse(400, "invalid_grant", "Invalid grant: account not found")
        if str(claims.get("aud")) not in _TOKEN_AUDIENCES:
            why = f"Invalid JWT: Failed audience check. The right audience is {TOKEN_URI}"
            return _refuse(400, "invalid_grant", why)
        if claims.get("sub", account.email) != account.email:
            return _refuse(
                401,
                "unauthorized_client",
                "Client is unauthorized to retrieve access tokens using this method, or client not "
                "authorized for any of the scopes requested.",
            )
        if audience := claims.get("target_audience"):
            return json_answer({"id_token": self._identity.id_token(account, str(audience))})
        scopes = str(claims.get("scope", "")).split()
        if not scopes:
            return _refuse(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return json_answer(self._access(account.email, scopes))

    def _for_refresh_token(self, form: Mapping[str, str]) -> HttpResponse:
        refresh = form.get("refresh_token", "")
        try:
            grant = self._identity.tokens.read_refresh(refresh)
        except BadTokenError:
            return _refuse(400, "invalid_grant", "Token has been expired or revoked.")
        account = Account(grant.email, unique_id(grant.email))
        audience = form.get("audience") or form.get("client_id") or GCLOUD_CLIENT
        scopes = form.get("scope", "").split() or _USER_SCOPES
        id_token = self._identity.id_token(account, audience)
        more = {"scope": " ".join(scopes), "id_token": id_token}
        return json_answer(self._access(grant.email, scopes, refresh) | more)

    def _access(self, email: str, scopes: Iterable[str], refresh: str = "") -> dict[str, object]:
        token = self._identity.access_token(email, scopes, refresh=refresh)
        return {"access_token": token, "expires_in": LIFETIME_SECONDS - 1, "token_type": "Bearer"}

    def _revoke(self, request: HttpRequest) -> HttpResponse:
        try:
            self._identity.revoke(request.form.get("token") or request.query.get("token", ""))
        except BadTokenError:
            return _refuse(400, "invalid_token", "Token expired or revoked")
        return json_answer({})

    def _tokeninfo(self, request: HttpRequest) -> HttpResponse:
        parameters = {**request.query, **request.form}
        try:
            if "id_token" in parameters:
                claims = self._identity.verify_id_token(parameters["id_token"])
                return json_answer({name: _text(value) for name, value in claims.items()})
            grant = self._identity.tokens.read_access(parameters.get("access_token", ""))
        except BadTokenError:
            return _refuse(400, "invalid_token", "Invalid Value")
        number = self._account(grant.email).unique_id
        left = int((grant.expires or 0.0) - self._identity.now())
        return json_answer(
            {
                "azp": number,
                "aud": number,
                "scope": " ".join(grant.scopes),
                "exp": str(int(time.time()) + left),
                "expires_in": str(left),
                "email": grant.email,
                "email_verified": "true",
                "access_type": "online",
            }
        )

    def _userinfo(self, request: HttpRequest) -> HttpResponse:
        header = request.headers.get("authorization")
        if header is None and "access_token" in request.query:
            header = f"Bearer {request.query['access_token']}"
        try:
            account = self._account(self._identity.authenticate(header))
        except ApiError as error:
            return _refuse(error.code, "invalid_request", "Invalid Credentials")
        name = "id" if request.path.startswith(("/oauth2/v1/", "/oauth2/v2/")) else "sub"
        verified = "verified_email" if name == "id" else "email_verified"
        return json_answer({name: account.unique_id, "email": account.email, verified: True})

    def _account(self, email: str) -> Account:
        return self._identity.account(email) or Account(email, unique_id(email))

    def _jwks(self, _: HttpRequest) -> HttpResponse:
        keys = [jwt.jwk(public) for public in self._identity.public_keys().values()]
        return json_answer({"keys": keys}, headers=_CACHED)

    def _certificates(self, _: HttpRequest) -> HttpResponse:
        return json_answer(self._identity.certificates(self._identity.public_keys()), headers=_CACHED)

    def _account_keys(self, kind: str, email: str) -> HttpResponse:
        keys = self._identity.account_keys(email)
        if keys is None:
            return _refuse(404, "not_found", f"There is no service account {email}.")
        if kind == "x509":
            return json_answer(self._identity.certificates(keys))
        if kind == "raw":
            return json_answer({kid: public.decode() for kid, public in keys.items()})
        return json_answer({"keys": [jwt.jwk(public) for public in keys.values()]})

    def _configuration(self, _: HttpRequest) -> HttpResponse:
        return json_answer(
            {
                "issuer": ISSUER,
                "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
                "token_endpoint": TOKEN_URI,
                "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
                "revocation_endpoint": "https://oauth2.googleapis.com/revoke",
                "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
                "response_types_supported": ["token", "id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid", "email", "profile"],
                "claims_supported": ["aud", "email", "email_verified", "exp", "iat", "iss", "sub"],
                "grant_types_supported": ["refresh_token", _JWT_BEARER],
            }
        )


_CACHED = {"Cache-Control": "public, max-age=3600, must-revalidate, no-transform"}


def _refuse(status: int, error: str, description: str) -> HttpResponse:
    return json_answer({"error": error, "error_description": description}, status)


def _invalid_grant(error: BadTokenError) -> HttpResponse:
    """Refuse an assertion in Google's words: those for a signature, for the times, and for the rest."""
    reason = str(error)
    if "signed by" in reason:
        return _refuse(400, "invalid_grant", "Invalid JWT Signature.")
    if "expired" in reason or "hour" in reason:
        return _refuse(
            400,
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
            "Check your iat and exp values in the JWT claim.",
        )
    return _refuse(400, "invalid_grant", f"Invalid JWT: {reason}.")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
