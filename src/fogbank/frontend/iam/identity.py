"""Identity: who is calling, proved by tokens that this region issued.

One object holds the region's secrets and answers three questions: whose is this Authorization header, what
token shall this account have, and is this ID token ours. The path that every API call takes is
:meth:`Identity.authenticate`, which remembers headers it has already verified.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fogbank.errors import ApiError, OperatorError
from fogbank.frontend.iam import jwt
from fogbank.frontend.iam.accounts import (
    Account,
    Directory,
    key_document,
    operator_account,
    render,
    user_document,
)
from fogbank.frontend.iam.jwt import BadTokenError, Claims, KeyPair
from fogbank.frontend.iam.tokens import ACCESS_PREFIX, LIFETIME_SECONDS, Tokens
from fogbank.frontend.pki.secret_files import private_folder, read_private, write_private
from fogbank.resources.policies import is_service_account
from fogbank.resources.projects import unique_id
from fogbank.resources.world import Json

ISSUER = "https://accounts.google.com"
SKEW_SECONDS = 300.0
"""How far ahead a client's clock may be."""

_REMEMBERED = 4096
_LONGEST_REMEMBERED = 4096
_HELP = "See https://developers.google.com/identity/sign-in/web/devconsole-project."
_WANTED = "OAuth 2 access token, login cookie or other valid authentication credential."


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """Whose a token is, for as long as it is valid.

    ``expires`` in seconds of the epoch; ``account`` is the unique id of a service account, empty for a user
    and where the token does not say; ``key`` the id of the created key that signed it, empty for none.
    """

    email: str
    expires: float
    account: str = ""
    key: str = ""


