"""What the region is given of Cloud Scheduler."""

from fogbank.app.manifest import Manifest
from fogbank.services.cloudscheduler import SERVICE
from fogbank.services.cloudscheduler.controller import make_controller

MANIFEST = Manifest(SERVICE, controller=make_controller)
