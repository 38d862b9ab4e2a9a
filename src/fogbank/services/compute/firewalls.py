"""Firewall rules: what may enter and leave the endpoints of a network (behaviour/vpc.md#firewall-rules).

A rule either allows or denies. Rules that a connector made for itself are marked in private: they live and
die with it, and nobody changes them.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_network

from fogbank.errors import invalid_value, not_built, required_field
from fogbank.resources.compute import PORT_PROTOCOLS, read_traffic
from fogbank.resources.names import ResourceName
from fogbank.resources.vpcaccess import AUTOMATIC, CONNECTORS
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.bodies import (
    bad_request,
    inputs,
    merged,
    number,
    one_of,
    refuse_unbuilt,
    unchanged,
)
from fogbank.services.compute.decisions import deleted, in_use, put
from fogbank.services.compute.factories import check_free, made, replaced
from fogbank.services.compute.handlers import permission_tester, readers
from fogbank.services.compute.names import check_name, named, new_identifier
from fogbank.services.compute.references import find_referred, same_reference
from fogbank.services.contract import Call, Decision, Method, Write

ANYWHERE = "0.0.0.0/0"
_RANGES = ("sourceRanges", "destinationRanges")
_SOURCES = ("sourceRanges", "sourceTags", "sourceServiceAccounts")
_TAGS = ("sourceTags", "targetTags")
_ACCOUNTS = ("sourceServiceAccounts", "targetServiceAccounts")
_LISTS = (*_RANGES, *_TAGS, *_ACCOUNTS)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def insert(world: World, call: Call) -> Decision:
    """Make a firewall rule."""
    body = inputs(call.body)
    name = named(world, call, "firewalls", new_identifier(body))
    check_free(world, name)
    return put(call, "insert", made(call, name, complete(_with_network(world, call, body))))


def _with_network(world: World, call: Call, body: Json) -> Json:
    reference = body.get("network") or "global/networks/default"
    network = find_referred(world, "resource.network", reference, "networks", call)
    return body | {"network": network.name.self_link}


def complete(body: Json) -> Json:
    """Check a rule and fill in Google's defaults; ``network`` is already a full reference."""
    refuse_unbuilt("firewalls", body, {"params": ()})
    rule: Json = {"description": body["description"]} if body.get("description") else {}
    rule |= {
        "network": body["network"],
        "priority": _priority(body),
        "direction": body.get("direction") or "INGRESS",
        "disabled": bool(body.get("disabled", False)),
    }
    one_of("resource.direction", rule["direction"], ("INGRESS", "EGRESS"))
    rule |= _traffic(body)
    rule |= {field: list(body[field]) for field in _LISTS if body.get(field)}
    _check_ends(rule)
    if rule["direction"] == "EGRESS":
        rule.setdefault("destinationRanges", [ANYWHERE])
    elif not any(field in rule for field in _SOURCES):
        rule["sourceRanges"] = [ANYWHERE]
    if "logConfig" in body:
        rule["logConfig"] = _logging(body["logConfig"])
    return rule


def _priority(body: Json) -> int:
    priority = number(body.get("priority", 1000))
    if not 0 <= priority <= 65535:
        raise invalid_value("resource.priority", priority, "Must be between 0 and 65535.")
    return priority


def _traffic(body: Json) -> Json:
    """Check ``allowed`` or ``denied``, of which there is exactly one."""
    given = [field for field in ("allowed", "denied") if body.get(field)]
    if not given:
        raise required_field("resource.allowed")
    if len(given) == 2:
        raise bad_request("Firewall rules cannot contain both allowed and denied.")
    field = given[0]
    entries: list[Json] = []
    for index, entry in enumerate(body[field]):
        where = f"resource.{field}[{index}]"
        if not entry.get("IPProtocol"):
            raise required_field(f"{where}.IPProtocol")
        entries.append(check_traffic(where, "IPProtocol", entry))
    return {field: entries}


def check_traffic(where: str, field: str, entry: Json) -> Json:
    """Check a protocol, which stands in ``field``, and its ports; gives them as a firewall rule has them."""
    protocol = str(entry[field]).lower()
    ports = [str(each) for each in entry.get("ports") or ()]
    try:
        found = read_traffic({"IPProtocol": protocol})
    except ValueError:
        found = None
    if found is None or not 0 <= (found.protocol or 0) <= 255:
        raise invalid_value(f"{where}.{field}", protocol, "Must be a protocol's name, its number or 'all'.")
    if ports and found.protocol not in PORT_PROTOCOLS:
        raise invalid_value(f"{where}.ports[0]", ports[0], "Ports may only go with tcp, udp and sctp.")
    for index, port in enumerate(ports):
        try:
            read_traffic({"IPProtocol": protocol, "ports": [port]})
        except ValueError:
            raise invalid_value(
                f"{where}.ports[{index}]", port, "Must be a port such as 22 or a range such as 1000-2000."
            ) from None
    return {"IPProtocol": protocol} | ({"ports": ports} if ports else {})


