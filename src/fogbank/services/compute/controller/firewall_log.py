"""Firewall logs: what logged rules decided becomes entries of Cloud Logging (behaviour/vpc.md#firewall-logs).

The data plane names a rule as lowering did: by its policy, which says the direction, its stage and its label.
Who wrote the rule is looked up when the entry is written; one that has gone meanwhile is named by its label.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address

from fogbank.control.controller import Controller, Runtime
from fogbank.dataplane.driver import RuleReport
from fogbank.errors import DriverError
from fogbank.lowering.firewall import CLASSIC, REGIONAL_AFTER, REGIONAL_BEFORE, direction_of_policy
from fogbank.lowering.netns_names import network_of_vpc_netns, vpc_netns
from fogbank.network.topology import FirewallPolicy, NetnsName, Topology
from fogbank.resources.firewall_policies import policies_of
from fogbank.resources.log_entries import log_name, time_of, time_text
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.controller.flow_log import connection, subnetwork_resource
from fogbank.services.compute.controller.log_endpoints import LogEndpoint, LogEndpoints

log = logging.getLogger(__name__)

LOG = "compute.googleapis.com/firewall"
LOOK_SECONDS = 1.0
ENTRIES_PER_SECOND = 100
"""What one endpoint may log in a second of the region's time (behaviour/vpc.md#firewall-logs)."""

_SECOND = 1_000_000_000
_ALL = "INCLUDE_ALL_METADATA"
_DETAILS: Mapping[str, str] = {
    "sourceRanges": "source_range",
    "destinationRanges": "destination_range",
    "sourceTags": "source_tag",
    "targetTags": "target_tag",
    "sourceServiceAccounts": "source_service_account",
    "targetServiceAccounts": "target_service_account",
}


