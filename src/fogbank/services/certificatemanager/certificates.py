"""Certificates: managed ones, which the region's authority issues, and those that somebody brings.

A managed one is PROVISIONING until control of all its domains is shown: by the CNAME of a DNS authorization,
or without one by an address record that leads to a load balancer which has the certificate. The controller
looks, and what follows is decided here (:func:`attempted`, :func:`issued`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fogbank.errors import not_built
from fogbank.resources import load_balancing
from fogbank.resources.indexes import Index
from fogbank.resources.load_balancing import DNS_AUTHORIZATIONS, MAP_ENTRIES
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Change, Json, Put, Resource, World
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
    referred,
    stamped,
)
from fogbank.services.collections import Field, Outcome, bad_request
from fogbank.services.contract import Call

PROVISIONING, ACTIVE = "PROVISIONING", "ACTIVE"
_SCOPES = ("DEFAULT", "EDGE_CACHE", "ALL_REGIONS", "CLIENT_AUTH")
_HOST = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_MOST_DOMAINS = 100


def _scope(_world: World, _call: Call, value: Any) -> Any:
    if value not in _SCOPES:
        raise bad_request(f"Invalid scope '{value}'.", "scope")
    if value != "DEFAULT":
        raise not_built(f"certificatemanager.certificates with scope={value}")
    return value


def _managed(world: World, call: Call, value: Any) -> Json:
    if value.get("issuanceConfig"):
        raise not_built("certificatemanager.certificates with managed.issuanceConfig")
    domains = [str(each).lower() for each in value.get("domains") or ()]
    if not domains:
        raise bad_request("At least one domain is required.", "managed.domains")
    if len(domains) > _MOST_DOMAINS:
        raise bad_request(f"At most {_MOST_DOMAINS} domains are allowed.", "managed.domains")
    for each in domains:
        if not _HOST.fullmatch(each):
            raise bad_request(f"The domain '{each}' is invalid.", "managed.domains")
    names = [
        referred(world, call, "managed.dns_authorizations", each, DNS_AUTHORIZATIONS)
        for each in value.get("dnsAuthorizations") or ()
    ]
    covered = {world.get(each).body["domain"] for each in names}
    for each in domains:
        if names and each.removeprefix("*.") not in covered:
            why = f"No DNS authorization of the certificate is for the domain '{each}'."
            raise bad_request(why, "managed.dns_authorizations")
        if not names and each.startswith("*."):
            raise bad_request(f"The wildcard domain '{each}' needs a DNS authorization.", "managed.domains")
    found: Json = {"domains": domains}
    return found | ({"dnsAuthorizations": [each.path for each in names]} if names else {})


def _self_managed(_world: World, _call: Call, value: Any) -> Json:
    for key in ("pemCertificate", "pemPrivateKey"):
        if not value.get(key):
            raise bad_request(f"{key} is required.", f"self_managed.{key}")
    return {key: str(value[key]) for key in ("pemCertificate", "pemPrivateKey")}


def _created(world: World, call: Call, resource: Resource) -> Outcome:
    if resource.name.region != GLOBAL:
        raise not_built("certificatemanager.certificates outside of the location global")
    body = dict(resource.body)
    own, managed = body.pop("selfManaged", None), body.get("managed")
    if bool(own) == bool(managed):
        raise bad_request("Exactly one of managed and selfManaged must be set.", "type")
    if managed:
        attempts = [{"domain": each, "state": "AUTHORIZING"} for each in managed["domains"]]
        body["managed"] = {**managed, "state": PROVISIONING, "authorizationAttemptInfo": attempts}
        body["sanDnsnames"] = managed["domains"]
        return created(world, call, replace(resource, body=body))
    body["selfManaged"] = {}
    made = _with_pair(replace(resource, body=body), *_read(own))
    return created(world, call, made)


def _updated(_world: World, call: Call, before: Resource, after: Resource, fields: frozenset[str]) -> Outcome:
    if "selfManaged" in fields:
        if "managed" in before.body:
            raise bad_request("A managed certificate cannot become a self-managed one.", "self_managed")
        own = after.body["selfManaged"]
        after = _with_pair(after.with_body(selfManaged={}), *_read(own))
    return Outcome(stamped(call, after, new=False), done=True)


def _read(own: Json) -> tuple[str, str, x509.Certificate]:
    """Read a chain and its key, which must belong together."""
    try:
        leaf = x509.load_pem_x509_certificates(own["pemCertificate"].encode())[0]
    except ValueError:
        raise bad_request("The certificate could not be parsed.", "self_managed.pem_certificate") from None
    try:
        key = load_pem_private_key(own["pemPrivateKey"].encode(), None)
    except (ValueError, TypeError):
        raise bad_request("The private key could not be parsed.", "self_managed.pem_private_key") from None
    if key.public_key() != leaf.public_key():
        why = "The private key does not belong to the certificate."
        raise bad_request(why, "self_managed.pem_private_key")
    return own["pemCertificate"], own["pemPrivateKey"], leaf


def _with_pair(resource: Resource, certificate: str, key: str, leaf: x509.Certificate) -> Resource:
    end = leaf.not_valid_after_utc.isoformat(timespec="seconds").replace("+00:00", "Z")
    shown = resource.with_body(pemCertificate=certificate, sanDnsnames=_names(leaf), expireTime=end)
    return replace(shown, private={**resource.private, "certificate": certificate, "key": key})


def _names(leaf: x509.Certificate) -> list[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(found.value.get_values_for_type(x509.DNSName))


def attempted(
    world: World, name: ResourceName, failures: Mapping[str, str], now: datetime
) -> Iterable[Change]:
    """Note what a look at the domains of a certificate has found: why each is not authorized, or nothing."""
    found = world.find(name)
    if found is None or found.body.get("managed", {}).get("state") != PROVISIONING:
        return ()
    managed = found.body["managed"]
    moment = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    infos = []
    for domain in managed["domains"]:
        info: Json = {"domain": domain, "state": "AUTHORIZED", "attemptTime": moment}
        if failures.get(domain):
            info |= {"state": "FAILED", "failureReason": "CONFIG", "details": failures[domain]}
        infos.append(info)
    before = [{**each, "attemptTime": moment} for each in managed["authorizationAttemptInfo"]]
    if before == infos:
        return ()
    issue = {
        "provisioningIssue": {"reason": "AUTHORIZATION_ISSUE", "details": "See authorizationAttemptInfo."}
    }
    changed = {key: value for key, value in managed.items() if key != "provisioningIssue"}
    changed |= {"authorizationAttemptInfo": infos, **(issue if failures else {})}
    return (Put(found.with_body(managed=changed)),)


def issued(world: World, name: ResourceName, pem: bytes, now: datetime) -> Iterable[Change]:
    """Make a certificate ACTIVE with the key and the chain that the authority issued."""
    found = world.find(name)
    if found is None or "managed" not in found.body:
        return ()
    text = pem.decode()
    key, marker, chain = text.partition("-----BEGIN CERTIFICATE-----")
    leaf = x509.load_pem_x509_certificate((marker + chain).encode())
    managed = {key: each for key, each in found.body["managed"].items() if key != "provisioningIssue"}
    moment = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    infos = [{"domain": each, "state": "AUTHORIZED", "attemptTime": moment} for each in managed["domains"]]
    managed |= {"state": ACTIVE, "authorizationAttemptInfo": infos}
    return (Put(_with_pair(found.with_body(managed=managed), marker + chain, key, leaf)),)


def _references(entry: Resource) -> list[str]:
    found: list[str] = entry.body.get("certificates", [])
    return found


_BY_CERTIFICATE: Index[Resource] = Index(MAP_ENTRIES, _references)


def entries_with(world: World, certificate: ResourceName) -> Iterator[Resource]:
    """List the map entries that have a certificate."""
    return world.by(_BY_CERTIFICATE, certificate.path)


def _users(world: World, certificate: Resource) -> Iterator[ResourceName]:
    return (each.name for each in entries_with(world, certificate.name))


def _show(world: World, certificate: Resource) -> Json:
    users = [
        {"name": f"//certificatemanager.googleapis.com/{each.name.path}"}
        for each in entries_with(world, certificate.name)
    ]
    return certificate.body | ({"usedBy": users} if users else {})


CERTIFICATES = Done(
    name=load_balancing.CERTIFICATES,
    noun="certificate",
    id_parameter="certificateId",
    id_pattern=ID_PATTERN,
    message=message("Certificate"),
    interface=INTERFACE,
    metadata=METADATA,
    fields={
        **COMMON,
        "scope": Field(immutable=True, default="DEFAULT", check=_scope),
        "managed": Field(immutable=True, check=_managed),
        "selfManaged": Field(check=_self_managed),
        "sanDnsnames": Field(output=True),
        "pemCertificate": Field(output=True),
        "expireTime": Field(output=True),
        "usedBy": Field(output=True),
    },
    locations=LOCATIONS,
    created=_created,
    updated=_updated,
    users=_users,
    show=_show,
    missing=missing("Certificate"),
    permissions="certs",
)
