"""What a cluster may be asked to be: its network, its ranges, its node pools, and what is not built."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from fogbank.errors import ApiError, not_built
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.container.server_config import VERSION

DEFAULT_SERVICES = IPv4Network("34.118.224.0/20")
"""The range of ClusterIPs that Google manages (behaviour/kubernetes-engine.md#ranges)."""

_BUILT = frozenset(
    {
        "description",
        "initialClusterVersion",
        "initialNodeCount",
        "ipAllocationPolicy",
        "name",
        "network",
        "nodePools",
        "releaseChannel",
        "resourceLabels",
        "subnetwork",
    }
)
_POLICY = frozenset(
    {
        "clusterSecondaryRangeName",
        "servicesIpv4CidrBlock",
        "servicesSecondaryRangeName",
        "stackType",
        "useIpAliases",
    }
)


@dataclass(frozen=True, slots=True)
class Placement:
    """The network and the subnetwork that a cluster is in."""

    network: ResourceName
    subnetwork: Resource

    def secondary(self, name: str) -> str:
        """Return the secondary range called ``name``; empty for no name, a refusal where there is none."""
        if not name:
            return ""
        ranges = self.subnetwork.body.get("secondaryIpRanges") or ()
        found = next((str(each["ipCidrRange"]) for each in ranges if each["rangeName"] == name), "")
        if not found:
            raise _bad(
                f'Services range "{name}" and cluster range must exist in subnetwork '
                f'"{self.subnetwork.name.id}".'
            )
        return found


def _bad(message: str) -> ApiError:
    return ApiError(400, message, "INVALID_ARGUMENT", "badRequest")


def refuse_unbuilt(asked: Json) -> None:
    """Refuse by name what a cluster cannot have yet; what asks for nothing passes."""
    for name, value in asked.items():
        if name not in _BUILT and not is_blank(value):
            raise not_built(f"the field cluster.{name}")
    policy: Json = asked.get("ipAllocationPolicy") or {}
    for name, value in policy.items():
        if name not in _POLICY and not is_blank(value):
            raise not_built(f"the field cluster.ipAllocationPolicy.{name}")
    if policy.get("stackType") not in {None, "IPV4", "STACK_TYPE_UNSPECIFIED"}:
        raise not_built(f"the stack type {policy['stackType']}")


def is_blank(value: object) -> bool:
    """Return whether a value asks for nothing: absent, false, empty, or made of such."""
    if isinstance(value, Mapping):
        return all(map(is_blank, value.values()))
    return not value


def place(world: World, project: str, region: str, asked: Json) -> Placement:
    """Find the network and the subnetwork that a request names by their names, paths or links."""
    network = _last(asked.get("network") or "default")
    name = ResourceName("compute.networks", f"projects/{project}/global/networks/{network}")
    if world.find(name) is None:
        raise _bad(f'Network "{network}" does not exist.')
    identifier = _last(asked.get("subnetwork") or network)
    path = f"projects/{project}/regions/{region}/subnetworks/{identifier}"
    found = world.find(ResourceName("compute.subnetworks", path))
    if found is None or _last(found.body["network"]) != network:
        raise _bad(f'Subnetwork "{identifier}" of network "{network}" does not exist in region "{region}".')
    return Placement(name, found)


def _last(reference: object) -> str:
    return str(reference).rpartition("/")[2]


def services_range(placement: Placement, policy: Json) -> IPv4Network:
    """Return the range of ClusterIPs: a secondary range, one that is given, or Google's own."""
    secondary = placement.secondary(str(policy.get("servicesSecondaryRangeName", "")))
    text = secondary or str(policy.get("servicesIpv4CidrBlock") or DEFAULT_SERVICES)
    try:
        found = IPv4Network(text)
    except ValueError:
        raise _bad(f'Invalid services range "{text}".') from None
    if not 16 <= found.prefixlen <= 28:
        raise _bad(f'The services range "{text}" must be between /16 and /28.')
    return found


def checked_pools(asked: Json, cluster_link: str, zones: list[str]) -> list[Json]:
    """Complete the node pools of a cluster; nodes are refused by name."""
    pools = asked.get("nodePools") or ()
    if not pools:
        if not asked.get("initialNodeCount"):
            raise _bad("Cluster.initial_node_count must be greater than zero.")
        raise _no_nodes()
    made = []
    for pool in pools:
        if pool.get("initialNodeCount") or not is_blank(pool.get("autoscaling")):
            raise _no_nodes()
        shown = {key: pool[key] for key in ("config", "management", "upgradeSettings") if key in pool}
        made.append(
            {
                "name": str(pool.get("name") or "default-pool"),
                "initialNodeCount": 0,
                **shown,
                "locations": zones,
                "version": VERSION,
                "selfLink": f"{cluster_link}/nodePools/{pool.get('name') or 'default-pool'}",
                "status": "RUNNING",
            }
        )
    return made


def _no_nodes() -> ApiError:
    return not_built("nodes of clusters (the API makes one without any: nodePools with initialNodeCount 0)")
