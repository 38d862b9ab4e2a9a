"""Rules of a response policy: what one name, or all below a wildcard, is answered with.

A rule has records of its own, or lets its names pass as if there were no policy
(behaviour/cloud-dns.md#policies).
"""

from collections.abc import Iterable, Sequence

from fogbank.resources.dns_policies import RESPONSE_RULES, rules_of
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Delete, Json, Put, Resource, World
from fogbank.services.contract import Call, Decision
from fogbank.services.dns.records import read_name, read_record_set
from fogbank.services.dns.refusals import bad, exists, invalid, missing
from fogbank.services.dns.response_policies import find as find_policy
from fogbank.services.dns.server_policies import NAME

_BYPASS = "bypassResponsePolicy"
_DATA = "entity.responsePolicyRule.localData.localDatas"


def get(world: World, call: Call) -> Json:
    """Show a rule."""
    return _find(world, call).body


def list_(world: World, call: Call) -> Iterable[Json]:
    """List the rules of a policy."""
    return [each.body for each in rules_of(world, find_policy(world, call).name)]


def create(world: World, call: Call) -> Decision:
    """Make a rule; no two rules of a policy are about one name."""
    policy = find_policy(world, call)
    identifier = str(call.body.get("ruleName") or "")
    if not NAME.fullmatch(identifier):
        raise invalid("entity.responsePolicyRule.ruleName", identifier)
    name = ResourceName(RESPONSE_RULES, f"{policy.name.path}/rules/{identifier}")
    if world.find(name) is not None:
        raise exists("entity.responsePolicyRule", identifier)
    made = Resource(name, call.new_id(), call.now, _read(world, policy, name, call.body))
    return Decision((Put(made),), answer=made.body)


def patch(world: World, call: Call) -> Decision:
    """Change what the body names; records replace a bypass and the other way round."""
    found, given = _find(world, call), call.body
    before = dict(found.body)
    if given.get("localData"):
        before.pop("behavior", None)
    if given.get("behavior") == _BYPASS:
        before.pop("localData", None)
    return _changed(world, call, found, before | given)


def update(world: World, call: Call) -> Decision:
    """Replace the rule by the body."""
    return _changed(world, call, _find(world, call), call.body)


def delete(world: World, call: Call) -> Decision:
    """Delete a rule."""
    return Decision((Delete(_find(world, call).name),), answer={})


def _find(world: World, call: Call) -> Resource:
    wanted = call["responsePolicyRule"]
    found = world.find(ResourceName(RESPONSE_RULES, f"{find_policy(world, call).name.path}/rules/{wanted}"))
    if found is None:
        raise missing("responsePolicyRule", wanted)
    return found


def _changed(world: World, call: Call, found: Resource, given: Json) -> Decision:
    if given.get("ruleName", found.name.id) != found.name.id:
        raise invalid("entity.responsePolicyRule.ruleName", given["ruleName"])
    body = _read(world, find_policy(world, call), found.name, given)
    changed = Resource(found.name, found.id, found.created, body, found.private)
    return Decision((Put(changed),), answer={"responsePolicyRule": body})


def _read(world: World, policy: Resource, name: ResourceName, given: Json) -> Json:
    wanted = read_name(given.get("dnsName"), "entity.responsePolicyRule.dnsName")
    for rule in rules_of(world, policy.name):
        if rule.body["dnsName"] == wanted and rule.name != name:
            raise exists("entity.responsePolicyRule.dnsName", wanted)
    body: Json = {"kind": "dns#responsePolicyRule", "ruleName": name.id, "dnsName": wanted}
    data: Sequence[Json] = (given.get("localData") or {}).get("localDatas") or ()
    behavior = given.get("behavior") or "behaviorUnspecified"
    if bool(data) == (behavior == _BYPASS):
        message = "A response policy rule has either 'localData' or the behavior 'bypassResponsePolicy'."
        raise bad(message, "invalid")
    if not data:
        return body | {"behavior": behavior}
    return body | {"localData": {"localDatas": _records(data, wanted)}}


def _records(data: Sequence[Json], wanted: str) -> list[Json]:
    found = [
        read_record_set({**each, "name": each.get("name") or wanted}, f"{_DATA}[{place}]", wanted)
        for place, each in enumerate(data)
    ]
    kinds = [each["type"] for each in found]
    for place, each in enumerate(found):
        if each["name"] != wanted:
            raise invalid(f"{_DATA}[{place}].name", each["name"])
    if len(set(kinds)) < len(kinds) or ("CNAME" in kinds and len(kinds) > 1):
        raise bad(
            f"Invalid value for '{_DATA}': the types {', '.join(kinds)} exclude one another.", "invalid"
        )
    return found
