"""Identity and Access Management (``iam.googleapis.com``): service accounts, their keys, and roles."""

from collections.abc import Mapping
from dataclasses import replace

from fogbank.services.access import iam_methods
from fogbank.services.contract import List, Method, Read, Service, Write
from fogbank.services.iam import accounts, keys, roles
from fogbank.services.iam.keys import MakeKey, NewKey

__all__ = ["SERVICE", "NewKey", "with_keys"]

_ACCOUNTS: Mapping[str, Method] = {
    "create": Write(accounts.create),
    "get": Read(accounts.get),
    "list": List(accounts.list_, "accounts"),
    "patch": Write(accounts.patch),
    "update": Write(accounts.update),
    "delete": Write(accounts.delete),
    "disable": Write(accounts.disable),
    "enable": Write(accounts.enable),
    "keys.get": Read(keys.get),
    "keys.list": Read(keys.list_),
    "keys.delete": Write(keys.delete),
    **iam_methods("", accounts.guarded),
}
_ROLES: Mapping[str, Method] = {
    "create": Write(roles.create),
    "get": Read(roles.get),
    "list": List(roles.list_, "roles"),
    "patch": Write(roles.patch),
    "delete": Write(roles.delete),
    "undelete": Write(roles.undelete),
}

SERVICE = Service(
    name="iam",
    methods={
        **{f"projects.serviceAccounts.{name}": method for name, method in _ACCOUNTS.items()},
        **{f"projects.roles.{name}": method for name, method in _ROLES.items()},
        "roles.get": Read(roles.get_predefined),
        "roles.list": List(roles.list_predefined, "roles"),
        "permissions.queryTestablePermissions": Read(roles.testable),
    },
)
"""Everything but the creation of keys, which takes chance: see :func:`with_keys`."""


def with_keys(make_key: MakeKey) -> Service:
    """Return the service with ``keys.create``, which makes keys with ``make_key``."""
    create = {"projects.serviceAccounts.keys.create": keys.creator(make_key)}
    return replace(SERVICE, methods={**SERVICE.methods, **create})
