"""Certificate maps: what a target proxy refers to, so that names and certificates change without it."""

from collections.abc import Iterator

from fogbank.errors import not_built
from fogbank.resources.load_balancing import (
    CERTIFICATE_MAPS,
    entries_of,
    port_range,
    proxies_with_map,
    rules_of_proxy,
)
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.certificatemanager.shared import (
    COMMON,
    GLOBAL,
    ID_PATTERN,
    INTERFACE,
    LOCATIONS,
    METADATA,
    Done,
    created,
    message,
    missing,
    updated,
)
from fogbank.services.collections import Field, Outcome
from fogbank.services.contract import Call


def _created(world: World, call: Call, resource: Resource) -> Outcome:
    if resource.name.region != GLOBAL:
        raise not_built("certificatemanager.certificateMaps outside of the location global")
    return created(world, call, resource)


def _users(world: World, certificate_map: Resource) -> Iterator[ResourceName]:
    yield from (each.name for each in proxies_with_map(world, certificate_map.name))
    yield from (each.name for each in entries_of(world, certificate_map.name))


def _show(world: World, certificate_map: Resource) -> Json:
    """Show a map with the load balancers that have it, as soon as a forwarding rule leads there."""
    targets = [
        target for proxy in proxies_with_map(world, certificate_map.name) if (target := _target(world, proxy))
    ]
    return certificate_map.body | ({"gclbTargets": targets} if targets else {})


def _target(world: World, proxy: Resource) -> Json:
    ports: dict[str, list[int]] = {}
    for rule in rules_of_proxy(world, proxy.name):
        ports.setdefault(rule.body["IPAddress"], []).append(port_range(rule.body)[0])
    if not ports:
        return {}
    field = "targetHttpsProxy" if "Https" in proxy.name.collection else "targetSslProxy"
    path = f"//compute.googleapis.com/{proxy.name.path}"
    return {field: path, "ipConfigs": [{"ipAddress": each, "ports": found} for each, found in ports.items()]}


MAPS = Done(
    name=CERTIFICATE_MAPS,
    noun="certificateMap",
    id_parameter="certificateMapId",
    id_pattern=ID_PATTERN,
    message=message("CertificateMap"),
    interface=INTERFACE,
    metadata=METADATA,
    fields={**COMMON, "gclbTargets": Field(output=True)},
    locations=LOCATIONS,
    created=_created,
    updated=updated,
    users=_users,
    show=_show,
    missing=missing("CertificateMap"),
    permissions="certmaps",
)
