"""Server policies: for all names of some VPC networks, other name servers and query logs.

A network has one at most. Inbound forwarding and DNS64 are not built (behaviour/cloud-dns.md#policies).
"""

import re
from collections.abc import Iterable

from fogbank.errors import not_built
from fogbank.resources.dns_policies import SERVER_POLICIES, server_policy
from fogbank.resources.listings import listing
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Delete, Json, Put, Resource, World
from fogbank.services.contract import Call, Decision
from fogbank.services.dns.networks import read_networks, read_targets
from fogbank.services.dns.refusals import bad, exists, invalid, missing

NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_TARGETS = "dns#policyAlternativeNameServerConfig"


def get(world: World, call: Call) -> Json:
    """Show a policy."""
    return _find(world, call).body


def list_(world: World, call: Call) -> Iterable[Json]:
    """List a project's policies."""
    return listing(world, SERVER_POLICIES, f"projects/{call['project']}/policies/", lambda each: each.body)


def create(world: World, call: Call) -> Decision:
    """Make a policy."""
    identifier = str(call.body.get("name") or "")
    if not NAME.fullmatch(identifier):
        raise invalid("entity.policy.name", identifier)
    name = ResourceName(SERVER_POLICIES, f"projects/{call['project']}/policies/{identifier}")
    if world.find(name) is not None:
        raise exists("entity.policy", identifier)
    number = call.new_id()
    made = _made(world, call, Resource(name, number, call.now, {}), call.body)
    return Decision((Put(made),), answer=made.body)


def patch(world: World, call: Call) -> Decision:
    """Change what the body names."""
    found = _find(world, call)
    return _changed(world, call, found, found.body | call.body)


def update(world: World, call: Call) -> Decision:
    """Replace the policy by the body."""
    return _changed(world, call, _find(world, call), call.body)


def delete(world: World, call: Call) -> Decision:
    """Delete a policy that no network is bound to."""
    found = _find(world, call)
    if found.private.get("networks"):
        raise bad(
            f"The resource named '{found.name.id}' cannot be deleted because it is used by one or more "
            "'networks'.",
            "resourceInUse",
        )
    return Decision((Delete(found.name),), answer={})


def _find(world: World, call: Call) -> Resource:
    wanted = call["policy"]
    under = f"projects/{call['project']}/policies/"
    found = world.find(ResourceName(SERVER_POLICIES, f"{under}{wanted}"))
    if found is None and wanted.isdecimal():
        found = next((each for each in world.all(SERVER_POLICIES, under) if str(each.id) == wanted), None)
    if found is None:
        raise missing("policy", wanted)
    return found


def _changed(world: World, call: Call, found: Resource, given: Json) -> Decision:
    if given.get("name", found.name.id) != found.name.id:
        raise invalid("entity.policy.name", given["name"])
    made = _made(world, call, found, given)
    return Decision((Put(made),), answer={"policy": made.body})


def _made(world: World, call: Call, before: Resource, given: Json) -> Resource:
    if given.get("enableInboundForwarding"):
        raise not_built("dns.policies with enableInboundForwarding")
    if ((given.get("dns64Config") or {}).get("scope") or {}).get("allQueries"):
        raise not_built("dns.policies with dns64Config")
    bound = read_networks(
        world, call, given.get("networks") or (), "entity.policy.networks", "bindPrivateDNSPolicy"
    )
    for network in bound:
        other = server_policy(world, network)
        if other is not None and other.name != before.name:
            raise bad(
                f"The network '{network.self_link}' cannot be bound to this policy because it is already "
                f"bound to policy '{other.name.id}'.",
                "networkAlreadyBound",
            )
    field = "entity.policy.alternativeNameServerConfig"
    targets = read_targets(given.get("alternativeNameServerConfig"), field, _TARGETS)
    body: Json = {
        "kind": "dns#policy",
        "id": str(before.id),
        "name": before.name.id,
        "description": given.get("description") or "",
        "enableInboundForwarding": False,
        "enableLogging": bool(given.get("enableLogging")),
        "networks": [{"kind": "dns#policyNetwork", "networkUrl": each.self_link} for each in bound],
        **({"alternativeNameServerConfig": targets} if targets else {}),
    }
    return Resource(before.name, before.id, before.created, body, {"networks": [each.path for each in bound]})
