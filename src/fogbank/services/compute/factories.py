"""Resources of compute as they are stored: a body is what the API shows, but for what reading derives."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from fogbank.errors import already_exists
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.names import COMPUTE_PREFIX, ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.bodies import OUTPUTS
from fogbank.services.contract import Call

_PACIFIC = timezone(timedelta(hours=-8))

KINDS = {
    "networks": "compute#network",
    "subnetworks": "compute#subnetwork",
    "routers": "compute#router",
    "addresses": "compute#address",
    "globalAddresses": "compute#address",
    "firewalls": "compute#firewall",
    "routes": "compute#route",
    "firewallPolicies": "compute#firewallPolicy",
    "instances": "compute#instance",
    "vpnGateways": "compute#vpnGateway",
    "targetVpnGateways": "compute#targetVpnGateway",
    "externalVpnGateways": "compute#externalVpnGateway",
    "vpnTunnels": "compute#vpnTunnel",
    "forwardingRules": "compute#forwardingRule",
    "disks": "compute#disk",
    "images": "compute#image",
    "healthChecks": "compute#healthCheck",
    "networkEndpointGroups": "compute#networkEndpointGroup",
    "backendServices": "compute#backendService",
    "urlMaps": "compute#urlMap",
    "sslCertificates": "compute#sslCertificate",
    "sslPolicies": "compute#sslPolicy",
    "targetHttpProxies": "compute#targetHttpProxy",
    "targetHttpsProxies": "compute#targetHttpsProxy",
    "targetSslProxies": "compute#targetSslProxy",
    "targetTcpProxies": "compute#targetTcpProxy",
}


def timestamp(moment: datetime) -> str:
    """Render a moment as compute does: ``2026-01-02T03:04:05.678-08:00``."""
    return moment.astimezone(_PACIFIC).isoformat(timespec="milliseconds")


def made(call: Call, name: ResourceName, fields: Json, private: Json | None = None) -> Resource:
    """Make a resource with the outputs that all have: kind, id, creationTimestamp, name, selfLink, region."""
    return make(name, call.new_id(), call.now, fields, private)


def make(
    name: ResourceName, number: int, now: datetime, fields: Json, private: Json | None = None
) -> Resource:
    """Make a resource whose id is ``number``."""
    body = {
        "kind": KINDS[name.collection.partition(".")[2]],
        "id": str(number),
        "creationTimestamp": timestamp(now),
        "name": name.id,
        **fields,
        "selfLink": name.self_link,
    }
    if name.region:
        body["region"] = f"{COMPUTE_PREFIX}projects/{name.project}/regions/{name.region}"
    if zone := name.segment("zones"):
        body["zone"] = f"{COMPUTE_PREFIX}projects/{name.project}/zones/{zone}"
    return Resource(name, number, now, body, private or {})


def fingerprinted(resource: Resource) -> Resource:
    """Add the fingerprint of its present content to the resource."""
    return resource.with_body(fingerprint=fingerprint(resource.body))


def replaced(resource: Resource, body: Json) -> Resource:
    """Replace the whole body of the resource; its outputs stay."""
    kept = {key: value for key, value in resource.body.items() if key in OUTPUTS or key in ("name", "region")}
    return replace(resource, body=kept | body)


def check_free(world: World, name: ResourceName) -> None:
    """Refuse a name that is taken."""
    if world.find(name) is not None:
        raise already_exists(name.path)


def sorted_by_name(resources: Iterable[Resource]) -> list[Resource]:
    """Order resources as Google lists them."""
    return sorted(resources, key=lambda each: each.name.path)
