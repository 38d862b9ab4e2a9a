"""Regional forwarding rules of passthrough load balancers, external and internal.

A rule of an external one has a regional external address; one of an internal one an address of a subnetwork,
which it reserves for itself. Those of classic VPN gateways are in :mod:`fogbank.services.compute.vpn`.
"""

from ipaddress import AddressValueError, IPv4Address

from fogbank.errors import invalid_value, not_built, required_field
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.load_balancing import forwarding_rules_at
from fogbank.resources.names import ResourceName, parse_compute_reference
from fogbank.resources.passthrough import internal_rules_in
from fogbank.resources.vpn import GATEWAY_OF_RULE
from fogbank.resources.world import Json, World
from fogbank.services.compute import address_choice
from fogbank.services.compute.bodies import check_labels, one_of
from fogbank.services.compute.decisions import relabelled
from fogbank.services.compute.load_balancing.collection import Kind
from fogbank.services.compute.load_balancing.references import find_part
from fogbank.services.compute.names import named, project_of, region_of
from fogbank.services.compute.references import find_referred
from fogbank.services.compute.vpn import forwarding_rules as vpn
from fogbank.services.contract import Call, Decision, Method, Write

_SCHEMES = ("EXTERNAL", "INTERNAL")
_PROTOCOLS = ("TCP", "UDP", "L3_DEFAULT")
_MOST_PORTS = 5


def _complete(world: World, call: Call, name: ResourceName, body: Json) -> Json:
    scheme = body.get("loadBalancingScheme") or "EXTERNAL"
    if scheme not in _SCHEMES:
        raise not_built(f"regional compute.forwardingRules with loadBalancingScheme={scheme}")
    if body.get("target"):
        raise not_built(f"regional compute.forwardingRules with target={body['target']}")
    if body.get("ipVersion", "IPV4") != "IPV4":
        raise not_built(f"compute.forwardingRules with ipVersion={body['ipVersion']}")
    if body.get("networkTier", "PREMIUM") != "PREMIUM":
        raise not_built(f"compute.forwardingRules with networkTier={body['networkTier']}")
    if not body.get("backendService"):
        raise required_field("resource.backendService")
    service = find_part(world, call, "resource.backendService", body["backendService"], "backendServices")
    if service.body["loadBalancingScheme"] != scheme or service.name.region is None:
        why = "The backend service must be regional and have the scheme of the forwarding rule."
        raise invalid_value("resource.loadBalancingScheme", scheme, why)
    protocol = body.get("IPProtocol") or "TCP"
    one_of("resource.IPProtocol", protocol, _PROTOCOLS)
    if service.body["protocol"] not in {protocol, "UNSPECIFIED"}:
        why = f"The protocol of {service.name.path} is {service.body['protocol']}."
        raise invalid_value("resource.IPProtocol", protocol, why)
    labels = body.get("labels", {})
    check_labels(labels)
    fields: Json = {
        "description": body.get("description", ""),
        "IPProtocol": protocol,
        "loadBalancingScheme": scheme,
        "networkTier": "PREMIUM",
        "backendService": service.name.self_link,
        "labelFingerprint": fingerprint(labels),
        **_ports(body, scheme, protocol),
    }
    if scheme == "INTERNAL":
        fields |= _internal(world, call, name, body)
        fields["allowGlobalAccess"] = bool(body.get("allowGlobalAccess"))
    else:
        fields["IPAddress"] = str(_external(world, call, name, body))
    _check_apart(world, name, fields)
    return fields | ({"labels": labels} if labels else {})


def _ports(body: Json, scheme: str, protocol: str) -> Json:
    """Read the ports: up to five, all of them, or for an external rule a range."""
    given = [key for key in ("ports", "portRange", "allPorts") if body.get(key)]
    if len(given) != 1:
        raise invalid_value(
            "resource.ports", body.get("ports", ""), "Give just one of ports, portRange, allPorts."
        )
    if protocol == "L3_DEFAULT" and given != ["allPorts"]:
        raise invalid_value("resource.allPorts", "", "A rule for L3_DEFAULT has all ports.")
    if body.get("allPorts"):
        return {"allPorts": True}
    if body.get("ports"):
        ports = [str(each) for each in body["ports"]]
        if len(ports) > _MOST_PORTS or not all(each.isdigit() and 1 <= int(each) <= 65535 for each in ports):
            raise invalid_value("resource.ports", ports, f"At most {_MOST_PORTS} ports from 1 to 65535.")
        return {"ports": ports}
    first, _, last = str(body["portRange"]).partition("-")
    last = last or first
    if scheme != "EXTERNAL" or not (
        first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last) <= 65535
    ):
        raise invalid_value("resource.portRange", body["portRange"], "Must be a range from 1 to 65535.")
    return {"portRange": f"{first}-{last}"}


