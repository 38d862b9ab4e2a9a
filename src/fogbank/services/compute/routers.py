"""Cloud Routers: the NAT gateways that hang from them, and BGP over VPN tunnels.

A change gives the whole list of gateways. A gateway with automatic addresses takes one when it appears and
gives it back when it goes: the router remembers in private which.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fogbank.errors import ApiError, invalid_value, required_field
from fogbank.resources.compute import AUTO_NAT_ADDRESSES, GROWN_NAT_PORTS, Router
from fogbank.resources.names import ResourceName
from fogbank.resources.vpn import tunnels_of
from fogbank.resources.world import Change, Delete, Json, Put, Resource, World
from fogbank.services.compute import nat_addresses, nats
from fogbank.services.compute.bodies import inputs, merged, number, refuse_unbuilt, unchanged
from fogbank.services.compute.decisions import committed, deleted, in_use
from fogbank.services.compute.factories import check_free, made, replaced
from fogbank.services.compute.handlers import readers
from fogbank.services.compute.names import check_name, named, new_identifier
from fogbank.services.compute.references import find_referred, same_reference
from fogbank.services.compute.vpn import router_bgp
from fogbank.services.contract import Call, Decision, Method, Read, Write

_OUTPUTS = ("region",)
_UNBUILT: dict[str, tuple[object, ...]] = {
    "encryptedInterconnectRouter": (),
    "nccGateway": (),
    "params": (),
}
_KEEPALIVE = 20
_KEY = re.compile(r"[ -~]{0,80}")
_KEY_RULE = "Must have at most 80 printable ASCII characters."
_PRIVATE_ASNS = (range(64512, 65535), range(4_200_000_000, 4_294_967_295), range(16550, 16551))
"""RFC 6996's, and the one of Google's Partner Interconnect."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A router as it would become, and the addresses that come and go with it."""

    router: Resource
    changes: tuple[Change, ...]

    @property
    def quiet(self) -> bool:
        """Whether it has no gateway, so that the network has nothing to do for it."""
        return not self.router.body.get("nats")


def insert(world: World, call: Call) -> Decision:
    """Make a router."""
    body = inputs(call.body, _OUTPUTS)
    name = named(world, call, "routers", new_identifier(body))
    if not body.get("network"):
        raise required_field("resource.network")
    network = find_referred(world, "resource.network", body["network"], "networks", call)
    check_free(world, name)
    fields = _settings(world, call, name, body) | {"network": network.name.self_link}
    keys = body.get("md5AuthenticationKeys", ())
    router = made(call, name, fields, router_bgp.kept({}, fields, keys))
    draft = _draft(world, call, router, body.get("nats") or [], ())
    return committed(call, "insert", draft.router, (*draft.changes, Put(draft.router)), done=draft.quiet)


def _settings(world: World, call: Call, router: ResourceName, body: Json) -> Json:
    """Check everything but the gateways."""
    refuse_unbuilt("routers", body, _UNBUILT)
    settings: Json = {"encryptedInterconnectRouter": False}
    if body.get("description"):
        settings["description"] = body["description"]
    if body.get("bgp"):
        settings["bgp"] = _bgp(body["bgp"])
    if keys := body.get("md5AuthenticationKeys"):
        # The keys themselves are never shown.
        settings["md5AuthenticationKeys"] = [_key_name(index, each) for index, each in enumerate(keys)]
    if body.get("interfaces"):
        settings["interfaces"] = router_bgp.interfaces(world, call, router, body["interfaces"])
    if body.get("bgpPeers"):
        settings["bgpPeers"] = router_bgp.peers(settings, body["bgpPeers"])
    return settings


def _key_name(index: int, key: Json) -> Json:
    field = f"resource.md5AuthenticationKeys[{index}]"
    check_name(f"{field}.name", key.get("name"))
    value = key.get("key", "")
    # It becomes a line of bgpd's configuration, which a control character would end.
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise ApiError(
            400, f"Invalid value for field '{field}.key': {_KEY_RULE}", "INVALID_ARGUMENT", "invalid"
        )
    return {"name": key["name"]}