class Secrets:
    """The region's keys: for ID tokens, for the operator's account, for its own tokens.

    The key for ID tokens is made when it is first needed (or :meth:`Identity.warm` is called), because making
    one takes as long as all the rest of a first start.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._signing: KeyPair | None = None
        self.operator = _load_key(folder / "account.key")
        self.sealing = _load_secret(folder / "token.secret")

    @property
    def revoked(self) -> Path:
        """Where the marks of revoked tokens are."""
        return self._folder / "revoked"

    @property
    def signing(self) -> KeyPair:
        """The key of ID tokens."""
        with self._lock:
            if self._signing is None:
                self._signing = _load_key(self._folder / "identity.key")
            return self._signing

    def system_key(self, email: str) -> KeyPair:
        """Load the key that the region itself signs with for one account; made on first use.

        Each account has its own: what is signed for one must not be accepted for another.
        """
        return _load_key(self._system_key_file(email))

    def has_system_key(self, email: str) -> bool:
        """Return whether the region ever signed something for this account."""
        return self._system_key_file(email).exists()

    def _system_key_file(self, email: str) -> Path:
        return self._folder / f"system-{unique_id(email)}.key"


class Identity:
    """Issues and verifies tokens.

    ``now`` gives the seconds of the epoch by the clock that clients have: time that the region skipped is
    not time to them.
    """

    def __init__(self, keys: Secrets, project: str, directory: Directory, now: Callable[[], float]) -> None:
        self._keys, self.directory, self.now = keys, directory, now
        self.tokens = Tokens(keys.sealing, keys.revoked, now)
        email = operator_account(project)
        self.operator = Account(email, unique_id(email), project)
        self._verified: dict[str, VerifiedToken] = {}

    def warm(self) -> None:
        """Make what first requests would wait for; blocks some 100 ms, so call it in a thread when ready."""
        jwt.sign(self._keys.signing, {})

    def authenticate(self, authorization: str | None) -> str:
        """Return whose ``Authorization`` header this is; Google's 401 if absent, foreign or expired."""
        if not authorization:
            raise missing_credentials()
        known = self._verified.get(authorization)
        if known is None or known.expires <= self.now():
            known = self._verify(authorization)
        if not self._is_active(known):
            raise inactive_account()
        return known.email

    def _verify(self, authorization: str) -> VerifiedToken:
        try:
            made = self._bearer(authorization)
        except BadTokenError as error:
            raise invalid_credentials() from error
        if len(self._verified) >= _REMEMBERED:
            self._verified.clear()
        if len(authorization) <= _LONGEST_REMEMBERED:
            self._verified[authorization] = made
        return made

    def _is_active(self, token: VerifiedToken) -> bool:
        """Return whether the account of a verified token is there and enabled, and the key that signed it."""
        if token.email == self.operator.email or not is_service_account(token.email):
            return True
        account = self.directory.account(token.email)
        if account is None or account.disabled or token.account not in {"", account.unique_id}:
            return False
        return not token.key or self.directory.has_key(account, token.key)

    def access_token(
        self, email: str, scopes: Iterable[str] = (), lifetime: int = LIFETIME_SECONDS, refresh: str = ""
    ) -> str:
        """Issue an access token for an account; ``refresh`` is the user's refresh token that asked for it."""
        account = self.account(email)
        number = account.unique_id if account is not None else ""
        return self.tokens.issue_access(email, scopes, lifetime, account=number, refresh=refresh)

    def id_token(self, account: Account, audience: str, *, include_email: bool = True) -> str:
        """Issue an ID token, which names ``account`` to ``audience`` for an hour."""
        now = int(self.now())
        claims: Claims = {
            "aud": audience,
            "azp": account.unique_id,
            "exp": now + LIFETIME_SECONDS,
            "iat": now,
            "iss": ISSUER,
            "sub": account.unique_id,
        }
        if include_email:
            claims |= {"email": account.email, "email_verified": True}
        return jwt.sign(self._keys.signing, claims)

    def verify_id_token(self, token: str) -> Claims:
        """Return the claims of an ID token of ours; BadTokenError when it is foreign or expired."""
        parsed = jwt.parse(token)
        if parsed.kid != self._keys.signing.kid:
            raise BadTokenError("signed by an unknown key")
        claims = jwt.verify(parsed, self._keys.signing.public)
        if claims.get("iss") != ISSUER:
            raise BadTokenError("not an ID token")
        if jwt.seconds_of(claims, "exp") <= self.now():
            raise BadTokenError("expired")
        return claims

    def verify_assertion(self, token: str) -> Claims:
        """Return the claims of a token that a service account signed; BadTokenError when they are no good."""
        parsed = jwt.parse(token)
        issuer = str(parsed.claims.get("iss", ""))
        claims = jwt.verify(parsed, self._public_key(issuer, parsed.kid))
        now, issued, expires = self.now(), *(jwt.seconds_of(claims, c) for c in ("iat", "exp"))
        if not issued - SKEW_SECONDS <= now < expires:
            raise BadTokenError("expired, or not valid yet")
        if expires - issued > LIFETIME_SECONDS + SKEW_SECONDS:
            raise BadTokenError("valid for more than an hour")
        return claims

    def account(self, reference: str) -> Account | None:
        """Find a service account by address or unique id: the operator's, or one of the World's."""
        if reference in {self.operator.email, self.operator.unique_id}:
            return self.operator
        return self.directory.account(reference)

    def principal(self, claims: Claims) -> str | None:
        """Return the address of whom an ID token names; it may have only the number of a service account.

        None for a service account that is gone or disabled.
        """
        number = str(claims.get("sub", ""))
        account = self.account(number)
        if account is not None and not account.disabled:
            return account.email
        email = str(claims.get("email", ""))
        return email if account is None and email and not is_service_account(email) else None

    def public_keys(self) -> Mapping[str, bytes]:
        """Return the keys that ID tokens are verified with: PEM by key id."""
        return {self._keys.signing.kid: self._keys.signing.public}

    def account_keys(self, email: str) -> Mapping[str, bytes] | None:
        """Return the keys that an account's tokens are verified with, PEM by key id; None for no account."""
        account = self.account(email)
        if account is None:
            return None
        pairs = [self._keys.operator] if email == self.operator.email else []
        if self._keys.has_system_key(email):
            pairs.append(self._keys.system_key(email))
        return {**self.directory.public_keys(email), **{pair.kid: pair.public for pair in pairs}}

    def certificates(self, keys: Mapping[str, bytes]) -> Mapping[str, str]:
        """Wrap public keys in certificates, which is how some clients want them."""
        from fogbank.frontend.pki import certificates

        return {
            kid: certificates.wrap(public, kid, self._keys.signing.private).decode()
            for kid, public in keys.items()
        }

    def system_key(self, email: str) -> KeyPair:
        """Return the key that the region itself signs with for one account."""
        return self._keys.system_key(email)

    def operator_document(self) -> Json:
        """Make the operator's key file."""
        return key_document(self._keys.operator, self.operator)

    def user_document(self, email: str) -> Json:
        """Make a user's credential file."""
        return user_document(email, self.tokens.issue_refresh(email))

    def revoke(self, token: str) -> None:
        """Forget a token; BadTokenError when it is none of ours."""
        self.tokens.revoke(token)
        self._verified.clear()

    def _bearer(self, authorization: str) -> VerifiedToken:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise BadTokenError("not a bearer token")
        token = token.strip()
        if token.startswith(ACCESS_PREFIX):
            grant = self.tokens.read_access(token)
            return VerifiedToken(grant.email, grant.expires or 0.0, grant.account)
        return self._self_signed(token)

    def _self_signed(self, token: str) -> VerifiedToken:
        """Accept what client libraries send without asking for a token first.

        See behaviour/clients.md#credentials.
        """
        claims = self.verify_assertion(token)
        email = str(claims["iss"])
        if claims.get("sub", email) != email:
            raise BadTokenError("issuer and subject differ")
        if "scope" not in claims and not _host(str(claims.get("aud", ""))).endswith(".googleapis.com"):
            raise BadTokenError("meant for somebody else")
        account, key = self.account(email), jwt.parse(token).kid
        created = account is not None and self.directory.has_key(account, key)
        number = account.unique_id if account is not None else ""
        return VerifiedToken(email, jwt.seconds_of(claims, "exp"), number, key if created else "")

    def _public_key(self, email: str, kid: str) -> bytes:
        account = self.account(email)
        if account is not None and account.disabled:
            raise BadTokenError("the account is disabled")
        key = (self.account_keys(email) or {}).get(kid)
        if key is None:
            raise BadTokenError("signed by a key that this region does not know")
        return key


