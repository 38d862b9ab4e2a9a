"""Response policies: answers about single names that come before any zone, for some VPC networks.

A network has one at most (behaviour/cloud-dns.md#policies). Its rules are in ``response_rules``.
"""

from collections.abc import Iterable

from fogbank.errors import not_built
from fogbank.resources.dns_policies import RESPONSE_POLICIES, response_policy, rules_of
from fogbank.resources.listings import listing
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Delete, Json, Put, Resource, World
from fogbank.services.contract import Call, Decision
from fogbank.services.dns.networks import read_networks
from fogbank.services.dns.refusals import bad, exists, invalid, missing
from fogbank.services.dns.server_policies import NAME
from fogbank.services.labels import check_labels


def get(world: World, call: Call) -> Json:
    """Show a response policy."""
    return find(world, call).body


def list_(world: World, call: Call) -> Iterable[Json]:
    """List a project's response policies."""
    under = f"projects/{call['project']}/responsePolicies/"
    return listing(world, RESPONSE_POLICIES, under, lambda each: each.body)


def create(world: World, call: Call) -> Decision:
    """Make a response policy."""
    identifier = str(call.body.get("responsePolicyName") or "")
    if not NAME.fullmatch(identifier):
        raise invalid("entity.responsePolicy.responsePolicyName", identifier)
    name = ResourceName(RESPONSE_POLICIES, f"projects/{call['project']}/responsePolicies/{identifier}")
    if world.find(name) is not None:
        raise exists("entity.responsePolicy", identifier)
    made = _made(world, call, Resource(name, call.new_id(), call.now, {}), call.body)
    return Decision((Put(made),), answer=made.body)


def patch(world: World, call: Call) -> Decision:
    """Change what the body names."""
    found = find(world, call)
    return _changed(world, call, found, found.body | call.body)


def update(world: World, call: Call) -> Decision:
    """Replace the response policy by the body."""
    return _changed(world, call, find(world, call), call.body)


def delete(world: World, call: Call) -> Decision:
    """Delete a response policy that no network is bound to and that has no rules."""
    found = find(world, call)
    held = "networks" if found.private.get("networks") else ""
    held = held or ("rules" if next(iter(rules_of(world, found.name)), None) else "")
    if held:
        raise bad(
            f"The resource named '{found.name.id}' cannot be deleted because it is used by one or more "
            f"'{held}'.",
            "resourceInUse",
        )
    return Decision((Delete(found.name),), answer={})


def find(world: World, call: Call) -> Resource:
    """Find the response policy that the path names; Google's 404 otherwise."""
    wanted = call["responsePolicy"]
    found = world.find(
        ResourceName(RESPONSE_POLICIES, f"projects/{call['project']}/responsePolicies/{wanted}")
    )
    if found is None:
        raise missing("responsePolicy", wanted)
    return found


def _changed(world: World, call: Call, found: Resource, given: Json) -> Decision:
    if given.get("responsePolicyName", found.name.id) != found.name.id:
        raise invalid("entity.responsePolicy.responsePolicyName", given["responsePolicyName"])
    made = _made(world, call, found, given)
    return Decision((Put(made),), answer={"responsePolicy": made.body})


def _made(world: World, call: Call, before: Resource, given: Json) -> Resource:
    if given.get("gkeClusters"):
        raise not_built("dns.responsePolicies that clusters see")
    field = "entity.responsePolicy.networks"
    bound = read_networks(world, call, given.get("networks") or (), field, "bindDNSResponsePolicy")
    for network in bound:
        other = response_policy(world, network)
        if other is not None and other.name != before.name:
            raise bad(
                f"The network '{network.self_link}' cannot be bound to this response policy because it is "
                f"already bound to response policy '{other.name.id}'.",
                "networkAlreadyBound",
            )
    body: Json = {
        "kind": "dns#responsePolicy",
        "id": str(before.id),
        "responsePolicyName": before.name.id,
        "description": given.get("description") or "",
        "networks": [{"kind": "dns#responsePolicyNetwork", "networkUrl": each.self_link} for each in bound],
    }
    if given.get("labels"):
        check_labels(given["labels"])
        body["labels"] = given["labels"]
    return Resource(before.name, before.id, before.created, body, {"networks": [each.path for each in bound]})
