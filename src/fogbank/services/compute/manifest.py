"""What the region is given of Compute Engine's networking."""

from fogbank.app.manifest import Manifest
from fogbank.services.compute import SERVICE
from fogbank.services.compute.controller.nat import make_controller as make_nat_controller

MANIFEST = Manifest(SERVICE, companions=(make_nat_controller,))
