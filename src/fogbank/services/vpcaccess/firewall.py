"""The firewall rules that come and go with a connector.

Users see them among their own rules and cannot touch them. They let Google's infrastructure reach it,
and let what leaves the connector reach everything in the network
(behaviour/serverless-vpc-access.md#firewall-rules).
"""

from collections.abc import Callable
from datetime import datetime

from fogbank.resources.names import ResourceName, compute_name
from fogbank.resources.vpcaccess import AUTOMATIC, Connector
from fogbank.resources.world import Change, Delete, Json, Put, Resource

SERVERLESS = "35.199.224.0/19"
HEALTH_CHECKS = ["35.191.0.0/16", "35.191.192.0/18", "130.211.0.0/22"]

_HEALTH = [{"IPProtocol": "tcp", "ports": ["667"]}]
_TUNNEL = [
    {"IPProtocol": "tcp", "ports": ["667"]},
    {"IPProtocol": "udp", "ports": ["665-666"]},
    {"IPProtocol": "icmp"},
]
# At equal priority deny wins over allow, so the ports that earfw allows are left out here.
_NOT_TUNNEL = [
    {"IPProtocol": "tcp", "ports": ["1-666", "668-65535"]},
    {"IPProtocol": "udp", "ports": ["1-664", "667-65535"]},
]
_ALL = [{"IPProtocol": "tcp"}, {"IPProtocol": "udp"}, {"IPProtocol": "icmp"}]


def add_rules(connector: Connector, now: datetime, new_id: Callable[[], int]) -> tuple[Change, ...]:
    """Make the connector's rules; none when its network belongs to another project.

    See behaviour/serverless-vpc-access.md#firewall-rules.
    """
    if connector.network.project != connector.name.project:
        return ()
    return tuple(
        Put(_rule(connector, suffix, fields, now, new_id())) for suffix, fields in _rules(connector).items()
    )


def drop_rules(connector: Connector) -> tuple[Change, ...]:
    """Take the connector's rules away."""
    if connector.network.project != connector.name.project:
        return ()
    return tuple(Delete(_name(connector, suffix)) for suffix in _rules(connector))


def _rules(connector: Connector) -> dict[str, Json]:
    own_tag = connector.tags[1]
    to_it = {"direction": "INGRESS", "priority": 100, "targetTags": [own_tag]}
    from_it = {"direction": "EGRESS", "priority": 100, "targetTags": [own_tag]}
    into_network = {"direction": "INGRESS", "priority": 1000, "allowed": _ALL}
    return {
        "hcfw": to_it | {"sourceRanges": HEALTH_CHECKS, "allowed": _HEALTH},
        "rsgfw": to_it | {"sourceRanges": [SERVERLESS], "allowed": _TUNNEL},
        "earfw": from_it | {"destinationRanges": [SERVERLESS], "allowed": _TUNNEL},
        "egrfw": from_it | {"destinationRanges": [SERVERLESS], "denied": _NOT_TUNNEL},
        "sbntfw": into_network | {"sourceRanges": [str(connector.range)]},
        "tagfw": into_network | {"sourceTags": [own_tag]},
    }


def _name(connector: Connector, suffix: str) -> ResourceName:
    identifier = f"aet-{connector.region}-{connector.name.id}-{suffix}"
    return compute_name("firewalls", connector.network.project, "global", None, identifier)


def _rule(connector: Connector, suffix: str, fields: Json, now: datetime, number: int) -> Resource:
    name = _name(connector, suffix)
    body: Json = {
        "kind": "compute#firewall",
        "id": str(number),
        "creationTimestamp": now.isoformat(timespec="milliseconds"),
        "name": name.id,
        "description": f"Created for the VPC connector {connector.name.id}.",
        "network": connector.network.self_link,
        **fields,
        "logConfig": {"enable": False},
        "disabled": False,
        "selfLink": name.self_link,
    }
    return Resource(name, number, now, body, {AUTOMATIC: connector.name.path})
