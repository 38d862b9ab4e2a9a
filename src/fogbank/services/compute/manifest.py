"""What the region is given of Compute Engine."""

from fogbank.app.manifest import Manifest
from fogbank.services.compute import SERVICE
from fogbank.services.compute.controller import make_controller
from fogbank.services.compute.controller.firewall_log import make_controller as make_firewall_log_controller
from fogbank.services.compute.controller.flow_log import make_controller as make_flow_log_controller
from fogbank.services.compute.controller.nat import make_controller as make_nat_controller
from fogbank.services.compute.feature import FEATURES

MANIFEST = Manifest(
    SERVICE,
    features=FEATURES,
    controller=make_controller,
    companions=(make_nat_controller, make_flow_log_controller, make_firewall_log_controller),
    backend=lambda runtime: runtime.consoles,
)
