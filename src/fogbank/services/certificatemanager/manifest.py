"""What the region is given of Certificate Manager."""

from fogbank.app.manifest import Manifest
from fogbank.services.certificatemanager import SERVICE
from fogbank.services.certificatemanager.controller import make_controller

MANIFEST = Manifest(SERVICE, controller=make_controller)