def _host(audience: str) -> str:
    try:
        return urlsplit(audience).hostname or ""
    except ValueError:
        return ""


def open_identity(
    folder: Path,
    credentials: Path,
    project: str,
    directory: Directory,
    now: Callable[[], float] = time.time,
) -> Identity:
    """Load the secrets from ``folder``, made now where missing, and write the operator's key file."""
    private_folder(folder)
    identity = Identity(Secrets(folder), project, directory, now)
    document = render(identity.operator_document())
    if read_private(credentials) != document:
        write_private(credentials, document)
    return identity


def _load_secret(path: Path) -> bytes:
    content = read_private(path)
    if content is None:
        content = secrets.token_bytes(32)
        write_private(path, content)
    return content


def _load_key(path: Path) -> KeyPair:
    content = read_private(path)
    if content is not None:
        try:
            return jwt.parse_key_pair(content)
        except BadTokenError as error:
            raise OperatorError(
                f"{path} is damaged: {error}. Delete it and start the region again."
            ) from error
    key = jwt.new_key_pair()
    write_private(path, key.render())
    return key


def missing_credentials() -> ApiError:
    """Refuse a call without credentials (behaviour/api.md#errors)."""
    return ApiError(
        401,
        f"Request is missing required authentication credential. Expected {_WANTED} {_HELP}",
        "UNAUTHENTICATED",
        "required",
        (_error_info("CREDENTIALS_MISSING"),),
    )


def invalid_credentials() -> ApiError:
    """Refuse credentials that are not ours or no longer good (behaviour/api.md#errors)."""
    return ApiError(
        401,
        f"Request had invalid authentication credentials. Expected {_WANTED} {_HELP}",
        "UNAUTHENTICATED",
        "authError",
        (_error_info("ACCESS_TOKEN_TYPE_UNSUPPORTED"),),
    )


def inactive_account() -> ApiError:
    """Refuse a token of an account that was disabled or deleted, or signed with a key that was."""
    refused = invalid_credentials()
    refused.details = (_error_info("ACCOUNT_STATE_INVALID"),)
    return refused


def _error_info(reason: str) -> Mapping[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
