"""The network that every new project finds: ``default``, in auto mode, with four rules.

See behaviour/vpc.md#networks.
"""

from collections.abc import Callable, Iterator
from datetime import datetime

from fogbank.resources.names import ResourceName, compute_name
from fogbank.resources.world import Change, Json, Put, World
from fogbank.services.compute import firewalls, networks
from fogbank.services.compute.factories import made
from fogbank.services.contract import Call

NAME = "default"
_PRIORITY = 65534
_INSIDE = "10.128.0.0/9"
_ICMP: Json = {"IPProtocol": "icmp"}


def _tcp(ports: str) -> Json:
    return {"IPProtocol": "tcp", "ports": [ports]}


_RULES: dict[str, Json] = {
    "default-allow-internal": {
        "description": "Allow internal traffic on the default network",
        "sourceRanges": [_INSIDE],
        "allowed": [_tcp("0-65535"), {"IPProtocol": "udp", "ports": ["0-65535"]}, _ICMP],
    },
    "default-allow-ssh": {"description": "Allow SSH from anywhere", "allowed": [_tcp("22")]},
    "default-allow-rdp": {"description": "Allow RDP from anywhere", "allowed": [_tcp("3389")]},
    "default-allow-icmp": {"description": "Allow ICMP from anywhere", "allowed": [_ICMP]},
}


def default_network(project: str, now: datetime, new_id: Callable[[], int]) -> tuple[Change, ...]:
    """List what a new project finds: the network, its subnetworks, the default route, the firewall rules."""
    body = {
        "name": NAME,
        "description": "Default network for the project",
        "autoCreateSubnetworks": True,
    }
    call = Call("compute.v1.networks.insert", {"project": project}, body, "", now, new_id)
    network = networks.insert(World(), call)
    return (*network.changes, *_rules(call, compute_name("networks", project, "global", None, NAME)))


def _rules(call: Call, network: ResourceName) -> Iterator[Change]:
    for identifier, rule in _RULES.items():
        name = compute_name("firewalls", network.project, "global", None, identifier)
        fields = rule | {"network": network.self_link, "priority": _PRIORITY}
        yield Put(made(call, name, firewalls.complete(fields)))
