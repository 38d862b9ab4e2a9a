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
from fogbank.resources.names import ResourceName
from fogbank.resources.policies import allows, member_of, policy_of
from fogbank.resources.projects import (
    ACCOUNT_POLICIES,
    compute_account,
    find_account,
    keys_of_account,
    policy_name,
    project_of_compute_account,
    unique_id,
)
from fogbank.resources.world import Json, Resource, World
from fogbank.services.iam import NewKey

TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 (an address)
GCLOUD_CLIENT = "32555940559.apps.googleusercontent.com"
"""gcloud's client id: the audience of its ID tokens when the user names none (CLIENTS 1)."""


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

    def allows(self, principal: str, permission: str, email: str) -> bool:
        """Return whether ``principal`` has a permission on the service account ``email``."""
        ...


class WorldDirectory:
    """A directory that reads the newest World; ``operator`` owns the projects whose policy nobody set."""

    def __init__(self, world: Callable[[], World], operator: str) -> None:
        self._world, self._operator = world, operator

    def account(self, reference: str) -> Account | None:
        world = self._world()
        found = find_account(world, reference)
        if found is not None:
            body = found.body
            disabled = bool(body.get("disabled"))
            return Account(body["email"], body["uniqueId"], found.name.project, disabled)
        project = project_of_compute_account(world, reference)
        if project is None:
            return None
        email = compute_account(str(project.body["projectNumber"]))
        return Account(email, unique_id(email), project.name.id)

    def public_keys(self, email: str) -> Mapping[str, bytes]:
        return {
            resource.name.id: base64.b64decode(resource.body["publicKeyData"])
            for resource in keys_of_account(self._world(), email)
        }

    def allows(self, principal: str, permission: str, email: str) -> bool:
        account = self.account(email)
        if account is None or account.project is None:
            return False
        world = self._world()
        own = ResourceName(ACCOUNT_POLICIES, f"projects/{account.project}/serviceAccounts/{email}")
        found = world.find(own)
        policies = (found.body if found else None, project_policy(world, account.project, self._operator))
        return allows(policies, permission, principal)


def project_policy(world: World, project: str, operator: str) -> Json:
    """Return a project's policy; as long as nobody set one, the operator owns the project."""
    found = world.find(policy_name(project))
    return found.body if found else policy_of({"roles/owner": [member_of(operator)]}, 0)


def operator_account(project: str) -> str:
    """Return the address of the region's own service account."""
    return f"fogbank@{project}.iam.gserviceaccount.com"


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
