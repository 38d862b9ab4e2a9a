"""What the region is given of Compute Engine."""

from fogbank.app.manifest import Manifest
from fogbank.lowering.vpn import VpnGateways
from fogbank.resources.backend_health import ComputeBackend
from fogbank.services.compute import SERVICE
from fogbank.services.compute.controller import make_controller
from fogbank.services.compute.controller.edge import make_controller as make_edge_controller
from fogbank.services.compute.controller.firewall_log import make_controller as make_firewall_log_controller
from fogbank.services.compute.controller.flow_log import make_controller as make_flow_log_controller
from fogbank.services.compute.controller.nat import make_controller as make_nat_controller
from fogbank.services.compute.controller.vpn import make_controller as make_vpn_controller
from fogbank.services.compute.feature import FEATURES

MANIFEST = Manifest(
    SERVICE,
    features=(*FEATURES, VpnGateways()),
    controller=make_controller,
    companions=(
        make_nat_controller,
        make_flow_log_controller,
        make_firewall_log_controller,
        make_vpn_controller,
        make_edge_controller,
    ),
    backend=lambda runtime: ComputeBackend(runtime.consoles, runtime.backend_health),
)
