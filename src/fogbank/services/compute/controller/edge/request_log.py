"""Requests of Application Load Balancers in Cloud Logging, made from what the proxy writes of each.

See behaviour/load-balancing.md#request-logs.
"""

import json
import random
import secrets
from collections.abc import Callable
from datetime import datetime
from ipaddress import IPv4Address

from fogbank.resources.load_balancing import forwarding_rules_at, linked, port_range
from fogbank.resources.log_entries import log_name, time_of, time_text
from fogbank.resources.world import Json, Resource, World

_KIND = "type.googleapis.com/google.cloud.loadbalancing.type.LoadBalancerLogEntry"
_DETAILS = {
    "via_upstream": "response_sent_by_backend",
    "no_healthy_upstream": "failed_to_pick_backend",
    "response_timeout": "backend_timeout",
    "upstream_response_timeout": "backend_timeout",
    "downstream_remote_disconnect": "client_disconnected_before_any_response",
}
"""The proxy's words for what became of a request, as Google has them."""


def request_entry(
    world: World, line: str, now: datetime, draw: Callable[[], float] = random.random
) -> tuple[str, Json] | None:
    """Make the entry of a request, with its project; None for other lines and what is not to be logged."""
    if not line.startswith("{"):
        return None
    seen: Json = json.loads(line)
    service = _service(world, seen.get("cluster"))
    rule = _rule(world, str(seen.get("rule", "")))
    if service is None or rule is None:
        return None
    config = service.body.get("logConfig", {})
    if not config.get("enable") or draw() >= config.get("sampleRate", 1.0):
        return None
    project = service.name.project
    status = int(seen["status"])
    moment = time_text(time_of(now))
    entry: Json = {
        "insertId": secrets.token_hex(12),
        "logName": log_name(project, "requests"),
        "resource": {"type": "http_load_balancer", "labels": _labels(world, rule, service)},
        "jsonPayload": {"@type": _KIND, "statusDetails": _details(str(seen.get("details") or ""))},
        "httpRequest": _request(seen, status),
        "severity": "INFO" if status < 400 else "WARNING",
        "timestamp": str(seen["start"]),
        "receiveTimestamp": moment,
    }
    return project, entry


def _service(world: World, cluster: str | None) -> Resource | None:
    number = (cluster or "").removeprefix("b-").partition("-")[0]
    return world.with_id("compute.backendServices", str(int(number, 16))) if number else None


def _rule(world: World, place: str) -> Resource | None:
    address, _, port = place.rpartition(":")
    if not address:
        return None
    rules = forwarding_rules_at(world, IPv4Address(address))
    return next((each for each in rules if port_range(each.body)[0] == int(port)), None)


def _labels(world: World, rule: Resource, service: Resource) -> Json:
    proxy = linked(world, rule.body["target"])
    return {
        "project_id": service.name.project,
        "forwarding_rule_name": rule.name.id,
        "target_proxy_name": proxy.name.id if proxy else "",
        "url_map_name": proxy.body["urlMap"].rpartition("/")[2] if proxy else "",
        "backend_service_name": service.name.id,
        "zone": "global",
    }


def _details(words: str) -> str:
    known = _DETAILS.get(words.partition("{")[0])
    if known is None and words.startswith("upstream_reset_before_response_started"):
        return "failed_to_connect_to_backend" if "connection" in words else "backend_connection_closed"
    return known or words


def _request(seen: Json, status: int) -> Json:
    backend = str(seen.get("backend") or "")
    found = {
        "requestMethod": seen.get("method"),
        "requestUrl": f"{seen.get('scheme')}://{seen.get('host')}{seen.get('path')}",
        "requestSize": str(seen.get("received", 0)),
        "status": status,
        "responseSize": str(seen.get("sent", 0)),
        "userAgent": seen.get("agent"),
        "remoteIp": seen.get("client"),
        "serverIp": backend.rpartition(":")[0],
        "referer": seen.get("referer"),
        "latency": f"{int(seen.get('milliseconds', 0)) / 1000:.6f}s",
        "protocol": seen.get("protocol"),
    }
    return {key: value for key, value in found.items() if value}
