"""Load balancing: health checks, endpoint groups, backend services, URL maps, proxies, forwarding rules."""

from fogbank.services.compute.load_balancing import (
    backend_services,
    certificates,
    endpoint_groups,
    forwarding_rules,
    health_checks,
    regional_rules,
    target_proxies,
    url_maps,
)
from fogbank.services.compute.load_balancing.backend_health import get_health
from fogbank.services.contract import Live, Method

METHODS: dict[str, Method] = {
    **health_checks.METHODS,
    **endpoint_groups.METHODS,
    **backend_services.METHODS,
    **url_maps.METHODS,
    **certificates.METHODS,
    **target_proxies.METHODS,
    **forwarding_rules.METHODS,
    **regional_rules.METHODS,
    "regionBackendServices.getHealth": Live(get_health, "compute.regionBackendServices.get"),
    "backendServices.getHealth": Live(get_health, "compute.backendServices.get"),
}
