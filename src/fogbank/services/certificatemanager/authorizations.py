"""DNS authorizations: who controls a domain shows it by a CNAME that only they can make."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from fogbank.errors import not_built
from fogbank.resources.indexes import Index
from fogbank.resources.load_balancing import CERTIFICATES, DNS_AUTHORIZATIONS
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource, World
from fogbank.services.certificatemanager.shared import (
    COMMON,
    GLOBAL,
    ID_PATTERN,
    INTERFACE,
    LOCATIONS,
    METADATA,
    Done,
    created,
    message,
    missing,
    updated,
)
from fogbank.services.collections import Field, Outcome, bad_request
from fogbank.services.contract import Call

_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_TYPES = ("FIXED_RECORD", "PER_PROJECT_RECORD")


def _domain(_world: World, _call: Call, value: Any) -> str:
    text = str(value).lower()
    if not _DOMAIN.fullmatch(text) or len(text) > 253:
        raise bad_request(
            f"The domain '{value}' is invalid: a name without a wildcard is expected.", "domain"
        )
    return text


def _type(_world: World, _call: Call, value: Any) -> Any:
    if value not in _TYPES:
        raise bad_request(f"Invalid type '{value}'.", "type")
    if value == "PER_PROJECT_RECORD":
        raise not_built("certificatemanager.dnsAuthorizations with type=PER_PROJECT_RECORD")
    return value


def _created(world: World, call: Call, resource: Resource) -> Outcome:
    """Choose the record that shows control: a name that nobody can guess, the same for ever."""
    if resource.name.region != GLOBAL:
        raise not_built("certificatemanager.dnsAuthorizations outside of the location global")
    digest = hashlib.sha256(f"{resource.id} {resource.name.path}".encode()).hexdigest()
    unique = "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
    record = {
        "name": f"_acme-challenge.{resource.body['domain']}.",
        "type": "CNAME",
        "data": f"{unique}.{resource.id % 20}.authorize.certificatemanager.goog.",
    }
    return created(world, call, resource.with_body(dnsResourceRecord=record))


def _references(certificate: Resource) -> list[str]:
    found: list[str] = certificate.body.get("managed", {}).get("dnsAuthorizations", [])
    return found


_BY_AUTHORIZATION: Index[Resource] = Index(CERTIFICATES, _references)


def _users(world: World, authorization: Resource) -> Iterator[ResourceName]:
    return (each.name for each in world.by(_BY_AUTHORIZATION, authorization.name.path))


AUTHORIZATIONS = Done(
    name=DNS_AUTHORIZATIONS,
    noun="dnsAuthorization",
    id_parameter="dnsAuthorizationId",
    id_pattern=ID_PATTERN,
    message=message("DnsAuthorization"),
    interface=INTERFACE,
    metadata=METADATA,
    fields={
        **COMMON,
        "domain": Field(required=True, immutable=True, check=_domain),
        "type": Field(immutable=True, default="FIXED_RECORD", check=_type),
        "dnsResourceRecord": Field(output=True),
    },
    locations=LOCATIONS,
    created=_created,
    updated=updated,
    users=_users,
    missing=missing("DnsAuthorization"),
    permissions="dnsauthorizations",
)