def _check_ends(rule: Json) -> None:
    """Check who may be named at either end of a rule, and how."""
    for field in _RANGES:
        for index, text in enumerate(rule.get(field, ())):
            _check_range(f"resource.{field}[{index}]", text)
    for field in _TAGS:
        for index, tag in enumerate(rule.get(field, ())):
            check_name(f"resource.{field}[{index}]", tag)
    for field in _ACCOUNTS:
        for index, account in enumerate(rule.get(field, ())):
            if not _EMAIL.fullmatch(account):
                raise invalid_value(f"resource.{field}[{index}]", account, "Must be a service account.")
    tags, accounts = ([f for f in group if f in rule] for group in (_TAGS, _ACCOUNTS))
    if tags and accounts:
        raise bad_request(f"Firewall rules cannot contain both {tags[0]} and {accounts[0]}.")
    if rule["direction"] == "EGRESS":
        # Source ranges it may have: they narrow it to packets from those addresses.
        for field in ("sourceTags", "sourceServiceAccounts"):
            if field in rule:
                raise invalid_value(
                    f"resource.{field}", rule[field], "An EGRESS rule has no source tags or service accounts."
                )


def _check_range(field: str, text: object) -> None:
    try:
        found = ip_network(str(text))
    except ValueError:
        raise invalid_value(field, text, "Must be a CIDR range with network address.") from None
    if found.version != 4:
        raise not_built(f"compute.firewalls with IPv6 ranges ({text})")


def _logging(config: Mapping[str, object]) -> Json:
    enabled = bool(config.get("enable", False))
    wanted: Json = {"enable": enabled}
    if enabled:
        wanted["metadata"] = config.get("metadata") or "INCLUDE_ALL_METADATA"
        choices = ("INCLUDE_ALL_METADATA", "EXCLUDE_ALL_METADATA")
        one_of("resource.logConfig.metadata", wanted["metadata"], choices)
    return wanted


def patch(world: World, call: Call) -> Decision:
    """Change the fields of a rule that the body gives; an empty list clears one."""
    rule = _found(world, call)
    if user := _user_of(rule):
        return in_use(call, "compute.firewalls.patch", rule, "firewall", user)
    whole = merged(rule.body, call.body)
    return _changed(world, call, "compute.firewalls.patch", rule, whole)


def update(world: World, call: Call) -> Decision:
    """Replace a rule."""
    rule = _found(world, call)
    if user := _user_of(rule):
        return in_use(call, "update", rule, "firewall", user)
    body = {"network": rule.body["network"], "direction": rule.body["direction"]} | inputs(call.body)
    return _changed(world, call, "update", rule, body)


def _found(world: World, call: Call) -> Resource:
    return world.get(named(world, call, "firewalls", call["firewall"]))


def _user_of(rule: Resource) -> ResourceName | None:
    """Name the connector that made the rule for itself, so that nobody changes it."""
    connector = rule.private.get(AUTOMATIC)
    return ResourceName(CONNECTORS, connector) if connector else None


def _changed(world: World, call: Call, kind: str, rule: Resource, body: Json) -> Decision:
    given = inputs(call.body)
    unchanged(rule, given, ("name", "direction"))
    same_reference(world, rule, given, "network", "networks")
    if given.get("allowed"):
        body = {k: v for k, v in body.items() if k != "denied" or k in given}
    elif given.get("denied"):
        body = {k: v for k, v in body.items() if k != "allowed" or k in given}
    return put(call, kind, replaced(rule, complete(body | {"network": rule.body["network"]})))


def delete(world: World, call: Call) -> Decision:
    """Take a rule away."""
    rule = _found(world, call)
    user = _user_of(rule)
    return in_use(call, "delete", rule, "firewall", user) if user else deleted(call, rule)


METHODS: dict[str, Method] = {
    "firewalls.insert": Write(insert, "compute.firewalls.create"),
    **readers("firewalls", "firewall"),
    "firewalls.patch": Write(patch, "compute.firewalls.update"),
    "firewalls.update": Write(update, "compute.firewalls.update"),
    "firewalls.delete": Write(delete, "compute.firewalls.delete"),
    "firewalls.testIamPermissions": permission_tester("firewalls"),
}
