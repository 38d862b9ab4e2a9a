"""Google's predefined roles and their permissions, from a table made of what Google's IAM API lists.

The table (``tools/generate_roles.py`` writes it) has all roles by name, and the permissions of the APIs that
are built or may be. It is read when it is first asked, in some milliseconds, and not before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "tables" / "roles.tsv"


UNLISTED = frozenset({"roles/serviceextensions.serviceAgent"})
"""Roles of Google's service agents that policies have and that IAM does not list (recorded)."""


@dataclass(frozen=True, slots=True)
class RoleTitle:
    """How Google shows a role: its stage (``GA``, ``BETA`` …) and its title."""

    stage: str
    title: str


@dataclass(frozen=True, slots=True)
class _Table:
    titles: Mapping[str, RoleTitle]
    names: tuple[str, ...]
    holders: Mapping[str, str]
    """By permission the numbers of the roles that have it, as text."""


@cache
def _table() -> _Table:
    roles, _, groups = TABLE.read_text(encoding="utf-8").partition("\n\n")
    titles = {}
    for line in roles.split("\n"):
        name, stage, title = line.split("\t")
        titles[name] = RoleTitle(stage, title)
    holders = {}
    for line in groups.splitlines():
        permissions, _, numbers = line.partition("\t")
        holders.update(dict.fromkeys(permissions.split(" "), numbers))
    return _Table(titles, tuple(titles), holders)


def role_titles() -> Mapping[str, RoleTitle]:
    """Return every predefined role (``roles/run.admin``), in order."""
    return _table().titles


def may_be_bound(role: str) -> bool:
    """Return whether a policy may bind a role of Google's (behaviour/iam.md#roles)."""
    return role in role_titles() or role in UNLISTED


@cache
def roles_with(permission: str) -> frozenset[str]:
    """Return the predefined roles that have ``permission``; none for one that the table does not know."""
    table = _table()
    return frozenset(table.names[int(number)] for number in table.holders.get(permission, "").split())


def known_permissions() -> tuple[str, ...]:
    """Return all permissions of the table, in order."""
    return tuple(sorted(_table().holders))


@cache
def _covered() -> frozenset[str]:
    return frozenset(permission.partition(".")[0] for permission in _table().holders)


def is_permission(permission: str) -> bool:
    """Return whether a custom role may have ``permission``; of APIs outside the table every one passes."""
    prefix = permission.partition(".")[0]
    return permission in _table().holders or (permission.count(".") >= 2 and prefix not in _covered())
