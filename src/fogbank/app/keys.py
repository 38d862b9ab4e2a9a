"""Keys for service accounts, which IAM gives away and the accounts' hosts believe."""

from fogbank.frontend.accounts import Account, key_document, render
from fogbank.frontend.jwt import new_key_pair
from fogbank.resources.world import Resource
from fogbank.services.iam import NewKey


def new_key(account: Resource) -> NewKey:
    """Make a key for ``account``, with the credential file that clients read."""
    key = new_key_pair()
    holder = Account(account.body["email"], account.body["uniqueId"], account.name.project)
    return NewKey(key.kid, key.public, render(key_document(key, holder)))
