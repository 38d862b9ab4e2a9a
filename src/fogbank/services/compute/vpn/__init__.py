"""Cloud VPN: gateways of both kinds, tunnels between them and others, and what classic ones need beside that.

See behaviour/vpn.md#gateways.
"""

from fogbank.services.compute.vpn import (
    external_gateways,
    forwarding_rules,
    gateways,
    target_gateways,
    tunnels,
)
from fogbank.services.contract import Method

METHODS: dict[str, Method] = {
    **gateways.METHODS,
    **target_gateways.METHODS,
    **external_gateways.METHODS,
    **forwarding_rules.METHODS,
    **tunnels.METHODS,
}
