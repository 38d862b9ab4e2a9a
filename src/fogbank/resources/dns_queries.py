"""Query logs of Cloud DNS: what a query becomes as an entry (behaviour/cloud-dns.md#query-logs).

A zone that logs has the entries of the queries that it answers, in its project; a network whose server policy
logs those of all its clients, in the network's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address
from itertools import count

from fogbank.resources.dns import ZONES, RecordSet, answering_zone
from fogbank.resources.dns_policies import logs_queries
from fogbank.resources.indexes import Index
from fogbank.resources.instances import instance_at
from fogbank.resources.log_entries import Entry, log_name, time_of, time_text
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World

LOG = "dns.googleapis.com/dns_queries"
_LONGEST_ANSWER = 260
"""What an entry shows of an answer, in bytes (Cloud DNS's documentation, "Logging and monitoring")."""


@dataclass(frozen=True, slots=True)
class Query:
    """What ``client`` of ``network`` (None: of the internet) asked, and the records that it got.

    ``records`` is empty when there is nothing of this ``kind``, None when there is no such name.
    """

    client: IPv4Address
    network: ResourceName | None
    name: str
    kind: str
    records: Sequence[RecordSet] | None


class QueryLog:
    """Writes entries by ``append`` (project, entry).

    ``of_network`` tells whether a server policy logs all queries of a network.
    """

    def __init__(
        self,
        append: Callable[[str, Entry], None],
        now: Callable[[], datetime],
        of_network: Callable[[World, ResourceName], bool] = logs_queries,
    ) -> None:
        self._append, self._now, self._of_network = append, now, of_network
        self._numbers = count(1)

    def note(self, world: World, query: Query) -> None:
        """Write the entries that somebody wants of a query; costs next to nothing when nobody does."""
        logged = next(iter(world.by(_LOGGED, True)), None) is not None
        own = query.network is not None and self._of_network(world, query.network)
        if not logged and not own:
            return
        zone = answering_zone(world, query.network, query.name)
        projects = {zone.name.project} if zone is not None and _logs(zone) else set()
        if own and query.network is not None:
            projects.add(query.network.project)
        for project in sorted(projects):
            self._append(project, self._entry(world, project, zone, query))

    def _entry(self, world: World, project: str, zone: Resource | None, query: Query) -> Entry:
        machine = instance_at(world, query.network, query.client) if query.network else None
        now = time_of(self._now())
        return {
            "insertId": f"dns{now:x}{next(self._numbers):x}",
            "logName": log_name(project, LOG),
            "resource": {
                "type": "dns_query",
                "labels": {
                    "project_id": project,
                    "location": _location(machine),
                    "source_type": "gce-vm" if query.network else "internet",
                    "target_type": _target(zone),
                    "target_name": zone.name.id if zone else "",
                },
            },
            "timestamp": time_text(now),
            "receiveTimestamp": time_text(now),
            "severity": "INFO",
            "jsonPayload": _payload(query, machine),
        }


def _payload(query: Query, machine: Resource | None) -> Json:
    found: Json = {
        "queryName": query.name,
        "queryType": query.kind,
        "responseCode": "NXDOMAIN" if query.records is None else "NOERROR",
        "sourceIP": str(query.client),
        "authAnswer": True,
    }
    if query.records:
        found["rdata"] = _presented(query.records)
    if query.network is not None:
        found["sourceNetwork"] = query.network.id
    if machine is not None:
        found |= {
            "vmInstanceIdString": str(machine.id),
            "vmInstanceName": f"{machine.id}.{machine.name.id}",
            "vmProjectId": machine.name.project,
            "vmZoneName": machine.name.segment("zones"),
        }
    return found


def _presented(records: Sequence[RecordSet]) -> str:
    lines = (
        f"{each.name}\t{each.ttl}\tIN\t{each.type.lower()}\t{text}" for each in records for text in each.texts
    )
    return "\n".join(lines).encode()[:_LONGEST_ANSWER].decode(errors="ignore")


def _location(machine: Resource | None) -> str:
    zone = machine.name.segment("zones") if machine is not None else None
    return zone.rpartition("-")[0] if zone else "global"


def _target(zone: Resource | None) -> str:
    if zone is None:
        return "external"
    if zone.private.get("peer"):
        return "peering-zone"
    if zone.body.get("forwardingConfig"):
        return "forwarding-zone"
    return f"{zone.body['visibility']}-zone"


def _logs(zone: Resource) -> bool:
    return bool(zone.body.get("cloudLoggingConfig", {}).get("enableLogging"))


def _logged(zone: Resource) -> tuple[bool, ...]:
    return (True,) if _logs(zone) else ()


_LOGGED: Index[Resource] = Index(ZONES, _logged)
