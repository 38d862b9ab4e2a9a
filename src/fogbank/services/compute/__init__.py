"""Compute Engine: networks, subnetworks, routers with NAT, addresses, firewall rules, routes, instances.

One module for each collection, each with the methods that it answers. Load balancers are not built.
"""

from fogbank.services.compute import (
    addresses,
    disks,
    firewall_policies,
    firewalls,
    images,
    instances,
    machine_types,
    nat_status,
    networks,
    peering_routes,
    peerings,
    places,
    projects,
    routers,
    routes,
    subnetworks,
)
from fogbank.services.compute.instances.lifecycle import converged, finishes
from fogbank.services.compute.preset import default_network
from fogbank.services.compute.resource_tags import with_tags
from fogbank.services.contract import Service, operation_permissions

__all__ = ["SERVICE", "default_network"]

_TAGGED = ("networks", "subnetworks", "firewalls", "routes", "routers", "instances", "disks", "images")
"""What is bound to tags as it is made."""

_METHODS = with_tags(
    {
        **networks.METHODS,
        **peerings.METHODS,
        **peering_routes.METHODS,
        **subnetworks.METHODS,
        **routers.METHODS,
        **nat_status.METHODS,
        **addresses.METHODS,
        **firewalls.METHODS,
        **firewall_policies.METHODS,
        **routes.METHODS,
        **places.METHODS,
        **projects.METHODS,
        **machine_types.METHODS,
        **images.METHODS,
        **disks.METHODS,
        **instances.METHODS,
    },
    _TAGGED,
)

SERVICE = Service(
    "compute",
    _METHODS,
    title="Compute Engine API",
    versions=("v1",),
    errors="reasons",
    operations="compute",
    permissions=(
        "compute.addresses.use",
        "compute.addresses.useInternal",
        "compute.networks.access",
        "compute.networks.setFirewallPolicy",
        "compute.networks.updatePolicy",
        "compute.networks.use",
        "compute.subnetworks.use",
        "compute.subnetworks.useExternalIp",
        *operation_permissions("compute", "globalOperations", "regionOperations", "zoneOperations"),
    ),
    new_project=default_network,
    converged=converged,
    finishes=finishes,
)
