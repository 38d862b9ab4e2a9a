"""Global forwarding rules: an address and ports of the internet, and the target proxy that gets them."""

from ipaddress import AddressValueError, IPv4Address
from typing import Any

from fogbank.errors import invalid_value, not_built, not_found, required_field
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.load_balancing import forwarding_rules_at, port_range
from fogbank.resources.names import ResourceName, parse_compute_reference
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute import address_choice
from fogbank.services.compute.bodies import bad_request, check_labels
from fogbank.services.compute.decisions import relabelled
from fogbank.services.compute.load_balancing.collection import Kind
from fogbank.services.compute.load_balancing.references import find_part
from fogbank.services.compute.names import named, project_of
from fogbank.services.contract import Call, Decision, Method, Write

PROXIES = ("targetHttpProxies", "targetHttpsProxies", "targetSslProxies", "targetTcpProxies")
_SCHEMES = ("EXTERNAL", "EXTERNAL_MANAGED")


def _complete(world: World, call: Call, name: ResourceName, body: Json) -> Json:
    scheme = body.get("loadBalancingScheme") or "EXTERNAL"
    if scheme not in _SCHEMES:
        raise not_built(f"global compute.forwardingRules with loadBalancingScheme={scheme}")
    if body.get("networkTier") == "STANDARD":
        raise invalid_value("resource.networkTier", "STANDARD", "A global forwarding rule is PREMIUM.")
    if body.get("ipVersion", "IPV4") != "IPV4":
        raise not_built(f"compute.forwardingRules with ipVersion={body['ipVersion']}")
    if body.get("IPProtocol", "TCP") != "TCP":
        raise invalid_value("resource.IPProtocol", body["IPProtocol"], "A target proxy needs TCP.")
    target = _target(world, call, body)
    _check_scheme(world, target, scheme)
    ports = _ports(body)
    address = _address(world, call, name, body)
    for other in forwarding_rules_at(world, address):
        if other.name != name and _overlap(port_range(other.body), ports):
            raise invalid_value(
                "resource.IPAddress", str(address),
                f"Specified IP address is in-use and would result in a conflict with {other.name.path}.",
            )  # fmt: skip
    labels = body.get("labels", {})
    check_labels(labels)
    fields: Json = {
        "description": body.get("description", ""),
        "IPAddress": str(address),
        "IPProtocol": "TCP",
        "portRange": f"{ports[0]}-{ports[1]}",
        "target": target.name.self_link,
        "loadBalancingScheme": scheme,
        "networkTier": "PREMIUM",
        "labelFingerprint": fingerprint(labels),
    }
    return fields | ({"labels": labels} if labels else {})


def _target(world: World, call: Call, body: Json) -> Resource:
    reference = str(body.get("target") or "")
    if not reference:
        raise required_field("resource.target")
    kind = next((each for each in PROXIES if f"{each}/" in reference), None)
    if kind is None:
        raise not_built(f"global compute.forwardingRules with target={reference}")
    return find_part(world, call, "resource.target", reference, kind)


def _check_scheme(world: World, target: Resource, scheme: str) -> None:
    """Refuse a rule whose backend services are of the other scheme."""
    for service in _services(world, target):
        if service.body["loadBalancingScheme"] != scheme:
            raise invalid_value(
                "resource.loadBalancingScheme", scheme,
                f"The load balancing scheme of {service.name.path} is {service.body['loadBalancingScheme']}.",
            )  # fmt: skip


def _services(world: World, target: Resource) -> list[Resource]:
    holder: Any = target.body
    if "urlMap" in holder:
        holder = world.get(parse_compute_reference(holder["urlMap"], "urlMaps", "", "global")).body
    found = []
    for link in _links(holder):
        service = world.find(parse_compute_reference(link, "backendServices", "", "global"))
        if service is not None:
            found.append(service)
    return found


def _links(value: Any) -> set[str]:
    match value:
        case str() if "/backendServices/" in value:
            return {value}
        case dict():
            return {link for each in value.values() for link in _links(each)}
        case list():
            return {link for each in value for link in _links(each)}
        case _:
            return set()


def _ports(body: Json) -> tuple[int, int]:
    text = str(body.get("portRange") or "")
    if body.get("ports"):
        if len(body["ports"]) > 1:
            raise invalid_value("resource.ports", body["ports"], "A target proxy has one port.")
        text = str(body["ports"][0])
    if not text:
        raise required_field("resource.portRange")
    first, _, last = text.partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        raise invalid_value("resource.portRange", text, "Must be a port or a range of ports.")
    found = int(first), int(last or first)
    if not 1 <= found[0] <= found[1] <= 65535:
        raise invalid_value("resource.portRange", text, "Must be between 1 and 65535.")
    if found[0] != found[1]:
        raise invalid_value("resource.portRange", text, "A target proxy has one port.")
    return found


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _address(world: World, call: Call, name: ResourceName, body: Json) -> IPv4Address:
    """Return the address that is asked for: a reserved one by name or number, or one of its own."""
    asked = str(body.get("IPAddress") or "")
    kept = world.find(name)
    if not asked:
        return IPv4Address(kept.body["IPAddress"]) if kept else address_choice.external(world)
    try:
        number = IPv4Address(asked)
    except AddressValueError:
        return _reserved(world, call, asked)
    if kept is not None and kept.body["IPAddress"] == asked:
        return number
    project = project_of(world, call)
    for each in world.all("compute.globalAddresses", f"projects/{project}/global/"):
        if each.body["address"] == asked and each.body["addressType"] == "EXTERNAL":
            return number
    if any(each.name.project == project for each in forwarding_rules_at(world, number)):
        return number
    raise invalid_value(
        "resource.IPAddress",
        asked,
        "Specified IP address is not reserved in the project as a global address.",
    )


def _reserved(world: World, call: Call, reference: str) -> IPv4Address:
    try:
        name = parse_compute_reference(reference, "addresses", project_of(world, call), "global")
    except ValueError:
        raise invalid_value(
            "resource.IPAddress", reference, "Must be an address or the URL of one."
        ) from None
    if name.region:
        raise invalid_value(
            "resource.IPAddress", reference, "A global forwarding rule needs a global address."
        )
    found = world.find(ResourceName("compute.globalAddresses", name.path))
    if found is None:
        raise not_found(name.path)
    if found.body["addressType"] != "EXTERNAL":
        raise bad_request(f"Invalid value for field 'resource.IPAddress': '{reference}'. It is not external.")
    return IPv4Address(found.body["address"])


def _set_labels(world: World, call: Call) -> Decision:
    return relabelled(call, world.get(named(world, call, "forwardingRules", call["resource"])))


KIND = Kind(
    "forwardingRules",
    "forwardingRule",
    "forwarding_rule",
    frozenset({
        "name", "description", "IPAddress", "IPProtocol", "portRange", "ports", "target",
        "loadBalancingScheme", "networkTier", "ipVersion", "labels",
    }),
    _complete,
    methods_global="globalForwardingRules",
    changes=("patch",),
    aggregated=False,
    immediate=False,
    untested=frozenset({"globalForwardingRules"}),
    outputs=frozenset({"labelFingerprint", "pscConnectionStatus"}),
)  # fmt: skip
_MAY = "compute.globalForwardingRules"
METHODS: dict[str, Method] = {
    **KIND.methods(),
    "globalForwardingRules.setLabels": Write(_set_labels, f"{_MAY}.setLabels"),
    "globalForwardingRules.setTarget": Write(
        KIND.setter("setTarget", {"target": "target"}), f"{_MAY}.setTarget"
    ),
}