def make_controller(runtime: Runtime) -> "FirewallLog":
    """Make the controller of firewall logs."""
    return FirewallLog(runtime)


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a rule is described: where it is, in full, and whether entries have metadata."""

    reference: str
    details: Json
    metadata: bool


class FirewallLog(Controller):
    """Writes the entries of all networks that have logged rules."""

    name = "firewall-log"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._woken = asyncio.Event()
        self._read: tuple[Topology, frozenset[NetnsName]] | None = None
        self._seconds: dict[tuple[NetnsName, IPv4Address], tuple[int, int]] = {}
        self._numbered = 0
        runtime.loop.after_pass(self._woken.set)

    async def run(self) -> None:
        """Write what rules decided, every second while a rule is logged, until cancelled."""
        while True:
            try:
                watched = await self.look()
            except Exception:  # a bug: the next look may work
                log.exception("firewall logs could not be written")
                watched = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS if watched else None)
            self._woken.clear()

    def reconcile(self) -> None:
        """Look now."""
        self._woken.set()

    async def look(self) -> bool:
        """Write what was reported since the last look; return whether anything may be reported."""
        watched = self._watched()
        for netns in sorted(watched):
            network = network_of_vpc_netns(netns)
            reports = await asyncio.to_thread(self._reports, netns)
            if reports and network is not None:
                self._write(network, reports)
        return bool(watched)

    def _watched(self) -> frozenset[NetnsName]:
        """Name the networks that have logged rules in the kernel."""
        observed = self._runtime.loop.observed
        if self._read is None or self._read[0] is not observed:
            policies = observed.of_kind(FirewallPolicy)
            found = (each.netns for each in policies if any(rule.logged for rule in each.rules))
            self._read = observed, frozenset(found)
        return self._read[1]

    def _reports(self, netns: NetnsName) -> tuple[RuleReport, ...]:
        try:
            return self._runtime.driver.rule_reports(netns)
        except (DriverError, OSError) as error:  # it went meanwhile
            log.debug("reports of %s are not read: %s", netns, error)
            return ()

    def _write(self, network: ResourceName, reports: Iterable[RuleReport]) -> None:
        world, moment = self._runtime.store.world, time_of(self._runtime.clock.now())
        endpoints = LogEndpoints(world, self._runtime.loop.lowered.owners, network)
        rules: dict[tuple[str, int, str, str], _Rule] = {}
        for report in reports:
            ingress = direction_of_policy(report.policy) == "INGRESS"
            own = endpoints.at(report.destination if ingress else report.source)
            if own.subnetwork is None or not self._within_rate(network, own.address, moment):
                continue  # a machine that forwards: the address is somebody else's
            key = report.policy, report.stage, report.label, own.region
            rule = rules.get(key)
            if rule is None:
                rule = rules[key] = _rule(world, network, report, own.region)
            remote = endpoints.at(report.source if ingress else report.destination)
            self._numbered += 1
            entry = {
                "insertId": f"fw{moment:x}{self._numbered:x}",
                "logName": log_name(network.project, LOG),
                "resource": subnetwork_resource(world.get(own.subnetwork.name), own),
                "timestamp": time_text(moment),
                "receiveTimestamp": time_text(moment),
                "severity": "DEFAULT",
                "jsonPayload": _payload(report, rule, own, remote),
            }
            self._runtime.log_entries.append(network.project, entry)

    def _within_rate(self, network: ResourceName, address: IPv4Address, moment: int) -> bool:
        key, now = (vpc_netns(network), address), moment // _SECOND
        second, count = self._seconds.get(key, (0, 0))
        count = count + 1 if second == now else 1
        self._seconds[key] = now, count
        return count <= ENTRIES_PER_SECOND


def _payload(report: RuleReport, rule: _Rule, own: LogEndpoint, remote: LogEndpoint) -> Json:
    found: Json = {
        "connection": connection(
            report.protocol,
            (report.source, report.source_port),
            (report.destination, report.destination_port),
        ),
        "disposition": "ALLOWED" if report.action == "allow" else "DENIED",
        "rule_details": {"reference": rule.reference} | (rule.details if rule.metadata else {}),
    }
    if rule.metadata:
        metadata = {
            "instance": own.instance_details(),
            "vpc": own.vpc_details(),
            "remote_instance": remote.instance_details(),
            "remote_vpc": remote.vpc_details(),
        }
        found |= {name: details for name, details in metadata.items() if details}
    return found


def _rule(world: World, network: ResourceName, report: RuleReport, region: str) -> _Rule:
    """Describe the rule that decided, as it is now."""
    if report.stage == CLASSIC:
        name = ResourceName(
            "compute.firewalls", f"projects/{network.project}/global/firewalls/{report.label}"
        )
        found = world.find(name)
        reference = f"network:{network.id}/firewall:{report.label}"
        return _Rule(reference, _classic(found) if found else {}, _has_metadata(found))
    policy, _, priority = report.label.rpartition("/")
    where = region if report.stage in {REGIONAL_BEFORE, REGIONAL_AFTER} else None
    owner = next((each for each in policies_of(world, network, where) if each.name.id == policy), None)
    reference = f"network:{network.id}/firewallPolicy:{owner.id if owner else policy}"
    return _Rule(reference, _of_policy(owner, int(priority)) if owner else {}, metadata=True)


def _has_metadata(rule: Resource | None) -> bool:
    return rule is None or rule.body.get("logConfig", {}).get("metadata", _ALL) == _ALL


def _classic(rule: Resource) -> Json:
    body = rule.body
    entries = body.get("allowed") or body.get("denied") or ()
    return {
        "priority": body["priority"],
        "action": "ALLOW" if body.get("allowed") else "DENY",
        "direction": body["direction"],
        "ip_port_info": [_traffic(each["IPProtocol"], each.get("ports", ())) for each in entries],
        **{name: body[field] for field, name in _DETAILS.items() if body.get(field)},
    }


def _of_policy(policy: Resource, priority: int) -> Json:
    found = next((each for each in policy.body["rules"] if each["priority"] == priority), None)
    if found is None:
        return {"priority": priority}
    match = found["match"]
    ranges = {"source_range": match.get("srcIpRanges"), "destination_range": match.get("destIpRanges")}
    return {
        "priority": priority,
        "action": found["action"].upper(),
        "direction": found["direction"],
        "ip_port_info": [
            _traffic(each["ipProtocol"], each.get("ports", ())) for each in match["layer4Configs"]
        ],
        **{name: value for name, value in ranges.items() if value},
    }


def _traffic(protocol: str, ports: Iterable[str]) -> Json:
    found: Json = {"ip_protocol": protocol.upper()}
    return found | ({"port_range": list(ports)} if ports else {})
