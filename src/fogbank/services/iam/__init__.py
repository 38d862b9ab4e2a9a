"""Identity and Access Management (``iam.googleapis.com``): service accounts, their keys, and roles."""

from collections.abc import Mapping
from dataclasses import replace

from fogbank.services.access import iam_methods
from fogbank.services.contract import NO_PERMISSION, List, Method, Read, Service, Write
from fogbank.services.iam import accounts, keys, lint, roles
from fogbank.services.iam.keys import MakeKey, NewKey

__all__ = ["SERVICE", "NewKey", "with_keys"]

_ACCOUNTS: Mapping[str, Method] = {
    "create": Write(accounts.create, "iam.serviceAccounts.create"),
    "get": Read(accounts.get, "iam.serviceAccounts.get"),
    "list": List(accounts.list_, "accounts", permission="iam.serviceAccounts.list"),
    "patch": Write(accounts.patch, "iam.serviceAccounts.update"),
    "update": Write(accounts.update, "iam.serviceAccounts.update"),
    "delete": Write(accounts.delete, "iam.serviceAccounts.delete"),
    "disable": Write(accounts.disable, "iam.serviceAccounts.disable"),
    "enable": Write(accounts.enable, "iam.serviceAccounts.enable"),
    "keys.get": Read(keys.get, "iam.serviceAccountKeys.get"),
    "keys.list": Read(keys.list_, "iam.serviceAccountKeys.list"),
    "keys.delete": Write(keys.delete, "iam.serviceAccountKeys.delete"),
    **iam_methods("", accounts.guarded, "iam.serviceAccounts"),
}
_ROLES: Mapping[str, Method] = {
    "create": Write(roles.create, "iam.roles.create"),
    "get": Read(roles.get, "iam.roles.get"),
    "list": List(roles.list_, "roles", permission="iam.roles.list"),
    "patch": Write(roles.patch, "iam.roles.update"),
    "delete": Write(roles.delete, "iam.roles.delete"),
    "undelete": Write(roles.undelete, "iam.roles.undelete"),
}

SERVICE = Service(
    name="iam",
    title="Identity and Access Management (IAM) API",
    versions=("v1",),
    errors="both",
    methods={
        **{f"projects.serviceAccounts.{name}": method for name, method in _ACCOUNTS.items()},
        **{f"projects.roles.{name}": method for name, method in _ROLES.items()},
        "roles.get": Read(roles.get_predefined, NO_PERMISSION),
        "roles.list": List(roles.list_predefined, "roles", permission=NO_PERMISSION),
        "iamPolicies.lintPolicy": Read(lint.lint_policy, NO_PERMISSION),
        "permissions.queryTestablePermissions": Read(roles.testable, NO_PERMISSION),
    },
    permissions=("iam.serviceAccounts.actAs",),
)
"""Everything but the creation of keys, which takes chance: see :func:`with_keys`."""


def with_keys(make_key: MakeKey) -> Service:
    """Return the service with ``keys.create``, which makes keys with ``make_key``."""
    create = {"projects.serviceAccounts.keys.create": keys.creator(make_key)}
    return replace(SERVICE, methods={**SERVICE.methods, **create})
