"""The quotas of a region: how much of what a project uses there, beside Google's usual limits.

Nobody is held to them but by the pool of external addresses. What is not built is used by nobody, so its
usage is nought.
"""

from collections import Counter
from collections.abc import Iterator

from fogbank.resources.world import Json, World
from fogbank.services.compute.address_users import user_of

_LIMITS: dict[str, float] = {
    "CPUS": 24,
    "DISKS_TOTAL_GB": 4096,
    "STATIC_ADDRESSES": 254,
    "IN_USE_ADDRESSES": 254,
    "SSD_TOTAL_GB": 500,
    "LOCAL_SSD_TOTAL_GB": 6000,
    "INSTANCE_GROUPS": 100,
    "INSTANCE_GROUP_MANAGERS": 50,
    "INSTANCES": 24,
    "AUTOSCALERS": 50,
    "REGIONAL_AUTOSCALERS": 10,
    "REGIONAL_INSTANCE_GROUP_MANAGERS": 10,
    "PREEMPTIBLE_CPUS": 0,
    "COMMITMENTS": 0,
    "NETWORK_ENDPOINT_GROUPS": 100,
    "EXTERNAL_VPN_GATEWAYS": 15,
    "INTERNAL_ADDRESSES": 200,
    "EXTERNAL_NETWORK_LB_FORWARDING_RULES": 15,
    "EXTERNAL_PROTOCOL_FORWARDING_RULES": 15,
    "VPN_TUNNELS": 10,
    "SERVICE_ATTACHMENTS": 10,
    "N2_CPUS": 24,
    "C2_CPUS": 24,
    "N2D_CPUS": 24,
    "E2_CPUS": 24,
}
"""Metric to limit (behaviour/vpc.md#quotas, unverified)."""


def usage(world: World, project: str) -> Counter[tuple[str, str]]:
    """Count what a project uses, by region and metric."""
    used: Counter[tuple[str, str]] = Counter()
    for address in world.all("compute.addresses", f"projects/{project}/regions/"):
        region = address.name.region or ""
        if address.body["addressType"] == "INTERNAL":
            used[region, "INTERNAL_ADDRESSES"] += 1
            continue
        used[region, "STATIC_ADDRESSES"] += 1
        if user_of(world, address.name) is not None:
            used[region, "IN_USE_ADDRESSES"] += 1
    return used


def quotas(region: str, used: Counter[tuple[str, str]]) -> Iterator[Json]:
    """Render the quotas of one region."""
    for metric, limit in _LIMITS.items():
        yield {"metric": metric, "limit": float(limit), "usage": float(used[region, metric])}
