"""What a gateway's charon is told, and what it says of its tunnels. Telling blocks: call it in a thread.

See behaviour/vpn.md#status.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fogbank.resources.vpn import ANY
from fogbank.services.compute.controller.vpn.bgpd import Spoken
from fogbank.services.compute.controller.vpn.devices import (
    AROUND_BGP,
    ESP_PROPOSALS,
    IKE_PROPOSALS,
    Connection,
    Device,
)
from fogbank.services.compute.controller.vpn.program import CHARON_SOCKET, CONTROL
from fogbank.services.compute.controller.vpn.vici import Charon, Message, Parsed

DPD_SECONDS = 5
"""How long a peer may be silent before it is asked whether it is there."""

State = Literal["BEGINS", "UP", "LACKING"]
"""An association is being made; packets can pass; or the peers know each other and nothing can pass."""
_UP = frozenset({"INSTALLED", "REKEYING", "REKEYED"})

ESTABLISHED = "ESTABLISHED"
DETAILS: Mapping[str, str] = {
    ESTABLISHED: "Tunnel is up and running.",
    "FIRST_HANDSHAKE": "Waiting for the first handshake.",
    "NO_INCOMING_PACKETS": "No incoming packets from peer.",
    "AUTHORIZATION_ERROR": "The peer does not accept the shared secret.",
    "NEGOTIATION_FAILURE": "The peer accepts none of the proposals or traffic selectors.",
}
"""What is said beside each status that a tunnel can have."""

_SIGNS = {
    "AUTHENTICATION_FAILED": "AUTHORIZATION_ERROR",
    "MAC mismatched": "AUTHORIZATION_ERROR",
    "NO_PROPOSAL_CHOSEN": "NEGOTIATION_FAILURE",
    "TS_UNACCEPTABLE": "NEGOTIATION_FAILURE",
    "no acceptable traffic selectors": "NEGOTIATION_FAILURE",
}
"""What of charon's log tells why there is no association."""


def failure_told_by(line: str) -> tuple[str, str] | None:
    """Read a line of charon's log: the connection that it is about, and the status that follows; or None."""
    sign = next((each for each in _SIGNS if each in line), None)
    if sign is None or "<" not in line:
        return None
    return line.partition("<")[2].partition("|")[0], _SIGNS[sign]


@dataclass
class Told:
    """What one charon was told since it started, by connection."""

    connections: dict[str, tuple[object, ...]] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    bgp: Spoken = field(default_factory=Spoken)


def bring_up(folder: Path, device: Device, told: Told) -> frozenset[str]:
    """Have a charon hold exactly the connections of ``device``; return which are up.

    It begins with those that are not there.
    """
    connections = {each.id: each for each in device.connections}
    with Charon(folder / CHARON_SOCKET) as charon:
        for identifier in told.connections.keys() - connections.keys():
            _unload(charon, identifier)
            del told.connections[identifier]
        _own_addresses(folder / CONTROL, device, told)
        for each in connections.values():
            if told.connections.get(each.id) != each.settings:
                if each.id in told.connections:
                    _unload(charon, each.id)
                _load(charon, each)
                told.connections[each.id] = each.settings
        states = _states(charon)
        for each in connections.values():
            if each.initiates and states.get(each.id, "") in {"", "LACKING"}:
                charon.command("initiate", {"child": each.id, "ike": each.id, "timeout": "-1"})
    return frozenset(identifier for identifier, state in states.items() if state == "UP")


def _own_addresses(control: Path, device: Device, told: Told) -> None:
    """Give a gateway an address of each traffic selector, which charon wants, and those for BGP."""
    selectors = {each for connection in device.connections for each in connection.near} - {*ANY}
    wanted = {f"own {each.network_address}" for each in selectors}
    if device.bgp and not device.routes:
        wanted |= {f"bgp {each.local.ip}" for each in device.neighbors}
        wanted |= {f"own {each[1]}" for each in AROUND_BGP}  # what a peer on premises makes of everything
    if missing := sorted(wanted - told.own):
        with control.open("w") as pipe:
            pipe.writelines(f"{each}\n" for each in missing)
        told.own.update(missing)


def _load(charon: Charon, connection: Connection) -> None:
    local, remote = str(connection.local), str(connection.remote)
    charon.command(
        "load-shared",
        {"id": connection.id, "type": "IKE", "data": connection.secret, "owners": [remote, local]},
    )
    child: Message = {
        "local_ts": [str(each) for each in connection.near],
        "remote_ts": [str(each) for each in connection.far],
        "esp_proposals": ESP_PROPOSALS,
        "mode": "tunnel",
        "dpd_action": "clear",
    }
    charon.command(
        "load-conn",
        {
            connection.id: {
                "version": "2",
                "local_addrs": [local],
                "remote_addrs": [remote],
                "proposals": IKE_PROPOSALS,
                "encap": "yes",
                "mobike": "no",
                "unique": "replace",
                "dpd_delay": str(DPD_SECONDS),
                "local": {"auth": "psk", "id": local},
                "remote": {"auth": "psk", "id": remote},
                "children": {connection.id: child},
            }
        },
    )


def _unload(charon: Charon, identifier: str) -> None:
    charon.command("unload-conn", {"name": identifier})
    charon.command("unload-shared", {"id": identifier})
    if identifier in _states(charon):
        charon.command("terminate", {"ike": identifier, "timeout": "-1"})


def _states(charon: Charon) -> dict[str, State]:
    """List the connections that have an association."""
    found: dict[str, State] = {}
    for event in charon.stream("list-sas", "list-sa"):
        for identifier, association in event.items():
            if isinstance(association, dict) and found.get(identifier) != "UP":
                found[identifier] = _state(association)
    return found


def _state(association: Parsed) -> State:
    if association.get("state") != ESTABLISHED:
        return "BEGINS"
    children = association.get("child-sas")
    found = children.values() if isinstance(children, dict) else ()
    states = {str(each.get("state")) for each in found if isinstance(each, dict)}
    if states & _UP:
        return "UP"
    return "BEGINS" if states else "LACKING"
