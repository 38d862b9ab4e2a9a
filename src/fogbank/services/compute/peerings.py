"""Peerings of networks: each side adds its own, and packets pass while both stand.

The entries stand in the network's body as Google shows them; state and details are derived when somebody
reads (behaviour/vpc.md#peering). Peerings with networks of Google's own exist because of an API's
resources, and are only shown here.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from fogbank.errors import ApiError, invalid_value, required_field
from fogbank.resources.compute import Network
from fogbank.resources.network_users import network_peerings, peering_users
from fogbank.resources.operations import OperationError
from fogbank.resources.peering import (
    CONSENSUS,
    SINCE,
    ActivePeering,
    Peering,
    active_peerings,
    peerings_of,
    since,
)
from fogbank.resources.private_services import CONNECTIONS, producers
from fogbank.resources.world import Delete, Json, Resource, World
from fogbank.services.compute.bodies import bad_request, one_of, without_nulls
from fogbank.services.compute.decisions import committed, failed, in_use, put
from fogbank.services.compute.names import by_id, check_name, named, project_of
from fogbank.services.compute.peering_overlaps import first_overlap
from fogbank.services.compute.references import reference
from fogbank.services.contract import Call, Decision, Method, Write

LARGEST_GROUP = 25
"""A network has 25 peerings unless Google raises the quota (behaviour/vpc.md#quotas)."""

DELETE_REQUESTED = "peeringsToDelete"
"""Key of a network's ``private``: the names of its peerings whose deletion it has asked the peer for."""

_STACKS = ("IPV4_ONLY", "IPV4_IPV6")
_STRATEGIES = ("INDEPENDENT", CONSENSUS)
_WAITING = "Waiting for peer network to connect."


def shown_peerings(world: World, network: Resource) -> list[Json]:
    """Render the peerings of a network: its own, and those with networks of Google's."""
    active = {each.own.name: each for each in active_peerings(network, world.find)}
    own = [_shown(network, each, active.get(each["name"])) for each in network.body.get("peerings", ())]
    return [*own, *_googles(world, network)]


def _shown(network: Resource, entry: Json, active: ActivePeering | None) -> Json:
    moment, details = since(network, entry["name"]), _WAITING
    if active is not None:
        moment, details = max(moment, since(active.peer, active.other.name)), "Connected."
    entry = entry | {
        "state": "ACTIVE" if active else "INACTIVE",
        "stateDetails": _details(moment, details),
        "connectionStatus": _connection(network, entry, active),
    }
    return entry | ({"peerMtu": Network.of(active.peer).mtu} if active else {})


def _details(moment: datetime, text: str) -> str:
    return f"[{moment.isoformat(timespec='milliseconds')}]: {text}"


def _connection(network: Resource, entry: Json, active: ActivePeering | None) -> Json:
    """Say what both sides agreed on; CONSENSUS holds when both ask for it."""
    if active is None:
        return {"updateStrategy": "INDEPENDENT"}
    traffic = {"trafficConfiguration": _traffic(active.own, active.other)}
    if not (active.own.needs_consensus and active.other.needs_consensus):
        return {"updateStrategy": "INDEPENDENT", **traffic}
    status: Json = {}
    if entry["name"] in network.private.get(DELETE_REQUESTED, ()):
        status = {"deleteStatus": "LOCAL_DELETE_REQUESTED"}
        if active.other.name in active.peer.private.get(DELETE_REQUESTED, ()):
            status = {"deleteStatus": "DELETE_ACKNOWLEDGED"}
    elif active.other.name in active.peer.private.get(DELETE_REQUESTED, ()):
        status = {"deleteStatus": "PEER_DELETE_REQUESTED"}
    return {"updateStrategy": CONSENSUS, "consensusState": {"updateStatus": "IN_SYNC", **status}, **traffic}


def _traffic(own: Peering, other: Peering) -> Json:
    """Say which further routes really cross: those that one side exports and the other imports (recorded)."""
    return {
        "exportCustomRoutesToPeer": own.exports_custom and other.imports_custom,
        "importCustomRoutesFromPeer": own.imports_custom and other.exports_custom,
        "exportSubnetRoutesWithPublicIpToPeer": own.exports_public and other.imports_public,
        "importSubnetRoutesWithPublicIpFromPeer": own.imports_public and other.exports_public,
        "stackType": "IPV4_ONLY",
    }


def _googles(world: World, network: Resource) -> Iterator[Json]:
    """List the peerings with networks of Google's (behaviour/memorystore-redis.md#addresses)."""
    for each in network_peerings(world, network.name):
        yield {
            "name": each.name,
            "network": each.network.self_link,
            "state": "ACTIVE",
            "stateDetails": _details(each.since, "Connected."),
            "autoCreateRoutes": True,
            "exchangeSubnetRoutes": True,
            "exportCustomRoutes": False,
            "importCustomRoutes": False,
            "exportSubnetRoutesWithPublicIp": False,
            "importSubnetRoutesWithPublicIp": False,
            "stackType": "IPV4_ONLY",
            "updateStrategy": "INDEPENDENT",
            "connectionStatus": {
                "updateStrategy": "INDEPENDENT",
                "trafficConfiguration": {**dict.fromkeys(_NO_FURTHER, False), "stackType": "IPV4_ONLY"},
            },
            "peerMtu": network.body.get("mtu", 1460),
        }


_NO_FURTHER = (
    "exportCustomRoutesToPeer",
    "importCustomRoutesFromPeer",
    "exportSubnetRoutesWithPublicIpToPeer",
    "importSubnetRoutesWithPublicIpFromPeer",
)


def add(world: World, call: Call) -> Decision:
    """Add this side of a peering; with the other side there, it is active unless ranges overlap."""
    network = _network(world, call)
    entry = _entry(world, call)
    name = entry["name"]
    peer = Peering.of(entry).network
    if peer == network.name:
        raise bad_request("A network cannot be peered with itself.")
    if _named(network, name) or any(each.name == name for each in network_peerings(world, network.name)):
        raise bad_request(f"The peering '{name}' already exists in '{network.name.path}'.", "alreadyExists")
    for each in peerings_of(network):
        if each.network == peer:
            raise bad_request(
                f"There is already a peering '{each.name}' of '{network.name.path}' with '{peer.path}'.",
                "alreadyExists",
            )
    if len(peerings_of(network)) >= LARGEST_GROUP:
        raise ApiError(
            403,
            f"Quota 'PEERINGS_PER_NETWORK' exceeded.  Limit: {float(LARGEST_GROUP)} globally.",
            "PERMISSION_DENIED",
            "quotaExceeded",
        )
    made = _with_peerings(network, (*network.body.get("peerings", ()), entry))
    made = _remembering(made, {**network.private.get(SINCE, {}), name: call.now.isoformat()})
    if overlap := first_overlap(world, made, name):
        return failed(call, "addPeering", network, OperationError(400, "INVALID_USAGE", overlap))
    return put(call, "addPeering", made)


def _network(world: World, call: Call) -> Resource:
    return world.get(named(world, call, "networks", call["network"]))


def _entry(world: World, call: Call) -> Json:
    """Read a new peering; Google takes it as ``networkPeering``, or in an older form."""
    body = without_nulls(call.body)
    given: Json = body.get("networkPeering") or {
        "name": body.get("name"),
        "network": body.get("peerNetwork"),
        "exchangeSubnetRoutes": body.get("autoCreateRoutes", True),
    }
    for field in ("name", "network"):
        if not given.get(field):
            raise required_field(f"networkPeering.{field}")
    check_name("networkPeering.name", given["name"])
    if not given.get("exchangeSubnetRoutes", True):
        raise invalid_value(
            "networkPeering.exchangeSubnetRoutes", False, "Subnet routes are exchanged in every peering."
        )
    peer = by_id(
        world, reference("networkPeering.network", given["network"], "networks", project_of(world, call))
    )
    entry: Json = {
        "name": given["name"],
        "network": peer.self_link,
        "autoCreateRoutes": True,
        "exchangeSubnetRoutes": True,
        "exportCustomRoutes": False,
        "importCustomRoutes": False,
        "exportSubnetRoutesWithPublicIp": True,
        "importSubnetRoutesWithPublicIp": False,
        "stackType": _STACKS[0],
        "updateStrategy": _STRATEGIES[0],
    }
    return entry | _choices(given)


def _choices(given: Json) -> Json:
    """Check what may be changed later too."""
    flags = (
        "exportCustomRoutes",
        "importCustomRoutes",
        "exportSubnetRoutesWithPublicIp",
        "importSubnetRoutesWithPublicIp",
    )
    chosen: Json = {field: bool(given[field]) for field in flags if field in given}
    for field, values in (("stackType", _STACKS), ("updateStrategy", _STRATEGIES)):
        if field in given:
            one_of(f"networkPeering.{field}", given[field], values)
            chosen[field] = given[field]
    return chosen


def _named(network: Resource, name: str) -> Json | None:
    return next((each for each in network.body.get("peerings", ()) if each["name"] == name), None)


def _with_peerings(network: Resource, peerings: tuple[Json, ...]) -> Resource:
    return network.with_body(peerings=list(peerings) or None)


def _remembering(network: Resource, moments: Json, asked: tuple[str, ...] | None = None) -> Resource:
    kept = network.private.get(DELETE_REQUESTED, ()) if asked is None else asked
    private = {
        **network.private,
        SINCE: moments,
        DELETE_REQUESTED: [each for each in kept if each in moments],
    }
    return replace(network, private=private)


def update(world: World, call: Call) -> Decision:
    """Change which routes this side exchanges."""
    network = _network(world, call)
    given = without_nulls(call.body).get("networkPeering") or {}
    if not given.get("name"):
        raise required_field("networkPeering.name")
    entry = _found(network, given["name"])
    peerings = tuple(each | _choices(given) if each is entry else each for each in network.body["peerings"])
    return put(call, "updatePeering", _with_peerings(network, peerings))


def _found(network: Resource, name: str) -> Json:
    entry = _named(network, name)
    if entry is None:
        raise ApiError(
            404,
            f"The peering '{name}' was not found in '{network.name.path}'.",
            "NOT_FOUND",
            "notFound",
        )
    return entry


def remove(world: World, call: Call) -> Decision:
    """Take this side away: the peering is over for both."""
    network = _network(world, call)
    name = _given_name(call)
    for user in peering_users(world, network.name):
        if user.private["peering"] == name:
            return _without_googles(world, call, network, user)
    entry = _found(network, name)
    for each in active_peerings(network, world.find):
        agreed = _connection(network, entry, each).get("consensusState", {}).get("deleteStatus")
        both = each.own.needs_consensus and each.other.needs_consensus
        if each.own.name == name and both and agreed != "DELETE_ACKNOWLEDGED":
            message = (
                f"The peering '{name}' is deleted by consensus: both sides must request its deletion first."
            )
            return failed(call, "removePeering", network, OperationError(400, "INVALID_USAGE", message))
    left = tuple(each for each in network.body["peerings"] if each is not entry)
    moments = {key: moment for key, moment in network.private[SINCE].items() if key != name}
    return put(call, "removePeering", _remembering(_with_peerings(network, left), moments))


def _without_googles(world: World, call: Call, network: Resource, user: Resource) -> Decision:
    """Take the peering of private services access away, with its connection; other peerings of Google's stay.

    See behaviour/private-services-access.md#connections.
    """
    holders = [user.name] if user.name.collection != CONNECTIONS else []
    holders += [each.name for each in producers(world, network.name)]
    if holders:
        return in_use(call, "removePeering", network, "network", holders[0])
    return committed(call, "removePeering", network, (Delete(user.name),))


def _given_name(call: Call) -> str:
    name = call.body.get("name")
    if not name:
        raise required_field("name")
    return str(name)


def request_remove(world: World, call: Call) -> Decision:
    """Ask the peer to agree to a deletion."""
    network, name = _network(world, call), _given_name(call)
    _found(network, name)
    asked = {*network.private.get(DELETE_REQUESTED, ()), name}
    made = _remembering(network, network.private[SINCE], tuple(sorted(asked)))
    return put(call, "requestRemovePeering", made, done=True)


def cancel_remove(world: World, call: Call) -> Decision:
    """Take the question back."""
    network, name = _network(world, call), _given_name(call)
    _found(network, name)
    asked = {*network.private.get(DELETE_REQUESTED, ())} - {name}
    made = _remembering(network, network.private[SINCE], tuple(sorted(asked)))
    return put(call, "cancelRequestRemovePeering", made, done=True)


METHODS: dict[str, Method] = {
    "networks.addPeering": Write(add, "compute.networks.addPeering"),
    "networks.updatePeering": Write(update, "compute.networks.updatePeering"),
    "networks.removePeering": Write(remove, "compute.networks.removePeering"),
    "networks.requestRemovePeering": Write(request_remove, "compute.networks.removePeering"),
    "networks.cancelRequestRemovePeering": Write(cancel_remove, "compute.networks.removePeering"),
}
