"""Accounts: who can have tokens, and the credential files that clients read.

The operator's account is the region's own, made with it, and owns the projects that nobody gave away; other
service accounts are resources that somebody created. Users need no record: whoever can read the region's
secret can have credentials for any address.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fogbank.frontend.iam.jwt import KeyPair, new_key_pair
from fogbank.resources.authorization import Access
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import (
    ACCOUNT_KEYS,
    OPERATOR_ID,
    account_policy_name,
    find_account,
    keys_of_account,
    service_account_name,
)
from fogbank.resources.world import Json, Resource, World
from fogbank.services.iam import NewKey

TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 (an address)
GCLOUD_CLIENT = "32555940559.apps.googleusercontent.com"
"""gcloud's client id: the audience of its ID tokens when the user names none.

See behaviour/clients.md#credentials.
"""


@dataclass(frozen=True, slots=True)
class Account:
    """One account; ``unique_id`` is the number that tokens carry as ``sub``."""

    email: str
    unique_id: str
    project: str | None = None
    disabled: bool = False


class Directory(Protocol):
    """The service accounts and their keys, as the World has them."""

    def account(self, reference: str) -> Account | None:
        """Find a service account by its address or its unique id."""
        ...

    def public_keys(self, email: str) -> Mapping[str, bytes]:
        """Return the public halves (PEM) of the keys that were created for an account, by key id."""
        ...

    def has_key(self, account: Account, key: str) -> bool:
        """Return whether a key that was created for an account is still there."""
        ...

    def allows(self, principal: str, permission: str, email: str) -> bool:
        """Return whether ``principal`` has a permission on the service account ``email``."""
        ...

    def invokes(self, principal: str | None, permission: str, guarded: ResourceName) -> bool:
        """Return whether ``principal`` has a permission on what the policy ``guarded`` stands beside."""
        ...


class WorldDirectory:
    """A directory that reads the newest World; ``access`` decides about permissions."""

    def __init__(self, world: Callable[[], World], access: Access) -> None:
        self._world, self._access = world, access

    def account(self, reference: str) -> Account | None:
        found = find_account(self._world(), reference)
        if found is None:
            return None
        body = found.body
        return Account(body["email"], body["uniqueId"], found.name.project, bool(body.get("disabled")))

    def has_key(self, account: Account, key: str) -> bool:
        path = f"projects/{account.project}/serviceAccounts/{account.email}/keys/{key}"
        return self._world().find(ResourceName(ACCOUNT_KEYS, path)) is not None

    def public_keys(self, email: str) -> Mapping[str, bytes]:
        return {
            resource.name.id: base64.b64decode(resource.body["publicKeyData"])
            for resource in keys_of_account(self._world(), email)
        }

    def allows(self, principal: str, permission: str, email: str) -> bool:
        account = self.account(email)
        if account is None or account.project is None:
            return False
        name = account_policy_name(service_account_name(account.project, email))
        return self._access.allows(self._world(), principal, permission, account.project, name)

    def invokes(self, principal: str | None, permission: str, guarded: ResourceName) -> bool:
        return self._access.allows(self._world(), principal, permission, guarded.project, guarded)


def operator_account(project: str) -> str:
    """Return the address of the region's own service account."""
    return f"{OPERATOR_ID}@{project}.iam.gserviceaccount.com"


def key_document(key: KeyPair, account: Account) -> Json:
    """Make the key file of a service account, as clients read it."""
    address = account.email.replace("@", "%40")
    return {
        "type": "service_account",
        "project_id": account.project,
        "private_key_id": key.kid,
        "private_key": key.private.decode(),
        "client_email": account.email,
        "client_id": account.unique_id,
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": TOKEN_URI,
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
        "client_x509_cert_url": f"https://www.googleapis.com/robot/v1/metadata/x509/{address}",
        "universe_domain": "googleapis.com",
    }


def make_key(account: Resource) -> NewKey:
    """Make a key for a service account: the function that `services.iam` lacks, because it takes chance."""
    from fogbank.frontend.pki import certificates

    pair, body = new_key_pair(), account.body
    owner = Account(body["email"], body["uniqueId"], account.name.project)
    certificate = certificates.wrap(pair.public, pair.kid, pair.private)
    return NewKey(pair.kid, pair.public, certificate, render(key_document(pair, owner)))


def user_document(email: str, refresh_token: str) -> Json:
    """Make the credential file of a user, as ``gcloud auth application-default login`` writes it."""
    return {
        "type": "authorized_user",
        "account": email,
        "client_id": GCLOUD_CLIENT,
        "client_secret": "not-a-secret",
        "refresh_token": refresh_token,
        "universe_domain": "googleapis.com",
    }


def render(document: Json) -> bytes:
    """Write a credential file."""
    return json.dumps(document, indent=2).encode() + b"\n"