def _internal(world: World, call: Call, name: ResourceName, body: Json) -> Json:
    """Choose the address of an internal rule: a reserved one, a free one that is asked for, or the lowest."""
    reference = body.get("subnetwork") or "default"
    subnetwork = find_referred(world, "resource.subnetwork", reference, "subnetworks", call)
    if body.get("network"):
        network = find_referred(world, "resource.network", body["network"], "networks", call)
        if network.name.self_link != subnetwork.body["network"]:
            raise invalid_value("resource.subnetwork", reference, "It is not in the rule's network.")
    fields: Json = {"subnetwork": subnetwork.name.self_link, "network": subnetwork.body["network"]}
    asked, kept = str(body.get("IPAddress") or ""), world.find(name)
    if kept is not None and asked in {"", kept.body["IPAddress"]}:
        return fields | {"IPAddress": kept.body["IPAddress"]}
    reserved = _reserved(world, call, asked, "INTERNAL") if asked else None
    shared = (str(each) for each, _ in internal_rules_in(world, subnetwork.name))
    if reserved is not None:
        return fields | {"IPAddress": reserved}
    if asked and asked in shared:
        return fields | {"IPAddress": asked}
    return fields | {"IPAddress": str(address_choice.internal(world, subnetwork, asked or None))}


def _external(world: World, call: Call, name: ResourceName, body: Json) -> IPv4Address:
    asked, kept = str(body.get("IPAddress") or ""), world.find(name)
    if kept is not None and asked in {"", kept.body["IPAddress"]}:
        return IPv4Address(kept.body["IPAddress"])
    if not asked:
        return address_choice.external(world)
    reserved = _reserved(world, call, asked, "EXTERNAL")
    if reserved is not None:
        return IPv4Address(reserved)
    why = "Specified IP address is not reserved in the project and the region."
    raise invalid_value("resource.IPAddress", asked, why)


def _reserved(world: World, call: Call, asked: str, kind: str) -> str | None:
    """Return the address of a reservation that is asked for by name or by number; None when it is none."""
    project, region = project_of(world, call), region_of(call)
    try:
        IPv4Address(asked)
    except AddressValueError:
        try:
            name = parse_compute_reference(asked, "addresses", project, "regions", region)
        except ValueError:
            raise invalid_value(
                "resource.IPAddress", asked, "Must be an address or the URL of one."
            ) from None
        found = world.get(name)
        if found.body["addressType"] != kind or found.name.region != region:
            why = f"It must be {kind} and in {region}."
            raise invalid_value("resource.IPAddress", asked, why) from None
        return str(found.body["address"])
    under = f"projects/{project}/regions/{region}/addresses/"
    for each in world.all("compute.addresses", under):
        if each.body["address"] == asked and each.body["addressType"] == kind:
            return asked
    return None


def _check_apart(world: World, name: ResourceName, fields: Json) -> None:
    """Refuse a rule for packets that another one takes."""
    address = IPv4Address(fields["IPAddress"])
    others = list(forwarding_rules_at(world, address))
    if "subnetwork" in fields:
        subnetwork = parse_compute_reference(fields["subnetwork"], "subnetworks", "", "regions")
        others = [rule for each, rule in internal_rules_in(world, subnetwork) if each == address]
    for other in others:
        if other.name != name:
            raise invalid_value(
                "resource.IPAddress", str(address),
                f"Specified IP address is in-use and would result in a conflict with {other.name.path}.",
            )  # fmt: skip


def _set_labels(world: World, call: Call) -> Decision:
    return relabelled(call, world.get(named(world, call, "forwardingRules", call["resource"])))


KIND = Kind(
    "forwardingRules",
    "forwardingRule",
    "forwarding_rule",
    frozenset({
        "name", "description", "IPAddress", "IPProtocol", "portRange", "ports", "allPorts", "backendService",
        "loadBalancingScheme", "network", "subnetwork", "networkTier", "ipVersion", "labels",
        "allowGlobalAccess", "target",
    }),
    _complete,
    methods_regional="forwardingRules",
    changes=("patch",),
    immediate=False,
    untested=frozenset({"forwardingRules"}),
    outputs=frozenset({"labelFingerprint", "fingerprint", "pscConnectionStatus", "serviceName"}),
)  # fmt: skip


def _insert(world: World, call: Call) -> Decision:
    return (vpn.insert if vpn.is_vpn(call.body) else KIND.insert)(world, call)


def _delete(world: World, call: Call) -> Decision:
    return (vpn.delete if GATEWAY_OF_RULE in KIND.find(world, call).private else KIND.delete)(world, call)


def _patch(world: World, call: Call) -> Decision:
    if GATEWAY_OF_RULE in KIND.find(world, call).private:
        raise not_built("compute.forwardingRules.patch of a rule of a VPN gateway")
    return KIND.change("patch", world, call)


METHODS: dict[str, Method] = {
    **KIND.methods(),
    "forwardingRules.insert": Write(_insert, "compute.forwardingRules.create"),
    "forwardingRules.delete": Write(_delete, "compute.forwardingRules.delete"),
    "forwardingRules.patch": Write(_patch, "compute.forwardingRules.update"),
    "forwardingRules.setLabels": Write(_set_labels, "compute.forwardingRules.setLabels"),
}
