"""What the region is given of Secret Manager."""

from fogbank.app.manifest import Manifest
from fogbank.services.secretmanager import SERVICE
from fogbank.services.secretmanager.controller import make_controller

MANIFEST = Manifest(SERVICE, controller=make_controller)
