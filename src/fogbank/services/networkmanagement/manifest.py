"""What the region is given of the Network Management API."""

from fogbank.app.manifest import Manifest
from fogbank.services.networkmanagement import SERVICE
from fogbank.services.networkmanagement.controller import make_controller

MANIFEST = Manifest(SERVICE, controller=make_controller)