def _bgp(config: Json) -> Json:
    bgp = {"advertiseMode": router_bgp.ADVERTISE_MODES[0], "keepaliveInterval": _KEEPALIVE} | config
    if "asn" in bgp and not any(number(bgp["asn"]) in each for each in _PRIVATE_ASNS):
        raise invalid_value(
            "resource.bgp.asn",
            bgp["asn"],
            "Must be a private ASN (64512-65534 or 4200000000-4294967294) or 16550.",
        )
    router_bgp.advertising("resource.bgp", bgp)
    if not 20 <= number(bgp["keepaliveInterval"]) <= 60:
        raise invalid_value(
            "resource.bgp.keepaliveInterval", bgp["keepaliveInterval"], "Must be between 20 and 60."
        )
    return bgp


def _patched(world: World, call: Call) -> tuple[Resource, Draft]:
    """Work out what a patch makes of a router: fields that the body does not give stay."""
    router = world.get(named(world, call, "routers", call["router"]))
    body = inputs(call.body, _OUTPUTS)
    return router, _changed(world, call, router, merged(router.body, call.body), body)


def _changed(world: World, call: Call, router: Resource, whole: Json, given: Json) -> Draft:
    unchanged(router, given, ("name",))
    same_reference(world, router, given, "network", "networks")
    fields = _settings(world, call, router.name, whole) | {"network": router.body["network"]}
    private = router_bgp.kept(router.private, fields, given.get("md5AuthenticationKeys", ()))
    changed = replace(replaced(router, fields), private=private)
    return _draft(world, call, changed, whole.get("nats") or [], router.body.get("nats") or ())


def _draft(
    world: World, call: Call, router: Resource, wanted: list[Json], before: list[Json] | tuple[()]
) -> Draft:
    gateways = nats.complete(world, call, wanted, before)
    router = router.with_body(nats=gateways or None)
    nats.check_together(world, router)
    automatic = {nat.name: 1 for nat in nats.automatic_gateways(router)}
    held = router.private.get(AUTO_NAT_ADDRESSES, {})
    needed = {name: max(count, len(held.get(name, ()))) for name, count in automatic.items()}
    return Draft(*nat_addresses.with_addresses(world, call, _without_growth(router), needed))


def _without_growth(router: Resource) -> Resource:
    """Forget what dynamic allocation gave to endpoints of gateways that have none."""
    dynamic = {nat.name for nat in Router.of(router).nats if nat.dynamic}
    grown = {name: each for name, each in router.private.get(GROWN_NAT_PORTS, {}).items() if name in dynamic}
    private = {key: value for key, value in router.private.items() if key != GROWN_NAT_PORTS}
    return replace(router, private=private | ({GROWN_NAT_PORTS: grown} if grown else {}))


def _drop(paths: Iterator[str]) -> Iterator[Change]:
    return (Delete(ResourceName("compute.addresses", path)) for path in paths)


def _decided(call: Call, kind: str, router: Resource, draft: Draft) -> Decision:
    quiet = draft.quiet and not router.body.get("nats")
    return committed(call, kind, draft.router, (*draft.changes, Put(draft.router)), done=quiet)


def patch(world: World, call: Call) -> Decision:
    """Change a router; ``nats``, when given, replaces the whole list."""
    return _decided(call, "patch", *_patched(world, call))


def update(world: World, call: Call) -> Decision:
    """Replace a router."""
    router = world.get(named(world, call, "routers", call["router"]))
    body = inputs(call.body, _OUTPUTS)
    return _decided(call, "update", router, _changed(world, call, router, body, body))


def preview(world: World, call: Call) -> Json:
    """Show what a patch would make of a router, and change nothing."""
    return {"resource": _patched(world, call)[1].router.body}


def delete(world: World, call: Call) -> Decision:
    """Take a router away, with its gateways and the addresses that they took themselves."""
    router = world.get(named(world, call, "routers", call["router"]))
    user = next(tunnels_of(world, router.name), None)
    if user is not None:
        return in_use(call, "delete", router, "router", user.name)
    held = router.private.get(AUTO_NAT_ADDRESSES, {})
    gone = _drop(path for paths in held.values() for path in paths)
    return deleted(call, router, *gone, done=not router.body.get("nats"))


METHODS: dict[str, Method] = {
    "routers.insert": Write(insert, "compute.routers.create"),
    **readers("routers", "router", aggregated=True),
    "routers.patch": Write(patch, "compute.routers.update"),
    "routers.update": Write(update, "compute.routers.update"),
    "routers.preview": Read(preview, "compute.routers.update"),
    "routers.delete": Write(delete, "compute.routers.delete"),
}
