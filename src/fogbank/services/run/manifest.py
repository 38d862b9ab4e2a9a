"""What the region is given of Cloud Run."""

from fogbank.app.manifest import Manifest
from fogbank.services.run import SERVICE
from fogbank.services.run.controller import make_controller

MANIFEST = Manifest(SERVICE, controller=make_controller)
